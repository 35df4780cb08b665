"""The lines that were typed, until they are answered; those that could not be sent are reported."""

from __future__ import annotations

import threading

from chat.cli.i18n import _
from chat.client.ui.base import Terminal
from chat.client.ui.render import one_line

# How much of a line that was not sent is quoted.
QUOTED_CHARACTERS = 60


class SentLines:
    """What was typed, by the key of the message that it became, and how many lines failed.

    `_lock` guards `_lines` and `_failures`: the main thread adds, the receive thread takes, and
    both report. The terminal is called without it.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._lock = threading.Lock()
        self._lines: dict[str, str] = {}
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many lines were not sent."""
        with self._lock:
            return self._failures

    def add(self, key: str, line: str) -> None:
        """Remember `line`; before it is sent, since the answer comes in the other thread."""
        with self._lock:
            self._lines[key] = line

    def take(self, key: str) -> str | None:
        """Return and forget the line whose message has `key`; None where there is none."""
        with self._lock:
            return self._lines.pop(key, None)

    def clear(self) -> None:
        """Forget them all: no answer will say whose it is."""
        with self._lock:
            self._lines.clear()

    def count_failure(self) -> None:
        """Count a line that was not sent, and is reported elsewhere."""
        with self._lock:
            self._failures += 1

    def report_unsent(self, line: str, reason: str) -> None:
        """Say that `line` was not sent, and count it."""
        self.count_failure()
        quoted = one_line(line)
        if len(quoted) > QUOTED_CHARACTERS:
            quoted = quoted[:QUOTED_CHARACTERS] + "\N{HORIZONTAL ELLIPSIS}"
        text = _("Not sent: {reason}: {line}") if quoted else _("Not sent: {reason}")
        self._terminal.show_error(text.format(reason=reason, line=quoted))

    def give_back(self, line: str, reason: str) -> None:
        """Say that `line` was not sent, and let the user type on at it."""
        self.report_unsent(line, reason)
        self._terminal.restore(line)
