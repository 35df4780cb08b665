"""What a member says: judged, and appended to the log or answered at once.

Knows no gRPC and no SQL. The stream's receive task calls `post`; everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import nullcontext
from heapq import nsmallest

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.kinds import DOORS, MOVES, SAID
from chat.protocol.limits import (
    MAX_HISTORY,
    MAX_KEY_CHARACTERS,
    MAX_RAW_NAME_CHARACTERS,
    MAX_ROOMS,
)
from chat.protocol.names import COMMON_ROOM, check_name, check_room, name_key
from chat.protocol.text import check_message
from chat.server.directory import Person, new_identity
from chat.server.doors import Doors
from chat.server.encoding import Delivery
from chat.server.hub import Hub
from chat.server.log.base import Entry
from chat.server.member import Member
from chat.server.moderation import Who, who_is
from chat.server.moderator import Moderator, Show
from chat.server.neighbours import present
from chat.server.notices import notice
from chat.server.ownership import Owned
from chat.server.replay import History, readable
from chat.server.subscription import Subscription

# Messages of one member that may wait to be committed before it is read from again.
MAX_UNCOMMITTED = 128
# Of the answer to ROOMS: those with the most people.
MAX_LISTED_ROOMS = 1000
# And so many of them are one part of it: less than a batch, however long they are.
ROOMS_IN_PART = 100
# So many messages of an answer cost as much as a question more, before the next one.
ANSWERS_OF_A_QUESTION = 250
# Long answers are written one after the other; one whose reader takes so long for a part goes on
# beside the rest.
ANSWER_SECONDS = 0.02

Message = chat_pb2.Message


class Posting:
    """The messages of all members, on their way from a stream into the hub's log and rooms.

    `show`: called with what operators do.
    """

    def __init__(self, hub: Hub, show: Show = lambda room, messages: None) -> None:
        self._hub = hub
        moderate = Moderator(hub, show).do
        # Whose turn it is to be answered at length. A part is a hundred writes to a client that
        # takes no batches: those of many at once would be between anybody else's words.
        self._answering = asyncio.Semaphore(1)
        self._doors = Doors(hub, self._append, self._was_said)
        self._wishes: dict[int, Callable[[Member, Message], Awaitable[None]]] = {
            chat_pb2.KIND_UNSPECIFIED: self._say,
            chat_pb2.KIND_ACTION: self._say,
            chat_pb2.KIND_RENAMED: self._rename,
            chat_pb2.KIND_WHO: self._tell_who,
            chat_pb2.KIND_ENTERED: self._enter,
            chat_pb2.KIND_EXITED: self._exit,
            chat_pb2.KIND_HISTORY: self._tell_history,
            chat_pb2.KIND_ROOMS: self._tell_rooms,
            **dict.fromkeys(DOORS, self._see_to_door),
            chat_pb2.KIND_KEY: self._take_key,
            chat_pb2.KIND_REMOVED: moderate,
            chat_pb2.KIND_BANNED: moderate,
            chat_pb2.KIND_MUTED: moderate,
            chat_pb2.KIND_NOTICE: moderate,
        }

    async def post(self, member: Member, message: Message) -> None:
        """Do what a message of `member` asks, or raise `ChatError`.

        Waits while the log is full, and while the member asks too much.
        """
        self._hub.mail.note_word(member)
        self._check_open(member)
        if len(message.key) > MAX_KEY_CHARACTERS:
            raise ChatError("REQUEST_INVALID")
        if not member.is_full:
            await self._post_plain(member, message)
        elif message.kind in self._wishes:
            await self._wait_turn(member, message.kind)
            await self._wishes[message.kind](member, message)
        else:
            raise ChatError("REQUEST_INVALID")

    def _check_open(self, member: Member) -> None:
        """Raise SHUTTING_DOWN where nothing more is taken, from anybody or from this member."""
        if self._hub.is_stopping or member.is_closing:
            raise ChatError("SHUTTING_DOWN")

    async def _wait_turn(self, member: Member, kind: int) -> None:
        """Return when the member may ask this; what is said has had its turn already."""
        if kind in SAID:
            return
        limit = member.rate_limit
        if wait_seconds := limit.move() if kind in MOVES else limit.ask():
            await asyncio.sleep(wait_seconds)
            self._check_open(member)

    # What is said.

    async def _post_plain(self, member: Member, message: Message) -> None:
        if message.to or message.sealed or message.kind != chat_pb2.KIND_UNSPECIFIED:
            # Taken for a common message, a private one would be told to everybody.
            raise ChatError("REQUEST_INVALID")
        if not message.message or message.message.isspace():
            return
        text = check_message(message.message)
        name = check_name(message.user)
        for each in (member.name, name):  # who it was, and who it wants to be
            self._hub.moderation.check_may_speak(Who(each, address=member.address))
        if not member.name:
            identity = new_identity()
            async with self._hub.neighbours.reserving(name, identity):
                self._check_open(member)  # it may have waited
                self._hub.naming.name_plain(member, name, identity)
        elif name != member.name:
            await self._wait_turn(member, chat_pb2.KIND_RENAMED)
            await self._change_name(member, name)
        assert member.person is not None
        self._hub.moderation.check_may_speak(who_is(member.person))  # by the name that it has now
        said = Message(user=member.name, message=text, key=message.key)
        await self._append(member, COMMON_ROOM, said)

    async def _say(self, member: Member, message: Message) -> None:
        said = Message(user=member.name, key=message.key, kind=message.kind)
        if message.sealed:
            said.sealed = self._hub.bundles.check_form(message)
        else:
            said.message = check_message(message.message)
        if message.to:
            if message.kind != chat_pb2.KIND_UNSPECIFIED:
                raise ChatError("REQUEST_INVALID")
            if not (said.sealed and await self._is_sealed_in_vain(member, said, message.to)):
                await self._say_privately(member, said, message.to)
            return
        if await self._was_said_before_mute(member, said):
            return
        try:
            said.room = _place_of(member, message.room).room.key
        except ChatError:
            said.room = name_key(message.room)
            if await self._was_said(member, said):  # before it left
                return
            raise
        await self._append(member, said.room, said)

    async def _say_privately(self, member: Member, said: Message, to: str) -> None:
        """Append a message to the inbox of whoever is called `to`.

        One who is neither here nor expected back has an inbox only under a name of its own.
        """
        is_name = len(to) <= MAX_RAW_NAME_CHARACTERS
        reader = self._hub.directory.find(to) if is_name else None
        elsewhere = self._hub.neighbours.find(to) if is_name and reader is None else None
        owned = self._hub.owners.find(to) if is_name else None
        said.to = to[:MAX_RAW_NAME_CHARACTERS]
        if not self._is_operator(reader or owned) and await self._was_said_before_mute(
            member, said
        ):
            return
        if reader is not None and (reader.member is not None or not reader.owns_name):
            if reader.member is not None and not reader.member.is_full:
                raise ChatError("USER_UNREACHABLE")
            said.to = reader.name
            await self._append(member, reader.inbox, said)
        elif elsewhere is not None:
            if not elsewhere.inbox:
                raise ChatError("USER_UNREACHABLE")
            said.to = elsewhere.name
            await self._append(member, elsewhere.inbox, said)
        elif owned is not None:
            said.to = owned.name
            await self._leave_for(member, owned, said)
        elif not await self._was_said(member, said):
            raise ChatError("USER_UNKNOWN")

    def _check_may_write(self, member: Member, owned: Owned) -> None:
        """Raise USER_UNKNOWN where the inbox is nobody's by now, MUTED for one who is muted."""
        if not self._hub.owners.has_inbox(owned.name, owned.inbox):
            raise ChatError("USER_UNKNOWN")
        assert member.person is not None
        if not self._is_operator(owned):
            self._hub.moderation.check_may_speak(who_is(member.person))

    def _is_operator(self, reader: Person | Owned | None) -> bool:
        """Say whether a muted person may still write to this one."""
        if reader is None:
            return False
        return self._hub.moderation.is_operator(reader.name, reader.owner)

    async def _leave_for(self, member: Member, owned: Owned, said: Message) -> None:
        """Append a message to the inbox of an owner who is away, where there is room for it.

        While it waits its turn, its sender may be removed or muted, and the name be freed.
        """
        try:
            async with self._hub.mail.room_for(owned, member):
                self._check_open(member)
                self._check_may_write(member, owned)
                await self._append(member, owned.inbox, said)
                await member.wait_committed()
        except ChatError as refusal:
            is_its_own = refusal.reason in ("INBOX_FULL", "MUTED", "USER_UNKNOWN")
            if not is_its_own or not await self._was_said(member, said):
                raise

    async def _is_sealed_in_vain(self, member: Member, said: Message, to: str) -> bool:
        """Raise where nobody could open it; say whether it was said when somebody could."""
        try:
            self._hub.bundles.check_reader(member, to, said.sealed)
        except ChatError:
            said.to = to[:MAX_RAW_NAME_CHARACTERS]
            if not await self._was_said(member, said):
                raise
            return True
        return False

    async def _was_said_before_mute(self, member: Member, said: Message) -> bool:
        """Raise MUTED for somebody who may say nothing new; say whether this was nothing new."""
        if self._hub.moderation.mutes.is_empty:
            return False
        assert member.person is not None
        try:
            self._hub.moderation.check_may_speak(who_is(member.person))
        except ChatError:
            if await self._was_said(member, said):
                return True
            raise
        return False

    async def _was_said(self, member: Member, said: Message) -> bool:
        """Answer a key that was appended before, although the one it was for has gone since."""
        if not said.key:
            return False
        found = await readable(self._hub.log.find_key(member.key_owner, said.key))
        if found is not None:
            self._hub.answers.echo_again(member, *found, said)
        return found is not None

    async def _append(self, member: Member, room: str, accepted: Message) -> Entry:
        member.uncommitted += 1
        entry = Entry(room, member.key_owner, accepted, member)
        self._hub.log.append(entry)
        # Else one who sends all it can fills the log's queue, and everybody waits behind it.
        await member.wait_committed(MAX_UNCOMMITTED)
        await self._hub.log.wait_for_space()
        return entry

    # Names.

    async def _rename(self, member: Member, message: Message) -> None:
        name = check_name(message.message)
        assert member.person is not None
        self._hub.moderation.check_may_speak(who_is(member.person))
        old, is_new = member.name, self._hub.owners.find(name) is None
        await self._change_name(member, name)
        echo = Message(user=old, message=name, kind=chat_pb2.KIND_RENAMED, key=message.key)
        member.queue.put_answer(Delivery([echo]))
        if is_new and member.person.owner:
            notice(member, "NAME_CLAIMED", to=name)

    async def _change_name(self, member: Member, name: str) -> None:
        await member.wait_committed()  # what was said under the old name is heard before it changes
        if member.is_closing:
            # Its session went on in another stream meanwhile: the name is no longer its own.
            raise ChatError("SHUTTING_DOWN")
        person = member.person
        assert person is not None
        async with self._hub.neighbours.reserving(name, person.identity):
            self._check_open(member)
            self._hub.moderation.check_may_speak(who_is(person))  # it may be muted by now
            self._hub.naming.rename(member, name)
        await self._hub.places.follow_name(member)

    # Rooms.

    async def _enter(self, member: Member, message: Message) -> None:
        key = name_key(check_room(message.room))
        count = _count_in(message) if message.message else None
        place = member.rooms.get(key)
        if place is not None:
            _echo(member, message, key, place.seen_id)
            return
        if len(member.rooms) >= MAX_ROOMS:
            raise ChatError("TOO_MANY_ROOMS")
        self._hub.closed.check(key, member.person)
        place = self._hub.places.enter(member, key)
        wish = (key, message.id if count is None else None)
        # What it has seen of a room in this very stream it has seen in this opening of the log.
        is_seen_here = key in member.left
        generation = self._hub.log.generation if is_seen_here else member.generation
        wished = member.history if count is None else count
        try:
            (start,) = await self._hub.closed.find_places(member.person, [wish], generation, wished)
        except ChatError:
            if not place.has_ended:
                self._hub.places.exit(member, place)
            raise
        if place.is_leaving:  # it was turned out meanwhile
            raise ChatError("ROOM_CLOSED")
        if not place.has_ended:
            _echo(member, message, key, start.start)
            self._hub.places.open(member, place, start)

    async def _exit(self, member: Member, message: Message) -> None:
        if message.to:
            await self._see_to_door(member, message)
            return
        place = _place_of(member, message.room, is_exact=True)
        await member.wait_committed()
        if member.is_closing:
            raise ChatError("SHUTTING_DOWN")
        self._hub.places.exit(member, place)
        # The echo comes after all that was said there until now, one's own words too.
        while member.queue.owes(place) and not member.is_closing:
            await member.queue.wait_written()
        if member.is_closing:
            raise ChatError("SHUTTING_DOWN")
        _echo(member, message, place.room.key)

    async def _see_to_door(self, member: Member, message: Message) -> None:
        assert member.person is not None
        self._hub.moderation.check_may_speak(who_is(member.person))  # they are told to others
        await self._doors.post(member, message, _asked_room(member, message))

    # What is asked.

    async def _tell_who(self, member: Member, message: Message) -> None:
        key = _asked_room(member, message)
        self._hub.closed.check(key, member.person)
        room = self._hub.rooms.get(key)
        if room is not None:
            await self._answer(member, room.list_names())
        if elsewhere := self._hub.neighbours.names_in(key):
            await self._answer(member, present(key, elsewhere))
        if message.key:  # the echo is the acknowledgement, and the end of the list
            end = Message(user=member.name, kind=chat_pb2.KIND_WHO, key=message.key, room=key)
            member.queue.put_answer(Delivery([end]))

    async def _tell_rooms(self, member: Member, message: Message) -> None:
        counts = self._hub.neighbours.counts()
        for room in self._hub.rooms.values():
            if not room.is_inbox:
                counts[room.key] = counts.get(room.key, 0) + room.people
        admits = self._hub.closed.admits
        rooms = [(-people, key) for key, people in counts.items() if admits(key, member.person)]
        kind = chat_pb2.KIND_ROOMS
        answer = [
            Message(kind=kind, room=key, message=str(-people))
            for people, key in nsmallest(MAX_LISTED_ROOMS, rooms)
            if people
        ]
        starts = range(0, len(answer), ROOMS_IN_PART)
        parts = (Delivery(answer[start : start + ROOMS_IN_PART]) for start in starts)
        await self._answer(member, parts)
        member.queue.put_answer(Delivery([Message(kind=kind, key=message.key)]))

    async def _answer(self, member: Member, parts: Iterable[Delivery]) -> None:
        """Answer in parts, each when the one before is written: there is never more of it."""
        is_quick = True
        for part in parts:
            await member.queue.wait_answered()
            if member.is_closing:
                return
            member.rate_limit.ask(len(part.messages) / ANSWERS_OF_A_QUESTION)
            async with self._answering if is_quick else nullcontext():
                member.queue.put_answer(part)
                is_quick = is_quick and await _is_soon(member.queue.wait_answered())

    async def _take_key(self, member: Member, message: Message) -> None:
        self._hub.bundles.answer(member, message)

    async def _tell_history(self, member: Member, message: Message) -> None:
        key = _place_of(member, message.room).room.key
        count = _count_in(message)
        if not count:
            raise ChatError("REQUEST_INVALID")
        before = min(message.id or self._hub.rooms.last_id + 1, self._hub.rooms.last_id + 1)
        start = await readable(self._hub.log.start_of_last(key, count, before))
        start = max(start, self._hub.closed.heard_after(key, member.person))
        member.replay.begin_history(History(key, message.key, start, before))


async def _is_soon(waiting: Coroutine[None, None, None]) -> bool:
    """Wait `ANSWER_SECONDS` at most; say whether it is done by then."""
    try:
        await asyncio.wait_for(waiting, ANSWER_SECONDS)
    except asyncio.TimeoutError:
        return False
    return True


def _place_of(member: Member, room: str, is_exact: bool = False) -> Subscription:
    """Return the member's place in `room`; raises NOT_IN_ROOM.

    Empty: the only room that it is in, unless that `is_exact`; else the common room.
    """
    if not room and not is_exact and len(member.rooms) == 1:
        return next(iter(member.rooms.values()))
    place = member.rooms.get(name_key(check_room(room)))
    if place is None:
        raise ChatError("NOT_IN_ROOM")
    return place


def _asked_room(member: Member, message: Message) -> str:
    """Return the key of the room that a message is about, any room; empty: as `_place_of`."""
    return name_key(check_room(message.room)) or _place_of(member, "").room.key


def _count_in(message: Message) -> int:
    """Return the number that a wish carries as its text; raises REQUEST_INVALID."""
    text = message.message
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_HISTORY))):
        raise ChatError("REQUEST_INVALID")
    return min(int(text), MAX_HISTORY)


def _echo(member: Member, wish: Message, room: str, message_id: int = 0) -> None:
    """Say that a wish is fulfilled."""
    echo = Message(user=member.name, kind=wish.kind, key=wish.key, room=room, id=message_id)
    member.queue.put_answer(Delivery([echo]))
