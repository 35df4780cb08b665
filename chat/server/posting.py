"""What a member says: judged, and appended to the log or answered at once.

Knows no gRPC and no SQL. The stream's receive task calls `post`; everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import chat_pb2
from chat.protocol.counts import count_in
from chat.protocol.errors import ChatError
from chat.protocol.kinds import DOORS, MOVES, SAID
from chat.protocol.limits import MAX_KEY_CHARACTERS, MAX_ROOMS
from chat.protocol.names import COMMON_ROOM, check_name, check_room, name_key
from chat.protocol.text import check_message
from chat.server.appending import Appender
from chat.server.asked import asked_room, echo, place_of
from chat.server.directory import new_identity
from chat.server.doors import Doors
from chat.server.encoding import Delivery
from chat.server.hub import Hub
from chat.server.lookups import Lookups
from chat.server.member import Member
from chat.server.missed import limited
from chat.server.moderation import Who, who_is
from chat.server.moderator import Moderator, Show
from chat.server.notices import notice
from chat.server.private import PrivateMessages
from chat.server.searches import Searches

Message = chat_pb2.Message


class Posting:
    """The messages of all members, on their way from a stream into the hub's log and rooms.

    `show`: called with what operators do.
    """

    def __init__(self, hub: Hub, show: Show = lambda room, messages: None) -> None:
        self._hub = hub
        self._appender = Appender(hub)
        self._private = PrivateMessages(hub, self._appender)
        self._doors = Doors(hub, self._appender.append, self._appender.was_said)
        lookups = Lookups(hub)
        moderate = Moderator(hub, show).do
        self._wishes: dict[int, Callable[[Member, Message], Awaitable[None]]] = {
            chat_pb2.KIND_UNSPECIFIED: self._say,
            chat_pb2.KIND_ACTION: self._say,
            chat_pb2.KIND_RENAMED: self._rename,
            chat_pb2.KIND_WHO: lookups.tell_who,
            chat_pb2.KIND_ENTERED: self._enter,
            chat_pb2.KIND_EXITED: self._exit,
            chat_pb2.KIND_HISTORY: lookups.tell_history,
            chat_pb2.KIND_ROOMS: lookups.tell_rooms,
            chat_pb2.KIND_SEARCH: Searches(hub).tell_found,
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
        self._appender.check_open(member)
        if len(message.key) > MAX_KEY_CHARACTERS:
            raise ChatError("REQUEST_INVALID")
        if not member.is_full:
            await self._post_plain(member, message)
        elif message.kind in self._wishes:
            await self._wait_turn(member, message.kind)
            await self._wishes[message.kind](member, message)
        else:
            raise ChatError("REQUEST_INVALID")

    async def _wait_turn(self, member: Member, kind: int) -> None:
        """Return when the member may ask this; what is said has had its turn already."""
        if kind in SAID:
            return
        limit = member.rate_limit
        if wait_seconds := limit.move() if kind in MOVES else limit.ask():
            await asyncio.sleep(wait_seconds)
            self._appender.check_open(member)

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
                self._appender.check_open(member)  # it may have waited
                self._hub.naming.name_plain(member, name, identity)
        elif name != member.name:
            await self._wait_turn(member, chat_pb2.KIND_RENAMED)
            await self._change_name(member, name)
        assert member.person is not None
        self._hub.moderation.check_may_speak(who_is(member.person))  # by the name that it has now
        said = Message(user=member.name, message=text, key=message.key)
        await self._appender.append(member, COMMON_ROOM, said)

    async def _say(self, member: Member, message: Message) -> None:
        said = Message(user=member.name, key=message.key, kind=message.kind)
        if message.sealed:
            said.sealed = self._hub.bundles.check_form(message)
        else:
            said.message = check_message(message.message)
        if message.to:
            await self._private.say(member, said, message.to)
            return
        if await self._appender.was_said_before_mute(member, said):
            return
        try:
            said.room = place_of(member, message.room).room.key
        except ChatError:
            said.room = name_key(message.room)
            if await self._appender.was_said(member, said):  # before it left
                return
            raise
        await self._appender.append(member, said.room, said)

    # Names.

    async def _rename(self, member: Member, message: Message) -> None:
        name = check_name(message.message)
        assert member.person is not None
        self._hub.moderation.check_may_speak(who_is(member.person))
        old, is_new = member.name, self._hub.owners.find(name) is None
        await self._change_name(member, name)
        renamed = Message(user=old, message=name, kind=chat_pb2.KIND_RENAMED, key=message.key)
        member.queue.put_answer(Delivery([renamed]))
        if is_new and member.person.owner:
            notice(member, "NAME_CLAIMED", to=name)

    async def _change_name(self, member: Member, name: str) -> None:
        await member.wait_committed()  # what was said under the old name is heard before it changes
        if member.is_closing:
            # Its session went on in another stream meanwhile: the name is no longer its own.
            raise ChatError("SHUTTING_DOWN")
        person = member.person
        assert person is not None
        self._hub.naming.check(member, name)  # others see the name as soon as it is reserved
        async with self._hub.neighbours.reserving(name, person.identity):
            self._appender.check_open(member)
            self._hub.moderation.check_may_speak(who_is(person))  # it may be muted by now
            self._hub.naming.rename(member, name)
        await self._hub.places.follow_name(member)

    async def _take_key(self, member: Member, message: Message) -> None:
        self._hub.bundles.answer(member, message)

    # Rooms.

    async def _enter(self, member: Member, message: Message) -> None:
        key = name_key(check_room(message.room))
        count = count_in(message.message) if message.message else None
        place = member.rooms.get(key)
        if place is not None:
            echo(member, message, key, place.seen_id)
            return
        if len(member.rooms) >= MAX_ROOMS:
            raise ChatError("TOO_MANY_ROOMS")
        self._hub.closed.check(key, member.person)
        place = self._hub.places.enter(member, key)
        is_resumed = count is None or message.id > 0
        wish = (key, message.id if is_resumed else None)
        # What it has seen of a room in this very stream it has seen in this opening of the log.
        is_seen_here = key in member.left
        generation = self._hub.log.generation if is_seen_here else member.generation
        wished = member.history if count is None else count
        try:
            (start,) = await self._hub.closed.find_places(
                member.person, [wish], generation, wished, place.entered_id
            )
            start = await limited(self._hub.log, place, start, count if is_resumed else None)
        except ChatError:
            if not place.has_ended:
                self._hub.places.exit(member, place)
            raise
        if place.is_leaving:  # it was turned out meanwhile
            raise ChatError("ROOM_CLOSED")
        if not place.has_ended:
            echo(member, message, key, start.start)
            self._hub.places.open(member, place, start)

    async def _exit(self, member: Member, message: Message) -> None:
        if message.to:
            await self._see_to_door(member, message)
            return
        place = place_of(member, message.room, is_exact=True)
        await member.wait_committed()
        if member.is_closing:
            raise ChatError("SHUTTING_DOWN")
        self._hub.places.exit(member, place)
        # The echo comes after all that was said there until now, one's own words too.
        while member.queue.owes(place) and not member.is_closing:
            await member.queue.wait_written()
        if member.is_closing:
            raise ChatError("SHUTTING_DOWN")
        echo(member, message, place.room.key)

    async def _see_to_door(self, member: Member, message: Message) -> None:
        assert member.person is not None
        self._hub.moderation.check_may_speak(who_is(member.person))  # they are told to others
        await self._doors.post(member, message, asked_room(member, message))
