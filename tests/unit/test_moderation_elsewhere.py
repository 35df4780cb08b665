"""What operators do at one server, to people who are at another one."""

from __future__ import annotations

import pytest
from moderated import BANNED, ENDED, KEY_OF_ANA, KEY_OF_BIA, MUTED, NOTICE, REMOVED, facts, wish
from neighbourhood import servers
from rooms import Message, Reader, quiet, refusal_of

import chat_pb2
from chat.protocol.errors import ChatError
from chat.server.log.base import TOLD

SESSION_OF_BIA = "b" * 32


async def enter(reader: Reader, room: str) -> None:
    await reader.post(Message(kind=chat_pb2.KIND_ENTERED, room=room, key="e"))


async def ended(reader: Reader) -> ChatError:
    error = await reader.ends()
    assert error is not None
    return error


async def test_somebody_elsewhere_is_removed_and_all_her_rooms_hear_of_it() -> None:
    """Each once, wherever they are; she herself why, and the operator that it is done."""
    _journal, (one, other) = await servers()
    ana = await one.operator()
    here, there = await one.come("caio", session="c" * 32), await other.come("davi", "", "d" * 32)
    plain = await other.come(None)
    bia = await other.come("bia", session=SESSION_OF_BIA)
    stranger = await other.come("eva", session="e" * 32, room="outra")
    for reader in (here, there, bia):
        await enter(reader, "aula")
    await ana.post(wish(REMOVED, "BIA", "não grite"))
    error = await ended(bia)
    assert (error.reason, error.details.by, error.details.words) == ("REMOVED", "ana", "não grite")
    told = [("REMOVED", "ana", "bia", "não grite")]
    assert await facts(here) == await facts(there) == await facts(ana) == told
    assert [m.key for m in ana.messages if m.kind == REMOVED] == ["k"]
    assert [m.kind for m in there.messages if m.kind in (REMOVED, chat_pb2.KIND_LEFT)] == [
        REMOVED,
        *[chat_pb2.KIND_LEFT] * 2,
    ]
    assert await facts(stranger) == [] and not plain.messages
    assert [m.message for m in other.told] == ["não grite"] and one.told == []
    assert [record["to"] for record in one.trail] == ["BIA"] and other.trail == []
    assert (await other.come("bia", session=SESSION_OF_BIA)).member.name == "bia"


@pytest.mark.parametrize("kind", [REMOVED, BANNED, MUTED])
async def test_operators_are_out_of_reach_of_each_other_over_all_servers(
    kind: chat_pb2.Kind,
) -> None:
    """And whom nobody knows at any is unknown."""
    _journal, (one, other) = await servers()
    for server in (one, other):
        server.hub.moderation.operators = frozenset({"ana", "rui"})
    ana = await one.operator()
    rui = await other.come("rui", "key-of-rui", "d" * 32)
    await quiet()
    assert await refusal_of(ana.post(wish(kind, "rui"))) == "OPERATOR_PROTECTED"
    assert await refusal_of(ana.post(wish(REMOVED, "nuno", key="2"))) == "USER_UNKNOWN"
    await rui.say("oi")


async def test_ban_holds_at_all_servers_and_whoever_it_meets_leaves() -> None:
    """By the name there, by the key under another name, by the session; and so does its end."""
    _journal, (one, other, third) = await servers(3)
    ana, caio = await one.operator(), await one.come("caio", session="c" * 32)
    bia = await other.come("bia", KEY_OF_BIA, SESSION_OF_BIA)
    bot = await third.come("bot", KEY_OF_BIA, "f" * 32)
    davi = await other.come("davi", session="d" * 32)
    await quiet()
    until = one.hub.moderation.clock() + 3600
    await ana.post(wish(BANNED, "bia", "spam", until))
    for reader in (bia, bot):
        error = await ended(reader)
        assert (error.reason, error.details.by, error.details.words) == ("BANNED", "ana", "spam")
        assert error.details.until == pytest.approx(until)
    told = [("BANNED", "ana", "bia", "spam"), ("BANNED", "ana", "bot", "spam")]
    assert await facts(davi) == await facts(caio) == told
    assert await facts(ana) == told[:1]
    for server in (one, other, third):
        assert await refusal_of(server.come("bia")) == "BANNED"
        assert await refusal_of(server.come("zoe", session=SESSION_OF_BIA)) == "BANNED"
    await ana.post(wish(BANNED, "bia", until=ENDED, key="end"))
    await quiet()
    await other.come("bia", KEY_OF_BIA, SESSION_OF_BIA)


async def test_ban_of_a_network_meets_those_at_every_server() -> None:
    """Each is told to all rooms by name; the network is the operator's to know."""
    _journal, (one, other) = await servers()
    ana, caio = await one.operator(), await one.come("caio", session="c" * 32)
    bia = await other.come("bia", session=SESSION_OF_BIA, address="192.0.2.7")
    nobody = await other.come(None, address="192.0.2.9")
    davi = await other.come("davi", session="d" * 32, address="192.0.3.1")
    await ana.post(wish(BANNED, "192.0.2.0/24", "flood"))
    for reader in (bia, nobody):
        assert (await ended(reader)).reason == "BANNED"
    told = [("BANNED", "ana", "bia", "flood")]
    assert await facts(davi) == await facts(caio) == told
    assert await facts(ana) == [("BANNED", "ana", "192.0.2.0/24", "flood")]
    assert await refusal_of(other.come(None, address="192.0.2.200")) == "BANNED"


async def test_mute_holds_at_all_servers_and_is_told_where_she_is() -> None:
    """Until it ends."""
    _journal, (one, other) = await servers()
    ana = await one.operator(room="escritório")
    bia = await other.come("bia", session=SESSION_OF_BIA)
    caio = await one.come("caio", session="c" * 32)
    await ana.post(wish(MUTED, "bia", "calma"))
    told = [("MUTED", "ana", "bia", "calma")]
    assert await facts(bia) == await facts(caio) == await facts(ana) == told
    assert await refusal_of(bia.say("oi")) == "MUTED"
    bia.leave()
    bia = await one.come("bia", session=SESSION_OF_BIA)
    assert await refusal_of(bia.say("oi")) == "MUTED"
    bia.leave()
    await ana.post(wish(MUTED, "bia", until=ENDED, key="end"))
    await quiet()
    await (await other.come("bia", session=SESSION_OF_BIA)).say("oi")


async def test_announcement_is_for_everybody_at_all_servers() -> None:
    _journal, (one, other) = await servers()
    ana, plain = await one.operator(), await other.come(None)
    bia = await other.come("bia", session=SESSION_OF_BIA, room="aula")
    await ana.post(wish(NOTICE, words="fecha às 18h"))
    await quiet()
    for reader in (ana, bia):
        (told,) = [m for m in reader.messages if m.kind == NOTICE]
        assert (told.user, told.message, told.to) == ("ANNOUNCEMENT", "fecha às 18h", "ana")
    assert not plain.messages


async def test_wish_that_is_sent_again_at_another_server_is_done_once() -> None:
    """The one who came back meanwhile stays; the operator has the same answer."""
    _journal, (one, other) = await servers()
    ana = await one.operator()
    await other.come("bia", session=SESSION_OF_BIA)
    await ana.post(wish(REMOVED, "bia", "x", key="once"))
    await quiet()
    bia = await other.come("bia", session=SESSION_OF_BIA)
    ana.leave(is_lost=True)
    again = await other.come("ana", KEY_OF_ANA, "a" * 32)
    await again.post(wish(REMOVED, "bia", "x", key="once"))
    await bia.say("still here")
    await quiet()
    assert [m.key for m in again.messages if m.kind == REMOVED] == ["once"]
    assert other.trail == []


async def test_who_goes_on_at_another_server_meanwhile_is_removed_there() -> None:
    """A kick is of somebody, not of a place."""
    journal, (one, other, third) = await servers(3)
    ana = await one.operator()
    await other.come("bia", session=SESSION_OF_BIA)
    journal.is_held = True
    await ana.post(wish(REMOVED, "bia"))
    bia = await third.come("bia", session=SESSION_OF_BIA)
    journal.let_go()
    assert (await ended(bia)).reason == "REMOVED"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "{",
        '{"echo": "CA=="}',
        '{"operator": "a", "echo": "!"}',
        '{"message": "CA==", "rooms": 1, "leaving": ""}',
        '{"message": "/w==", "rooms": null, "leaving": ""}',
        '{"rooms": null, "leaving": ""}',
    ],
)
async def test_what_is_not_understood_is_passed_over(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As a later version may tell it."""
    _journal, (one, other) = await servers()
    ana = await one.operator()
    other.others.take_record(TOLD, "", text)
    other.others.take_record("ban", "name bia", "nonsense")
    assert caplog.text.count("not understood") == 2
    await ana.say("oi")


async def test_bans_and_mutes_are_read_again_when_the_log_was_put_back() -> None:
    """What comes meanwhile counts too."""
    journal, (one, other) = await servers()
    ana = await one.operator()
    await ana.post(wish(MUTED, "bia"))
    await ana.post(wish(BANNED, "caio", key="2"))
    await quiet()
    del other.log.kept["mute", "name bia"]
    await other.others.begin_anew()
    await (await other.come("bia")).say("oi")
    assert await refusal_of(other.come("caio")) == "BANNED"

    async def read() -> None:
        await other.hub.moderation.load()
        other.others.take_record("ban", "name caio", None)

    await other.others.read(read)
    await other.come("caio")
