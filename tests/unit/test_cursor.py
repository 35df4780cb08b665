"""How far the log was seen: over losses, new logs, other rooms, and history once more."""

from __future__ import annotations

import pytest

from chat.client.cursor import Cursor


@pytest.fixture
def cursor() -> Cursor:
    """A cursor in its first stream, which begins after id 10."""
    cursor = Cursor(history=20)
    assert cursor.begin_stream() == (None, 20)
    assert cursor.meet_log("log")
    assert cursor.begin_after(10)
    return cursor


def test_each_message_of_the_log_is_news_once(cursor: Cursor) -> None:
    """What has no id is not in the log, and always news."""
    assert [cursor.is_news(number) for number in (11, 11, 12, 9, 0, 0)] == [
        True,
        False,
        True,
        False,
        True,
        True,
    ]


def test_next_stream_begins_after_what_was_seen(cursor: Cursor) -> None:
    """Also where the room was silent, and nothing was seen but the beginning."""
    assert cursor.begin_stream() == (10, 0)
    assert cursor.is_news(11)
    assert cursor.begin_stream() == (11, 0)


def test_server_that_does_not_say_where_it_begins_is_taken_as_it_is(cursor: Cursor) -> None:
    """What was seen stays seen."""
    assert cursor.begin_after(None)
    assert cursor.begin_stream() == (10, 0)


def test_other_log_is_told_and_read_from_its_beginning(cursor: Cursor) -> None:
    """Ids of the old one mean nothing in it."""
    assert cursor.meet_log("log")
    assert not cursor.meet_log("other")
    assert cursor.begin_stream() == (None, 20)
    assert cursor.meet_log("other")


def test_other_log_before_anything_was_seen_is_no_news() -> None:
    """Nothing can be missing."""
    cursor = Cursor(history=5)
    assert cursor.meet_log("log") and cursor.meet_log("other")


def test_other_room_begins_with_its_history(cursor: Cursor) -> None:
    """Not with what was once more wished for in the old one."""
    cursor.repeat(3)
    cursor.leave_room()
    assert cursor.begin_stream() == (None, 20)


def test_repetition_is_asked_for_in_a_new_stream(cursor: Cursor) -> None:
    """It returns the newest id seen: what comes up to it comes for the second time."""
    assert cursor.is_news(11)
    assert cursor.repeat(5) == 11
    assert cursor.is_reopening
    assert cursor.begin_stream() == (None, 5)
    assert not cursor.is_reopening
    assert cursor.begin_after(6)
    assert [cursor.is_news(number) for number in (7, 11, 12)] == [True, True, True]
    assert cursor.begin_stream() == (12, 0)


def test_stream_that_is_to_be_replaced_brings_no_news(cursor: Cursor) -> None:
    """What it still brings comes again in the next one; else it would come twice."""
    cursor.repeat(5)
    assert not cursor.is_news(11)
    assert cursor.begin_stream() == (None, 5)
    assert cursor.begin_after(6)
    assert cursor.is_news(11)


def test_greeting_of_a_stream_to_be_replaced_fulfils_no_wish() -> None:
    """It was opened before the wish, so the next one must still ask for it."""
    cursor = Cursor(history=20)
    cursor.begin_stream()
    cursor.repeat(5)
    assert cursor.begin_after(10)
    assert cursor.begin_stream() == (None, 5)


def test_repetition_that_does_not_reach_back_is_given_up(cursor: Cursor) -> None:
    """So much is new that the last few would leave a gap: the next stream resumes instead."""
    cursor.repeat(5)
    assert cursor.begin_stream() == (None, 5)
    assert not cursor.begin_after(50)
    assert cursor.begin_stream() == (10, 0)


def test_repetition_that_just_reaches_back_is_taken(cursor: Cursor) -> None:
    """It begins right after what was seen."""
    cursor.repeat(5)
    cursor.begin_stream()
    assert cursor.begin_after(10)
