"""A room and those who hear each other there. Everything runs in the event loop."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import chat_pb2
from chat.protocol.limits import MAX_PRESENCE_MEMBERS
from chat.server.encoding import Delivery
from chat.server.presence import Presence
from chat.server.subscription import Subscription

if TYPE_CHECKING:
    from chat.server.directory import Person
    from chat.server.member import Member

# So many names are one part of the answer to WHO: less than a batch, however long they are.
NAMES_IN_PART = 100

# What is said in PRESENT of somebody who has proved that the name is their own.
OWNED_MARK = "owned"

# No room's name can begin so: what an inbox is called is out of everybody's reach.
INBOX_MARK = "\x01"

_Listed = tuple[str, bool]  # a name, and whether it is the person's own


def inbox_of(said: str) -> str:
    """Return the key of the inbox of whoever is known by `said`, which cannot be told from it."""
    return INBOX_MARK + hashlib.sha256(said.encode()).hexdigest()[:32]


def is_inbox(key: str) -> bool:
    """Say whether a room's key is that of an inbox: where somebody's private messages come."""
    return key.startswith(INBOX_MARK)


class Room:
    """Members who hear each other, each with its place in the log; or the inbox of one.

    `key`: its name without regard to case, empty: the common one. `last_id`: the newest log message
    that was broadcast here, or anywhere when it was made. `absent`: those whose connection was lost
    and who are still expected back. `founder`: who came when nobody else was here, as
    `closed_rooms.own_id` has it. Who is coming is in none of these: see `add_coming`.
    """

    __slots__ = (
        "_coming",
        "_listed",
        "_presence",
        "absent",
        "founder",
        "key",
        "last_id",
        "members",
    )

    def __init__(self, key: str, last_id: int) -> None:
        self.key = key
        self.last_id = last_id
        self.founder = ""
        self.members: dict[Member, Subscription] = {}  # in the order of their coming
        self.absent: dict[Person, None] = {}
        self._coming: dict[Member, None] | None = None
        self._presence: Presence[Member] | None = None
        # Parts of a long list of names, encoded: most are the same when it is asked for again.
        self._listed: OrderedDict[tuple[_Listed, ...], Delivery] | None = None

    @property
    def is_inbox(self) -> bool:
        """Whether this is no room, but where somebody's private messages come."""
        return is_inbox(self.key)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is here, coming, or expected back."""
        return not (self.members or self.absent or self._coming)

    def add_coming(self, member: Member) -> None:
        """Keep a place for somebody of whom it is not certain yet that it can be here.

        The others neither see it nor are told of it; it hears nothing.
        """
        if self._coming is None:
            self._coming = {}
        self._coming[member] = None

    def add(self, member: Member, place: Subscription) -> None:
        """Let a member be here, seen by the others, who are told by `announce_joined`."""
        if self._coming is not None:
            self._coming.pop(member, None)
        self.members[member] = place

    def remove(self, member: Member) -> bool:
        """Take out somebody who is here or coming; say whether the others saw it here."""
        if self._coming is not None:
            self._coming.pop(member, None)
        return self.members.pop(member, None) is not None

    def persons(self) -> list[Person]:
        """Return everybody who has a name, those coming and expected back included."""
        present = chain(self.members, self._coming or ())
        here = [member.person for member in present if member.person is not None]
        return [*here, *self.absent]

    def has_others(self, person: Person | None) -> bool:
        """Say whether somebody else is here, coming, or expected back."""
        present = chain(self.members, self._coming or ())
        is_other_here = any(member.person is not person for member in present)
        return is_other_here or any(other is not person for other in self.absent)

    def names(self) -> list[str]:
        """Return who is here: everybody who has a name, those expected back included."""
        return [name for name, _is_owned in self._list()]

    def _list(self) -> list[_Listed]:
        """Return who is here, and whether the name is the person's own."""
        here = (member.person for member in self.members if member.person is not None)
        return [(person.name, person.owns_name) for person in (*here, *self.absent)]

    @property
    def people(self) -> int:
        """How many are here: everybody who has a name, those expected back included."""
        nameless = 0
        if not self.key:  # elsewhere nobody is without
            nameless = sum(member.person is None for member in self.members)
        return len(self.members) + len(self.absent) - nameless

    @property
    def people_at_a_glance(self) -> int:
        """As `people`; where there are many, those who have no name yet count too.

        So that it costs the same however many come, each of whom is told.
        """
        everybody = len(self.members) + len(self.absent)
        return everybody if everybody > MAX_PRESENCE_MEMBERS else self.people

    def list_names(self) -> Iterator[Delivery]:
        """Yield one PRESENT for each who is here now, in parts, each made when it is asked for."""
        people = self._list()
        for start in range(0, len(people), NAMES_IN_PART):
            yield self._list_part(tuple(people[start : start + NAMES_IN_PART]))

    def _list_part(self, people: tuple[_Listed, ...]) -> Delivery:
        if self._listed is None:
            self._listed = OrderedDict()
        part = self._listed.pop(people, None)
        if part is None:
            part = Delivery([self._present(*listed) for listed in people])
        if len(people) == NAMES_IN_PART:
            self._listed[people] = part
            if len(self._listed) > (len(self.members) + len(self.absent)) / NAMES_IN_PART:
                self._listed.popitem(last=False)
        return part

    def _present(self, name: str, is_owned: bool) -> chat_pb2.Message:
        mark = OWNED_MARK if is_owned else ""
        kind = chat_pb2.KIND_PRESENT
        return chat_pb2.Message(user=name, message=mark, kind=kind, room=self.key)

    @property
    def _is_large(self) -> bool:
        return len(self.members) + len(self.absent) > MAX_PRESENCE_MEMBERS

    def announce_joined(self, person: Person, exclude: Member | None = None) -> None:
        """Announce that a person has come, to all but `exclude`, who is that."""
        self.announce(chat_pb2.Message(user=person.name, kind=chat_pb2.KIND_JOINED), exclude)

    def announce_left(self, person: Person) -> None:
        """Announce that a person has gone."""
        self.announce(chat_pb2.Message(user=person.name, kind=chat_pb2.KIND_LEFT))

    def announce(self, event: chat_pb2.Message, exclude: Member | None = None) -> None:
        """Have JOINED, LEFT or RENAMED told to every full client but `exclude`.

        Not in a room that is so large that comings and goings would drown the conversation.
        """
        if self._presence is None:
            self._presence = Presence(self._tell_in_time, self._write)
        if self._is_large:
            self._presence.forget()
        else:
            event.room = self.key
            self._presence.announce(event, exclude)

    def _tell_in_time(self, event: chat_pb2.Message, exclude: Member | None) -> None:
        self.tell(event, exclude, is_urgent=False)

    def tell(self, event: chat_pb2.Message, exclude: Member | None, is_urgent: bool = True) -> None:
        """Tell an event outside the log to every full client but `exclude`, as `announce` does.

        One that is not urgent is written with what comes next, or by `_write`.
        """
        if self._is_large:
            return
        delivery = Delivery([event])
        # Who was excluded may be here by another stream by now.
        person = exclude.person if exclude is not None else None
        for member in self.members:
            if member.is_full and (person is None or member.person is not person):
                member.queue.put_event(delivery, is_urgent)

    def _write(self) -> None:
        """Have everybody written what they have been told lately."""
        for member in self.members:
            member.queue.wake()
