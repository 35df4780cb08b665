"""The streams that are open at one server: how many there may be, and how each ends.

Everything runs in the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chat.protocol.errors import ChatError
from chat.server.absence import Absence
from chat.server.directory import Person
from chat.server.mail import Mail
from chat.server.member import Member
from chat.server.people import People
from chat.server.rate_limit import RateLimits
from chat.server.room import Room
from chat.server.rooms import Rooms


class Streams:
    """Every member, for as long as its stream. `max_clients`: how many there may be."""

    def __init__(
        self,
        max_clients: int,
        limits: RateLimits,
        rooms: Rooms,
        people: People,
        absence: Absence,
        mail: Mail,
    ) -> None:
        self.members: set[Member] = set()
        self._lingering = 0
        self._max_clients = max_clients
        self._limits = limits
        self._rooms = rooms
        self._people = people
        self._absence = absence
        self._mail = mail

    def check_place_for(self, person: Person | None) -> None:
        """Raise SERVER_FULL; but somebody's own ghost makes place for him."""
        has_ghost = person is not None and not person.is_lost
        if len(self.members) + self._lingering - has_ghost >= self._max_clients:
            raise ChatError("SERVER_FULL")

    @contextmanager
    def lingering(self) -> Iterator[None]:
        """Count a stream that has ended, but whose reader has not taken that, for a block."""
        self._lingering += 1
        try:
            yield
        finally:
            self._lingering -= 1

    def limit(self, member: Member, owner: str) -> None:
        """Have a member speak, ask and read no faster than `owner` may, or the address."""
        member.rate_limit = self._limits.join(owner, member.address)

    def end(self, member: Member, is_lost: bool) -> list[Room]:
        """Take a member out of everything; return the rooms where the others saw it."""
        self._mail.end(member, is_lost)
        self.members.remove(member)
        self._limits.leave(member.rate_limit)
        member.close()
        member.replay.close()
        seen_in = []
        for place in member.places():
            place.has_ended = True
            if place.room.remove(member) and place is not member.inbox:
                seen_in.append(place.room)
            self._rooms.forget_if_empty(place.room)
        return seen_in

    def lose(self, member: Member) -> None:
        """End a member's stream, and hold its name."""
        person = member.person
        assert person is not None and member.inbox is not None
        rooms = [room.key for room in self.end(member, is_lost=True)]
        self._absence.hold(person, rooms, member.inbox.seen_id)
        self._people.note(person)

    def hand_over(self, person: Person) -> set[str]:
        """End somebody here, without a word to the others; return the rooms where it was."""
        rooms = set(person.rooms)
        if person.member is not None:
            person.member.close(ChatError("SESSION_REPLACED"))
            rooms.update(room.key for room in self.end(person.member, is_lost=True))
        self._absence.slip_away(person)
        return rooms

    def replace(self, person: Person) -> None:
        """End somebody here who has gone on in another session."""
        if person.member is not None:
            person.member.close(ChatError("SESSION_REPLACED"))
            for room in self.end(person.member, is_lost=True):
                room.announce_left(person)
        self._absence.remove(person)
