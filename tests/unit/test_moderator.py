"""What operators do to people, who hears of it, and what everybody else gets for trying."""

from __future__ import annotations

import asyncio

import pytest
from moderated import (
    BANNED,
    ENDED,
    KEY_OF_ANA,
    KEY_OF_BIA,
    MUTED,
    NOTICE,
    NOW,
    REMOVED,
    Clock,
    Moderated,
    facts,
    wish,
)
from rooms import FakeLog, Message, Reader, SlowInboxes, quiet, refusal_of

import chat_pb2
from chat.protocol.details import MAX_SECONDS
from chat.protocol.errors import ChatError
from chat.server.banning import MAX_NAMED
from chat.server.directory import identity_of
from chat.server.expulsion import LEAVING_AT_ONCE
from chat.server.notices import notice
from chat.server.ownership import MAX_NAMES_OF_KEY
from chat.server.records import HOLDER, Holder

SESSION_OF_BIA = "b" * 32
ALL = (REMOVED, BANNED, MUTED, NOTICE)


async def started(log: FakeLog | None = None, *operators: str) -> Moderated:
    chat = Moderated(log, *operators)
    await chat.start()
    return chat


async def refused(reader: Reader, message: Message) -> ChatError:
    with pytest.raises(ChatError) as refusal:
        await reader.post(message)
    return refusal.value


# Who may.

TRIED = {REMOVED: "remove", BANNED: "ban", MUTED: "mute", NOTICE: "announce"}


@pytest.mark.parametrize("kind", ALL)
async def test_nobody_else_may(kind: chat_pb2.Kind, caplog: pytest.LogCaptureFixture) -> None:
    """Neither with the name but not its key, nor with a key and another name; it is noted."""
    chat = await started(None, "ana", "root")
    root = await chat.come("root", session="c" * 32, address="192.0.2.3")
    bia = await chat.come("bia", KEY_OF_BIA, SESSION_OF_BIA, "192.0.2.4")
    for reader in (root, bia):
        assert (await refused(reader, wish(kind, "bia", "x"))).reason == "NOT_OPERATOR"
    await bia.say("still here")
    assert [record["refused"] for record in chat.trail] == ["NOT_OPERATOR"] * 2
    assert [record["address"] for record in chat.trail] == ["192.0.2.3", "192.0.2.4"]
    for who in ("[root] (192.0.2.3)", "[bia] (192.0.2.4)"):
        assert f"{who} is no operator, and tried to {TRIED[kind]} some" in caplog.text


async def test_plain_client_cannot_even_ask() -> None:
    """Its messages are words and nothing else."""
    chat = await started()
    plain = await chat.come(None)
    await plain.say("oi", user="bia")
    for kind in ALL:
        message = wish(kind, "bia", "x")
        message.user = "bia"
        assert await refusal_of(plain.post(message)) == "REQUEST_INVALID"


async def test_rename_decides_anew() -> None:
    """Out of the name of an operator, and into it."""
    chat = await started()
    ana = await chat.operator()
    await ana.rename("zoe")
    assert (await refused(ana, wish(NOTICE, words="x"))).reason == "NOT_OPERATOR"
    await ana.rename("Ana")
    await ana.post(wish(NOTICE, words="x"))


async def test_whoever_is_taken_out_of_the_list_is_none_at_once() -> None:
    chat = await started()
    ana = await chat.operator()
    chat.hub.moderation.operators = frozenset()
    assert (await refused(ana, wish(NOTICE, words="x"))).reason == "NOT_OPERATOR"


@pytest.mark.parametrize("kind", [REMOVED, BANNED, MUTED])
async def test_operators_are_out_of_reach_of_each_other(kind: chat_pb2.Kind) -> None:
    """Only the server's owner takes one out of the list; also while one is away."""
    chat = await started(None, "ana", "rui")
    ana = await chat.operator()
    rui = await chat.come("rui", "key-of-rui", "d" * 32)
    assert (await refused(ana, wish(kind, "RUI"))).reason == "OPERATOR_PROTECTED"
    rui.leave()
    reason = (await refused(ana, wish(kind, "rui"))).reason
    assert reason == ("USER_UNKNOWN" if kind == REMOVED else "OPERATOR_PROTECTED")


# Removing.


async def test_removed_one_is_told_why_and_the_rooms_by_whom() -> None:
    """The name is free at once; nobody is told twice, and who has two fields is not told."""
    chat = await started()
    ana, plain = await chat.operator(), await chat.come(None)
    await plain.say("oi", user="rui")
    bia = await chat.come("bia", session=SESSION_OF_BIA)
    caio = await chat.come("caio", session="c" * 32)
    for reader in (bia, caio):
        await reader.post(Message(kind=chat_pb2.KIND_ENTERED, room="aula", key="e"))
    await ana.post(wish(REMOVED, "bia", "não  grite\x1b[2J\n"))
    error = await bia.ends()
    assert error is not None and error.reason == "REMOVED"
    words = "não grite\ufffd[2J"
    assert (error.details.by, error.details.words) == ("ana", words)
    assert await facts(caio) == [("REMOVED", "ana", "bia", words)]
    assert await facts(ana) == [("REMOVED", "ana", "bia", words)]
    assert [m.key for m in ana.messages if m.kind == REMOVED] == ["k"]
    kinds = [m.kind for m in ana.messages if m.kind in (REMOVED, chat_pb2.KIND_LEFT)]
    assert kinds == [REMOVED, chat_pb2.KIND_LEFT]
    assert ("LEFT", "bia") in caio.events
    assert [m.message for m in plain.messages] == ["oi"]
    assert chat.hub.directory.find("bia") is None and not chat.log.held.get("bia")
    assert (await chat.come("bia", session="e" * 32)).member.name == "bia"
    assert ("", words) in chat.shown


async def test_one_whose_name_is_held_is_removed() -> None:
    """Else the name would stay for a minute."""
    chat = await started()
    ana, bia = await chat.operator(), await chat.come("bia", session=SESSION_OF_BIA)
    bia.leave(is_lost=True)
    await ana.post(wish(REMOVED, "bia"))
    await quiet()
    assert chat.hub.directory.find("bia") is None and ("LEFT", "bia") in ana.events


async def test_plain_client_is_removed() -> None:
    """Its stream ends."""
    chat = await started()
    ana, plain = await chat.operator(), await chat.come(None)
    await plain.say("oi", user="bia")
    await ana.post(wish(REMOVED, "bia", "spam"))
    error = await plain.ends()
    assert error is not None and error.reason == "REMOVED"


async def test_wish_that_is_sent_again_is_done_once() -> None:
    """Over a lost connection the client cannot know; the one who came back stays."""
    chat = await started()
    ana, _bia = await chat.operator(), await chat.come("bia")
    await ana.post(wish(REMOVED, "bia", key="once"))
    bia = await chat.come("bia")
    await ana.post(wish(REMOVED, "bia", key="once"))
    await bia.say("here")
    await quiet()
    assert [m.key for m in ana.messages if m.kind == REMOVED] == ["once", "once"]
    assert len(chat.trail) == 1


# Banning.


@pytest.mark.parametrize("session", ["", SESSION_OF_BIA])
async def test_banned_one_goes_and_stays_out(session: str) -> None:
    """Under the name and what looks like it, by the session; until it ends."""
    chat = await started()
    ana, bia = await chat.operator(), await chat.come("bia", session=session)
    until = chat.hub.moderation.clock() + 3600
    await ana.post(wish(BANNED, "bia", "spam", until))
    error = await bia.ends()
    assert error is not None and error.reason == "BANNED"
    assert error.details.until == pytest.approx(until) and error.details.words == "spam"
    for name in ("bia", "Bia", "bia."):
        assert await refusal_of(chat.come(name)) == "BANNED"
    if session:
        assert await refusal_of(chat.come("zoe", session=session)) == "BANNED"
    plain = await chat.come(None)
    assert await refusal_of(plain.say("oi", user="bia")) == "BANNED"
    caio = await chat.come("caio", session="c" * 32)
    assert await refusal_of(caio.rename("bia")) == "BANNED"
    assert await facts(ana) == [("BANNED", "ana", "bia", "spam")]
    await ana.post(wish(BANNED, "bia", until=ENDED, key="end"))
    await chat.come("bia")


async def test_owner_is_banned_whatever_the_name() -> None:
    """From another machine, and while she is away; and so is whoever looks like her."""
    chat = await started()
    ana, bia = await chat.operator(), await chat.come("bia", KEY_OF_BIA, SESSION_OF_BIA)
    bia.leave()
    await ana.post(wish(BANNED, "bia"))
    for name in ("bia", "zoe"):
        assert await refusal_of(chat.come(name, KEY_OF_BIA, "f" * 32)) == "BANNED"


async def test_ban_holds_for_the_key_of_a_name_that_is_nobodys_own() -> None:
    """It was proved all the same, by one who may own no more names."""
    chat = await started()
    ana = await chat.operator()
    for number in range(MAX_NAMES_OF_KEY):
        chat.hub.owners.claim(f"b{number}", KEY_OF_BIA, "", 0)
    bia = await chat.come("troll", KEY_OF_BIA, SESSION_OF_BIA)
    await ana.post(wish(BANNED, "troll"))
    assert (await bia.ends()) is not None
    assert await refusal_of(chat.come("b0", KEY_OF_BIA, "c" * 32)) == "BANNED"


async def test_network_is_banned_and_everybody_in_it_goes() -> None:
    """Each is told to the rooms by name; the network only to the operator."""
    chat = await started()
    ana = await chat.operator()
    bia = await chat.come("bia", session=SESSION_OF_BIA, address="192.0.2.7")
    lost = await chat.come("lia", session="e" * 32, address="192.0.2.8")
    lost.leave(is_lost=True)
    nobody = await chat.come(None, address="192.0.2.9")
    caio = await chat.come("caio", session="c" * 32, address="192.0.3.1")
    await ana.post(wish(BANNED, "192.0.2.0/24", "flood"))
    for reader in (bia, nobody):
        error = await reader.ends()
        assert error is not None and error.reason == "BANNED"
    told = await facts(caio)
    assert sorted(to for _kind, _by, to, _words in told) == ["bia", "lia"]
    assert ("BANNED", "ana", "192.0.2.0/24", "flood") in await facts(ana)
    assert await refusal_of(chat.come("zoe", address="192.0.2.200")) == "BANNED"
    assert await refusal_of(chat.come(None, address="192.0.2.200")) == "BANNED"
    await ana.post(wish(BANNED, "192.0.2.0/24", until=ENDED, key="end"))
    await chat.come("zoe", address="192.0.2.200")


async def test_plain_client_that_has_spoken_is_met_by_a_ban_of_its_network() -> None:
    """Its address is in the trail too."""
    chat = await started()
    ana = await chat.operator()
    plain = await chat.come(None, address="192.0.2.7")
    await plain.say("buy", user="spam")
    await ana.post(wish(BANNED, "192.0.2.0/24", "spam"))
    error = await plain.ends()
    assert error is not None and error.reason == "BANNED"
    again = await chat.come(None, address="192.0.3.1")
    await again.say("buy", user="spam")
    await ana.post(wish(REMOVED, "spam", key="r"))
    assert chat.trail[-1]["to_address"] == "192.0.3.1"


async def test_crowd_that_is_banned_leaves_bit_by_bit() -> None:
    """Nobody else waits for all of it, and none of them speaks meanwhile; some are named."""
    chat = await started()
    ana, caio = await chat.operator(), await chat.come("caio", session="c" * 32)
    crowd = [
        await chat.come(f"spam{number}", session=f"{number:032x}", address="192.0.2.7")
        for number in range(5 * LEAVING_AT_ONCE)
    ]
    await ana.post(wish(BANNED, "192.0.2.7", "flood"))
    assert len(chat.hub.directory) == 2 + 4 * LEAVING_AT_ONCE
    for reader in crowd:
        assert await refusal_of(reader.say("still here")) == "SHUTTING_DOWN"
    last = len(crowd) - 1
    back = await chat.come(f"spam{last}", session=f"{last:032x}", address="192.0.3.1")
    await quiet()
    assert sorted(person.name for person in chat.hub.directory.people) == ["ana", "caio", "spam49"]
    assert not back.has_ended
    assert len(await facts(caio)) == MAX_NAMED
    for reader in crowd[:-1]:
        error = await reader.ends()
        assert error is not None and error.reason == "BANNED"
        assert not await facts(reader)


async def test_network_of_an_operator_or_of_the_server_is_not_banned() -> None:
    chat = await started()
    ana = await chat.come("ana", KEY_OF_ANA, "a" * 32, "192.0.2.1")
    assert (await refused(ana, wish(BANNED, "192.0.2.0/24"))).reason == "OPERATOR_PROTECTED"
    assert (await refused(ana, wish(BANNED, "127.0.0.1"))).reason == "ADDRESS_PROTECTED"
    await chat.come("bia", address="192.0.2.2")


@pytest.mark.parametrize(
    ("kind", "to"), [(BANNED, "rui"), (MUTED, "rui"), (BANNED, "192.0.2.0/24")]
)
async def test_what_holds_for_an_operator_of_today_can_be_ended(
    kind: chat_pb2.Kind, to: str
) -> None:
    """He was none when it began; it would hold again as soon as he is none."""
    chat = await started()
    ana = await chat.operator()
    await ana.post(wish(kind, to))
    chat.hub.moderation.operators = frozenset({"ana", "rui"})
    chat.hub.owners.claim("rui", "key-of-rui", "", 0)
    await chat.come("rui", "key-of-rui", "d" * 32, "192.0.2.7")
    await ana.post(wish(kind, to, until=ENDED, key="end"))
    chat.hub.moderation.operators = frozenset({"ana"})
    await (await chat.come("rui", "key-of-rui", "d" * 32, "192.0.2.7")).say("oi")


async def test_nobody_has_an_address_for_a_name() -> None:
    """Who did would be met by a ban in place of the address, and go on from there."""
    log = FakeLog()
    log.keep(HOLDER, identity_of("9" * 32), Holder("192.0.2.7").to_text())  # as it once could be
    chat = await started(log)
    ana, bia = await chat.operator(), await chat.come("bia", address="192.0.2.7")
    assert await refusal_of(chat.come("192.0.2.7")) == "NAME_INVALID"
    assert await refusal_of(bia.rename("192.0.2.0/24")) == "NAME_INVALID"
    await ana.post(wish(BANNED, "192.0.2.7"))
    assert await bia.ends() is not None
    assert await refusal_of(chat.come("zoe", address="192.0.2.7")) == "BANNED"


@pytest.mark.parametrize("kind", [BANNED, MUTED])
async def test_end_of_what_does_not_hold_is_refused(kind: chat_pb2.Kind) -> None:
    """A computer whose clock is wrong would end what it meant to begin, and not know it."""
    chat = await started()
    ana = await chat.operator()
    before = chat.hub.moderation.clock() - 60
    assert (await refused(ana, wish(kind, "bia", until=before))).reason == "NOT_IN_FORCE"
    assert await facts(ana) == []


@pytest.mark.parametrize(
    ("to", "seconds", "nanos", "reason"),
    [
        ("", 0, 0, "NAME_INVALID"),
        ("x" * 129, 0, 0, "NAME_INVALID"),
        ("a:b", 0, 0, "NAME_INVALID"),
        ("bia", -1, 0, "REQUEST_INVALID"),
        ("bia", 1 << 62, 0, "REQUEST_INVALID"),
        ("bia", 1, -1, "REQUEST_INVALID"),
        ("bia", 1, 1_000_000_000, "REQUEST_INVALID"),
    ],
)
async def test_nonsense_is_refused(to: str, seconds: int, nanos: int, reason: str) -> None:
    chat = await started()
    ana = await chat.operator()
    message = wish(BANNED, to)
    message.sent_at.seconds, message.sent_at.nanos = seconds, nanos
    assert (await refused(ana, message)).reason == reason


@pytest.mark.parametrize(("kind", "length"), [(REMOVED, 257), (BANNED, 257), (NOTICE, 1001)])
async def test_words_are_bounded(kind: chat_pb2.Kind, length: int) -> None:
    chat = await started()
    ana, _bia = await chat.operator(), await chat.come("bia")
    assert (await refused(ana, wish(kind, "bia", "x" * length))).reason == "WORDS_TOO_LONG"
    await ana.post(wish(kind, "bia", "x" * (length - 1), key="shorter"))


# Muting.


async def test_muted_one_is_heard_by_operators_alone() -> None:
    """In rooms, in private and by a new name; she may come and go, and read."""
    chat = await started()
    ana, bia = await chat.operator(), await chat.come("bia", session=SESSION_OF_BIA)
    caio = await chat.come("caio", session="c" * 32)
    await bia.say("before", key="said")
    until = chat.hub.moderation.clock() + 3600
    await ana.post(wish(MUTED, "bia", "calma", until))
    assert await facts(bia) == [("MUTED", "ana", "bia", "calma")] == await facts(caio)
    for message in (
        Message(message="oi"),
        Message(message="waves", kind=chat_pb2.KIND_ACTION),
        Message(message="psst", to="caio"),
        Message(message="zoe", kind=chat_pb2.KIND_RENAMED),
    ):
        error = await refused(bia, message)
        assert error.reason == "MUTED" and error.details.until == pytest.approx(until)
    await bia.say("why?", to="ana")
    await bia.say("before", key="said")  # again, over a lost connection: it is in the log already
    await bia.ask_who("who")
    await quiet()
    assert [m.message for m in caio.messages if m.kind == 0] == ["before"]
    assert "why?" in ana.texts
    await ana.post(wish(MUTED, "bia", until=ENDED, key="end"))
    await bia.say("after")


async def test_mute_until_the_end_of_time_is_told_to_whom_it_meets() -> None:
    """The last nanosecond of 9999, as a number of seconds, is in the next year."""
    chat = await started()
    ana, bia = await chat.operator(), await chat.come("bia", session=SESSION_OF_BIA)
    message = wish(MUTED, "bia")
    message.sent_at.seconds, message.sent_at.nanos = MAX_SECONDS, 999_999_999
    await ana.post(message)
    refusal = await refused(bia, Message(message="oi"))
    notice(bia.member, refusal.reason, until=refusal.details.until)
    await quiet()
    assert bia.messages[-1].sent_at.ToDatetime().year == 9999


async def test_muted_one_invites_nobody() -> None:
    """The name of a closed room would be words to whoever is invited."""
    chat = await started()
    ana = await chat.operator()
    bia = await chat.come("bia", KEY_OF_BIA, SESSION_OF_BIA, room="segredo")
    await chat.come("caio")
    await bia.post(Message(kind=chat_pb2.KIND_CLOSED, room="segredo", key="c"))
    await ana.post(wish(MUTED, "bia"))
    invitation = Message(kind=chat_pb2.KIND_INVITED, room="segredo", to="caio", key="i")
    assert (await refused(bia, invitation)).reason == "MUTED"


async def test_operator_enters_a_closed_room_and_opens_it() -> None:
    """And is seen; nobody else does."""
    chat = await started()
    ana = await chat.operator()
    bia = await chat.come("bia", KEY_OF_BIA, SESSION_OF_BIA, room="segredo")
    caio = await chat.come("caio")
    await bia.post(Message(kind=chat_pb2.KIND_CLOSED, room="segredo", key="c"))
    enter = Message(kind=chat_pb2.KIND_ENTERED, room="segredo", key="e")
    assert (await refused(caio, enter)).reason == "ROOM_CLOSED"
    await ana.post(enter)
    await quiet()
    assert ("JOINED", "ana") in bia.events
    await ana.post(Message(kind=chat_pb2.KIND_OPENED, room="segredo", key="o"))
    await caio.post(enter)


async def test_coming_back_does_not_help_who_is_muted() -> None:
    """Nor does another name, with the session or with the key."""
    chat = await started()
    ana, bia = await chat.operator(), await chat.come("bia", KEY_OF_BIA, SESSION_OF_BIA)
    await ana.post(wish(MUTED, "bia"))
    bia.leave()
    zoe = await chat.come("zoe", KEY_OF_BIA, "f" * 32)
    assert (await refused(zoe, Message(message="oi"))).reason == "MUTED"
    await ana.post(wish(MUTED, "zoe", until=ENDED, key="end"))
    await zoe.say("oi")


async def test_plain_client_that_is_muted_is_refused() -> None:
    """Its stream ends by it, before anybody is told that it came."""
    chat = await started()
    ana = await chat.operator()
    await ana.post(wish(MUTED, "bia"))
    plain = await chat.come(None)
    assert await refusal_of(plain.say("oi", user="bia")) == "MUTED"
    assert ("JOINED", "bia") not in ana.events
    other = await chat.come(None)
    await other.say("oi", user="caio")
    await ana.post(wish(MUTED, "caio", key="2"))
    for name in ("caio", "rui"):
        assert await refusal_of(other.say("oi", user=name)) == "MUTED"


async def test_plain_client_does_not_speak_under_the_name_of_who_is_muted() -> None:
    """Nor by saying something under another name first."""
    chat = await started()
    ana = await chat.operator()
    await ana.post(wish(MUTED, "bia"))
    plain = await chat.come(None)
    await plain.say("oi", user="zed")
    assert await refusal_of(plain.say("sou eu", user="bia")) == "MUTED"
    await quiet()
    assert ana.texts == ["oi"] and plain.member.name == "zed"


# Announcing.


async def test_plain_client_that_takes_a_muted_name_does_not_speak() -> None:
    """Not even once: it is judged by the name under which it would be heard."""
    chat = await started()
    ana = await chat.operator()
    await ana.post(wish(MUTED, "bia"))
    plain = await chat.come(None)
    await plain.say("oi", user="caio")
    assert await refusal_of(plain.say("sou a bia", user="bia")) == "MUTED"
    await quiet()
    assert "sou a bia" not in ana.texts


async def test_who_is_muted_while_a_rename_waits_keeps_the_name() -> None:
    """A name is words too; the rename waits until what was said before is in the log."""
    log = FakeLog(is_automatic=False)
    chat = await started(log)
    ana, bia = await chat.operator(), await chat.come("bia", session=SESSION_OF_BIA)
    await bia.say("oi")
    renaming = asyncio.create_task(bia.rename("ana-e-boba"))
    await quiet()
    await ana.post(wish(MUTED, "bia"))
    log.commit_and_deliver()
    assert await refusal_of(renaming) == "MUTED"
    assert bia.member.name == "bia"


@pytest.mark.parametrize("what", [MUTED, REMOVED, "freed"])
async def test_message_that_waits_for_a_busy_inbox_is_judged_again(what: object) -> None:
    """It is in nobody's inbox that was not its sender's to write to when its turn came."""
    log = SlowInboxes()
    chat = await started(log)
    ana, bia = await chat.operator(), await chat.come("bia", session=SESSION_OF_BIA)
    (await chat.come("rui", "key-of-rui", "c" * 32)).leave()
    log.may_look.clear()
    writing = asyncio.create_task(bia.say("oi", key="oi", to="rui"))
    await quiet()
    if what == "freed":
        chat.hub.owners.free("rui")
    else:
        await ana.post(wish(what, "bia"))  # type: ignore[arg-type]
    log.may_look.set()
    reasons = {MUTED: "MUTED", REMOVED: "SHUTTING_DOWN", "freed": "USER_UNKNOWN"}
    assert await refusal_of(writing) == reasons[what]
    await quiet()
    assert "oi" not in [message.message for _room, message in log.rows]


async def test_announcement_is_for_every_room() -> None:
    """Old clients show it as what the server says; who knows two fields gets nothing."""
    chat = await started()
    ana, plain = await chat.operator(), await chat.come(None)
    bia = await chat.come("bia", session=SESSION_OF_BIA, room="aula")
    await ana.post(wish(NOTICE, words="fecha  às 18h"))
    await quiet()
    (told,) = [m for m in bia.messages if m.kind == NOTICE]
    assert (told.user, told.message, told.to, told.key) == (
        "ANNOUNCEMENT",
        "fecha às 18h",
        "ana",
        "",
    )
    assert [m.key for m in ana.messages if m.kind == NOTICE] == ["k"]
    assert not plain.messages
    assert (await refused(ana, wish(NOTICE, words=" ", key="2"))).reason == "MESSAGE_INVALID"


# What stays.


async def test_all_of_it_outlives_the_server() -> None:
    """Bans and mutes are in the log's file."""
    log = FakeLog()
    chat = await started(log)
    ana = await chat.operator()
    bia = await chat.come("bia", session=SESSION_OF_BIA)
    await ana.post(wish(BANNED, "bia", "spam"))
    await ana.post(wish(MUTED, "caio", key="2"))
    await bia.ends()
    chat = await started(log)
    assert await refusal_of(chat.come("zoe", session=SESSION_OF_BIA)) == "BANNED"
    caio = await chat.come("caio")
    assert (await refused(caio, Message(message="oi"))).reason == "MUTED"


async def test_trail_says_who_did_what_to_whom() -> None:
    """With the addresses, until when, and why."""
    chat, clock = Moderated(), Clock()
    chat.hub.moderation.clock = clock
    await chat.start()
    ana = await chat.come("ana", KEY_OF_ANA, "a" * 32, "192.0.2.1")
    await chat.come("bia", address="192.0.2.2")
    await ana.post(wish(BANNED, "bia", "spam", NOW + 60))
    assert chat.trail == [
        {
            "at": "2023-11-14T22:13:20Z",
            "operator": "ana",
            "address": "192.0.2.1",
            "did": "banned",
            "to": "bia",
            "to_address": "192.0.2.2",
            "until": "2023-11-14T22:14:20Z",
            "words": "spam",
        }
    ]


@pytest.mark.parametrize(("kind", "did"), [(BANNED, "unbanned"), (MUTED, "unmuted")])
async def test_trail_says_what_was_ended(kind: chat_pb2.Kind, did: str) -> None:
    """Also where there was nothing to end; not that something holds until 1970."""
    chat = await started()
    ana = await chat.operator()
    await ana.post(wish(kind, "zoe", key="1"))
    await ana.post(wish(kind, "zoe", until=ENDED, key="2"))
    await refused(ana, wish(kind, "zoe", until=ENDED, key="3"))
    ended, refused_one = chat.trail[1:]
    assert (ended["did"], ended["until"]) == (did, None)
    assert (refused_one["tried"], refused_one["until"]) == (did, None)
    assert refused_one["refused"] == "NOT_IN_FORCE" and "did" not in refused_one
