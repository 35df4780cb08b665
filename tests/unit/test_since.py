"""The lines between what was seen in an earlier run and what is new."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from chat.cli import i18n
from chat.client.bookmarks import Mark
from chat.client.since import MAX_COUNTED, Since, time_text
from chat.protocol.limits import MAX_HISTORY
from chat_pb2 import Message

BEGAN_AT = datetime(2026, 11, 26, 12, 0).astimezone()
EARLIER = datetime(2026, 11, 24, 18, 4).astimezone()


def said(number: int, at: datetime = EARLIER, room: str = "", to: str = "") -> Message:
    message = Message(user="bia", message="oi", id=number, room=room, to=to)
    message.sent_at.FromDatetime(at)
    return message


@pytest.fixture
def since(monkeypatch: pytest.MonkeyPatch) -> Since:
    """Of somebody who left off on Tuesday, and is back on Thursday."""
    monkeypatch.setattr("chat.client.ui.render.now", lambda: BEGAN_AT)
    since = Since(BEGAN_AT)
    since.begin({"": Mark(10, EARLIER.timestamp()), "aula": Mark(20, EARLIER.timestamp())})
    return since


def test_line_stands_before_the_first_new_message_of_each_room(since: Since) -> None:
    """Once; what was seen already, is private or has no place in the log is not it."""
    assert since.line_before(said(9), True) == since.line_before(said(10), True) == ""
    assert since.line_before(said(99, to="ana"), True) == since.line_before(said(0), True) == ""
    assert since.line_before(said(11), True) == "new since Tuesday 18:04"
    assert since.line_before(said(12), True) == ""
    aula = said(21, room="Aula")
    assert since.line_before(aula, False) == "new in #Aula since Tuesday 18:04"
    assert since.line_before(said(21, room="sala"), True) == ""


def test_line_stands_only_above_all_that_is_new(since: Since) -> None:
    """Of five messages that were asked for, all of them new, nobody knows how many more are."""
    marks = {room: Mark(10, EARLIER.timestamp()) for room in ("", "aula")}
    since.begin(marks, is_resumed=False)
    assert since.line_before(said(15), True) == since.line_before(said(16), True) == ""
    since.note(said(9, room="aula"))
    assert since.line_before(said(9, room="aula"), True) == ""
    assert since.line_before(said(11, room="aula"), True) == "new since Tuesday 18:04"


def test_nothing_is_said_where_nothing_was_missed(since: Since) -> None:
    """The first new message is said after the user is back."""
    since.note(said(10, BEGAN_AT))
    assert since.left_at("") is not None
    since.note(said(11, BEGAN_AT))
    assert since.line_before(said(11, BEGAN_AT), True) == ""
    assert since.line_before(said(12, EARLIER), True) == ""


def test_line_stands_before_what_is_shown(since: Since) -> None:
    """Although something came before that is not."""
    since.note(said(11))
    since.note(said(12))
    assert since.line_before(said(12), True) == "new since Tuesday 18:04"
    since.note(said(13))
    assert since.line_before(said(13), True) == ""


def test_nothing_is_said_of_ids_that_mean_nothing(since: Since) -> None:
    since.note_left_out("", "7")
    since.forget()
    assert since.line_before(said(11), True) == "" and since.left_at("") is None
    assert all(since.line_after(said(number)) == "" for number in range(MAX_HISTORY + 1))


@pytest.mark.parametrize(
    ("number", "line"),
    [
        ("1", "* 1 earlier message of #common was missed too; /history shows it."),
        ("9000", "* 9000 earlier messages of #common were missed too; /history shows them."),
        (str(MAX_COUNTED), "* More than 99999 earlier messages of #common were missed;"),
        ("9" * 1000, "* More than 99999 earlier messages of #common were missed;"),
    ],
)
def test_rest_is_told_after_what_comes_by_itself(since: Since, number: str, line: str) -> None:
    """Where it is seen: below the last of them; once."""
    since.note_left_out("", number)
    assert since.line_after(said(5, room="aula")) == since.line_after(said(5, to="ana")) == ""
    lines = [since.line_after(said(number)) for number in range(1, MAX_HISTORY + 5)]
    assert lines[MAX_HISTORY - 1].startswith(line)
    assert [line for line in lines if line] == [lines[MAX_HISTORY - 1]]


@pytest.mark.parametrize("number", ["", "x", "-1", "\u0661"])
def test_number_of_a_hostile_server_is_none(since: Since, number: str) -> None:
    since.note_left_out("", number)
    assert all(since.line_after(said(number)) == "" for number in range(1, MAX_HISTORY + 5))


@pytest.mark.parametrize(
    ("language", "days", "text"),
    [
        ("en", 0, "12:00"),
        ("en", 1, "Wednesday 12:00"),
        ("en", 6, "Friday 12:00"),
        ("en", 7, "2026-11-19 12:00"),
        ("en", -1, "2026-11-27 12:00"),
        ("pt_BR", 2, "terça-feira, 12:00"),
        ("pt_BR", 7, "19/11/2026, 12:00"),
    ],
)
def test_time_is_said_as_people_say_it(language: str, days: int, text: str) -> None:
    """With the weekday of the last days, else with the date."""
    i18n.use(language)
    assert time_text(BEGAN_AT - timedelta(days=days), BEGAN_AT) == text
