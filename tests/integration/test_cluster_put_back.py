"""People at several servers, whose names' bucket is put back to an older copy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from natsd import Natsd, all_open, running_nats
from support import DEADLINE_SECONDS, POLL_SECONDS
from test_cluster_names import come_true

from chat.protocol.errors import ChatError
from chat.server.cluster import names
from chat.server.cluster.connection import ClusterSettings, Connection
from chat.server.cluster_people import ClusterPeople
from chat.server.neighbours import Whereabouts


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Natsd]:
    """A nats-server."""
    with running_nats(tmp_path / "nats", sync="always") as server:
        yield server


class Server:
    """The people of one server. `ended`: who was thrown out, as having gone on elsewhere."""

    def __init__(self, me: str, nats: Natsd) -> None:
        self.failures: list[BaseException] = []
        self.ended: list[str] = []
        self.connection = Connection(ClusterSettings((nats.url,)))
        self.people = ClusterPeople(self.connection, me, 1, self.failures.append)
        hub: Any = SimpleNamespace(rooms={}, hand_over=self.ended.append)
        self.people.attach(hub)

    async def open(self) -> None:
        """Connect, and hold names."""
        await self.connection.open(lambda text: None)
        await self.people.open()

    async def close(self) -> None:
        """Be no longer there, without a word."""
        await self.people.close()
        await self.connection.close()
        assert self.failures == []

    async def come(self, name: str, room: str = "sala") -> None:
        """Let somebody come, whose identity is the name too, and be in a room."""
        async with self.people.reserving(name, name):
            pass
        self.people.move(name, Whereabouts((room,), inbox=name))

    async def is_refused(self, name: str) -> bool:
        """Say whether a stranger may not have a name."""
        try:
            async with self.people.reserving(name, "stranger"):
                pass
        except ChatError as error:
            return error.reason == "NAME_TAKEN"
        self.people.release("stranger")
        return False

    async def can_have(self, name: str) -> None:
        """Return when a stranger may have a name."""
        while await self.is_refused(name):
            await asyncio.sleep(POLL_SECONDS)

    def sees(self, name: str, room: str = "sala") -> bool:
        """Say whether somebody is in a room at another server."""
        return name in self.people.names_in(room)


def servers(nats: Natsd, *who: str) -> AbstractAsyncContextManager[list[Server]]:
    """Run servers for the length of the block."""
    return all_open(*(Server(me, nats) for me in who))


async def copy_store(nats: Natsd, target: Path, *servers: Server) -> None:
    """Copy what NATS has by now; return when it is there again."""
    nats.stop()
    nats.copy_store(target)
    await start_again(nats, *servers)


async def put_back(nats: Natsd, copy: Path, *servers: Server) -> None:
    """Put the copy in the place of what NATS has by now; return when it is there again."""
    nats.stop()
    nats.put_back(copy)
    await start_again(nats, *servers)


async def start_again(nats: Natsd, *servers: Server) -> None:
    """Start NATS once all servers have noticed that it was away, and wait for them."""
    await come_true(lambda: not any(server.connection.is_connected for server in servers))
    nats.start()
    await come_true(lambda: all(server.connection.is_connected for server in servers))


async def test_who_came_or_moved_after_the_copy_keeps_the_name(nats: Natsd, tmp_path: Path) -> None:
    """And is seen where it is now; nobody is thrown out, nor can strangers have a name."""
    async with servers(nats, "a", "b") as (a, b):
        await a.come("eva")
        await a.come("gil", "old room")
        await come_true(lambda: b.sees("eva") and b.sees("gil", "old room"))
        await copy_store(nats, tmp_path / "copy", a, b)
        await a.come("zoe")
        a.people.move("gil", Whereabouts(("sala",), inbox="gil"))
        await b.come("eva", "other room")
        await come_true(lambda: a.ended == ["eva"] and a.sees("eva", "other room"))
        await come_true(lambda: b.sees("zoe") and b.sees("gil"))
        a.people.release("eva")
        await put_back(nats, tmp_path / "copy", a, b)
        async with servers(nats, "c") as (c,):  # which knows what is in the bucket alone
            await come_true(lambda: c.sees("zoe") and c.sees("gil"))
            await come_true(lambda: c.sees("eva", "other room"))
            assert all([await c.is_refused(name) for name in ("zoe", "gil", "eva")])
            assert (a.ended, b.ended) == (["eva"], [])
            a.people.release("gil")
            await come_true(lambda: not c.sees("gil"))
            assert not await c.is_refused("gil")
        await come_true(lambda: a.sees("eva", "other room") and b.sees("zoe"))


async def test_name_of_somebody_who_left_after_the_copy_is_free(
    nats: Natsd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon, while the server that had it lives on, and holds it for nobody."""
    monkeypatch.setattr(names, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(names, "STRAY_SECONDS", 0.2)
    async with servers(nats, "a", "b") as (a, b):
        await a.come("ana")
        await a.come("bia")
        await come_true(lambda: b.sees("ana") and b.sees("bia"))
        await copy_store(nats, tmp_path / "copy", a, b)
        a.people.release("ana")
        await come_true(lambda: not b.sees("ana"))
        await put_back(nats, tmp_path / "copy", a, b)
        await asyncio.wait_for(b.can_have("ana"), DEADLINE_SECONDS)
        assert await b.is_refused("bia") and a.ended == []
