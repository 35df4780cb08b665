"""The trail of what operators do, and of what others try: one line of JSON each, in a file.

Knows nothing of what a record says. `note` is called in the event loop; a thread of its own writes,
so that a disk that does not answer holds up nobody.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
from typing import Any

from chat.cli.i18n import _
from chat.cli.system_errors import words_of
from chat.protocol.errors import UsageError

# Records that may wait for the disk; more are left out, and that is said.
MAX_WAITING = 1000
CLOSE_SECONDS = 1.0
MODE = 0o600

_log = logging.getLogger(__name__)


class Trail:
    """The file at `path`, which is appended to; made with mode 0600 where there is none.

    When it was moved away or removed (logrotate), the next record begins a new one. What cannot be
    written is said on standard error, and the chat goes on. Raises `UsageError` where the file
    cannot be opened at first. `_file` and `_has_failed` belong to the thread.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._has_failed = False
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(MAX_WAITING)
        try:
            self._file: int | None = _open(path)
        except (OSError, ValueError) as error:
            text = _("{path} cannot be written ({error}). Give the path of a file that can.")
            raise UsageError(text.format(path=path, error=words_of(error))) from error
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def note(self, record: dict[str, Any]) -> None:
        """Append a record, soon. Never blocks."""
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            _log.error("the audit file takes nothing: a record was left out")

    def close(self) -> None:
        """Write what waits, for a second at the most."""
        try:
            self._waiting.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while (record := self._waiting.get()) is not None:
            try:
                self._write(json.dumps(record) + "\n")
            except OSError as error:
                self._tell_failure(error)
            else:
                self._has_failed = False
        self._close()

    def _write(self, line: str) -> None:
        """Append one line; by one call, so that it is never half of two."""
        if self._file is None or _was_moved(self._file, self._path):
            self._close()
            self._file = _open(self._path)
        raw = line.encode()
        written = os.write(self._file, raw)
        if written < len(raw):  # the disk is full: what comes later begins a line of its own
            os.write(self._file, b"\n")
            raise OSError(0, "the disk is full")

    def _tell_failure(self, error: OSError) -> None:
        """Say it once, until it works again."""
        self._close()
        if not self._has_failed:
            _log.error("the audit file cannot be written: %s", error.strerror)
        self._has_failed = True

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _open(path: str) -> int:
    """Open it to append to; never waits, where it is a pipe that nobody reads (open(2), ENXIO)."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, MODE)


def _was_moved(file: int, path: str) -> bool:
    """Say whether the path leads elsewhere than to the open file."""
    try:
        return not os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return True
