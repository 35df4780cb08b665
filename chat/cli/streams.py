"""The three standard streams of both programs: open, blocking, in UTF-8, whatever was given them.

A program may be started with some of them closed (`<&-`, `>&-`, `2>&-`) and under any locale or
`PYTHONIOENCODING`. Imports nothing but the standard library. Called in the main thread, before
anything else is opened.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import IO, Any

# The pause before a full pipe is tried again, where somebody made it non-blocking.
FULL_PIPE_SECONDS = 0.05
# In the order of their descriptors: 0, 1 and 2.
STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))

_closed: set[str] = set()


def prepare() -> None:
    """Open what is closed, to nowhere, and let all take any character; more than once is as once.

    A byte that is not UTF-8 is read as U+FFFD.
    """
    for name, mode in STREAMS:
        if getattr(sys, name) is None:
            _closed.add(name)
            # It gets the lowest free descriptor, which is the stream's own: else a file or a
            # connection of ours would, and what a library writes to standard error go there.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        _block(getattr(sys, name))
        _use_utf8(getattr(sys, name))


def _block(stream: IO[str]) -> None:
    """Let reads and writes wait, whatever a program has set that shares the descriptor with us.

    Else Python takes what is not there yet for the end of input, and loses what does not fit.
    """
    if set_blocking := getattr(os, "set_blocking", None):  # Windows has it from Python 3.12 on
        with suppress(OSError, ValueError, AttributeError):  # no descriptor, in a test, say
            set_blocking(stream.fileno(), True)


def _use_utf8(stream: IO[str]) -> None:
    is_utf8 = (getattr(stream, "encoding", ""), getattr(stream, "errors", "")) == (
        "utf-8",
        "replace",
    )
    # What is none of Python's own, in a test, say, has no encoding to choose.
    if not is_utf8 and (reconfigure := getattr(stream, "reconfigure", None)):
        reconfigure(encoding="utf-8", errors="replace")


def write_unbuffered(stream: IO[str], content: bytes) -> None:
    """Write past Python's own buffer, which would want to be emptied before the program ends.

    Blocks until all is written. A stopped pager, or one that is gone, would otherwise keep the
    program from ending, or from ending with 0.
    """
    buffer: Any = stream.buffer  # type: ignore[attr-defined]  # of a TextIO, which these are
    rest = memoryview(content)
    while rest:
        written = getattr(buffer, "raw", buffer).write(rest)
        if written is None:  # somebody made it non-blocking, and it is full
            time.sleep(FULL_PIPE_SECONDS)
        rest = rest[written or 0 :]


def was_closed(name: str) -> bool:
    """Say whether the stream (`stdin`, `stdout` or `stderr`) was closed at the start."""
    return name in _closed


def discard(stream: IO[str]) -> None:
    """Write to nowhere from now on, what is still in the buffer too.

    Else Python tries it once more at its end, and complains (library/signal, "Note on SIGPIPE").
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
