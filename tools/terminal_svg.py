"""A terminal's screen as SVG: a still of one screen, or a film of several that goes by itself.

Knows a terminal emulator (pyte) and nothing of the chat; `pictures.py` calls it.

Made for every viewer alike. Each word has its own place and width, so that nothing depends on how a
viewer treats spaces (librsvg and browsers differ) or how wide its font is. There are no scripts and
nothing from outside, which an `<img>` does not get. A film moves by CSS alone: each row of the
screen is a strip of all that it shows in the course of the film, seen through a slit of one row's
height. What stands first in the strip is its last moment: the picture of viewers that do not
animate, and of people who asked for no motion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

import pyte
from pyte.screens import Char

# In units of the picture: one is a pixel, where it is shown as large as it is.
CELL_WIDTH, CELL_HEIGHT, FONT_SIZE, BASELINE = 8.4, 18, 14, 14
MARGIN, TITLE_HEIGHT, CURSOR_WIDTH = 12, 28, 2
# From one place of a strip to the next: more than a row, so that nothing of it shows at the edge.
STRIP_STEP = 24
# Named so that the cell is as wide as the letter; in all of them it is 0.6 of the size, or nearly.
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
# The window is dark; its rim is what sets it off from a dark page.
BACKGROUND, FOREGROUND, TITLE, BAR, RIM = "#101216", "#d7dae0", "#9aa0ac", "#2a2d35", "#4a4e58"
DOTS = ("#e0604f", "#e0b34f", "#6bb35a")
# What the emulator calls by name: the sixteen colours of which each terminal has its own version.
NAMED = {
    "black": "#000000",
    "red": "#e0604f",
    "green": "#6bb35a",
    "brown": "#e0b34f",
    "blue": "#6f9be8",
    "magenta": "#c678dd",
    "cyan": "#56b6c2",
    "white": FOREGROUND,
    "brightblack": "#7f848e",
    "brightred": "#ff7b72",
    "brightgreen": "#8fd17f",
    "brightbrown": "#f0d080",
    "brightblue": "#8fb8ff",
    "brightmagenta": "#e0a0f0",
    "brightcyan": "#80d8e0",
    "brightwhite": "#ffffff",
}
# How much of its colour faint text keeps; the rest is the ground's.
FAINT_SHARE = 0.6
# Codes of "select graphic rendition" (ECMA-48, 8.3.117).
FAINT, BLINK, NORMAL, STEADY, EXTENDED_COLOURS = 2, 5, 22, 25, (38, 48)
WORD = re.compile("x+")

Row = tuple[Char, ...]


class Emulator(pyte.Screen):
    """A terminal with faint text, which it keeps as blinking, since nothing of ours blinks."""

    def select_graphic_rendition(self, *attributes: int, **options: object) -> None:
        """Set how what follows looks."""
        super().select_graphic_rendition(*_with_faint(attributes), **options)


def _with_faint(attributes: Sequence[int]) -> Iterator[int]:
    """Yield the codes with blinking for faint; the numbers of a colour stay what they are."""
    left_of_colour = 0
    for index, code in enumerate(attributes):
        if left_of_colour:
            left_of_colour -= 1
        elif code in EXTENDED_COLOURS:
            left_of_colour = 4 if attributes[index + 1 : index + 2] == (2,) else 2
        elif code == FAINT:
            code = BLINK
        elif code == NORMAL:
            yield STEADY
        yield code


@dataclass(frozen=True)
class Shot:
    """What a terminal shows at one moment. `cursor`: column and row, None when it is hidden."""

    rows: tuple[Row, ...]
    cursor: tuple[int, int] | None

    @classmethod
    def of(cls, screen: pyte.Screen) -> Shot:
        """Return what `screen` shows now."""
        columns = range(screen.columns)
        rows = tuple(
            tuple(screen.buffer[row][column] for column in columns) for row in range(screen.lines)
        )
        cursor = None if screen.cursor.hidden else (screen.cursor.x, screen.cursor.y)
        return cls(rows, cursor)

    @property
    def columns(self) -> int:
        """The width in cells."""
        return len(self.rows[0])

    @property
    def height(self) -> int:
        """The rows down to the last one that shows something."""
        used = [y for y, row in enumerate(self.rows) if "".join(cell.data for cell in row).strip()]
        return max([*used, self.cursor[1] if self.cursor else 0]) + 1

    def drawn(self, y: int) -> str:
        """Return row `y` as SVG, its upper left corner at 0, 0; empty when it shows nothing."""
        parts = list(drawn_row(self.rows[y]))
        if self.cursor and self.cursor[1] == y:
            x = min(self.cursor[0], self.columns - 1)
            parts.append(_box(x * CELL_WIDTH, CURSOR_WIDTH, FOREGROUND))
        return "".join(parts)


@dataclass(frozen=True)
class Window:
    """One terminal of a film: its title, where its upper left corner is, and its rows."""

    title: str
    x: float
    y: float
    columns: int
    rows: int

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        return window_size(self.columns, self.rows)


@dataclass(frozen=True)
class Frame:
    """One moment of a film: how long it stays, and what each window shows."""

    seconds: float
    shots: tuple[Shot, ...]


def window_size(columns: int, rows: int) -> tuple[float, float]:
    """Return width and height of a window around so many cells."""
    return columns * CELL_WIDTH + 2 * MARGIN, rows * CELL_HEIGHT + 2 * MARGIN + TITLE_HEIGHT


# The two sorts of picture.


def still(shot: Shot, title: str) -> str:
    """Return the picture of one screen, as high as what it shows."""
    size = window_size(shot.columns, shot.height)
    rows = [
        _placed(MARGIN, TITLE_HEIGHT + MARGIN + y * CELL_HEIGHT, drawn)
        for y in range(shot.height)
        if (drawn := shot.drawn(y))
    ]
    return _document(size, title, "", [_frame(title, *size), *rows])


def film(windows: Sequence[Window], frames: Sequence[Frame], title: str) -> str:
    """Return a film that begins anew after its last frame, which stays the longest."""
    starts = [sum(frame.seconds for frame in frames[:index]) for index in range(len(frames))]
    total = sum(frame.seconds for frame in frames)
    styles: list[str] = []
    body: list[str] = []
    for number, window in enumerate(windows):
        rows = [_frame(window.title, *window.size)]
        for y in range(window.rows):
            states = [frame.shots[number].drawn(y) for frame in frames]
            strip = _Strip.of(states, [start / total for start in starts])
            rows.append(strip.drawn(f"w{number}r{y}", window.columns, y))
            styles.append(strip.style(f"w{number}r{y}"))
        body.append(_placed(window.x, window.y, "\n".join(filter(None, rows))))
    width = max(window.x + window.size[0] for window in windows)
    height = max(window.y + window.size[1] for window in windows)
    moving = "\n".join(filter(None, styles))
    style = (
        "@media(prefers-reduced-motion:no-preference){\n"
        f"g[id]{{animation-duration:{total:g}s;animation-timing-function:step-end;"
        f"animation-iteration-count:infinite}}\n{moving}\n}}"
    )
    return _document((width, height), title, style, body)


@dataclass(frozen=True)
class _Strip:
    """All that one row shows in a film, the last of it first, and when it shows which of them.

    `moments`: from which share of the film (0 to 1), and the place in `states`.
    """

    states: tuple[str, ...]
    moments: tuple[tuple[float, int], ...]

    @classmethod
    def of(cls, shown: Sequence[str], starts: Sequence[float]) -> _Strip:
        """Return the strip of a row that shows `shown[i]` from `starts[i]` on."""
        states = tuple(dict.fromkeys([shown[-1], *shown]))
        places = [states.index(state) for state in shown]
        moments = [
            (start, place)
            for index, (start, place) in enumerate(zip(starts, places, strict=True))
            if index == 0 or place != places[index - 1]
        ]
        return cls(states, tuple(moments))

    def drawn(self, name: str, columns: int, y: int) -> str:
        """Return the strip behind its slit; nothing for a row that stays empty."""
        if not any(self.states):
            return ""
        x, top = MARGIN, TITLE_HEIGHT + MARGIN + y * CELL_HEIGHT
        slit = f'<svg x="{x}" y="{top}" width="{columns * CELL_WIDTH:g}" height="{CELL_HEIGHT}">'
        states = "\n".join(
            _placed(0, place * STRIP_STEP, state)
            for place, state in enumerate(self.states)
            if state
        )
        return f'{slit}<g id="{name}">{states}</g></svg>'

    def style(self, name: str) -> str:
        """Return the rules that move the strip; none for a row that stays what it is."""
        if len(self.states) == 1:
            return ""
        steps = "".join(
            f"{100 * start:.3f}".rstrip("0").rstrip(".")
            + f"%{{transform:translateY({-place * STRIP_STEP}px)}}"
            for start, place in self.moments
        )
        return f"#{name}{{animation-name:{name}}}@keyframes {name}{{{steps}}}"


# Parts.


def _document(size: tuple[float, float], title: str, style: str, body: Sequence[str]) -> str:
    width, height = size
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        f' width="{width:g}" height="{height:g}" role="img" font-family="{FONT}"'
        f' font-size="{FONT_SIZE}" fill="{FOREGROUND}">',
        f"<title>{escape(title)}</title>",
        f"<style>{style}</style>" if style else "",
        *body,
        "</svg>",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _frame(title: str, width: float, height: float) -> str:
    """Return an empty window: its ground, the bar with the title, the rim."""
    dots = "".join(
        f'<circle cx="{18 + 18 * index}" cy="{TITLE_HEIGHT // 2}" r="5" fill="{dot}"/>'
        for index, dot in enumerate(DOTS)
    )
    rim = f'x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="8"'
    return (
        f'<rect {rim} fill="{BACKGROUND}"/>'
        f'<path d="M.5 {TITLE_HEIGHT}V8.5a8 8 0 0 1 8-8H{width - 8.5:g}a8 8 0 0 1 8 8'
        f'V{TITLE_HEIGHT}z" fill="{BAR}"/>{dots}'
        f'<text x="{width / 2:g}" y="19" fill="{TITLE}" text-anchor="middle">{escape(title)}</text>'
        f'<rect {rim} fill="none" stroke="{RIM}"/>'
    )


def _placed(x: float, y: float, content: str) -> str:
    if not (x or y):
        return f"<g>{content}</g>"
    return f'<g transform="translate({x:g} {y:g})">{content}</g>'


def _box(x: float, width: float, fill: str) -> str:
    return f'<rect x="{x:.5g}" width="{width:.5g}" height="{CELL_HEIGHT}" fill="{fill}"/>'


def drawn_row(row: Row) -> Iterator[str]:
    """Yield what is drawn for one row: the ground and the words of each run of one style."""
    cells = list(enumerate(row))
    for style, run in groupby(cells, key=lambda cell: cell[1]._replace(data="")):
        yield from _drawn_run([(column, cell.data) for column, cell in run], style)


def _drawn_run(run: Sequence[tuple[int, str]], style: Char) -> Iterator[str]:
    front, ground = _colours(style)
    if ground != BACKGROUND:
        yield _box(run[0][0] * CELL_WIDTH, len(run) * CELL_WIDTH, ground)
    face = "" if front == FOREGROUND else f' fill="{front}"'
    face += ' font-weight="bold"' if style.bold else ""
    face += ' font-style="italic"' if style.italics else ""
    face += ' text-decoration="underline"' if style.underscore else ""
    for column, width, word in _words(run):
        place = f'x="{column * CELL_WIDTH:.5g}" y="{BASELINE}"'
        length = f' textLength="{width * CELL_WIDTH:.5g}"' if width > 1 else ""
        yield f"<text {place}{length}{face}>{escape(word, quote=False)}</text>"


def _words(run: Sequence[tuple[int, str]]) -> Iterator[tuple[int, int, str]]:
    """Yield column, width in cells and text of each word; a wide letter's second cell is empty."""
    # Each cell as one character, so that places in the text are places in the run.
    text = "".join(" " if letter.isspace() else "x" for _column, letter in run)
    for found in WORD.finditer(text):
        yield from _by_width(run[found.start() : found.end()])


def _by_width(cells: Sequence[tuple[int, str]]) -> Iterator[tuple[int, int, str]]:
    """Yield a word whole, but wide letters apart: they come from another font."""
    wide = {column - 1 for column, letter in cells if not letter}
    for is_wide, part in groupby(cells, key=lambda cell: cell[0] in wide or not cell[1]):
        letters = list(part)
        if is_wide:
            yield from ((column, 2, letter) for column, letter in letters if letter)
        else:
            yield letters[0][0], len(letters), "".join(letter for _column, letter in letters)


def _colours(style: Char) -> tuple[str, str]:
    """Return the colours of text and ground."""
    front = _colour(style.fg, {"default": FOREGROUND})
    ground = _colour(style.bg, {"default": BACKGROUND})
    if style.blink:  # what is faint, see `Emulator`
        front = _mixed(front, ground, FAINT_SHARE)
    return (ground, front) if style.reverse else (front, ground)


def _colour(name: str, default: Mapping[str, str]) -> str:
    """Return a colour of the emulator, a name or six hex digits, as SVG has it."""
    return default.get(name) or NAMED.get(name) or f"#{name}"


def _mixed(first: str, second: str, share: float) -> str:
    """Return `share` of the first colour and the rest of the second."""
    pairs = zip(bytes.fromhex(first[1:]), bytes.fromhex(second[1:]), strict=True)
    return "#" + bytes(round(a * share + b * (1 - share)) for a, b in pairs).hex()
