"""When a newcomer is seen, and where it begins to hear, while others go on talking."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from rooms import SESSION, Chat, FakeLog, Message, Reader, quiet, refusal_of

from chat.protocol.errors import ChatError
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


async def meanwhile(ana: Reader, log: SlowPlaces, coming: Coroutine[Any, Any, Any]) -> Any:
    """Have `ana` speak while `bia` is coming; return what `coming` does, once that is seen."""
    log.may_look.clear()
    task = asyncio.create_task(coming)
    for text in ("one", "two"):
        await ana.say(text)
    await quiet()
    assert ("JOINED", "bia") not in ana.events and not task.done()
    log.may_look.set()
    result = await task
    await quiet()
    assert ana.events.count(("JOINED", "bia")) == 1
    return result


@pytest.mark.parametrize("wish", [{"history": 0}, {"history": 1}, {"history": 0, "after": 99}])
async def test_newcomer_hears_what_is_said_while_it_comes(wish: dict[str, Any]) -> None:
    """However little history it asks for."""
    chat = await Chat(log := SlowPlaces()).start()
    ana = await chat.join("ana")
    await ana.say("before")
    await quiet()
    bia = await meanwhile(ana, log, chat.join("bia", **wish))
    assert bia.texts == ["one", "two"]


@pytest.mark.parametrize("after", [0, 1])
async def test_who_enters_a_room_hears_what_is_said_while_it_comes(after: int) -> None:
    """However little of what was said before it wants, or of what it missed."""
    chat = await Chat(log := SlowPlaces()).start()
    ana = await chat.join("ana", room="aula")
    await ana.say("before")
    bia = await chat.join("bia")
    await quiet()
    wish = Message(kind=KIND_ENTERED, room="aula", message="0", id=after)
    await meanwhile(ana, log, bia.post(wish))
    assert bia.texts == ["one", "two"]


class Coming:
    """Bia, whose way into ana's room waits for the log: `task` is her coming."""

    def __init__(self, chat: Chat, log: SlowPlaces, ana: Reader) -> None:
        self.chat, self.log, self.ana = chat, log, ana
        self.begin()

    def begin(self) -> None:
        """Have her come, or come once more."""
        self.log.may_look.clear()
        self.task = asyncio.create_task(self.chat.join("bia", session=SESSION))

    async def end(self, is_unreadable: bool = False) -> None:
        """Let the log answer, or fail."""
        self.log.is_unreadable = is_unreadable
        self.log.may_look.set()
        await quiet()
        self.log.is_unreadable = False


@pytest.fixture
async def coming() -> Coming:
    """She has begun."""
    chat = await Chat(log := SlowPlaces()).start()
    one = Coming(chat, log, await chat.join("ana"))
    await quiet()
    return one


async def test_who_is_coming_is_not_seen_yet(coming: Coming) -> None:
    """Not told, not counted and in no list; but nobody else gets the name."""
    chat, ana = coming.chat, coming.ana
    await ana.ask_who()
    await quiet()
    assert ana.events == [("PRESENT", "ana")]
    assert chat.hub.greeting(ana.member).people == 1
    assert await refusal_of(chat.join("bia")) == "NAME_TAKEN"
    await coming.end()
    assert ana.events[1:] == [("JOINED", "bia")]
    assert chat.hub.greeting(ana.member).people == 2


async def test_who_could_not_come_in_has_neither_joined_nor_left(coming: Coming) -> None:
    """The name is held for the session, which joins when it comes in."""
    await coming.end(is_unreadable=True)
    assert await refusal_of(coming.task) == "LOG_UNREADABLE"
    await coming.ana.ask_who()
    await quiet()
    assert coming.ana.events == [("PRESENT", "ana")]
    coming.begin()
    await coming.end()
    assert coming.ana.events[1:] == [("JOINED", "bia")]


async def test_who_comes_once_more_meanwhile_joins_once(coming: Coming) -> None:
    """The stream that still waited ends; its client may have gone."""
    first = coming.task
    coming.begin()
    await quiet()
    await coming.end()
    error = await first.result().ends()
    assert error is not None and error.reason == "SESSION_REPLACED"
    assert coming.ana.events == [("JOINED", "bia")]
    coming.task.result().leave()
    await quiet()
    assert coming.ana.events == [("JOINED", "bia"), ("LEFT", "bia")]


async def test_who_is_expelled_while_coming_has_neither_joined_nor_left(coming: Coming) -> None:
    """By an operator, say."""
    bia = coming.chat.hub.directory.find("bia")
    assert bia is not None
    coming.chat.hub.expel(bia, ChatError("REMOVED"))
    await coming.end()
    assert coming.ana.events == [] and not coming.chat.hub.directory.find("bia")


async def test_who_cannot_enter_a_room_is_not_seen_there(coming: Coming) -> None:
    """By a wish within the stream; nothing is left of it, and it may wish again."""
    await coming.end()
    bia, eva = coming.task.result(), await coming.chat.join("eva", room="aula")
    wish = Message(kind=KIND_ENTERED, room="aula", message="0")
    coming.log.is_unreadable = True
    assert await refusal_of(bia.post(wish)) == "LOG_UNREADABLE"
    coming.log.is_unreadable = False
    await quiet()
    assert eva.events == [] and list(bia.member.rooms) == [""]
    await bia.post(wish)
    await quiet()
    assert eva.events == [("JOINED", "bia")]
