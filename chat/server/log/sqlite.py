"""The log in SQLite: one file, one writer thread, group commit.

While one group of messages is on its way to the disk the next one gathers, so that a commit costs
one fsync however many messages are in it. Knows no rooms' rules and no gRPC; `server.py` opens it
and the rooms use it through the interface in `log.py`.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, TypeVar

import chat_pb2
from chat.cli.i18n import _
from chat.protocol.errors import ChatError, ConfigError
from chat.server.log.base import Deliver, Entry

IN_MEMORY = ":memory:"
# Beyond this many uncommitted messages the log asks those who append to wait.
MAX_WAITING = 4096
# One transaction: enough to share an fsync among many, short enough not to keep the first waiting.
MAX_GROUP = 1024
# When more came during a commit, the next group gathers for a multiple of what that commit took:
# under load groups grow by themselves, else the server is busy with commits of three messages
# each. When idle nothing waits.
GATHER_FACTOR = 10.0
MAX_GATHER_SECONDS = 0.01
SCHEMA_VERSION = 1
APPLICATION_ID = 0x63686174  # "chat": tells our files from other people's databases
TRIM_INTERVAL_SECONDS = 3600.0
# Rows that one transaction of the trimming removes: a commit never waits long for it.
TRIM_ROWS = 1000
DAY_MICROSECONDS = 24 * 3600 * 1_000_000
# How long a statement waits for another program that reads the file, such as the sqlite3 shell.
BUSY_TIMEOUT_SECONDS = 5.0

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, even after the newest was removed
    sent_at INTEGER NOT NULL,              -- microseconds since 1970, UTC; never less than before
    room TEXT NOT NULL,
    user TEXT NOT NULL,
    message TEXT NOT NULL,
    sender TEXT NOT NULL,                  -- the user without regard to case: whose key it is
    key TEXT                               -- NULL: the sender gave none
);
CREATE INDEX message_by_room ON message (room, id);
CREATE UNIQUE INDEX message_by_key ON message (sender, key) WHERE key IS NOT NULL;
CREATE TABLE trimmed (room TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log (epoch TEXT NOT NULL);
INSERT INTO log VALUES (lower(hex(randomblob(16))));
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
INSERT = """
INSERT INTO message (sent_at, room, user, message, sender, key) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (sender, key) WHERE key IS NOT NULL DO NOTHING
"""
COLUMNS = "id, sent_at, user, message, key"

Connect = Callable[..., sqlite3.Connection]
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class History:
    """The log of one server, in the file `path` or in memory; opened by one server at a time.

    `retain_days` is how long messages are kept, 0 for ever. Opening blocks for a moment (it checks
    the file) and raises `ConfigError` with a sentence that says what to do. `connect` is
    `sqlite3.connect` but in tests that inject faults.
    """

    def __init__(
        self, path: str, retain_days: float = 0, connect: Connect = sqlite3.connect
    ) -> None:
        self.path = path
        self._retain_days = retain_days
        self._next_trim = 0.0  # monotonic seconds
        self._is_failing = False
        with ExitStack() as opened:  # closes what was opened before something failed
            self._lock_file = opened.enter_context(closing(_lock(path)))
            try:
                self._writer = opened.enter_context(closing(_open(path, connect)))
                _prepare(self._writer, path)
                self._reader = self._writer
                if path != IN_MEMORY:
                    self._reader = opened.enter_context(closing(_open(path, connect)))
            except sqlite3.Error as error:
                raise ConfigError(_sentence(path, error)) from error
            opened.pop_all()
        # In memory there is one connection for two threads, so one lock; in a file nobody waits.
        self._write_lock = threading.Lock()
        self._read_lock = self._write_lock if path == IN_MEMORY else threading.Lock()
        self.epoch: str = self._writer.execute("SELECT epoch FROM log").fetchone()[0]
        newest = "SELECT sent_at FROM message ORDER BY id DESC LIMIT 1"
        self._last_sent_at: int = (self._writer.execute(newest).fetchone() or (0,))[0]
        # The next group; bounded by MAX_WAITING through has_space().
        self._gathering: list[Entry] = []
        self._is_under_way = False  # a group is being committed, or its turn comes by itself
        # One group at the most, for the writer. None ends it.
        self._groups: queue.SimpleQueue[list[Entry] | None] = queue.SimpleQueue()
        self._appended = 0
        self._delivered = 0
        self._progress = asyncio.Event()
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="log-reader")

    def start(self, deliver: Deliver) -> None:
        """Begin to commit; `deliver` gets each group in the running event loop."""
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        # A daemon, so that a program that failed before `close` ends nevertheless.
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def append(self, entry: Entry) -> None:
        """Take `entry` for the next group. Never blocks."""
        self._appended += 1
        self._gathering.append(entry)
        if not self._is_under_way:
            self._is_under_way = True
            # Not at once: whatever else the loop reads in this turn goes into the same group.
            self._loop.call_soon(self._hand_over)

    async def has_space(self) -> None:
        """Return when fewer than `MAX_WAITING` messages wait to be committed."""
        while self._appended - self._delivered >= MAX_WAITING:
            await self._progress.wait()

    async def flush(self) -> None:
        """Return when everything appended so far has been delivered."""
        target = self._appended
        while self._delivered < target:
            await self._progress.wait()

    async def read(self, room: str, after: int, limit: int) -> list[chat_pb2.Message]:
        """Return up to `limit` messages of `room` with an id above `after`, in order."""
        query = f"SELECT {COLUMNS} FROM message WHERE room = ? AND id > ? ORDER BY id LIMIT ?"
        rows = await self._query(query, (room, after, limit))
        return [_message(row) for row in rows]

    async def start_of_last(self, room: str, count: int) -> int:
        """Return the id after which the last `count` messages of `room` begin."""
        query = "SELECT id FROM message WHERE room = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
        if rows := await self._query(query, (room, count)):
            return int(rows[0][0])
        return 0 if count else await self.last_id()

    async def reaches_back_to(self, room: str, after: int) -> bool:
        """Say whether nothing of `room` with an id above `after` has been trimmed."""
        query = "SELECT 1 FROM trimmed WHERE room = ? AND id > ?"
        return not await self._query(query, (room, after))

    async def last_id(self) -> int:
        """Return the newest id ever given, 0 for an empty log."""
        rows = await self._query("SELECT seq FROM sqlite_sequence WHERE name = 'message'", ())
        return int(rows[0][0]) if rows else 0

    async def close(self) -> None:
        """Commit what waits, end both threads and let go of the file."""
        await self.flush()
        self._groups.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the file, if the log was never started."""
        self._readers.shutdown()
        self._reader.close()
        self._writer.close()
        self._lock_file.close()

    # The reader's thread.

    async def _query(self, query: str, parameters: Sequence[Any]) -> list[Any]:
        run = asyncio.get_running_loop().run_in_executor
        try:
            return await run(self._readers, self._fetch, query, parameters)
        except sqlite3.Error as error:
            _log.error("%s", _sentence(self.path, error))
            raise ChatError("LOG_UNREADABLE") from error

    def _fetch(self, query: str, parameters: Sequence[Any]) -> list[Any]:
        with self._read_lock:
            return self._reader.execute(query, parameters).fetchall()

    # The writer's thread.

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            if group:
                self._commit(group)
            if self._retain_days and time.monotonic() >= self._next_trim:
                self._trim()

    def _commit(self, group: list[Entry]) -> None:
        started = time.monotonic()
        self._try(self._insert, group)
        took_seconds = time.monotonic() - started
        # The loop is gone only when the server is killed, and then nobody waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._finish, group, took_seconds)

    def _next_group(self) -> list[Entry] | None:
        """Block until the loop hands over a group; None: the end. Empty: time to trim."""
        timeout = None
        if self._retain_days:
            timeout = max(0.0, self._next_trim - time.monotonic())
        try:
            return self._groups.get(timeout=timeout)
        except queue.Empty:
            return []

    def _try(self, work: Callable[[list[Entry]], None], group: list[Entry]) -> None:
        """Do `work` in one transaction; a failure loses the group, whole, and says so to each.

        Any failure: the thread goes on, since without it nothing would be answered any more.
        """
        try:
            with self._write_lock:
                self._transact(work, group)
        except Exception as error:
            if not self._is_failing:
                _log.error("%s", _sentence(self.path, error))
            for entry in group:
                entry.is_lost = True
            self._is_failing = True
        else:
            self._is_failing = False

    def _transact(self, work: Callable[[list[Entry]], _Result], group: list[Entry]) -> _Result:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            result = work(group)
            self._writer.execute("COMMIT")
            return result
        except BaseException:
            # A failed COMMIT may have ended the transaction already.
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            raise

    def _insert(self, group: list[Entry]) -> None:
        # A clock that was put back must not make the log's time run backwards.
        self._last_sent_at = max(time.time_ns() // 1000, self._last_sent_at)
        sent_at = self._last_sent_at
        for entry in group:
            message = entry.message
            row = (sent_at, entry.room, message.user, message.message)
            cursor = self._writer.execute(INSERT, (*row, entry.sender, message.key or None))
            if cursor.rowcount == 1:
                _stamp(message, int(cursor.lastrowid or 0), sent_at)
            else:
                self._repeat(entry)

    def _repeat(self, entry: Entry) -> None:
        query = f"SELECT room, {COLUMNS} FROM message WHERE sender = ? AND key = ?"
        room, *row = self._writer.execute(query, (entry.sender, entry.message.key)).fetchone()
        entry.room = room
        entry.message = _message(row)
        entry.is_repeated = True

    def _hand_over(self) -> None:
        """Give the writer what has gathered; in the event loop."""
        group, self._gathering = self._gathering[:MAX_GROUP], self._gathering[MAX_GROUP:]
        self._groups.put(group)

    def _finish(self, group: list[Entry], took_seconds: float) -> None:
        """Hand the group to the rooms, and the next one to the writer; in the event loop."""
        self._delivered += len(group)
        if self._gathering:
            rest_seconds = min(GATHER_FACTOR * took_seconds, MAX_GATHER_SECONDS)
            self._loop.call_later(rest_seconds, self._hand_over)
        else:
            self._is_under_way = False
        try:
            self._deliver(group)
        finally:
            progress, self._progress = self._progress, asyncio.Event()
            progress.set()

    def _trim(self) -> None:
        """Remove one portion of what is older than is kept; after a failure, again in an hour."""
        self._next_trim = time.monotonic() + TRIM_INTERVAL_SECONDS
        self._try(self._remove_old, [])

    def _remove_old(self, _group: list[Entry]) -> None:
        """Remove the oldest rows that are not kept, and note where each room begins now."""
        before = time.time_ns() // 1000 - int(self._retain_days * DAY_MICROSECONDS)
        # The ids are in the order of time: no other row can be older than these.
        query = "SELECT id, room, sent_at FROM message ORDER BY id LIMIT ?"
        rows = self._writer.execute(query, (TRIM_ROWS,)).fetchall()
        old = [(room, row_id) for row_id, room, sent_at in rows if sent_at < before]
        if old:
            self._writer.execute("DELETE FROM message WHERE id <= ?", (old[-1][1],))
            self._writer.executemany("INSERT OR REPLACE INTO trimmed VALUES (?, ?)", old)
        if len(old) == TRIM_ROWS:
            self._next_trim = 0.0  # there is more of it


def _stamp(message: chat_pb2.Message, message_id: int, sent_at: int) -> None:
    message.id = message_id
    message.sent_at.seconds, microseconds = divmod(sent_at, 1_000_000)
    message.sent_at.nanos = microseconds * 1000


def _message(row: Sequence[Any]) -> chat_pb2.Message:
    message_id, sent_at, user, text, key = row
    message = chat_pb2.Message(user=user, message=text, key=key or "")
    _stamp(message, message_id, sent_at)
    return message


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
            text = _("Another server has {path} open. Stop it, or choose another file with --db.")
            raise ConfigError(text.format(path=path)) from error
        raise ConfigError(_sentence(path, error)) from error
    return connection


def _connect_to_lock(name: str) -> sqlite3.Connection:
    return sqlite3.connect(name, timeout=0, isolation_level=None, check_same_thread=False)


def _open(path: str, connect: Connect) -> sqlite3.Connection:
    return connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Make the file a log of ours if it is new; raise if it is not one, or is damaged."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    is_new = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not is_new and application_id != APPLICATION_ID:
        raise ConfigError(
            _("{path} is a database of another program. Choose another file with --db.").format(
                path=path
            )
        )
    if version > SCHEMA_VERSION:
        raise ConfigError(
            _(
                "{path} was written by a later version of this program."
                " Update the program, or choose another file with --db."
            ).format(path=path)
        )
    # FULL: every commit is fsynced; what anyone has seen is on disk (sqlite.org/pragma.html).
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if is_new:
        connection.executescript(SCHEMA)
    elif connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("quick_check failed")
    # A file that cannot be written is found now, not by the first message. Taken back, it needs no
    # room on the disk; only a statement that writes is refused in WAL mode, not BEGIN.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("ROLLBACK")


def _sentence(path: str, error: Exception) -> str:
    """Say what is wrong with the file, and what to do about it."""
    text = str(error)
    if "full" in text:
        sentence = _("The disk of {path} is full: nothing new is accepted. Make room on it.")
    elif "readonly" in text or "unable to open" in text:
        sentence = _(
            "{path} cannot be written. Give this user the right to write in its folder,"
            " or choose another file with --db."
        )
    elif "malformed" in text or "not a database" in text or "quick_check" in text:
        sentence = _(
            "{path} is damaged or no database. Put back a copy of it,"
            " or move it away to begin a new log."
        )
    else:
        sentence = _("{path} cannot be used ({error}).")
    return sentence.format(path=path, error=text)
