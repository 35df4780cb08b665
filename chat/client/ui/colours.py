"""The colours of names: one of its own for each person who is here, as long as there are enough.

Knows no terminal. Any thread may call.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable
from functools import lru_cache

from chat.protocol.names import name_key

# Of the 256-colour palette those with a contrast of 4 or more to black and to white (WCAG 2).
NAME_COLOURS = (
    "#af5f5f",
    "#af5f00",
    "#5f8700",
    "#008700",
    "#00875f",
    "#008787",
    "#0087af",
    "#5f5fff",
    "#875fd7",
    "#af00ff",
    "#af5faf",
    "#d700d7",
    "#d700af",
    "#d7005f",
)


class NameColours:
    """Which colour each name has: its first choice, unless somebody else who is here has that.

    The first choice goes by the name, and is the same everywhere and for ever. Who is here keeps a
    colour; who is not has the first choice. `_lock` guards `_places`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, int] = {}  # of who is here, by key

    def style(self, name: str) -> str:
        """Return the style of a name."""
        key = name_key(name)
        with self._lock:
            place = self._places.get(key)
        return f"bold {NAME_COLOURS[_first_choice(key) if place is None else place]}"

    def set_present(self, names: Iterable[str]) -> None:
        """Take note of who is here; of more people than colours the last ones share them."""
        keys = dict.fromkeys(map(name_key, names))
        with self._lock:
            self._places = {key: place for key, place in self._places.items() if key in keys}
            new = [key for key in keys if key not in self._places]
            for key in new:  # first choices before others
                if _first_choice(key) not in self._places.values():
                    self._places[key] = _first_choice(key)
            rest = [key for key in new if key not in self._places]
            free = set(range(len(NAME_COLOURS))).difference(self._places.values())
            self._places |= dict(zip(rest, sorted(free), strict=False))


@lru_cache(maxsize=4096)
def _first_choice(key: str) -> int:
    return zlib.crc32(key.encode()) % len(NAME_COLOURS)


# There is one screen.
colours = NameColours()
