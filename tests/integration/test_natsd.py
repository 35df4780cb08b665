"""The nats-servers of the tests themselves: what a kill and a copy of the store leave."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import nats
from natsd import running_nats, running_nats_cluster
from support import DEADLINE_SECONDS


async def sequence_after_publishing(url: str, replicas: int = 1) -> int:
    """Publish one message more into a stream that is made where there is none."""
    client = await nats.connect(url)
    config = {"name": "T", "subjects": ["t"], "num_replicas": replicas}

    async def answer(subject: str, content: bytes, wanted: str) -> int:
        """Ask until the answer has what is wanted: a cluster has no leader at first."""
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


async def test_cluster_goes_on_without_one_node(tmp_path: Path) -> None:
    """Two of three are enough for what has three copies."""
    with running_nats_cluster(tmp_path) as nodes:
        assert await sequence_after_publishing(nodes[0].url, replicas=3) == 1
        nodes[0].kill()
        assert await sequence_after_publishing(nodes[1].url, replicas=3) >= 2
        nodes[0].start()
        assert await sequence_after_publishing(nodes[0].url, replicas=3) >= 3
