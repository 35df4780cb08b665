"""Nothing that is asked of the log takes longer because it is long: by the steps that SQLite makes.

Steps are those of its virtual machine (sqlite.org/c3ref/progress_handler.html): the same on every
machine. `make bench-growth` measures the time as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from support import DEADLINE_SECONDS

import chat_pb2
from chat.protocol.metadata import MAX_ID
from chat.protocol.words import Query
from chat.server.log import checking, search_index, sqlite_writer
from chat.server.log.base import Entry
from chat.server.log.connections import connect_sqlite
from chat.server.log.files import INDEX_SUFFIX
from chat.server.log.log_clock import Clocks
from chat.server.log.search_index import Words
from chat.server.log.sqlite import SqliteLog
from chat.server.log.sqlite_writer import SqliteWriter
from chat.server.log.writer_thread import Group

SHORT, LONG = 600, 12_000
PART, ROOMS = 100, 2
# What may be more: levels of trees, nothing for each message or each part.
MORE_STEPS = 1.5


class Steps:
    """Counts the steps of all connections that it opens."""

    def __init__(self) -> None:
        self.made = 0

    def connect(self, *arguments: Any, **named: Any) -> sqlite3.Connection:
        """Connect as `connect_sqlite` does."""
        connection = connect_sqlite(*arguments, **named)
        connection.set_progress_handler(self._count, 1)
        return connection

    def _count(self) -> int:
        self.made += 1
        return 0


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A short log and a long one, each with its index of words, in small parts."""
    folder = tmp_path_factory.mktemp("growth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_index, "PART_MESSAGES", PART)
        return {size: make(folder / f"{size}.db", size) for size in (SHORT, LONG)}


def make(path: Path, size: int) -> Path:
    """Make a log of so many messages, one a minute, and its index."""
    rows = [
        (n * 60_000_000, f"sala {n % ROOMS}", "ana", f"palavra numero{n}", "ana", f"k{n}")
        for n in range(size)
    ]
    log = SqliteLog(str(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        query = "INSERT INTO message (sent_at, room, user, message, sender, key) VALUES"
        connection.executemany(f"{query} (?, ?, ?, ?, ?, ?)", rows)
    with closing(Words(f"{path}{INDEX_SUFFIX}", connect_sqlite)) as words:
        words.begin(log.epoch, log.generation)
        said = [(n, f"sala {n % ROOMS}", f"palavra numero{n}") for n in range(size)]
        for start in range(0, size, PART):
            words.add(
                [(n + 1, room, text) for n, room, text in said[start : start + PART]], start + PART
            )
    log.abandon()
    return path


async def steps_of(
    path: Path, use: Callable[[SqliteLog], Awaitable[object]], **options: Any
) -> int:
    """Return how many steps it takes to open a log, use it and close it."""
    steps = Steps()
    log = SqliteLog(str(path), connect=steps.connect, **options)
    try:
        await use(log)
    finally:
        log.abandon()
    return steps.made


async def nothing(log: SqliteLog) -> None:
    """Only open it, and close it."""


async def join(log: SqliteLog) -> None:
    """Come in, with the last messages of a room."""
    (place,) = await log.find_places([("sala 1", None)], "", 20)
    assert len(await log.read("sala 1", place.start, 500)) == 20


async def come_back(log: SqliteLog) -> None:
    """Go on after what was seen last."""
    after = await log.last_id() - 40
    (place,) = await log.find_places([("sala 1", after)], log.generation, 0)
    assert place.start == after
    assert len(await log.read("sala 1", after, 500)) == 20


async def history(log: SqliteLog) -> None:
    """Read what was said before a message in the middle."""
    before = await log.last_id() // 2
    assert await log.read("sala 1", await log.start_of_last("sala 1", 20, before), 500, before)


async def say_twice(log: SqliteLog) -> None:
    """Find a message by its key."""
    assert await log.find_key("ana", "k7")


async def look_after_a_kill(log: SqliteLog) -> None:
    """Check what was written last."""
    assert await log.check() == []


USES = (nothing, join, come_back, history, say_twice, look_after_a_kill)


@pytest.mark.parametrize("use", USES, ids=lambda use: str(use.__name__))
async def test_reading_takes_as_many_steps(
    logs: dict[int, Path],
    use: Callable[[SqliteLog], Awaitable[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a log that is twenty times as long."""
    monkeypatch.setattr(checking, "LAST_MESSAGES", 500)
    short, long = [await steps_of(logs[size], use) for size in (SHORT, LONG)]
    assert long <= MORE_STEPS * short


def trim(writer: SqliteWriter) -> None:
    """Remove what is too old, portion by portion."""
    while not writer.tidy():
        pass


def say(writer: SqliteWriter) -> None:
    """Commit some messages."""
    said = [chat_pb2.Message(user="ana", message="oi", key=f"new{n}") for n in range(10)]
    writer.commit(Group([Entry("sala 1", "ana", message) for message in said]))


@pytest.mark.parametrize("use", [trim, say])
def test_writing_takes_as_many_steps(
    logs: dict[int, Path],
    tmp_path: Path,
    use: Callable[[SqliteWriter], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However much there is, or is left."""
    monkeypatch.setattr(sqlite_writer, "TRIM_ROWS", 10)
    made = []
    for size in (SHORT, LONG):
        path = tmp_path / f"{size}.db"
        path.write_bytes(logs[size].read_bytes())
        steps = Steps()
        with closing(steps.connect(path, isolation_level=None)) as connection:
            days = (size - 24.5) / 1440  # all but 24 messages
            name = str(path)
            use(SqliteWriter(connection, Lock(), name, None, None, days, Clocks()))
            kept = connection.execute("SELECT min(id) FROM message").fetchone()[0]
        assert kept == (25 if use is trim else 1)
        made.append(steps.made)
    assert made[1] <= MORE_STEPS * made[0]


def index_steps(path: Path, copy: Path, use: Callable[[sqlite3.Connection, Words], object]) -> int:
    """Return how many steps it takes to use a copy of a log's index."""
    steps = Steps()
    index = str(copy)
    copy.write_bytes(Path(f"{path}{INDEX_SUFFIX}").read_bytes())
    with (
        closing(Words(index, steps.connect)) as words,
        closing(search_index.open_index(index, steps.connect)) as connection,
    ):
        take_in(connection, words)  # a new part, which looks at the names of all tables
        find_common(connection, words)  # and so does a connection, once
        before = steps.made
        use(connection, words)
        return steps.made - before


def find_common(connection: sqlite3.Connection, words: Words) -> None:
    """Find a word that many messages have."""
    match = search_index.match_of("sala 1", Query.of("palavra"))
    assert len(search_index.find(connection, match, 0, MAX_ID, 20)[0]) == 20


def find_seldom(connection: sqlite3.Connection, words: Words) -> None:
    """Find a word that only one of the oldest messages has."""
    match = search_index.match_of("sala 1", Query.of('"numero7"'))
    assert search_index.find(connection, match, 0, MAX_ID, 20) == ([8], 0)


def find_nothing(connection: sqlite3.Connection, words: Words) -> None:
    """Look for a word that nobody has said."""
    match = search_index.match_of("sala 1", Query.of("nada"))
    assert search_index.find(connection, match, 0, MAX_ID, 20) == ([], 0)


def drop_nothing(connection: sqlite3.Connection, words: Words) -> None:
    """Look, as each second, whether the log keeps less than the index."""
    assert words.drop_before(1) is None


def take_in(connection: sqlite3.Connection, words: Words) -> None:
    """Take in what was said last."""
    upto = words.state.upto
    words.add([(upto + 1, "sala 1", "palavra")], upto + 1)


def test_statements_are_kept_for_each_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: SQLite asks for leave whenever it makes a statement."""
    monkeypatch.setattr(search_index, "PART_MESSAGES", 1)
    monkeypatch.setattr(search_index, "TURN_SECONDS", DEADLINE_SECONDS)
    path, made = str(tmp_path / "index"), 0

    def count(*_action: object) -> int:
        nonlocal made
        made += 1
        return sqlite3.SQLITE_OK

    with closing(Words(path, connect_sqlite)) as words:
        for number in range(1, 151):
            words.add([(number, "sala 1", "palavra")], number)
    with closing(search_index.open_index(path, connect_sqlite)) as connection:
        match = search_index.match_of("sala 1", Query.of("nada"))
        connection.set_authorizer(count)
        assert search_index.find(connection, match, 0, MAX_ID, 20) == ([], 0) and made
        made = 0
        assert search_index.find(connection, match, 0, MAX_ID, 20) == ([], 0) and not made


@pytest.mark.parametrize("use", [find_common, find_seldom, find_nothing, drop_nothing, take_in])
def test_index_takes_as_many_steps(
    logs: dict[int, Path],
    tmp_path: Path,
    use: Callable[[sqlite3.Connection, Words], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many parts it has."""
    monkeypatch.setattr(search_index, "PART_MESSAGES", PART)
    monkeypatch.setattr(search_index, "ASKED_PARTS", 2)
    monkeypatch.setattr(search_index, "TURN_SECONDS", DEADLINE_SECONDS)
    short, long = [index_steps(logs[size], tmp_path / str(size), use) for size in (SHORT, LONG)]
    assert long <= MORE_STEPS * short
