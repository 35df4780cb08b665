"""Following a stream of a real NATS: all of it, in order, and nothing left behind there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from natsd import Natsd, running_nats
from support import DEADLINE_SECONDS, POLL_SECONDS

from chat.server.cluster import consumer as consumers
from chat.server.cluster.connection import AwayError, ClusterSettings, Connection
from chat.server.cluster.consumer import Consumer, Delivered

HOSTILE_HEADERS = [
    b"NATS/1.0 \xff\xfe\xfd\r\n\r\n",
    b"NATS/1.0 404 \xff\xfe\xfd\r\n\r\n",
    b"NATS/1.0",
    b"NATS/1.0 404 No Messages\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: q\r\n\r\n",
    b"NATS/1.0\r\nStatus: 404\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
]


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One nats-server."""
    with running_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


class Reader:
    """A consumer of a stream of its own, and what it has taken."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = name
        self.taken: list[int] = []
        self.failures: list[BaseException] = []
        self.begun: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.consumer = Consumer(connection, name, self._begin, self._take, self.failures.append)

    async def _begin(self) -> int:
        after = self.taken[-1] if self.taken else 0
        self.begun.append(after)
        return after

    async def _take(self, delivered: Delivered) -> None:
        await self.gate.wait()
        self.taken.append(delivered.sequence)

    async def publish(self, count: int, size: int = 10) -> None:
        """Put so many messages into the stream."""
        for _number in range(count):
            await self.connection.publish(self.name, b"x" * size)
        await self.connection.api(f"STREAM.INFO.{self.name}", {}, DEADLINE_SECONDS)

    async def has(self, count: int) -> None:
        """Wait until so many have been taken: each once, in order."""
        await come_true(lambda: len(self.taken) >= count)
        assert self.taken == list(range(1, count + 1)) and self.failures == []

    async def names(self) -> list[str]:
        """Return the consumers that NATS has of the stream."""
        found = await self.connection.api(f"CONSUMER.NAMES.{self.name}", {})
        return list(found["consumers"] or [])


async def come_true(predicate: Callable[[], bool]) -> None:
    """Return when it is true; fail after the deadline."""

    async def poll() -> None:
        while not predicate():
            await asyncio.sleep(POLL_SECONDS)

    await asyncio.wait_for(poll(), DEADLINE_SECONDS)


@asynccontextmanager
async def reading(nats: Natsd, name: str) -> AsyncIterator[Reader]:
    """Follow a new stream for the length of the block."""
    connection = Connection(ClusterSettings((nats.url,)))
    await connection.open(lambda text: None)
    config = {"name": name, "subjects": [name], "storage": "memory"}
    await connection.api(f"STREAM.CREATE.{name}", config)
    reader = Reader(connection, name)
    reader.consumer.start()
    try:
        yield reader
    finally:
        reader.gate.set()
        await reader.consumer.close()
        await connection.close()


async def test_slow_reader_gets_everything(nats: Natsd) -> None:
    """NATS waits for it: what it does not take is not sent for ever, and none of it is lost."""
    async with reading(nats, "slow") as reader:
        await come_true(lambda: reader.consumer.is_live)
        reader.gate.clear()
        await reader.publish(3000, size=4000)
        reader.gate.set()
        await reader.has(3000)
        assert reader.consumer.pending == 0


async def test_new_consumer_begins_where_the_last_one_was(nats: Natsd) -> None:
    """Whatever made it necessary; and NATS has no more than the last one."""
    async with reading(nats, "renewed") as reader:
        for number in range(1, 6):
            await reader.publish(20)
            await reader.has(20 * number)
            reader.consumer.renew()
            await come_true(lambda n=number: len(reader.begun) > n)  # type: ignore[misc]
        await come_true(lambda: reader.consumer.is_live)
        assert len(await reader.names()) == 1
        assert reader.begun == [0, 20, 40, 60, 80, 100]


async def test_consumer_that_was_deleted_is_made_again(
    nats: Natsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the silence, or by what NATS says of it."""
    monkeypatch.setattr(consumers, "HEARTBEAT_SECONDS", 0.1)
    async with reading(nats, "deleted") as reader:
        await reader.publish(1)
        await reader.has(1)
        (name,) = await reader.names()
        await reader.connection.api(f"CONSUMER.DELETE.{reader.name}.{name}", {})
        await reader.publish(1)
        await reader.has(2)


async def test_error_in_taking_is_seen(nats: Natsd) -> None:
    """And not only mentioned somewhere."""
    async with reading(nats, "failing") as reader:
        await come_true(lambda: reader.consumer.is_live)

        async def fail(delivered: Delivered) -> None:
            raise ValueError("of our own")

        async def begin() -> int:
            return 0

        failing = Consumer(reader.connection, reader.name, begin, fail, reader.failures.append)
        failing.start()
        await reader.publish(1)
        await come_true(lambda: bool(reader.failures))
        await failing.close()
        assert isinstance(reader.failures[0], ValueError)


async def test_nothing_is_published_without_a_connection(tmp_path: Path) -> None:
    """nats-py would keep it, and send it when NATS is back, though nobody waits for it."""
    with running_nats(tmp_path) as nats:
        connection = Connection(ClusterSettings((nats.url,)))
        changes: list[bool] = []
        connection.listeners.append(changes.append)
        await connection.open(lambda text: None)
        nats.kill()
        await come_true(lambda: changes == [False])
        for asking in (connection.publish("x"), connection.api("INFO", {})):
            with pytest.raises(AwayError):
                await asking
        with pytest.raises(AwayError):
            await connection.subscribe(lambda message: asyncio.sleep(0))
        await connection.close()


async def test_headers_that_are_none_do_not_end_the_reading(nats: Natsd) -> None:
    """NATS hands out what was published, and nobody has looked at it."""
    async with reading(nats, "hostile") as reader:
        with socket.create_connection(("127.0.0.1", nats.port)) as peer:
            peer.sendall(b'CONNECT {"verbose": false, "headers": true}\r\n')
            for headers in HOSTILE_HEADERS:
                size = len(headers)
                peer.sendall(b"HPUB hostile %d %d\r\n%s\r\n" % (size, size, headers))
            peer.sendall(b"PING\r\n")
            with peer.makefile("rb") as lines:
                assert any(line == b"PONG\r\n" for line in lines)
        await reader.publish(1)
        await reader.has(len(HOSTILE_HEADERS) + 1)
