"""Connections to the log's file, and what SQLite's words mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

from chat.server.log.base import LogError, Problem
from chat.server.log.files import IN_MEMORY, LOCK_SUFFIX

Connect = Callable[..., sqlite3.Connection]

# How long a statement waits by itself for another program that has the file locked. For the writer
# it is short: that tries again, and can be told to stop.
BUSY_TIMEOUT_SECONDS = 5.0
WRITER_TIMEOUT_SECONDS = 0.1
# What the WAL is cut to when it begins anew: more than it is by then, if nobody keeps it from that
# (a thousand pages and a group), since a file that grows again costs each commit.
MAX_WAL_BYTES = 8 << 20

DAMAGED = "malformed database schema"


class Connection(sqlite3.Connection):
    """A connection whose errors are all `sqlite3.Error`.

    SQLite quotes a damaged schema, and where the words are not UTF-8 the module raises
    `UnicodeDecodeError` instead, or before Python 3.11 an error without any words. Who runs a log's
    file that somebody else has written must not see what is quoted either.
    """

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """Execute one statement."""
        try:
            return super().execute(*arguments)
        except (UnicodeDecodeError, sqlite3.DatabaseError) as error:
            if _has_words(error):
                raise
            raise sqlite3.DatabaseError(DAMAGED) from error

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        """Execute one statement with each set of parameters."""
        try:
            return super().executemany(*arguments)
        except (UnicodeDecodeError, sqlite3.DatabaseError) as error:
            if _has_words(error):
                raise
            raise sqlite3.DatabaseError(DAMAGED) from error

    def executescript(self, *arguments: Any) -> sqlite3.Cursor:
        """Execute several statements."""
        try:
            return super().executescript(*arguments)
        except (UnicodeDecodeError, sqlite3.DatabaseError) as error:
            if _has_words(error):
                raise
            raise sqlite3.DatabaseError(DAMAGED) from error


def _has_words(error: Exception) -> bool:
    """Say whether an error is one of SQLite's, with what SQLite says of it."""
    return isinstance(error, sqlite3.Error) and bool(error.args)


def connect_sqlite(*arguments: Any, **named: Any) -> sqlite3.Connection:
    """Connect as `sqlite3.connect` does."""
    return sqlite3.connect(*arguments, factory=Connection, **named)


def open_connection(
    path: str, connect: Connect = connect_sqlite, timeout: float = BUSY_TIMEOUT_SECONDS
) -> sqlite3.Connection:
    """Return a connection that several threads may use, one at a time; raises `sqlite3.Error`."""
    connection = connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        _set_up(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection) -> None:
    # FULL: every commit is fsynced; what anyone has seen is on disk (sqlite.org/pragma.html).
    connection.execute("PRAGMA synchronous = FULL")
    # On macOS fsync leaves it to the disk when to write; elsewhere these change nothing.
    connection.execute("PRAGMA fullfsync = 1")
    connection.execute("PRAGMA checkpoint_fullfsync = 1")
    connection.execute(f"PRAGMA journal_size_limit = {MAX_WAL_BYTES}")


def lock_beside(path: str) -> sqlite3.Connection:
    """Keep other servers away from `path`, where its file cannot be locked itself.

    The lock is SQLite's own, on an empty database beside the file. It ends with the connection, or
    with the process. Raises `LogError`.
    """
    name = path if path == IN_MEMORY else f"{os.path.realpath(path)}{LOCK_SUFFIX}"
    try:
        with ExitStack() as opened:
            connection = opened.enter_context(
                closing(
                    connect_sqlite(name, timeout=0, isolation_level=None, check_same_thread=False)
                )
            )
            connection.execute("BEGIN EXCLUSIVE")
            opened.pop_all()
    except sqlite3.OperationalError as error:
        if is_busy(error):
            raise LogError(Problem.IN_USE, path) from error
        raise log_error(path, error) from error
    return connection


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another program has the file locked."""
    return "locked" in str(error)


def log_error(path: str, error: sqlite3.Error) -> LogError:
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
