"""Which rooms are closed, who is invited there, and who may hear what was said in them.

What is said in a closed room is for its guests alone, for ever: when it is open again, the others
hear what came after that. So a name that is free again tells nothing of what was said under it.
Knows no streams; what members wish is in `doors.py`. Everything runs in the event loop.
"""

from __future__ import annotations

import json
import time
from collections.abc import (
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import asdict, dataclass, field, replace

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_CLOSED_ROOMS, MAX_GUESTS, UNUSED_ROOM_SECONDS
from chat.protocol.names import name_key
from chat.server.directory import Person
from chat.server.encoding import Delivery
from chat.server.log.base import Entry, Log, Missing, Place
from chat.server.records import ROOM
from chat.server.replay import readable
from chat.server.room import INBOX_MARK, Room

# That a room was used is written once a day: the limit is months.
USE_SECONDS = 86_400.0
# A public key (Ed25519, base64url) says by itself whose it is; a certificate's name goes with it.
PUBLIC_KEY_CHARACTERS = 43


@dataclass
class ClosedRoom:
    """A room that is closed, or was: then what was said there meanwhile still has its guests.

    `owner`, and the keys of `guests`: as `own_id` has them. `guests`: after which id each may hear.
    `open_after`: likewise for all the others, while it is open. `closed_after`: the newest log
    message when it was closed. `used_at`: when somebody was there, within a day, in seconds since
    1970. `visitors`: which of the guests were not invited, but came in as operators.
    """

    owner: str
    guests: dict[str, int]
    open_after: int
    closed_after: int
    used_at: float
    is_closed: bool = True
    visitors: list[str] = field(default_factory=list)


class ClosedRooms:
    """Every room that is closed, or was, by its key.

    `last_id`: returns the newest log message that was broadcast. `inhabited`: the keys of the rooms
    where somebody is, or expected back. `clock`: seconds since 1970. `is_operator`: who may enter
    and open any room; nobody, until somebody says so.
    """

    def __init__(
        self,
        log: Log,
        last_id: Callable[[], int],
        inhabited: Container[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._last_id = last_id
        self._inhabited = inhabited
        self._clock = clock
        self._rooms: dict[str, ClosedRoom] = {}
        self._of_session: dict[str, set[str]] = {}  # rooms whose guest an identity is
        self.is_operator: Callable[[Person], bool] = lambda person: False

    async def load(self, is_held: Callable[[str], bool]) -> None:
        """Read what is kept; `is_held`: whether somebody with an identity is expected back.

        Of a room that is open the log may no longer have what was said while it was closed: then
        there is nothing to keep.
        """
        for key, text in (await self._log.records(ROOM)).items():
            room = ClosedRoom(**json.loads(text))
            if not room.is_closed and not await self._log.read(key, 0, 1, room.open_after + 1):
                self._log.keep(ROOM, key, None)
                continue
            self._rooms[key] = room
            for guest in filter(_is_identity, list(room.guests)):
                self._of_session.setdefault(guest, set()).add(key)
                if not is_held(guest):
                    self._forget(guest)

    # Who may enter, and hear what.

    def is_closed(self, key: str) -> bool:
        """Say whether a room is closed. One that nobody has used for long opens by that."""
        room = self._rooms.get(key)
        if room is None or not room.is_closed:
            return False
        is_unused = self._clock() - room.used_at > UNUSED_ROOM_SECONDS
        if is_unused and key not in self._inhabited:
            self.open(key, self._last_id())
        return room.is_closed

    def admits(self, key: str, person: Person | None) -> bool:
        """Say whether somebody may enter a room, and know of it."""
        if not self.is_closed(key):
            return True
        return person is not None and (self.is_guest(key, person) or self.is_operator(person))

    def check(self, key: str, person: Person | None) -> None:
        """Raise ROOM_CLOSED where somebody may not enter."""
        if not self.admits(key, person):
            raise ChatError("ROOM_CLOSED")

    def is_guest(self, key: str, person: Person) -> bool:
        """Say whether somebody was invited, or inside when the room was closed."""
        room = self._rooms.get(key)
        return room is not None and not room.guests.keys().isdisjoint(_ids_of(person))

    def closing(self, key: str) -> ClosedRoom | None:
        """Return a closed room as it is, another one each time it is closed; None: it is open."""
        return self._rooms[key] if self.is_closed(key) else None

    def is_owner(self, key: str, person: Person) -> bool:
        """Say whether the room is closed, and by this person."""
        return self.is_closed(key) and self._rooms[key].owner == own_id(person)

    def heard_after(self, key: str, person: Person | None) -> int:
        """Return after which id somebody may hear what was said in a room; 0: all of it."""
        room = self._rooms.get(key)
        if room is None:
            return 0
        ids = _ids_of(person) if person is not None else ()
        if found := [room.guests[guest] for guest in ids if guest in room.guests]:
            return min(found)
        return self._last_id() if room.is_closed else room.open_after

    def may_hear(self, key: str, person: Person, message_id: int) -> bool:
        """Say whether somebody may be told now what a message of a room says."""
        return self.admits(key, person) and message_id > self.heard_after(key, person)

    async def find_places(
        self,
        person: Person | None,
        wishes: Sequence[tuple[str, int | None]],
        generation: str,
        count: int,
    ) -> list[Place]:
        """Return where somebody begins in rooms: as `Log.find_places`, with what they may hear.

        Raises LOG_UNREADABLE.
        """
        places = await readable(self._log.find_places(wishes, generation, count))
        return [
            self._begin(key, person, place, is_back=after is not None)
            for (key, after), place in zip(wishes, places, strict=True)
        ]

    def _begin(self, key: str, person: Person | None, place: Place, is_back: bool) -> Place:
        """Return where a reader begins who would begin at `place`; `is_back`: it names an id."""
        after = self.heard_after(key, person)
        if place.start >= after:
            return place
        is_told = is_back and place.has_more and place.missing is Missing.NOTHING
        missing = Missing.TRIMMED if is_told else place.missing
        return replace(place, start=after, missing=missing)

    # What changes it.

    def enter(self, room: Room, person: Person | None) -> None:
        """Note that somebody who may is about to enter a room, perhaps as the first.

        An operator who was not invited hears what is said from now on.
        """
        if person is None:
            return
        if not room.has_others(person):
            room.founder = own_id(person)
        if self.is_closed(room.key):
            if not self.is_guest(room.key, person):
                self._add_guest(room.key, person.identity, self._last_id())
                self._rooms[room.key].visitors.append(person.identity)
                self._keep(room.key)
            self.note_use(room.key)

    def note_use(self, key: str) -> None:
        """Note that somebody is, or was, in a room."""
        room = self._rooms.get(key)
        if room is not None and self._clock() - room.used_at > USE_SECONDS:
            room.used_at = self._clock()
            self._keep(key)

    def close(self, key: str, owner: Person, inside: Collection[Person]) -> None:
        """Close a room, whose guests are those who are inside.

        Raises TOO_MANY_CLOSED, TOO_MANY_GUESTS.
        """
        owner_id = own_id(owner)
        before = self._rooms.get(key)
        own = sum(room.owner == owner_id for room in self._rooms.values() if room is not before)
        if own >= MAX_CLOSED_ROOMS:
            raise ChatError("TOO_MANY_CLOSED")
        if len(inside) > MAX_GUESTS:
            raise ChatError("TOO_MANY_GUESTS")
        after = {own_id(person): self.heard_after(key, person) for person in inside}
        if before is not None:
            self._drop_guests(key, before)
        open_after = before.open_after if before is not None else 0
        self._rooms[key] = ClosedRoom(owner_id, {}, open_after, self._last_id(), self._clock())
        for guest, heard_after in after.items():
            self._add_guest(key, guest, heard_after)
        self._keep(key)

    def open(self, key: str, after: int) -> None:
        """Let everybody into a closed room, to hear what came after an id there."""
        room = self._rooms[key]
        if room.is_closed:
            room.is_closed = False
            room.open_after = after
            self._keep(key)

    def invite(self, key: str, guest: str) -> bool:
        """Let a guest into a closed room, to hear all since it was closed; say whether it is new.

        `guest`: as `own_id` has it. Raises TOO_MANY_GUESTS.
        """
        room = self._rooms[key]
        if guest in room.guests:
            return False
        if len(room.guests) >= MAX_GUESTS:
            raise ChatError("TOO_MANY_GUESTS")
        self._add_guest(key, guest, room.open_after)
        self._keep(key)
        return True

    def uninvite(self, key: str, guests: Collection[str]) -> None:
        """Let guests of a closed room into it no more, if they were any."""
        for guest in guests:
            self._drop_guest(key, guest)
            self._of_session.get(guest, set()).discard(key)
        self._keep(key)

    def forget_visitors(self, is_operator: Callable[[str], bool]) -> list[tuple[str, str]]:
        """Let into closed rooms no more who came in as an operator, and is none now.

        `is_operator`: of an identity. Return each, and the room's key.
        """
        gone = [
            (visitor, key)
            for key, room in self._rooms.items()
            for visitor in room.visitors
            if not is_operator(visitor)
        ]
        for visitor, key in gone:
            self.uninvite(key, {visitor})
        return gone

    def forget(self, person: Person) -> None:
        """Note that a session is over: whoever comes with it again was not invited."""
        self._forget(person.identity)

    def _forget(self, identity: str) -> None:
        for key in self._of_session.pop(identity, ()):
            self._drop_guest(key, identity)
            self._keep(key)

    def _add_guest(self, key: str, guest: str, heard_after: int) -> None:
        self._rooms[key].guests[guest] = heard_after
        if _is_identity(guest):
            self._of_session.setdefault(guest, set()).add(key)

    def _drop_guest(self, key: str, guest: str) -> None:
        room = self._rooms[key]
        room.guests.pop(guest, None)
        if guest in room.visitors:
            room.visitors.remove(guest)

    def _drop_guests(self, key: str, room: ClosedRoom) -> None:
        for guest in filter(_is_identity, room.guests):
            self._of_session[guest].discard(key)
            if not self._of_session[guest]:
                del self._of_session[guest]

    def _keep(self, key: str) -> None:
        self._log.keep(ROOM, key, json.dumps(asdict(self._rooms[key])))


def tell_invitations(
    entries: Iterable[Entry], rooms: Mapping[str, Room]
) -> Iterator[tuple[str, None, Delivery]]:
    """Tell rooms, outside the log, of invitations that are in the inbox of whoever is invited.

    Yields each as what the server itself shows: a room, nobody there, and the message.
    """
    for entry in entries:
        is_new = not (entry.is_lost or entry.is_repeated)
        if is_new and entry.message.kind == chat_pb2.KIND_INVITED:
            told = Delivery([entry.message]).without_ids()
            told.messages[0].key = ""
            if (room := rooms.get(entry.message.room)) is not None:
                room.tell(told.messages[0], exclude=entry.origin)
            yield entry.message.room, None, told


def own_id(person: Person) -> str:
    """Return who a person is for a closed room: the key that was proved, else the session."""
    return owner_id(person.name, person.owner) if person.owner else person.identity


def owner_id(name: str, owner: str) -> str:
    """Return who owns a name, for a closed room."""
    return owner if len(owner) == PUBLIC_KEY_CHARACTERS else f"{owner}\n{name_key(name)}"


def _ids_of(person: Person) -> Iterable[str]:
    """Return everything by which a person may have been invited."""
    return {own_id(person), person.identity}


def _is_identity(guest: str) -> bool:
    return guest.startswith(INBOX_MARK)
