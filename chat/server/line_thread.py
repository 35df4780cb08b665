"""Lines for a stream, written by a thread of their own: nobody waits for who reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

CLOSE_SECONDS = 1.0
# More lines gather so long after the first one: else the thread is woken for each, a thousand times
# a second, which costs the chat more than the line does. Nobody reads as fast.
GATHER_SECONDS = 0.02

Line = TypeVar("Line")


class LineThread(Generic[Line]):
    """Writes lines soon after they come. Any thread may add some.

    `most`: so many may wait. `write`: called in the thread with all that wait; where it raises
    OSError or ValueError nobody reads them any more, and it is not called again. `take`: called
    before, with `changed` held: returns what there is to be written, and what waits from then on.
    `may_begin`: whether anything is to be written yet.

    `changed` guards `lines` and every attribute that changes.
    """

    def __init__(
        self,
        name: str,
        most: int,
        write: Callable[[list[Line]], None],
        take: Callable[[list[Line]], list[Line]] = lambda lines: lines,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        self.changed = threading.Condition()
        self.lines: list[Line] = []
        self._most = most
        self._write = write
        self._take = take
        self._may_begin = may_begin
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def add(self, lines: Sequence[Line]) -> int:
        """Have lines written, as far as there is room for them; return of how many there is."""
        with self.changed:
            taken = lines[: max(0, self._most - len(self.lines))]
            if not self.lines:
                self.changed.notify()
            self.lines += taken
        return len(taken)

    def close(self) -> None:
        """Write what waits, for a second at the most."""
        with self.changed:
            self._is_closing = True
            self.changed.notify()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        is_read = True
        while lines := self._next_lines():
            try:
                if is_read:
                    self._write(lines)
            except (OSError, ValueError):
                is_read = False  # nobody reads it any more; the chat goes on without it

    def _next_lines(self) -> list[Line]:
        """Wait for lines, and return all there are by now; none: the end."""
        with self.changed:
            self.changed.wait_for(lambda: self._is_closing or (self._may_begin() and self.lines))
            self.changed.wait_for(lambda: self._is_closing, GATHER_SECONDS)
            if not self._may_begin():
                return []
            lines, self.lines = self.lines, []
            return self._take(lines)
