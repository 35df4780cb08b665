"""Every room of one server: who comes and goes, and what becomes of what the log has committed.

Knows no gRPC and no SQL. `server.py` joins a member for each stream and hands it what the log
commits; what a member says is in `posting.py`. Everything runs in the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import chat_pb2
from chat.protocol.errors import ChatError, explain
from chat.protocol.metadata import JoinRequest
from chat.protocol.names import check_name, check_room, name_key
from chat.server.directory import Directory
from chat.server.encoding import Delivery
from chat.server.log.base import Entry, Log
from chat.server.member import Member
from chat.server.room import Room


class Hub:
    """The rooms, their members, and the answers to those who spoke.

    `rate`: messages a second for each client, 0 for no limit. Empty rooms are forgotten.
    """

    def __init__(self, log: Log, max_clients: int, rate: float) -> None:
        self.log = log
        self.directory = Directory()
        self.members: set[Member] = set()
        self.is_stopping = False
        self._max_clients = max_clients
        self._rate = rate
        self.rooms: dict[str, Room] = {}
        self._last_id = 0  # the newest log message that was broadcast

    async def start(self) -> None:
        """Find out where the log ends; before anybody joins."""
        self._last_id = await self.log.last_id()

    # Coming and going.

    async def join(self, request: JoinRequest) -> Member:
        """Return a new member, in its room and with its name if it is a full one, or raise.

        Raises `ChatError`: SHUTTING_DOWN, SERVER_FULL, NAME_INVALID, NAME_TAKEN, ROOM_INVALID,
        LOG_UNREADABLE. The caller must `leave()` with the member, whatever happens to the stream.
        """
        if self.is_stopping:
            raise ChatError("SHUTTING_DOWN")
        room_key = name_key(check_room(request.room))
        ghost = self.directory.ghost_of(request.session)
        if len(self.members) - (ghost is not None) >= self._max_clients:
            raise ChatError("SERVER_FULL")
        name = check_name(request.user) if request.user is not None else ""
        if name:
            self.directory.check_free(name, ghost)
        member = self._enter(request, room_key, name, ghost)
        try:
            if member.is_full and (missing := await member.replay.begin(request)):
                self.notice(member, missing)
        except BaseException:
            self.leave(member)
            raise
        return member

    def _enter(
        self, request: JoinRequest, room_key: str, name: str, ghost: Member | None
    ) -> Member:
        """Put a new member into its room; its own ghost goes, unnoticed where nothing changed."""
        room = self.rooms.get(room_key) or Room(room_key, self._last_id)
        is_return = ghost is not None and ghost.room is room and ghost.name == name
        if ghost is not None:
            ghost.close(ChatError("SESSION_REPLACED"))
            self.leave(ghost, is_silent=is_return)
        self.rooms[room_key] = room
        member = Member(request, room, self.log, self._rate)
        room.members[member] = None
        self.members.add(member)
        self.directory.remember_session(member)
        if name:
            self.directory.set_name(member, name)
            if not is_return:
                room.announce_presence(chat_pb2.KIND_JOINED, member)
        return member

    def leave(self, member: Member, is_silent: bool = False) -> None:
        """Take the member out of its room and free its name. Does nothing the second time."""
        if member not in self.members:
            return
        self.members.remove(member)
        member.close()
        self.directory.release(member)
        room = member.room
        del room.members[member]
        if member.name and not is_silent:
            room.announce_presence(chat_pb2.KIND_LEFT, member)
        if not room.members:
            del self.rooms[room.key]

    # What the log has committed.

    def committed(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Room | None, Delivery]]:
        """Yield what is to be broadcast of a group, room by room, in the order of the log.

        The room is None where nobody is in it.
        """
        by_room: dict[str, list[chat_pb2.Message]] = {}
        for entry in entries:
            if not (entry.is_lost or entry.is_repeated):
                self._last_id = entry.message.id
                by_room.setdefault(entry.room, []).append(entry.message)
        for key, messages in by_room.items():
            delivery = Delivery(messages, is_logged=True)
            room = self.rooms.get(key)
            if room is not None:
                room.last_id = delivery.last_id
            yield key, room, delivery

    def answer(self, entry: Entry) -> None:
        """Tell the sender what became of its message, where the broadcast itself does not."""
        member: Member = entry.origin
        if entry.is_lost:
            if member.is_full:
                self.notice(member, "NOT_STORED", entry.message.key)
            else:
                member.close(ChatError("NOT_STORED"))
        elif entry.is_repeated:
            self._echo_again(member, entry)
        member.mark_committed()

    def _echo_again(self, member: Member, entry: Entry) -> None:
        """Answer a key that was appended before with its first result, for the sender alone.

        What still lies before the sender in the log comes by itself: an echo ahead of it would make
        a client take everything between for seen.
        """
        message = entry.message
        if entry.room != member.room.key:
            elsewhere = chat_pb2.Message()
            elsewhere.CopyFrom(message)
            elsewhere.id = 0
            member.queue.put(Delivery([elsewhere]))
        elif message.id <= member.replay.seen_id:
            member.queue.put(Delivery([message]))

    def notice(self, member: Member, reason: str, key: str = "") -> None:
        """Tell a full member why something is not as it wished; a plain one is never told."""
        if member.is_full:
            text = explain(reason, reason)
            notice = chat_pb2.Message(user=reason, message=text, kind=chat_pb2.KIND_NOTICE, key=key)
            member.queue.put(Delivery([notice]))

    # The end.

    async def stop(self) -> None:
        """Accept nothing more, and return when all that was accepted is committed and queued.

        Every member is told, and its stream ends with SHUTTING_DOWN when it has been handed all.
        """
        self.is_stopping = True
        for member in self.members:
            self.notice(member, "SHUTTING_DOWN")
        await self.log.flush()
        for member in self.members:
            member.close(ChatError("SHUTTING_DOWN"))
