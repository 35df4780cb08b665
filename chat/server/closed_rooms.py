"""Which rooms are closed, who is invited there, and who may hear what was said in them.

What is said in a closed room is for its guests alone, for ever: when it is open again, the others
hear what came after that. So a name that is free again tells nothing of what was said under it.
Knows no streams; what members wish is in `doors.py`. Where several servers share the log, each
does what its own members wish, and takes over what the others keep: guests have records of their
own (`guest_lists.py`), which are kept before that of the room. Everything runs in the event loop.
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
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_CLOSED_ROOMS, MAX_GUESTS, UNUSED_ROOM_SECONDS
from chat.protocol.names import name_key
from chat.server.directory import Person
from chat.server.encoding import Delivery
from chat.server.guest_lists import Access, GuestLists
from chat.server.log.base import Entry, Log, Missing, Place
from chat.server.plain_json import read_json, read_object, record_of
from chat.server.records import ROOM, USED_ROOM
from chat.server.replay import readable
from chat.server.room import Room

# That a room was used is written once a day: the limit is months.
USE_SECONDS = 86_400.0
# A public key (Ed25519, base64url) says by itself whose it is; a certificate's name goes with it.
PUBLIC_KEY_CHARACTERS = 43
# Where earlier versions kept the guests.
EARLIER_FIELDS = ("guests", "visitors")


@dataclass
class ClosedRoom:
    """A room that is closed, or was: then what was said there meanwhile still has its guests.

    `owner`: as `own_id` has it. `open_after`: after which id all who are no guests may hear, while
    it is open. `closed_after`: the newest log message when it was closed. `used_at`: when somebody
    was there, within a day, in seconds since 1970.
    """

    owner: str
    open_after: int
    closed_after: int
    used_at: float
    is_closed: bool = True

    @classmethod
    def from_text(cls, text: str) -> ClosedRoom:
        """Read it out of a record; raises `ValueError` where it is none."""
        fields = read_object(text)
        return record_of(cls, {key: fields[key] for key in fields if key not in EARLIER_FIELDS})

    def is_of_closing(self, other: ClosedRoom) -> bool:
        """Say whether both are closed, by one and the same wish."""
        by = (self.owner, self.closed_after)
        return self.is_closed and other.is_closed and by == (other.owner, other.closed_after)


class ClosedRooms:
    """Every room that is closed, or was, by its key.

    `last_id`: returns the newest log message that was broadcast. `inhabited`: the keys of the rooms
    where somebody is, or expected back. `clock`: seconds since 1970. `is_operator`: who may enter
    and open any room; nobody, until somebody says so. `is_elsewhere`: whether somebody at another
    server has this identity. `has_elsewhere`: whether anybody there is in this room.
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
        self._guests = GuestLists(log)
        self.is_operator: Callable[[Person], bool] = lambda person: False
        self.is_elsewhere: Callable[[str], bool] = lambda identity: False
        self.has_elsewhere: Callable[[str], bool] = lambda key: False

    async def load(self, is_held: Callable[[str], bool]) -> None:
        """Read what is kept, in place of what was known.

        `is_held`: whether somebody with an identity is expected back here. Where servers share the
        log, all stays that is kept: others may have what this one has no more.
        """
        rooms, used = await self._log.records(ROOM), await self._log.records(USED_ROOM)
        await self._guests.load()
        self._rooms.clear()
        for key, text in rooms.items():
            self._load(key, text, used.get(key))
        if not self._log.is_shared:
            await self._forget_past()
            for guest in self._guests.sessions():
                if not is_held(guest):
                    self._forget(guest)

    async def _forget_past(self) -> None:
        """Forget rooms that are open, where the log has nothing of what was said before that."""
        for key, room in list(self._rooms.items()):
            if not room.is_closed and not await self._log.read(key, 0, 1, room.open_after + 1):
                self._drop(key)

    def _load(self, key: str, text: str, used: str | None) -> None:
        try:
            self.take(key, text)
            self._take_earlier_guests(key, read_object(text))
        except ValueError:  # by the rules of this version it is no record
            self._log.keep(ROOM, key, None)
        with suppress(ValueError):
            self.take_use(key, used)

    def _take_earlier_guests(self, key: str, fields: dict[str, Any]) -> None:
        """Give the guests whom an earlier version kept with the room records of their own."""
        guests, visitors = fields.get("guests"), fields.get("visitors", ())
        if isinstance(guests, dict) and isinstance(visitors, (list, tuple)):
            for guest, after in guests.items():
                access = {"after": after, "is_visitor": guest in visitors}
                self._guests.add(key, guest, record_of(Access, access))
            self._keep(key)

    def _drop(self, key: str) -> None:
        self._guests.replace(key, {})
        del self._rooms[key]
        self._log.keep(ROOM, key, None)
        self._log.keep(USED_ROOM, key, None)

    # What other servers keep.

    def take(self, key: str, text: str | None) -> bool:
        """Note what a record says of a room; say whether it has been closed by that.

        Raises `ValueError` where it is none.
        """
        if text is None:
            self._rooms.pop(key, None)
            return False
        new, known = ClosedRoom.from_text(text), self._rooms.get(key)
        if known is not None and known.is_of_closing(new):  # whoever waits has it by its identity
            known.open_after, known.used_at = new.open_after, max(known.used_at, new.used_at)
            return False
        self._rooms[key] = new
        return new.is_closed

    def take_guest(self, key: str, text: str | None) -> str:
        """Note what a record says of a guest; return the room's key.

        Raises `ValueError` where it is none.
        """
        return self._guests.take(key, text)

    def take_use(self, key: str, text: str | None) -> None:
        """Note when a room was used at another server; raises `ValueError` where it is none."""
        room = self._rooms.get(key)
        if room is not None and text is not None:
            used_at = read_json(text)
            if not isinstance(used_at, (int, float)):
                raise ValueError(text)
            room.used_at = max(room.used_at, float(used_at))

    def take_in(self, key: str, inside: Iterable[Person]) -> None:
        """Let those be guests who were inside here when a room was closed at another server."""
        room = self._rooms[key]
        for person in inside:
            if not self.admits(key, person) and len(self._guests.of(key)) < MAX_GUESTS:
                guest = own_id(person) if person.owns_name else person.identity
                self._guests.add(key, guest, Access(room.open_after))

    # Who may enter, and hear what.

    def is_closed(self, key: str) -> bool:
        """Say whether a room is closed. One that nobody has used for long opens by that."""
        room = self._rooms.get(key)
        if room is None or not room.is_closed:
            return False
        is_unused = self._clock() - room.used_at > UNUSED_ROOM_SECONDS
        if is_unused and key not in self._inhabited and not self.has_elsewhere(key):
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
        return not self._guests.of(key).keys().isdisjoint(_ids_of(person))

    def closing(self, key: str) -> ClosedRoom | None:
        """Return a closed room as it is, another one each time it is closed; None: it is open."""
        return self._rooms[key] if self.is_closed(key) else None

    def is_owner(self, key: str, person: Person) -> bool:
        """Say whether the room is closed, and by this person."""
        return self.is_closed(key) and self._rooms[key].owner == own_id(person)

    def heard_after(self, key: str, person: Person | None) -> int:
        """Return after which id somebody may hear what was said in a room; 0: all of it."""
        return self._heard_after(key, _ids_of(person) if person is not None else ())

    def _heard_after(self, key: str, ids: Iterable[str]) -> int:
        room = self._rooms.get(key)
        if room is None:
            return 0
        guests = self._guests.of(key)
        if found := [guests[guest].after for guest in ids if guest in guests]:
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
        entered_id: int,
    ) -> list[Place]:
        """Return where somebody begins in rooms: as `Log.find_places`, with what they may hear.

        `entered_id`: since then the others see that they are there; who names no id that the log
        knows hears all that came after it, however little `count` is. Raises LOG_UNREADABLE.
        """
        places = await readable(self._log.find_places(wishes, generation, count))
        return [
            self._begin(key, person, place, entered_id, is_back=after is not None)
            for (key, after), place in zip(wishes, places, strict=True)
        ]

    def _begin(
        self, key: str, person: Person | None, place: Place, entered_id: int, is_back: bool
    ) -> Place:
        """Return where a reader begins who would begin at `place`; `is_back`: it names an id."""
        if not is_back or place.missing is Missing.REWOUND:
            place = place.no_later(entered_id)
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
        if not (room.has_others(person) or self.has_elsewhere(room.key)):
            room.founder = own_id(person)
        if self.is_closed(room.key):
            if not self.is_guest(room.key, person):
                access = Access(self._last_id(), is_visitor=True)
                self._guests.add(room.key, person.identity, access)
            self.note_use(room.key)

    def note_use(self, key: str) -> None:
        """Note that somebody is, or was, in a room."""
        room = self._rooms.get(key)
        if room is not None and self._clock() - room.used_at > USE_SECONDS:
            room.used_at = self._clock()
            self._log.keep(USED_ROOM, key, str(room.used_at))

    def close(
        self,
        key: str,
        owner: Person,
        inside: Collection[Person],
        elsewhere: Collection[str] = (),
    ) -> None:
        """Close a room, whose guests are those who are inside.

        `elsewhere`: those at other servers, as `own_id` has them. Raises TOO_MANY_CLOSED,
        TOO_MANY_GUESTS.
        """
        owner_id = own_id(owner)
        before = self._rooms.get(key)
        own = sum(room.owner == owner_id for room in self._rooms.values() if room is not before)
        if own >= MAX_CLOSED_ROOMS:
            raise ChatError("TOO_MANY_CLOSED")
        if len(inside) + len(elsewhere) > MAX_GUESTS:
            raise ChatError("TOO_MANY_GUESTS")
        after = {guest: self._heard_after(key, [guest]) for guest in elsewhere}
        after |= {own_id(person): self.heard_after(key, person) for person in inside}
        open_after = before.open_after if before is not None else 0
        # The guests come first: so nobody is ever found inside who is not known as one yet.
        self._guests.replace(key, {guest: Access(heard) for guest, heard in after.items()})
        self._rooms[key] = ClosedRoom(owner_id, open_after, self._last_id(), self._clock())
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
        guests = self._guests.of(key)
        if guest in guests:
            return False
        if len(guests) >= MAX_GUESTS:
            raise ChatError("TOO_MANY_GUESTS")
        self._guests.add(key, guest, Access(self._rooms[key].open_after))
        return True

    def uninvite(self, key: str, guests: Collection[str]) -> None:
        """Let guests of a closed room into it no more, if they were any."""
        self._guests.drop(key, guests)

    def forget_visitors(self, is_operator: Callable[[str], bool]) -> list[tuple[str, str]]:
        """Let into closed rooms no more who came in as an operator, and is none now.

        `is_operator`: of an identity. Return each, and the room's key. Who is at another server is
        left to that.
        """
        gone = [
            (visitor, key)
            for visitor, key in self._guests.visitors()
            if not (is_operator(visitor) or self.is_elsewhere(visitor))
        ]
        for visitor, key in gone:
            self.uninvite(key, {visitor})
        return gone

    def forget(self, person: Person) -> None:
        """Note that a session is over: whoever comes with it again was not invited.

        Unless it has gone on at another server.
        """
        self._forget(person.identity)

    def _forget(self, identity: str) -> None:
        rooms = self._guests.rooms_of(identity)
        if rooms and not self.is_elsewhere(identity):
            for key in rooms:
                self._guests.drop(key, {identity})

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
