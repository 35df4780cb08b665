"""Lines for a standard stream, written by a thread of their own: nobody waits for who reads them.

Any thread may write.
"""

from __future__ import annotations

import threading
from typing import IO

from chat.cli.streams import write_unbuffered

# Lines that may wait for who reads them.
MAX_WAITING = 1000
CLOSE_SECONDS = 1.0


class LineWriter:
    """Takes lines as a stream does. Bounded: what does not fit is refused, by `BlockingIOError`.

    `_changed` guards every attribute that changes.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._waiting: list[str] = []
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="line-writer", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Take a line with its end; returns at once. Raises `BlockingIOError`."""
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                raise BlockingIOError
            self._waiting.append(text)
            self._changed.notify()
        return len(text)

    def flush(self) -> None:
        """Do nothing: what waits is written as soon as it can be."""

    def close(self) -> None:
        """Write what waits, for a second at the most."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        is_read = True
        while lines := self._next_lines():
            try:
                if is_read:
                    write_unbuffered(self._stream, "".join(lines).encode(errors="replace"))
            except (OSError, ValueError):
                is_read = False  # nobody reads it any more

    def _next_lines(self) -> list[str]:
        """Wait for lines, and return all there are by now; none: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            lines, self._waiting = self._waiting, []
        return lines
