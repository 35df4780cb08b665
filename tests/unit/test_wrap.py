"""How text is fitted into the columns of a terminal."""

from __future__ import annotations

import ctypes
import importlib.util
import locale
import re
import sys
from collections.abc import Callable, Iterator

import pytest

from chat.cli import wrap
from chat.cli.wrap import cell_width, cut, rows_of, text_width, wrapped
from chat.client.ui import render
from chat_pb2 import Message


def rows(text: str, columns: int, lead: str = "") -> list[str]:
    """Return the rows that `text` takes after `lead`."""
    fragments = wrapped([("", lead)] if lead else [], [("", text)], columns)
    return "".join(text for _style, text in fragments).removesuffix("\n").split("\n")


@pytest.mark.parametrize("columns", [8, 20, 39, 40, 80, 300])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "oi",
        "word " * 40,
        "[x]" * 170,
        "漢字" * 100,
        "a漢" * 90,
        "e\u0301" * 90,
        "a\n\nb\n",
        "👩‍💻" * 30,
    ],
)
def test_no_row_is_wider_than_the_terminal(text: str, columns: int) -> None:
    """Nothing is left for the terminal to break, and nothing is lost but spaces."""
    fitted = rows(render.clean(text), columns, "12:00 [ana]: ")
    assert all(text_width(row) <= columns for row in fitted)
    assert "".join(fitted).replace(" ", "") == (
        ("12:00 [ana]: " + render.clean(text)).replace(" ", "").replace("\n", "")
    )


@pytest.mark.parametrize(
    "grapheme", ["🇧🇷", "👨\u200d👩\u200d👧", "👍🏽", "❤\ufe0f", "e\u0301", "1\ufe0f\u20e3"]
)
@pytest.mark.parametrize("columns", [20, 21, 22, 23, 80])
def test_no_grapheme_is_cut_at_the_end_of_a_row(grapheme: str, columns: int) -> None:
    """Each row has whole ones."""
    fitted = rows(render.clean(grapheme * 60), columns, "[ana]: ")
    counts = [row.removeprefix("[ana]: ").strip().count(grapheme) for row in fitted]
    assert sum(counts) == 60
    assert all(text_width(row) <= columns for row in fitted)
    assert cut(grapheme * 60, columns).removesuffix("…").replace(grapheme, "") == ""


def test_grapheme_that_no_row_has_room_for_is_cut() -> None:
    """A hundred people are joined to one; no terminal draws them so."""
    crowd = "\u200d".join("👨" * 100)
    fitted = rows(render.clean(crowd), 20)
    assert all(text_width(row) <= 20 for row in fitted)
    assert "".join(row.strip() for row in fitted) == crowd


@pytest.mark.parametrize("text", ["*x" * 150, "a b " * 90, "oi\n[bia]: sim", "漢" * 99])
def test_later_rows_are_indented(text: str) -> None:
    """Only the first row begins where lines of the conversation begin."""
    for columns in (20, 80):
        assert all(row.startswith("  ") or not row for row in rows(text, columns, "[mal]: ")[1:])


@pytest.mark.parametrize("text", ["oi", "a b " * 90, "um\ndois", "\u05e9\u05dc\u05d5\u05dd " * 30])
def test_bare_text_has_the_same_rows(text: str) -> None:
    """As one with styles; where the width is not known, only its own lines are broken."""
    for columns in (8, 20, 80):
        assert rows_of("[ana]: ", text, columns).split("\n") == rows(text, columns, "[ana]: ")
    assert rows_of("[ana]: ", "um\ndois " + "x" * 300, None).count("\n    dois") == 1


def test_word_wider_than_the_rest_of_the_row_is_moved_if_it_is_short() -> None:
    """Whole, as far as it does not take most of the row; and not by its number of characters."""
    assert rows("a" * 15 + " " + "b" * 9, 20) == ["a" * 15 + " ", "  " + "b" * 9]
    assert rows("a" * 5 + " " + "*" * 30, 20) == ["a" * 5 + " " + "*" * 14, "  " + "*" * 16]
    assert rows("\u6f22" * 8, 20, "[ana]: ") == ["[ana]: " + "\u6f22" * 6, "  " + "\u6f22" * 2]


URL = "https://chat.example/a-long-path/without-end?to=be&copied=%C3%A1#whole"


@pytest.mark.parametrize("columns", [8, 20, 40, 80, 200])
@pytest.mark.parametrize("word", [URL, "x" * 300, "0123456789abcdef" * 8, "não-é-só-ascii/" * 9])
def test_long_word_is_in_one_piece(word: str, columns: int) -> None:
    """It is moved to a row of its own, or left to the terminal to break; nothing follows it."""
    for text in (word, f"see {word} please", f"words before it: {word}\nand after it"):
        fitted = rows(text, columns, "12:00 [ana]: ")
        (row,) = [row for row in fitted if word in row]
        assert row.endswith(word) or len(row) <= columns
        assert all(len(other) <= columns for other in fitted if other != row)
        assert all(other.startswith("  ") for other in fitted[1:])


def test_word_that_a_row_has_room_for_is_moved_whole() -> None:
    """Then the terminal has nothing to break."""
    fitted = rows(f"{'word ' * 8}{URL} and more", 80, "12:00 [ana]: ")
    assert fitted == ["12:00 [ana]: " + "word " * 8, f"      {URL} and", "      more"]


@pytest.mark.parametrize(
    "text",
    [
        "x" * 50 + "[ana]: forged",
        "x" * 50 + " [ana]: forged",
        "12:34" * 20 + " [ana]: forged",
        "x" * 67 + " * server: forged",
        "https://example.org/[ana]:" * 9,
        "\u05d0" + "x" * 300,
        "\u6f22" + "x" * 10 + "e\u0301" * 300,
    ],
)
def test_terminal_breaks_no_row_where_it_could_deceive(text: str) -> None:
    """What it puts at the start of a row is a word alone, without any sign of a speaker."""
    for columns in range(20, 90):
        for row in rows(text, columns, "12:00 [mal]: "):
            for start in range(columns, text_width(row), columns):
                assert re.fullmatch("[^ \\[\\]*\u05d0\u0301]+", row[start:]), row


def test_right_to_left_text_is_isolated() -> None:
    """A name or a text written from right to left cannot reorder what is around it."""
    rendered = render.render_message(Message(user="דנה", message="שלום 123"))
    assert rendered is not None
    text = "".join(text for _style, text in wrapped(rendered.lead, rendered.body, 80))
    assert text == "[\u2068דנה\u2069]: \u2068שלום 123\u2069\n"


def test_cutting_counts_columns() -> None:
    """A text is cut to columns, not to characters, and says that it was."""
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    assert text_width(cut("漢字漢字", 6)) <= 6
    assert cell_width("\u0600") == 1


@pytest.fixture
def system_width() -> Iterator[Callable[[int], int]]:
    """Yield the system's own `wcwidth`, in UTF-8: of a code point, -1 where it knows none."""
    try:
        width: Callable[[int], int] = ctypes.CDLL(None).wcwidth
    except (AttributeError, OSError, TypeError):
        pytest.skip("the system's C library has no wcwidth")
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        pytest.skip("the system has no locale C.UTF-8")
    yield width
    locale.setlocale(locale.LC_CTYPE, before)


def test_no_character_is_wider_for_the_system_than_for_us(
    system_width: Callable[[int], int],
) -> None:
    """Else a sender would know where the terminal breaks the row."""
    assert system_width(ord("\u6f22")) == 2
    characters = (chr(code) for code in range(sys.maxunicode + 1) if system_width(code) > 0)
    wider = [char for char in characters if cell_width(char) < system_width(ord(char))]
    assert not [f"U+{ord(char):04X}" for char in wider if render.clean(char) == char]


@pytest.mark.parametrize("character", "\u302e\u324f\U00016ff0\u4dc0\U0001d300")
def test_character_that_is_wide_for_some_terminals_is_wide(character: str) -> None:
    """Whatever the table of the library or of Python says."""
    assert cell_width(character) == 2


def test_mark_that_takes_a_column_in_later_tables_takes_one() -> None:
    """Unicode 14 gave it a width; Python 3.10 has the tables of Unicode 13."""
    assert cell_width("\u1734") == 1


def test_without_wcwidth_wide_characters_are_still_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes with the line editor, which the chat can do without."""
    monkeypatch.setitem(sys.modules, "wcwidth", None)
    spec = importlib.util.spec_from_file_location("wrap_without_wcwidth", wrap.__file__)
    assert spec is not None and spec.loader is not None
    bare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bare)
    widths = [bare.cell_width(character) for character in "aé漢\u0301\u2068\U0001f600"]
    assert widths == [1, 1, 2, 0, 0, 2]
