"""The text of the line being typed: what the keys move over, and what they delete."""

from __future__ import annotations

import pytest

pytest.importorskip("prompt_toolkit")

from chat.client.ui.line_buffer import LineBuffer  # noqa: E402

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
BRAZIL, ARGENTINA = "\U0001f1e7\U0001f1f7", "\U0001f1e6\U0001f1f7"


def buffer_with(text: str, place: int | None = None) -> LineBuffer:
    """Return a buffer with the cursor after `place` characters, at the end without it."""
    buffer = LineBuffer()
    buffer.insert_text(text)
    if place is not None:
        buffer.cursor_position = place
    return buffer


@pytest.mark.parametrize(
    "grapheme", [FAMILY, BRAZIL, "e\u0301", "\u2764\ufe0f", "\u0915\u094d\u0937\u093f"]
)
def test_grapheme_is_one_step_and_deleted_whole(grapheme: str) -> None:
    """By the arrows, by Backspace and by Delete."""
    buffer = buffer_with(f"x{grapheme}y")
    places = []
    for move in (buffer.cursor_left, buffer.cursor_left, buffer.cursor_left, buffer.cursor_right):
        move()
        places.append(buffer.cursor_position)
    assert places == [1 + len(grapheme), 1, 0, 1]
    assert buffer.delete() == grapheme and buffer.text == "xy"
    buffer.insert_text(grapheme)
    assert buffer.delete_before_cursor() == grapheme
    assert (buffer.text, buffer.cursor_position) == ("xy", 1)


def test_cursor_never_comes_to_stand_inside_a_grapheme() -> None:
    """From wherever it is moved, back to the beginning and forth to the end."""
    text = f"a\n{FAMILY}"
    for place in range(len(text) + 3):
        buffer = buffer_with(text, 0)
        buffer.cursor_position = place
        assert buffer.cursor_position in (0, 1, 2, len(text))
        buffer = buffer_with(text)
        buffer.cursor_position = place
        assert buffer.cursor_position in (0, 1, 2, len(text))
    buffer = buffer_with(f"abc\n{FAMILY}", 3)
    buffer.cursor_down()
    assert buffer.cursor_position == len(buffer.text)


def test_parts_of_a_flag_may_be_typed_before_another_one() -> None:
    """Each comes as a key of its own; for a moment the first joins what stands behind it."""
    buffer = buffer_with(BRAZIL, 0)
    for part in ARGENTINA:
        buffer.insert_text(part)
    assert buffer.text == ARGENTINA + BRAZIL and buffer.cursor_position == 2


def test_words_with_accents_are_whole() -> None:
    """The keys for words ask the document."""
    document = buffer_with("ação e café, sim", 4).document
    assert document.find_next_word_ending() == 2
    assert document.find_next_word_ending(count=2) == 7
    assert document.find_next_word_beginning() == 1
    assert document.find_next_word_ending(WORD=True) == 2
    document = buffer_with("ação e cafe\u0301").document
    assert document.find_previous_word_beginning() == -5
    assert document.find_start_of_previous_word(count=2) == -7
    assert document.find_start_of_previous_word(count=9) is None
    assert document.find_start_of_previous_word(WORD=True) == -5


def test_the_two_graphemes_before_the_cursor_are_swapped() -> None:
    """As Ctrl-T does; with fewer than two nothing happens."""
    buffer = buffer_with(f"x{FAMILY}{BRAZIL}")
    buffer.swap_characters_before_cursor()
    assert buffer.text == f"x{BRAZIL}{FAMILY}"
    lonely = buffer_with(FAMILY)
    lonely.swap_characters_before_cursor()
    assert lonely.text == FAMILY
