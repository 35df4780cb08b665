"""When those write who rest: all at the same moment. Knows neither gRPC nor the clients.

A write to a client that takes batches costs nearly the same for one message as for a hundred, so
under load each writer rests after a write, and more gathers meanwhile. They go on together. Were
each to rest by itself, for a multiple of what its own write took, they would drift apart; the
writes of a few take no time, so they would rest for next to none, and write on and on, a few
messages each. Together they rest for a multiple of a whole turn, however fast their readers are
(`bench/rounds_model.py`). Everything here runs in the event loop.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from chat.server.send_queue import wake

# The rest grows by the square of what the loop worked while the first write of a round was under
# way (by the time that it is done all others have begun): after a turn of so many seconds it is as
# long as that. After one of a hundred clients, some milliseconds, it is half of it, after one of a
# thousand several times as much.
LONG_TURN_SECONDS = 0.01
# To measure what it brings: so many times as long a rest.
REST_FACTOR = 1.0
MAX_REST_SECONDS = 0.1
# When a write begins is known to so much: asking Linux how long a thread has worked is a call of
# the system, twelve times as dear as asking for the time.
BEGUN_SECONDS = 0.0005


def worked_seconds() -> float:
    """Return how long this thread has worked, whatever else the machine does meanwhile.

    On Windows, which counts that in steps of 16 ms, the time that has passed.
    """
    return time.monotonic() if sys.platform == "win32" else time.thread_time()


class Rounds:
    """The writers of one server that rest, and when they go on. `clock`: in seconds, a fine one."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._resting: list[asyncio.Future[None]] = []
        self._clock = clock
        self._asked_at = 0.0  # by the clock
        self._worked_seconds = 0.0  # until then

    def begin(self) -> float:
        """Return how long the loop has worked when a write begins, for `rest` after it."""
        now = self._clock()
        if now - self._asked_at > BEGUN_SECONDS:
            self._asked_at, self._worked_seconds = now, worked_seconds()
        return self._worked_seconds

    def rest(self, begun: float) -> asyncio.Future[None]:
        """Return what is done when the next round begins.

        `begun`: what `begin` returned for the write.
        """
        loop = asyncio.get_running_loop()
        if not self._resting:
            turn_seconds = worked_seconds() - begun
            rest_seconds = REST_FACTOR * turn_seconds**2 / LONG_TURN_SECONDS
            loop.call_later(min(rest_seconds, MAX_REST_SECONDS), self._begin)
        rested = loop.create_future()
        self._resting.append(rested)
        return rested

    def _begin(self) -> None:
        resting, self._resting = self._resting, []
        for rested in resting:
            wake(rested)
