"""Characters as a person sees them: the extended grapheme clusters of Unicode (UAX #29).

A family, a flag, a letter with its accents: several of Python's characters, one on the screen.
Where they begin and end is known to `wcwidth`, which the line editor needs anyway. Any thread may
call.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

try:
    from wcwidth import grapheme_boundary_before, iter_graphemes
except ImportError:  # it comes with the line editor, which the chat can do without

    def iter_graphemes(unistr: str, start: int = 0, end: int | None = None) -> Iterator[str]:
        """Yield each character by itself."""
        yield from unistr[start:end]

    def grapheme_boundary_before(unistr: str, pos: int) -> int:
        """Return the place of the character before `pos`."""
        return max(0, min(pos, len(unistr)) - 1)


Span = tuple[int, int]  # where something begins, and where it ends


def graphemes(text: str) -> Iterator[str]:
    """Yield what a person takes for one character each."""
    return iter(text) if text.isascii() else iter_graphemes(text)


def start_of(text: str, position: int) -> int:
    """Return where the grapheme begins that `position` is inside of; itself, between two."""
    if not 0 < position < len(text):
        return position
    return grapheme_boundary_before(text, position + 1)


def end_of(text: str, position: int) -> int:
    """Return where the grapheme ends that `position` is inside of; itself, between two."""
    start = start_of(text, position)
    return position if start == position else start + len(next(iter_graphemes(text, start)))


def words_of(text: str) -> list[Span]:
    """Return where words are: runs of letters and digits, accents included, or of other signs."""
    words: list[Span] = []
    end = 0
    for kind, run in groupby(graphemes(text), _kind_of):
        start, end = end, end + sum(map(len, run))
        if kind != "space":
            words.append((start, end))
    return words


def _kind_of(grapheme: str) -> str:
    if grapheme.isspace():
        return "space"
    return "word" if grapheme[0].isalnum() or grapheme[0] == "_" else "sign"
