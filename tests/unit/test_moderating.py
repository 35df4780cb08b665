"""What an operator types, and what the server is asked by it."""

from __future__ import annotations

import time

import pytest
from fakes import FakeTerminal
from moderated import BANNED, MUTED, NOTICE, REMOVED
from test_app import Sitting

import chat_pb2
from chat.client import Change, commands
from chat.client.durations import split_duration
from chat_pb2 import KIND_JOINED, Message


@pytest.fixture
def ana() -> Sitting:
    sitting = Sitting(FakeTerminal())
    sitting.change(Change.CONNECTED)
    for name in ("bia", "João da Silva"):
        sitting.app.receive(Message(user=name, kind=KIND_JOINED))
    return sitting


def asked(sitting: Sitting) -> list[tuple[int, str, str]]:
    """Return what waits for the server: kind, whom, the words."""
    return [
        (m.kind, m.to, m.message) for m in sitting.session.pending if m.kind != chat_pb2.KIND_WHO
    ]


@pytest.mark.parametrize(
    ("line", "kind", "to", "words"),
    [
        ("/remover bia", REMOVED, "bia", ""),
        ("/kick bia spam de novo", REMOVED, "bia", "spam de novo"),
        ("/remover João da Silva spam", REMOVED, "João da Silva", "spam"),
        ("/kick [ana paula] spam", REMOVED, "ana paula", "spam"),
        ("/kick bia 10min", REMOVED, "bia", "10min"),
        ("/banir bia", BANNED, "bia", ""),
        ("/ban bia spam", BANNED, "bia", "spam"),
        ("/ban 192.0.2.0/24 flood", BANNED, "192.0.2.0/24", "flood"),
        ("/ban 2001:db8::1", BANNED, "2001:db8::1", ""),
        ("/silenciar bia calma", MUTED, "bia", "calma"),
        ("/mute bia", MUTED, "bia", ""),
        ("/aviso fecha às 18h", NOTICE, "", "fecha às 18h"),
        ("/announce 2h more", NOTICE, "", "2h more"),
    ],
)
def test_line_is_a_wish(ana: Sitting, line: str, kind: int, to: str, words: str) -> None:
    """In both languages, with names as everywhere; without a time it is for good."""
    ana.type(line)
    assert asked(ana) == [(kind, to, words)]
    assert not ana.session.pending[-1].HasField("sent_at")


@pytest.mark.parametrize(
    ("line", "seconds"),
    [("/ban bia 2s", 2), ("/banir bia 10min spam", 600), ("/mute bia 2H", 7200)],
)
def test_time_is_counted_from_now(ana: Sitting, line: str, seconds: int) -> None:
    before = time.time()
    ana.type(line)
    wish = ana.session.pending[-1]
    until = wish.sent_at.ToNanoseconds() / 1e9
    assert before + seconds - 1 <= until <= time.time() + seconds + 1
    assert wish.message == ("spam" if "spam" in line else "")


@pytest.mark.parametrize(
    ("line", "kind", "to"),
    [
        ("/desbanir bia", BANNED, "bia"),
        ("/unban 192.0.2.0/24", BANNED, "192.0.2.0/24"),
        ("/unban ana paula", BANNED, "ana paula"),
        ("/dessilenciar [ana paula]", MUTED, "ana paula"),
        ("/unmute bia", MUTED, "bia"),
    ],
)
def test_end_is_a_time_in_the_past(ana: Sitting, line: str, kind: int, to: str) -> None:
    """Of whoever it is: mostly nobody of that name is here."""
    ana.type(line)
    assert asked(ana) == [(kind, to, "")]
    wish = ana.session.pending[-1]
    assert wish.HasField("sent_at") and wish.sent_at.ToNanoseconds() == 0


@pytest.mark.parametrize(
    "line", ["/remover", "/banir", "/desbanir", "/silenciar", "/dessilenciar", "/aviso"]
)
def test_line_that_lacks_something_shows_its_usage(ana: Sitting, line: str) -> None:
    ana.type(line)
    assert not asked(ana) and "Usage: /" in ana.terminal.notices[-1]


def test_whom_it_meets_is_asked_where_that_is_not_clear(ana: Sitting) -> None:
    """Nobody is removed by a slip."""
    ana.app.receive(Message(user="bia spam", kind=KIND_JOINED))
    ana.type("/kick bia spam spam")
    assert not asked(ana)
    assert "more than one person" in ana.terminal.notices[-1]
    assert "Write /kick [bia] [REASON]" in ana.terminal.notices[-1]


def test_fact_is_the_acknowledgement(ana: Sitting) -> None:
    """It is shown, whoever is ignored, and ends the waiting."""
    ana.type("/ignore rui", "/kick bia spam")
    wish = ana.session.pending[-1]
    fact = Message(user="rui", to="bia", message="spam", kind=REMOVED, key=wish.key)
    ana.app.receive(fact)
    assert ana.terminal.shown[2:] == ["* [rui] removed [bia]: spam"]


def test_refusal_quotes_what_was_typed(ana: Sitting) -> None:
    """It says that it was not done, and why."""
    ana.type("/kick bia spam")
    key = ana.session.pending[-1].key
    ana.app.receive(Message(user="NOT_OPERATOR", key=key, kind=NOTICE))
    (error,) = ana.terminal.errors
    assert error == "Not done: only an operator of this server may do that: /kick bia spam"


def test_announcement_comes_back_as_one(ana: Sitting) -> None:
    """Though it is a notice, nothing was refused by it; others get it without a key."""
    ana.type("/announce at six")
    key = ana.session.pending[-1].key
    told = Message(user="ANNOUNCEMENT", to="ana", message="at six", key=key, kind=NOTICE)
    ana.app.receive(told)
    told.key = ""
    ana.app.receive(told)
    assert ana.terminal.shown[2:] == ["* Announcement of [ana]: at six"] * 2
    assert not ana.terminal.errors


def test_plain_server_knows_no_operators() -> None:
    sitting = Sitting(FakeTerminal())
    sitting.change(Change.PLAIN)
    sitting.type("/kick bia")
    assert "keeps no history" in sitting.terminal.errors[0]


def test_program_sends_what_an_operator_may() -> None:
    """As JSON, with every field."""
    program = Sitting(FakeTerminal(is_interactive=False))
    program.change(Change.CONNECTED)
    ban = Message(kind=BANNED, to="bia", message="spam", key="1")
    ban.sent_at.FromSeconds(2_000_000_000)
    for message in (ban, Message(kind=NOTICE, message="at six", key="2")):
        assert program.app.handle_message(message)
    assert program.session.pending == [ban, Message(kind=NOTICE, message="at six", key="2")]


@pytest.mark.parametrize(
    ("text", "seconds", "rest"),
    [
        ("10min spam", 600, "spam"),
        ("2h", 7200, ""),
        ("3d", 259_200, ""),
        ("2s", 2, ""),
        ("1sem x", 604_800, "x"),
        ("3 d", None, "3 d"),
        ("3x spam", None, "3x spam"),
        ("0h", None, "0h"),
        ("99999999d", None, "99999999d"),
        ("\u0663h", None, "\u0663h"),
        ("", None, ""),
        ("spam", None, "spam"),
    ],
)
def test_duration_is_a_number_and_a_unit(text: str, seconds: int | None, rest: str) -> None:
    """Anything else is the reason."""
    assert split_duration(text) == (seconds, rest)


def test_commands_of_operators_are_in_the_help() -> None:
    """And offered by Tab, with the names of who is here."""
    helped = "\n".join(commands.help_lines())
    assert "/kick, /ban, /unban, /mute, /unmute, /announce; /help kick says how" in helped
    assert commands.completions("/kick bi", {"names": ["bia"]}) == (2, ["bia"])
