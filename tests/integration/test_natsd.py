"""The nats-servers of the tests themselves: what a kill and a copy of the store leave."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import nats
from natsd import running_nats
from support import DEADLINE_SECONDS


async def sequence_after_publishing(url: str) -> int:
    """Publish one message more into a stream that is made where there is none."""
    client = await nats.connect(url)
    config = {"name": "T", "subjects": ["t"]}

    async def answer(subject: str, content: bytes, wanted: str) -> int:
        """Ask until the answer has what is wanted: the store may still be read."""
        while True:
            with suppress(nats.errors.Error):
                said = json.loads((await client.request(subject, content, timeout=1)).data)
                if wanted in said:
                    return int(said.get("seq", 0))

    try:
        creating = answer("$JS.API.STREAM.CREATE.T", json.dumps(config).encode(), "config")
        await asyncio.wait_for(creating, DEADLINE_SECONDS)
        return await asyncio.wait_for(answer("t", b"x", "seq"), DEADLINE_SECONDS)
    finally:
        await client.close()


async def test_store_outlives_kills_and_can_be_put_back(tmp_path: Path) -> None:
    """On the same port each time."""
    with running_nats(tmp_path / "nats", sync="always") as server:
        assert await sequence_after_publishing(server.url) == 1
        server.stop()
        server.copy_store(tmp_path / "copy")
        server.start()
        assert await sequence_after_publishing(server.url) == 2
        server.kill()
        server.start()
        assert await sequence_after_publishing(server.url) == 3
        server.stop()
        server.put_back(tmp_path / "copy")
        server.start()
        assert await sequence_after_publishing(server.url) == 2
