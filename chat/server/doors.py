"""What members wish of the doors of rooms: that one be closed, or open again; whom they invite.

Knows no gRPC and no SQL. `posting.py` calls it; everything runs in the event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_RAW_NAME_CHARACTERS
from chat.server.closed_rooms import own_id, owner_id
from chat.server.directory import Person
from chat.server.encoding import Delivery
from chat.server.hub import Hub
from chat.server.log.base import Entry
from chat.server.member import Member

Message = chat_pb2.Message
# Has a message appended to a room, and returns what became of it, later.
Append = Callable[[Member, str, Message], Awaitable[Entry]]
# Answers a key that was appended before, if it was.
WasSaid = Callable[[Member, Message], Awaitable[bool]]


class Doors:
    """CLOSED, OPENED and INVITED, as members wish them."""

    def __init__(self, hub: Hub, append: Append, was_said: WasSaid) -> None:
        self._hub = hub
        self._append = append
        self._was_said = was_said
        self._wishes = {
            chat_pb2.KIND_CLOSED: self._close,
            chat_pb2.KIND_OPENED: self._open,
            chat_pb2.KIND_INVITED: self._invite,
        }

    async def post(self, member: Member, message: Message, key: str) -> None:
        """Do what a member wishes of the room with this key, or raise `ChatError`."""
        person = _person_of(member)
        self._hub.closed.check(key, person)
        fact = Message(user=member.name, kind=message.kind, key=message.key, room=key)
        fact.to = message.to[: MAX_RAW_NAME_CHARACTERS + 1]
        await self._wishes[message.kind](member, person, fact)

    async def _close(self, member: Member, person: Person, fact: Message) -> None:
        """Close a room: at once, so that nobody comes in while that is being written."""
        if fact.room not in member.rooms:
            raise ChatError("NOT_IN_ROOM")
        if not self._may_close(fact.room, person):
            raise ChatError("NOT_ROOM_OWNER")
        fact.to = ""
        if not self._hub.closed.is_closed(fact.room):
            self._hub.closed.close(fact.room, person, self._hub.rooms[fact.room].persons())
        await self._append(member, fact.room, fact)

    def _may_close(self, key: str, person: Person) -> bool:
        """Say whether a room is somebody's own: it is alone there, or came when nobody was."""
        if self._hub.closed.is_closed(key):
            return self._hub.closed.is_owner(key, person)
        room = self._hub.rooms[key]
        is_first = room.founder == own_id(person) or not room.has_others(person)
        return bool(key and person.owner) and is_first

    async def _open(self, member: Member, person: Person, fact: Message) -> None:
        """Open a room when that is in the log: all that was said before is for its guests."""
        closed = self._hub.closed
        fact.to = ""
        if not closed.is_closed(fact.room):
            await self._answer(member, fact)
            return
        if not (closed.is_owner(fact.room, person) or closed.is_operator(person)):
            raise ChatError("NOT_ROOM_OWNER")
        entry = await self._append(member, fact.room, fact)
        await member.wait_committed()
        if not entry.is_lost:
            # A repeated one is that of a server that ended before it had noted this.
            closed.open(fact.room, self._hub.last_id if entry.is_repeated else entry.message.id - 1)

    async def _invite(self, member: Member, person: Person, fact: Message) -> None:
        """Let somebody in, and have it told in their inbox; who is inside already need not know."""
        if not self._hub.closed.is_owner(fact.room, person):
            raise ChatError("NOT_ROOM_OWNER")
        fact.to, guest, inbox = self._find_guest(fact.to)
        self._hub.closed.invite(fact.room, guest)
        if self._is_inside(fact.room, guest):
            await self._answer(member, fact)
            return
        fact.message = fact.room  # whose row says that it is in the inbox
        await self._append(member, inbox, fact)

    def _find_guest(self, name: str) -> tuple[str, str, str]:
        """Return who is called so: the name, who that is for a closed room, and the inbox.

        Of an owned name, here or not, that is its owner; else whoever has it now. Raises
        USER_UNKNOWN, and USER_UNREACHABLE for one who cannot enter rooms.
        """
        is_name = 0 < len(name) <= MAX_RAW_NAME_CHARACTERS
        present = self._hub.directory.find(name) if is_name else None
        owned = self._hub.owners.find(name) if is_name else None
        if owned is not None and (present is None or present.owner != owned.owner):
            return owned.name, owner_id(owned.name, owned.owner), owned.inbox
        if present is None:
            raise ChatError("USER_UNKNOWN")
        if present.member is not None and not present.member.is_full:
            raise ChatError("USER_UNREACHABLE")
        return present.name, own_id(present), present.inbox

    def _is_inside(self, key: str, guest: str) -> bool:
        room = self._hub.rooms.get(key)
        return room is not None and any(own_id(person) == guest for person in room.persons())

    async def _answer(self, member: Member, fact: Message) -> None:
        """Answer a wish that was fulfilled before."""
        if not await self._was_said(member, fact):
            member.queue.put_answer(Delivery([fact]))


def _person_of(member: Member) -> Person:
    assert member.person is not None  # a plain one wishes nothing
    return member.person
