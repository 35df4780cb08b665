"""What was missed by who was away for long: the newest of it comes, and how much more there is."""

from __future__ import annotations

import pytest
from rooms import Chat, Reader, bounded

import chat_pb2
from chat.protocol.limits import MAX_HISTORY
from chat.server import missed
from chat_pb2 import KIND_ENTERED, KIND_NOTICE, Message

AULA = "aula"


async def chat_with(count: int, room: str = "") -> Chat:
    """Return a chat in which so much was said in `room`; ids go from 1 up."""
    chat = await Chat().start()
    writer = await chat.join("writer", room=room)
    for number in range(1, count + 1):
        await writer.say(f"{number}")
    await writer.hears(count)
    return chat


def left_out(reader: Reader) -> list[tuple[str, str]]:
    """Return of which rooms the client was told that something is left out, and how much."""
    notices = [message for message in reader.messages if message.kind == KIND_NOTICE]
    assert {notice.user for notice in notices} <= {"MORE_MISSED"}
    return [(notice.room, notice.message) for notice in notices]


async def test_newest_of_what_was_missed_comes_and_how_much_more_there_is() -> None:
    """The notice comes before them, and the stream begins where they do."""
    chat = await chat_with(30)
    ana = await chat.join("ana", after=10, at_most=5)
    assert chat.hub.greeting(ana.member).after == 25
    await ana.hears(6)
    assert ana.messages[0].kind == KIND_NOTICE
    assert left_out(ana) == [("", "15")]
    assert ana.ids == [26, 27, 28, 29, 30]


@pytest.mark.parametrize("after", [25, 26, 30])
async def test_nothing_is_left_out_of_what_is_no_more_than_asked_for(after: int) -> None:
    """Exactly so much, less, and nothing."""
    chat = await chat_with(30)
    ana = await chat.join("ana", after=after, at_most=5)
    await ana.hears(30 - after)
    assert ana.ids == list(range(after + 1, 31)) and left_out(ana) == []


async def test_only_what_is_of_the_room_is_counted() -> None:
    """Ids belong to all rooms."""
    chat = await chat_with(10)
    writer = await chat.join("other", room=AULA)
    for number in range(10):
        await writer.say(f"elsewhere {number}")
    await writer.hears(10)
    ana = await chat.join("ana", after=2, at_most=3)
    await ana.hears(4)
    assert left_out(ana) == [("", "5")] and ana.ids == [8, 9, 10]


async def test_no_more_comes_than_a_history_may_have() -> None:
    """However much is asked for."""
    chat = await chat_with(MAX_HISTORY + 5)
    ana = await chat.join("ana", after=0, at_most=MAX_HISTORY * 2)
    await ana.hears(MAX_HISTORY + 1)
    assert left_out(ana) == [("", "5")]


async def test_more_than_can_be_counted_soon_is_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting ends at a bound."""
    monkeypatch.setattr(missed, "MAX_COUNTED", 7)
    chat = await chat_with(20)
    ana = await chat.join("ana", after=0, at_most=1)
    await ana.hears(2)
    assert left_out(ana) == [("", "7")]


async def test_log_that_was_put_back_is_told_and_nothing_else() -> None:
    """What comes then is a history, and counts from nowhere."""
    chat = await chat_with(10)
    ana = await chat.join("ana", after=1000, at_most=2, history=4)
    await ana.hears(5)
    assert ana.events == [("NOTICE", "LOG_REWOUND")] and ana.ids == [7, 8, 9, 10]


async def test_entering_a_room_brings_the_newest_of_what_was_missed_there() -> None:
    """With an id and a number: after the echo, which says from where."""
    chat = await chat_with(30, AULA)
    ana = await chat.join("ana", inbox=0)
    wish = Message(kind=KIND_ENTERED, room=AULA, key="k", id=10, message="5")
    await bounded(ana.post(wish))
    await ana.hears(7)
    echo, notice = ana.messages[:2]
    assert (echo.kind, echo.id) == (KIND_ENTERED, 25)
    assert (notice.user, notice.message, notice.room) == ("MORE_MISSED", "15", AULA)
    assert [m.id for m in ana.messages[2:]] == [26, 27, 28, 29, 30]
    await bounded(ana.post(Message(kind=chat_pb2.KIND_EXITED, room=AULA, key="x")))
    await bounded(ana.post(Message(kind=KIND_ENTERED, room=AULA, key="l", id=28, message="5")))
    await ana.hears(11)
    assert [m.id for m in ana.messages[-2:]] == [29, 30]
    assert len(left_out(ana)) == 1
