"""How many names may be held, and who gives way."""

from __future__ import annotations

import pytest
from rooms import Chat, FakeLog, Message, Reader, come_true

import chat_pb2
from chat.protocol.metadata import JoinRequest
from chat.server import member
from chat.server.hub import Hub
from chat.server.records import HOLDER, Holder

HERE = "192.0.2.7"


def session_of(name: str) -> str:
    return name.encode().hex().ljust(32, "0")


async def come_and_be_lost(chat: Chat, name: str, address: str = HERE) -> None:
    request = JoinRequest(user=name, session=session_of(name))
    chat.hub.leave(await chat.hub.join(request, address), is_lost=True)


def names_known(chat: Chat) -> str:
    return "".join(name for name in "abcdefgh" if chat.hub.directory.find(name))


async def test_names_of_one_address_are_held_up_to_its_share() -> None:
    """The oldest are given up, LEFT is told, and the log's file is rid of them; others are not."""
    chat = await Chat(max_per_address=3).start()
    witness = await chat.join("witness")
    await come_and_be_lost(chat, "a", "192.0.2.8")
    await come_and_be_lost(chat, "b", "")
    for name in "cdefgh":
        await come_and_be_lost(chat, name)
    assert names_known(chat) == "abfgh"
    # In a crowd of comings and goings they are told in time, not one by one.
    await come_true(lambda: ("LEFT", "e") in witness.events)
    assert [user for kind, user in witness.events if kind == "LEFT"] == ["c", "d", "e"]
    assert {holder.name for holder in chat.log.held.values()} == set("abfgh")


async def test_nobody_who_is_here_gives_way_or_is_refused_for_a_name_that_is_held() -> None:
    """And whoever comes takes no held name away."""
    chat = await Chat(max_clients=2, max_per_address=2).start()
    for name in "ab":
        await come_and_be_lost(chat, name)
    for name in "cd":
        await chat.hub.join(JoinRequest(user=name), HERE)
    assert names_known(chat) == "abcd"


async def test_no_more_names_than_places() -> None:
    """On the whole server, wherever they come from."""
    chat = await Chat(max_clients=3).start()
    for name in "abcd":
        await come_and_be_lost(chat, name, "")
    assert names_known(chat) == "bcd"


async def test_who_comes_back_holds_its_place_anew() -> None:
    """Its name is no longer the oldest."""
    chat = await Chat(max_per_address=2).start()
    for name in "abac":
        await come_and_be_lost(chat, name)
    assert names_known(chat) == "ac"


async def test_names_noted_by_the_server_before_are_held_up_to_the_places() -> None:
    """A file that says more holds no more."""
    log = FakeLog()
    log.kept = {(HOLDER, f"\x01{name}"): Holder(name).to_text() for name in "abcd"}
    await Hub(log, 2, 0).start()
    assert [holder.name for holder in log.held.values()] == ["c", "d"]


async def enter(reader: Reader, *rooms: str) -> None:
    for room in rooms:
        await reader.post(Message(kind=chat_pb2.KIND_ENTERED, room=room))


async def test_rooms_where_somebody_is_expected_are_no_more_than_it_may_be_in() -> None:
    """Whoever is lost again and again, in other rooms each time, is expected in the last."""
    chat = await Chat().start()
    for turn in range(4):
        ana = await chat.join("ana", session=session_of("ana"), inbox=0)
        await enter(ana, *(f"{turn}.{number}" for number in range(15)))
        ana.leave(is_lost=True)
        assert len(chat.hub.rooms) <= 20
    assert set(chat.hub.rooms) == {"", *(f"3.{number}" for number in range(15))}


async def test_rooms_that_a_stream_has_left_are_not_remembered_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first of very many are forgotten."""
    monkeypatch.setattr(member, "MAX_LEFT", 3)
    chat = await Chat().start()
    ana = await chat.join("ana")
    for room in "abcd":
        await enter(ana, room)
        await ana.post(Message(kind=chat_pb2.KIND_EXITED, room=room))
    assert list(ana.member.left) == ["b", "c", "d"]
