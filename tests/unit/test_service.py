"""One stream from its beginning to its end, with a stand-in for gRPC's side of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from rooms import Chat, FakeContext, FakeLog, Message, bounded, come_true, quiet

import chat_pb2
import server
from chat.protocol.errors import ChatError
from chat.protocol.metadata import JoinRequest
from chat.server import admission, batch_size, rounds, status
from chat.server.admission import Admission
from chat.server.rate_limit import RateLimits

Code = grpc.StatusCode
SHUTTING_DOWN = (Code.UNAVAILABLE, "SHUTTING_DOWN")


class Stream:
    """A stream that the service serves."""

    def __init__(self, chat: Chat, request: JoinRequest) -> None:
        self.context = FakeContext(request)
        serving = chat.service.Chat(None, self.context)  # type: ignore[arg-type]
        self.task = asyncio.get_running_loop().create_task(serving)

    async def ends(self) -> tuple[Code, str] | None:
        """Return the status and the reason once the stream has ended; None for OK."""
        await bounded(asyncio.wait({self.task}))
        if self.context.status is None:
            self.task.result()
        else:
            assert isinstance(self.task.exception(), grpc.aio.AbortError)
        return self.context.status

    @property
    def notices(self) -> list[tuple[str, str]]:
        """The reasons and keys of the notices so far."""
        told = [m for m in self.context.messages if m.kind == chat_pb2.KIND_NOTICE]
        return [(message.user, message.key) for message in told]


@asynccontextmanager
async def stream(chat: Chat, user: str | None = None, **wishes: Any) -> AsyncIterator[Stream]:
    """Open a stream as a full client, or as a plain one without a name."""
    opened = Stream(chat, JoinRequest(user=user, history=0, **wishes))
    try:
        await bounded(opened.context.is_greeted.wait())
        yield opened
    finally:
        opened.task.cancel()
        await asyncio.wait({opened.task})


async def test_half_closed_stream_ends_with_ok_when_its_words_are_echoed() -> None:
    """What was said before is committed, and written, first."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    async with stream(chat) as plain:
        plain.context.say(Message(user="p", message="oi"))
        plain.context.half_close()
        await quiet()
        assert not plain.task.done()
        log.commit_and_deliver()
        assert await plain.ends() is None
        assert [message.message for message in plain.context.messages] == ["oi"]
        assert not chat.hub.members


async def test_client_above_its_rate_is_not_read_from() -> None:
    """What it says waits on its side of the stream; nobody else waits for it."""
    chat = await Chat(limits=RateLimits(0.1)).start()  # one message at once, then one in 10 s
    async with stream(chat, "ana") as ana, stream(chat, "bia") as bia:
        for number in range(4):
            ana.context.say(Message(message=str(number)))
        await come_true(lambda: ana.context.said.qsize() == 2)
        bia.context.say(Message(message="oi"))
        await come_true(lambda: [m.message for m in bia.context.messages] == ["0", "oi"])
        await quiet()
        assert ana.context.said.qsize() == 2


async def test_client_above_its_rate_in_bytes_is_not_read_from() -> None:
    """However few its messages are: 2000 bytes count as one."""
    chat = await Chat(limits=RateLimits(0.4)).start()  # 8000 bytes at once
    async with stream(chat, "ana") as ana:
        for text in ("x" * 7900, "y" * 7900, "z"):
            ana.context.say(Message(message=text))
        await come_true(lambda: ana.context.said.qsize() == 1)
        await quiet()
        assert [m.message[:1] for m in ana.context.messages] == ["x"]


async def test_refusal_is_a_notice_or_the_end() -> None:
    """A full client stays, a plain one's stream ends by it."""
    chat = await Chat().start()
    async with stream(chat, "ana") as ana, stream(chat) as plain:
        ana.context.say(Message(message=" ", key="k"))
        await come_true(lambda: ana.notices == [("MESSAGE_INVALID", "k")])
        plain.context.say(Message(user="", message="oi"))
        assert await plain.ends() == (Code.INVALID_ARGUMENT, "NAME_INVALID")
        assert not ana.task.done()


async def test_word_to_a_stopping_server_ends_the_stream_and_is_not_refused() -> None:
    """A notice with its key would be final: the client is to send it again, elsewhere or later."""
    chat = await Chat().start()
    async with stream(chat, "ana") as ana:
        chat.hub.is_stopping = True
        ana.context.say(Message(message="oi", key="k"))
        assert await ana.ends() == SHUTTING_DOWN
        assert ana.notices == []


async def test_unexpected_failure_ends_the_stream_and_is_told_to_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At once, and with a status; a stream that nobody reads is no stream."""
    chat = await Chat().start()
    async with stream(chat, "ana") as ana:
        ana.context.said.put_nowait(ZeroDivisionError("what somebody said"))
        assert await ana.ends() == (Code.INTERNAL, "")
        assert not chat.hub.members
    (line,) = caplog.messages
    assert ana.context.peer() in line


async def test_end_of_the_connection_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """However gRPC tells of it."""
    chat = await Chat().start()
    async with stream(chat, "ana") as ana:
        ana.context.said.put_nowait(grpc.aio.InternalError())
        with pytest.raises(grpc.aio.InternalError):
            await ana.ends()
        assert not chat.hub.members
    assert caplog.messages == []


async def test_log_that_cannot_be_read_ends_the_stream_with_its_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the midst of it; the operator gets a line."""
    log = FakeLog()
    chat = await Chat(log).start()
    log.read_turns = 100
    async with stream(chat, "ana") as ana:
        log.is_unreadable = True
        assert await ana.ends() == (Code.UNAVAILABLE, "LOG_UNREADABLE")
    assert len(caplog.records) == 1


async def test_only_a_client_that_is_written_to_can_be_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is idle after a write may be so for ever."""
    monkeypatch.setattr(server, "STUCK_SECONDS", 0.0)
    monkeypatch.setattr(server, "STUCK_CHECK_SECONDS", 0.0)
    chat = await Chat().start()
    async with stream(chat, "ana") as idle, stream(chat, "bia") as stuck:
        await come_true(lambda: len(idle.context.writes) == 1)  # bia came
        stuck.context.gate.clear()
        idle.context.say(Message(message="oi"))
        await come_true(lambda: len(idle.context.writes) == 2 == 1 + len(stuck.context.writes))
        watch = asyncio.get_running_loop().create_task(chat.service.disconnect_stuck_readers())
        assert await stuck.ends() == (Code.RESOURCE_EXHAUSTED, "READER_STUCK")
        await come_true(lambda: len(idle.context.writes) == 3)  # bia left
        await quiet()
        watch.cancel()
        idle.context.half_close()
        assert await idle.ends() is None


async def test_stuck_reader_ends_as_it_was_to_end_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who went on by another stream is not told to come again: the two would take turns."""
    monkeypatch.setattr(server, "STUCK_SECONDS", 0.0)
    monkeypatch.setattr(server, "STUCK_CHECK_SECONDS", 0.0)
    chat = await Chat().start()
    session = "0" * 32
    async with stream(chat, "ana") as ana, stream(chat, "bia", session=session) as stuck:
        stuck.context.gate.clear()
        ana.context.say(Message(message="oi"))
        await come_true(lambda: len(stuck.context.writes) == 1)
        async with stream(chat, "bia", session=session):
            watch = asyncio.get_running_loop().create_task(chat.service.disconnect_stuck_readers())
            assert await stuck.ends() == (Code.ABORTED, "SESSION_REPLACED")
            watch.cancel()


async def test_who_does_not_take_its_end_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC keeps what it did not read: else there could be any number of such streams."""
    monkeypatch.setattr(status, "ABORT_SECONDS", 0.0)
    chat = await Chat(max_clients=1).start()
    async with stream(chat, "ana") as ana:
        ana.context.takes_end.clear()
        ana_herself = chat.hub.directory.find("ana")
        assert ana_herself is not None
        chat.hub.expel(ana_herself, ChatError("REMOVED"))
        await come_true(lambda: ana.context.status is not None)
        await quiet()
        late = Stream(chat, JoinRequest(user="bia"))
        assert await late.ends() == (Code.RESOURCE_EXHAUSTED, "SERVER_FULL")
        ana.context.takes_end.set()
        assert await ana.ends() == (Code.PERMISSION_DENIED, "REMOVED")
        async with stream(chat, "bia"):
            pass


async def test_slow_reader_is_not_a_stuck_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time begins anew with each write that was taken, however much was waiting at once."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr(server, "STUCK_CHECK_SECONDS", 0.0)
    chat = await Chat().start()
    async with stream(chat, "ana") as ana, stream(chat, "bia") as slow:
        taken = asyncio.Semaphore(0)
        monkeypatch.setattr(slow.context.gate, "wait", taken.acquire)
        for number in range(6):
            ana.context.say(Message(message=f"{number}"))
        await come_true(lambda: len(ana.context.writes) == 7)  # bia came
        watch = loop.create_task(chat.service.disconnect_stuck_readers())
        for _write in range(6):
            await quiet()
            now += 0.9 * server.STUCK_SECONDS
            await quiet()
            taken.release()
        await quiet()
        assert slow.context.status is None and len(slow.context.writes) == 6
        monkeypatch.undo()
        watch.cancel()


@pytest.mark.parametrize(
    ("soon_seconds", "largest_kib"), [(3600.0, 128), (-1.0, 32)], ids=["quick", "slow"]
)
async def test_batches_grow_for_who_takes_them_soon(
    soon_seconds: float, largest_kib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow line the answer to a ping would wait behind them."""
    monkeypatch.setattr(batch_size, "SOON_SECONDS", soon_seconds)
    chat = await Chat().start()
    writer = await chat.join("writer")
    for _number in range(300):
        await writer.say("x" * 4000)
    await quiet()
    ana = Stream(chat, JoinRequest(user="ana", after=0, wants_batches=True))
    await come_true(lambda: sum(map(len, ana.context.writes)) > 300 * 4000)
    largest_bytes = max(map(len, ana.context.writes))
    assert (largest_kib - 4) << 10 < largest_bytes <= largest_kib << 10
    ana.task.cancel()
    await asyncio.wait({ana.task})
    assert chat.hub.budgets.batches.lent_bytes == 0


@pytest.mark.parametrize(
    ("takes_batches", "factor", "max_seconds"),
    [(True, 1e9, 0.0), (True, 1.0, 1e9), (False, 1e9, 1e9)],
    ids=["slow writes", "quick writes", "no batches"],
)
async def test_busy_client_is_written_to_in_time(
    takes_batches: bool, factor: float, max_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is a multiple of the last write, bounded, and none where nothing is joined."""
    monkeypatch.setattr(rounds, "REST_FACTOR", factor)
    monkeypatch.setattr(rounds, "MAX_REST_SECONDS", max_seconds)
    chat = await Chat().start()
    async with stream(chat, "ana", wants_batches=takes_batches) as ana:
        ana.context.gate.clear()
        ana.context.say(Message(message="1"))
        await come_true(lambda: len(ana.context.writes) == 1)
        ana.context.say(Message(message="2"))
        await quiet()
        ana.context.gate.set()
        await come_true(lambda: [m.message for m in ana.context.messages] == ["1", "2"])


async def test_draining_waits_for_every_stream() -> None:
    """A stopping server lets its readers take what they are owed, their status included."""
    chat = await Chat().start()
    async with stream(chat, "ana") as slow, stream(chat) as quick:
        slow.context.gate.clear()
        await chat.hub.stop()
        draining = asyncio.get_running_loop().create_task(chat.service.drain())
        assert await quick.ends() == SHUTTING_DOWN
        await quiet()
        assert not draining.done()
        slow.context.gate.set()
        assert await slow.ends() == SHUTTING_DOWN
        await bounded(draining)


async def test_draining_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes nothing does not keep the server."""
    monkeypatch.setattr(server, "DRAIN_SECONDS", 0.0)
    chat = await Chat().start()
    async with stream(chat, "ana") as slow:
        slow.context.gate.clear()
        await chat.hub.stop()
        await bounded(chat.service.drain())
        assert not slow.task.done()


async def test_draining_takes_no_time_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle server stops at once."""
    monkeypatch.setattr(server, "DRAIN_CHECK_SECONDS", 1e9)
    chat = await Chat().start()
    await bounded(chat.service.drain())


async def test_unnamed_client_gives_way_in_a_full_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has listened for long and said nothing; its stream ends as if it came now."""
    monkeypatch.setattr(admission, "UNNAMED_SECONDS", 0.0)
    chat = await Chat(max_clients=2).start()
    async with stream(chat) as listener, stream(chat, "ana"), stream(chat, "bia"):
        assert await listener.ends() == (Code.RESOURCE_EXHAUSTED, "SERVER_FULL")
        caio = Stream(chat, JoinRequest(user="caio"))
        assert await caio.ends() == (Code.RESOURCE_EXHAUSTED, "SERVER_FULL")


async def test_address_without_a_place_is_refused() -> None:
    """By its reason; the hub is not asked."""
    chat = await Chat().start()
    chat.service = server.ChatService(chat.hub, admission=Admission(10, 1))
    async with stream(chat, "ana"):
        bia = Stream(chat, JoinRequest(user="bia"))
        assert await bia.ends() == (Code.RESOURCE_EXHAUSTED, "ADDRESS_FULL")
    async with stream(chat, "bia"):
        pass
