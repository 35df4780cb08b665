"""Who is called what: one person for each name, over all rooms, here or expected back.

A person is a session, whatever it is called and whether or not it has a stream just now. One whose
connection was lost keeps the name, and the inbox, for `HELD_SECONDS`. Knows no rooms' messages;
everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import secrets
from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING

from chat.protocol.errors import ChatError
from chat.protocol.lookalikes import looks, looks_reserved
from chat.protocol.names import name_key
from chat.server.room import INBOX_MARK, inbox_of

if TYPE_CHECKING:
    from chat.server.member import Member

# Of the private messages to one person, how many senders may still have to hear NOT_READ.
MAX_UNREAD = 1000
NOWHERE: frozenset[str] = frozenset()  # the same for all: another one takes memory of its own


class Person:
    """Somebody with a name. `identity`: who that is for the log.

    `session`: empty for a client that gave none, whose identity ends with its stream. `owner`: the
    key that was proved, whatever the name; empty: none. `owns_name`: whether the name is its own,
    which it is not where the key may own no more. `inbox`: the room where the private messages
    come; the identity itself, where the name was nobody's own. `address`: of the last stream;
    empty: not known, or of no account. `member`: the present stream, None while it is lost.
    `rooms`: while it is lost, or back and not there again yet, the rooms where the others still see
    the name. `inbox_seen_id`: the last private message that was handed to a stream. `unread`:
    private messages that may not have been read, each as the sender's identity, the message's key
    and when (monotonic seconds); the oldest go first.
    """

    __slots__ = (
        "address",
        "expiry",
        "identity",
        "inbox",
        "inbox_seen_id",
        "member",
        "name",
        "owner",
        "owns_name",
        "rooms",
        "session",
        "unread",
    )

    def __init__(self, name: str, session: str, identity: str) -> None:
        self.name = name
        self.session = session
        self.identity = self.inbox = identity
        self.owner = ""
        self.owns_name = False
        self.address = ""
        self.member: Member | None = None
        self.rooms = NOWHERE
        self.inbox_seen_id = 0
        self.unread: list[tuple[str, str, float]] = []  # an empty deque takes ten times as much
        self.expiry: asyncio.TimerHandle | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the connection was lost, and the name is held."""
        return self.member is None

    @property
    def seen_in(self) -> list[str]:
        """The keys of the rooms where others see it, sorted."""
        places = self.member.rooms.values() if self.member is not None else ()
        here = (place.room.key for place in places if self.member in place.room.members)
        return sorted({*here, *self.rooms})

    def may_be_continued_by(self, owner: str) -> bool:
        """Say whether the name is `owner`'s, who may go on in another stream: no plain one's."""
        is_plain = self.member is not None and not self.member.is_full
        return self.owns_name and self.owner == owner and not is_plain

    def note_unread(self, sender: str, key: str, now: float) -> None:
        """Note that a private message was handed over, or waits; of very many the first go."""
        self.unread.append((sender, key, now))
        del self.unread[:-MAX_UNREAD]

    def forget_read(self, before: float) -> None:
        """Take what was written to a stream before that moment for read."""
        count = bisect_left(self.unread, before, key=lambda one: one[2])
        del self.unread[:count]

    def expire_in(self, seconds: float, expire: Callable[[Person], None]) -> None:
        """Have `expire` called with this person unless `keep()` comes first."""
        self.keep()
        self.expiry = asyncio.get_running_loop().call_later(seconds, expire, self)

    def keep(self) -> None:
        """Forget that there was an end to this."""
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None


class Directory:
    """Every person, by name (compared by `name_key`), by what the name looks like, by session."""

    def __init__(self) -> None:
        self._by_name: dict[str, Person] = {}
        self._by_look: dict[str, Person] = {}
        self._by_identity: dict[str, Person] = {}

    def __len__(self) -> int:
        """How many people there are, here or expected back."""
        return len(self._by_identity)

    def find(self, name: str) -> Person | None:
        """Return who is called so."""
        return self._by_name.get(name_key(name))

    def of_session(self, session: str) -> Person | None:
        """Return whose session this is, if it is known."""
        return self._by_identity.get(identity_of(session)) if session else None

    def of_identity(self, identity: str) -> Person | None:
        """Return who has this identity."""
        return self._by_identity.get(identity)

    @property
    def people(self) -> list[Person]:
        """Everybody, here or expected back."""
        return list(self._by_identity.values())

    def similar(self, name: str) -> set[Person]:
        """Return who is called so, or looks so."""
        found = (self._by_look.get(look) for look in looks(name))
        return {person for person in found if person is not None}

    def check_free(self, name: str, person: Person | None = None, owner: str = "") -> None:
        """Raise NAME_TAKEN if it looks like a reserved name, or like that of another `person`.

        `owner`: for whom one who has exactly this name, as the same owner's, will give it up.
        """
        holder = self.find(name)
        is_owners = holder is not None and holder.may_be_continued_by(owner)
        allowed = (None, person, holder if is_owners else None)
        is_taken = any(self._by_look.get(look) not in allowed for look in looks(name))
        if is_taken or looks_reserved(name):
            raise ChatError("NAME_TAKEN")

    def add(self, name: str, identity: str, session: str = "") -> Person:
        """Return a new person with this name. Raises NAME_TAKEN."""
        self.check_free(name)
        person = Person(name, session, identity)
        self._note_name(person)
        self._by_identity[identity] = person
        return person

    def rename(self, person: Person, name: str) -> bool:
        """Give the person another name; say whether that changed anything. Raises NAME_TAKEN."""
        self.check_free(name, person)
        if person.name == name:
            return False
        self._forget_name(person)
        person.name = name
        self._note_name(person)
        return True

    def adopt(self, person: Person, identity: str, session: str) -> None:
        """Let the person be another session: the owner of the name has come back with it."""
        del self._by_identity[person.identity]
        person.identity, person.session = identity, session
        self._by_identity[identity] = person

    def remove(self, person: Person) -> None:
        """Free the person's name. Does nothing the second time."""
        person.keep()
        if self._by_identity.get(person.identity) is person:
            del self._by_identity[person.identity]
            self._forget_name(person)

    def _note_name(self, person: Person) -> None:
        self._by_name[name_key(person.name)] = person
        self._by_look.update(dict.fromkeys(looks(person.name), person))

    def _forget_name(self, person: Person) -> None:
        del self._by_name[name_key(person.name)]
        for look in looks(person.name):
            del self._by_look[look]


def asking_person(name: str, session: str, owner: str) -> Person:
    """Return who asks to come in, before it has the name."""
    person = Person(name, session, identity_of(session) if session else new_identity())
    person.owner = owner
    return person


def identity_of(session: str) -> str:
    """Return who a session is for the log: a hash, since the session itself is a secret."""
    return inbox_of(session.lower())


def new_identity() -> str:
    """Return an identity for a client without a session, which ends with its stream."""
    return INBOX_MARK + secrets.token_hex(16)
