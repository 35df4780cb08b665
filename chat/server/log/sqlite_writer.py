"""What is written into the log in SQLite. Everything runs in the group commit's thread."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from chat.server.log.base import Entry, LogError
from chat.server.log.checkpoints import Checkpoints
from chat.server.log.connections import is_busy, log_error
from chat.server.log.files import LogFile
from chat.server.log.log_clock import DAY, Clocks, LogClock
from chat.server.log.maintenance import save_beside
from chat.server.log.migrations import end_opening, keep_opening
from chat.server.log.rows import BY_KEY, message_of, stamp
from chat.server.log.writer_thread import Group, Notes

_Item = TypeVar("_Item")

TRIM_INTERVAL_SECONDS = 3600.0
# Rows that one transaction of the trimming removes: a commit never waits long for it.
TRIM_ROWS = 1000
# How long a transaction waits for another program that writes, such as the sqlite3 shell.
BUSY_SECONDS = 5.0
# How often it is seen to that the file still is where it was.
WATCH_SECONDS = 2.0
# So many messages are one statement, as far as there are so many. Each statement lets go of
# Python's lock and, while the event loop is busy, waits up to 5 ms for it again.
ROWS_OF_A_STATEMENT = (64, 8, 1)
COLUMNS = "sent_at, room, user, message, sender, key, kind, addressee, sealed"
INSERT = """
INSERT INTO message ({columns}) VALUES {rows}
ON CONFLICT (sender, key) WHERE key IS NOT NULL DO NOTHING
"""


def inserts(columns: str) -> dict[int, str]:
    """Return, for each of `ROWS_OF_A_STATEMENT`, the statement that inserts so many messages."""
    row = f"({', '.join('?' * len(columns.split(', ')))})"
    return {
        count: INSERT.format(columns=columns, rows=", ".join([row] * count))
        for count in ROWS_OF_A_STATEMENT
    }


INSERTS = inserts(COLUMNS)
NEWEST = "SELECT id FROM (SELECT id FROM message ORDER BY id DESC LIMIT ?) ORDER BY id"


class SqliteWriter:
    """The connection that writes, and the time of what it writes.

    `lock` is held while the connection is in use: in memory the reader shares it. `file` and
    `checkpoints`: None in memory. All methods raise `LogError`.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: threading.Lock,
        path: str,
        file: LogFile | None,
        checkpoints: Checkpoints | None,
        retain_days: float,
        clocks: Clocks,
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._path = path
        self._file = file
        self._checkpoints = checkpoints
        self._retain_microseconds = int(retain_days * DAY)
        newest = "SELECT sent_at FROM message ORDER BY id DESC LIMIT 1"
        self._clock = LogClock((connection.execute(newest).fetchone() or (0,))[0], clocks)
        self._trim_at = time.monotonic()
        self.is_saving = False  # what a removed file held; any thread may look
        self._give_up_at = float("inf")  # of the monotonic clock; set in the event loop

    def hurry(self, seconds: float) -> None:
        """Wait for other programs so long at the most, from now on. In any thread."""
        self._give_up_at = time.monotonic() + seconds

    def commit(self, group: Group) -> None:
        """Insert the group in one transaction; raises where none of it was written.

        Of an empty one only so much is written that it is known whether writing works.
        """
        self.check_file()
        with self._transaction():
            self._write(group)
        if self._checkpoints is not None:
            with self._lock, suppress(sqlite3.Error):  # the group is committed all the same
                self._checkpoints.note_commit()

    def _write(self, group: Group) -> None:
        """Write what a group holds, within the transaction."""
        sent_at = self._clock.stamp()
        for entries in portions(group.entries):
            self._insert(entries, sent_at)
        self._write_notes(group.notes)
        if group.is_empty:
            keep_opening(self._connection)

    def check_file(self) -> None:
        """Raise where the file is no longer in its place: what is written now would be lost."""
        if self._file is not None:
            self._file.check()

    def tidy(self) -> float:
        """Trim, if it is time; return after how many seconds there is more to do."""
        self.check_file()
        if time.monotonic() < self._trim_at:
            self._checkpoint_if_idle()
            return WATCH_SECONDS
        # First, so that a trimming that fails does not come between all the next groups.
        self._trim_at = time.monotonic() + TRIM_INTERVAL_SECONDS
        if not self._trim():
            return WATCH_SECONDS
        self._trim_at = time.monotonic()
        return 0.0

    def _checkpoint_if_idle(self) -> None:
        if self._checkpoints is not None:
            with self._lock, suppress(sqlite3.Error):  # it is tried again
                self._checkpoints.note_pause()

    def _trim(self) -> bool:
        """Remove one portion of what is older than is kept; say whether there is more.

        Where each room begins now is noted.
        """
        if not self._retain_microseconds:
            return False
        before = self._clock.now_for_trimming() - self._retain_microseconds
        # The ids are in the order of time: no other row can be older than these.
        query = "SELECT id, room, sent_at FROM message ORDER BY id LIMIT ?"
        with self._transaction():
            rows = self._connection.execute(query, (TRIM_ROWS,)).fetchall()
            old = [(room, row_id) for row_id, room, sent_at in rows if sent_at < before]
            if old:
                self._connection.execute("DELETE FROM message WHERE id <= ?", (old[-1][1],))
                self._connection.executemany("INSERT OR REPLACE INTO trimmed VALUES (?, ?)", old)
        return len(old) == TRIM_ROWS

    def finish(self) -> None:
        """Leave a file that is whole by itself; where it is gone, save what it held, and say so."""
        if self._file is None:
            return
        try:
            self._file.check()
        except LogError as error:
            raise self._save(self._file, error) from error
        # Where this cannot be, nothing is lost: the next opening reads the WAL, checks the file.
        with suppress(LogError):
            with self._transaction():
                end_opening(self._connection)
            self._empty_wal()

    def _save(self, file: LogFile, error: LogError) -> LogError:
        """Save what the log holds; return what is to be said. `error`: what became of the file.

        Where it is still there, and only what was beside it is not, it is made whole as well.
        """
        self.is_saving = True
        saved = save_beside(self._connection, file.real_path, error)
        if file.can_be_completed():
            self._empty_wal()
        file.remove_companions()
        self.is_saving = False
        return saved

    def _empty_wal(self) -> None:
        if self._checkpoints is not None:
            with self._lock, suppress(sqlite3.Error):
                self._checkpoints.empty()

    def _insert(self, entries: Sequence[Entry], sent_at: int) -> None:
        """Insert as many messages as one statement takes."""
        values: list[object] = []
        for entry in entries:
            values += values_of(entry, sent_at)
        cursor = self._connection.execute(INSERTS[len(entries)], values)
        if cursor.rowcount < len(entries):
            self._tell_apart(entries, cursor.rowcount, sent_at)
            return
        first_id = int(cursor.lastrowid or 0) - len(entries) + 1
        for message_id, entry in enumerate(entries, first_id):
            stamp(entry.message, message_id, sent_at)

    def _tell_apart(self, entries: Sequence[Entry], count: int, sent_at: int) -> None:
        """Find out which of the messages are the `count` new ones, and which came before."""
        new_ids = [row[0] for row in self._connection.execute(NEWEST, (count,))]
        new_ids.reverse()
        for entry in entries:
            row = self.row_of(entry)
            if row is None or (new_ids and row[0] == new_ids[-1]):
                stamp(entry.message, new_ids.pop(), sent_at)
            else:
                entry.room = row[-1]
                entry.message = message_of(row)
                entry.is_repeated = True

    def row_of(self, entry: Entry) -> Any:
        """Return the row that has the key of a message, None where it has no key."""
        if not entry.message.key:
            return None
        return self._connection.execute(BY_KEY, (entry.sender, entry.message.key)).fetchone()

    def _write_notes(self, notes: Notes) -> None:
        for where, text in notes.items():
            if text is None:
                self._connection.execute("DELETE FROM record WHERE kind = ? AND key = ?", where)
            else:
                row = (*where, text)
                self._connection.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", row)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit at the end of the block; take everything back where it fails."""
        with self._lock:
            try:
                self._begin()
                yield
                self._connection.execute("COMMIT")
            except BaseException as error:
                # A failed COMMIT may have ended the transaction already.
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise log_error(self._path, error) from error
                raise

    def _begin(self) -> None:
        """Begin a transaction, and wait a while for another program that writes.

        Here and not in SQLite, which could not be told that the server is about to stop.
        """
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                is_over = time.monotonic() >= min(until, self._give_up_at)
                if is_over or not is_busy(error):
                    raise


def portions(entries: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """Yield all of them, in order, in portions of `ROWS_OF_A_STATEMENT`."""
    start = 0
    for size in ROWS_OF_A_STATEMENT:
        while len(entries) - start >= size:
            yield entries[start : start + size]
            start += size


def values_of(entry: Entry, sent_at: int) -> tuple[object, ...]:
    """Return what `COLUMNS` are of one message."""
    message = entry.message
    return (
        sent_at,
        entry.room,
        message.user,
        message.message,
        entry.sender,
        message.key or None,
        message.kind,
        message.to,
        message.sealed or None,
    )
