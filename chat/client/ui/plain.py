"""Where lines come from and messages go: what every terminal can do, and the plain ones.

The plain terminal has the look of the first version, and is also what pipes get; the JSON one is
for programs. The line editor is in `screen.py`. Knows no network.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import IO, Protocol

from google.protobuf import json_format

import chat_pb2
from chat.cli.i18n import _
from chat.client.ui.render import Look
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_MESSAGE_BYTES

# Of a longer line the rest is not even held in memory. Six bytes of JSON may stand for one.
MAX_LINE_BYTES = 8 * MAX_MESSAGE_BYTES
# They end a program that is asked to end, or whose terminal is gone.
ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
Kind = chat_pb2.Kind


class Talk(Protocol):
    """What a terminal needs of the conversation."""

    @property
    def name(self) -> str:
        """The person's own name, as far as the server has agreed to it."""

    def typed(self, line: str) -> bool:
        """Take a typed line; False when the person leaves by it."""

    def post(self, message: chat_pb2.Message) -> None:
        """Send a message that a program made; raises `ChatError` where it cannot be."""

    def failed(self, line: str, reason: str) -> None:
        """Say that `line` was not sent, and count it."""

    def status(self) -> list[str]:
        """Return the parts of the status line, the most important first."""

    def waiting(self) -> list[str]:
        """Return what was said and is not acknowledged yet, in order."""

    def candidates(self, before: str) -> tuple[int, list[str]]:
        """Return how much of the text `before` the cursor is the word to complete, and by what."""

    def tick(self) -> None:
        """Do what is due now and then; called once a second by live terminals."""


class Terminal(Protocol):
    """One person's, or program's, end of the conversation.

    `is_interactive`: a person types, and commands work. `is_live`: shows who is here as they come
    and go. `has_typed_lines`: what was typed stays visible, so that its echo is not shown.
    """

    is_interactive: bool
    is_live: bool
    has_typed_lines: bool

    def ask(self, question: str) -> str:
        """Return the answer to `question`; raises `EOFError` at the end of input. Blocks."""

    def run(self, talk: Talk) -> None:
        """Hand what is typed to `talk` until the person leaves, input ends or `stop()`. Blocks."""

    def show(self, message: chat_pb2.Message, look: Look) -> None:
        """Show one message. From any thread; may block while the terminal takes nothing."""

    def tell(self, line: str) -> None:
        """Show a line of the program's own. From any thread."""

    def rule(self, title: str) -> None:
        """Show a line between two parts of the conversation."""

    def complain(self, sentence: str) -> None:
        """Show what went wrong. From any thread."""

    def give_back(self, line: str) -> None:
        """Let the person type on at `line`, which was refused."""

    def ring(self) -> None:
        """Ring the bell."""

    def clear(self) -> None:
        """Clear the screen."""

    def refresh(self) -> None:
        """Show the present state of the conversation. From any thread."""

    def stop(self) -> None:
        """Make `run` return. From any thread."""

    def finish(self) -> None:
        """Show what is still to be shown; the terminal is as it was before."""


class PlainTerminal:
    """Lines in and lines out, without a line editor.

    A person sees the line as she typed it, and her echoes are not shown again. For pipes each
    message is one line. `is_deaf`: nothing is read, until `stop()`.
    """

    is_live = False

    def __init__(self, is_deaf: bool = False) -> None:
        self.is_interactive = sys.stdin.isatty() and not is_deaf
        self.has_typed_lines = self.is_interactive
        self._is_screen = sys.stdout.isatty()
        self._is_deaf = is_deaf
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._is_reading = False

    def ask(self, question: str) -> str:
        """Ask on standard error where standard output is for programs."""
        if sys.stdin.isatty() and self._is_screen:
            return input(question)
        print(question, end="", file=sys.stderr, flush=True)
        return self._answer()

    @staticmethod
    def _answer() -> str:
        line = next(byte_lines(), None)
        if line is None:
            raise EOFError
        return line.decode("utf-8", "replace")

    def run(self, talk: Talk) -> None:
        """Hand each line to `talk`."""
        if self._is_deaf:
            self._stopped.wait()
            return
        try:
            with self._lock:
                self._is_reading = True
            self._read(talk)
        except KeyboardInterrupt:
            if not self._stopped.is_set():
                raise
        finally:
            with self._lock:
                self._is_reading = False

    def _read(self, talk: Talk) -> None:
        while not self._stopped.is_set():
            try:
                line = self._next_line()
            except UnicodeDecodeError:
                talk.failed("", _("it is not text in UTF-8"))
                continue
            if line is None or not self._hand_over(talk, line):
                return

    def _next_line(self) -> str | None:
        if self.is_interactive:
            try:
                return input()
            except EOFError:
                return None
        line = next(byte_lines(), None)
        return None if line is None else line.decode()

    def _hand_over(self, talk: Talk, line: str) -> bool:
        return talk.typed(line)

    def show(self, message: chat_pb2.Message, look: Look) -> None:
        """Show one message; on one line, to a pipe."""
        self._print(look.text if self._is_screen else look.line)

    def tell(self, line: str) -> None:
        """Show a line of the program's own, apart from the messages."""
        self._print(line, sys.stdout if self.is_interactive else sys.stderr)

    def rule(self, title: str) -> None:
        """Show a line between two parts."""
        self.tell(f"--- {title} ---")

    def complain(self, sentence: str) -> None:
        """Show a sentence on standard error."""
        self._print(sentence, sys.stderr)

    def _print(self, line: str, stream: IO[str] | None = None) -> None:
        with self._lock:
            print(line, file=stream, flush=True)

    def give_back(self, line: str) -> None:
        """Nothing: it stands on the screen."""

    def ring(self) -> None:
        """Ring, where somebody may hear it."""
        if self.is_interactive and self._is_screen:
            with self._lock:
                print("\a", end="", flush=True)

    def clear(self) -> None:
        """Nothing: what a plain terminal understands is not known."""

    def refresh(self) -> None:
        """Nothing: there is no state on the screen."""

    def stop(self) -> None:
        """Make the main thread stop waiting for a line."""
        with self._lock:
            self._stopped.set()
            if self._is_reading:
                interrupt_main_thread()

    def finish(self) -> None:
        """Nothing: every line was shown at once."""


class JsonTerminal(PlainTerminal):
    """For programs: one JSON object a line, both ways, with every field of `Message`."""

    def __init__(self, is_deaf: bool = False) -> None:
        super().__init__(is_deaf)
        self.is_interactive = self.has_typed_lines = False

    def _hand_over(self, talk: Talk, line: str) -> bool:
        if not line.strip():
            return True
        try:
            talk.post(message_of(line))
        except json_format.ParseError:
            talk.failed(line, _("it is no message in JSON"))
        except ChatError as error:
            talk.failed(line, str(error))
        return True

    def show(self, message: chat_pb2.Message, look: Look) -> None:
        """Show a message as it came, uncleaned: ASCII with escapes cannot deceive a screen."""
        self._print(json_of(message))


def message_of(line: str) -> chat_pb2.Message:
    """Return the message that a line of JSON is; raises `json_format.ParseError`."""
    try:
        return json_format.Parse(line, chat_pb2.Message())
    except RecursionError as error:
        raise json_format.ParseError(str(error)) from error


def json_of(message: chat_pb2.Message) -> str:
    """Return a message as one line of JSON (ASCII) with every field; `sent_at` may be null.

    In the form of ProtoJSON, but that `id` is a number.
    """
    sent_at = message.sent_at.ToJsonString() if message.HasField("sent_at") else None
    fields = {
        "user": message.user,
        "message": message.message,
        "id": message.id,
        "sent_at": sent_at,
        "kind": kind_name(message.kind),
        "key": message.key,
        "to": message.to,
    }
    return json.dumps(fields)


def kind_name(kind: int) -> str | int:
    """Return the name of a kind; of one that only later versions know, the number."""
    value = Kind.DESCRIPTOR.values_by_number.get(kind)
    return kind if value is None else str(value.name)


def byte_lines() -> Iterator[bytes]:
    """Yield the lines of standard input without their ends; what is too long is cut off."""
    stream = sys.stdin.buffer
    while line := stream.readline(MAX_LINE_BYTES):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE_BYTES)
        yield line.rstrip(b"\r\n")


def interrupt_main_thread() -> None:
    """Make the main thread stop waiting for a line; it sees a `KeyboardInterrupt`."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:  # Windows can wake it by nothing but a key
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
