"""Where a newcomer begins to hear, while others go on talking."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from rooms import Chat, FakeLog, Message, Reader, quiet

from chat.server.log.base import Place
from chat_pb2 import KIND_ENTERED


class SlowPlaces(FakeLog):
    """A log that says where readers begin only while it `may_look`."""

    def __init__(self) -> None:
        super().__init__()
        self.may_look = asyncio.Event()
        self.may_look.set()

    async def find_places(
        self, wishes: Sequence[tuple[str, int | None]], generation: str, count: int
    ) -> list[Place]:
        await self.may_look.wait()
        return await super().find_places(wishes, generation, count)


async def greeted_at_once(ana: Reader, log: SlowPlaces, coming: Coroutine[Any, Any, Any]) -> Any:
    """Have `ana` speak to who comes, as soon as that is told; return what `coming` does."""
    log.may_look.clear()
    task = asyncio.create_task(coming)
    await quiet()
    assert ("JOINED", "bia") in ana.events and not task.done()
    for text in ("one", "two"):
        await ana.say(text)
    await quiet()
    log.may_look.set()
    result = await task
    await quiet()
    return result


@pytest.mark.parametrize("wish", [{"history": 0}, {"history": 1}, {"history": 0, "after": 99}])
async def test_newcomer_hears_what_is_said_to_it_at_once(wish: dict[str, Any]) -> None:
    """However little history it asks for: all that was said since the others saw it come."""
    chat = await Chat(log := SlowPlaces()).start()
    ana = await chat.join("ana")
    await ana.say("before")
    await quiet()
    bia = await greeted_at_once(ana, log, chat.join("bia", **wish))
    assert bia.texts == ["one", "two"]


@pytest.mark.parametrize("after", [0, 1])
async def test_who_enters_a_room_hears_what_is_said_to_it_at_once(after: int) -> None:
    """However little of what was said before it wants, or of what it missed."""
    chat = await Chat(log := SlowPlaces()).start()
    ana = await chat.join("ana", room="aula")
    await ana.say("before")
    bia = await chat.join("bia")
    await quiet()
    wish = Message(kind=KIND_ENTERED, room="aula", message="0", id=after)
    await greeted_at_once(ana, log, bia.post(wish))
    assert bia.texts == ["one", "two"]
