"""The pictures of the guide: a real conversation in real pseudo-terminals, drawn as SVG.

    python tools/pictures.py        writes docs/terminal-LANG.svg and docs/reconnecting-LANG.svg

Nothing is drawn by hand: a server and three clients run, what one of them writes to its terminal
goes through a terminal emulator (pyte), and its screen becomes the picture. Not on Windows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from person import Person  # noqa: E402
from support import RunningServer, eventually, running_server  # noqa: E402

COLUMNS, ROWS = 76, 16
CELL_WIDTH, CELL_HEIGHT, FONT_SIZE, MARGIN, TITLE_HEIGHT = 8.4, 18, 14, 12, 28
BACKGROUND, FOREGROUND, DIM, BAR = "#1b1d23", "#d7dae0", "#8b909c", "#2a2d35"
# What the terminal calls by name: the first sixteen colours, as far as we use them.
NAMED = {"default": FOREGROUND, "black": BACKGROUND}
# "Faint" (SGR 2), which the emulator does not know, as a grey of the palette, which it does.
FAINT, FAINT_GREY = 2, (38, 5, 245)


@dataclass(frozen=True)
class Script:
    """What is said, and what the terminals say to it, in one language."""

    connected: str
    people: str
    lost: str
    friend: str
    lines: tuple[str, str, str, str, str, str]
    draft: str
    void: str


SCRIPTS = {
    "pt_BR": Script(
        connected="conectado",
        people="3 pessoas",
        lost="reconectando",
        friend="Beto",
        lines=(
            "bom dia! alguém já testou o servidor entre duas máquinas?",
            "testei ontem: `python client.py 192.168.1.10` e pronto",
            "Ana, lembra de liberar a porta 50051 no firewall 🙂",
            "/msg Ana te mando o token por aqui",
            "/r obrigada!",
            "/queem",
        ),
        draft="esta linha fica inteira enquanto as mensagens chegam",
        void="isto chega assim que o servidor voltar, uma única vez",
    ),
    "en": Script(
        connected="connected",
        people="3 people",
        lost="reconnecting",
        friend="Bob",
        lines=(
            "morning! has anybody tried the server between two machines?",
            "I did yesterday: `python client.py 192.168.1.10`, that is all",
            "Ana, remember to open port 50051 in the firewall 🙂",
            "/msg Ana I send you the token here",
            "/r thank you!",
            "/whho",
        ),
        draft="this line stays whole while messages come in",
        void="this arrives as soon as the server is back, once",
    ),
}


class Emulator(pyte.Screen):
    """The emulator's screen, with faint text."""

    def select_graphic_rendition(self, *attributes: int, **options: object) -> None:
        """Take a grey for faint; a colour named after it still wins."""
        shown: list[int] = []
        for attribute in attributes:
            shown += FAINT_GREY if attribute == FAINT and shown[-1:] != [5] else (attribute,)
        super().select_graphic_rendition(*shown, **options)


def main() -> None:
    """Write the pictures of every language."""
    for lang, script in SCRIPTS.items():
        with running_server("--quiet", env={"CHAT_LANG": lang}) as server, ExitStack() as stack:
            conversation, reconnecting = perform(stack, server, lang, script)
        write(f"terminal-{lang}.svg", conversation)
        write(f"reconnecting-{lang}.svg", reconnecting)


def perform(
    stack: ExitStack, server: RunningServer, lang: str, script: Script
) -> tuple[Emulator, Emulator]:
    """Let people talk; Ana's screen in the middle of it, and after the server went away."""
    ana, friend, rosa = (
        stack.enter_context(sitting(server.address, name, lang, script))
        for name in ("Ana", script.friend, "Rosa")
    )
    ana.wait_for(script.people)
    first, second, third, private, answer, mistaken = script.lines
    say(friend, first, ana)
    say(rosa, second, ana)
    say(friend, third, ana)
    say(rosa, private, ana)
    say(ana, answer, rosa)
    ana.type(mistaken + "\r")
    ana.wait_for(mistaken)
    ana.type(script.draft)
    ana.wait_for(script.draft)
    conversation = screen_of(ana)
    server.process.kill()
    ana.type("\x03")
    ana.wait_until_gone(script.draft)
    ana.wait_for(script.lost)
    ana.type(script.void + "\r" + script.draft)
    ana.wait_for("]: " + script.draft)
    return conversation, screen_of(ana)


@contextmanager
def sitting(address: str, name: str, lang: str, script: Script) -> Iterator[Person]:
    """Let one person sit at a terminal, connected."""
    arguments = ["client.py", address, "--name", name]
    person = Person(arguments, COLUMNS, ROWS, {"CHAT_LANG": lang})
    try:
        person.wait_for(script.connected)
        yield person
    finally:
        person.close()


def say(speaker: Person, line: str, listener: Person) -> None:
    """Type a line, and wait until the other one sees what it says."""
    speaker.type(line + "\r")
    said = line.split(maxsplit=2 if line.startswith("/msg") else 1)[-1] if line[0] == "/" else line
    eventually(lambda: said.split()[-1] in listener.screen, what=lambda: listener.screen)
    eventually(lambda: speaker.rows[speaker.cursor[1]].endswith("]:"), what=lambda: speaker.screen)


def screen_of(person: Person) -> Emulator:
    """Return the person's screen as it is now."""
    emulator = Emulator(COLUMNS, ROWS)
    pyte.ByteStream(emulator).feed(person.bytes)
    return emulator


# Drawing.


def write(name: str, screen: Emulator) -> None:
    """Write the picture of a screen."""
    path = ROOT / "docs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(svg(screen), encoding="utf-8")
    print(os.path.relpath(path))


def svg(screen: Emulator) -> str:
    """Return a screen as SVG: a window with a title bar, and text at its place."""
    last = max(index for index, row in enumerate(screen.display) if row.strip())
    width = COLUMNS * CELL_WIDTH + 2 * MARGIN
    height = (last + 1) * CELL_HEIGHT + 2 * MARGIN + TITLE_HEIGHT
    text = "\n".join(piece for row in range(last + 1) for piece in drawn_row(screen, row))
    dots = "".join(
        f'<circle cx="{18 + 18 * index}" cy="{TITLE_HEIGHT / 2}" r="5" fill="{colour}"/>'
        for index, colour in enumerate(("#e0604f", "#e0b34f", "#6bb35a"))
    )
    font = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" \
width="{width:g}" height="{height:g}" font-family="{font}" font-size="{FONT_SIZE}">
<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>
<path d="M0 {TITLE_HEIGHT}V8a8 8 0 0 1 8-8H{width - 8:g}a8 8 0 0 1 8 8V{TITLE_HEIGHT}z" \
fill="{BAR}"/>
{dots}
<text x="{width / 2:g}" y="19" fill="{DIM}" text-anchor="middle">python client.py</text>
{text}
</svg>
"""


def drawn_row(screen: Emulator, row: int) -> Iterator[str]:
    """Yield what is drawn for one row: runs of cells of one style, and the cursor."""
    top = TITLE_HEIGHT + MARGIN + row * CELL_HEIGHT
    cells = [(column, screen.buffer[row][column]) for column in range(COLUMNS)]
    for style, run in groupby(cells, key=lambda cell: cell[1]._replace(data="")):
        yield from drawn_run([(column, cell.data) for column, cell in run], top, style)
    if row == screen.cursor.y:
        x = MARGIN + screen.cursor.x * CELL_WIDTH
        yield f'<rect x="{x:.1f}" y="{top}" width="2" height="{CELL_HEIGHT}" fill="{FOREGROUND}"/>'


def drawn_run(run: list[tuple[int, str]], top: float, style: pyte.screens.Char) -> Iterator[str]:
    """Yield one run of cells: its ground, if it has one, and its text, each letter at its place."""
    front, ground = colour(style.fg), colour(style.bg) if style.bg != "default" else BACKGROUND
    if style.reverse:
        front, ground = ground, front
    if ground != BACKGROUND:
        x, width = MARGIN + run[0][0] * CELL_WIDTH, len(run) * CELL_WIDTH
        place = f'x="{x:.1f}" y="{top}" width="{width:.1f}" height="{CELL_HEIGHT}"'
        yield f'<rect {place} fill="{ground}"/>'
    # A wide letter's second cell is empty. Spaces that no program folds, since some place only the
    # first letter of a run where they are told to.
    letters = [
        (column, letter.replace(" ", "\N{NO-BREAK SPACE}")) for column, letter in run if letter
    ]
    if not any(letter.strip() for _column, letter in letters):
        return
    places = " ".join(f"{MARGIN + column * CELL_WIDTH:.1f}" for column, _letter in letters)
    face = ' font-weight="bold"' if style.bold else ""
    face += ' font-style="italic"' if style.italics else ""
    text = escape("".join(letter for _column, letter in letters))
    yield f'<text x="{places}" y="{top + 14}" fill="{front}"{face}>{text}</text>'


def colour(name: str) -> str:
    """Return a colour of the emulator as SVG has it."""
    return NAMED.get(name) or (f"#{name}" if len(name) == 6 else name)


if __name__ == "__main__":
    main()
