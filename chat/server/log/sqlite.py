"""The log in SQLite: one file, one connection that writes and one that reads.

Knows no rooms' rules, no gRPC and no language. The event loop calls `SqliteLog`; the group commit's
thread calls `SqliteWriter`, a thread of its own does the reading.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import chat_pb2
from chat.protocol.metadata import MAX_ID
from chat.server.log.base import (
    MAX_PAGE_BYTES,
    Deliver,
    Entry,
    Holder,
    LogError,
    Missing,
    Place,
    Problem,
)
from chat.server.log.group_commit import Group, GroupCommit, Notes
from chat.server.log.migrations import begin_generation, prepare

IN_MEMORY = ":memory:"
TRIM_INTERVAL_SECONDS = 3600.0
# Rows that one transaction of the trimming removes: a commit never waits long for it.
TRIM_ROWS = 1000
DAY_MICROSECONDS = 24 * 3600 * 1_000_000
# How long a statement waits for another program that reads the file, such as the sqlite3 shell.
BUSY_TIMEOUT_SECONDS = 5.0
# How every database begins (sqlite.org/fileformat2.html).
HEADER = b"SQLite format 3\0"

INSERT = """
INSERT INTO message (sent_at, room, user, message, sender, key, kind, addressee)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (sender, key) WHERE key IS NOT NULL DO NOTHING
"""
COLUMNS = "id, sent_at, user, message, key, kind, addressee, room"
BY_KEY = f"SELECT {COLUMNS} FROM message WHERE sender = ? AND key = ?"
NEWEST_ID = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0)"
# Names and ids beside the text of a row, in round figures.
OVERHEAD_BYTES = 64

Connect = Callable[..., sqlite3.Connection]
_Result = TypeVar("_Result")


class SqliteLog:
    """The log of one server, in the file `path` or in memory; opened by one server at a time.

    `retain_days` is how long messages are kept, 0 for ever. Opening blocks for a moment (it checks
    the file) and raises `LogError`. `connect` is `sqlite3.connect` but in tests that inject faults.
    """

    def __init__(
        self, path: str, retain_days: float = 0, connect: Connect = sqlite3.connect
    ) -> None:
        self.path = path
        if path != IN_MEMORY:
            _check_file(Path(path))
        with ExitStack() as opened:  # closes what was opened before something failed
            opened.enter_context(closing(_lock(path)))
            try:
                writing = opened.enter_context(closing(_open(path, connect)))
                prepare(writing, path)
                self.generation = begin_generation(writing)
                self._reading = writing
                if path != IN_MEMORY:
                    self._reading = opened.enter_context(closing(_open(path, connect)))
            except sqlite3.Error as error:
                raise _log_error(path, error) from error
            self._opened = opened.pop_all()
        # In memory there is one connection for two threads, so one lock; in a file nobody waits.
        write_lock = threading.Lock()
        self._read_lock = write_lock if path == IN_MEMORY else threading.Lock()
        self.epoch: str = writing.execute("SELECT epoch FROM log").fetchone()[0]
        writer = SqliteWriter(writing, write_lock, path, retain_days)
        self._writer = GroupCommit(writer.commit, writer.trim)
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="log-reader")
        self.append = self._writer.append
        self.note = self._writer.note
        self.wait_for_space = self._writer.wait_for_space
        self.flush = self._writer.flush

    def start(self, deliver: Deliver) -> None:
        """Begin to commit; `deliver` gets each group in the running event loop."""
        self._writer.start(deliver)

    async def read(
        self, room: str, after: int, limit: int, before: int = 0, max_bytes: int = MAX_PAGE_BYTES
    ) -> list[chat_pb2.Message]:
        """Return a page of `room`: ids above `after`, below `before` if that is given, in order."""
        rows = await self._run(self._page, room, after, limit, before or MAX_ID, max_bytes)
        return [_message(row) for row in rows]

    async def find_places(
        self, wishes: Sequence[tuple[str, int | None]], generation: str, count: int
    ) -> list[Place]:
        """Return where the readers of rooms begin, all in one turn of the reader's thread."""
        return await self._run(self._places, wishes, generation, count)

    async def find_key(self, sender: str, key: str) -> tuple[str, chat_pb2.Message] | None:
        """Return the room and the message that were appended under a key, None if none was."""
        rows = await self._run(self._fetch, BY_KEY, (sender, key))
        return (rows[0][-1], _message(rows[0])) if rows else None

    async def start_of_last(self, room: str, count: int, before: int = 0) -> int:
        """Return the id after which the last `count` messages of `room` begin, below `before`."""
        return await self._run(self._start_of_last, room, count, before or MAX_ID)

    async def last_id(self) -> int:
        """Return the newest id ever given, 0 for an empty log."""
        return int((await self._run(self._fetch, NEWEST_ID, ()))[0][0])

    async def holders(self) -> list[Holder]:
        """Return who held a name when the server before this one ended."""
        rows = await self._run(self._fetch, "SELECT session, name, rooms FROM holder", ())
        return [Holder(session, name, tuple(json.loads(rooms))) for session, name, rooms in rows]

    async def close(self) -> None:
        """Commit what waits, end both threads and release the file."""
        await self._writer.close()
        self.abandon()

    def abandon(self) -> None:
        """Release the file of a log that was never started."""
        self._readers.shutdown()
        self._opened.close()

    async def _run(self, read: Callable[..., _Result], *arguments: Any) -> _Result:
        """Call `read` in the reader's thread; what SQLite raises becomes a `LogError`."""
        run = asyncio.get_running_loop().run_in_executor
        try:
            return await run(self._readers, read, *arguments)
        except sqlite3.Error as error:
            raise _log_error(self.path, error) from error

    # In the reader's thread.

    def _fetch(self, query: str, parameters: Sequence[Any]) -> list[Any]:
        with self._read_lock:
            return self._reading.execute(query, parameters).fetchall()

    def _page(self, room: str, after: int, limit: int, before: int, max_bytes: int) -> list[Any]:
        query = (
            f"SELECT {COLUMNS} FROM message WHERE room = ? AND id > ? AND id < ?"
            " ORDER BY id LIMIT ?"
        )
        rows: list[Any] = []
        size = 0
        parameters = (room, after, before, limit)
        with self._read_lock, closing(self._reading.execute(query, parameters)) as cursor:
            for row in cursor:
                size += _size_of(row)
                if rows and size > max_bytes:
                    break
                rows.append(row)
        return rows

    def _places(
        self, wishes: Sequence[tuple[str, int | None]], generation: str, count: int
    ) -> list[Place]:
        end = self._end_of(generation)
        return [self._place(room, after, end, count) for room, after in wishes]

    def _place(self, room: str, after: int | None, end: int, count: int) -> Place:
        if after is None:
            return Place(self._start_of_last(room, count, MAX_ID))
        if after > end:
            return Place(self._start_of_last(room, count, MAX_ID), Missing.REWOUND)
        query = "SELECT 1 FROM trimmed WHERE room = ? AND id > ?"
        is_whole = not self._fetch(query, (room, after))
        query = "SELECT 1 FROM message WHERE room = ? AND id > ? LIMIT 1"
        has_more = bool(self._fetch(query, (room, after)))
        return Place(after, Missing.NOTHING if is_whole else Missing.TRIMMED, has_more)

    def _end_of(self, generation: str) -> int:
        """Return the last id that was given in `generation`, -1 where the log does not know it."""
        if generation:
            query = "SELECT number FROM generation WHERE generation = ?"
            if not (found := self._fetch(query, (generation,))):
                return -1
            query = "SELECT first_id FROM generation WHERE number > ? ORDER BY number LIMIT 1"
            if following := self._fetch(query, (found[0][0],)):
                return int(following[0][0]) - 1
        return int(self._fetch(NEWEST_ID, ())[0][0])

    def _start_of_last(self, room: str, count: int, before: int) -> int:
        query = "SELECT id FROM message WHERE room = ? AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?"
        if not count:
            return int(self._fetch(NEWEST_ID, ())[0][0])
        rows = self._fetch(query, (room, before, count))
        return int(rows[0][0]) if rows else 0


class SqliteWriter:
    """The connection that writes. Everything runs in the group commit's thread.

    `lock` is held while the connection is in use: in memory the reader shares it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: threading.Lock,
        path: str,
        retain_days: float,
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._path = path
        self._retain_microseconds = int(retain_days * DAY_MICROSECONDS)
        newest = "SELECT sent_at FROM message ORDER BY id DESC LIMIT 1"
        self._last_sent_at: int = (connection.execute(newest).fetchone() or (0,))[0]

    def commit(self, group: Group) -> None:
        """Insert the group in one transaction; raises where none of it was written."""
        # A clock that was put back must not make the log's time run backwards.
        self._last_sent_at = max(time.time_ns() // 1000, self._last_sent_at)
        with self._transaction():
            for entry in group.entries:
                self._insert(entry, self._last_sent_at)
            self._write_notes(group.notes)

    def trim(self) -> float | None:
        """Remove one portion of what is older than is kept, and note where each room begins now.

        Returns after how many seconds there is more to remove, None where all is kept for ever.
        """
        if not self._retain_microseconds:
            return None
        before = time.time_ns() // 1000 - self._retain_microseconds
        # The ids are in the order of time: no other row can be older than these.
        query = "SELECT id, room, sent_at FROM message ORDER BY id LIMIT ?"
        with self._transaction():
            rows = self._connection.execute(query, (TRIM_ROWS,)).fetchall()
            old = [(room, row_id) for row_id, room, sent_at in rows if sent_at < before]
            if old:
                self._connection.execute("DELETE FROM message WHERE id <= ?", (old[-1][1],))
                self._connection.executemany("INSERT OR REPLACE INTO trimmed VALUES (?, ?)", old)
        return 0.0 if len(old) == TRIM_ROWS else TRIM_INTERVAL_SECONDS

    def _insert(self, entry: Entry, sent_at: int) -> None:
        message = entry.message
        row = (
            sent_at,
            entry.room,
            message.user,
            message.message,
            entry.sender,
            message.key or None,
            message.kind,
            message.to,
        )
        cursor = self._connection.execute(INSERT, row)
        if cursor.rowcount == 1:
            _stamp(message, int(cursor.lastrowid or 0), sent_at)
        else:
            self._repeat(entry)

    def _repeat(self, entry: Entry) -> None:
        row = self._connection.execute(BY_KEY, (entry.sender, entry.message.key)).fetchone()
        entry.room = row[-1]
        entry.message = _message(row)
        entry.is_repeated = True

    def _write_notes(self, notes: Notes) -> None:
        for session, holder in notes.items():
            if holder is None:
                self._connection.execute("DELETE FROM holder WHERE session = ?", (session,))
            else:
                row = (session, holder.name, json.dumps(holder.rooms))
                self._connection.execute("INSERT OR REPLACE INTO holder VALUES (?, ?, ?)", row)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit at the end of the block; take everything back where it fails."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException as error:
                # A failed COMMIT may have ended the transaction already.
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise _log_error(self._path, error) from error
                raise


def _stamp(message: chat_pb2.Message, message_id: int, sent_at: int) -> None:
    message.id = message_id
    message.sent_at.seconds, microseconds = divmod(sent_at, 1_000_000)
    message.sent_at.nanos = microseconds * 1000


def _size_of(row: Sequence[Any]) -> int:
    """Return about how many bytes the message of a row takes."""
    texts = (value for value in row if isinstance(value, str))
    return OVERHEAD_BYTES + sum(len(text.encode()) for text in texts)


def _message(row: Sequence[Any]) -> chat_pb2.Message:
    message_id, sent_at, user, text, key, kind, addressee, room = row
    message = chat_pb2.Message(
        user=user,
        message=text,
        key=key or "",
        kind=kind,
        to=addressee,
        room="" if addressee else room,
    )
    _stamp(message, message_id, sent_at)
    return message


def _check_file(path: Path) -> None:
    """Raise `LogError` where no log can be, so that no lock is made for it.

    The folder must be there, and the file be a database, empty or new.
    """
    if path.is_dir():
        raise LogError(Problem.FOLDER, str(path))
    if not path.resolve().parent.is_dir():
        raise LogError(Problem.NO_FOLDER, str(path))
    if not path.exists():
        return
    if not path.is_file():
        raise LogError(Problem.FOREIGN, str(path))
    try:
        with path.open("rb") as file:
            beginning = file.read(len(HEADER))
    except OSError as error:
        raise LogError(Problem.READ_ONLY, str(path), error.strerror or "") from error
    if beginning not in (b"", HEADER):
        raise LogError(Problem.FOREIGN, str(path))


def _lock(path: str) -> sqlite3.Connection:
    """Keep other servers away from `path` until the connection is closed or the process is gone.

    The lock is SQLite's own, on an empty database beside the file, since that one works alike on
    every system and never outlives its process.
    """
    name = path if path == IN_MEMORY else f"{Path(path).resolve()}-lock"
    try:
        with ExitStack() as opened:
            connection = opened.enter_context(closing(_connect_to_lock(name)))
            connection.execute("BEGIN EXCLUSIVE")
            opened.pop_all()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise LogError(Problem.IN_USE, path) from error
        raise _log_error(path, error) from error
    return connection


def _connect_to_lock(name: str) -> sqlite3.Connection:
    return sqlite3.connect(name, timeout=0, isolation_level=None, check_same_thread=False)


def _open(path: str, connect: Connect) -> sqlite3.Connection:
    return connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )


def _log_error(path: str, error: sqlite3.Error) -> LogError:
    """Return what SQLite's words mean (sqlite.org/rescode.html)."""
    text = str(error)
    if "full" in text:
        problem = Problem.FULL
    elif "readonly" in text or "unable to open" in text:
        problem = Problem.READ_ONLY
    elif "malformed" in text or "not a database" in text:
        problem = Problem.DAMAGED
    else:
        problem = Problem.UNUSABLE
    return LogError(problem, path, text)
