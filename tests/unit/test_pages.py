"""Pages of history: gathered until they are complete, each going back from the one before."""

from __future__ import annotations

from chat.client.pages import Pages
from chat_pb2 import KIND_CLOSED, KIND_HISTORY, KIND_NOTICE, Message


def part(*ids: int, key: str = "k", room: str = "") -> Message:
    batch = [Message(user="bia", message=str(number), id=number, room=room) for number in ids]
    return Message(kind=KIND_HISTORY, key=key, batch=batch)


def test_page_is_complete_with_its_empty_part() -> None:
    """What comes twice, since the connection was lost meanwhile, is there once."""
    pages = Pages()
    assert pages.begin("Aula", "k", 3) == 0
    assert pages.take(part(3, 4, room="aula")) is None
    assert pages.take(part(3, 4, 5, room="aula")) is None
    page = pages.take(part())
    assert page is not None and page.room == "Aula" and list(page.messages) == [3, 4, 5]
    assert pages.take(part()) is None


def test_one_page_of_a_room_is_on_its_way_at_a_time() -> None:
    """Until it is complete, or refused; another room has its own."""
    pages = Pages()
    assert pages.begin("Aula", "k", 3) == 0 and pages.begin("", "other", 3) == 0
    assert pages.begin("aula", "again", 3) is None
    assert pages.end("k") is not None and pages.begin("aula", "again", 3) == 0


def test_next_page_goes_back_from_the_oldest_that_was_shown() -> None:
    """In its room; from the newest again when nothing is on the screen."""
    pages = Pages()
    for number in (9, 7, 8):
        pages.note_shown("Aula", number)
    assert pages.begin("aula", "k", 3) == 7 and pages.begin("", "other", 3) == 0
    pages.end("k")
    pages.forget_shown()
    assert pages.begin("aula", "k", 3) == 0


def test_page_has_no_more_messages_than_were_asked_for() -> None:
    """However many a server sends, and whatever was not asked for is nobody's."""
    pages = Pages()
    pages.begin("", "k", 3)
    for ids in ((1, 2), (3, 4), (5, 6)):
        assert pages.take(part(*ids)) is None
    pages.take(part(7, key="never"))
    page = pages.take(part())
    assert page is not None and list(page.messages) == [1, 2, 3]


def test_page_has_only_what_was_said_before_it_in_its_room() -> None:
    """Neither what was shown already, nor another room's, nor what stands in no room's log."""
    pages = Pages()
    pages.note_shown("aula", 7)
    pages.begin("Aula", "k", 9)
    odd = [
        Message(id=4, room="aula", to="bia"),
        Message(id=5, room="other"),
        Message(id=6, room="aula", kind=KIND_NOTICE),
        Message(id=7, room="aula"),
        Message(id=0, room="aula"),
        Message(id=3, room="aula", kind=KIND_CLOSED),
        Message(id=2, room="aula"),
    ]
    pages.take(Message(kind=KIND_HISTORY, key="k", batch=odd))
    page = pages.take(part())
    assert page is not None and list(page.messages) == [3, 2]
