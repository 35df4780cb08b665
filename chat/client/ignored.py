"""Who is ignored on a server, kept over runs: one small file for each server.

Where there is no folder to write to, it is remembered for the run. Knows no gRPC.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from chat.cli import secret_files
from chat.cli.regular_files import read_regular
from chat.client.identity import file_name
from chat.client.ui.render import shown_name
from chat.protocol.limits import MAX_RAW_NAME_CHARACTERS
from chat.protocol.names import name_key

# Of more the oldest are forgotten.
MAX_IGNORED = 500
MAX_FILE_BYTES = 1 << 20


class Ignored:
    """The names that are ignored on the server at `address`; without one, for this run.

    Who takes another name is ignored under that for this run only: else whoever is ignored by many
    could have them ignore somebody else for good. Another client of this user may change the file
    meanwhile: each change is made in what it holds by then. `is_kept`: False where what the file
    holds counts, and no change is written. `_lock` guards the rest: any thread may call anything.
    """

    def __init__(
        self, address: str = "", folder: Path | None = None, *, is_kept: bool = True
    ) -> None:
        self._is_kept = is_kept
        self._lock = threading.Lock()
        self._path: Path | None = None
        if address and folder is not None:
            self._path = folder / file_name("ignored-", address, ".json")
        self._names = self._read()  # as shown, by key
        self._kept_as: dict[str, str] = {}  # the keys in the file of those who are called otherwise
        self._renamed: dict[str, str] = {}  # the keys that they had in this run: what they have now

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
            kept = self._read()
            is_ignored = key not in self._names
            if is_ignored:
                self._names[key] = kept[key] = shown_name(name)
                self._bound(self._names)
                self._bound(kept)
            else:
                del self._names[key]
                kept.pop(self._kept_as.pop(key, key), None)
            self._write(kept)
            return is_ignored

    def now_called(self, name: str) -> str | None:
        """Return what an ignored one is called now who had this name in this run; else None."""
        with self._lock:
            return self._names.get(self._renamed.get(name_key(name), ""))

    def rename(self, old: str, new: str) -> None:
        """Whoever is ignored is called otherwise now, and is so still."""
        before, after = name_key(old), name_key(new)
        with self._lock:
            if before in self._names and before != after:
                del self._names[before]
                self._names[after] = shown_name(new)
                self._kept_as[after] = self._kept_as.pop(before, before)
                self._follow(before, after)

    def _follow(self, before: str, after: str) -> None:
        """Know somebody by the name of before too, and by those from which that was taken."""
        for old, new in self._renamed.items():
            if new == before:
                self._renamed[old] = after
        self._renamed[before] = after
        self._renamed.pop(after, None)
        self._bound(self._renamed)

    @staticmethod
    def _bound(names: dict[str, str]) -> None:
        if len(names) > MAX_IGNORED:
            del names[next(iter(names))]

    def _read(self) -> dict[str, str]:
        """Return what the file holds: nothing where there is none, or what makes no sense."""
        if self._path is None:
            return {}
        with suppress(OSError, ValueError, RecursionError):
            names = json.loads(read_regular(self._path, MAX_FILE_BYTES))
            if isinstance(names, list) and all(map(_is_name, names)):
                return {name_key(name): shown_name(name) for name in names[-MAX_IGNORED:]}
        return {}

    def _write(self, names: dict[str, str]) -> None:
        """Replace the file, so that it is never half of two; it is its owner's alone."""
        if self._path is None or not self._is_kept:
            return
        with suppress(OSError):
            secret_files.replace(self._path, json.dumps(list(names.values())).encode("ascii"))


class SharedIgnored(Ignored):
    """The names that are ignored on any of several servers, which are one chat: see `Ignored`."""

    def __init__(
        self, addresses: Sequence[str], folder: Path | None = None, *, is_kept: bool = True
    ) -> None:
        super().__init__()
        self._each = [Ignored(address, folder, is_kept=is_kept) for address in addresses]

    @property
    def names(self) -> list[str]:
        """The names, as they are shown, sorted."""
        names = {name_key(name): name for each in self._each for name in each.names}
        return sorted(names.values(), key=str.casefold)

    def __contains__(self, name: str) -> bool:
        return any(name in each for each in self._each)

    def toggle(self, name: str) -> bool:
        """Ignore a name, or no longer; say whether it is ignored now."""
        is_ignored = name not in self
        for each in self._each:
            if (name in each) != is_ignored:
                each.toggle(name)
        return is_ignored

    def now_called(self, name: str) -> str | None:
        """Return what an ignored one is called now who had this name in this run; else None."""
        return next((called for each in self._each if (called := each.now_called(name))), None)

    def rename(self, old: str, new: str) -> None:
        """Whoever is ignored is called otherwise now, and is so still."""
        for each in self._each:
            each.rename(old, new)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_RAW_NAME_CHARACTERS
