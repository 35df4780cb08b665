"""Whoever is at one server: how they come, and how they go.

Knows no gRPC and no SQL. `server.py` joins a member for each stream and hands it what the log
commits; what a member says is in `posting.py`. Everything runs in the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from chat.protocol.errors import ChatError
from chat.protocol.metadata import Greeting, JoinRequest
from chat.protocol.names import check_name, check_room, name_key
from chat.server.absence import Absence
from chat.server.admission import places_of_address
from chat.server.answers import Answers
from chat.server.budget import Budgets
from chat.server.certified_names import check_certified
from chat.server.closed_rooms import ClosedRooms
from chat.server.directory import Person, asking_person, new_identity
from chat.server.held_names import HeldNames
from chat.server.log.base import Log
from chat.server.mail import UNCERTAIN_SECONDS, Mail
from chat.server.member import Member
from chat.server.moderation import Moderation, Who, who_is
from chat.server.naming import Naming
from chat.server.neighbours import Alone, Neighbours
from chat.server.notices import notice
from chat.server.ownership import Owners
from chat.server.people import People
from chat.server.places import Places
from chat.server.rate_limit import RateLimits
from chat.server.rooms import Rooms
from chat.server.sealed import Bundles
from chat.server.shared_pages import SharedPages
from chat.server.streams import Streams
from chat.server.unread import Unread


class Hub:
    """Lets members come and go, in their rooms and with their names.

    `rate`: messages a second for each person, 0 for no limit; `limits`: all of them, where others
    than the usual ones are wanted. `max_per_address`: names that are held for one address, as in
    `admission.places_of_address`. `owns_names`: whoever first proves a key under a name owns it.
    `make_mail`: where other clocks than the usual ones are wanted. `is_disk_silent`: whoever writes
    to the disk gets no answer; set by who watches over the log.
    """

    def __init__(
        self,
        log: Log,
        max_clients: int,
        rate: float,
        limits: RateLimits | None = None,
        max_per_address: int = 0,
        owns_names: bool = True,
        neighbours: Neighbours | None = None,
        make_mail: Callable[[Log, Owners], Mail] = Mail,
    ) -> None:
        self.log = log
        self.neighbours = neighbours or Alone()
        self.is_stopping = False
        self.is_disk_silent = False
        self._pages = SharedPages(log)
        self.budgets = Budgets()
        self.rooms = Rooms()
        self.owners = Owners(log, is_enforced=owns_names)
        self.bundles = Bundles(log, self.owners)
        self.mail = make_mail(log, self.owners)
        self.moderation = Moderation(log, self.owners)
        self.closed = ClosedRooms(log, lambda: self.rooms.last_id, self.rooms)
        self.closed.is_operator = lambda who: self.moderation.is_operator(who.name, who.owner)
        self.closed.is_elsewhere = self.neighbours.has
        self.closed.has_elsewhere = lambda key: bool(self.neighbours.names_in(key))
        self.rooms.on_empty = self.closed.note_use
        self.people = People(log, self.owners, self.neighbours, self.closed, self.rooms)
        self.directory = self.people.directory
        held = HeldNames(max_clients, places_of_address(max_clients, max_per_address))
        self.unread = Unread(log, self.directory)
        self.absence = Absence(self.people, self.rooms, held, self.unread)
        limits = limits or RateLimits(rate)
        self.streams = Streams(
            max_clients, limits, self.rooms, self.people, self.absence, self.mail
        )
        self.members = self.streams.members
        self.places = Places(log, self.rooms, self.people, self.absence, self.closed, self.mail)
        self.naming = Naming(
            self.people, self.moderation, self.rooms, self.absence, self.streams, self.places
        )
        self.answers = Answers(self.rooms, self.people, self.closed, self.mail)

    async def start(self) -> None:
        """Find out where the log ends, and whose names are held; before anybody joins."""
        self.rooms.last_id = await self.log.last_id()
        await self.owners.load()
        await self.bundles.load()
        await self.moderation.load()
        await self.absence.restore(self.log)
        await self.load_closed()

    async def load_closed(self) -> None:
        """Read which rooms are closed, and who their guests are."""
        await self.closed.load(lambda identity: self.directory.of_identity(identity) is not None)

    # Coming.

    async def join(
        self, request: JoinRequest, address: str = "", owner: str = "", certified: str = ""
    ) -> Member:
        """Return a new member, in its room and with its name if it is a full one, or raise.

        `address`: the peer's; empty: not known, or of no account (loopback). `owner`: who has
        proved that the name is its own. `certified`: the only name that it may have. Raises
        `ChatError`: SHUTTING_DOWN, SERVER_FULL, NAME_INVALID, NAME_TAKEN, NAME_OWNED,
        NAME_CERTIFIED, BANNED, ROOM_INVALID, ROOM_CLOSED, LOG_UNREADABLE. The caller must
        `leave()` with the member, whatever happens to the stream.
        """
        room_key = name_key(check_room(request.room))
        self._check_answered(request)
        person = self.people.known(request, owner)
        if person is not None:
            check_certified(person.name, certified)  # all of them have the same owner
        self._check_place_for(person)
        member = Member(request, self.log, self._pages, self.budgets, address, certified)
        if request.user is None:
            self.moderation.check_in(Who(address=address))
        else:
            await self._come(member, request, person, owner, room_key)
        is_new = person is None and not (member.person and member.person.rooms)
        self.streams.limit(member, member.key_owner if member.person else new_identity())
        self.members.add(member)
        self.places.enter(member, room_key)
        self.places.tidy(member)
        try:
            await self.places.begin(member, request)
        except BaseException:  # its line was lost again, or the log cannot be read just now
            self.leave(member, is_lost=not is_new)  # nothing is held that was not before
            raise
        return member

    async def _come(
        self,
        member: Member,
        request: JoinRequest,
        person: Person | None,
        owner: str,
        room_key: str,
    ) -> None:
        """Give a full member its name; it may wait for other servers. Raises as `join`."""
        asker = asking_person(check_name(request.user or ""), request.session, owner)
        asker.address = member.address
        self._check_may_come(asker, person, room_key)
        before = person.identity if person is not None else ""
        owns = self.people.owner_of(asker.name, owner)
        async with self.neighbours.reserving(asker.name, asker.identity, before, owns) as reserved:
            if reserved.has_waited:
                person = self.people.known(request, owner)
                self._check_place_for(person)
                self._check_may_come(asker, person, room_key)
            self.naming.identify(member, person, asker)
            self.absence.expect_in(member, reserved.rooms)

    def _check_may_come(self, asker: Person, person: Person | None, room_key: str) -> None:
        """Raise where somebody may not have its name, or enter the room; `person`: it until now."""
        self.moderation.check_in(who_is(asker))
        self.owners.check(asker.name, asker.owner)
        self.directory.check_free(asker.name, person, asker.owner)
        self.closed.check(room_key, asker)

    def _check_place_for(self, person: Person | None) -> None:
        """Raise where nobody more is taken; `person`: who that is, if it was here."""
        if self.is_stopping:
            raise ChatError("SHUTTING_DOWN")
        self.streams.check_place_for(person)

    def _check_answered(self, request: JoinRequest) -> None:
        """Raise LOG_UNREADABLE where the log would keep a client waiting without a word.

        Before anything changes: its earlier stream, if it has one, goes on. A full one waits for no
        disk that cannot be written: it gets its history, and sees that what it says waits.
        """
        is_plain = request.user is None
        if self.log.is_silent or (is_plain and self.is_disk_silent):
            raise ChatError("LOG_UNREADABLE")

    def greeting(self, member: Member) -> Greeting:
        """Return the server's first word to a member that has just joined."""
        after = people = None
        if member.is_full and member.rooms:  # it may have been turned out already
            (place,) = member.rooms.values()
            after = place.seen_id
            elsewhere = self.neighbours.names_in(place.room.key)
            people = place.room.people_at_a_glance + len(elsewhere)
        return Greeting(self.log.epoch, after, self.log.generation, people)

    # Going.

    def leave(self, member: Member, is_lost: bool = False) -> None:
        """End a member. Does nothing the second time.

        `is_lost`: its connection was; then its name is held for its session, and nobody is told
        before that is over.
        """
        if member not in self.members:
            return
        person = member.person
        if is_lost and person is not None and person.session:
            self.streams.lose(member)
            return
        rooms = self.streams.end(member, is_lost)
        if person is None:
            return
        for room in rooms:
            room.announce_left(person)
        if is_lost:  # without a session nobody can come back for it
            person.forget_read(time.monotonic() - UNCERTAIN_SECONDS)
            self.unread.tell(person)
        self.absence.remove(person)

    def expel(self, person: Person, error: ChatError) -> None:
        """End the stream of somebody with `error`, tell the others, and hold nothing for it."""
        if person.member is None:
            self.absence.expire(person)
        else:
            person.member.close(error)
            self.leave(person.member)

    def hand_over(self, identity: str) -> tuple[str, set[str]] | None:
        """End somebody here who has gone on at another server, without a word to the others.

        Return the name, and the keys of the rooms where it was; None: it was not here.
        """
        person = self.directory.of_identity(identity)
        return (person.name, self.streams.hand_over(person)) if person is not None else None

    def tell_all(self, reason: str) -> None:
        """Tell everybody here something about the server."""
        for member in self.members:
            notice(member, reason, is_answer=False)

    async def stop(self, reason: str = "SHUTTING_DOWN") -> None:
        """Accept nothing more, and return when all that was accepted is committed and queued.

        Every member is told the reason, and its stream ends with it when it has been handed all.
        """
        self.is_stopping = True
        for member in self.members:
            notice(member, reason)
        await self.log.flush()
        for member in self.members:
            member.close(ChatError(reason))
