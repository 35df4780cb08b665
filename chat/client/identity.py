"""Who somebody is for a server, kept over restarts: the session, and what of its inbox was seen.

One small file for each server and name, in the user's state folder. A client that was killed and is
started again is the same session, so that it has its name, which is held for it, and its inbox back
at once. The file is locked while it is in use: of two clients with one name at a time the second is
another session, and the server tells it that the name is taken.

Where there is no folder to write to, everything works but that. Knows no gRPC.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from chat.cli.folders import state_folder
from chat.cli.locked_files import open_locked
from chat.client.cursor import Place
from chat.protocol.metadata import MAX_ID, is_word
from chat.protocol.names import name_key

# The file has always this size, so that it is written by one call, and is never half of two.
FILE_BYTES = 512
_SESSION = re.compile("[0-9a-f]{32}")


class Identity:
    """The session of `name` with the server at `address` (`HOST:PORT`), and its place in the log.

    `session`: 32 hex digits. `place`: of an earlier run, rooms left out; None where there was none.
    `is_kept`: False for a session of this run alone, of which nothing is read or written. `_lock`
    guards the rest: any thread may call anything.
    """

    def __init__(
        self, address: str, name: str, folder: Path | None = None, *, is_kept: bool = True
    ) -> None:
        self._address = address
        self._folder = (folder or state_folder()) if is_kept else None  # None: there is none
        self._lock = threading.Lock()
        self._name_key = name_key(name)
        self._file = self._open()
        self.session, self.place = _read(self._file)
        self._kept = self.place or Place()  # but for its rooms
        self._write()

    def _open(self) -> int | None:
        if self._folder is None:
            return None
        owner = f"{self._address}\n{self._name_key}"
        return open_locked(self._folder / file_name("", owner, ".json"))

    def save(self, place: Place) -> None:
        """Keep how far the inbox was seen: by the user, not only by the session."""
        with self._lock:
            self._keep(place)

    def meet(self, place: Place) -> None:
        """Keep which opening of which log this is; `place`: where the session is in it.

        What came and was not seen yet still counts as that; but where the session is before what
        was seen, in another log or one that was put back, the user is too.
        """
        with self._lock:
            self._keep(replace(place, inbox=min(place.inbox, self._kept.inbox)))

    def _keep(self, place: Place) -> None:
        kept = Place({}, place.inbox, place.epoch, place.generation)
        if kept != self._kept:
            self._kept = kept
            self._write()

    def follow(self, name: str) -> None:
        """Keep the session under another name; whoever takes the old one is somebody else."""
        with self._lock:
            if name_key(name) == self._name_key:
                return
            self._forget()
            self._name_key = name_key(name)
            self._file = self._open()
            self._write()

    def close(self) -> None:
        """Let another client have the file."""
        with self._lock:
            self._close()

    def _forget(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.lseek(self._file, 0, os.SEEK_SET)
                os.write(self._file, b" " * FILE_BYTES)
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self) -> None:
        if self._file is None:
            return
        place = self._kept
        fields = {
            "session": self.session,
            "inbox": place.inbox,
            "epoch": place.epoch,
            "generation": place.generation,
        }
        content = json.dumps(fields).encode().ljust(FILE_BYTES)
        if len(content) == FILE_BYTES:  # a server's word may be of any length
            with suppress(OSError):
                os.lseek(self._file, 0, os.SEEK_SET)
                os.write(self._file, content)


def file_name(prefix: str, text: str, suffix: str) -> str:
    """Return the name of the file of something whose own name, `text`, no file may have."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return f"{prefix}{digest[:32]}{suffix}"


def _read(file: int | None) -> tuple[str, Place | None]:
    """Return the session and the place that a file holds; a new session where it holds none."""
    if file is not None:
        with suppress(OSError, ValueError, TypeError, KeyError):
            os.lseek(file, 0, os.SEEK_SET)
            fields = json.loads(os.read(file, FILE_BYTES))
            session, inbox = fields["session"], fields["inbox"]
            words = fields["epoch"], fields["generation"]
            # Else each stream would fail on it, at every start.
            is_sendable = _is_id(inbox) and all(isinstance(w, str) and is_word(w) for w in words)
            if is_sendable and _SESSION.fullmatch(session):
                return session, Place({}, inbox, *words)
    return secrets.token_hex(16), None


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ID
