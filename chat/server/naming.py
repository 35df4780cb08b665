"""Who somebody is, and what it is called: as it comes, and when it changes its name.

Everything runs in the event loop.
"""

from __future__ import annotations

import chat_pb2
from chat.protocol.errors import ChatError
from chat.server.absence import Absence
from chat.server.certified_names import check_certified
from chat.server.directory import Person
from chat.server.member import Member
from chat.server.moderation import Moderation, Who, who_is
from chat.server.ownership import CERTIFIED
from chat.server.people import People
from chat.server.places import Places
from chat.server.rooms import Rooms
from chat.server.streams import Streams


class Naming:
    """Gives members their names, which other servers have reserved for them already."""

    def __init__(
        self,
        people: People,
        moderation: Moderation,
        rooms: Rooms,
        absence: Absence,
        streams: Streams,
        places: Places,
    ) -> None:
        self._people = people
        self._directory = people.directory
        self._moderation = moderation
        self._rooms = rooms
        self._absence = absence
        self._streams = streams
        self._places = places

    def identify(self, member: Member, person: Person | None, asker: Person) -> None:
        """Say who a full member is; its own ghost goes, unnoticed where nothing changes.

        `asker`: as it has said who it is. `person`: who that was here until now.
        """
        name, identity, session = asker.name, asker.identity, asker.session
        if person is None:
            person = self._directory.add(name, identity, session)
            person.inbox_seen_id = self._rooms.last_id
        elif person.member is not None:
            person.member.close(ChatError("SESSION_REPLACED"))
            self._streams.lose(person.member)
        if person.identity != identity:  # its owner has come with another session
            self._people.adopt(person, identity, session)
        if person.name != name:
            self._absence.vanish(person)
            other = self._directory.find(name)
            if other is not None and other is not person:
                self._streams.replace(other)
            self._directory.rename(person, name)
        self._absence.end(person)
        person.address = member.address
        person.member = member
        person.unread.clear()
        member.person = person
        self._people.own(person, asker.owner)
        self._places.open_inbox(member, person)

    def name_plain(self, member: Member, name: str, identity: str) -> None:
        """Give a plain member its first name, and tell the others.

        Raises NAME_TAKEN, NAME_OWNED, NAME_CERTIFIED, BANNED.
        """
        check_certified(name, member.certified)
        owner = CERTIFIED if member.certified else ""
        self._moderation.check_in(Who(name, owner, address=member.address))
        self._people.owners.check(name, owner)
        member.person = self._directory.add(name, identity)
        member.person.address = member.address
        self._people.own(member.person, owner)
        member.person.member = member
        self._streams.limit(member, member.key_owner)
        for place in member.rooms.values():
            place.room.announce_joined(member.person, exclude=member)
        self._people.note(member.person)

    def check(self, member: Member, name: str) -> None:
        """Raise where the member may not have another name: as `rename`."""
        person = member.person
        assert person is not None
        check_certified(name, member.certified)
        self._moderation.check_in(who_is(person, name))
        self._people.owners.check(name, person.owner)
        self._directory.check_free(name, person)

    def rename(self, member: Member, name: str) -> None:
        """Give the member another name, and tell the others.

        Raises NAME_TAKEN, NAME_OWNED, NAME_CERTIFIED, BANNED.
        """
        self.check(member, name)
        person = member.person
        assert person is not None
        old = person.name
        if self._directory.rename(person, name):
            self._people.own(person, person.owner)
            self._places.change_inbox(member, person)
            kind = chat_pb2.KIND_RENAMED
            for key in [*member.rooms, *person.rooms]:
                event = chat_pb2.Message(user=old, message=name, kind=kind)
                self._rooms[key].announce(event, exclude=member)
            self._people.note(person)
