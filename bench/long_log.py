"""Logs of any length, made far faster than anybody could say so much: for `growth_study.py`.

The rows are those that the log's own writer makes (its statement, its columns), and the index of
words is the log's own; only the table's other indexes are made at the end, in one go.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from search_study import Speech, caught_up

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import chat_pb2
from chat.server.directory import identity_of
from chat.server.log import searching
from chat.server.log.base import Entry
from chat.server.log.files import COMPANION_SUFFIXES, INDEX_SUFFIX
from chat.server.log.sqlite import SqliteLog
from chat.server.log.sqlite_writer import INSERTS, ROWS_OF_A_STATEMENT, values_of

ROOMS, SENDERS = 20, 1000
SECONDS_BETWEEN = 60  # two messages; the last one is said now
# So many texts are made up, and said again and again.
TEXTS = 50_000
# The message that alone has the word `ONCE`, among the oldest: it is found at the very end.
ONCE, ONCE_AT = "umavezsó", 807
ROWS_OF_A_COMMIT = 64_000
INDEXED_ROWS = 2_000  # at a time
ENDS = "SELECT (SELECT min(id) FROM message), (SELECT max(id) FROM message)"
INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL"


def room_of(number: int) -> str:
    """Return the room in which a message of a long log is said."""
    return f"sala {number % ROOMS}"


def entries(count: int) -> Iterator[Entry]:
    """Yield so many messages, of a thousand people in twenty rooms."""
    texts = list(Speech().texts(min(count, TEXTS)))
    people = [(f"pessoa {one}", identity_of(f"{one:032x}")) for one in range(SENDERS)]
    keys = random.Random(2)
    for number in range(count):
        text = ONCE if number == ONCE_AT else texts[number % len(texts)]
        name, identity = people[keys.randrange(SENDERS)]
        key = f"{keys.getrandbits(96):024x}"
        yield Entry(room_of(number), identity, chat_pb2.Message(user=name, message=text, key=key))


def fill(path: Path, count: int) -> None:
    """Make a log of so many messages in the new file `path`."""
    SqliteLog(str(path)).abandon()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        indexes = connection.execute(INDEXES).fetchall()
        for name, _sql in indexes:
            connection.execute(f"DROP INDEX {name}")
        _insert(connection, count)
        for _name, sql in indexes:
            connection.execute(sql)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _insert(connection: sqlite3.Connection, count: int) -> None:
    begin = (int(time.time()) - count * SECONDS_BETWEEN) * 1_000_000
    values: list[object] = []
    size = rows = 0
    connection.execute("BEGIN")
    for number, entry in enumerate(entries(count), 1):
        values += values_of(entry, begin + number * SECONDS_BETWEEN * 1_000_000)
        size += 1
        if size == ROWS_OF_A_STATEMENT[0]:
            connection.execute(INSERTS[size].partition("ON CONFLICT")[0], values)
            values, size, rows = [], 0, rows + size
        if rows >= ROWS_OF_A_COMMIT:
            connection.execute("COMMIT")
            connection.execute("BEGIN")
            rows = 0
    width = len(values) // size if size else 0
    for start in range(0, len(values), width or 1):
        connection.execute(INSERTS[1].partition("ON CONFLICT")[0], values[start : start + width])
    connection.execute("COMMIT")


async def index(path: Path) -> None:
    """Have the index of a log's words come to its end; it goes on where it was stopped."""
    log, pace = SqliteLog(str(path)), (searching.REST_FACTOR, searching.FOLLOWED_ROWS)
    searching.REST_FACTOR, searching.FOLLOWED_ROWS = 0.0, INDEXED_ROWS
    log.start(lambda entries: None)
    try:
        await caught_up(path, log)
    finally:
        searching.REST_FACTOR, searching.FOLLOWED_ROWS = pace
        await log.close()


def make(path: Path, count: int) -> None:
    """Make a log of so many messages, and its index, unless it is there; it may be stopped.

    One that has been used since, and is of another length by more than a tenth, is made anew.
    """
    if abs(length(path) - count) > count / 10:
        remove(path)
        unfinished = path.with_name(f"{path.name}.new")
        remove(unfinished)
        fill(unfinished, count)
        remove(unfinished, but=("",))
        unfinished.rename(path)
    asyncio.run(index(path))


def length(path: Path) -> int:
    """Return how many messages a log has, 0 where there is none."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as connection:
        first, last = connection.execute(ENDS).fetchone()
    return int(last - first + 1) if last else 0


def rows_around(path: Path, count: int) -> list[tuple[int, int]]:
    """Return id and time of the last of the oldest messages, so many, and of the one after it."""
    query = "SELECT id, sent_at FROM message ORDER BY id LIMIT 2 OFFSET ?"
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, (count - 1,)).fetchall()


def is_index_trimmed(path: Path, oldest: int) -> bool:
    """Say whether no part of the index has words of messages before this id, or is being made."""
    uri = Path(f"{path}{INDEX_SUFFIX}").as_uri() + "?mode=ro"
    query = "SELECT count(*) FROM part WHERE first_id < ? OR NOT is_whole"
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(uri, uri=True)) as index:
        return not index.execute(query, (oldest,)).fetchone()[0]
    return False  # it is locked: look again


def remove(path: Path, but: tuple[str, ...] = ()) -> None:
    """Remove a log, with all that is beside it."""
    for suffix in ("", *COMPANION_SUFFIXES, INDEX_SUFFIX):
        for name in (f"{path}{suffix}{end}" for end in ("", *COMPANION_SUFFIXES)):
            if suffix not in but and os.path.exists(name):
                os.unlink(name)
