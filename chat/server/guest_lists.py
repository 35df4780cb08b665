"""The guests of rooms that are closed, or were: a record of each, so that servers can share them.

What two servers write at the same time about different guests does not come between each other.
Knows no streams and no rooms' rules; everything runs in the event loop.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from chat.server.log.base import Log
from chat.server.plain_json import read_object, record_of
from chat.server.records import GUEST
from chat.server.room import INBOX_MARK


@dataclass(frozen=True)
class Access:
    """After which id a guest may hear what was said in a room.

    `is_visitor`: was not invited, but came in as an operator.
    """

    after: int
    is_visitor: bool = False

    @classmethod
    def from_text(cls, text: str) -> Access:
        """Read it out of a record; raises `ValueError` where it is none."""
        return record_of(cls, read_object(text))


class GuestLists:
    """The guests of each room, by its key; each guest as `closed_rooms.own_id` has it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._of_room: dict[str, dict[str, Access]] = {}
        self._of_session: dict[str, set[str]] = {}  # rooms whose guest an identity is

    async def load(self) -> None:
        """Read what is kept, in place of what was known."""
        records = await self._log.records(GUEST)
        self._of_room.clear()
        self._of_session.clear()
        for key, text in records.items():
            try:
                self.take(key, text)
            except ValueError:  # by the rules of this version it is none
                self._log.keep(GUEST, key, None)

    def take(self, key: str, text: str | None) -> str:
        """Note what a record says; return the room's key. Raises `ValueError` where it is none."""
        room, _line, guest = key.partition("\n")  # of which no room's key has one
        if text is None:
            self._forget(room, guest)
        else:
            self._note(room, guest, Access.from_text(text))
        return room

    def of(self, room: str) -> Mapping[str, Access]:
        """Return the guests of a room."""
        return self._of_room.get(room, {})

    def rooms_of(self, identity: str) -> list[str]:
        """Return the rooms whose guest a session is, not by a key that it has proved."""
        return sorted(self._of_session.get(identity, ()))

    def sessions(self) -> list[str]:
        """Return the identities of all sessions that are somewhere a guest."""
        return list(self._of_session)

    def visitors(self) -> Iterator[tuple[str, str]]:
        """Yield each who came in as an operator: who that is, and the room's key."""
        for room, guests in self._of_room.items():
            for guest, access in guests.items():
                if access.is_visitor:
                    yield guest, room

    def replace(self, room: str, guests: Mapping[str, Access]) -> None:
        """Let these be the guests of a room, and no others."""
        self.drop(room, set(self.of(room)) - set(guests))
        for guest, access in guests.items():
            self.add(room, guest, access)

    def add(self, room: str, guest: str, access: Access) -> None:
        """Let somebody be a guest of a room."""
        self._note(room, guest, access)
        self._log.keep(GUEST, f"{room}\n{guest}", json.dumps(asdict(access)))

    def drop(self, room: str, guests: Iterable[str]) -> None:
        """Let these be guests of a room no more, if they were any."""
        for guest in guests:
            if guest in self.of(room):
                self._forget(room, guest)
                self._log.keep(GUEST, f"{room}\n{guest}", None)

    def _note(self, room: str, guest: str, access: Access) -> None:
        self._of_room.setdefault(room, {})[guest] = access
        if _is_identity(guest):
            self._of_session.setdefault(guest, set()).add(room)

    def _forget(self, room: str, guest: str) -> None:
        guests = self._of_room.get(room, {})
        guests.pop(guest, None)
        if not guests:
            self._of_room.pop(room, None)
        rooms = self._of_session.get(guest, set())
        rooms.discard(room)
        if not rooms:
            self._of_session.pop(guest, None)


def _is_identity(guest: str) -> bool:
    return guest.startswith(INBOX_MARK)
