"""Characters as a person sees them: where they begin and end, and words made of them."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from chat.cli import graphemes as module
from chat.cli.graphemes import end_of, graphemes, start_of, words_of

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
BRAZIL, ARGENTINA = "\U0001f1e7\U0001f1f7", "\U0001f1e6\U0001f1f7"
# What a person sees as one character each.
WHOLE = {
    "letter": "a",
    "decomposed": "e\u0301",
    "heart": "\u2764\ufe0f",
    "flag": BRAZIL,
    "skin": "\U0001f44d\U0001f3fd",
    "family": FAMILY,
    "keycap": "1\ufe0f\u20e3",
    "England": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "Devanagari": "\u0915\u094d\u0937\u093f",
    "Hangul": "\u1100\u1161\u11a8",
    "line feed": "\n",
}


@pytest.mark.parametrize("grapheme", WHOLE.values(), ids=list(WHOLE))
def test_grapheme_is_whole(grapheme: str) -> None:
    """Between others it begins and ends where a person sees it begin and end."""
    text = f"x{grapheme}x"
    assert list(graphemes(text)) == ["x", grapheme, "x"]
    for position in range(2, 1 + len(grapheme)):
        assert (start_of(text, position), end_of(text, position)) == (1, 1 + len(grapheme))
    for position in (0, 1, 1 + len(grapheme), len(text)):
        assert start_of(text, position) == end_of(text, position) == position


def test_flags_side_by_side_are_pairs() -> None:
    """Counted from the first of them."""
    text = BRAZIL + ARGENTINA + BRAZIL
    assert list(graphemes(text)) == [BRAZIL, ARGENTINA, BRAZIL]
    assert [start_of(text, place) for place in range(7)] == [0, 0, 2, 2, 4, 4, 6]


def test_place_beyond_the_text_stays() -> None:
    """Whoever asks knows what to do with it."""
    assert (start_of("ab", -1), end_of("ab", 7)) == (-1, 7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  ", []),
        ("bom dia", ["bom", "dia"]),
        ("ação, café!", ["ação", ",", "café", "!"]),
        ("cafe\u0301s e", ["cafe\u0301s", "e"]),
        ("o snake_case 12", ["o", "snake_case", "12"]),
        (f"oi {FAMILY}{BRAZIL} sim", ["oi", FAMILY + BRAZIL, "sim"]),
        (
            "\u092e\u0947\u0930\u093e \u0928\u093e\u092e",
            ["\u092e\u0947\u0930\u093e", "\u0928\u093e\u092e"],
        ),
    ],
)
def test_words_are_those_of_any_language(text: str, words: list[str]) -> None:
    """Accents, however they are written, belong to their word."""
    assert [text[start:end] for start, end in words_of(text)] == words


def test_without_wcwidth_each_character_is_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes with the line editor, which the chat can do without."""
    monkeypatch.setitem(sys.modules, "wcwidth", None)
    spec = importlib.util.spec_from_file_location("graphemes_without_wcwidth", module.__file__)
    assert spec is not None and spec.loader is not None
    bare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bare)
    assert list(bare.graphemes(FAMILY)) == list(FAMILY)
    assert (bare.start_of(BRAZIL, 1), bare.end_of(BRAZIL, 1)) == (1, 1)
