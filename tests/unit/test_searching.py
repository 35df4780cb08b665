"""Searches of a log in real SQLite: by the index, by the texts, and by both."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from support import DEADLINE_SECONDS, POLL_SECONDS

import chat_pb2
from chat.protocol.metadata import MAX_ID
from chat.protocol.words import Query
from chat.server.log import maintenance, part_words, search_index, searching
from chat.server.log.base import Entry, LogError, Problem
from chat.server.log.connections import connect_sqlite
from chat.server.log.files import IN_MEMORY
from chat.server.log.sqlite import SqliteLog
from chat.server.room import inbox_of

ROOM = "redes"


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A log that is not there yet."""
    return tmp_path / "chat.db"


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index looks for news at once."""
    monkeypatch.setattr(searching, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(searching, "TRY_AGAIN_SECONDS", 0.01)


class OpenLog:
    """A log that is started, and what is found in it."""

    def __init__(self, log: SqliteLog) -> None:
        self.log = log
        self.ids: list[int] = []

    async def say(self, *texts: str, room: str = ROOM, kind: int = 0, to: str = "") -> None:
        """Append messages, and wait for them to be in the log."""
        for text in texts:
            said = chat_pb2.Message(user="ana", message=text, to=to)
            said.kind = kind  # type: ignore[assignment]
            entry = Entry(room, "ana", said)
            self.log.append(entry)
        await self.log.flush()
        self.ids.append(await self.log.last_id())

    async def find(
        self, text: str, room: str = ROOM, after: int = 0, before: int = MAX_ID, limit: int = 100
    ) -> list[str]:
        """Return what is found, going on until all was looked through."""
        found: list[str] = []
        while before:
            some = await self.log.search(room, Query.of(text), after, before, limit)
            found += [message.message for message in some.messages]
            assert some.reached < before
            before = some.reached
        return found


@asynccontextmanager
async def opened(path: str | Path, **options: Any) -> AsyncIterator[OpenLog]:
    """Open and start the log in `path`, and close it afterwards."""
    log = OpenLog(SqliteLog(str(path), **options))
    log.log.start(lambda entries: None)
    try:
        yield log
    finally:
        await log.log.close()


def index_of(db: Path) -> Path:
    """Return where the index of a log is."""
    return db.with_name(f"{db.name}-search")


def state_of(db: Path) -> tuple[str, int]:
    """Return in which generation the index is, and up to which id; -1 where there is none yet."""
    try:
        with closing(sqlite3.connect(index_of(db).as_uri() + "?mode=ro", uri=True)) as index:
            generation, upto = index.execute("SELECT generation, upto FROM state").fetchone()
            return str(generation), int(upto)
    except sqlite3.Error:
        return "", -1


def count_in(db: Path) -> int:
    """Return how many messages are in the index."""
    with closing(sqlite3.connect(index_of(db))) as index:
        query = "SELECT coalesce(sum(messages), 0) FROM part WHERE is_whole"
        return int(index.execute(query).fetchone()[0])


async def come_true(predicate: Callable[[], bool]) -> None:
    """Wait for something to become so; fail after the deadline."""

    async def poll() -> None:
        while not predicate():
            await asyncio.sleep(POLL_SECONDS)

    await asyncio.wait_for(poll(), DEADLINE_SECONDS)


async def indexed(db: Path, log: OpenLog) -> None:
    """Wait until the index has come to the end of the log."""
    there = (log.log.generation, await log.log.last_id())
    await come_true(lambda: state_of(db) == there)


def without_fts5(*arguments: Any, **named: Any) -> sqlite3.Connection:
    """Connect to an SQLite that was built without FTS5."""
    connection = sqlite3.connect(*arguments, factory=_WithoutFts5, **named)
    return connection


class _WithoutFts5(sqlite3.Connection):
    def execute(self, query: str, *rest: Any) -> sqlite3.Cursor:
        if "fts5" in query:
            raise sqlite3.OperationalError("no such module: fts5")
        return super().execute(query, *rest)


HOMES = ["index", "memory", "no fts5"]


@pytest.fixture(params=HOMES)
async def log(request: pytest.FixtureRequest, db: Path) -> AsyncIterator[OpenLog]:
    """A log with something in it, and all ways of looking for it."""
    path = IN_MEMORY if request.param == "memory" else str(db)
    connect = without_fts5 if request.param == "no fts5" else connect_sqlite
    async with opened(path, connect=connect) as log:
        await log.say("Reunião às 15h", "a reuniao mudou", "bom dia a todos", "Bom, e o dia?")
        await log.say("acena à reunião", kind=chat_pb2.KIND_ACTION)
        await log.say("reunião", room="outra")
        await log.say("reunião em segredo", room=inbox_of("bia"), to="bia")
        await log.say("reunião", kind=chat_pb2.KIND_CLOSED)
        if request.param == "index":
            await indexed(db, log)
        yield log


async def test_all_words_are_there_whatever_their_accents_and_case(log: OpenLog) -> None:
    """Newest first; nothing of other rooms, nothing private, nothing but what is said or done."""
    assert await log.find("REUNIAO") == ["acena à reunião", "a reuniao mudou", "Reunião às 15h"]
    assert await log.find("reuni 15") == ["Reunião às 15h"]
    assert await log.find("dia bom") == ["Bom, e o dia?", "bom dia a todos"]
    assert await log.find('"bom dia"') == ["bom dia a todos"]
    assert await log.find("união") == []
    assert await log.find("segredo") == []
    assert await log.find("reunião", room="outra") == ["reunião"]


async def test_a_search_is_between_two_ids_and_goes_on(log: OpenLog) -> None:
    """However little is found at a time, everything is, once."""
    assert await log.find("reuniao", limit=1) == await log.find("reuniao")
    assert await log.find("reuniao", after=1) == ["acena à reunião", "a reuniao mudou"]
    assert await log.find("reuniao", before=2) == ["Reunião às 15h"]
    assert await log.find("reuniao", after=1, before=3) == ["a reuniao mudou"]


@pytest.mark.parametrize(
    "text",
    [
        '"',
        '""',
        "a*",
        "(",
        ")",
        "room : x",
        "-a",
        "^a",
        "NEAR(a b)",
        "a OR",
        "AND",
        "NOT a",
        "'; --",
    ]
    + ["{room}:x", "a:b", "*", "+", "\x00", "a\x00b", "x6f75747261", '"a" * "b', "\\", "%", "_"],
)
async def test_whatever_is_typed_is_words(log: OpenLog, text: str) -> None:
    """Nothing of FTS5's own language reaches it, and nobody gets at another room by it."""
    if Query.of(text).terms:
        assert "reunião" not in await log.find(text)


async def test_what_the_index_has_not_come_to_is_found(db: Path) -> None:
    """It is looked at by itself, and what is below by the index."""
    async with opened(db) as log:
        await log.say("uma casa")
        await indexed(db, log)
        with closing(sqlite3.connect(index_of(db), isolation_level=None)) as index:
            index.execute("BEGIN IMMEDIATE")  # nothing more can be taken in
            await log.say("outra casa")
            assert state_of(db)[1] < await log.log.last_id()
            assert await log.find("casa") == ["outra casa", "uma casa"]
            assert await log.find("casa", limit=1) == ["outra casa", "uma casa"]


async def test_texts_are_looked_at_for_a_bounded_time(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said how far that went, and a search goes on from there."""
    monkeypatch.setattr(searching, "SCANNED_ROWS", 10)
    monkeypatch.setattr(searching, "MAX_SCANNED_ROWS", 20)
    async with opened(IN_MEMORY) as log:
        await log.say("agulha", *["palha"] * 50)
        found = await log.log.search(ROOM, Query.of("agulha"), 0, MAX_ID, 10)
        assert list(found.messages) == [] and found.reached == 32
        assert await log.find("agulha") == ["agulha"]


async def test_index_goes_on_after_a_restart(db: Path) -> None:
    """With what was said meanwhile, if only since it was closed; nothing is taken in twice."""
    async with opened(db) as log:
        await log.say("um dia")
        await indexed(db, log)
    async with opened(db, connect=without_fts5) as log:
        await log.say("dois dias")
    async with opened(db) as log:
        await indexed(db, log)
        assert await log.find("dia") == ["dois dias", "um dia"]
        assert count_in(db) == 2


@pytest.mark.parametrize(
    "how", ["older copy", "another log", "another's index", "damaged", "another version"]
)
async def test_index_of_something_else_is_made_anew(
    db: Path, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log is what counts."""
    copy = tmp_path / "copy.db"
    async with opened(db) as log:
        await log.say("um carro")
        maintenance.backup(str(db), str(copy))
        await log.say("dois carros", "três carros")
        await indexed(db, log)
    if how == "older copy":
        copy.replace(db)
    elif how == "another log":
        db.unlink()
    elif how == "another's index":
        other = tmp_path / "other.db"
        async with opened(other) as log:
            await log.say("um carro de outros", "dois carros de outros", "três", "quatro")
            await indexed(other, log)
        index_of(other).replace(index_of(db))
    elif how == "damaged":
        content = index_of(db).read_bytes()
        index_of(db).write_bytes(content[:4096] + b"\xaa" * (len(content) - 4096))
    else:
        with closing(sqlite3.connect(index_of(db))) as index:
            index.execute("PRAGMA user_version = 99")
    async with opened(db) as log:
        await log.say("um carro novo", "carro")
        await indexed(db, log)
        found = await log.find("carro")
        assert found[:2] == ["carro", "um carro novo"]
        assert ("um carro" in found) == (how != "another log")
        assert ("dois carros" in found) == (how not in ("older copy", "another log"))
        assert not [text for text in found if text.endswith("outros")]
        assert count_in(db) == len(found)
    assert maintenance.check(str(db)) == []


async def test_file_of_somebody_else_is_left_alone(db: Path) -> None:
    """Whatever its name; then the texts are looked at."""
    index_of(db).write_text("my notes", encoding="utf-8")
    async with opened(db) as log:
        await log.say("um carro")
        assert await log.find("carro") == ["um carro"]
    assert index_of(db).read_text(encoding="utf-8") == "my notes"


async def test_index_that_fails_while_it_is_used_is_made_anew(db: Path) -> None:
    """Meanwhile the texts are looked at."""
    async with opened(db) as log:
        await log.say("um carro")
        await indexed(db, log)
        with closing(sqlite3.connect(index_of(db))) as index:
            index.execute("DROP TABLE words_2_data")
        assert await log.find("carro") == ["um carro"]
        await log.say("outro carro")
        assert await log.find("carro") == ["outro carro", "um carro"]


async def test_parts_are_asked_that_have_the_words(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole words, beginnings, and phrases, whose words may be in another part as well."""
    monkeypatch.setattr(search_index, "PART_MESSAGES", 10)
    monkeypatch.setattr(search_index, "ASKED_PARTS", 1)
    monkeypatch.setattr(searching, "FOLLOWED_ROWS", 5)
    async with opened(db) as log:
        for part in range(6):
            await log.say(*[f"numero {part * 10 + number}" for number in range(8)])
            await log.say("o azul claro" if part == 1 else "claro como o azul", f"só{part}")
        await indexed(db, log)
        for part in range(6):
            assert await log.find(f"SO{part}") == [f"só{part}"]
        assert await log.find("so") == [f"só{part}" for part in reversed(range(6))]
        assert await log.find('"azul claro"') == ["o azul claro"]
        assert len(await log.find("clar azul")) == 6
        assert await log.find("nada") == [] and await log.find("numero nada") == []
        assert words_of_parts(db) >= {"so0", "azul", "7"}


async def test_part_with_very_many_words_is_always_asked(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not all taken into memory; of a very long word the beginning is."""
    monkeypatch.setattr(search_index, "PART_MESSAGES", 2)
    monkeypatch.setattr(search_index, "ASKED_PARTS", 1)
    monkeypatch.setattr(searching, "FOLLOWED_ROWS", 2)
    monkeypatch.setattr(part_words, "MAX_WORDS", 5)
    long = "a" * 100
    async with opened(db) as log:
        await log.say("um dois", long, "um dois três quatro", "cinco seis")
        await log.say(*["sete"] * 6)
        await indexed(db, log)
        assert words_of_parts(db) == {"um", "dois", "sete", "a" * 64}
        assert await log.find("três") == ["um dois três quatro"]
        assert await log.find("dois") == ["um dois três quatro", "um dois"]
        assert await log.find(long) == await log.find("aaa") == [long]
        assert await log.find(f"{long}a") == []


def words_of_parts(db: Path) -> set[str]:
    """Return all words by which parts are found."""
    with closing(sqlite3.connect(index_of(db))) as index:
        index.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, part_words, row)")
        return {word for (word,) in index.execute("SELECT term FROM temp.words")}


async def trim_numbered(db: Path, count: int) -> None:
    """Have so many numbered messages indexed, of which the log keeps the first 23 no longer."""
    async with opened(db) as log:
        await log.say(*[f"numero {number}" for number in range(count)])
        await indexed(db, log)
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("DELETE FROM message WHERE id <= 23")


async def test_what_the_log_keeps_no_longer_is_not_in_the_index(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole parts go at once; one that has something else as well is made anew."""
    monkeypatch.setattr(search_index, "PART_MESSAGES", 10)
    monkeypatch.setattr(search_index, "ASKED_PARTS", 1)
    monkeypatch.setattr(searching, "FOLLOWED_ROWS", 5)
    await trim_numbered(db, 45)
    async with opened(db) as log:
        await come_true(lambda: count_in(db) == 22)
        assert len(await log.find("numero")) == 22
        assert await log.find("numero 22") == [] and await log.find("numero 23") == ["numero 23"]
        assert words_of_parts(db) == {"numero", *(str(number) for number in range(23, 40))}
        await log.say("numero 45")
        await indexed(db, log)
        assert len(await log.find("numero")) == 23


async def test_what_is_new_never_goes_into_an_old_part(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was made anew has room, but what is in it is not the newest."""
    monkeypatch.setattr(search_index, "PART_MESSAGES", 10)
    monkeypatch.setattr(searching, "FOLLOWED_ROWS", 5)
    await trim_numbered(db, 40)
    async with opened(db) as log:
        await come_true(lambda: count_in(db) == 17)
        await log.say("numero 40", "numero 41")
        await indexed(db, log)
        found = await log.find("numero", limit=4)
        assert found == [f"numero {number}" for number in range(41, 22, -1)]


async def test_log_without_messages_leaves_no_words(db: Path) -> None:
    """All of them were removed."""
    async with opened(db) as log:
        await log.say("um", "dois")
        await indexed(db, log)
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("DELETE FROM message")
    async with opened(db):
        await come_true(lambda: count_in(db) == 0)


@pytest.mark.skipif(os.name == "nt", reason="an open file can be removed on POSIX")
async def test_index_of_a_log_that_is_gone_goes_with_it(db: Path) -> None:
    """Whoever removes what was said removes its words."""
    log = OpenLog(SqliteLog(str(db)))
    log.log.start(lambda entries: None)
    await log.say("um")
    await indexed(db, log)
    db.unlink()
    with pytest.raises(LogError):
        await log.log.close()
    log.log.abandon()
    assert not list(db.parent.glob("*-search*"))


def test_a_copy_is_not_made_where_the_index_is(db: Path) -> None:
    """Nor where what SQLite puts beside it is."""
    SqliteLog(str(db)).abandon()
    for suffix in ("-search", "-search-wal"):
        with pytest.raises(LogError) as trouble:
            maintenance.backup(str(db), f"{db}{suffix}")
        assert trouble.value.problem is Problem.RESERVED


async def test_check_says_that_the_index_is_damaged(db: Path) -> None:
    """The log itself is sound."""
    async with opened(db) as log:
        await log.say("um")
        await indexed(db, log)
    content = index_of(db).read_bytes()
    index_of(db).write_bytes(content[:4096] + b"\xaa" * (len(content) - 4096))
    faults = maintenance.check(str(db))
    assert faults and all(fault.startswith(str(index_of(db))) for fault in faults)


async def test_commits_do_not_wait_for_the_index(db: Path) -> None:
    """Whatever holds it up."""
    async with opened(db) as log:
        await log.say("um")
        await indexed(db, log)
        with closing(sqlite3.connect(index_of(db), isolation_level=None)) as index:
            index.execute("BEGIN EXCLUSIVE")
            await asyncio.wait_for(log.say(*map(str, range(1000))), DEADLINE_SECONDS)
