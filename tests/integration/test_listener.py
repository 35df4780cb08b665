"""What becomes of the port, and of open streams, when gRPC's accept loop ends."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from raw_http2 import raw_connection
from rooms import bounded
from support import CHANNEL_OPTIONS

import chat_pb2_grpc
from chat.server import listener
from chat.server.listener import Listener
from chat_pb2 import Message

OPTIONS = [("grpc.so_reuseport", 0)]
BYTES_THAT_KILL = b"/\xff"


class Echo(chat_pb2_grpc.ChatServiceServicer):
    """Says what it hears."""

    async def Chat(self, requests: AsyncIterator[Message], context: Any) -> None:
        async for message in requests:
            await context.write(message)


class Mortal:
    """Makes servers of grpcio's own making; `made`: how many, so far.

    `before_next`: called before the next one is made.
    """

    def __init__(self) -> None:
        self.made = 0
        self.before_next: Callable[[], object] = lambda: None

    def make(self) -> grpc.aio.Server:
        self.before_next()
        self.before_next = lambda: None
        self.made += 1
        server = grpc.aio.server(options=OPTIONS)
        register: Any = chat_pb2_grpc.add_ChatServiceServicer_to_server
        register(Echo(), server)
        return server


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep no record of what ended the loops: in their frames dead servers would live on."""
    for name in ("asyncio", "grpc._cython.cygrpc"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)


@asynccontextmanager
async def listening(mortal: Mortal) -> AsyncIterator[tuple[Listener, int]]:
    listens = Listener(mortal.make, "127.0.0.1:0")
    port = await listens.open()
    await listens.start()
    try:
        yield listens, port
    finally:
        await bounded(listens.stop(0.1))


@asynccontextmanager
async def caller(port: int) -> AsyncIterator[Any]:
    """Open a stream on a connection of its own, and hear from it."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", CHANNEL_OPTIONS) as channel:
        stub: Any = chat_pb2_grpc.ChatServiceStub(channel)  # type: ignore[no-untyped-call]
        call = stub.Chat(wait_for_ready=True)
        assert await echoes(call, "first")
        yield call


async def echoes(call: Any, text: str) -> bool:
    """Say something in a stream and wait for its echo."""
    await bounded(call.write(Message(message=text)))
    return bool((await bounded(call.read())).message == text)


async def strike(port: int, mortal: Mortal) -> None:
    """Send what ends the accept loop, and wait until another has been made."""
    made = mortal.made
    with raw_connection(port) as raw:  # does not block: gRPC's own threads answer
        raw.open_stream(BYTES_THAT_KILL)
        await bounded(until(lambda: mortal.made > made))


async def until(predicate: Callable[[], bool]) -> None:
    """Return when it has come true: what makes it so runs beside this loop."""
    while not predicate():
        await asyncio.sleep(0.01)


async def test_dead_accept_loop_is_replaced_and_open_streams_live_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Time and again; whoever comes next is let in, and each stream is where it was."""
    mortal = Mortal()
    async with listening(mortal) as (_listens, port), caller(port) as old:
        for number in range(1, 4):
            await strike(port, mortal)
            async with caller(port) as new:
                assert await echoes(new, "new")
            assert await echoes(old, "old")
            assert mortal.made == 1 + number
    ours = [r for r in caplog.records if r.name == listener.__name__]
    assert [r.levelno for r in ours] == [logging.ERROR] * 3
    assert all("UnicodeDecodeError" in r.getMessage() for r in ours)


async def test_dead_servers_that_are_kept_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The streams of the longest dead one are ended to make room; their clients come again."""
    monkeypatch.setattr(listener, "MAX_FORMER", 1)
    mortal = Mortal()
    async with (
        listening(mortal) as (_listens, port),
        caller(port) as first,
    ):
        await strike(port, mortal)
        async with caller(port) as second:
            await strike(port, mortal)
            assert await bounded(first.code()) == grpc.StatusCode.UNAVAILABLE
            assert await echoes(second, "still here")


async def test_port_that_was_lost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program has taken it meanwhile: after a while the listener gives up, and says so."""
    monkeypatch.setattr(listener, "MAX_RETRIES", 2)
    monkeypatch.setattr(listener, "RETRY_SECONDS", 0.0)
    mortal = Mortal()
    async with listening(mortal) as (listens, port), caller(port):
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

            def steal() -> None:
                thief.bind(("127.0.0.1", port))
                thief.listen()

            mortal.before_next = steal
            await strike(port, mortal)
            await bounded(listens.wait_failed())


async def test_port_in_use_cannot_be_opened() -> None:
    """And the server that was to have it is gone."""
    async with listening(Mortal()) as (_listens, port):
        with pytest.raises(RuntimeError):
            await Listener(Mortal().make, f"127.0.0.1:{port}").open()
