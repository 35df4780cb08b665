"""The rooms that the user is in."""

from __future__ import annotations

import pytest

from chat.client import rooms as rooms_module
from chat.client.rooms import Rooms, typed_room
from chat.protocol.errors import ChatError


@pytest.fixture
def rooms() -> Rooms:
    return Rooms(["Redes", ""])


@pytest.mark.parametrize(
    ("typed", "room"),
    [("redes", "redes"), (" #Redes ", "Redes"), ("", ""), ("COMUM", ""), ("#common", "")],
)
def test_typed_room(typed: str, room: str) -> None:
    """With or without its sign; the common one has names."""
    assert typed_room(typed) == room


def test_bad_room_is_refused() -> None:
    """By the rules of names."""
    with pytest.raises(ChatError, match="room's name"):
        typed_room("a  b")


def test_first_room_is_spoken_in_and_case_makes_no_difference(rooms: Rooms) -> None:
    """Each is called as it was typed."""
    assert rooms.current == "Redes" and rooms.is_current("redes") and "REDES" in rooms
    rooms.go_to("")
    assert rooms.current == "" and rooms.known == ["Redes"]


def test_entry_is_answered_once(rooms: Rooms) -> None:
    """One speaks there at once."""
    rooms.enter("Aula", "wish")
    assert rooms.current == "Aula"
    assert rooms.take_entry("other") is None
    assert rooms.take_entry("wish") == "Aula"
    assert rooms.take_entry("wish") is None
    assert not rooms.refuse_entry("wish") and rooms.current == "Aula"


def test_refused_entry_leads_back_unless_one_has_gone_on(rooms: Rooms) -> None:
    """To where one was."""
    rooms.go_to("")
    rooms.enter("Aula", "first")
    assert rooms.refuse_entry("first") and rooms.current == ""
    rooms.enter("Aula", "second")
    rooms.go_to("redes")
    assert not rooms.refuse_entry("second")
    assert rooms.current == "Redes" and "aula" not in rooms


def test_left_room_leads_to_the_one_spoken_in_before(rooms: Rooms) -> None:
    """The last one is not left, nor one that one is not in."""
    rooms.enter("Aula", "wish")
    rooms.go_to("redes")
    assert not rooms.leave("nowhere")
    assert rooms.leave("REDES") and rooms.current == "Aula"
    assert not rooms.leave("") and rooms.current == "Aula"
    assert not rooms.leave("aula") and rooms.current == "Aula"


def test_unread_is_counted_elsewhere_alone(rooms: Rooms) -> None:
    """Until one looks there, or leaves."""
    for room in ("redes", "", "", "nowhere"):
        rooms.count_unread(room)
    assert rooms.unread == [("", 2)]
    rooms.go_to("")
    assert rooms.unread == []
    rooms.count_unread("redes")
    assert rooms.unread == [("Redes", 1)]
    rooms.leave("redes")
    assert rooms.unread == []


def test_rooms_that_were_told_of_are_known(rooms: Rooms) -> None:
    """As they were typed, where they were; not the common one."""
    rooms.tell_of(["", "redes", "aula"])
    assert rooms.known == ["Redes", "aula"]


def test_no_more_rooms_are_known_than_one_can_choose_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may name as many as it likes; those that were visited stay."""
    monkeypatch.setattr(rooms_module, "MAX_KNOWN_ROOMS", 2)
    rooms = Rooms(["Redes", ""])
    rooms.tell_of(["um", "dois", "três"])
    assert rooms.known == ["Redes", "um"]
