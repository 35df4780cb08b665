"""What operators do, in a sentence."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from moderated import BANNED, ENDED, MUTED, NOTICE, REMOVED, wish

import chat_pb2
from chat.cli.facts import fact_text, is_fact
from chat.protocol.details import Details, from_text, local_time, to_text, until_text


def fact(kind: chat_pb2.Kind, words: str = "", until: float | None = None) -> chat_pb2.Message:
    message = wish(kind, "bia", words, until)
    message.user = "ana"
    return message


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (fact(REMOVED), "* [ana] removed [bia]"),
        (fact(REMOVED, "spam"), "* [ana] removed [bia]: spam"),
        (fact(BANNED), "* [ana] banned [bia], for good"),
        (fact(BANNED, "spam", ENDED), "* [ana] ended the ban of [bia]: spam"),
        (fact(MUTED), "* [ana] muted [bia], for good"),
        (fact(MUTED, until=ENDED), "* [ana] lets [bia] speak again"),
    ],
)
def test_who_did_what_to_whom(message: chat_pb2.Message, text: str) -> None:
    assert is_fact(message) and fact_text(message) == text


def test_time_is_local_and_has_a_day_where_that_is_another() -> None:
    """A computer whose clock is ahead does not take a short ban for its end."""
    now = datetime.now().astimezone()
    later = now + timedelta(days=400)
    until = f"until {later.strftime('%Y-%m-%d %H:%M')}"
    assert fact_text(fact(BANNED, until=later.timestamp())) == f"* [ana] banned [bia], {until}"
    assert until_text(now.timestamp()) == f"until {now.strftime('%H:%M:%S')}"
    assert "ended" not in fact_text(fact(BANNED, until=1.0))


@pytest.mark.parametrize("seconds", [-1e300, -1.0, 253_402_300_799.0, 1e300])
def test_no_time_is_too_much(seconds: float) -> None:
    """Servers may say any."""
    assert until_text(seconds) and to_text(seconds) and local_time(seconds)


@pytest.mark.parametrize("text", ["", "2024", "2024-02-30T00:00:00Z", "2024-02-29T12:00:00+01:00"])
def test_other_times_are_none(text: str) -> None:
    assert from_text(text) is None
    assert from_text("2024-02-29T12:00:00Z") == 1_709_208_000


def test_nothing_in_it_deceives() -> None:
    """Names and words come from a server."""
    message = fact(REMOVED, "um\x1b[2J\n* [ana] left")
    message.user, message.to = "ana] removed [rui", "bi\x07a"
    text = fact_text(message)
    assert "\n" not in text and "\x1b" not in text and "\x07" not in text
    assert text.startswith("* [ana) removed (rui] removed [bi")


def test_announcement_is_what_an_operator_says() -> None:
    message = chat_pb2.Message(user="ANNOUNCEMENT", to="ana", message="fecha às 18h", kind=NOTICE)
    assert fact_text(message) == "* Announcement from [ana]: fecha às 18h"
    assert not is_fact(chat_pb2.Message(user="NOT_READ", kind=NOTICE))
    assert not is_fact(chat_pb2.Message(user="ANNOUNCEMENT", message="said"))


def test_refusal_says_by_whom_until_when_and_why() -> None:
    """As much of it as is known."""
    assert Details().sentence("no") == "no"
    assert Details(words="spam").sentence("no") == "no: spam"
    everything = Details(None, "ana", "spam", has_end=True)
    assert everything.sentence("no") == "no (by [ana], for good): spam"
