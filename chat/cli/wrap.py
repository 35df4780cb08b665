"""Fitting text into the columns of a terminal: wide characters, words, indented later rows.

We break the rows ourselves: where the terminal did it, a message could put words of its choice at
the start of a row, and look there like a line of somebody else's. But a long word that could not,
such as an address of the web, is left to the terminal to break, so that it is copied in one piece.
"""

from __future__ import annotations

import os
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate, repeat
from typing import IO, Any

from chat.cli.display import EMOJI_STYLE, END_ISOLATE, INDENT, ISOLATE, has_rtl, isolated
from chat.cli.graphemes import graphemes, start_of

try:
    from wcwidth import wcwidth
except ImportError:  # it comes with the line editor, which the chat can do without

    def wcwidth(wc: str) -> int:  # type: ignore[misc]
        """Leave every character to `cell_width`."""
        return 0


# A piece of text and its style, a class of `output_queue.STYLES` or a colour.
Fragment = tuple[str, str]
# Below this, indenting by the full width is of no use.
NARROW_COLUMNS = 40
MIN_COLUMNS = 8
WITHOUT_WIDTH = frozenset({ISOLATE, END_ISOLATE, "\u200c", "\u200d"})
# Wide for some terminals only: numbers on black squares (glibc, tmux), and the trigrams, hexagrams
# and counting rods that Unicode 16 made wide.
WIDE_FOR_SOME = re.compile(
    "[\u2630-\u2637\u268a-\u268f\u3248-\u324f\u4dc0-\u4dff\U0001d300-\U0001d356\U0001d360-\U0001d376]"
)
# Hanunoo's pamudpod, a mark without a width before Unicode 14 (Python 3.10), takes a column since.
SPACING_MARK = "\u1734"
# What may stand at the start of a row: nothing here marks a speaker or an event, each character has
# one column in every terminal, and a space, which would let something follow, ends it.
HARMLESS = re.compile(r"[A-Za-z0-9\-._~:/?#@!$&'()+,;=%\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017f]+")


@lru_cache(maxsize=65536)
def cell_width(character: str) -> int:
    """Return how many columns a character takes at most.

    Terminals do not agree on all of them. One that takes less than we think leaves room at the end
    of a row; one that took more would break the row at a place of the sender's choice.
    """
    is_mark = unicodedata.category(character) in ("Mn", "Me") and character != SPACING_MARK
    least = int(not is_mark and character not in WITHOUT_WIDTH)
    is_wide = unicodedata.east_asian_width(character) in "WF"  # UAX #11; `wcwidth` has exceptions
    if least and (is_wide or WIDE_FOR_SOME.match(character)):
        return 2
    return max(least, wcwidth(character))


def grapheme_width(grapheme: str) -> int:
    """Return how many columns a grapheme takes at most: as if none of its parts were joined."""
    width = sum(map(cell_width, grapheme))
    return max(width, 2) if EMOJI_STYLE in grapheme else width


def text_width(text: str) -> int:
    """Return how many columns a text takes at most."""
    return len(text) if text.isascii() else sum(map(grapheme_width, graphemes(text)))


def cut(text: str, columns: int) -> str:
    """Return `text`, cut to `columns` with an ellipsis where it is longer."""
    if text_width(text) <= columns:
        return text
    width, kept = 1, []
    for grapheme in graphemes(text):
        width += grapheme_width(grapheme)
        if width > columns:
            break
        kept.append(grapheme)
    return "".join(kept) + "\N{HORIZONTAL ELLIPSIS}"


def indent_for(columns: int) -> int:
    """Return by how much later rows are indented in a terminal of so many columns."""
    return 2 if columns < NARROW_COLUMNS else 6


def columns_of(stream: IO[Any]) -> int | None:
    """Return how wide the terminal is that a stream goes to; None where that is not known."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (AttributeError, OSError, ValueError):  # a pipe, or nothing at all
        return None


def in_rows(text: str, stream: IO[Any]) -> str:
    """Return a program's own lines as the terminal shows them that `stream` goes to, if it does."""
    columns = columns_of(stream)
    if columns is None:
        return text
    return "\n".join(rows_of("", line, columns) for line in text.split("\n"))


def rows_of(lead: str, body: str, columns: int | None) -> str:
    """Return `lead` and `body` without styles as `wrapped` has them, but for the last line feed.

    Where the width is not known, only the later lines of the body are indented.
    """
    if columns is None:
        return lead + body.replace("\n", "\n" + INDENT)
    columns = max(columns, MIN_COLUMNS)
    indent = indent_for(columns)
    if text_width(lead) > columns - indent:
        lead, body = "", lead + body
    breaks = Rows(body, columns, indent).breaks(text_width(lead))
    rows = (body[begin:end] for begin, end in breaks)
    return lead + ("\n" + " " * indent).join(
        row if ISOLATE in row else isolated(row) for row in rows
    )


def wrapped(lead: list[Fragment], body: list[Fragment], columns: int) -> Iterator[Fragment]:
    """Yield `lead` and `body` in rows of at most `columns`, each ended by a line feed.

    Rows after the first, and later lines of the body, are indented. Words are kept whole where they
    fit, and left to the terminal (`Rows`) where they are harmless and do not. What is written from
    right to left is isolated on each row.
    """
    columns = max(columns, MIN_COLUMNS)
    indent = indent_for(columns)
    start = sum(text_width(text) for _style, text in lead)
    if start > columns - indent:
        # So narrow that the lead itself needs more than one row.
        lead, body, start = [], [*lead, *body], 0
    yield from lead
    rows = Rows("".join(text for _style, text in body), columns, indent)
    fragments = Fragments(body)
    for number, (begin, end) in enumerate(rows.breaks(start)):
        if number:
            yield "", " " * indent
        yield from _isolated(fragments.between(begin, end))
        yield "", "\n"


class Rows:
    """Where a text is broken: rows of at most `columns`, later ones of `columns` less `indent`.

    A row that ends with a harmless word may be longer: the terminal breaks that, and nothing
    follows it there.
    """

    def __init__(self, text: str, columns: int, indent: int) -> None:
        self._text = text
        self._columns = columns
        self._indent = indent
        # How many columns the text takes up to each character; line feeds take none.
        widths = _widths(text.replace("\n", ISOLATE), columns - indent)
        self._widths: Sequence[int] = (
            range(len(text) + 1) if text.isascii() else [*accumulate(widths, initial=0)]
        )

    def breaks(self, start: int) -> Iterator[tuple[int, int]]:
        """Yield the beginning and the end of each row; the first begins at column `start`."""
        begin = 0
        while True:
            end = self._text.find("\n", begin)
            yield from self._rows_of_line(begin, len(self._text) if end < 0 else end, start)
            if end < 0:
                return
            begin, start = end + 1, self._indent

    def _rows_of_line(self, begin: int, stop: int, start: int) -> Iterator[tuple[int, int]]:
        """Yield the rows of one line; a space at which it is broken is on neither row."""
        while (full := self._full_row(begin, stop, self._columns - start)) < stop:
            # The first word after the lead is moved if it is short.
            movable = self._columns // 2 if start > self._indent else 0
            end = self._around_word(begin, self._last_word(begin, full, movable))
            yield begin, end
            if end == stop:
                return
            is_at_space = end >= full and self._text[end] == " "
            begin = end + 1 if is_at_space else end
            start = self._indent
        yield begin, stop

    def _around_word(self, begin: int, end: int) -> int:
        """Return where a row ends that would end inside of a harmless word: before it, or after.

        Before it, where it is not the first of the row, and a later row has room for it.
        """
        index = bisect_left(self._harmless, (end, 0)) - 1
        first, last = self._harmless[index] if index >= 0 else (end, end)
        if last <= end:
            return end
        has_room = self._widths[last] - self._widths[first] <= self._columns - self._indent
        return first if first > begin and has_room else last

    @cached_property
    def _harmless(self) -> list[tuple[int, int]]:
        """The words that the terminal may break; none beside what it may reorder."""
        if has_rtl(self._text):
            return []
        text = self._text  # what a mark belongs to is no word's end
        return [(found.start(), start_of(text, found.end())) for found in HARMLESS.finditer(text)]

    def _full_row(self, begin: int, stop: int, columns: int) -> int:
        """Return where a row ends that takes as many characters as fit."""
        limit = self._widths[begin] + max(columns, 0)
        return min(bisect_right(self._widths, limit, begin, stop + 1) - 1, stop)

    def _last_word(self, begin: int, end: int, movable: int) -> int:
        """Return where a full row ends if its last word goes to the next one.

        A word that is most of the row is broken rather than moved, unless it is the first one and
        takes at most `movable` columns.
        """
        if self._text[end] == " ":
            return end
        width = self._widths[end] - self._widths[begin]
        space = self._text.rfind(" ", begin + 1, end)
        if space < 0:
            return begin if width <= movable else end
        word = self._widths[end] - self._widths[space + 1]
        return space + 1 if word <= max(width // 2, movable) else end


def _widths(text: str, columns: int) -> Iterator[int]:
    """Yield how many columns each character takes; the first of a grapheme takes all of them.

    So no row ends inside of it, unless even a row of its own (`columns`) has no room for it.
    """
    for grapheme in graphemes(text):
        width = grapheme_width(grapheme)
        if width > columns:
            yield from map(cell_width, grapheme)
        else:
            yield width
            yield from repeat(0, len(grapheme) - 1)


class Fragments:
    """A styled text of which one part after the other is taken."""

    def __init__(self, fragments: Iterable[Fragment]) -> None:
        self._rest = iter(fragments)
        self._style, self._text = "", ""
        self._begin = 0  # of the present fragment, in the whole text

    def between(self, begin: int, end: int) -> Iterator[Fragment]:
        """Yield the fragments of a part; no part may begin before the end of the last one."""
        while True:
            piece = self._text[max(begin - self._begin, 0) : end - self._begin]
            if piece:
                yield self._style, piece
            if end <= self._begin + len(self._text):
                return
            self._begin += len(self._text)
            self._style, self._text = next(self._rest)


def _isolated(row: Iterable[Fragment]) -> Iterator[Fragment]:
    """Yield a row, isolated where it runs from right to left."""
    fragments = list(row)
    characters = "".join(text for _style, text in fragments)
    is_rtl = has_rtl(characters) and ISOLATE not in characters
    if is_rtl:
        yield "", ISOLATE
    yield from fragments
    if is_rtl:
        yield "", END_ISOLATE
