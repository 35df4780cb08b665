"""Hard links to the log's file: what is newest lies beside one of its names only.

SQLite finds the write-ahead log by the name that it is given (sqlite.org/howtocorrupt.html,
"Multiple links to the same file"). By another name it would miss it, write another one, and have
both destroy the file. Called in the thread that opens the log, before SQLite does.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from chat.server.log.base import LogError, Problem
from chat.server.log.connections import connect_sqlite
from chat.server.log.files import WAL_SUFFIX
from chat.server.log.migrations import find_place

# The file alone, without locks, and with nothing made beside it (sqlite.org/uri.html).
ALONE = "?mode=ro&immutable=1"


def check_name(path: str) -> None:
    """Raise `LogError` where the log is open by another name, or was when its server ended.

    A name that it no longer has counts too, while what is newest still lies there. Closing the
    file, as this may, drops the POSIX locks that the process has on it.
    """
    real_path = os.path.realpath(path)
    wal = f"{real_path}{WAL_SUFFIX}"
    if os.path.lexists(wal) and not _has_other_names(real_path):
        return
    place = _read_place(real_path)
    if place is None or not os.path.lexists(place_wal := f"{place}{WAL_SUFFIX}"):
        return
    is_its_own = not os.path.lexists(place) or _is_same(place, real_path)
    if is_its_own and not _is_same(place_wal, wal):
        raise LogError(Problem.OTHER_NAME, path, place)


def _read_place(path: str) -> str | None:
    """Return by which name the file is or was open; None too where it cannot be read.

    Whoever opens it then finds out what is wrong with it.
    """
    uri = f"{Path(path).as_uri()}{ALONE}"
    try:
        with closing(connect_sqlite(uri, uri=True)) as connection:
            return find_place(connection)
    except sqlite3.Error:
        return None


def _has_other_names(path: str) -> bool:
    try:
        return os.stat(path).st_nlink > 1
    except OSError:
        return False


def _is_same(one: str, other: str) -> bool:
    """Say whether two names lead to one file: the same name in another case does on some disks."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
