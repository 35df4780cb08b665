"""What the server says on standard error: one line for each event, and never many at a time.

Whatever strangers send, and whichever part of the program or of gRPC has something to say of it,
there is no traceback, no line without an end, and no flood. Any thread may log.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TextIO

MAX_LINES_A_SECOND = 10
MAX_LINE_CHARACTERS = 300
# What gRPC tells of metadata that is no text, and of clients that went while they were written to:
# the first is told by `interceptors.py`, with who sent it; the second is nothing to tell.
GRPC_LOGGER = "grpc._cython.cygrpc"
# The name of the token by which the stream came in that a line is about; set for all its tasks.
token_name: ContextVar[str] = ContextVar("token_name", default="")
NOISE = ("Invalid encoding on", "ExecuteBatchError raised in core", "Aborting method")


def start() -> None:
    """Send what is logged from now on, from warnings up, to standard error."""
    handler = BoundedHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(GRPC_LOGGER).addFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Say whether what gRPC logs is worth a line."""
    return not str(record.msg).startswith(NOISE)


def describe(error: BaseException) -> str:
    """Return what happened, and where; not the error's text, which may hold what somebody said."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def escaped(text: str) -> str:
    """Return a text that no terminal obeys: what is not visible in it is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class OneLine(logging.Formatter):
    """Makes one line of each record: of an exception its type and place, of a text its first line.

    What is no visible ASCII is escaped: a terminal must not obey what strangers send.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, at most `MAX_LINE_CHARACTERS` long, escapes aside."""
        line = f"{record.levelname} {record.name}: {self.text(record)}"
        return escaped(line[:MAX_LINE_CHARACTERS])

    @staticmethod
    def text(record: logging.LogRecord) -> str:
        """Return what a record says, at most `MAX_LINE_CHARACTERS` of it."""
        text = record.getMessage().partition("\n")[0]
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {describe(record.exc_info[1])}"
        if name := token_name.get():
            text = f"[token {name}] {text}"
        return text[:MAX_LINE_CHARACTERS]


class BoundedHandler(logging.StreamHandler):  # type: ignore[type-arg]  # not before 3.11
    """Writes at most `max_lines_a_second`; says later how many it has left out.

    Its lock is the logging module's.
    """

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        max_lines_a_second: int = MAX_LINES_A_SECOND,
    ) -> None:
        super().__init__(stream)
        self._max_lines = max_lines_a_second
        self._clock = clock
        self._second = 0
        self._written = 0  # in that second
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line, unless this second has had its share."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._written = second, 0
            self._confess()
        if self._written >= self._max_lines:
            self._left_out += 1
            return
        self._written += 1
        super().emit(record)

    def _confess(self) -> None:
        if count := self._left_out:
            text = "%d more lines were left out"
            values = (logging.WARNING, __file__, 0, text, (count,), None)
            self._left_out = 0
            self._written += 1
            super().emit(logging.LogRecord(__name__, *values))
            if self._left_out:  # this one cannot be written either
                self._left_out = count

    def handleError(self, record: logging.LogRecord) -> None:
        """Count a line that cannot be written, or made: nobody reads, or there is no room."""
        self._left_out += 1

    def close(self) -> None:
        """Say how much was left out, at the end."""
        self._confess()
        super().close()
