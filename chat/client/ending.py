"""How a conversation ends: what is waited for, what is told, and the exit code.

Knows no gRPC and no threads but the main one, in which everything here runs once nothing more is
typed, or can be sent. What made it end is for `App` to know.
"""

from __future__ import annotations

import errno
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from chat.cli.i18n import _, _n
from chat.cli.system_errors import words_of
from chat.client import outbox
from chat.client.sent_lines import SentLines
from chat.client.session import Session
from chat.client.ui import render
from chat.client.ui.base import Terminal
from chat.protocol.errors import ChatError, ConfigError
from chat.protocol.kinds import SAID
from chat_pb2 import Message

EXIT_OK = 0
EXIT_REFUSED = 1
EXIT_NOT_ACKNOWLEDGED = 3
EXIT_BROKEN_PIPE = 141  # 128 and the number of SIGPIPE

# The end of a program's input waits for acknowledgements as long as some come: so long for the next
# one, which outlives a server's restart; and so long with a server that has not said a word.
PIPE_END_SECONDS = 60.0
SILENT_END_SECONDS = 15.0
# A search is not said to a plain server, which says nothing by itself: with connecting and leaving
# that is known within 15 s.
SILENT_SEARCH_SECONDS = 12.0
# When to say what is waited for.
TELL_WAITING_SECONDS = 5.0
LOOK_SECONDS = 1.0


class Farewell:
    """What is left to do when nothing more is typed.

    `as_said`: returns a message as the person said it.
    """

    def __init__(
        self,
        session: Session,
        terminal: Terminal,
        sent_lines: SentLines,
        as_said: Callable[[Message], str],
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._sent_lines = sent_lines
        self._as_said = as_said
        self._is_told = self._has_given_up = False
        self._refused_lines = 0  # since there was no space for them

    def wait_greeted(self, greeted: threading.Event) -> None:
        """Wait for the first answer of a server, as long as one may come. Blocks."""
        deadline = time.monotonic() + PIPE_END_SECONDS
        while self._terminal.failure is None and time.monotonic() < deadline:
            if greeted.wait(min(LOOK_SECONDS, PIPE_END_SECONDS)):
                return

    def wait_for_space(self) -> bool:
        """Wait until one more message may be sent; False when that is given up. Blocks."""
        self.wait_acknowledged(outbox.MAX_PENDING - 1)
        self._refused_lines += self._has_given_up
        return not self._has_given_up

    def wait_answered(self) -> None:
        """Wait until all is answered that a search has asked. Blocks.

        Raises PLAIN_SERVER where it is given up and the server has not said a word, SERVER_SILENT
        where it has.
        """
        self.wait_acknowledged(silent_seconds=SILENT_SEARCH_SECONDS)
        if self._has_given_up:
            raise ChatError("PLAIN_SERVER" if self._session.is_silent else "SERVER_SILENT")

    def wait_acknowledged(self, allowed: int = 0, silent_seconds: float | None = None) -> None:
        """Wait until all but `allowed` messages are acknowledged, as long as that goes on.

        `silent_seconds`: so long for the first word of a server; None: as at the end of input. Says
        so after a while. Ends as well with the session, and when nobody reads standard output any
        more. Waits no more once it was given up. Blocks.
        """
        patience = SILENT_END_SECONDS if silent_seconds is None else silent_seconds
        left, since = self._session.unacknowledged, time.monotonic()
        while not self._is_useless and self._session.wait_acknowledged(
            min(LOOK_SECONDS, PIPE_END_SECONDS), allowed
        ):
            if (now_left := self._session.unacknowledged) < left:
                left, since = now_left, time.monotonic()
            waited = time.monotonic() - since
            if waited >= (patience if self._session.is_silent else PIPE_END_SECONDS):
                self._has_given_up = True
            elif waited >= TELL_WAITING_SECONDS:
                self._tell_waiting(left)

    @property
    def _is_useless(self) -> bool:
        return self._has_given_up or self._terminal.failure is not None

    def _tell_waiting(self, left: int) -> None:
        """Say once what is waited for."""
        if self._is_told:
            return
        self._is_told = True
        text = _n(
            "* Waiting for the server to confirm {} message; Ctrl-C gives up.",
            "* Waiting for the server to confirm {} messages; Ctrl-C gives up.",
            left,
        )
        self._terminal.show_notice(text.format(left))

    def tell_lost(self) -> bool:
        """Print what was said and not acknowledged, line by line; say whether anything was."""
        lost = [message for message in self._session.pending if message.kind in SAID]
        if lost:
            text = _n("{} message was not confirmed:", "{} messages were not confirmed:", len(lost))
            lines = [text.format(len(lost)), *map(self._unsent_line, lost)]
            with suppress(OSError):  # the terminal is gone
                self._terminal.show_error("\n".join(lines))
        if self._refused_lines:
            self._tell_unread()
        return bool(lost)

    def _tell_unread(self) -> None:
        """Say that reading ended before the input did, and how much of it is known to be lost."""
        count = self._refused_lines + self._terminal.unread_lines()
        text = _n(
            "Standard input was not read to its end: {} line that was read was not sent, nor any"
            " after it.",
            "Standard input was not read to its end: {} lines that were read were not sent, nor any"
            " after them.",
            count,
        )
        with suppress(OSError):
            self._terminal.show_error(text.format(count))

    def _unsent_line(self, message: Message) -> str:
        return "  " + render.clean(self._as_said(message)).replace("\n", render.LINE_FEED_SIGN)

    def exit_code(self, cause: ChatError | ConfigError | None, is_anything_lost: bool) -> int:
        """Say why it ended, where that was not the user's own will; return the exit code.

        `cause`: what ended it, None for the user or the end of input.
        """
        if self._terminal.failure is not None:
            return self._output_failed(self._terminal.failure)
        if cause is not None:
            self._terminal.show_error(sentence(cause))
            return EXIT_REFUSED
        is_program = not self._terminal.is_interactive
        has_failed = self._sent_lines.failures > 0 or self._session.unacknowledged > 0
        is_lost = is_anything_lost or (is_program and has_failed)
        return EXIT_NOT_ACKNOWLEDGED if is_lost else EXIT_OK

    def _output_failed(self, error: OSError) -> int:
        """Say why standard output takes nothing; that nobody reads it any more is no news."""
        if is_broken_pipe(error):
            return EXIT_BROKEN_PIPE
        text = _("Nothing more could be written to standard output: {reason}.")
        self._terminal.show_error(text.format(reason=words_of(error)))
        return EXIT_REFUSED


def is_broken_pipe(error: OSError) -> bool:
    """Say whether nobody reads any more what was written; Windows has another word for it."""
    is_other_word = sys.platform == "win32" and error.errno == errno.EINVAL
    return isinstance(error, BrokenPipeError) or is_other_word


def unexpected(error: Exception) -> ConfigError:
    """Return what to say of an error that nobody expected."""
    text = _("Something unexpected ended the conversation ({error}).")
    return ConfigError(text.format(error=render.one_line(repr(error))))


def sentence(error: ChatError | ConfigError) -> str:
    """Return a refusal as a sentence; what is wrong with the settings is one, as it is written."""
    text = str(error)
    if isinstance(error, ConfigError):
        return text  # it may begin with a host or a path
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
