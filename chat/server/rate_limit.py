"""How fast one client may speak. Knows nothing of clients; called in the event loop."""

from __future__ import annotations

import time
from collections.abc import Callable

# A client above its rate may still send this many seconds' worth at once.
BURST_SECONDS = 10.0


class TokenBucket:
    """A token bucket: `rate` tokens a second, bursts of `BURST_SECONDS` times that; 0: no limit."""

    __slots__ = ("_clock", "_full_at", "_rate")

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._full_at = 0.0  # when the bucket is, or was, full again

    def take(self) -> float:
        """Take one token and return the seconds to wait before the next may be taken."""
        if not self._rate:
            return 0.0
        now = self._clock()
        self._full_at = max(self._full_at, now) + 1 / self._rate
        return max(0.0, self._full_at - now - BURST_SECONDS)
