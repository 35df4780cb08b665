"""Where somebody left off in the logs of servers: bytes and back, and what is made of them."""

from __future__ import annotations

import json

import pytest

from chat.client.bookmarks import (
    INBOX,
    MAX_ADDRESSES,
    MAX_LOGS,
    MAX_MARKS,
    Bookmarks,
    Mark,
)
from chat.client.cursor import Place
from chat.protocol.metadata import MAX_ID

HERE, THERE = "localhost:50051", "other:50051"
PLACE = Place({"": 7, "Sala": 3}, 5, "log", "g1", {"aula": 2})


def marked() -> Bookmarks:
    """Return the bookmarks of somebody who was at `HERE` once."""
    bookmarks = Bookmarks()
    bookmarks.meet(HERE, "log")
    bookmarks.note(PLACE, 1000.0)
    return bookmarks


def test_what_is_written_is_read() -> None:
    """Rooms by their keys, whatever they are called."""
    read = Bookmarks.from_bytes(marked().to_bytes())
    assert read == marked()
    assert read.logs["log"].rooms == {
        "": Mark(7, 1000),
        "sala": Mark(3, 1000),
        "aula": Mark(2, 1000),
    }


def test_rooms_of_the_last_run_are_kept_as_they_were_typed() -> None:
    """Without the common one, those that were left, and what no room is called."""
    raw = marked().to_bytes()
    assert Bookmarks.from_bytes(raw).logs["log"].last == ["Sala"]
    fields = json.loads(raw)
    fields["logs"]["log"]["last"] = ["", "a", 7, "b\x1b[31m", "c"]
    assert Bookmarks.from_bytes(json.dumps(fields).encode()).logs["log"].last == ["a", "c"]
    del fields["logs"]["log"]["last"]  # as earlier versions wrote it
    read = Bookmarks.from_bytes(json.dumps(fields).encode())
    assert read.logs["log"].last == [] and read.logs["log"].rooms == marked().logs["log"].rooms
    fields["logs"]["log"]["last"] = "Sala"
    assert Bookmarks.from_bytes(json.dumps(fields).encode()) == Bookmarks()


def test_session_begins_where_the_user_left_off() -> None:
    """In no room but its own; with the generation in which the ids were seen."""
    place = marked().place_at(HERE, Place({}, 5, "log", "g2"))
    assert place == Place({}, 5, "log", "g1", {"": 7, "sala": 3, "aula": 2})
    assert marked().place_at(HERE, Place()) == Place({}, 0, "log", "g1", place.left)
    assert marked().place_at(THERE, Place()) == Place()
    other = Place({}, 5, "another log", "g2")
    assert marked().place_at(HERE, other) == other


def test_servers_of_one_log_share_the_marks() -> None:
    """Whatever their addresses are."""
    bookmarks = marked()
    bookmarks.meet(THERE, "log")
    assert bookmarks.place_at(THERE, Place()).left[""] == 7


def test_room_that_was_not_seen_keeps_its_time() -> None:
    """Only where something was seen since is it another time."""
    bookmarks = marked()
    bookmarks.note(Place({"": 9}, 5, "log", "g2", {"aula": 2, "sala": 4}), 2000.0)
    log = bookmarks.logs["log"]
    assert log.generation == "g2"
    assert log.rooms == {"": Mark(9, 2000.0), "sala": Mark(4, 2000.0), "aula": Mark(2, 1000.0)}


def test_inbox_is_no_room() -> None:
    """A session is never told to enter it."""
    bookmarks = marked()
    bookmarks.set_mark("log", INBOX + "ana", 50, 1000.0)
    assert bookmarks.mark("log", INBOX + "ana") == 50 and bookmarks.mark("log", "x") == 0
    assert INBOX + "ana" not in bookmarks.place_at(HERE, Place()).left


def test_session_begins_where_its_inbox_was_left_too() -> None:
    """Where that is known, and not ahead of what else is."""
    bookmarks = marked()
    bookmarks.set_mark("log", INBOX + "ana", 50, 1000.0)
    for name, own, inbox in (("Ana", 80, 50), ("ana", 40, 40), ("bia", 80, 80), (None, 80, 80)):
        assert bookmarks.place_at(HERE, Place({}, own, "log"), name).inbox == inbox


def test_no_more_is_kept_than_the_limits() -> None:
    """The oldest goes first."""
    bookmarks = Bookmarks()
    for number in range(MAX_ADDRESSES + 1):
        bookmarks.meet(f"host{number}:1", f"log{number}")
        bookmarks.note(Place({"": number}, 0, f"log{number}", "g"), 1000.0)
    assert len(bookmarks.addresses) == MAX_ADDRESSES and "host0:1" not in bookmarks.addresses
    assert len(bookmarks.logs) == MAX_LOGS and f"log{MAX_ADDRESSES}" in bookmarks.logs
    for number in range(MAX_MARKS + 1):
        bookmarks.set_mark("log", f"room{number}", 1, 1000.0)
    assert len(bookmarks.logs["log"].rooms) == MAX_MARKS
    assert bookmarks.mark("log", "room0") == 0


def test_log_is_forgotten_at_all_its_addresses() -> None:
    """And no other one."""
    bookmarks = marked()
    bookmarks.meet(THERE, "log")
    bookmarks.meet("third:1", "third")
    assert bookmarks.forget(HERE) and not bookmarks.forget(HERE)
    assert bookmarks.addresses == {"third:1": "third"} and list(bookmarks.logs) == ["third"]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        {},
        {"addresses": [], "logs": {}},
        {"addresses": {HERE: 7}, "logs": {}},
        {"addresses": {HERE: "é"}, "logs": {}},
        {"addresses": {"x" * 5000: "log"}, "logs": {}},
        {"addresses": {}, "logs": {"log": 7}},
        {"addresses": {}, "logs": {"log": {"generation": "\n", "rooms": {}}}},
        {"addresses": {}, "logs": {"log": {"generation": "g", "rooms": {"": [1]}}}},
        {"addresses": {}, "logs": {"log": {"generation": "g", "rooms": {"": [-1, 1]}}}},
        {"addresses": {}, "logs": {"log": {"generation": "g", "rooms": {"": [True, 1]}}}},
        {"addresses": {}, "logs": {"log": {"generation": "g", "rooms": {"": [MAX_ID + 1, 1]}}}},
        {"addresses": {}, "logs": {"log": {"generation": "g", "rooms": {"": [1, 1 << 50]}}}},
        {"addresses": {}, "logs": {"log": {"generation": "g", "rooms": {"x" * 600: [1, 1]}}}},
    ],
)
def test_what_makes_no_sense_is_nothing(fields: object) -> None:
    """Nothing of it could fail a stream, or a later run."""
    assert Bookmarks.from_bytes(json.dumps(fields).encode()) == Bookmarks()


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
def test_damaged_bytes_are_nothing(raw: bytes) -> None:
    assert Bookmarks.from_bytes(raw) == Bookmarks()
