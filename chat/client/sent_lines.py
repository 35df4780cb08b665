"""The lines that were typed, until they are answered; those that could not be sent are reported."""

from __future__ import annotations

import threading

from chat.cli.i18n import _
from chat.client import commands
from chat.client.ui.base import Terminal
from chat.client.ui.render import one_line

# How much of a line that was not sent is quoted.
QUOTED_CHARACTERS = 60
# Private lines that were delivered, and may still turn out not to have been read.
MAX_UNREAD_LINES = 100


class SentLines:
    """What was typed, by the key of the message that it became, and how many lines failed.

    `_lock` guards `_lines`, `_delivered`, `_newest` and `_failures`: the main thread adds, the
    receive thread takes, and both report. The terminal is called without it.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._lock = threading.Lock()
        self._lines: dict[str, str] = {}
        self._delivered: dict[str, str] = {}  # private ones
        self._newest = ""  # what was typed last, as it is given back
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many lines were not sent."""
        with self._lock:
            return self._failures

    def begin(self, line: str) -> None:
        """Note that `line` was typed, and is to be done."""
        with self._lock:
            self._newest = line

    def add(self, key: str, line: str) -> None:
        """Remember `line`; before it is sent, since the answer comes in the other thread."""
        with self._lock:
            self._lines[key] = self._newest = line

    def take(self, key: str) -> str | None:
        """Return and forget the line whose message has `key`; None where there is none."""
        with self._lock:
            return self._lines.pop(key, None)

    def note_delivered(self, key: str, line: str) -> None:
        """Remember a private line, of which the server may say that nobody came to read it."""
        with self._lock:
            self._delivered[key] = line
            if len(self._delivered) > MAX_UNREAD_LINES:
                del self._delivered[next(iter(self._delivered))]

    def take_delivered(self, key: str) -> str:
        """Return and forget the private line with `key`; empty where it is not remembered."""
        with self._lock:
            return self._delivered.pop(key, "")

    def count_failure(self) -> None:
        """Count a line that was not sent, and is reported elsewhere."""
        with self._lock:
            self._failures += 1

    def report_unsent(self, line: str, reason: str) -> None:
        """Say that `line` was not sent, and count it."""
        self.count_failure()
        quoted = quotation(line)
        if self._terminal.is_interactive and commands.is_request(line):
            text = "{line}: {reason}"
        else:
            text = _('Not sent: "{line}": {reason}') if quoted else _("Not sent: {reason}")
        self._terminal.show_error(text.format(reason=reason, line=quoted))
        with self._lock:
            is_newest = bool(line) and line == self._newest
        if is_newest:
            self._terminal.put_back(line)

    def give_back(self) -> None:
        """Let the user type what was typed last again: it was not understood."""
        with self._lock:
            line = self._newest
        self._terminal.put_back(line)


def quotation(line: str) -> str:
    """Return `line` as it is quoted: on one line, and not the whole of a long one."""
    quoted = one_line(line)
    if len(quoted) > QUOTED_CHARACTERS:
        quoted = quoted[:QUOTED_CHARACTERS] + "\N{HORIZONTAL ELLIPSIS}"
    return quoted
