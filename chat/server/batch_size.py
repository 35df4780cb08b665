"""How much may be written to one client at a time: it grows with a reader who takes it soon.

A write costs nearly the same however large it is, so that under load large ones make a delivery
cheaper by a third; but the answer to a ping waits behind what is on its way, and on a slow line
that takes long. So the size grows by a step with each write that was more than half as large as it
might be and was taken soon, and begins anew after one that was not (as TCP feels its way: RFC 5681,
3.1). At first gRPC takes 64 KiB at once, whatever the line can do (RFC 9113, 6.9.2): steps are
small enough that this is over before much has grown. Everything runs in the event loop.
"""

from __future__ import annotations

from chat.protocol.limits import MAX_BATCH_BYTES, MAX_QUICK_BATCH_BYTES
from chat.server.budget import Budget

STEP_BYTES = 16 << 10
# Smaller writes say nothing.
LARGE_BYTES = MAX_BATCH_BYTES // 2
# A line of 128 kB/s has taken the largest by then. A turn of a busy server's loop is within it.
SOON_SECONDS = 1.0

_NOTHING = Budget(0)


class BatchSize:
    """The size of one client's batches. `most_bytes`: of the next one."""

    __slots__ = ("_budget", "most_bytes")

    def __init__(self, budget: Budget) -> None:
        self.most_bytes = MAX_BATCH_BYTES
        self._budget = budget

    def note_write(self, size_bytes: int, took_seconds: float) -> None:
        """Note what was written, and how long the reader took to take it."""
        if took_seconds > SOON_SECONDS:
            self._begin_anew()
        elif self.most_bytes < 2 * size_bytes and self.most_bytes < MAX_QUICK_BATCH_BYTES:
            self.most_bytes += self._budget.lend(STEP_BYTES)

    def close(self) -> None:
        """Give back what was lent, and borrow no more."""
        self._begin_anew()
        self._budget = _NOTHING

    def _begin_anew(self) -> None:
        self._budget.give_back(self.most_bytes - MAX_BATCH_BYTES)
        self.most_bytes = MAX_BATCH_BYTES
