"""How much work a message makes, counted and not timed: what makes the chat fast, kept that way.

The real hub, streams and log; only gRPC's end of a stream is a stand-in that counts writes.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
import threading
import weakref
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from rooms import FakeContext, come_true, quiet
from support import DEADLINE_SECONDS

import chat_pb2
import server
from chat.protocol.metadata import JoinRequest
from chat.server import encoding, rounds
from chat.server.hub import Hub
from chat.server.log import gathered, group_commit
from chat.server.log.searching import Searching
from chat.server.log.sqlite import SqliteLog
from chat.server.member import Member
from chat.server.posting import Posting
from server import EOF, ChatService

Message = chat_pb2.Message
MESSAGES = 100
# What a full client that comes in may cost, in joins of plain ones.
MOST_PLAIN_JOINS = 15.0
OURS = (server.__file__, str(Path(encoding.__file__).parent.parent))


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count what members cause: the index of words reads the log when it likes."""
    monkeypatch.setattr(Searching, "start", lambda self: None)


class CountingConnection(sqlite3.Connection):
    """Counts the statements by their first word; a COMMIT waits while the gate is closed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.statements: Counter[str] = Counter()
        self.gate = threading.Event()
        self.gate.set()

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        self.statements[sql.split()[0]] += 1
        if sql == "COMMIT":
            assert self.gate.wait(DEADLINE_SECONDS)
        return super().execute(sql, *arguments)


class Chat:
    """A hub on a counting log, with streams that go nowhere."""

    def __init__(self, path: Path) -> None:
        self.connections: list[CountingConnection] = []
        self.log = SqliteLog(str(path), connect=self._connect)
        self.hub = Hub(self.log, 10_000, 0)
        self.posting = Posting(self.hub)
        self.service = ChatService(self.hub)
        self._streams: list[tuple[FakeContext, asyncio.Task[None]]] = []

    def _connect(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = sqlite3.connect(*arguments, factory=CountingConnection, **options)
        self.connections.append(connection)
        return connection

    def statements(self, word: str) -> int:
        """Return how many statements began with `word`, on all connections."""
        return sum(connection.statements[word] for connection in self.connections)

    async def join(self, **request: Any) -> FakeContext:
        """Bring in one client; a plain one where nothing is said of it."""
        context = FakeContext(JoinRequest(**{"history": 0, **request}))
        task = asyncio.create_task(self.service.Chat(None, context), name="stream")  # type: ignore[arg-type]
        self._streams.append((context, task))
        await asyncio.wait_for(context.is_greeted.wait(), DEADLINE_SECONDS)
        return context

    async def post(self, member: Member, count: int = 1) -> None:
        """Let `member` say `count` messages, and return when they are delivered to the queues."""
        for number in range(count):
            await self.posting.post(member, Message(user=member.name, message=str(number)))
        await self.log.flush()

    async def hold_a_commit(self, member: Member) -> tuple[CountingConnection, int]:
        """Let `member` say one thing, and hold its commit; return the connection and its commits.

        The commits are those that were there before. Opening the connection's gate lets it go on.
        """
        writer = self.connections[0]
        commits = writer.statements["COMMIT"]
        writer.gate.clear()
        await self.posting.post(member, Message(message="first"))
        await come_true(lambda: writer.statements["COMMIT"] == commits + 1)
        return writer, commits

    async def speaker(self) -> Member:
        """Return a member that only speaks, and whose queue nobody empties."""
        return await self.hub.join(JoinRequest(user="falante", history=0))

    async def close(self) -> None:
        """End every stream, then the log."""
        for context, _task in self._streams:
            context.gate.set()
            context.said.put_nowait(EOF)
        await asyncio.wait_for(asyncio.gather(*(task for _, task in self._streams)), 20)
        await self.log.close()


@asynccontextmanager
async def chat_on(path: Path) -> AsyncIterator[Chat]:
    chat = Chat(path)
    await chat.hub.start()
    chat.log.start(chat.service.broadcast)
    try:
        yield chat
    finally:
        await chat.close()


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Message]:
    """Return a list that grows with every message that `encoding`'s function `name` encodes."""
    encode, encoded = getattr(encoding, name), list[Message]()

    def count(message: Message) -> bytes:
        encoded.append(message)
        return bytes(encode(message))

    monkeypatch.setattr(encoding, name, count)
    return encoded


def messages_in(raws: list[bytes]) -> int:
    """Return how many messages the writes brought, one by one or in batches."""
    return sum(len(Message.FromString(raw).batch) or 1 for raw in raws)


async def test_message_is_encoded_once_for_each_sort_of_reader(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However many read it, a message is encoded once as a plain one and once as a full one."""
    full, plain = counted(monkeypatch, "encode"), counted(monkeypatch, "encode_plain")
    async with chat_on(tmp_path / "chat.db") as chat:
        speaker = await chat.speaker()
        readers = [await chat.join() for _number in range(20)]
        readers += [await chat.join(user=f"f{number}") for number in range(20)]
        readers += [await chat.join(user=f"b{number}", wants_batches=True) for number in range(20)]
        await come_true(lambda: bool(readers[-2].writes))  # it heard the last one come in
        full.clear()
        await chat.post(speaker, MESSAGES)
        await come_true(lambda: all(messages_in(reader.writes) >= MESSAGES for reader in readers))
        assert Counter(message.id for message in full if message.id).total() == MESSAGES
        assert len(plain) == MESSAGES


async def test_nothing_is_encoded_for_readers_who_are_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a room of plain clients no message is encoded in full."""
    full = counted(monkeypatch, "encode")
    async with chat_on(tmp_path / "chat.db") as chat:
        reader = await chat.join()
        reader.said.put_nowait(Message(user="ana", message="oi").SerializeToString())
        await come_true(lambda: len(reader.writes) == 1)
        assert full == []


async def test_messages_that_wait_share_one_commit(tmp_path: Path) -> None:
    """While one commit is on its way to the disk, all that comes gathers for the next."""
    async with chat_on(tmp_path / "chat.db") as chat:
        speaker = await chat.speaker()
        writer, commits = await chat.hold_a_commit(speaker)
        for number in range(MESSAGES):
            await chat.posting.post(speaker, Message(message=str(number)))
        writer.gate.set()
        await chat.log.flush()
        assert writer.statements["COMMIT"] == commits + 2


async def test_groups_grow_while_more_comes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What came during one commit is left to gather for a multiple of what that commit took."""
    monkeypatch.setattr(group_commit, "GATHER_FACTOR", 1e9)
    monkeypatch.setattr(group_commit, "MAX_GATHER_SECONDS", 1.0)
    monkeypatch.setattr(group_commit, "GROWTH", MESSAGES + 1)
    async with chat_on(tmp_path / "chat.db") as chat:
        speaker = await chat.speaker()
        writer, commits = await chat.hold_a_commit(speaker)
        await chat.posting.post(speaker, Message(message="second"))
        writer.gate.set()
        await come_true(lambda: speaker.uncommitted == 1)
        for number in range(MESSAGES):
            await chat.posting.post(speaker, Message(message=str(number)))
            await asyncio.sleep(0)
        await chat.log.flush()
        assert writer.statements["COMMIT"] == commits + 2


async def test_lone_message_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No write is delayed where nothing more has come meanwhile."""
    async with chat_on(tmp_path / "chat.db") as chat:
        speaker = await chat.speaker()
        reader = await chat.join(user="ana", wants_batches=True)
        await chat.post(speaker)  # the first may meet the reading of the log at the beginning
        await come_true(lambda: messages_in(reader.writes) == 1)
        monkeypatch.setattr(rounds, "REST_FACTOR", 1e9)
        monkeypatch.setattr(rounds, "MAX_REST_SECONDS", 1e9)
        for _number in range(MESSAGES):
            reader.writes.clear()
            await chat.post(speaker)
            await come_true(lambda: messages_in(reader.writes) == 1)


async def test_messages_together_are_few_statements(tmp_path: Path) -> None:
    """Each lets go of Python's lock, for which the writer waits while the event loop is busy."""
    async with chat_on(tmp_path / "chat.db") as chat:
        speaker = await chat.speaker()
        reader = await chat.join(user="ana", wants_batches=True)
        await chat.post(speaker)
        await come_true(lambda: messages_in(reader.writes) >= 1)
        inserts, queries = chat.statements("INSERT"), chat.statements("SELECT")
        await chat.post(speaker, MESSAGES)
        await come_true(lambda: messages_in(reader.writes) >= 1 + MESSAGES)
        assert chat.statements("INSERT") - inserts <= MESSAGES / 8
        assert chat.statements("SELECT") == queries


async def test_what_waits_for_a_writer_is_one_write(tmp_path: Path) -> None:
    """A client that takes batches gets in one write all that came during the last one."""
    async with chat_on(tmp_path / "chat.db") as chat:
        speaker = await chat.speaker()
        reader = await chat.join(user="ana", wants_batches=True)
        reader.gate.clear()
        await chat.post(speaker)
        await come_true(lambda: len(reader.writes) == 1)
        await chat.post(speaker, MESSAGES)
        reader.gate.set()
        await come_true(lambda: messages_in(reader.writes) == 1 + MESSAGES)
        assert len(reader.writes) == 2


async def test_what_comes_while_writers_rest_is_one_write_to_each(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Group after group, until the rest is over; and it is over for all at the same moment.

    Each write takes as long as the rest after it but one, which takes longer: nobody rests longer
    for it.
    """
    loop = asyncio.get_running_loop()
    now, turn_seconds = loop.time(), rounds.LONG_TURN_SECONDS
    async with chat_on(tmp_path / "chat.db") as chat:
        with monkeypatch.context() as frozen:
            frozen.setattr(loop, "time", lambda: now)
            frozen.setattr(rounds, "worked_seconds", lambda: now)
            for log in (group_commit, gathered):  # their timers would stand still too
                frozen.setattr(log, "GATHER_FACTOR", 0.0)
            speaker = await chat.speaker()
            readers = [await chat.join(user=f"b{each}", wants_batches=True) for each in range(10)]
            await chat.post(speaker)
            await come_true(lambda: all(reader.writes for reader in readers))
            await quiet()
            for reader in readers:
                reader.gate.clear()
                reader.writes.clear()
            await chat.post(speaker, 2)
            await come_true(lambda: all(len(reader.writes) == 1 for reader in readers))
            now += turn_seconds
            for reader in readers[1:]:
                reader.gate.set()
            await quiet()
            now += 0.9 * rounds.REST_FACTOR * turn_seconds
            readers[0].gate.set()
            for _group in range(5):
                await chat.post(speaker, MESSAGES // 5)
            assert all(len(reader.writes) == 1 for reader in readers)
            now += 0.2 * rounds.REST_FACTOR * turn_seconds
            got = 2 + MESSAGES
            await come_true(lambda: all(messages_in(reader.writes) == got for reader in readers))
            assert all(len(reader.writes) == 2 for reader in readers)


async def test_plain_client_gets_one_write_for_each_message(tmp_path: Path) -> None:
    """The small contract knows no batches: as many writes as messages, and not one more."""
    async with chat_on(tmp_path / "chat.db") as chat:
        speaker = await chat.speaker()
        reader = await chat.join()
        await chat.post(speaker, MESSAGES)
        await come_true(lambda: len(reader.writes) >= MESSAGES)
        assert len(reader.writes) == MESSAGES


async def test_ended_stream_is_freed_at_once(tmp_path: Path) -> None:
    """A client that goes in the middle of a write leaves nothing for the collector of cycles."""
    gc.disable()
    try:
        async with chat_on(tmp_path / "chat.db") as chat:
            speaker = await chat.speaker()
            context = FakeContext(JoinRequest(user="ana", history=0, wants_batches=True))
            task = asyncio.create_task(chat.service.Chat(None, context), name="stream")  # type: ignore[arg-type]
            await asyncio.wait_for(context.is_greeted.wait(), DEADLINE_SECONDS)
            context.gate.clear()
            await chat.post(speaker)
            writes = context.writes
            await come_true(lambda: len(writes) == 1)
            gone = weakref.ref(context)
            task.cancel()
            await asyncio.wait({task})
            del context, task
            await come_true(lambda: gone() is None)
    finally:
        gc.enable()


async def test_message_makes_no_task(tmp_path: Path) -> None:
    """Delivering costs no task: each stream has its reader and its writer, and that is all."""
    async with chat_on(tmp_path / "chat.db") as chat:
        speaker = await chat.speaker()
        readers = [await chat.join() for _number in range(10)]
        await chat.post(speaker)
        await come_true(lambda: all(len(reader.writes) == 1 for reader in readers))
        before = asyncio.all_tasks()
        made: list[object] = []

        def make(loop: asyncio.AbstractEventLoop, program: Any, **options: Any) -> Any:
            made.append(program)
            return asyncio.Task(program, loop=loop, **options)

        asyncio.get_running_loop().set_task_factory(make)
        for number in range(MESSAGES):
            await chat.posting.post(speaker, Message(message=str(number)))
        while not all(len(reader.writes) > MESSAGES for reader in readers):
            await asyncio.sleep(0)
        asyncio.get_running_loop().set_task_factory(None)
        assert made == []
        assert asyncio.all_tasks() <= before


async def test_those_who_join_together_ask_the_log_together(tmp_path: Path) -> None:
    """A few statements find out for all of them where they begin, and one reads their history."""
    async with chat_on(tmp_path / "chat.db") as chat:
        speaker = await chat.speaker()
        await chat.post(speaker, MESSAGES)
        queries = chat.statements("SELECT") + chat.statements("WITH")
        names = [f"p{number}" for number in range(MESSAGES)]
        readers = await asyncio.gather(
            *(chat.join(user=name, inbox=0, history=20) for name in names)
        )
        await come_true(lambda: all(messages_in(reader.writes) >= 20 for reader in readers))
        assert chat.statements("SELECT") + chat.statements("WITH") - queries <= MESSAGES / 4


async def calls_of_a_join(chat: Chat, requests: list[dict[str, Any]]) -> float:
    """Bring in all at once; return how many functions our own lines call for each of them."""
    calls = 0

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        is_ours = frame.f_code.co_filename.startswith(OURS)
        calls += is_ours and event in ("call", "c_call")

    sys.setprofile(count)
    try:
        readers = await asyncio.gather(*(chat.join(**request) for request in requests))
        wanted = [request.get("history", 0) for request in requests]
        await come_true(
            lambda: all(
                messages_in(reader.writes) >= count
                for reader, count in zip(readers, wanted, strict=True)
            )
        )
    finally:
        sys.setprofile(None)
    return calls / len(requests)


async def test_join_is_no_more_work_than_so_many_plain_ones(tmp_path: Path) -> None:
    """Counted in calls of functions, which do not depend on the machine, or on who else uses it.

    Of a hundred who come at once, each with a session, an inbox and the last 20 messages; they hear
    of each other. A plain one is no more than a stream.
    """
    wishes = {"inbox": 0, "history": 20, "wants_batches": True}
    numbers = range(MESSAGES)
    full_ones = [{"user": f"p{n}", "session": f"{n:032x}", **wishes} for n in numbers]
    async with chat_on(tmp_path / "plain.db") as chat:
        plain = await calls_of_a_join(chat, [{} for _ in numbers])
    async with chat_on(tmp_path / "full.db") as chat:
        await chat.post(await chat.speaker(), MESSAGES)
        full = await calls_of_a_join(chat, full_ones)
    assert full <= MOST_PLAIN_JOINS * plain, f"{full / plain:.1f} plain ones"
