"""What the server keeps in memory for clients who say nothing just now."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from rooms import Chat, FakeLog, Message, come_true, quiet

from chat.protocol.lookalikes import looks
from chat.protocol.metadata import JoinRequest
from chat.server.log.base import Entry

CLIENTS = 100
# The frame of each waiting coroutine is an object of its own before Python 3.11, and lies in the
# coroutine since.
FRAME_BYTES = 4_000 if sys.version_info < (3, 11) else 0
# Of one client, on our side of gRPC: some third more than it is.
MAX_IDLE_BYTES = 9_000 + FRAME_BYTES


class IdleContext:
    """gRPC's end of a stream whose client hears, and says nothing; it keeps nothing either."""

    def __init__(self, **wishes: Any) -> None:
        self._metadata = JoinRequest(**wishes).to_metadata()
        self._silence = asyncio.Event()
        self.heard_bytes = 0

    def invocation_metadata(self) -> list[Any]:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:127.0.0.1:5"

    async def send_initial_metadata(self, metadata: object) -> None:
        pass

    async def read(self) -> None:
        await self._silence.wait()

    async def write(self, raw: bytes) -> None:
        self.heard_bytes += len(raw)


@pytest.fixture
def traced() -> Iterator[None]:
    """Memory is counted."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def taken_bytes() -> int:
    """Return how much memory is taken, but for what is left to the collector of cycles."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def serve(chat: Chat, contexts: list[IdleContext]) -> list[asyncio.Task[None]]:
    """Serve them all; return when all are in."""
    create = asyncio.get_running_loop().create_task
    tasks = [create(chat.service.Chat(None, one)) for one in contexts]  # type: ignore[arg-type]
    await come_true(lambda: len(chat.hub.members) == len(contexts))
    return tasks


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """End the streams."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_idle_client_takes_little(traced: None) -> None:
    """Ten thousand of them are some hundred megabytes, of which gRPC has the most."""
    chat = await Chat().start()
    sessions = [f"{number:032x}" for number in range(CLIENTS)]
    contexts = [
        IdleContext(user=f"u{session[-3:]}", session=session, room="sala", history=0)
        for session in sessions
    ]
    for session in sessions:
        looks(f"u{session[-3:]}")  # of all names together so many are remembered, and no more
    before = taken_bytes()
    tasks = await serve(chat, contexts)
    await come_true(lambda: all(one.heard_bytes for one in contexts[:-1]))  # of those who came
    await quiet()
    assert (taken_bytes() - before) / CLIENTS < MAX_IDLE_BYTES
    await end(tasks)


async def test_what_was_heard_is_not_kept(traced: None) -> None:
    """A client that has had a page of the log, and hears nothing since."""
    log = FakeLog()
    chat = await Chat(log).start()
    for number in range(20):
        log.append(Entry("", "ana", Message(user="ana", message=f"{number:05}" * 400)))
    await log.flush()
    contexts = [IdleContext(user=f"u{number}", history=20) for number in range(CLIENTS)]
    before = taken_bytes()
    tasks = await serve(chat, contexts)
    await come_true(lambda: all(one.heard_bytes > 40_000 for one in contexts))
    # Of who came meanwhile the last are told within a quarter of a second.
    await come_true(lambda: (taken_bytes() - before) / CLIENTS < MAX_IDLE_BYTES + 2_000)
    await end(tasks)
