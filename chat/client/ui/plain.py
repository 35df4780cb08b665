"""Lines in and lines out: what pipes get, and people without a line editor. Knows no network."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable
from typing import IO

from chat.cli.i18n import _
from chat.cli.streams import discard
from chat.cli.wrap import columns_of, in_rows
from chat.client.typed_lines import TypedLines
from chat.client.ui import render
from chat.client.ui.base import TerminalController
from chat.client.ui.days import FULL_FORMAT, SCREEN_FORMAT, Days, with_time
from chat.client.ui.notifications import make_notifier
from chat.client.ui.render import RenderedMessage
from chat.client.ui.signals import interrupt_main_thread, interrupt_writing, wakeable
from chat.client.ui.standard_input import (
    MAX_LINE_BYTES,
    LineTooLongError,
    byte_lines,
    lines_taken,
)
from chat.protocol.errors import ChatError
from chat_pb2 import KIND_NOTICE, Message

# How long the last line may take to be written.
LAST_LINE_SECONDS = 0.1


class PlainTerminal:
    """Lines in and lines out, without a line editor.

    A person sees each line as it was typed, and its echo is not shown again. For pipes each message
    is one line. On a screen each has its time, elsewhere `with_time`. `listen_only`: nothing is
    read, until `stop()`. `send_only`: nothing is printed but what went wrong, on standard error.

    The main thread asks and runs; any thread shows. `_printing` guards standard output and
    `_complaining` standard error; each is held for as long as the reader takes nothing, and so they
    are two: the last words need not wait for who does not read what others say. `_lock` guards
    `_is_reading`, `_failure` and `_writer`, and is never held for long; what else there is never
    changes, but for `_days`, which `_printing` guards too, and `_has_begun`, set before any thread.
    """

    is_live = False

    def __init__(
        self, *, listen_only: bool = False, send_only: bool = False, with_time: bool = False
    ) -> None:
        self.is_interactive = sys.stdin.isatty() and not (listen_only or send_only)
        self.has_typed_lines = self.is_interactive
        self._is_screen = sys.stdout.isatty() and not send_only
        self._listen_only = listen_only
        self._send_only = send_only
        self._with_time = with_time
        self._has_begun = False  # a conversation, of which each line has its time on a screen
        self._days = Days()
        self._printing = threading.RLock()
        self._complaining = threading.RLock()
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._is_reading = False
        self._failure: OSError | None = None  # of standard output
        self._writer: int | None = None  # the thread that writes to it, or did so last

    def ask(self, question: str) -> str:
        """Ask on standard error where standard output is for programs."""
        is_person = sys.stdin.isatty() and self._is_screen
        stream = sys.stdout if is_person else sys.stderr
        self._print(question, stream, end="")
        try:
            return self._answer()
        except KeyboardInterrupt:
            self._print("", stream)  # what the shell says next is below the question
            raise

    @staticmethod
    def _answer() -> str:
        line = next(byte_lines(), None)
        if line is None:
            raise EOFError
        return line.decode("utf-8", "replace")

    def run(self, controller: TerminalController) -> None:
        """Hand each line to `controller`, until input ends or nobody can read the answers."""
        try:
            if self._listen_only:
                self._stopped.wait()
            else:
                self._read_until_stopped(controller)
        except KeyboardInterrupt:
            if self._is_screen:
                self._print("")  # what the shell says next is below the terminal's ^C
            raise

    @property
    def failure(self) -> OSError | None:
        """Why standard output takes nothing any more, None while it does."""
        with self._lock:
            return self._failure

    def _read_until_stopped(self, controller: TerminalController) -> None:
        try:
            with wakeable(controller.last_words):
                self._read(controller)
        except KeyboardInterrupt:
            if not self._stopped.is_set():
                raise

    def _set_reading(self, is_reading: bool) -> None:
        with self._lock:
            self._is_reading = is_reading

    def _set_writer(self, thread: int) -> None:
        with self._lock:
            self._writer = thread

    def _read(self, controller: TerminalController) -> None:
        try:
            self._set_reading(True)
            while not self._stopped.is_set() and self._read_line(controller):
                pass
        finally:
            self._set_reading(False)

    def _read_line(self, controller: TerminalController) -> bool:
        """Read a line and hand it over; False when there will be no other one."""
        try:
            line = self._next_line()
        except LineTooLongError as error:
            controller.report_unsent(str(error), str(ChatError("MESSAGE_TOO_LONG")))
            return True
        except UnicodeDecodeError:
            controller.report_unsent("", _("it is not text in UTF-8"))
            return True
        return line is not None and self._hand_over(controller, line)

    def _next_line(self) -> str | None:
        # Not by `input`, which takes a NUL for the end of the line at a terminal.
        line = next(byte_lines(), None)
        if line is not None and len(line) >= MAX_LINE_BYTES:
            raise LineTooLongError(line.decode("utf-8", "replace"))
        # A person sees what became of the line; what a program sends is not changed.
        errors = "replace" if self.is_interactive else "strict"
        return None if line is None else line.decode(errors=errors)

    def _hand_over(self, controller: TerminalController, line: str) -> bool:
        return controller.handle_line(line)

    def unread_lines(self) -> int:
        """Return how many lines were read that were not handed over."""
        return 0 if self.is_interactive or self._listen_only else lines_taken()

    def show(self, message: Message, rendered: RenderedMessage) -> None:
        """Show one message, if it has anything to show; on one line, to a pipe."""
        text = self._text_of(message, rendered)
        if text and not self._send_only:
            with self._printing:
                if self._is_screen and (title := self._days.title_before(rendered.when)):
                    self._print(_separator(title))
                self._print(text)
        elif text and message.kind == KIND_NOTICE:
            self._print(text, sys.stderr)

    def _text_of(self, _message: Message, rendered: RenderedMessage) -> str:
        """Return how a message is shown, empty for what is not."""
        if not rendered.line:
            return ""
        if self._is_screen:
            return with_time(rendered).rows(columns_of(sys.stdout))
        return (with_time(rendered, FULL_FORMAT) if self._with_time else rendered).line

    def show_notice(self, line: str) -> None:
        """Show a line of the program's own, apart from the messages."""
        self._print_rows(self._timed(line), self._notices)

    def show_separator(self, title: str) -> None:
        """Show a line between two parts."""
        self._print_rows(_separator(title), self._notices)

    def show_error(self, sentence: str) -> None:
        """Show a sentence on standard error."""
        self._print_rows(self._timed(sentence), sys.stderr)

    @property
    def _notices(self) -> IO[str]:
        return sys.stdout if self.is_interactive else sys.stderr

    def _timed(self, line: str) -> str:
        """Return a line with its time before it, as what is said on a screen has it."""
        is_part = self._has_begun and self._is_screen
        return f"{render.now():{SCREEN_FORMAT}} {line}" if is_part else line

    def _print_rows(self, text: str, stream: IO[str]) -> None:
        """Print lines of the program's own; what they quote begins no row of a terminal."""
        self._print(in_rows(text, stream), stream)

    def _print(self, text: str, stream: IO[str] | None = None, end: str = "\n") -> None:
        with self._complaining if stream is sys.stderr else self._printing:
            if stream is not sys.stderr:
                self._set_writer(threading.get_ident())
            try:
                print(text, file=stream, end=end, flush=True)
            except OSError as error:  # nobody reads it, or the disk is full
                self._drop(stream or sys.stdout, error)

    def _drop(self, stream: IO[str], error: OSError) -> None:
        """Print to nowhere from now on; end where it is standard output."""
        discard(stream)
        if stream is sys.stdout:
            with self._lock:
                self._failure = error
            self.stop()

    def ring(self) -> None:
        """Ring, where somebody may hear it."""
        if self.is_interactive and self._is_screen:
            self._print("\a", end="")

    def notify(self, title: str, text: str) -> None:
        """Notify where somebody may see it, and the terminal is known to take it."""
        is_seen = self.is_interactive and self._is_screen
        if is_seen and (sequence := make_notifier()) is not None:
            self._print(sequence(title, text), end="")

    def use_lines(self, lines: TypedLines) -> None:
        """Note that the conversation begins; a terminal without a line editor edits by itself."""
        self._has_begun = True

    def put_back(self, line: str) -> None:
        """Do nothing: a terminal without a line editor shows what was typed."""

    def when_shown(self, call: Callable[[], None]) -> None:
        """Call it at once, unless nothing can be shown any more."""
        if self.failure is None:
            call()

    def clear(self) -> None:
        """Scroll what is on the screen up; what else a plain terminal understands is not known."""
        if self._is_screen:
            self._print("\n" * shutil.get_terminal_size().lines, end="")

    def refresh(self) -> None:
        """Do nothing: there is no state on the screen."""

    def stop(self) -> None:
        """Make the main thread stop waiting for a line."""
        with self._lock:
            self._stopped.set()
            if self._is_reading:
                interrupt_main_thread()

    def finish(self) -> None:
        """Let nobody else write to standard output any more; in the main thread, which may.

        Where its reader takes nothing, what is being written goes nowhere. Else Python, which
        flushes it at its end, would wait for that, or complain of the thread that writes. Blocks
        for `LAST_LINE_SECONDS`, twice, at most.
        """
        if self._printing.acquire(timeout=LAST_LINE_SECONDS):
            return
        with self._lock:
            writer = self._writer
        discard(sys.stdout)
        if writer is not None:
            interrupt_writing(writer)
        self._printing.acquire(timeout=LAST_LINE_SECONDS)


def _separator(title: str) -> str:
    return f"--- {title} ---"
