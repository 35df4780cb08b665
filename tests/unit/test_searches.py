"""What members find, and what they do not: SEARCH, and HISTORY around a message."""

from __future__ import annotations

import asyncio

import pytest
from rooms import Chat, FakeLog, Message, Reader, quiet, refusal_of

import chat_pb2
from chat.protocol.limits import MAX_BATCH_BYTES, MAX_FOUND, MAX_SEARCH_CHARACTERS
from chat.server import searches
from chat.server.encoding import Delivery
from chat.server.rate_limit import Rate, RateLimits

SEARCH = chat_pb2.KIND_SEARCH


async def find(reader: Reader, text: str, **fields: object) -> tuple[list[str], Message]:
    """Search, and return the texts that were found and the echo."""
    reader.messages.clear()
    reader.frames.clear()
    await reader.post(Message(kind=SEARCH, message=text, key="s", **fields))  # type: ignore[arg-type]
    await quiet()
    *parts, echo = [Message.FromString(frame) for frame in reader.frames]
    assert all(part.kind == SEARCH and part.key == "s" and part.batch for part in parts)
    assert (echo.kind, echo.key, echo.user) == (SEARCH, "s", reader.member.name)
    assert not echo.batch
    return [found.message for part in parts for found in part.batch], echo


async def test_search_finds_newest_first_and_its_echo_ends_it() -> None:
    """In the room that is asked about, of what is said there."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    for text in ("uma casa", "um carro", "outra CASA"):
        await ana.say(text)
    await ana.say("casa em segredo", to="bia")
    await chat.join("carla", room="sala")
    await quiet()
    found, echo = await find(bia, "casa")
    assert found == ["outra CASA", "uma casa"]
    assert echo.id == 0 and echo.room == ""
    assert await refusal_of(find(bia, "casa", room="sala")) == "NOT_IN_ROOM"


async def test_search_goes_on_below_an_id() -> None:
    """No more than so many are found at a time; the echo says from where to go on."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    for number in range(MAX_FOUND + 5):
        await ana.say(f"casa {number}")
    await quiet()
    found, echo = await find(ana, "casa")
    assert found == [f"casa {number}" for number in range(MAX_FOUND + 4, 4, -1)]
    found, echo = await find(ana, "casa", id=echo.id)
    assert found == [f"casa {number}" for number in range(4, -1, -1)]
    assert echo.id == 0


async def test_search_is_told_as_it_is_found() -> None:
    """The log looks for a while at a time."""
    log = FakeLog()
    log.found_at_once = 2
    chat = await Chat(log).start()
    (ana,) = await chat.full("ana")
    for number in range(5):
        await ana.say(f"casa {number}")
    await quiet()
    found, echo = await find(ana, "casa")
    assert found == [f"casa {number}" for number in range(4, -1, -1)] and echo.id == 0
    assert len(log.searches) == 3


async def test_long_search_says_how_far_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """And costs more than one question."""
    monkeypatch.setattr(searches, "SEARCH_SECONDS", 0.0)
    monkeypatch.setattr(searches, "SECONDS_OF_A_QUESTION", 1e-9)
    log = FakeLog()
    chat = await Chat(log, limits=RateLimits(0, asking=Rate(1, 1), moving=Rate(0, 0))).start()
    (ana,) = await chat.full("ana")
    log.found_at_once = 1
    for number in range(3):
        await ana.say(f"casa {number}")
    await quiet()
    found, echo = await find(ana, "casa")
    assert found == ["casa 2"] and echo.id == 3
    assert ana.member.rate_limit.ask(0) > 60


@pytest.mark.parametrize("text", ["", " ", "!?", '""', "a" * (MAX_SEARCH_CHARACTERS + 1)])
async def test_search_without_words_is_refused(text: str) -> None:
    """There is nothing to find."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    assert await refusal_of(find(ana, text)) == "REQUEST_INVALID"


async def test_search_for_what_is_long_comes_in_parts() -> None:
    """None of them is larger than a batch."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    for _ in range(20):
        await ana.say("casa " + "x" * 8000)
    await quiet()
    found, _echo = await find(ana, "casa")
    assert len(found) == 20 and len(ana.frames) > 5
    assert all(len(frame) <= MAX_BATCH_BYTES for frame in ana.frames)


async def test_who_leaves_meanwhile_finds_nothing() -> None:
    """It is asked again when the answer goes out."""
    log = FakeLog()
    chat = await Chat(log).start()
    ana = await chat.join("ana", room="sala")
    await ana.post(Message(kind=chat_pb2.KIND_ENTERED, room="outra"))
    await ana.post(Message(message="casa", room="sala"))
    await quiet()
    log.read_turns = 50
    search = asyncio.get_running_loop().create_task(find(ana, "casa", room="sala"))
    await asyncio.sleep(0)
    await ana.post(Message(kind=chat_pb2.KIND_EXITED, room="sala"))
    assert await refusal_of(search) == "NOT_IN_ROOM"


async def test_what_was_said_before_one_may_hear_is_not_found() -> None:
    """A room that was closed begins for the others where it was opened."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    await ana.say("casa fechada")
    await quiet()
    chat.hub.closed.close("", ana.member.person, [ana.member.person])  # type: ignore[arg-type,list-item]
    chat.hub.closed.open("", chat.hub.rooms.last_id)
    await ana.say("casa aberta")
    await quiet()
    assert (await find(ana, "casa"))[0] == ["casa aberta", "casa fechada"]
    assert (await find(bia, "casa"))[0] == ["casa aberta"]


async def test_history_around_a_message() -> None:
    """So many before it, and so many from it on."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    for number in range(1, 10):
        await ana.say(str(number))
    await quiet()
    for wish, texts in (
        ("2+3", ["3", "4", "5", "6", "7"]),
        ("0+1", ["5"]),
        ("1+0", ["4"]),
        ("9+99", list("123456789")),
    ):
        ana.messages.clear()
        history = Message(kind=chat_pb2.KIND_HISTORY, message=wish, id=5, key="h")
        await ana.post(history)
        await quiet()
        assert [one.message for one in ana.messages if one.kind == 0] == texts
    for wish, message_id in (
        ("2+3", 0),
        ("+", 5),
        ("+1", 5),
        ("0+0", 5),
        ("-1+2", 5),
        ("1+2+3", 5),
    ):
        history = Message(kind=chat_pb2.KIND_HISTORY, message=wish, id=message_id)
        assert await refusal_of(ana.post(history)) == "REQUEST_INVALID"


def test_delivery_of_a_part_is_one_message() -> None:
    """The messages of an answer are not taken for a batch of the stream."""
    part = Message(kind=SEARCH, key="s", batch=[Message(message="casa", id=7)])
    assert Delivery([part]).last_id == 0
