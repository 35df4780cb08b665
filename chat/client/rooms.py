"""The rooms that the user is in: which one is spoken in, and how much was said in the others."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from chat.cli.i18n import _
from chat.protocol.names import COMMON_ROOM, check_room, name_key

# What people may type for the common room; no room of that name can be entered.
COMMON_WORDS = frozenset({"comum", "common"})

# So many rooms that were told of can be completed by Tab; a server may name as many as it likes.
MAX_KNOWN_ROOMS = 1000


def typed_room(text: str) -> str:
    """Return the room that is meant by a typed word, with or without `#`; raises ROOM_INVALID."""
    room = check_room(text.strip().removeprefix("#").strip())
    is_common = name_key(room) in COMMON_WORDS or name_key(room) == name_key(_("common"))
    return COMMON_ROOM if is_common else room


class Rooms:
    """The rooms as the screen says them, which is where what is typed goes.

    A room is named as it was typed, and is the same by `name_key`. A wish to enter is known by its
    key until it is answered: the user speaks there at once, and is back where they were if it is
    refused.

    `_lock` guards every attribute: the main thread goes from room to room, the receive thread
    counts what is said and takes the answers.
    """

    def __init__(self, rooms: Sequence[str]) -> None:
        self._lock = threading.Lock()
        # The one spoken in last comes last.
        self._names = {name_key(room): room for room in rooms}
        self._current = name_key(rooms[0])
        self._unread: dict[str, int] = {}
        self._entering: dict[str, str] = {}  # rooms by the key of the wish
        self._known = {key: name for key, name in self._names.items() if key}

    # Looking.

    @property
    def current(self) -> str:
        """The room spoken in."""
        with self._lock:
            return self._names[self._current]

    @property
    def known(self) -> list[str]:
        """The rooms that were visited or told of, without the common one."""
        with self._lock:
            return list(self._known.values())

    @property
    def unread(self) -> list[tuple[str, int]]:
        """The other rooms in which something was said, and how many messages."""
        with self._lock:
            return [(self._names[key], count) for key, count in sorted(self._unread.items())]

    @property
    def is_entering(self) -> bool:
        """Whether the server has still to say that the user is in the room spoken in."""
        with self._lock:
            return self._current in self._entering.values()

    def is_current(self, room: str) -> bool:
        """Say whether `room` is the one spoken in."""
        with self._lock:
            return name_key(room) == self._current

    def __contains__(self, room: str) -> bool:
        with self._lock:
            return name_key(room) in self._names

    # Going from one to the other.

    def go_to(self, room: str) -> None:
        """Speak in `room` from now on, which the user is in."""
        with self._lock:
            self._go_to(name_key(room))

    def _go_to(self, key: str) -> None:
        self._current = key
        self._names[key] = self._names.pop(key)
        self._unread.pop(key, None)

    def enter(self, room: str, wish: str) -> None:
        """Speak in `room`, which is being entered by the wish with this key."""
        key = name_key(room)
        with self._lock:
            self._names[key] = room
            self._entering[wish] = key
            self._go_to(key)
            if key:
                self._known[key] = room

    def add(self, room: str) -> None:
        """Be in `room` too, and speak where one does."""
        with self._lock:
            self._names = {name_key(room): room} | self._names

    def take_entry(self, wish: str) -> str | None:
        """Return the room that is entered by now; None where this was no wish to enter."""
        with self._lock:
            key = self._entering.pop(wish, None)
            return None if key is None else self._names.get(key)

    def refuse_entry(self, wish: str) -> bool:
        """Take back the wish to enter with this key; say whether another room is spoken in now."""
        with self._lock:
            key = self._entering.pop(wish, None)
            return key is not None and self._leave(key)

    def leave(self, room: str) -> bool:
        """Be no longer in `room`; say whether another one is spoken in by that.

        It is the one that was spoken in before. The only room is not left.
        """
        with self._lock:
            return self._leave(name_key(room))

    def _leave(self, key: str) -> bool:
        if key not in self._names or len(self._names) == 1:
            return False
        del self._names[key]
        self._unread.pop(key, None)
        if key != self._current:
            return False
        self._go_to(next(reversed(self._names)))
        return True

    # What comes in.

    def count_unread(self, room: str) -> None:
        """Note that something was said in `room`, unless it is spoken in."""
        key = name_key(room)
        with self._lock:
            if key in self._names and key != self._current:
                self._unread[key] = self._unread.get(key, 0) + 1

    def tell_of(self, rooms: Iterable[str]) -> None:
        """Note that there are these rooms."""
        with self._lock:
            for room in rooms:
                if room and len(self._known) < MAX_KNOWN_ROOMS:
                    self._known.setdefault(name_key(room), room)
