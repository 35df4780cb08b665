"""What an operator types, and what the server is asked by it."""

from __future__ import annotations

import time

import pytest
from fakes import FakeTerminal
from moderated import BANNED, MUTED, NOTICE, REMOVED
from test_app import Sitting

import chat_pb2
from chat.client import Change, commands
from chat.client.completion import Candidate, completions
from chat.client.durations import split_duration
from chat_pb2 import KIND_JOINED, KIND_LEFT, Message


@pytest.fixture
def ana() -> Sitting:
    sitting = Sitting(FakeTerminal())
    sitting.change(Change.CONNECTED)
    sitting.terminal.notices.clear()  # of coming in
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
    "line",
    [
        *("/remover", "/banir", "/desbanir", "/silenciar", "/dessilenciar", "/aviso"),
        *("/ban [ana paula", "/unban [ana paula", "/unban ana]", "/unban [ana paula] spam"),
    ],
)
def test_line_that_lacks_something_shows_its_usage(ana: Sitting, line: str) -> None:
    ana.type(line)
    assert not asked(ana) and "Usage: /" in ana.terminal.notices[-1]


def test_whom_it_meets_is_asked_where_that_is_not_clear(ana: Sitting) -> None:
    """Nobody is removed by a slip."""
    ana.app.receive(Message(user="bia spam", kind=KIND_JOINED))
    ana.type("/kick bia spam spam")
    assert not asked(ana)
    assert ana.terminal.notices[-1].endswith(
        "Write this: /kick [bia] spam spam or /kick [bia spam] spam"
    )


@pytest.mark.parametrize(
    ("line", "usages"),
    [
        ("/ban caio souza 1h spam", "/ban [caio souza] 1h spam or /ban [caio] souza 1h spam"),
        ("/mute bia maria 1min", "/mute [bia maria] 1min or /mute [bia] maria 1min"),
        ("/mute bia maria 1 hora", "/mute [bia maria] 1 hora or /mute [bia] maria 1 hora"),
        ("/ban caio souza", "/ban [caio] souza or /ban [caio souza]"),
        ("/kick caio souza spam", "/kick [caio] souza spam or /kick [caio souza] spam"),
        (
            f"/mute caio souza {'x' * 99}",
            "/mute [caio] [TIME] [REASON] or /mute [caio souza] [TIME] [REASON]",
        ),
        ("/kick caio souza 1h", "/kick [caio] souza 1h or /kick [caio souza] 1h"),
    ],
)
def test_name_that_may_end_elsewhere_takes_brackets(ana: Sitting, line: str, usages: str) -> None:
    """Where nobody called so was seen here, and where a time comes later than it should."""
    ana.type(line)
    assert not asked(ana)
    assert ana.terminal.notices[-1].endswith(f"Write this: {usages}")


def test_name_with_spaces_is_known_when_its_owner_has_left(ana: Sitting) -> None:
    ana.app.receive(Message(user="João da Silva", kind=KIND_LEFT))
    ana.type("/ban João da Silva 1h spam", "/mute [João da Silva] spam")
    assert asked(ana) == [(BANNED, "João da Silva", "spam"), (MUTED, "João da Silva", "spam")]
    assert not ana.terminal.notices


@pytest.mark.parametrize("line", ["/ban nova", "/ban nova 1h", "/mute nova 1h x", "/mute [no va]"])
def test_unknown_name_is_asked_for_and_told(ana: Sitting, line: str) -> None:
    """It may be that of somebody in another room, or a slip."""
    ana.type(line)
    [(_kind, to, _words)] = asked(ana)
    undoing = line.split()[0].replace("/", "/un")
    expected = f"* Nobody called [{to}] has been seen here; {undoing} [{to}] takes it back."
    assert ana.terminal.notices == [expected]


def test_address_is_no_unknown_name(ana: Sitting) -> None:
    ana.type("/ban 192.0.2.7 10min flood", "/ban 2001:db8::/64 flood again")
    assert [to for _kind, to, _words in asked(ana)] == ["192.0.2.7", "2001:db8::/64"]
    assert not ana.terminal.notices


@pytest.mark.parametrize("words", ["2x spam", "0s", "10", "1h30 spam", "-5min", "5 meses", "٣h"])
def test_mistyped_time_is_not_for_good(ana: Sitting, words: str) -> None:
    """Of somebody here or not; nothing is sent, and what a time looks like is said."""
    for name in ("bia", "[bia]", "caio"):
        ana.type(f"/mute {name} {words}")
        assert ana.terminal.notices[-1].startswith(f'* Not sent: "{words}" does not')
        assert "10min, 2h or 3d" in ana.terminal.notices[-1]
    assert not asked(ana)


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
    assert error == "/kick bia spam: only an operator of this server may do that"


def test_announcement_comes_back_as_one(ana: Sitting) -> None:
    """Though it is a notice, nothing was refused by it; others get it without a key."""
    ana.type("/announce at six")
    key = ana.session.pending[-1].key
    told = Message(user="ANNOUNCEMENT", to="ana", message="at six", key=key, kind=NOTICE)
    ana.app.receive(told)
    told.key = ""
    ana.app.receive(told)
    assert ana.terminal.shown[2:] == ["* Announcement from [ana]: at six"] * 2
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
        ("3 d", 259_200, ""),
        ("5 minutos spam", 300, "spam"),
        ("5 minutes", 300, ""),
        ("1 Hora spam", 3600, "spam"),
        ("2semanas", 1_209_600, ""),
        ("1 weekend", None, "1 weekend"),
        ("10min, spam", None, "10min, spam"),
        ("3x spam", None, "3x spam"),
        ("0h", None, "0h"),
        ("99999999d", None, "99999999d"),
        ("\u0663h", None, "\u0663h"),
        ("", None, ""),
        ("spam", None, "spam"),
    ],
)
def test_duration_is_a_number_and_a_unit(text: str, seconds: int | None, rest: str) -> None:
    """In words or short, with a space between them or none; anything else is none."""
    assert split_duration(text) == (seconds, rest)


def test_commands_of_operators_are_in_the_help() -> None:
    """And offered by Tab, with the names of who is here."""
    helped = "\n".join(commands.help_lines())
    assert "/kick, /ban, /unban, /mute, /unmute, /announce; /help kick says how" in helped
    offered = completions("/kick bi", {"names": ["bia"]})
    assert offered == (2, [Candidate("bia", "bia")])
