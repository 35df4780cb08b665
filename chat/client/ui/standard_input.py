"""Lines of standard input, as bytes: none of any length, and those that nobody was handed.

The main thread reads.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator

from chat.protocol.limits import MAX_MESSAGE_BYTES

# Of a longer line the rest is not even held in memory. Six bytes of JSON may stand for one.
MAX_LINE_BYTES = 8 * MAX_MESSAGE_BYTES


class LineTooLongError(Exception):
    """A line of which not even all is held in memory; `str()` is its beginning."""


def lines_taken() -> int:
    """Return how many lines were taken from standard input that nobody was handed.

    Whoever wrote them cannot know. 0 where that cannot be said without waiting for more.
    """
    stream = getattr(sys.stdin, "buffer", None)
    if not isinstance(stream, io.BufferedReader):
        return 0
    try:
        descriptor = stream.fileno()
        is_blocking = os.get_blocking(descriptor)
        os.set_blocking(descriptor, False)
    except (AttributeError, OSError):  # Windows; or no file at all
        return 0
    try:
        taken = stream.peek()
    except OSError:
        return 0
    finally:
        os.set_blocking(descriptor, is_blocking)
    return len(taken.splitlines())


def byte_lines() -> Iterator[bytes]:
    """Yield the lines of standard input without their ends.

    Of one that is too long the first `MAX_LINE_BYTES`, whatever they are; no other has as many.
    """
    stream = sys.stdin.buffer
    while line := stream.readline(MAX_LINE_BYTES):
        rest = line
        while len(rest) == MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE_BYTES)
        yield line if len(line) == MAX_LINE_BYTES else line.rstrip(b"\r\n")
