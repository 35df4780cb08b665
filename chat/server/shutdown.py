"""How a server is told to end, and that it does end in time.

The first Ctrl-C or SIGTERM asks it to stop; the second ends the program at once, as the system does
where nobody handles the signal. Where stopping takes too long, because a disk does not answer, say,
a thread ends the program.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from chat.cli.i18n import _

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# From the first signal to the end of the program, at the most.
STOP_SECONDS = 4.7
# How long the last sentence may take: whoever should read it may have stopped.
LAST_WORDS_SECONDS = 0.1
TOO_LATE_EXIT_CODE = 1


class Shutdown:
    """Whether the server was asked to stop, and the thread that gives it its time for that.

    `is_patient`: whether what is being done is worth more time; called in the thread.
    The handlers of signals run in the main thread, wherever it is; nothing here takes a lock.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.is_patient: Callable[[], bool] = lambda: False
        self._begun: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def watch_signals(self) -> None:
        """Handle signals from now on. Call it in the event loop, in the main thread."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._enforce, name="shutdown", daemon=True)
        self._thread.start()
        # Python's handlers, not the loop's: they are called also where the loop is kept busy.
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def begin(self) -> None:
        """Let the time for stopping begin. Does nothing the second time."""
        self._begun.put(None)

    def close(self) -> None:
        """End the thread: the program has come to its end, or is a test."""
        self._is_over.set()
        self.begin()
        if self._thread is not None:
            self._thread.join()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        self.begin()
        self._loop.call_soon_threadsafe(self.requested.set)

    def _enforce(self) -> None:
        self._begun.get()
        while not self._is_over.wait(STOP_SECONDS):
            if self.is_patient():
                continue
            speaking = threading.Thread(target=_say_too_late, name="last-words", daemon=True)
            speaking.start()
            speaking.join(LAST_WORDS_SECONDS)
            os._exit(TOO_LATE_EXIT_CODE)


def _say_too_late() -> None:
    text = _("The server could not stop in time: what waited to be stored may be missing.")
    print(text, file=sys.stderr, flush=True)
