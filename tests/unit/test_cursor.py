"""How far each room and the inbox were seen: over losses, new logs, and rooms that were left."""

from __future__ import annotations

import pytest

from chat.client.cursor import MAX_KNOWN, Cursor, Place
from chat.protocol.metadata import Greeting
from chat_pb2 import KIND_ENTERED, KIND_JOINED, KIND_LEFT, KIND_PRESENT, KIND_RENAMED, Kind, Message


def numbered(number: int, room: str = "", to: str = "") -> Message:
    return Message(user="bia", message=str(number), id=number, room=room, to=to)


@pytest.fixture
def cursor() -> Cursor:
    """A cursor in its first stream, which begins after id 10, and in a second room."""
    cursor = Cursor(["", "Sala"], history=20)
    assert cursor.begin_stream() == ("", None, 20, 0, "")
    assert cursor.meet_log(Greeting("log", 10, "g1"))
    cursor.resume("Sala", 4)
    return cursor


def test_each_message_is_news_once_in_its_place(cursor: Cursor) -> None:
    """Each room and the inbox have an order of their own; what has no id is always news."""
    messages = [
        (numbered(11), True),
        (numbered(11), False),
        (numbered(5, "sala"), True),
        (numbered(12), True),
        (numbered(7, to="ana"), True),
        (numbered(6, to="ana"), False),
        (numbered(9), False),
        (numbered(6, "sala"), True),
        (numbered(0), True),
        (numbered(0, "elsewhere"), True),
        (numbered(99, "elsewhere"), False),
    ]
    assert [cursor.is_news(message) for message, _news in messages] == [
        news for _message, news in messages
    ]


def test_next_stream_begins_after_what_was_seen(cursor: Cursor) -> None:
    """In every place, also where nothing was said; with the generation in which it was seen."""
    cursor.is_news(numbered(7, to="ana"))
    assert cursor.begin_stream() == ("", 10, 20, 7, "g1")
    (entry,) = cursor.entries()
    assert (entry.kind, entry.room, entry.id, entry.message) == (KIND_ENTERED, "Sala", 4, "")
    cursor.is_news(numbered(11))
    cursor.is_news(numbered(5, "sala"))
    assert cursor.begin_stream()[1] == 11
    assert cursor.entries()[0].id == 5


def test_room_that_was_never_seen_begins_with_the_history(cursor: Cursor) -> None:
    """One that was left, with what is new since."""
    entry = cursor.entry("Cozinha")
    assert (entry.room, entry.message, entry.id) == ("Cozinha", "20", 0)
    assert cursor.entry("Cozinha", 3).message == "3"
    cursor.is_news(numbered(5, "sala"))
    cursor.leave("sala")
    assert cursor.rooms == ("",)
    again = cursor.entry("SALA")
    assert (again.message, again.id) == ("", 5)
    assert cursor.entry("SALA", 0).message == "0"


def test_server_that_does_not_say_where_it_begins_is_taken_as_it_is(cursor: Cursor) -> None:
    """What was seen stays seen."""
    assert cursor.meet_log(Greeting("log", None, "g2"))
    assert cursor.begin_stream() == ("", 10, 20, 0, "g2")


def test_server_that_put_its_log_back_says_where_it_begins(cursor: Cursor) -> None:
    """Lower than what was seen: its messages are news."""
    assert cursor.meet_log(Greeting("log", 3, "g7"))
    cursor.resume("Sala", 1)
    assert cursor.is_news(numbered(4)) and cursor.is_news(numbered(2, "sala"))
    cursor.is_news(numbered(7, to="ana"))
    cursor.rewind_inbox()
    assert cursor.is_news(numbered(5, to="ana"))


@pytest.mark.parametrize("kind", [KIND_JOINED, KIND_LEFT, KIND_RENAMED, KIND_PRESENT])
def test_people_of_other_rooms_are_no_news(cursor: Cursor, kind: Kind) -> None:
    """Else a server could name a hundred thousand rooms, and have them remembered."""
    assert cursor.is_news(Message(kind=kind, user="bia", room="sala"))
    assert not cursor.is_news(Message(kind=kind, user="bia", room="elsewhere"))


def test_only_room_is_kept(cursor: Cursor) -> None:
    """Each stream begins in one, whatever the server says was left."""
    cursor.leave("Sala")
    cursor.leave("")
    assert cursor.rooms == ("",) and cursor.begin_stream()[0] == ""


def test_other_log_is_told(cursor: Cursor) -> None:
    """With a generation the server begins anew by itself; without, ids must not be sent again."""
    assert not cursor.meet_log(Greeting("other", 2, "g1"))
    assert cursor.begin_stream()[1] == 2
    assert not cursor.meet_log(Greeting("third", 5))
    assert cursor.begin_stream()[1:] == (None, 20, 0, "")
    assert cursor.meet_log(Greeting("third", 5))


def test_other_log_before_anything_was_seen_is_no_news() -> None:
    """Nothing can be missing."""
    cursor = Cursor([""], history=5)
    assert cursor.meet_log(Greeting("log")) and cursor.meet_log(Greeting("other"))


def test_place_is_where_a_later_cursor_goes_on(cursor: Cursor) -> None:
    """Its rooms come with it."""
    cursor.is_news(numbered(11))
    cursor.is_news(numbered(7, to="ana"))
    place = cursor.place
    assert place == Place({"": 11, "Sala": 4}, 7, "log", "g1")
    later = Cursor([""], history=20, place=place)
    assert later.begin_stream() == ("", 11, 20, 7, "g1")
    assert [entry.room for entry in later.entries()] == ["Sala"]
    assert not later.is_news(numbered(11)) and later.is_news(numbered(12))


def test_server_of_the_first_contract_names_no_rooms() -> None:
    """What it says is said in the only one."""
    cursor = Cursor(["Sala"], history=20)
    cursor.meet_log(Greeting("log", 3))
    assert cursor.is_news(numbered(4)) and not cursor.is_news(numbered(3))


def test_entering_once_more_takes_nothing_back(cursor: Cursor) -> None:
    """The server answers how far it had written, when more has been heard already."""
    cursor.is_news(numbered(9, "sala"))
    cursor.enter(cursor.entry("SALA"), 4)
    assert not cursor.is_news(numbered(9, "sala"))


def test_what_was_heard_since_the_wish_is_no_news_when_it_comes_again(cursor: Cursor) -> None:
    """A room that is left and entered at once: the wish was made before the last words came."""
    wish = cursor.entry("SALA")
    cursor.is_news(numbered(9, "sala"))
    cursor.leave("sala")
    cursor.enter(wish, 4)
    assert not cursor.is_news(numbered(9, "sala")) and cursor.is_news(numbered(10, "sala"))


def test_what_was_asked_for_again_is_news_again(cursor: Cursor) -> None:
    """By a number of messages, or by a server that had to begin earlier."""
    for wish in (cursor.entry("SALA", 5), Message(room="sala", id=7)):
        cursor.is_news(numbered(9, "sala"))
        cursor.leave("sala")
        cursor.enter(wish, 3)
        assert cursor.is_news(numbered(4, "sala"))


def test_private_message_is_known_without_its_id() -> None:
    """By writer, key and time; what lacks one of these is never known."""
    cursor = Cursor([""], history=0)
    first = Message(user="bia", message="oi", key="1", id=7, to="ana")
    first.sent_at.FromSeconds(1000)
    again, later, aloud = Message(), Message(), Message()
    for message in (again, later, aloud):
        message.CopyFrom(first)
        message.id = 0
    later.sent_at.FromSeconds(1001)
    aloud.to = ""
    assert [cursor.is_known(m) for m in (first, again, later, aloud)] == [False, True, False, False]
    unsigned = [Message(user="bia", message="oi", to="ana") for _ in range(2)]
    assert [cursor.is_known(message) for message in unsigned] == [False, False]


def test_no_more_private_messages_are_known_than_the_limit() -> None:
    cursor = Cursor([""], history=0)
    messages = [Message(user="bia", key=str(key), to="ana") for key in range(MAX_KNOWN + 1)]
    for message in messages:
        message.sent_at.FromSeconds(1000)
        assert not cursor.is_known(message)
    assert cursor.is_known(messages[-1]) and not cursor.is_known(messages[0])


def test_no_more_than_wished_of_what_was_missed_is_asked_for_once_in_each_room() -> None:
    """Since a place of an earlier run; within this one nothing may be left out."""
    place = Place({"": 3}, 0, "log", "g1", {"sala": 7, "aula": 9})
    cursor = Cursor(["", "Sala"], history=20, place=place, at_most=50)
    assert cursor.begin_stream()[:2] == ("", 3) and cursor.at_most == 50
    assert [(wish.id, wish.message) for wish in cursor.entries()] == [(7, "50")]
    assert cursor.meet_log(Greeting("log", 10, "g1"))
    cursor.resume("Sala", 12)
    assert cursor.begin_stream()[:2] == ("", 10) and cursor.at_most is None
    assert [(wish.id, wish.message) for wish in cursor.entries()] == [(12, "")]
    wish = cursor.entry("Aula")
    assert (wish.id, wish.message) == (9, "50")
    cursor.enter(wish, 30)
    assert cursor.place.rooms == {"": 10, "Sala": 12, "Aula": 30} and cursor.place.left == {}
    assert not cursor.is_news(numbered(30, "aula")) and cursor.is_news(numbered(31, "aula"))


def test_place_in_a_room_that_was_left_is_kept(cursor: Cursor) -> None:
    """A later cursor goes on there when it enters the room, and is not in it before."""
    cursor.leave("Sala")
    place = cursor.place
    assert place == Place({"": 10}, 0, "log", "g1", {"sala": 4})
    later = Cursor([""], history=20, place=place)
    assert later.rooms == ("",) and later.entry("SALA").id == 4
    later.forget_left()
    assert later.entry("SALA").id == 0 and later.place.left == {}
    assert later.begin_stream()[1] == 10
