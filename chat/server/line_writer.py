"""Lines for a standard stream, as a stream takes them: nobody waits for who reads them.

Any thread may write.
"""

from __future__ import annotations

from typing import IO

from chat.cli.streams import write_unbuffered
from chat.server.line_thread import LineThread

# Lines that may wait for who reads them.
MAX_WAITING = 1000


class LineWriter:
    """Takes lines as a stream does. Bounded: what does not fit is refused, by `BlockingIOError`."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._thread: LineThread[str] = LineThread("line-writer", MAX_WAITING, self._write_all)

    def write(self, text: str) -> int:
        """Take a line with its end; returns at once. Raises `BlockingIOError`."""
        if not self._thread.add([text]):
            raise BlockingIOError
        return len(text)

    def flush(self) -> None:
        """Do nothing: what waits is written as soon as it can be."""

    def close(self) -> None:
        """Write what waits, for a second at the most."""
        self._thread.close()

    def _write_all(self, lines: list[str]) -> None:
        write_unbuffered(self._stream, "".join(lines).encode(errors="replace"))
