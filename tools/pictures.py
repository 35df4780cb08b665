"""The pictures of the guide: real conversations in real pseudo-terminals, drawn as SVG.

    python tools/pictures.py        writes terminal-LANG.svg, reconnecting-LANG.svg,
                                    returning-LANG.svg (stills) and conversation-LANG.svg (a film)
                                    to docs/

Nothing is drawn by hand: a server and its clients run, what they write to their terminals goes
through a terminal emulator (pyte), and its screens become the pictures. Not on Windows.

Made twice they are the same to the byte, unless the programs show something else:

- a picture is taken when every terminal shows what is expected of it and has been quiet for a
  while, and a film's pace is that of its script: how fast the programs were is not seen;
- some things on the screen belong to the run, and are replaced in place by as many characters of
  the script (`Terminal.shot`): hours and days, the port, the seconds of a countdown;
- the programs live in a time zone in which it is about noon, so that no new day begins.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import pyte
from terminal_svg import Emulator, Frame, Row, Shot, Window, film, still, window_size

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from person import CTRL_C, TAB, Person  # noqa: E402
from support import eventually  # noqa: E402

STILL_COLUMNS, STILL_ROWS, RETURNING_ROWS = 76, 16, 28
SERVER_COLUMNS, SERVER_ROWS = 96, 12
CLIENT_COLUMNS, CLIENT_ROWS = 46, 21
# Makes the two below as wide as the one above.
WINDOW_GAP = window_size(SERVER_COLUMNS, 0)[0] - 2 * window_size(CLIENT_COLUMNS, 0)[0]
# What the script says instead of what belongs to the run.
SHOWN_PORT, SHOWN_SECONDS, FIRST_MINUTE, LATER_MINUTE = "50051", "1", "09:41", "09:42"
HOUR = re.compile(r"\d\d:\d\d(?= )")
# The time of what is found, and since when there is something new: the conversation is of one day.
DAY_AND_HOUR = re.compile(r"(?<=@\d )\S{10} \d\d:\d\d|(?<=─ )(\D+)\d\d:\d\d(?= ─)")
# A terminal that wrote nothing for so long has drawn all that belongs together.
QUIET_SECONDS = 0.2
# The pace of a film: letters that appear together, for how long, and the pauses after what happens.
LETTERS_AT_ONCE, LETTERS_SECONDS = 3, 0.1
BREATH_SECONDS, PAUSE_SECONDS, LAST_SECONDS = 0.6, 1.1, 3.5
# What an interactive `sh` reads first: `python` is the Python that runs this.
PROFILE = "PS1='$ '; PS2=; python() { command '%s' \"$@\"; }\n"


@dataclass(frozen=True)
class Script:
    """What is said, and what the terminals say to it, in one language."""

    server: str
    friend: str
    connected: str
    people: str
    lost: str
    port: str
    lines: tuple[str, str, str, str, str, str]
    draft: str
    void: str
    missed: tuple[str, str, str]
    search: str
    day: str
    film_title: str
    film_lines: tuple[str, str, str, str, str, str]


SCRIPTS = {
    "pt_BR": Script(
        server="servidor",
        friend="Beto",
        connected="conectado",
        people="pessoas",
        lost="reconectando",
        port="porta",
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
        missed=(
            "a prova passou para sexta, no laboratório 2",
            "Ana, você leva o cabo de rede?",
            "eu levo o roteador",
        ),
        search="/buscar roteador",
        day="15/01/2026",
        film_title="Duas pessoas conversam; o servidor para e volta, e nada se perde",
        film_lines=(
            "oi, Ana! é só isso?",
            "só: `python client.py` 🙂",
            "e se o servidor parar agora?",
            "que legal!",
            "tem alguém aí?",
            "tem! chegou, uma vez só 🎉",
        ),
    ),
    "en": Script(
        server="server",
        friend="Bob",
        connected="connected",
        people="people",
        lost="reconnecting",
        port="port",
        lines=(
            "morning! has anybody tried the server between two machines?",
            "I did yesterday: `python client.py 192.168.1.10`, that is all",
            "Ana, remember to open port 50051 in the firewall 🙂",
            "/msg Ana I'll send you the token here",
            "/r thank you!",
            "/whho",
        ),
        draft="this line stays whole while messages come in",
        void="this arrives as soon as the server is back, once",
        missed=(
            "the exam has moved to Friday, in lab 2",
            "Ana, can you bring the network cable?",
            "I'll bring the router",
        ),
        search="/search router",
        day="2026-01-15",
        film_title="Two people talk; the server stops and comes back, and nothing is lost",
        film_lines=(
            "hi Ana! is that all it takes?",
            "yes: `python client.py` 🙂",
            "what if the server stops now?",
            "nice!",
            "anybody there?",
            "yes! it came, and only once 🎉",
        ),
    ),
}


def main() -> None:
    """Write the pictures of every language."""
    for lang, script in SCRIPTS.items():
        with stage(lang, script) as a_stage:
            conversation, reconnecting = take_stills(a_stage)
        write(f"terminal-{lang}.svg", still(conversation, "python client.py"))
        write(f"reconnecting-{lang}.svg", still(reconnecting, "python client.py"))
        with stage(lang, script) as a_stage:
            write(f"returning-{lang}.svg", still(take_return(a_stage), "python client.py"))
        with stage(lang, script) as a_stage:
            write(f"conversation-{lang}.svg", take_film(a_stage))


def write(name: str, picture: str) -> None:
    """Write a picture to docs/."""
    path = ROOT / "docs" / name
    path.write_text(picture, encoding="utf-8", newline="\n")
    print(os.path.relpath(path))


# Terminals.


class Terminal:
    """A shell in a pseudo-terminal, and what it shows, retold as the script wants it.

    Hours are known by their order, so nothing may scroll off: its size must be enough for all.
    """

    def __init__(
        self, person: Person, columns: int, rows: int, port: str, lost: str, day: str
    ) -> None:
        self.person = person
        self._day = day
        self._screen = Emulator(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._fed_bytes = 0
        self._lost = lost
        self._port = re.compile(rf"\b{port}\b")
        self._countdown = re.compile(rf"(?<=\b{lost} )(\D+)\d(?= s\b)")
        self._hours: list[str] = []

    def shot(self, hour: str) -> Shot:
        """Return what is shown now; `hour` (HH:MM) stands before the lines that are new."""
        written = self.person.bytes
        self._stream.feed(written[self._fed_bytes :])
        self._fed_bytes = len(written)
        shot = Shot.of(self._screen)
        texts = [text_of(row) for row in shot.rows]
        if not texts[0].startswith("$"):
            raise RuntimeError(f"rows have scrolled off; have more:\n{self.person.screen}")
        count = sum(HOUR.match(text) is not None for text in texts)
        self._hours += [hour] * (count - len(self._hours))
        hours = iter(self._hours)
        return Shot(
            tuple(
                with_text(row, self._retold(text, hours))
                for row, text in zip(shot.rows, texts, strict=True)
            ),
            shot.cursor,
        )

    def _retold(self, text: str, hours: Iterator[str]) -> str:
        if HOUR.match(text):
            text = next(hours) + text[len(FIRST_MINUTE) :]
        text = DAY_AND_HOUR.sub(self._moment, text)
        text = self._countdown.sub(rf"\g<1>{SHOWN_SECONDS}", text)
        return self._port.sub(SHOWN_PORT, text)

    def _moment(self, found: re.Match[str]) -> str:
        return f"{found[1] or self._day + ' '}{FIRST_MINUTE}"

    @property
    def text(self) -> str:
        """What is on the screen, folded lines as one."""
        return " ".join(self.person.screen.split())

    @property
    def line(self) -> str:
        """The row that the cursor is on."""
        return self.person.rows[self.person.cursor[1]]

    @property
    def is_steady(self) -> bool:
        """Whether nothing was written for a while; what is lost must count down."""
        text, (moment, _chunk) = self.text, self.person.raw[-1]
        is_counting = self._countdown.search(text) is not None
        is_lost = f" {self._lost} " in text
        return time.monotonic() - moment > QUIET_SECONDS and is_counting == is_lost

    def wait_for(self, text: str) -> None:
        """Return when `text` is on the screen, folded or not."""
        eventually(lambda: text in self.text, what=lambda: f"no {text!r} in\n{self.person.screen}")

    def wait_for_line(self, ending: str) -> None:
        """Return when the row of the cursor ends so, trailing spaces aside."""
        eventually(
            lambda: self.line.endswith(ending.rstrip()),
            what=lambda: f"no line that ends with {ending!r} in\n{self.person.screen}",
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the program in the foreground do nothing for the length of the block.

        The shell neither, which would say that a job was stopped.
        """
        shell, job = self.person.process.pid, os.tcgetpgrp(self.person.terminal)
        os.kill(shell, signal.SIGSTOP)
        os.killpg(job, signal.SIGSTOP)
        yield
        os.killpg(job, signal.SIGCONT)
        os.kill(shell, signal.SIGCONT)

    def close(self) -> None:
        """End the shell and what runs in it."""
        with suppress(OSError):
            os.killpg(os.tcgetpgrp(self.person.terminal), signal.SIGKILL)
        self.person.close()


def text_of(row: Row) -> str:
    """Return a row as text of one character for each cell."""
    return "".join(cell.data[:1] or "\0" for cell in row)


def with_text(row: Row, text: str) -> Row:
    """Return a row with the cells changed in which `text_of` would say something else."""
    return tuple(
        cell if (cell.data[:1] or "\0") == letter else cell._replace(data=letter)
        for cell, letter in zip(row, text, strict=True)
    )


@dataclass
class Stage:
    """Where people act: their terminals, with nothing running in them; and the film of it.

    `hour` (HH:MM) is what the script's clock shows; whoever directs sets it.
    """

    script: Script
    environment: Mapping[str, str]
    port: str
    stack: ExitStack
    hour: str = FIRST_MINUTE
    terminals: list[Terminal] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)

    def open(self, columns: int, rows: int) -> Terminal:
        """Return one more terminal, whose shell waits for a command."""
        shell = ["-c", "import os; os.execlp('sh', 'sh', '-i')"]
        person = Person(shell, columns, rows, self.environment)
        terminal = Terminal(person, columns, rows, self.port, self.script.lost, self.script.day)
        self.stack.callback(terminal.close)
        terminal.wait_for_line("$")
        self.terminals.append(terminal)
        return terminal

    def take(self, seconds: float) -> tuple[Shot, ...]:
        """Take a frame that stays for `seconds`, as soon as nothing moves any more."""
        shots = eventually(self._steady_shots)
        self.frames.append(Frame(seconds, shots))
        return shots

    def _steady_shots(self) -> tuple[Shot, ...]:
        """Return what all terminals show, or nothing while that is about to change."""
        shots = tuple(terminal.shot(self.hour) for terminal in self.terminals)
        return shots if all(terminal.is_steady for terminal in self.terminals) else ()

    def type(self, terminal: Terminal, text: str) -> None:
        """Type `text` as people do, with a frame for every few letters."""
        before = terminal.line + (" " if terminal.line.endswith(("$", "]:")) else "")
        for end in range(LETTERS_AT_ONCE, len(text) + LETTERS_AT_ONCE, LETTERS_AT_ONCE):
            terminal.person.type(text[end - LETTERS_AT_ONCE : end])
            terminal.wait_for_line(before + text[:end])
            self.take(LETTERS_SECONDS)

    def run(self, terminal: Terminal, command: str, expected: Mapping[Terminal, str]) -> None:
        """Type a command at the shell, and wait for what the terminals show then."""
        self.type(terminal, command)
        terminal.person.type("\r")
        self.expect(expected, PAUSE_SECONDS)

    def expect(self, expected: Mapping[Terminal, str], seconds: float) -> None:
        """Take a frame when these terminals show these texts."""
        for terminal, text in expected.items():
            terminal.wait_for(text)
        self.take(seconds)

    def enter(self, speaker: Terminal, line: str) -> None:
        """Press Enter after `line`, and wait until it is said everywhere."""
        speaker.person.type("\r")
        speaker.wait_for_line("]:")
        for terminal in self.terminals:
            terminal.wait_for(f"]: {line}")
        self.take(PAUSE_SECONDS)

    def say(self, speaker: Terminal, line: str) -> None:
        """Type a line and press Enter."""
        self.type(speaker, line)
        self.enter(speaker, line)


@contextmanager
def stage(lang: str, script: Script) -> Iterator[Stage]:
    """Set up a stage on which everything speaks `lang` and ends with the block."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        profile = Path(folder, "profile")
        profile.write_text(PROFILE % sys.executable, encoding="utf-8")
        port = free_port()
        environment = {
            "ENV": str(profile),
            "TZ": f"NOON{datetime.now(timezone.utc).hour - 12:+d}",
            "CHAT_LANG": lang,
            "CHAT_SERVER": f"localhost:{port}",
            "CHAT_HOST": "localhost",
            "CHAT_PORT": port,
            "CHAT_DB": str(Path(folder, "chat.db")),
            "CHAT_PRIVATE": "0",
            "XDG_STATE_HOME": folder,
            "XDG_CONFIG_HOME": folder,
        }
        yield Stage(script, environment, port, stack)


def free_port() -> str:
    """Return a port that is free now, of five digits as the one that is shown."""
    while True:
        with socket.create_server(("localhost", 0)) as listener:
            port = str(listener.getsockname()[1])
        if len(port) == len(SHOWN_PORT):
            return port


# What is played.


def take_stills(stage: Stage) -> tuple[Shot, Shot]:
    """Let three people talk; what Ana sees in the middle of it, and after the server is gone."""
    script = stage.script
    server, ana, friend, rosa = (stage.open(STILL_COLUMNS, STILL_ROWS) for _person in range(4))
    start(server, "python server.py", f"{script.port} {stage.port}")
    for terminal, name in ((ana, "Ana"), (friend, script.friend), (rosa, "Rosa")):
        start(terminal, f"python client.py --name {name}", f"{script.connected} ·")
    ana.wait_for(f"3 {script.people}")
    first, second, third, private, answer, mistaken = script.lines
    say_to(ana, friend, first)
    say_to(ana, rosa, second)
    say_to(ana, friend, third)
    say_to(ana, rosa, private)
    say_to(rosa, ana, answer)
    ana.person.type(mistaken + "\r")
    ana.wait_for(f" {mistaken}.")
    ana.person.type(script.draft)
    ana.wait_for_line(script.draft)
    conversation = stage.take(0)[1]
    server.person.type(CTRL_C)
    server.wait_for_line("$")
    ana.person.type(CTRL_C)
    ana.wait_for_line("]:")
    ana.wait_for(f" {script.lost} ")
    ana.person.type(f"{script.void}\r{script.draft}")
    ana.wait_for(f"… {script.void}")
    ana.wait_for_line(f"]: {script.draft}")
    return conversation, stage.take(0)[1]


def take_return(stage: Stage) -> Shot:
    """Let Ana come back to what was said meanwhile, look for a word, and press Tab."""
    script = stage.script
    server, earlier, friend = (stage.open(STILL_COLUMNS, STILL_ROWS) for _person in range(3))
    start(server, "python server.py", f"{script.port} {stage.port}")
    start(friend, f"python client.py --name {script.friend}", f"{script.connected} ·")
    start(earlier, "python client.py --name Ana", f"2 {script.people}")
    say_to(earlier, friend, script.lines[0])
    earlier.person.type("/q\r")
    earlier.wait_for_line("$")
    for line in script.missed:
        say_to(server, friend, line)
    ana = stage.open(STILL_COLUMNS, RETURNING_ROWS)
    start(ana, "python client.py --name Ana", f"2 {script.people}")
    ana.wait_for(f"]: {script.missed[-1]}")
    ana.person.type(f"{script.search}\r")
    ana.wait_for("@ID")
    ana.person.type("/" + TAB)
    ana.wait_for_line("]: /")
    ana.wait_for("Tab")
    return stage.take(0)[-1]


def start(terminal: Terminal, command: str, expected: str) -> None:
    """Run a command at the shell, and wait for what it shows."""
    terminal.person.type(f"{command}\r")
    terminal.wait_for(expected)


def say_to(listener: Terminal, speaker: Terminal, line: str) -> None:
    """Say a line, or do a command that says its last words, and wait until both have it."""
    said = line.split(maxsplit=2 if line.startswith("/msg") else 1)[-1] if line[0] == "/" else line
    speaker.person.type(f"{line}\r")
    for terminal in (listener, speaker):
        terminal.wait_for(f"]: {said}")
    speaker.wait_for_line("]:")


def take_film(stage: Stage) -> str:
    """Let two people talk, and the server stop and come back in the middle of it."""
    script = stage.script
    server = stage.open(SERVER_COLUMNS, SERVER_ROWS)
    ana, friend = (stage.open(CLIENT_COLUMNS, CLIENT_ROWS) for _person in range(2))
    stage.take(BREATH_SECONDS)
    stage.run(server, "python server.py", {server: f"{script.port} {stage.port}"})
    stage.run(ana, "python client.py --name Ana", {ana: f"{script.connected} ·"})
    both = dict.fromkeys((ana, friend), f"2 {script.people}")
    stage.run(friend, f"python client.py --name {script.friend}", both)
    question, answer, draft, meanwhile, unheard, heard = script.film_lines
    stage.say(friend, question)
    stage.say(ana, answer)
    # A message comes in while another line is being typed, and leaves it whole.
    middle = len(draft) // 2
    stage.type(ana, draft[:middle])
    stage.say(friend, meanwhile)
    stage.type(ana, draft[middle:])
    stage.enter(ana, draft)
    server.person.type(CTRL_C)
    server.wait_for_line("$")
    stage.expect(dict.fromkeys((ana, friend), f" {script.lost} "), PAUSE_SECONDS)
    stage.type(ana, unheard)
    ana.person.type("\r")
    stage.expect({ana: f"… {unheard}"}, PAUSE_SECONDS)
    stage.hour = LATER_MINUTE
    # Whoever is back first sees the other one come in: that is to be the same one each time.
    with friend.held():
        stage.type(server, "python server.py")
        server.person.type("\r")
        stage.expect({ana: f"{script.connected} ·", server: f"]: {unheard}"}, BREATH_SECONDS)
    friend.wait_for(f"{script.connected} ·")
    stage.expect(both | {friend: f"]: {unheard}"}, PAUSE_SECONDS)
    stage.say(friend, heard)
    stage.take(LAST_SECONDS)
    return film(windows_of(script), stage.frames, script.film_title)


def windows_of(script: Script) -> list[Window]:
    """Return the windows of the film: the server above, the people side by side below."""
    width, height = window_size(CLIENT_COLUMNS, CLIENT_ROWS)
    below = window_size(SERVER_COLUMNS, SERVER_ROWS)[1] + WINDOW_GAP
    return [
        Window(script.server, 0, 0, SERVER_COLUMNS, SERVER_ROWS),
        Window("Ana", 0, below, CLIENT_COLUMNS, CLIENT_ROWS),
        Window(script.friend, width + WINDOW_GAP, below, CLIENT_COLUMNS, CLIENT_ROWS),
    ]


if __name__ == "__main__":
    main()
