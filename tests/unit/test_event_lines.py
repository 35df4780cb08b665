"""The lines on standard error, as text and as JSON."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest

from chat.server.diagnostics import BoundedHandler, OneLine
from chat.server.event_lines import FORMATS, MAX_ADDRESS_CHARACTERS, address_in
from chat.server.tally import Traffic
from chat.server.visits import Event

PEER = "ipv4:192.0.2.7:5000"
TRAFFIC = Traffic(3, 120, 40, 3000)
CAME = Event("came", PEER, "ana", is_full=True)
WENT = Event("went", PEER, "ana", True, "LOST", 12.3456, TRAFFIC)
REFUSED = Event("refused", "ipv6:%5B2001:db8::1%5D:5", "eva", reason="NAME_TAKEN")
NASTY = 'x" went\n\x1b[2J\u202e' + "y" * 100


def record(event: Event | None, text: str = "went wrong") -> logging.LogRecord:
    made = logging.LogRecord("chat.visits", logging.WARNING, "", 0, text, (), None)
    made.created = 1.5
    if event is not None:
        made.event = event
    return made


def line(log_format: str, event: Event | None, text: str = "went wrong") -> str:
    return FORMATS[log_format]().format(record(event, text))


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (CAME, "came address=192.0.2.7:5000 name=ana client=full"),
        (
            WENT,
            "went address=192.0.2.7:5000 name=ana client=full reason=LOST seconds=12.346"
            " received_messages=3 received_bytes=120 sent_messages=40 sent_bytes=3000",
        ),
        (REFUSED, "refused address=[2001:db8::1]:5 name=eva reason=NAME_TAKEN"),
    ],
)
def test_event_is_a_line_of_text(event: Event, said: str) -> None:
    """When, what, and its fields."""
    assert line("text", event) == f"1970-01-01T00:00:01.500Z {said}"


def test_event_is_an_object_of_json() -> None:
    """Of the same fields."""
    assert json.loads(line("json", WENT)) == {
        "time": "1970-01-01T00:00:01.500Z",
        "event": "went",
        "address": "192.0.2.7:5000",
        "name": "ana",
        "client": "full",
        "reason": "LOST",
        "seconds": 12.346,
        "received_messages": 3,
        "received_bytes": 120,
        "sent_messages": 40,
        "sent_bytes": 3000,
    }


@pytest.mark.parametrize("log_format", FORMATS)
def test_name_that_somebody_made_up_makes_no_line_and_moves_no_terminal(log_format: str) -> None:
    """Nor a field: it stands in quotation marks, cut and escaped."""
    said = line(log_format, Event("refused", "unix:" + "z" * 999, NASTY, reason="NAME_INVALID"))
    assert said.isprintable() and len(said) < 400
    assert said.count("y") < 32 and said.count("z") <= MAX_ADDRESS_CHARACTERS
    fields = re.sub(r'"(\\.|[^"\\])*"', "", said)
    assert "went" not in fields


def test_trouble_is_told_in_the_same_format() -> None:
    """A program that reads lines of JSON gets no other ones."""
    told = json.loads(line("json", None, "log:\x1b[2J" + "x" * 1000))
    assert set(told) == {"time", "event", "level", "message"}
    assert told["event"] == "trouble" and told["level"] == "WARNING" and len(told["message"]) <= 300
    assert line("text", None) == f"1970-01-01T00:00:01.500Z {OneLine().format(record(None))}"


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (PEER, "192.0.2.7:5000"),
        ("ipv6:%5B::1%5D:5", "[::1]:5"),
        ("unix:", "unix:"),
        ("x", "x"),
    ],
)
def test_address_is_told_as_people_write_it(peer: str, address: str) -> None:
    """Whatever it is."""
    assert address_in(peer) == address


def test_more_events_than_a_second_has_room_for_are_counted() -> None:
    """By the same rule as all other lines, with a number of their own."""
    stream = io.StringIO()
    handler = BoundedHandler(stream, lambda: 0.0, max_lines_a_second=2)
    handler.setFormatter(FORMATS["json"]())
    for _number in range(5):
        handler.emit(record(CAME))
    handler.close()
    *events, last = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["came", "came"]
    assert last["message"] == "3 more lines were left out"
