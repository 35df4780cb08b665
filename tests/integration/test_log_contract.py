"""What every home of the log must do, tried alike on each: SQLite's, and a cluster's on NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from natsd import running_nats
from support import DEADLINE_SECONDS, POLL_SECONDS

import chat_pb2
from chat.protocol.metadata import MAX_ID
from chat.protocol.words import Query
from chat.server.cluster.connection import ClusterSettings
from chat.server.log.base import Entry, Missing
from chat.server.log.files import IN_MEMORY
from chat.server.log.jetstream import JetStreamLog
from chat.server.log.sqlite import SqliteLog

ROOM = ""
Home = Callable[[], Any]


@pytest.fixture(params=["sqlite", "memory", "cluster", "cluster in memory"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """How to open the log, the same each time."""
    path = IN_MEMORY if "memory" in request.param else str(tmp_path / "chat.db")
    if "cluster" not in request.param:
        yield lambda: SqliteLog(path)
        return
    with running_nats(tmp_path / "nats") as server:
        settings = ClusterSettings((server.url,))
        yield lambda: JetStreamLog(path, 0, settings, frozenset({"own"}))


class OpenLog:
    """A log that is started, and what it has delivered."""

    def __init__(self, log: Any) -> None:
        self.log = log
        self.delivered: list[Entry] = []

    def take(self, entries: Sequence[Entry]) -> None:
        """Note what is delivered."""
        self.delivered += entries

    def say(self, text: str, user: str = "ana", key: str = "", room: str = ROOM) -> Entry:
        """Append a message, and return its entry."""
        entry = Entry(room, user, chat_pb2.Message(user=user, message=text, key=key), self)
        self.log.append(entry)
        return entry

    async def said(self, text: str, **options: str) -> Entry:
        """Append a message and wait for what became of it."""
        entry = self.say(text, **options)
        await self.flush()
        return entry

    async def flush(self) -> None:
        """Wait for what became of everything; fail after the deadline."""
        await asyncio.wait_for(self.log.flush(), DEADLINE_SECONDS)

    async def texts(self, room: str = ROOM, after: int = 0) -> list[str]:
        """Read all of a room."""
        found: list[str] = []
        while page := await self.log.read(room, after, 1000):
            found += [message.message for message in page]
            after = page[-1].id
        return found

    async def missing_after(self, after: int, generation: str = "") -> Missing:
        """Return what somebody who has seen an id will not get."""
        (place,) = await self.log.find_places([(ROOM, after)], generation, 0)
        missing: Missing = place.missing
        return missing


async def come_true(ask: Callable[[], Awaitable[Any]], expected: object) -> None:
    """Ask until the answer is what is expected; fail after the deadline."""

    async def poll() -> None:
        while await ask() != expected:
            await asyncio.sleep(POLL_SECONDS)

    await asyncio.wait_for(poll(), DEADLINE_SECONDS)


@asynccontextmanager
async def opened(home: Home) -> AsyncIterator[OpenLog]:
    """Open and start a log, and close it afterwards."""
    log = OpenLog(home())
    await asyncio.wait_for(log.log.open(), DEADLINE_SECONDS)
    log.log.start(log.take)
    try:
        yield log
    finally:
        await log.log.close()


async def test_ids_and_times_grow_in_the_order_of_saying(home: Home) -> None:
    """Also over several groups; what is read is what was delivered."""
    async with opened(home) as log:
        for number in range(3000):
            log.say(str(number))
            await log.log.wait_for_space()
        await log.flush()
        assert [entry.message.message for entry in log.delivered] == list(map(str, range(3000)))
        ids = [entry.message.id for entry in log.delivered]
        times = [entry.message.sent_at.ToNanoseconds() for entry in log.delivered]
        assert ids == sorted(set(ids)) and ids[0] > 0 and times == sorted(times)
        assert await log.texts() == list(map(str, range(3000)))
        assert await log.log.last_id() == ids[-1]


async def test_what_is_read_is_what_was_said(home: Home) -> None:
    """With all that a message has."""
    said = chat_pb2.Message(user="Ana Maria", message="çã 😀\n\tzwei", key="k", to="Bia")
    said.kind, said.sealed = chat_pb2.KIND_ACTION, b"\x00\xff"
    async with opened(home) as log:
        entry = Entry("\x01inbox", "ana", said)
        log.log.append(entry)
        await log.flush()
        assert await log.log.read("\x01inbox", 0, 10) == [entry.message]
        assert (await log.log.find_key("ana", "k")) == ("\x01inbox", entry.message)
        assert await log.log.find_key("ana", "other") is None


async def test_key_is_appended_once(home: Home) -> None:
    """While the first is under way, and later; another's key is another one."""
    async with opened(home) as log:
        first, second = log.say("oi", key="k"), log.say("changed", key="k")
        third = await log.said("later", key="k", room="sala")
        other = await log.said("bia's", user="bia", key="k")
        assert not first.is_repeated and second.is_repeated and third.is_repeated
        assert first.message == second.message == third.message
        assert third.room == ROOM and third.said.message == "later"
        assert not other.is_repeated
        assert await log.texts() == ["oi", "bia's"]
        assert all(entry.origin is log for entry in log.delivered) and len(log.delivered) == 4


async def test_messages_without_a_key_are_never_repeats(home: Home) -> None:
    """No key is not the same key."""
    async with opened(home) as log:
        await log.said("oi")
        await log.said("oi")
        assert await log.texts() == ["oi", "oi"]


async def test_place_of_a_reader_is_found(home: Home) -> None:
    """Where the last messages begin; after an id; and that an id means nothing."""
    async with opened(home) as log:
        assert await log.log.start_of_last(ROOM, 3) == 0
        entries = [log.say(str(number)) for number in range(10)]
        await log.flush()
        start = await log.log.start_of_last(ROOM, 3)
        assert await log.texts(after=start) == ["7", "8", "9"]
        assert await log.log.start_of_last(ROOM, 3, entries[3].message.id) == 0
        last = entries[-1].message.id
        assert await log.missing_after(last, log.log.generation) is Missing.NOTHING
        assert await log.missing_after(last + (1 << 40), log.log.generation) is Missing.REWOUND
        assert await log.missing_after(1, "0" * 32) is Missing.REWOUND


async def test_records_are_what_was_kept_last(home: Home) -> None:
    """Alone, with messages, and of a kind that a server keeps for itself."""
    async with opened(home) as log:
        log.log.keep("owner", "a", "1")
        log.log.keep("owner", "b", "2")
        log.log.keep("own", "c", "3")
        await log.said("oi")
        log.log.keep("owner", "a", None)
        log.log.keep("owner", "b", "4")
        await log.said("oi")
        await come_true(lambda: log.log.records("own"), {"c": "3"})
        assert await log.log.records("owner") == {"b": "4"}


async def test_everything_is_there_after_a_restart(home: Home) -> None:
    """Messages, keys, records; where the file was only in memory, what the cluster has."""
    async with opened(home) as log:
        first = await log.said("oi", key="k")
        log.log.keep("owner", "a", "1")
        epoch = log.log.epoch
    if isinstance(log.log, SqliteLog) and log.log.path == IN_MEMORY:
        return
    async with opened(home) as log:
        assert log.log.epoch == epoch
        assert await log.log.records("owner") == {"a": "1"}
        again = await log.said("oi", key="k")
        assert again.is_repeated and again.message == first.message
        assert (await log.said("new")).message.id > first.message.id
        assert await log.texts() == ["oi", "new"]
        assert await log.missing_after(first.message.id) is Missing.NOTHING


async def test_check_finds_nothing(home: Home) -> None:
    """In a log that is sound."""
    async with opened(home) as log:
        await log.said("oi")
        assert await log.log.check() == []


async def test_what_was_said_is_found(home: Home) -> None:
    """Newest first, in its room alone; also by the next opening."""
    async with opened(home) as log:
        await log.said("Uma reunião")
        await log.said("outra sala, reunião", room="outra")
        await log.said("a REUNIAO mudou")
        await come_true(lambda: found(log), ["a REUNIAO mudou", "Uma reunião"])


async def found(log: OpenLog) -> list[str]:
    """Search, and return the texts that are found."""
    some = await log.log.search(ROOM, Query.of("reuni"), 0, MAX_ID, 10)
    assert some.reached == 0
    return [message.message for message in some.messages]
