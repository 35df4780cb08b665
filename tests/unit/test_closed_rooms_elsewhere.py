"""Closed rooms over several servers: what is done to one at a server holds at all of them."""

from __future__ import annotations

import asyncio
import json

import pytest
from moderated import KEY_OF_ANA, KEY_OF_BIA
from neighbourhood import Server, servers
from rooms import Message, Reader, quiet, refusal_of

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_GUESTS
from chat.server.records import GUEST, ROOM

SALA = "sala"
SESSION_OF_BIA, SESSION_OF_CAIO = "b" * 32, "c" * 32


async def wish(reader: Reader, kind: chat_pb2.Kind, to: str = "", key: str = "w") -> None:
    await reader.post(Message(kind=kind, to=to, key=key, room=SALA))
    await quiet()


async def close(reader: Reader, key: str = "close") -> None:
    await wish(reader, chat_pb2.KIND_CLOSED, key=key)


async def reopen(reader: Reader, key: str = "open") -> None:
    await wish(reader, chat_pb2.KIND_OPENED, key=key)


async def invite(reader: Reader, name: str, key: str = "invite") -> None:
    await wish(reader, chat_pb2.KIND_INVITED, name, key)


async def turn_out(reader: Reader, name: str) -> None:
    await wish(reader, chat_pb2.KIND_EXITED, name, "out")


async def enter(reader: Reader) -> None:
    await reader.post(Message(kind=chat_pb2.KIND_ENTERED, room=SALA, message="20", key="in"))
    await quiet()


async def say(reader: Reader, text: str) -> None:
    await reader.post(Message(message=text, room=SALA))
    await quiet()


def told(reader: Reader, kind: chat_pb2.Kind) -> list[tuple[str, str]]:
    return [(m.user, m.to) for m in reader.messages if m.kind == kind]


async def test_room_is_closed_at_all_servers() -> None:
    """Nobody else comes in, or knows of it; those who were inside elsewhere are guests."""
    _journal, (one, other) = await servers()
    ana = await one.operator(room=SALA)
    bia = await other.come("bia", KEY_OF_BIA, SESSION_OF_BIA, room=SALA)
    caio = await other.come("caio", session=SESSION_OF_CAIO, room=SALA)
    await close(ana)
    await say(ana, "segredo")
    assert bia.texts == caio.texts == ["segredo"]
    assert told(bia, chat_pb2.KIND_CLOSED) == [("ana", "")]
    assert await refusal_of(other.come("zoe", room=SALA)) == "ROOM_CLOSED"
    zoe = await other.come("zoe")
    who = Message(kind=chat_pb2.KIND_WHO, room=SALA, key="w")
    for refused in (enter(zoe), zoe.post(who)):
        assert await refusal_of(refused) == "ROOM_CLOSED"
    for reader in (bia, caio):
        reader.leave(is_lost=True)
    await other.come("bia", KEY_OF_BIA, "f" * 32, room=SALA)  # by her key
    caio = await one.come("caio", session=SESSION_OF_CAIO, room=SALA)  # by his session
    await say(caio, "oi")
    assert [m.kind for m in ana.messages if m.kind == chat_pb2.KIND_INVITED] == []


async def test_who_comes_in_elsewhere_before_it_is_heard_is_a_guest() -> None:
    """As whoever was inside; and is so at the first server too."""
    journal, (one, other) = await servers()
    ana = await one.operator(room=SALA)
    journal.is_held = True
    await ana.post(Message(kind=chat_pb2.KIND_CLOSED, room=SALA, key="c"))
    caio = await other.come("caio", session=SESSION_OF_CAIO, room=SALA)
    journal.let_go()
    await quiet()
    await say(ana, "segredo")
    assert caio.texts == ["segredo"]
    caio.leave(is_lost=True)
    await one.come("caio", session=SESSION_OF_CAIO, room=SALA)
    assert await refusal_of(other.come("zoe", room=SALA)) == "ROOM_CLOSED"


async def test_guest_elsewhere_is_invited_and_turned_out() -> None:
    """The invitation is in the inbox, and told to the room; who is turned out leaves at once."""
    _journal, (one, other) = await servers()
    ana = await one.operator(room=SALA)
    await close(ana)
    caio = await other.come("caio", session=SESSION_OF_CAIO)
    plain = await other.come(None)
    await plain.say("oi", user="plínio")
    await invite(ana, "CAIO")
    assert told(caio, chat_pb2.KIND_INVITED) == [("ana", "caio")]
    await enter(caio)
    await invite(ana, "caio", key="again")  # who is inside need not know
    assert len(told(caio, chat_pb2.KIND_INVITED)) == 1
    assert told(ana, chat_pb2.KIND_INVITED) == [("ana", "caio")] * 2
    assert await refusal_of(invite(ana, "plínio", key="3")) == "USER_UNREACHABLE"
    assert await refusal_of(invite(ana, "ninguém", key="4")) == "USER_UNKNOWN"
    await turn_out(ana, "caio")
    notices = [m for m in caio.messages if m.kind == chat_pb2.KIND_NOTICE]
    assert [(m.user, m.room) for m in notices] == [("ROOM_CLOSED", SALA)]
    assert await refusal_of(enter(caio)) == "ROOM_CLOSED"
    await say(ana, "segredo")
    assert "segredo" not in caio.texts


async def test_opened_room_is_open_at_all_servers_and_tells_nothing_of_before() -> None:
    """By its owner, wherever she is by then."""
    _journal, (one, other) = await servers()
    ana = await one.operator(room=SALA)
    await close(ana)
    await say(ana, "segredo")
    ana.leave(is_lost=True)
    ana = await other.come("ana", KEY_OF_ANA, "a" * 32)
    await reopen(ana)
    await say(await other.come("zoe", room=SALA), "agora")
    nuno = await one.come("nuno")
    await enter(nuno)
    assert nuno.texts == ["agora"]


async def test_room_where_somebody_is_elsewhere_is_not_ones_own() -> None:
    """Neither by coming first here, nor by being alone here."""
    _journal, (one, other) = await servers()
    caio = await other.come("caio", session=SESSION_OF_CAIO, room=SALA)
    await quiet()
    ana = await one.operator(room=SALA)
    assert await refusal_of(close(ana)) == "NOT_ROOM_OWNER"
    caio.leave()
    await quiet()
    await close(ana)


async def test_session_that_is_over_is_no_guest_at_any_server() -> None:
    """One that goes on elsewhere is."""
    _journal, (one, other) = await servers()
    ana = await one.operator(room=SALA)
    caio = await other.come("caio", session=SESSION_OF_CAIO, room=SALA)
    await close(ana)
    again = await one.come("caio", session=SESSION_OF_CAIO, room=SALA)
    await caio.ends()
    await quiet()
    await say(again, "ainda aqui")
    again.leave()
    await quiet()
    for server in (one, other):
        refused = server.come("caio", session=SESSION_OF_CAIO, room=SALA)
        assert await refusal_of(refused) == "ROOM_CLOSED"


async def test_what_two_servers_do_at_a_time_does_not_undo_each_other() -> None:
    """One invites while the session of another guest ends elsewhere."""
    journal, (one, other) = await servers()
    ana = await one.operator(room=SALA)
    nuno = await other.come("nuno", session="d" * 32, room=SALA)
    caio = await other.come("caio", session=SESSION_OF_CAIO)
    await close(ana)
    journal.is_held = True
    inviting = Message(kind=chat_pb2.KIND_INVITED, to="caio", key="i", room=SALA)
    nuno.leave()
    posting = asyncio.create_task(ana.post(inviting))
    await quiet()
    journal.let_go()
    await posting
    await quiet()
    await enter(caio)
    assert await refusal_of(one.come("nuno", session="d" * 32, room=SALA)) == "ROOM_CLOSED"


async def test_visitor_elsewhere_is_left_to_that_server() -> None:
    """Whose list of operators says whether he is one."""
    _journal, (one, other) = await servers()
    bia = await one.come("bia", KEY_OF_BIA, SESSION_OF_BIA, room=SALA)
    await close(bia)
    ana = await other.operator()
    await enter(ana)
    assert one.hub.closed.forget_visitors(lambda identity: False) == []
    other.hub.moderation.operators = frozenset()
    gone = other.hub.closed.forget_visitors(lambda identity: False)
    assert [key for _identity, key in gone] == [SALA]
    await quiet()
    assert ana.messages[-1].user == "ROOM_CLOSED"


async def test_wish_that_is_sent_again_at_another_server_closes_nothing() -> None:
    """Opened since, it stays open."""
    _journal, (one, other) = await servers()
    ana = await one.operator(room=SALA)
    await close(ana, key="once")
    await reopen(ana)
    ana.leave(is_lost=True)
    ana = await other.come("ana", KEY_OF_ANA, "a" * 32, room=SALA)
    await close(ana, key="once")
    assert not one.hub.closed.is_closed(SALA) and not other.hub.closed.is_closed(SALA)


async def test_no_more_guests_than_there_may_be_come_in_elsewhere() -> None:
    """Whoever is one too many has to leave."""
    journal, (one, other) = await servers()
    ana = await one.operator(room=SALA)
    person = ana.member.person
    assert person is not None
    elsewhere = [f"guest {number}" for number in range(MAX_GUESTS)]
    with pytest.raises(ChatError, match=str(MAX_GUESTS)):
        one.hub.closed.close(SALA, person, [person], elsewhere)
    journal.is_held = True
    one.hub.closed.close(SALA, person, [person], elsewhere[1:])
    caio = await other.come("caio", session=SESSION_OF_CAIO, room=SALA)
    journal.let_go()
    error = await caio.ends()
    assert error is not None and error.reason == "ROOM_CLOSED"


async def test_closed_rooms_are_read_again_when_the_log_was_put_back() -> None:
    """And nothing is forgotten that others may still have."""
    journal, (one, other) = await servers()
    ana = await one.operator(room=SALA)
    caio = await one.come("caio", session=SESSION_OF_CAIO)
    await close(ana)
    await invite(ana, "caio")
    await reopen(ana)
    other.log.rows.clear()
    await other.others.begin_anew()
    kept = dict(other.log.kept)
    third = Server(journal.logs[1])
    await third.begin()
    assert other.log.kept == kept
    person = caio.member.person
    assert person is not None and third.hub.closed.is_guest(SALA, person)


@pytest.mark.parametrize(
    ("kind", "key", "text"),
    [
        (ROOM, SALA, "{"),
        (ROOM, SALA, "{}"),
        (GUEST, f"{SALA}\nx", "{}"),
        (GUEST, f"{SALA}\nx", '{"after": "1"}'),
        ("used room", SALA, "x"),
    ],
)
async def test_record_that_is_none_is_passed_over(kind: str, key: str, text: str) -> None:
    """As a later version may keep it, live and at the start."""
    _journal, (one, other) = await servers()
    ana = await one.operator(room=SALA)
    await close(ana)
    other.others.take_record(kind, key, text)
    assert other.hub.closed.is_closed(SALA)
    one.log.kept[kind, key] = text
    await one.others.read(one.hub.load_closed)
    await ana.say("oi")


async def test_guests_whom_an_earlier_version_kept_with_the_room_are_guests() -> None:
    """They get records of their own."""
    _journal, (one, _other) = await servers()
    caio = await one.come("caio", session=SESSION_OF_CAIO)
    person = caio.member.person
    assert person is not None
    room = {"owner": "key", "open_after": 0, "closed_after": 3, "used_at": 2e9, "is_closed": True}
    guests = {"guests": {person.identity: 2, "olga": 3}, "visitors": ["olga"]}
    one.log.kept[ROOM, SALA] = json.dumps(room | guests)
    await one.others.read(one.hub.load_closed)
    await quiet()
    assert json.loads(one.log.kept[ROOM, SALA]) == room
    assert json.loads(one.log.kept[GUEST, f"{SALA}\nolga"]) == {"after": 3, "is_visitor": True}
    assert one.hub.closed.heard_after(SALA, person) == 2
