"""The log's own time: it never runs back, and does not believe a clock that leaps.

Knows no storage. One thread uses it, the writer's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

SECOND = 1_000_000  # microseconds
DAY = 24 * 3600 * SECOND
# A clock that is ahead by more than this of what has passed since it was last believed is wrong,
# until it has said so for just as long: then it is we who were.
MAX_LEAP = DAY
LEAP_LASTS_SECONDS = 24 * 3600.0


def _wall_microseconds() -> int:
    return time.time_ns() // 1000


def _elapsed_seconds() -> float:
    """Return seconds that no setting of the clock changes, the time asleep included.

    Windows' monotonic clock counts that by itself; Linux and macOS have clocks that do.
    """
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        if (clock := getattr(time, name, None)) is not None:
            return time.clock_gettime(clock)
    return time.monotonic()


@dataclass(frozen=True)
class Clocks:
    """What tells the time: microseconds since 1970 (UTC), and seconds that only ever pass."""

    wall_microseconds: Callable[[], int] = _wall_microseconds
    elapsed_seconds: Callable[[], float] = _elapsed_seconds


class SteadyClock:
    """The clock on the wall, but for its leaps ahead: those are believed when they have lasted.

    Until then time goes on from `begin`, the last moment (microseconds since 1970) that is known
    to be right, as it passes. A clock that is put back is believed at once.
    """

    def __init__(self, clocks: Clocks, begin: int) -> None:
        self._clocks = clocks
        self._known = begin
        self._known_at = clocks.elapsed_seconds()
        self._leapt_at: float | None = None

    def now(self) -> int:
        """Return the time, in microseconds since 1970."""
        at = self._clocks.elapsed_seconds()
        wall = self._clocks.wall_microseconds()
        expected = self._known + int((at - self._known_at) * SECOND)
        if wall - expected <= MAX_LEAP:
            self._leapt_at = None
        elif self._leapt_at is None:
            self._leapt_at = at
            return expected
        elif at - self._leapt_at < LEAP_LASTS_SECONDS:
            return expected
        self._known, self._known_at = wall, at
        return wall


class LogClock:
    """When messages are committed, and how old the log's oldest may be.

    `newest`: when the newest message in the log was, 0 in an empty one.
    """

    def __init__(self, newest: int, clocks: Clocks | None = None) -> None:
        clocks = clocks or Clocks()
        self._newest = newest
        self._clock = SteadyClock(clocks, clocks.wall_microseconds())
        # What removes messages trusts the log more than the clock of a machine that just started.
        self._age = SteadyClock(clocks, newest) if newest else self._clock

    def stamp(self) -> int:
        """Return the time for what is committed now: never less than before."""
        self._newest = max(self._clock.now(), self._newest)
        return self._newest

    def now_for_trimming(self) -> int:
        """Return the time from which the age of messages is counted."""
        return self._age.now()
