"""Where one user left off, kept from one run to the next: one small file for each name.

In the user's state folder, beside the sessions (`identity.py`). Each write takes in what other
clients of the user have written, with a lock that is held for that moment, and puts the file in its
place whole. What it holds may be behind what was seen, never ahead of it. Where there is no folder
to write to, every run is the first one. Knows no gRPC.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

from chat.cli import secret_files
from chat.cli.locked_files import locked
from chat.cli.regular_files import read_regular
from chat.client.bookmarks import MAX_BYTES, Bookmarks, LogMarks, Mark
from chat.client.cursor import Place
from chat.client.identity import file_name
from chat.protocol.names import name_key

PREFIX = "left-"
LOCK_FILE = "left.lock"
# How long another client may hold the lock, which it does for a write of a small file.
LOCK_SECONDS = 0.5


class LeftOff:
    """The marks of `name`, and which of them are for the server at `address`.

    Any thread may call anything. `_lock` guards every attribute and is never held for long;
    `_saving` is held while the file is written.
    """

    def __init__(self, address: str, name: str, folder: Path | None) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._folder = folder
        self._name_key = name_key(name)
        self._known = read_bookmarks(self._path)
        self._place: Place | None = None  # the last one that was noted
        self._at = 0.0
        self._is_saved = True
        self._is_rewound = False

    @property
    def _path(self) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / file_name(PREFIX, self._name_key, ".json")

    def place(self, own: Place) -> Place:
        """Return where a session begins; `own`: what is known of it otherwise."""
        with self._lock:
            return self._known.place_at(self._address, own)

    def marks(self, epoch: str) -> dict[str, Mark]:
        """Return the marks that earlier runs made in a log, by the key of the room."""
        with self._lock:
            return dict(self._known.logs.get(epoch, LogMarks()).rooms)

    def last_rooms(self, epoch: str) -> list[str]:
        """Return the rooms of a log in which the last run was when it ended; not the common one."""
        with self._lock:
            return list(self._known.logs.get(epoch, LogMarks()).last)

    def rewind(self) -> None:
        """Note that ids from before mean nothing: no mark is kept but those that are made now."""
        with self._lock:
            self._is_rewound = True
            self._place = None
            self._is_saved = True

    def note(self, place: Place) -> None:
        """Note that everything before `place` was seen by the user."""
        if place.epoch:
            with self._lock:
                self._place, self._at, self._is_saved = place, time.time(), False

    def stay(self) -> None:
        """Note that the user is still there, and has seen all there is."""
        with self._lock:
            self._at, self._is_saved = time.time(), False

    def rename(self, name: str) -> None:
        """Go on under another name; where the old one left off is kept as well."""
        self.save()
        with self._lock:
            self._name_key = name_key(name)

    def save(self) -> None:
        """Write what was noted since the last time, if anything was. Blocks for a moment."""
        with self._saving:
            with self._lock:
                place, path, at = self._place, self._path, self._at
                if self._is_saved or place is None or path is None:
                    return
                is_rewound, self._is_rewound, self._is_saved = self._is_rewound, False, True
            # Where somebody holds the lock for long, one mark too old is the worst that can be.
            with locked(path.with_name(LOCK_FILE), LOCK_SECONDS), suppress(OSError):
                kept = read_bookmarks(path)
                log = kept.meet(self._address, place.epoch)
                if is_rewound:
                    log.rooms.clear()
                kept.note(place, at)
                secret_files.replace(path, kept.to_bytes())


def read_bookmarks(path: Path | None) -> Bookmarks:
    """Return what a file holds: nothing where there is none, or it cannot be read."""
    if path is not None:
        with suppress(OSError):
            return Bookmarks.from_bytes(read_regular(path, MAX_BYTES))
    return Bookmarks()


def forget(folder: Path, address: str, name: str | None) -> bool:
    """Forget where `name` (None: everybody) left off on a server; say whether there was anything.

    Raises `OSError` where that cannot be.
    """
    pattern = file_name(PREFIX, name_key(name), ".json") if name is not None else f"{PREFIX}*.json"
    is_known = False
    with locked(folder / LOCK_FILE, LOCK_SECONDS):
        for path in sorted(folder.glob(pattern)):
            kept = read_bookmarks(path)
            if kept.forget(address):
                is_known = True
                secret_files.replace(path, kept.to_bytes())
    return is_known
