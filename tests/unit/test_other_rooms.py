"""What is said of rooms that the user is not in."""

from __future__ import annotations

import pytest

from chat.client.other_rooms import last_rooms_line, waiting_line


@pytest.mark.parametrize(
    ("rooms", "line"),
    [
        ([""], "* You have a draft in #common; /join common brings it back."),
        (["a", "b"], "* You have drafts in #a, #b; /join NAME brings each of them back."),
    ],
)
def test_line_says_where_a_draft_waits(rooms: list[str], line: str) -> None:
    assert waiting_line(rooms) == line


@pytest.mark.parametrize(
    ("rooms", "line"),
    [
        (["Aula"], "also in #Aula: /join Aula goes there (--room Aula at the start)."),
        (["a b"], 'also in #a b: /join a b goes there (--room "a b" at the start).'),
        (
            ["a", "b"],
            "also in #a, #b: /join NAME goes to each (--room NAME at the start, once for each).",
        ),
    ],
)
def test_line_says_where_the_last_run_was(rooms: list[str], line: str) -> None:
    assert last_rooms_line(rooms) == f"* Last time you were {line}"
