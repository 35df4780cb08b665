"""The log of a cluster against what can happen to NATS, to the servers and to their files."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from natsd import Natsd, running_nats, running_nats_cluster
from support import DEADLINE_SECONDS, POLL_SECONDS

import chat_pb2
from chat.server.cluster import connection, stream
from chat.server.cluster.bucket import Bucket
from chat.server.cluster.connection import ApiError, ClusterSettings, Connection
from chat.server.log import publisher, record_copies, stream_link
from chat.server.log.base import TOLD, ClusterState, Entry, LogError, Missing, Problem
from chat.server.log.files import IN_MEMORY
from chat.server.log.jetstream import JetStreamLog
from chat.server.log.record_copies import RecordCopies, RecordCopy
from chat.server.log.sqlite import SqliteLog

ROOM = ""
Record = tuple[str, str, "str | None"]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Natsd]:
    """A nats-server, on whose disk is what it has acknowledged."""
    with running_nats(tmp_path / "nats", sync="always") as server:
        yield server


class Server:
    """The log of one server, what it has delivered, and what it was told."""

    def __init__(
        self, path: Path | str, nats: Natsd, retain_days: float = 0, replicas: int = 1
    ) -> None:
        settings = ClusterSettings((nats.url,), replicas)
        self.log = JetStreamLog(str(path), retain_days, settings, frozenset({"holder"}))
        self.delivered: list[Entry] = []
        self.records: list[Record] = []
        self.troubles: list[Problem | None] = []
        self.rewound = 0

    async def open(self) -> Server:
        """Open and start it."""
        self.log.listen(lambda *record: self.records.append(record), self._see_rewound)
        await asyncio.wait_for(self.log.open(), DEADLINE_SECONDS)
        self.log.start(self._take, self._hear)
        return self

    def _take(self, entries: Sequence[Entry]) -> None:
        self.delivered += entries

    def _hear(self, trouble: LogError | None) -> None:
        self.troubles.append(trouble.problem if trouble is not None else None)

    def _see_rewound(self) -> None:
        self.rewound += 1

    def say(self, text: str, key: str = "", user: str = "ana", room: str = ROOM) -> Entry:
        """Append a message."""
        entry = Entry(room, user, chat_pb2.Message(user=user, message=text, key=key), self)
        self.log.append(entry)
        return entry

    async def said(self, text: str, key: str = "", user: str = "ana") -> Entry:
        """Append a message and wait for what becomes of it."""
        entry = self.say(text, key, user)
        await eventually(lambda: entry in self.delivered)
        return entry

    async def rows(self) -> list[tuple[int, str]]:
        """Return the ids and texts of the common room."""
        found: list[tuple[int, str]] = []
        while page := await self.log.read(ROOM, found[-1][0] if found else 0, 1000):
            found += [(message.id, message.message) for message in page]
        return found

    async def texts(self) -> list[str]:
        """Return the texts of the common room."""
        return [text for _id, text in await self.rows()]

    async def has(self, *texts: str) -> None:
        """Wait until these, and no others, are in the common room."""
        await eventually_async(self.texts, list(texts))

    async def missing_after(self, after: int, generation: str) -> Missing:
        """Return what somebody who has seen an id in a generation will not get."""
        (place,) = await self.log.find_places([(ROOM, after)], generation, 0)
        return place.missing


async def eventually(predicate: Callable[[], bool]) -> None:
    """Return when it is true; fail after the deadline."""

    async def poll() -> None:
        while not predicate():
            await asyncio.sleep(POLL_SECONDS)

    await asyncio.wait_for(poll(), DEADLINE_SECONDS)


async def eventually_async(ask: Callable[[], Any], expected: object) -> None:
    """Return when the answer is what is expected; fail after the deadline."""
    answer: object = None
    try:
        async with asyncio_deadline():
            while (answer := await ask()) != expected:
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"{answer} is not {expected}") from None


@asynccontextmanager
async def asyncio_deadline() -> AsyncIterator[None]:
    """Raise TimeoutError where the block takes too long (`asyncio.timeout` is of Python 3.11)."""
    task = asyncio.current_task()
    assert task is not None
    timer = asyncio.get_running_loop().call_later(DEADLINE_SECONDS, task.cancel)
    try:
        yield
    except asyncio.CancelledError:
        raise TimeoutError from None
    finally:
        timer.cancel()


@asynccontextmanager
async def servers(nats: Natsd, *paths: Path | str, **options: Any) -> AsyncIterator[list[Server]]:
    """Run the logs of several servers for the length of the block."""
    async with AsyncExitStack() as stack:
        opened = []
        for path in paths:
            server = Server(path, nats, **options)
            stack.push_async_callback(close, server)
            opened.append(await server.open())
        yield opened


async def close(server: Server) -> None:
    """Close a log, whatever waits for NATS."""
    server.log.hurry(0.2)
    await server.log.close()


# What servers have from each other.


async def test_all_servers_have_the_same_in_the_same_order(nats: Natsd, tmp_path: Path) -> None:
    """With the same ids and times, whoever said it; a new server gets all of it."""
    async with servers(nats, tmp_path / "a.db", tmp_path / "b.db") as (a, b):
        assert a.log.cluster == ClusterState(0, is_followed=True)
        for number in range(300):
            a.say(f"a{number}")
            b.say(f"b{number}", user="bia")
            if number % 50 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(a.log.flush(), b.log.flush())
        await eventually(lambda: len(a.delivered) == len(b.delivered) == 600)
        rows = await a.rows()
        assert rows == await b.rows() and len(rows) == 600
        assert [text for _id, text in rows if text[0] == "a"] == [f"a{n}" for n in range(300)]
        assert [entry.message for entry in a.delivered] == [entry.message for entry in b.delivered]
        assert {entry.origin for entry in a.delivered} == {a, None}
        async with servers(nats, IN_MEMORY) as (c,):
            assert await c.rows() == rows and c.delivered == []
            assert (c.log.epoch, c.log.generation) == (a.log.epoch, a.log.generation)


async def test_three_nodes_that_are_well_are_no_trouble(tmp_path: Path) -> None:
    """A group that is sent twice in a row is refused, there, as one that is being stored."""
    with running_nats_cluster(tmp_path / "nats", sync="always") as nodes:
        async with servers(nodes[0], IN_MEMORY, replicas=3) as (a,):
            for text in ("one", "two", "three"):
                assert not (await a.said(text)).is_lost
            a.log.keep("room", "kitchen", "closed")
            await eventually(lambda: ("room", "kitchen", "closed") in a.records)
            assert [trouble for trouble in a.troubles if trouble is not None] == []


async def test_key_is_appended_once_whichever_server_it_is_said_at(
    nats: Natsd, tmp_path: Path
) -> None:
    """The second time gives the first result, and others hear it once."""
    async with servers(nats, tmp_path / "a.db", tmp_path / "b.db") as (a, b):
        first, second = a.say("oi", "k"), b.say("again", "k")
        await eventually(lambda: first in a.delivered and second in b.delivered)
        assert first.is_repeated is not second.is_repeated
        assert first.message == second.message
        third = await a.said("later", "k")
        assert third.is_repeated and third.message == first.message
        assert len(await a.rows()) == len(await b.rows()) == 1


async def test_records_are_kept_by_all_but_those_of_one_servers_streams(
    nats: Natsd, tmp_path: Path
) -> None:
    """They are heard in the order of the log, and before what was said after them."""
    async with servers(nats, tmp_path / "a.db", tmp_path / "b.db") as (a, b):
        a.log.keep("owner", "ana", "1")
        a.log.keep("holder", "session", "a's own")
        await a.said("first")
        await eventually(lambda: len(b.delivered) == 1)
        assert b.records == [("owner", "ana", "1")]
        b.log.keep("owner", "ana", None)
        b.log.keep("owner", "bia", "2")
        await eventually(lambda: len(a.records) >= 3)
        assert await a.log.records("owner") == await b.log.records("owner") == {"bia": "2"}
        await eventually_async(lambda: a.log.records("holder"), {"session": "a's own"})
        assert await b.log.records("holder") == {}


async def test_what_is_told_is_heard_once_elsewhere_and_kept_nowhere(
    nats: Natsd, tmp_path: Path
) -> None:
    """In its place among the records; neither by who tells it, nor by who comes later."""
    paths = (tmp_path / "a.db", tmp_path / "b.db", tmp_path / "c.db")
    async with servers(nats, *paths) as (a, b, c):
        await close(c)
        a.log.keep("ban", "bia", "1")
        a.log.tell("banned")
        a.log.keep("ban", "bia", "2")  # in place of the first: after what is told
        await a.said("oi")
        await eventually(lambda: len(b.delivered) == 1)
        told = [(kind, text) for kind, _key, text in b.records]
        assert told == [(TOLD, "banned"), ("ban", "2")]
        assert a.records == [("ban", "bia", "2")]
        assert await b.log.records(TOLD) == await a.log.records(TOLD) == {}
        async with servers(nats, paths[2], IN_MEMORY) as later:
            for server in later:
                await server.has("oi")
                assert server.records == [("ban", "bia", "2")]


async def test_record_that_is_older_than_ones_own_is_not_heard(nats: Natsd, tmp_path: Path) -> None:
    """Both servers end up with what the log has last."""
    async with servers(nats, tmp_path / "a.db", tmp_path / "b.db") as (a, b):
        for number in range(20):
            a.log.keep("owner", "ana", f"a{number}")
            b.log.keep("owner", "ana", f"b{number}")
            await asyncio.gather(a.said("x"), b.said("y"))
        await eventually(lambda: len(a.delivered) == len(b.delivered) == 40)
        kept = await a.log.records("owner")
        assert kept == await b.log.records("owner")
        assert a.records[-1] == b.records[-1] == ("owner", "ana", kept["ana"])


async def test_reader_who_is_ahead_of_a_server_is_waited_for(nats: Natsd, tmp_path: Path) -> None:
    """It is not told that the log was put back; an id that nobody has is."""
    async with servers(nats, tmp_path / "a.db", tmp_path / "b.db") as (a, b):
        ahead = await a.said("oi")
        generation = a.log.generation
        assert await b.missing_after(ahead.message.id, generation) is Missing.NOTHING
        far = ahead.message.id + (1000 << 10)
        assert await b.missing_after(far, generation) is Missing.REWOUND


# Files.


async def test_server_without_its_file_has_all_again(nats: Natsd, tmp_path: Path) -> None:
    """And one whose file is an older one follows from there."""
    db = tmp_path / "a.db"
    async with servers(nats, db) as (a,):
        first = await a.said("oi", "k")
    older = db.read_bytes()
    async with servers(nats, db) as (a,):
        await a.said("tchau")
    db.write_bytes(older)
    async with servers(nats, db) as (a,):
        await a.has("oi", "tchau")
    db.unlink()
    async with servers(nats, db) as (a,):
        await a.has("oi", "tchau")
        again = await a.said("again", "k")
        assert again.is_repeated and again.message == first.message


async def test_file_of_another_log_is_refused(nats: Natsd, tmp_path: Path) -> None:
    """Each way: a log of its own at a cluster, a cluster's without it."""
    alone, shared = tmp_path / "alone.db", tmp_path / "shared.db"
    log = SqliteLog(str(alone))
    log.start(lambda entries: None)
    log.append(Entry(ROOM, "ana", chat_pb2.Message(user="ana", message="oi")))
    await log.close()
    async with servers(nats, shared):
        pass
    server = Server(alone, nats)
    with pytest.raises(LogError) as refusal:
        await server.open()
    await server.log.close()
    assert refusal.value.problem is Problem.OTHER_LOG
    with pytest.raises(LogError) as refusal:
        SqliteLog(str(shared))
    assert refusal.value.problem is Problem.FOLLOWING


async def test_what_is_no_group_of_ours_is_passed_over(nats: Natsd, tmp_path: Path) -> None:
    """Whoever may write to NATS cannot stop the servers by it."""
    async with servers(nats, tmp_path / "a.db") as (a,):
        other = Connection(ClusterSettings((nats.url,)))
        await other.open(lambda text: None)
        await other.publish(stream.SUBJECT, b"\xff\xff\xff")
        await other.publish(stream.SUBJECT, b"\xff\xff", "", {stream.MESSAGE_ID: "other-1"})
        await other.publish(stream.SUBJECT, b"", "", {stream.MESSAGE_ID: "other-9" * 3})
        await other.close()
        await a.said("oi")
        await a.has("oi")


# What whoever may write to NATS puts into a header.
HOSTILE_HEADERS: list[dict[str, str]] = [
    {stream.MESSAGE_ID: "abc-" + "9" * 5000},
    {stream.MESSAGE_ID: "abc-" + "9" * 30},
    {stream.MESSAGE_ID: "abc-007"},
    {stream.MESSAGE_ID: "abc-1", "Chat-Rewinds": "9" * 5000},
    {stream.MESSAGE_ID: "abc-2", "Chat-Rewinds": "9" * 30},
    {"Status": "404"},
    {"Status": "100"},
    {"Status": "100", "Nats-Last-Consumer": "abc"},
]


async def test_header_of_others_neither_ends_a_server_nor_stops_it(
    nats: Natsd, tmp_path: Path
) -> None:
    """Nor one that starts on it, nor one that looks at the stream again."""
    async with servers(nats, tmp_path / "a.db") as (a,):
        for number, headers in enumerate(HOSTILE_HEADERS):
            await a.log.connection.publish(stream.SUBJECT, b"", "", headers)
            await a.said(str(number))
        await a.log.connection.publish(stream.SUBJECT, b"the last one is nobody's")
        nats.kill()
        nats.start()
        await a.said("still here")
        texts = await a.texts()
        async with servers(nats, IN_MEMORY) as (new,):
            await new.has(*texts)
        assert (a.log.rewinds, a.rewound) == (0, 0) and Problem.STOPPED not in a.troubles


async def test_record_that_cannot_be_taken_over_holds_nothing_back(
    nats: Natsd, tmp_path: Path
) -> None:
    """Who said what comes with it is answered all the same, and others hear it."""
    async with servers(nats, tmp_path / "a.db", tmp_path / "b.db") as (a, b):

        def fail(*_record: object) -> None:
            raise RecursionError

        b.log.listen(fail, lambda: None)
        a.log.keep("owner", "ana", "text")
        a.say("oi")
        await b.has("oi")
        await b.said("tudo bem?")
        await eventually(lambda: len(b.delivered) == 2)
        assert b.troubles.count(Problem.STOPPED) == 0


async def test_records_of_a_servers_own_are_nobody_elses_to_write(
    nats: Natsd, tmp_path: Path
) -> None:
    """Who is expected back here is known here."""
    async with servers(nats, tmp_path / "a.db") as (a,):
        record = chat_pb2.Message(user="holder", key="x", message="[" * 100_000, id=1)
        group = chat_pb2.Message(batch=[record]).SerializeToString()
        await a.log.connection.publish(stream.SUBJECT, group, "", {stream.MESSAGE_ID: "other-1"})
        await a.said("oi")
        assert await a.log.records("holder") == {} and a.records == []


HOSTILE_HEADS = [
    b"[" * 200_000,
    b'{"name": "ab", "sequence": "q", "parts": 0, "at": 1}',
    b'{"name": "ab", "sequence": 0, "parts": 0, "at": "x"}',
    b'{"name": "ab", "sequence": 0, "parts": 1000000000, "at": 1}',
    b'{"name": "*.>", "sequence": 0, "parts": 1, "at": 1}',
    b'{"name": "ab", "sequence": 99, "parts": 1, "at": 1}',
    b"\xff",
    b"[1, 2]",
]


async def test_copy_of_records_that_is_none_is_not_taken_over(nats: Natsd) -> None:
    """It is as if there were no copy: one is written, where it is due."""
    copy = RecordCopy(99, {("owner", "ana"): "text"})
    failures: list[BaseException] = []

    async def read() -> RecordCopy:
        return copy

    async with servers(nats, IN_MEMORY) as (a,):
        for content in HOSTILE_HEADS:
            copies = RecordCopies(a.log.connection, 1, 1, read, failures.append)
            await copies.load()
            await Bucket(a.log.connection, "chat-records", 1).put("head", content)
            assert await copies.load() is None

            async def load(copies: RecordCopies = copies) -> RecordCopy | None:
                with suppress(connection.AwayError):  # it is just being replaced
                    return await copies.load()
                return None

            copies.start()
            await eventually_async(load, copy)
            await copies.close()
    assert failures == []


# NATS away.


async def test_what_was_never_sent_is_refused_after_a_while(
    nats: Natsd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is certain that it is not stored; what may be on its way stays open until it is known."""
    monkeypatch.setattr(publisher, "MAX_AGE_SECONDS", 0.5)
    monkeypatch.setattr(stream_link, "AWAY_SECONDS", 0.1)
    async with servers(nats, tmp_path / "a.db") as (a,):
        await a.said("before", "k0")
        nats.kill()
        await eventually(lambda: Problem.AWAY in a.troubles)
        lost, again = a.say("meanwhile", "k"), a.say("meanwhile", "k")
        await eventually(lambda: again in a.delivered)
        assert lost.is_lost and again.is_lost
        assert (await a.said("before", "k0")).is_repeated  # which is certain as well
        assert await a.texts() == ["before"]  # it can be read all the same
        nats.start()
        await eventually(lambda: a.troubles[-1] is None)
        after = await a.said("meanwhile", "k")
        assert not (after.is_lost or after.is_repeated)
        await a.has("before", "meanwhile")


async def test_kills_of_nats_lose_nothing_double_nothing_and_change_no_order(
    nats: Natsd, tmp_path: Path
) -> None:
    """Whatever group was under way; two servers talk on."""
    async with servers(nats, tmp_path / "a.db", tmp_path / "b.db") as (a, b):
        said = 0
        for _kill in range(3):
            for _number in range(200):
                a.say(f"a{said}", f"a{said}")
                b.say(f"b{said}", f"b{said}", "bia")
                said += 1
                if said % 20 == 0:
                    await asyncio.sleep(0.001)
            nats.kill()
            nats.start()
        flushing = asyncio.gather(a.log.flush(), b.log.flush())
        await asyncio.wait_for(flushing, DEADLINE_SECONDS)
        await eventually(lambda: len(a.delivered) == len(b.delivered) == 2 * said)
        rows = await a.rows()
        assert rows == await b.rows()
        for name in "ab":
            texts = [text for _id, text in rows if text[0] == name]
            assert texts == [f"{name}{number}" for number in range(said)]


async def test_group_that_is_stored_twice_counts_once(
    nats: Natsd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After JetStream has forgotten its id, also messages without a key."""
    monkeypatch.setattr(stream, "DUPLICATE_SECONDS", 0.1)
    monkeypatch.setattr(publisher, "AGAIN_SECONDS", 0.4)
    async with servers(nats, tmp_path / "a.db") as (a,):
        other = Connection(ClusterSettings((nats.url,)))
        await other.open(lambda text: None)
        await a.said("oi")
        found = await other.api(f"STREAM.MSG.GET.{stream.NAME}", {"seq": 1})
        content = base64.b64decode(found["message"]["data"])
        looking = stream.Stream(other, 0, 1)
        headers = {stream.MESSAGE_ID: await looking.message_id(1)}

        async def publish_again() -> int:
            await other.publish(stream.SUBJECT, content, "", headers)
            return (await looking.look()).last

        await eventually_async(publish_again, 2)
        await other.close()
        await a.said("tchau")
        await a.has("oi", "tchau")


# The stream put back, and trimmed.


async def put_back(nats: Natsd, copy: Path) -> None:
    """Put an older copy of the store in its place."""
    nats.kill()
    nats.put_back(copy)
    nats.start()


@pytest.mark.parametrize("grown", [0, 30], ids=["shorter", "grown past it again"])
async def test_stream_that_was_put_back_is_followed_anew(
    grown: int, nats: Natsd, tmp_path: Path
) -> None:
    """In a new generation, the same at all servers; what was there is beside the file."""
    paths = (tmp_path / "a.db", tmp_path / "b.db", tmp_path / "c.db")
    async with servers(nats, *paths) as (a, b, c):
        a.log.keep("owner", "ana", "1")
        old = await a.said("kept")
        await eventually(lambda: len(c.delivered) == 1)
        await close(c)  # c is not there when it happens
        generation = a.log.generation
        nats.stop()
        nats.copy_store(tmp_path / "copy")
        nats.start()
        for number in range(5):
            lost = await a.said(f"lost {number}", f"k{number}")
        await eventually(lambda: len(b.delivered) == 6)
        nats.kill()
        nats.put_back(tmp_path / "copy")
        nats.start()
        async with servers(nats, IN_MEMORY) as (new,):
            for number in range(grown):
                await new.said(f"new {number}", f"n{number}", "bia")
        await eventually(lambda: a.rewound == b.rewound == 1)
        expected = ["kept", *(f"new {number}" for number in range(grown))]
        await a.has(*expected)
        await b.has(*expected)
        await eventually(lambda: a.log.generation == b.log.generation != generation)
        assert await a.missing_after(lost.message.id, generation) is Missing.REWOUND
        assert await b.missing_after(old.message.id, a.log.generation) is Missing.NOTHING
        assert not (await a.said("lost 1", "k1")).is_repeated
        assert await a.log.records("owner") == {"ana": "1"}
        await b.has(*expected, "lost 1")
        async with servers(nats, paths[2]) as (c,):
            await c.has(*expected, "lost 1")
            await eventually(lambda: c.log.generation == a.log.generation)
    (saved,) = (path for path in tmp_path.iterdir() if path.name.startswith("a.db-rewound"))
    with closing(sqlite3.connect(saved)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM message").fetchone()
    assert count == 6


async def test_what_is_no_longer_in_the_stream_is_known_to_be_gone(
    nats: Natsd, tmp_path: Path
) -> None:
    """At a new server: a reader from before is told so, and ids go on from there."""
    async with servers(nats, tmp_path / "a.db", retain_days=2 / 86400) as (a,):
        old = await a.said("old")
        other = Connection(ClusterSettings((nats.url,)))
        await other.open(lambda text: None)
        looking = stream.Stream(other, 0, 1)

        async def is_empty() -> bool:
            state = await looking.look()
            return state.first > state.last

        await eventually_async(is_empty, True)
        await other.close()
        async with servers(nats, IN_MEMORY, retain_days=2 / 86400) as (b,):
            assert await b.log.last_id() >= old.message.id
            assert await b.missing_after(old.message.id - 1, "") is Missing.TRIMMED
            assert (await b.said("new")).message.id > old.message.id
            await eventually(lambda: len(a.delivered) == 2)


# What NATS is.


async def test_old_nats_is_refused_unless_it_is_insisted_on(
    nats: Natsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that loses streams when it is killed."""
    monkeypatch.setattr(connection, "MIN_VERSION", (99, 0, 0))
    server = Server(IN_MEMORY, nats)
    with pytest.raises(LogError) as refusal:
        await server.open()
    await server.log.close()
    assert refusal.value.problem is Problem.REFUSED and "nats-server 2." in str(refusal.value)
    insisting = ClusterSettings((nats.url,), takes_any_version=True)
    log = JetStreamLog(IN_MEMORY, 0, insisting)
    await log.open()
    await log.close()


async def test_stream_is_made_as_it_is_meant(nats: Natsd) -> None:
    """Its window for repeats is never longer than it keeps anything, or it could not be made."""
    async with servers(nats, IN_MEMORY, retain_days=60 / 86400):
        other = Connection(ClusterSettings((nats.url,)))
        await other.open(lambda text: None)
        config = (await other.api(f"STREAM.INFO.{stream.NAME}", {}))["config"]
        await other.close()
    assert config["max_age"] == config["duplicate_window"] == 60 * stream.NANOSECONDS
    assert config["deny_delete"] and config["deny_purge"] and config["storage"] == "file"
    assert json.dumps(config["metadata"]).count("chat-epoch") == 1


async def test_stream_that_cannot_be_made_says_why(nats: Natsd) -> None:
    """As more copies than there are nodes."""
    log = JetStreamLog(IN_MEMORY, 0, ClusterSettings((nats.url,), replicas=3))
    said: list[str] = []
    opening = asyncio.ensure_future(log.open(lambda trouble: said.append(str(trouble))))
    await eventually(lambda: bool(said))
    opening.cancel()
    log.hurry(0)
    await log.close()
    assert "replicas" in said[0]


async def test_records_outlive_what_the_stream_keeps(nats: Natsd, tmp_path: Path) -> None:
    """For a new server, and for one that was away: what was kept, and what was kept no more."""
    retain = 2 / 86400
    away = tmp_path / "away.db"
    async with servers(nats, tmp_path / "a.db", retain_days=retain) as (a,):
        a.log.keep("owner", "ana", "old")
        a.log.keep("owner", "bia", "gone soon")
        await a.said("first")
        async with servers(nats, away, retain_days=retain) as (b,):
            assert await b.log.records("owner") == {"ana": "old", "bia": "gone soon"}
            b.log.keep("holder", "x", "its own")
        a.log.keep("owner", "bia", None)
        await a.said("second")
        looking = stream.Stream(a.log.connection, retain, 1)

        async def is_trimmed() -> bool:
            state = await looking.look()
            return state.first > state.last

        await eventually_async(is_trimmed, True)
        copies = Bucket(a.log.connection, "chat-records", 1)

        async def is_copied() -> bool:
            head = json.loads((await copies.get("head")).content or b"null")
            return head is not None and head["sequence"] >= (await looking.look()).last

        await eventually_async(is_copied, True)
        async with servers(nats, IN_MEMORY, away, retain_days=retain) as (new, back):
            assert await new.log.records("owner") == {"ana": "old"}
            assert await back.log.records("owner") == {"ana": "old"}
            assert await back.log.records("holder") == {"x": "its own"}


async def test_server_that_stops_leaves_a_copy_of_the_records(
    nats: Natsd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what was kept since the last one: it may be the last server for a long time."""
    monkeypatch.setattr(record_copies, "LAST_COPY_SECONDS", DEADLINE_SECONDS)
    async with servers(nats, tmp_path / "a.db", retain_days=30) as (a,):
        copies = Bucket(a.log.connection, "chat-records", 1)

        async def is_copied() -> bool:
            with suppress(ApiError):
                return (await copies.get("head")).content is not None
            return False

        await eventually_async(is_copied, True)
        a.log.keep("owner", "ana", "since then")
        a.log.keep("holder", "x", "its own")
        await a.said("first")
        await eventually_async(lambda: a.log.records("owner"), {"ana": "since then"})
    link = Connection(ClusterSettings((nats.url,)))
    await link.open(lambda text: None)

    async def read() -> record_copies.RecordCopy:
        raise AssertionError

    copies_left = record_copies.RecordCopies(link, 1, 30, read, lambda error: None)
    copy = await copies_left.load()
    await link.close()
    assert copy is not None and copy.records == {("owner", "ana"): "since then"}
