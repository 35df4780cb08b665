"""Copies of the log, and what is wrong with it. Called by operators, and when the file is gone.

All of it works while a server has the log open, since it only reads.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Lock

from chat.server.log.base import LogError, Problem
from chat.server.log.checking import Check
from chat.server.log.connections import connect_sqlite, log_error, open_connection
from chat.server.log.files import (
    BESIDE_SUFFIXES,
    INDEX_SUFFIX,
    LOCK_SUFFIX,
    PRIVATE,
    check_path,
    check_spelling,
)
from chat.server.log.migrations import check_is_ours, end_opening
from chat.server.log.other_names import check_name
from chat.server.log.search_index import faults_of
from chat.server.log.sqlite_reader import SqliteReader

# Pages that are copied between two calls of `progress`: 4 MiB.
BACKUP_PAGES = 1024

# Called with how many pages are copied, and how many there are.
Progress = Callable[[int, int], None]


def backup(path: str, target: str, progress: Progress = lambda done, total: None) -> None:
    """Copy the log in `path`, as it is at this moment, into the new file `target`.

    Raises `LogError`; then there is no such file.
    """
    with _reading(path) as source:
        try:
            _begin_snapshot(source)
        except sqlite3.Error as error:
            raise log_error(path, error) from error
        try:
            _check_target(path, target)
            _copy(source, target, progress)
        except LogError as error:
            raise error.of_copy() from error


def check(path: str) -> list[str]:
    """Return what is wrong with the log in `path`, in English, nothing if all is well.

    Reads all of it, and of the index of its words. Raises `LogError` where that cannot be.
    """
    with _reading(path) as connection:
        try:
            rows = connection.execute("PRAGMA integrity_check").fetchall()
            faults = [str(row[0]) for row in rows if row[0] != "ok"]
            if not faults:
                checking = Check(connection)
                while checking.step():
                    pass
                faults = checking.faults
        except sqlite3.Error as error:
            faults = [str(error)]
    index = f"{os.path.realpath(path)}{INDEX_SUFFIX}"
    return [*faults, *(f"{index}: {fault}" for fault in faults_of(index, connect_sqlite))]


def records(path: str, kind: str) -> dict[str, str]:
    """Return what the log in `path` keeps of one kind beside the messages; raises `LogError`."""
    with _asking(path) as connection:
        has_records = _has_records(connection)
        return SqliteReader(connection, Lock()).records(kind) if has_records else {}


def keep_record(path: str, kind: str, key: str, text: str) -> None:
    """Write one record into the log in `path`, also while a server has it open; `LogError`."""
    with _asking(path) as connection:
        connection.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", (kind, key, text))


def count_after(path: str, places: Sequence[tuple[str, int]], since: int) -> list[int]:
    """Return how many messages each room has after an id, sent since (microseconds since 1970).

    Raises `LogError`.
    """
    query = "SELECT count(*) FROM message WHERE room = ? AND id > ? AND sent_at >= ?"
    with _asking(path) as connection:
        counts = (connection.execute(query, (*place, since)).fetchone() for place in places)
        return [int(count) for (count,) in counts]


def _has_records(connection: sqlite3.Connection) -> bool:
    """Say whether the log is of a version that keeps any."""
    query = "SELECT count(*) FROM sqlite_master WHERE name = 'record'"
    return bool(connection.execute(query).fetchone()[0])


def save_beside(connection: sqlite3.Connection, real_path: str, error: LogError) -> LogError:
    """Save what a log holds whose file is no longer in its place; return what is to be said.

    The removed file lives on as long as it is open. `error` says what became of it, and `real_path`
    is where it was, without links.
    """
    target = copy_beside(connection, real_path, "rescued")
    return error if target is None else LogError(Problem.SAVED, error.path, target)


def copy_beside(connection: sqlite3.Connection, real_path: str, what: str) -> str | None:
    """Copy what a log holds into a new file whose name says `what`; return its path.

    Beside the log, or where it can be; None where it cannot be at all.
    """
    path = Path(real_path)
    name = f"{path.name}-{what}-{time.strftime('%Y%m%d-%H%M%S')}"
    for folder in (path.parent, Path.cwd(), Path(tempfile.gettempdir())):
        target = str(folder / name)
        with suppress(LogError, sqlite3.Error):
            _copy(connection, target, lambda done, total: None)
            return target
    return None


@contextmanager
def _reading(path: str) -> Iterator[sqlite3.Connection]:
    """Open a log that is there, beside the server that may have it open."""
    check_path(path)
    if not Path(path).exists():
        raise LogError(Problem.ABSENT, path)
    check_name(path)
    with ExitStack() as opened:
        try:
            connection = opened.enter_context(closing(open_connection(path)))
            check_is_ours(connection, path)
        except sqlite3.Error as error:
            raise log_error(path, error) from error
        yield connection


@contextmanager
def _asking(path: str) -> Iterator[sqlite3.Connection]:
    """Open a log that is there; what SQLite raises in the block becomes a `LogError`."""
    with _reading(path) as connection:
        try:
            yield connection
        except sqlite3.Error as error:
            raise log_error(path, error) from error


def _check_target(path: str, target: str) -> None:
    """Raise `LogError` where the log in `path` cannot be copied into `target`.

    What lay beside an earlier file of that name would be taken for a part of the copy.
    """
    check_spelling(target)
    # Some disks do not tell letters' cases apart.
    real_path, real_target = (os.path.realpath(name).casefold() for name in (path, target))
    index = [f"{INDEX_SUFFIX}{suffix}" for suffix in ("", *BESIDE_SUFFIXES)]
    reserved = (*BESIDE_SUFFIXES, LOCK_SUFFIX, *index)
    if real_target in (f"{real_path}{suffix}" for suffix in reserved):
        raise LogError(Problem.RESERVED, target)
    for name in (f"{target}{suffix}" for suffix in BESIDE_SUFFIXES):
        if os.path.lexists(name):
            raise LogError(Problem.EXISTS, name)


def _begin_snapshot(connection: sqlite3.Connection) -> None:
    """Let nothing that is written from now on be seen: a backup would begin anew each time."""
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _copy(source: sqlite3.Connection, target: str, progress: Progress) -> None:
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    except FileExistsError as error:
        raise LogError(Problem.EXISTS, target) from error
    except FileNotFoundError as error:
        raise LogError(Problem.NO_FOLDER, target) from error
    except OSError as error:
        raise LogError(Problem.READ_ONLY, target, error.strerror or "") from error

    def tell(status: int, remaining: int, total: int) -> None:
        progress(total - remaining, total)

    try:
        with closing(connect_sqlite(target, isolation_level=None)) as copy:
            source.backup(copy, pages=BACKUP_PAGES, progress=tell)
            end_opening(copy)  # it is whole by itself, also where the log is open
    except BaseException as error:
        for name in (target, *(f"{target}{suffix}" for suffix in BESIDE_SUFFIXES)):
            with suppress(OSError):
                os.unlink(name)
        if isinstance(error, sqlite3.Error):
            raise log_error(target, error) from error
        raise
