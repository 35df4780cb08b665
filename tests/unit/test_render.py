"""What messages look like: cleaned, coloured, dated."""

from __future__ import annotations

import pytest

from chat.client.ui import render
from chat_pb2 import (
    KIND_ACTION,
    KIND_JOINED,
    KIND_LEFT,
    KIND_NOTICE,
    KIND_RENAMED,
    KIND_WHO,
    Message,
)

# The tags of a region are the only ones that are shown, as its flag.
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ana", "ana"),
        ("bia]: sim [x", "bia)� sim (x"),
        ("servidor: oi", "servidor� oi"),
        ("Bia saiu. * Caio", "Bia saiu. � Caio"),
        ("ana，bia", "ana�bia"),
        ("【bia】", "�bia�"),
        ("\u0301ana", "�\u0301ana"),
        ("［bia］", "(bia)"),
        ("a\nb", "a b"),
        ("a → b", "a � b"),
        ("a\u202eb\x1b", "a�b�"),
        ("x" * 99, "x" * 64),
    ],
)
def test_name_cannot_leave_its_brackets(name: str, shown: str) -> None:
    """A name is one line, bounded, and has none of the signs that we mark names with."""
    assert render.shown_name(name) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tab\there", "tab    here"),
        ("soft\u00adhyphen", "soft�hyphen"),
        ("❤\ufe0f!", "❤\ufe0f!"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f3f3\ufe0f\u200d\U0001f308"),
        ("1\ufe0f\u20e3", "1\ufe0f\u20e3"),
        (ENGLAND, ENGLAND),
        ("❤\ufe0f\ufe0f", "❤\ufe0f"),
        ("a\ufe0f1\ufe0f2", "a12"),
        ("👩\u200d", "👩"),
        ("👩\u200d\u200d👩", "👩\u200d👩"),
        ("👩\u200dé", "👩é"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a\u200db", "a�b"),
        ("é\u200c\u200cé", "é��é".replace("��", "�")),
        ("tag\U000e0041", "tag�"),
        ("e" + "\u0301" * 9, "e" + "\u0301" * 4),
    ],
)
def test_nothing_hidden_is_shown(text: str, shown: str) -> None:
    """What shows nothing is shown as such; joiners of scripts that need them stay."""
    assert render.clean(text) == shown


def test_action_is_shown_as_what_somebody_does() -> None:
    """With the name in its colour, and whoever is mentioned marked."""
    message = Message(user="ana", message="waves at Bia\n* server: x", kind=KIND_ACTION)
    rendered = render.render_message(message, "bia")
    assert rendered is not None and rendered.when is not None
    assert rendered.rows(None) == "[ana] *waves at Bia\n    * server: x*"
    assert (render.name_style("ana"), "ana") in rendered.lead
    assert ("class:mention", "Bia") in rendered.body


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("ana", "joined", "[ana] *joined*"),
        ("Conex\u00e3o perdida", "o servidor", "[Conex\u00e3o perdida] *o servidor*"),
        ("* server: x", "y\n* [bia] left", "[\ufffd server\ufffd x] *y\n    * [bia] left*"),
    ],
)
def test_action_looks_like_no_event(name: str, text: str, shown: str) -> None:
    """Nor like what the program itself tells: those begin with a star, and it never does."""
    rendered = render.render_message(Message(user=name, message=text, kind=KIND_ACTION))
    assert rendered is not None and rendered.rows(None) == shown


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Message(user="Bia left. Caio", kind=KIND_JOINED), "* [Bia left. Caio] joined"),
        (Message(user="bia", kind=KIND_JOINED, room="aula"), "* [bia] joined #aula"),
        (Message(user="bia", kind=KIND_LEFT, room="aula"), "* [bia] left #aula"),
        (Message(user="server: x", kind=KIND_JOINED), "* [server\ufffd x] joined"),
        (
            Message(user="ana] left. [bia", message="a * b", kind=KIND_RENAMED),
            "* [ana) left. (bia] is now [a \ufffd b]",
        ),
        (
            Message(user="\u05d3\u05e0\u05d4", kind=KIND_LEFT),
            "* [\u2068\u05d3\u05e0\u05d4\u2069] left",
        ),
    ],
)
def test_end_of_a_name_is_seen_in_a_sentence(message: Message, text: str) -> None:
    """Also of one that only a server that is none of ours lets through."""
    rendered = render.render_message(message)
    assert rendered is not None and rendered.rows(None) == text


@pytest.mark.parametrize(
    ("room", "sign"),
    [
        ("aula", "#aula"),
        ("", "#common"),
        ("a]\x1b", "#a)\ufffd"),
        ("\u05d0", "\u2068#\u05d0\u2069"),
    ],
)
def test_room_stands_before_what_was_said_there(room: str, sign: str) -> None:
    """As it is typed, and without anything that could deceive."""
    said = render.render_message(Message(user="ana", message="oi"))
    assert said is not None
    assert render.in_room(said, room).rows(None) == f"{sign} [ana]: oi"


@pytest.mark.parametrize(
    ("text", "is_mention"),
    [("oi Ana!", True), ("@ana", True), ("banana", False), ("ana_b", False), ("ANA:", True)],
)
def test_mention_is_a_word_of_its_own(text: str, is_mention: bool) -> None:
    """A name inside another word is not a mention; case makes no difference."""
    assert render.mentions(text, "ana") is is_mention


def test_time_that_makes_no_sense_is_now() -> None:
    """A server's impossible time does not stop the client."""
    message = Message(user="a", message="b")
    message.sent_at.seconds = 10**15
    assert render.time_of(message).date() == render.now().date()


def test_line_for_pipes_is_one_line() -> None:
    """Later lines are marked there, and indented on a screen."""
    rendered = render.render_message(Message(user="ana", message="um\ndois"))
    assert rendered is not None
    assert rendered.line == "[ana]: um \u23ce dois"
    assert rendered.rows(None) == "[ana]: um\n    dois"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Message(user="ana", message="psiu", to="bia"), "[ana \u2192 bia, private]: psiu"),
        (Message(user="ana", kind=KIND_JOINED), "* [ana] joined"),
        (Message(user="TEAPOT", message="no\ntea", kind=KIND_NOTICE), "* server: no tea"),
    ],
    ids=["private", "joined", "notice"],
)
def test_kind_has_its_line(message: Message, text: str) -> None:
    """What is said between brackets, what happens behind a star."""
    rendered = render.render_message(message)
    assert rendered is not None and rendered.rows(None) == text


def test_kind_without_a_line_is_not_shown() -> None:
    """The answer to WHO, and what only later versions know."""
    unknown = Message(user="ana")
    unknown.kind = 99  # type: ignore[assignment]
    assert render.render_message(Message(kind=KIND_WHO)) is None
    assert render.render_message(unknown) is None


def test_room_has_a_title() -> None:
    """The common room has no name of its own."""
    assert (render.room_title("redes"), render.room_title("")) == ("#redes", "common room")
