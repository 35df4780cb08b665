"""A person at a terminal: a program in a real pseudo-terminal, and its screen.

    with person(server.address, "ana") as ana:
        ana.type("oi\\r")
        ana.wait_for("[ana]: oi")

What the program writes goes through a terminal emulator (pyte), so that tests speak of the screen,
not of bytes. Not on Windows, which has no pseudo-terminals.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pyte
from support import DEADLINE_SECONDS, ROOT, clean_environment, eventually

from chat.cli.folders import FOLDER

SCROLLBACK_LINES = 20_000
READ_BYTES = 65536
# Run in the child: makes its standard input the terminal that Ctrl-C and SIGHUP come from, and goes
# on as the program. Forking Python itself (`pty.fork`) hangs now and then where gRPC has threads.
TAKE_THE_TERMINAL = (
    "import fcntl, os, sys, termios;"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
CTRL_C, CTRL_D, CTRL_L, CTRL_R, TAB = "\x03", "\x04", "\x0c", "\x12", "\t"
ESCAPE, ALT_B = "\x1b", "\x1bb"
UP, LEFT, RIGHT = "\x1b[A", "\x1b[D", "\x1b[C"


def forget_what_was_typed(env: Mapping[str, str]) -> None:
    """Forget where anybody left off, and what they typed, in the folder that `env` names."""
    folder = Path(env.get("XDG_STATE_HOME") or os.environ["XDG_STATE_HOME"]) / FOLDER
    for pattern in ("left-*", "lines-*", "draft-*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


class Person:
    """A program at a terminal of `columns` by `rows`; a thread collects what it writes.

    It begins anew, unless `env` has CHAT_PRIVATE: what one test types is no other's draft. Whoever
    was killed is the same session, though, and has the name back.

    `raw`: every chunk as it came, with the moment (monotonic seconds). The emulator, which is slow,
    gets it when somebody looks.
    """

    def __init__(
        self, arguments: list[str], columns: int, rows: int, env: Mapping[str, str] | None
    ) -> None:
        self.raw: list[tuple[float, bytes]] = []
        self._lock = threading.Lock()
        self._screen = pyte.HistoryScreen(columns, rows, history=SCROLLBACK_LINES, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)
        self._seen_chunks = 0
        self._is_stalled = threading.Event()
        if "CHAT_PRIVATE" not in (env or {}):
            forget_what_was_typed(env or {})
        environment = clean_environment(
            {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | dict(env or {})
        )
        for name in ("NO_COLOR", "COLORTERM", "COLUMNS", "LINES", "TMUX"):
            if name not in (env or {}):
                environment.pop(name, None)
        self.terminal, child_end = pty.openpty()
        self._set_size(columns, rows)
        self.process = subprocess.Popen(
            [sys.executable, "-IS", "-c", TAKE_THE_TERMINAL, sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=child_end,
            stdout=child_end,
            stderr=child_end,
            start_new_session=True,
        )
        os.close(child_end)
        self._thread = threading.Thread(target=self._collect, name="terminal")
        self._thread.start()

    def _collect(self) -> None:
        # The other end closed: the program has ended.
        with suppress(OSError):
            while not self._is_stalled.is_set():
                if not (chunk := os.read(self.terminal, READ_BYTES)):
                    return
                self.raw.append((time.monotonic(), chunk))

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @contextmanager
    def _looking(self) -> Iterator[pyte.HistoryScreen]:
        """Hand out the screen as it is now."""
        with self._lock:
            while self._seen_chunks < len(self.raw):
                self._stream.feed(self.raw[self._seen_chunks][1])
                self._seen_chunks += 1
            yield self._screen

    # Doing.

    def type(self, text: str) -> None:
        """Press these keys; a lone surrogate is a byte that is not UTF-8."""
        os.write(self.terminal, text.encode(errors="surrogateescape"))

    def paste(self, text: str) -> None:
        """Paste as terminals with bracketed paste do."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal another size."""
        with self._looking() as screen:
            screen.resize(rows, columns)
        self._set_size(columns, rows)

    def send_signal(self, number: int) -> None:
        """Send the program a signal."""
        self.process.send_signal(number)

    def stall(self) -> None:
        """Let the terminal take nothing any more, once what it holds by itself is full."""
        self._is_stalled.set()

    # Looking.

    @property
    def rows(self) -> list[str]:
        """The rows of the screen from top to bottom, without trailing spaces."""
        with self._looking() as screen:
            return [row.rstrip() for row in screen.display]

    @property
    def screen(self) -> str:
        return "\n".join(self.rows)

    @property
    def scrollback(self) -> list[str]:
        """What scrolled off at the top, and then the screen."""
        with self._looking() as screen:
            columns = range(screen.columns)
            past = ["".join(row[column].data for column in columns) for row in screen.history.top]
            return [row.rstrip() for row in [*past, *screen.display]]

    @property
    def bytes(self) -> bytes:
        """Everything that the program wrote."""
        return b"".join(chunk for _moment, chunk in list(self.raw))

    @property
    def cursor(self) -> tuple[int, int]:
        """Where the cursor is: column and row, from 0."""
        with self._looking() as screen:
            return screen.cursor.x, screen.cursor.y

    @property
    def is_cursor_shown(self) -> bool:
        with self._looking() as screen:
            return not screen.cursor.hidden

    @property
    def echoes(self) -> bool:
        """Whether the terminal itself shows what is typed, line by line."""
        flags = termios.tcgetattr(self.terminal)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def row_with(self, text: str) -> str:
        """Return the one row of the screen that contains `text`."""
        found = [row for row in self.rows if text in row]
        assert len(found) == 1, f"{len(found)} rows with {text!r} in\n{self.screen}"
        return found[0]

    def style_of(self, text: str) -> pyte.screens.Char:
        """Return the first character of the first `text` on the screen, with its style."""
        with self._looking() as screen:
            for number, row in enumerate(screen.display):
                if (column := row.find(text)) >= 0:
                    return screen.buffer[number][column]
        raise AssertionError(f"no {text!r} in\n{self.screen}")

    def wait_for(self, text: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Return when `text` stands on one row of the screen."""
        eventually(lambda: text in self.screen, seconds, lambda: f"no {text!r} in\n{self.screen}")

    def wait_for_line(
        self, line: str, column: int | None = None, seconds: float = DEADLINE_SECONDS
    ) -> None:
        """Return when the cursor is on a row that is exactly `line`, and at `column` of it."""

        def is_there() -> bool:
            x, y = self.cursor
            rows = self.rows
            return rows[y] == line and column in (None, x) and line in rows

        eventually(
            is_there, seconds, lambda: f"not {line!r}, {column}: {self.cursor}\n{self.screen}"
        )

    def wait_until_gone(self, text: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Return when `text` stands nowhere on the screen."""
        eventually(
            lambda: text not in self.screen, seconds, lambda: f"still {text!r} in\n{self.screen}"
        )

    def wait(self, seconds: float = DEADLINE_SECONDS) -> int:
        """Return the exit code once the program has ended by itself; 128 + n for a signal n."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running\n{self.screen}") from None
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        """End the program, however it is."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        os.close(self.terminal)


@contextmanager
def person(
    address: str,
    name: str,
    *flags: str,
    columns: int = 80,
    rows: int = 24,
    env: Mapping[str, str] | None = None,
) -> Iterator[Person]:
    """Let `name` sit before `client.py` for the length of the block."""
    someone = Person(["client.py", address, "--name", name, *flags], columns, rows, env)
    try:
        yield someone
    finally:
        someone.close()
