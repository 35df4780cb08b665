"""Who is ignored on a server, kept over runs: one small file for each server.

Where there is no folder to write to, it is remembered for the run. Knows no gRPC.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from contextlib import suppress
from pathlib import Path

from chat.client.ui.render import shown_name
from chat.protocol.limits import MAX_RAW_NAME_CHARACTERS
from chat.protocol.names import name_key

# Of more the oldest are forgotten.
MAX_IGNORED = 500
MAX_FILE_BYTES = 1 << 20


class Ignored:
    """The names that are ignored on the server at `address`; without one, for this run.

    Another client of this user may change the file meanwhile: each change is made in what it holds
    by then. `_lock` guards the rest: any thread may call anything.
    """

    def __init__(self, address: str = "", folder: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        if address and folder is not None:
            digest = hashlib.sha256(address.encode()).hexdigest()[:32]
            self._path = folder / f"ignored-{digest}.json"
        self._names: dict[str, str] = self._read() or {}  # as shown, by key

    @property
    def names(self) -> list[str]:
        """The names, as they are shown, sorted."""
        with self._lock:
            return sorted(self._names.values(), key=str.casefold)

    def __contains__(self, name: str) -> bool:
        with self._lock:
            return bool(self._names) and name_key(name) in self._names

    def toggle(self, name: str) -> bool:
        """Ignore a name, or no longer; say whether it is ignored now."""
        key = name_key(name)
        with self._lock:
            is_new = key not in self._names
            self._refresh()
            self._names.pop(key, None)
            if is_new:
                self._add(key, name)
            self._write()
            return is_new

    def rename(self, old: str, new: str) -> None:
        """Whoever is ignored is called otherwise now, and is so still."""
        with self._lock:
            if name_key(old) not in self._names:
                return
            self._refresh()
            self._names.pop(name_key(old), None)
            self._add(name_key(new), new)
            self._write()

    def _add(self, key: str, name: str) -> None:
        self._names[key] = shown_name(name)
        if len(self._names) > MAX_IGNORED:
            del self._names[next(iter(self._names))]

    def _refresh(self) -> None:
        found = self._read()
        if found is not None:
            self._names = found

    def _read(self) -> dict[str, str] | None:
        """Return what the file holds; None where there is none, or nothing that makes sense."""
        if self._path is None:
            return None
        with suppress(OSError, ValueError, RecursionError):
            with self._path.open("rb") as file:
                names = json.loads(file.read(MAX_FILE_BYTES))
            if isinstance(names, list) and all(map(_is_name, names)):
                return {name_key(name): shown_name(name) for name in names[-MAX_IGNORED:]}
        return None

    def _write(self) -> None:
        """Replace the file, so that it is never half of two; it is its owner's alone."""
        if self._path is None:
            return
        new = self._path.with_suffix(f".{os.getpid()}.new")
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with open(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
                json.dump(list(self._names.values()), file)
            os.replace(new, self._path)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_RAW_NAME_CHARACTERS
