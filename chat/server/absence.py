"""Those whose connection was lost: their names are held, and others still see them.

Knows no streams. Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from chat.protocol.errors import ChatError
from chat.protocol.limits import HELD_SECONDS, MAX_ROOMS
from chat.server.directory import Person
from chat.server.held_names import HeldNames
from chat.server.log.base import Log
from chat.server.mail import UNCERTAIN_SECONDS
from chat.server.member import Member
from chat.server.people import People
from chat.server.records import HOLDER, Holder
from chat.server.rooms import Rooms
from chat.server.unread import Unread

# Names that are claimed at once when a server starts again: each costs a round trip to NATS.
RESTORED_AT_ONCE = 64


class Absence:
    """Everybody who is expected back, from the loss of the connection to the end of that time."""

    def __init__(self, people: People, rooms: Rooms, held: HeldNames, unread: Unread) -> None:
        self._people = people
        self._rooms = rooms
        self._held = held
        self._unread = unread

    async def restore(self, log: Log) -> None:
        """Hold the names that the run of this server before has noted; before anybody joins."""
        records = await log.records(HOLDER)
        turns = asyncio.Semaphore(RESTORED_AT_ONCE)

        async def restore(identity: str, text: str) -> tuple[Person, Holder] | None:
            async with turns:
                return await self._restore_one(log, identity, text)

        restored = await asyncio.gather(*(restore(*record) for record in records.items()))
        for person, holder in filter(None, restored):  # in the order in which they were lost
            if self._people.directory.of_identity(person.identity) is person:
                self.hold(person, holder.rooms, self._rooms.last_id)
                self._people.note(person)

    async def _restore_one(
        self, log: Log, identity: str, text: str
    ) -> tuple[Person, Holder] | None:
        """Give a name back to whom it was held for, unless that one is elsewhere by now."""
        try:
            holder = Holder.from_text(text)
            async with self._people.neighbours.restoring(holder.name, identity, holder.run):
                person = self._people.directory.add(holder.name, identity, session=identity)
        except (ChatError, ValueError):  # by the rules of this version it is no name to hold
            log.keep(HOLDER, identity, None)
            return None
        self._people.restore(person, holder.owner)
        return person, holder

    def hold(self, person: Person, rooms: Iterable[str], inbox_seen_id: int) -> None:
        """Let the others still see a person in `rooms`, and keep the name for a return."""
        person.member = None
        person.inbox_seen_id = inbox_seen_id
        person.forget_read(time.monotonic() - UNCERTAIN_SECONDS)
        if len(person.rooms.union(rooms)) > MAX_ROOMS:
            self.vanish(person)  # from where it was expected before, and has not come
        self._show_in(person, rooms)
        self.expect(person)
        self._held.add(person)
        self._free_names(person.address)

    def _show_in(self, person: Person, rooms: Iterable[str]) -> None:
        for key in rooms:
            person.rooms |= {key}
            self._rooms.of(key).absent[person] = None

    def expect_in(self, member: Member, rooms: Iterable[str]) -> None:
        """Let the others still see a new member where it was at another server until now."""
        assert member.person is not None
        self._show_in(member.person, rooms)

    def end(self, person: Person) -> None:
        """Somebody is back: the name need not be held."""
        self._held.discard(person)

    def expect(self, person: Person) -> None:
        """Give somebody the time from now on to come back, to each of the rooms."""
        person.expire_in(HELD_SECONDS, self.expire)

    def _free_names(self, address: str) -> None:
        """Where more names are held than there are places for them, give up the oldest."""
        while (person := self._held.surplus(address)) is not None:
            self.expire(person)

    def expire(self, person: Person) -> None:
        """The time to come back is over: tell the rooms, and who wrote in vain."""
        self.vanish(person)
        if not person.is_lost:
            self._people.note(person)
            return
        self._unread.tell(person)
        self.remove(person)

    def vanish(self, person: Person) -> None:
        """Tell the rooms where a person is still seen, but no longer expected, that it has left."""
        for key in sorted(person.rooms):
            self.vanish_from(person, key)

    def vanish_from(self, person: Person, room_key: str) -> None:
        """Tell one of those rooms."""
        self._rooms[room_key].announce_left(person)
        self._take_out(person, room_key)

    def _take_out(self, person: Person, room_key: str) -> None:
        person.rooms -= {room_key}
        room = self._rooms[room_key]
        del room.absent[person]
        self._rooms.forget_if_empty(room)

    def slip_away(self, person: Person) -> None:
        """Forget somebody, as `remove`, without a word to the rooms where it is still seen."""
        for key in sorted(person.rooms):
            self._take_out(person, key)
        self.remove(person)

    def remove(self, person: Person) -> None:
        """Forget somebody, whose name is free from now on."""
        self.vanish(person)
        self._held.discard(person)
        self._people.remove(person)
