"""The signals that end the client, and the one by which a thread wakes the main thread."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# They end a program that is asked to end, or whose terminal is gone.
ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
# Wakes the main thread. Not SIGINT, which is ignored in what a shell started in the background.
WAKE_SIGNAL: signal.Signals | None = getattr(signal, "SIGUSR1", None)
EXIT_FAILED = 1  # where even the last words fail
# Longer than an end in order takes: what is on its way to a server may be waited for.
IN_ORDER_SECONDS = 20.0
# What comes so soon after the first signal was sent together with it.
TOGETHER_SECONDS = 1.0

_last_words: Callable[[], int] | None = None


class Ending:
    """How signals end the program: with 128 and the number, the first one in order.

    A second one ends it at once, and so does time: a signal may have met gRPC while it held a lock,
    which nobody gives back then. `clock`: monotonic seconds. Signals come in the main thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: float | None = None

    def take(self, number: int, _frame: object) -> None:
        """End the program; for `signal.signal`."""
        now = self._clock()
        if self._began is None:
            self._began = now
            guard = threading.Timer(IN_ORDER_SECONDS, os._exit, (128 + number,))
            guard.daemon = True
            guard.start()
            sys.exit(128 + number)
        if now - self._began > TOGETHER_SECONDS:
            os._exit(128 + number)


def exit_on_signals() -> None:
    """Let each of `ENDING_SIGNALS` end the program."""
    ending = Ending()
    for number in ENDING_SIGNALS:
        signal.signal(number, ending.take)


@contextmanager
def wakeable(last_words: Callable[[], int]) -> Iterator[None]:
    """Let `interrupt_main_thread` work for the length of the block; in the main thread.

    `last_words` says what is to be said at the end, and returns the exit code: where the main
    thread cannot be woken to do so, the thread that ends the program does.
    """
    global _last_words
    _last_words = last_words
    if WAKE_SIGNAL is None:
        yield
        return
    before = signal.signal(WAKE_SIGNAL, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(WAKE_SIGNAL, before)


def interrupt_writing(thread: int) -> None:
    """Make a thread that is blocked in a write begin it anew, wherever its stream goes to by now.

    So Python does with a system call that a signal interrupts (PEP 475). Called in the main thread,
    at the end: the signal wakes nobody any more. Does nothing on Windows.
    """
    if WAKE_SIGNAL is not None:
        signal.signal(WAKE_SIGNAL, lambda number, _frame: None)
        signal.pthread_kill(thread, WAKE_SIGNAL)


def interrupt_main_thread() -> None:
    """Make the main thread stop waiting for a line; it sees a `KeyboardInterrupt`.

    On Windows, where nothing but a key can wake it, end the program, having said why.
    """
    if WAKE_SIGNAL is not None:
        signal.pthread_kill(threading.main_thread().ident or 0, WAKE_SIGNAL)
        return
    code = EXIT_FAILED
    try:
        if _last_words is not None:
            code = _last_words()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
