"""When the write-ahead log is emptied into the file. Runs in the group commit's thread.

SQLite does so by itself, but can begin the WAL anew only in a moment in which nobody reads; where
somebody always does, the WAL would grow for ever, and it never becomes smaller again
(sqlite.org/wal.html, "Avoiding Excessively Large WAL Files").
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time

from chat.server.log.connections import MAX_WAL_BYTES

# What the WAL may grow to before it is emptied.
LARGE_WAL_BYTES = 2 * MAX_WAL_BYTES
# When nothing was written for so long it is emptied as well: `chat.db` alone is the log then.
IDLE_SECONDS = 30.0
# How soon it is tried again where another program reads on and on.
TRY_AGAIN_SECONDS = 10.0


class Checkpoints:
    """Empties the WAL of `path` when it is large, or when nothing is written.

    `read_lock` is held by whoever reads in this program, for the length of a page.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: str, read_lock: threading.Lock
    ) -> None:
        self._connection = connection
        self._wal = f"{path}-wal"
        self._read_lock = read_lock
        self._written_at = time.monotonic()
        self._next_at = 0.0

    def note_commit(self) -> None:
        """Something was written: empty the WAL if that made it large."""
        self._written_at = time.monotonic()
        if self._written_at >= self._next_at and self._size() > LARGE_WAL_BYTES:
            self.empty()

    def note_pause(self) -> None:
        """Nothing is being written: empty the WAL if that has been so for a while."""
        now = time.monotonic()
        is_idle = now - self._written_at >= IDLE_SECONDS
        if is_idle and now >= self._next_at and self._size():
            self.empty()

    def empty(self) -> bool:
        """Write the WAL's content into the file; say whether all of it could be, and it is empty.

        It cannot while another program reads an older state. Raises `sqlite3.Error`.
        """
        self._next_at = time.monotonic() + TRY_AGAIN_SECONDS
        with self._read_lock:
            row = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        is_blocked = bool(row[0])
        if not is_blocked:
            self._next_at = 0.0
        return not is_blocked

    def _size(self) -> int:
        try:
            return os.stat(self._wal).st_size
        except OSError:
            return 0
