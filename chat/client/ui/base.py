"""What a terminal can do, and what it needs of the conversation: the two protocols.

Knows no network, and no terminal either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from chat.client.completion import Completions
from chat.client.typed_lines import TypedLines
from chat.client.ui.render import RenderedMessage
from chat_pb2 import Message


class TerminalController(Protocol):
    """What a terminal needs of the conversation."""

    @property
    def name(self) -> str:
        """The user's own name, as far as the server has agreed to it."""

    @property
    def room(self) -> str:
        """The room that is talked in, empty for the common one."""

    def handle_line(self, line: str) -> bool:
        """Take a typed line; False when nothing more is to be read."""

    def handle_message(self, message: Message) -> bool:
        """Send a message that a program made; raises `ChatError` where it cannot be.

        False when nothing more is to be read.
        """

    def wait_answered(self) -> None:
        """Wait until what was sent is answered, or nothing more will be. Blocks.

        Raises `ChatError` where the server is given up: PLAIN_SERVER for one that has not said a
        word, else SERVER_SILENT.
        """

    def is_hidden(self, message: Message) -> bool:
        """Say whether it is from somebody whom the user ignores. From any thread."""

    def report_unsent(self, line: str, reason: str) -> None:
        """Say that `line` was not sent, and count it."""

    def status(self) -> list[str]:
        """Return the parts of the status line, the most important first."""

    def waiting(self) -> list[str]:
        """Return what was said and is not acknowledged yet, in order."""

    def completions(self, before: str) -> Completions:
        """Return how much of the text `before` the cursor is the word to complete, and by what."""

    def tick(self) -> None:
        """Do what is due now and then; called once a second by live terminals."""

    def last_words(self) -> int:
        """Say why the conversation ends and what is lost; return the exit code. From any thread."""


class Terminal(Protocol):
    """One user's, or program's, end of the conversation.

    `is_interactive`: a person types, and commands work. `is_live`: shows who is here as they come
    and go. `has_typed_lines`: what was typed stays visible, so that its echo is not shown.
    `failure`: why standard output takes nothing any more, None while it does; `run` returns then,
    and what is shown is lost, which no thread but the one that asks need care about.
    """

    is_interactive: bool
    is_live: bool
    has_typed_lines: bool

    @property
    def failure(self) -> OSError | None:
        """Why standard output takes nothing any more. From any thread."""

    def ask(self, question: str) -> str:
        """Return the answer to `question`; raises `EOFError` at the end of input. Blocks."""

    def run(self, controller: TerminalController) -> None:
        """Hand over what is typed until the user leaves, input ends or `stop()`. Blocks."""

    def unread_lines(self) -> int:
        """Return how many lines of a program were read that `run` did not hand over. After it."""

    def show(self, message: Message, rendered: RenderedMessage) -> None:
        """Show one message. From any thread; may block while the terminal takes nothing."""

    def show_notice(self, line: str) -> None:
        """Show a line of the program's own. From any thread."""

    def show_separator(self, title: str) -> None:
        """Show a line between two parts of the conversation. From any thread."""

    def show_error(self, sentence: str) -> None:
        """Show what went wrong. From any thread."""

    def ring(self) -> None:
        """Ring the bell. From any thread."""

    def notify(self, title: str, text: str) -> None:
        """Have the terminal notify the user, where it can; as they came. From any thread."""

    def use_lines(self, lines: TypedLines) -> None:
        """Offer earlier lines and the draft, and keep what is typed. In the main thread, once."""

    def put_back(self, line: str) -> None:
        """Offer a refused line once more, unless something was typed since. From any thread."""

    def when_shown(self, call: Callable[[], None]) -> None:
        """Call something once all that was shown so far can be seen. From any thread.

        Not at all where it cannot be seen; in any thread, before or after this returns.
        """

    def clear(self) -> None:
        """Clear the screen. In the main thread."""

    def refresh(self) -> None:
        """Show the present state of the conversation. From any thread."""

    def stop(self) -> None:
        """Make `run` return. From any thread."""

    def finish(self) -> None:
        """Show what is still to be shown; the terminal is as it was before."""
