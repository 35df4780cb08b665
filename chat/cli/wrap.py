"""Fitting text into the columns of a terminal: wide characters, words, indented later rows.

We break the rows ourselves: where the terminal did it, a message could put words of its choice at
the start of a row, and look there like a line of somebody else's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

from chat.cli.display import END_ISOLATE, ISOLATE, has_rtl

try:
    from wcwidth import wcwidth
except ImportError:  # it comes with the line editor, which the chat can do without

    def wcwidth(wc: str) -> int:  # type: ignore[misc]
        """Return 2 for a wide character (UAX #11), and leave the others to `cell_width`."""
        return 2 if unicodedata.east_asian_width(wc) in "WF" else 0


# A piece of text and its style, a class of `output_queue.STYLES` or a colour.
Fragment = tuple[str, str]
# Below this, indenting by the full width is of no use.
NARROW_COLUMNS = 40
MIN_COLUMNS = 8
WITHOUT_WIDTH = frozenset({ISOLATE, END_ISOLATE, "\u200c", "\u200d"})

Cell = tuple[str, str, int]  # style, character, columns


@lru_cache(maxsize=65536)
def cell_width(character: str) -> int:
    """Return how many columns a character takes at most.

    Terminals do not agree on all of them. One that takes less than we think leaves room at the end
    of a row; one that took more would break the row at a place of the sender's choice.
    """
    is_mark = unicodedata.category(character) in ("Mn", "Me")
    return max(0, wcwidth(character)) or int(not is_mark and character not in WITHOUT_WIDTH)


def text_width(text: str) -> int:
    """Return how many columns a text takes at most."""
    return len(text) if text.isascii() else sum(map(cell_width, text))


def cut(text: str, columns: int) -> str:
    """Return `text`, cut to `columns` with an ellipsis where it is longer."""
    if text_width(text) <= columns:
        return text
    width, kept = 1, []
    for character in text:
        width += cell_width(character)
        if width > columns:
            break
        kept.append(character)
    return "".join(kept) + "\N{HORIZONTAL ELLIPSIS}"


def indent_for(columns: int) -> int:
    """Return by how much later rows are indented in a terminal of so many columns."""
    return 2 if columns < NARROW_COLUMNS else 6


def wrapped(lead: list[Fragment], body: list[Fragment], columns: int) -> Iterator[Fragment]:
    """Yield `lead` and `body` in rows of at most `columns`, each ended by a line feed.

    Rows after the first, and later lines of the body, are indented. Words are kept whole where they
    fit. What is written from right to left is isolated on each row.
    """
    columns = max(columns, MIN_COLUMNS)
    if _fits(lead, body, columns):
        yield from lead
        yield from body
        yield "", "\n"
        return
    indent = indent_for(columns)
    start = 0
    for _style, text in lead:
        start += text_width(text)
    if start > columns - indent:
        # So narrow that the lead itself needs more than one row.
        lead, body, start = [], [*lead, *body], 0
    yield from lead
    for number, row in enumerate(_rows(_cells(body), columns, start, indent)):
        if number:
            yield "", " " * indent
        yield from _joined(row)
        yield "", "\n"


def _fits(lead: Iterable[Fragment], body: Iterable[Fragment], columns: int) -> bool:
    """Say whether it is one row as it is; for the sake of speed, of ASCII alone."""
    width = 0
    for _style, text in (*lead, *body):
        if not text.isascii() or "\n" in text:
            return False
        width += len(text)
    return width <= columns


def _cells(fragments: Iterable[Fragment]) -> Iterator[Cell]:
    for style, text in fragments:
        for character in text:
            yield style, character, 0 if character == "\n" else cell_width(character)


def _rows(cells: Iterable[Cell], columns: int, start: int, indent: int) -> Iterator[list[Cell]]:
    """Yield the rows; the first begins at column `start`, the others at `indent`."""
    row: list[Cell] = []
    width = start
    for cell in cells:
        if cell[1] == "\n":
            yield row
            row, width = [], indent
            continue
        if width + cell[2] > columns:
            is_after_lead = width - sum(cells for _style, _character, cells in row) > indent
            kept, row = _broken(row, cell, columns // 2 if is_after_lead else 0)
            yield kept
            width = indent + sum(cells for _style, _character, cells in row)
            if cell[1] == " " and not row:
                continue
        row.append(cell)
        width += cell[2]
    yield row


def _broken(row: list[Cell], cell: Cell, movable: int) -> tuple[list[Cell], list[Cell]]:
    """Return what stays on a full row, and the beginning of a word that goes to the next one.

    A word that is most of the row is broken rather than moved; the first word after the lead is
    moved if it has at most `movable` characters.
    """
    if cell[1] == " ":
        return row, []
    for index in range(len(row) - 1, 0, -1):
        if row[index][1] == " ":
            is_short = len(row) - index <= max(len(row) // 2, movable)
            return (row[: index + 1], row[index + 1 :]) if is_short else (row, [])
    return ([], row) if len(row) <= movable else (row, [])


def _joined(row: list[Cell]) -> Iterator[Fragment]:
    """Yield the cells of a row as few fragments, isolated where they run from right to left."""
    characters = "".join(character for _style, character, _cells in row)
    is_rtl = ISOLATE not in characters and has_rtl(characters)
    if is_rtl:
        yield "", ISOLATE
    style, text = "", ""
    for cell_style, character, _cells in row:
        if cell_style != style and text:
            yield style, text
            text = ""
        style = cell_style
        text += character
    if text:
        yield style, text
    if is_rtl:
        yield "", END_ISOLATE
