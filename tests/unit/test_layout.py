"""What stands below the conversation, and how high each part of it is."""

from __future__ import annotations

import pytest

pytest.importorskip("prompt_toolkit")

from chat.client.ui.layout import window_of


@pytest.mark.parametrize(
    ("text", "kept", "heights"),
    [("a\nb\nc", 0, (0, 3, 3)), ("a\nb\nc", 2, (2, 3, 3)), ("a", 2, (1, 1, 1)), ("", 2, (0, 0, 0))],
)
def test_part_is_as_high_as_its_text_where_there_is_room(
    text: str, kept: int, heights: tuple[int, int, int]
) -> None:
    """All of them that could not be shown together would not be shown at all."""
    height = window_of(lambda: [("", text)], lambda: kept).preferred_height(80, 24)
    assert (height.min, height.preferred, height.max) == heights
