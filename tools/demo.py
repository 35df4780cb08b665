"""A conversation to look at: a real server, three real clients, and what each of them shows.

    python tools/demo.py [--lang en] [--pace SECONDS]

It takes about ten seconds and ends by itself: with exit code 0 if everything that should be seen
was seen, else with 1 and what was missing. What is typed is given to `client.py` through a pipe,
as a person would type it. The answers of all programs to one step are shown in a fixed order, so
that two runs look alike.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from chat.cli import i18n as language  # noqa: E402
from chat.cli import streams  # noqa: E402
from chat.cli.i18n import _  # noqa: E402
from chat.protocol.limits import DEFAULT_HISTORY  # noqa: E402

# How long a line may take that somebody should see; a busy machine starts Python slowly.
DEADLINE_SECONDS = 30.0
DEFAULT_PACE_SECONDS = 0.6
# Lines of one program that may wait to be shown.
MAX_LINES = 1000
COLUMN = 9
CYAN, GREEN, MAGENTA, YELLOW = "36", "32", "35", "33"


class DemoError(Exception):
    """Something that should have been seen was not; `str()` says what."""


class Program:
    """One running program of ours: takes lines, and hands out the lines that it shows.

    `name` and `color` (an ANSI code) say on the screen whose lines they are. A thread reads what
    the program shows until the program ends.
    """

    def __init__(
        self, name: str, color: str, arguments: Sequence[str], settings: dict[str, str]
    ) -> None:
        self.name = name
        self._color = color
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_LINES)
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment() | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self._show("$", " ".join(["python", *arguments]))
        self._reader = threading.Thread(target=self._read, name=f"read-{name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def type(self, line: str) -> None:
        """Type a line, and show that it was typed."""
        assert self._process.stdin is not None
        self._show(">", line)
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise DemoError(f"{self.name} ended before it was asked to") from None

    def see(self, text: str) -> str:
        """Show the program's lines up to the one with `text`, and return that one."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (line := self._next_line(deadline, text)) is not None:
            self._show("│", line)
            if text in line:
                return line
        raise DemoError(f"{self.name} ended and did not show: {text}")

    def _next_line(self, deadline: float, text: str) -> str | None:
        try:
            return self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise DemoError(f"{self.name} did not show: {text}") from None

    def end(self) -> None:
        """Wait for the program's end, show its last lines, and see that its exit code is 0."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (line := self._next_line(deadline, "its end")) is not None:
            self._show("│", line)
        code = self._process.wait(DEADLINE_SECONDS)
        if code != 0:
            raise DemoError(f"{self.name} ended with exit code {code}")

    def show_rest(self) -> None:
        """Show what the program has said beyond what was waited for."""
        while not self._lines.empty() and (line := self._lines.get()) is not None:
            self._show("│", line)

    def stop(self) -> None:
        """Ask the program to stop, as a service manager would (SIGTERM)."""
        self._process.terminate()

    def discard(self) -> None:
        """End the program if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _show(self, sign: str, line: str) -> None:
        name = f"{self.name:<{COLUMN}}"
        if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
            print(f"\x1b[{self._color}m{name}{sign} {line}\x1b[0m", flush=True)
        else:
            print(f"{name}{sign} {line}", flush=True)


def environment() -> dict[str, str]:
    """Return our own environment but for the settings of a chat that it may hold."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
    return ours | {"PYTHONUTF8": "1"}


@contextmanager
def running(program: Program) -> Iterator[Program]:
    """Hand out a program, and see that it does not outlive the demo."""
    try:
        yield program
    except DemoError:
        program.show_rest()
        raise
    finally:
        program.discard()


class Demo:
    """The steps of a conversation; `pace` is the pause before each of them, in seconds.

    The programs get their settings by the environment, as they do in a container.
    """

    def __init__(self, stack: ExitStack, folder: str, lang: str, pace: float) -> None:
        self._stack = stack
        self._pace = pace
        self._people: list[Program] = []
        self._settings = {"CHAT_LANG": lang}
        # What the clients remember of this server is of no use to anybody.
        self._settings |= dict.fromkeys(("XDG_STATE_HOME", "LOCALAPPDATA"), folder)
        # Other machines are not invited: this server listens on loopback alone.
        log = {"CHAT_DB": str(Path(folder) / "demo.db")}
        place = {"CHAT_HOST": "127.0.0.1", "CHAT_PORT": "0"}
        self.server = self._start(_("server"), YELLOW, ["server.py"], log | place)
        port = re.sub(r"\D", "", self.server.see("gRPC"))
        self._settings["CHAT_SERVER"] = f"127.0.0.1:{port}"

    def _start(
        self, name: str, color: str, arguments: Sequence[str], settings: dict[str, str]
    ) -> Program:
        program = Program(name, color, arguments, self._settings | settings)
        return self._stack.enter_context(running(program))

    def enter(self, name: str, color: str, history: Sequence[str] = ()) -> Program:
        """Let somebody come in, who sees `history`, and is seen by the others."""
        self._pause()
        # What was said before, which a terminal shows by itself and a pipe does not.
        settings = {"CHAT_HISTORY": str(DEFAULT_HISTORY)}
        person = self._start(name, color, ["client.py", "--name", name], settings)
        for text in history:
            person.see(text)
        for other in self._people:
            other.see(name)
        self._people.append(person)
        return person

    def say(self, person: Program, text: str) -> None:
        """Let somebody say something; the server and everybody who is there see it."""
        self._pause()
        person.type(text)
        for program in (self.server, *self._people):
            program.see(text)

    def leave(self, person: Program) -> None:
        """Let somebody leave; the others are told."""
        self._pause()
        person.type(_("/quit"))
        self._people.remove(person)
        person.end()
        for other in self._people:
            other.see(person.name)

    def end(self) -> None:
        """Stop the server when everybody has left."""
        self._pause()
        self.server.stop()
        self.server.end()

    def _pause(self) -> None:
        time.sleep(self._pace)  # for the people who look on; no step needs it


def perform(lang: str, pace: float) -> None:
    """Run the conversation; raises `DemoError` where it does not go as it should."""
    said = [
        _("Hello! Is anybody here?"),
        _("Hi, Ana! I have just come in, and here is what you said before."),
        _("Yes: all that is said is kept, in one order for everybody."),
    ]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        demo = Demo(stack, folder, lang, pace)
        ana = demo.enter("Ana", CYAN)
        demo.say(ana, said[0])
        bia = demo.enter("Bia", GREEN, history=said[:1])
        demo.say(bia, said[1])
        demo.say(ana, said[2])
        caio = demo.enter("Caio", MAGENTA, history=said)
        demo.say(caio, _("Sorry, I am late! But I have read everything."))
        demo.say(bia, _("I have to go. See you tomorrow!"))
        demo.leave(bia)
        demo.say(ana, _("See you, Bia!"))
        demo.leave(ana)
        demo.leave(caio)
        demo.end()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code: 0, or 1 where something was not as it should be."""
    parser = argparse.ArgumentParser(description="A conversation to look at.")
    default = os.environ.get("CHAT_LANG") or language.DEFAULT_LANGUAGE
    parser.add_argument("--lang", choices=language.available(), default=default)
    parser.add_argument("--pace", type=float, default=DEFAULT_PACE_SECONDS, metavar="SECONDS")
    settings = parser.parse_args(arguments)
    streams.prepare()
    language.use(settings.lang)
    try:
        perform(settings.lang, settings.pace)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
