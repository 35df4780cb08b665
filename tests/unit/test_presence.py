"""Comings and goings: told at once, later, or not at all, and right in the end."""

from __future__ import annotations

import asyncio
import random

import pytest
from rooms import Chat, Message, Reader, bounded, come_true, quiet

import chat_pb2
from chat.protocol.metadata import JoinRequest
from chat.server import presence
from chat.server.presence import Presence
from chat.server.rate_limit import Rate, TokenBucket

JOINED, LEFT, RENAMED = chat_pb2.KIND_JOINED, chat_pb2.KIND_LEFT, chat_pb2.KIND_RENAMED
QUICK = Rate(200.0, 3.0)
NEVER = Rate(1e-6, 3.0)


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes for the bucket, so that after three each one waits, if only for a moment."""
    monkeypatch.setattr(presence, "TELLING", QUICK)
    monkeypatch.setattr(presence, "TokenBucket", lambda rate: TokenBucket(rate, lambda: 1000.0))


def seen_by(reader: Reader) -> set[str]:
    """Return who is here, as the reader was told."""
    here: set[str] = set()
    for message in reader.messages:
        if message.kind in (LEFT, RENAMED):
            assert message.user in here, reader.events
            here.remove(message.user)
        if message.kind in (JOINED, RENAMED):
            name = message.message or message.user
            assert name not in here, reader.events
            here.add(name)
    return here


async def chat_with_listener() -> tuple[Chat, Reader]:
    """Return a chat, and somebody who hears who comes and goes."""
    chat = await Chat().start()
    return chat, await chat.join("ana")


async def test_class_that_comes_in_together_is_told_at_once() -> None:
    """And so is every room that is small enough to be told."""
    chat, ana = await chat_with_listener()
    for number in range(199):
        await chat.hub.join(JoinRequest(user=f"p{number}"))
    await come_true(lambda: len(seen_by(ana)) == 199)


async def test_class_that_comes_in_together_is_written_of_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is told meanwhile goes out with the next thing that is said, and before it."""
    monkeypatch.setattr(presence, "WRITING", NEVER)
    chat = await Chat().start()
    ana = await chat.join("ana", wants_batches=True)
    bia = await chat.join("bia")
    names = [f"p{number}" for number in range(50)]
    for name in names:
        await chat.hub.join(JoinRequest(user=name))
        await quiet()
    assert [user for _kind, user in ana.events] == ["bia", "p0"]
    await bia.say("oi")
    await come_true(lambda: ana.texts == ["oi"])
    heard = [message.user for message in ana.messages]
    assert heard == ["bia", *names, "bia"] and len(ana.frames) == 3
    assert [user for _kind, user in bia.events] == names


async def test_what_is_told_late_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nobody says anything."""
    monkeypatch.setattr(presence, "WRITING", QUICK)
    chat, ana = await chat_with_listener()
    for number in range(9):
        await chat.hub.join(JoinRequest(user=f"p{number}"))
    await come_true(lambda: len(seen_by(ana)) == 9)


async def test_crowd_that_comes_and_goes_is_told_bit_by_bit(frozen: None) -> None:
    """Beyond the burst those who went again are told of to nobody, the others later."""
    chat, ana = await chat_with_listener()
    for number in range(50):
        passer_by = await chat.join_asleep(f"p{number}")
        passer_by.leave()
    for name in ("x", "y", "z"):
        await chat.join_asleep(name)
    await come_true(lambda: seen_by(ana) == {"x", "y", "z"})
    assert len(ana.events) < 50


async def test_nothing_more_is_told_than_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each room has its own."""
    monkeypatch.setattr(presence, "TELLING", NEVER)
    chat, ana = await chat_with_listener()
    elsewhere = await chat.join("elsewhere", room="sala")
    for number in range(9):
        await chat.join_asleep(f"p{number}")
        await chat.join_asleep(f"q{number}", room="sala")
    await quiet()
    assert [user for _kind, user in ana.events] == ["p0", "p1"]
    assert [user for _kind, user in elsewhere.events] == ["q0", "q1"]
    await ana.ask_who()
    await quiet()
    assert len(ana.events) == 2 + 10


async def test_rename_that_waits_is_told_as_going_and_coming(frozen: None) -> None:
    """But not to the one who has the new name."""
    chat, ana = await chat_with_listener()
    bia = await chat.join("bia")
    await chat.join("x")
    await bia.rename("beatriz")
    await come_true(lambda: seen_by(ana) == {"beatriz", "x"})
    assert ana.events[2:] == [("LEFT", "bia"), ("JOINED", "beatriz")]
    assert bia.events == [("JOINED", "x"), ("RENAMED", "bia")]


async def test_coming_that_waits_is_not_told_to_who_came_by_another_stream(frozen: None) -> None:
    """It is the same person, who knows it."""
    chat, ana = await chat_with_listener()
    session = "0" * 32
    for name in ("x", "y"):
        await chat.join(name)
    await chat.join_asleep("bia", session=session)
    bia = await chat.join("bia", session=session)
    await come_true(lambda: "bia" in seen_by(ana))
    await quiet()
    assert bia.events == []


async def test_who_was_told_is_right_in_the_end_whatever_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two hundred random steps, by few names that are taken again and again."""
    monkeypatch.setattr(presence, "TELLING", QUICK)
    dice = random.Random(5)
    chat, ana = await chat_with_listener()
    others: dict[str, Reader] = {}
    for _ in range(200):
        name = dice.choice("bcdefg")
        if name not in others:
            others[name] = await chat.join_asleep(name)
        elif (new := dice.choice("bcdefgh")) in others:
            others.pop(name).leave()
        else:
            others[new] = others.pop(name)
            await others[new].rename(new)
        if dice.random() < 0.1:
            await quiet()
    await come_true(lambda: seen_by(ana) == set(others))


async def test_what_waits_is_forgotten_when_the_room_grows_large(frozen: None) -> None:
    """Of what happens there then, nothing is told either; later all goes on."""
    told: list[str] = []
    feed: Presence[str] = Presence(lambda event, exclude: told.append(event.user))
    for name in "abcde":
        feed.announce(Message(user=name, kind=JOINED), None)
    assert told == ["a", "b", "c"]
    feed.forget()
    feed.announce(Message(user="f", kind=JOINED), None)
    await come_true(lambda: len(told) > 3)
    await quiet()
    assert told == ["a", "b", "c", "f"]


async def test_answer_to_who_comes_in_parts_each_when_the_one_before_was_written() -> None:
    """However many there are, a reader who takes nothing holds one part."""
    chat = await Chat().start()
    for number in range(250):
        await chat.hub.join(JoinRequest(user=f"p{number}"))
    ana = await chat.join_asleep("ana")
    asking = asyncio.ensure_future(ana.ask_who("w"))
    await quiet()
    assert ana.member.queue.queued_messages == 100 and not asking.done()
    ana.read()
    await bounded(asking)
    await quiet()
    assert ana.events == [("PRESENT", f"p{n}") for n in range(250)] + [
        ("PRESENT", "ana"),
        ("WHO", "ana"),
    ]
    assert all(len(frame) <= 32 << 10 for frame in ana.frames)


async def test_long_list_of_names_is_encoded_once_while_it_stays_the_same() -> None:
    """Whoever asks gets the same bytes; a change is seen at once."""
    chat = await Chat().start()
    members = [await chat.hub.join(JoinRequest(user=f"p{number}")) for number in range(250)]
    room = chat.hub.rooms[""]
    first, again = list(room.list_names()), list(room.list_names())
    assert [one is two for one, two in zip(first, again, strict=True)] == [True, True, False]
    chat.hub.naming.rename(members[150], "novo")
    changed = list(room.list_names())
    assert changed[0] is first[0] and changed[1] is not first[1]
    names = [message.user for part in changed for message in part.messages]
    assert names == room.names() and "novo" in names
