"""Everybody with a name at one server, and what is kept of them elsewhere.

A person is noted in the log's file, for a server that starts again, and with the other servers.
Knows no streams; everything runs in the event loop.
"""

from __future__ import annotations

from chat.protocol.errors import ChatError
from chat.protocol.metadata import JoinRequest
from chat.server.closed_rooms import ClosedRooms
from chat.server.directory import Directory, Person
from chat.server.log.base import Log
from chat.server.neighbours import Neighbours, Whereabouts
from chat.server.ownership import Owners
from chat.server.records import HOLDER, Holder
from chat.server.rooms import Rooms


class People:
    """Who is called what, noted wherever that is to be known."""

    def __init__(
        self, log: Log, owners: Owners, neighbours: Neighbours, closed: ClosedRooms, rooms: Rooms
    ) -> None:
        self.directory = Directory()
        self.neighbours = neighbours
        self.owners = owners
        self._log = log
        self._closed = closed
        self._rooms = rooms

    def known(self, request: JoinRequest, owner: str) -> Person | None:
        """Return who a client was before: by its session, or as the owner of the name.

        Raises NAME_OWNED where the session is that of somebody who could prove more.
        """
        person = self.directory.of_session(request.session)
        if person is not None and person.owner and person.owner != owner:
            raise ChatError("NAME_OWNED")
        if person is None and request.user is not None:
            found = self.directory.find(request.user)
            if found is not None and found.may_be_continued_by(owner):
                return found
        return person

    def owner_of(self, name: str, owner: str) -> str:
        """Return `owner` where the name is that one's own already; else empty."""
        owned = self.owners.find(name)
        return owner if owned is not None and owned.owner == owner else ""

    def adopt(self, person: Person, identity: str, session: str) -> None:
        """Let the person be another session: its owner has come with that one."""
        self._log.keep(HOLDER, person.identity, None)
        self._closed.forget(person)
        self.directory.adopt(person, identity, session)

    def own(self, person: Person, owner: str) -> None:
        """Note who the person has proved to be; the name is its own if it may own one more."""
        person.owner = owner if self.owners.is_enforced else ""
        owned = self.owners.claim(person.name, owner, person.address, self._rooms.last_id)
        person.owns_name = owned is not None
        person.inbox = owned.inbox if owned is not None else person.identity

    def restore(self, person: Person, owner: str) -> None:
        """Note who somebody had proved to be, as an earlier run of this server has kept it."""
        person.owner = owner if self.owners.is_enforced else ""
        owned = self.owners.find(person.name)
        if owned is not None and owned.owner == person.owner:
            person.owns_name, person.inbox = True, owned.inbox

    def note(self, person: Person) -> None:
        """Have other servers, and in case this one ends its file, say who holds the name."""
        rooms = tuple(person.seen_in)
        is_full = person.member is None or person.member.is_full
        inbox = person.inbox if is_full else ""
        owner = person.owner if is_full and person.owns_name else ""
        place = Whereabouts(rooms, inbox, owner, is_here=not person.is_lost)
        self.neighbours.move(person.identity, place)
        if person.session:
            holder = Holder(person.name, rooms, person.owner, self.neighbours.run)
            self._log.keep(HOLDER, person.identity, holder.to_text())

    def remove(self, person: Person) -> None:
        """Let the name be free, here and everywhere."""
        self._closed.forget(person)
        person.member = None  # else the two would keep each other until cycles are collected
        self.directory.remove(person)
        self.neighbours.release(person.identity)
        if person.session:
            self._log.keep(HOLDER, person.identity, None)
