"""What one task waits for, with a time limit, a thousand times a second. In the event loop.

`asyncio.wait_for` around an event makes a task of each waiting, which costs as much as what is
waited for.
"""

from __future__ import annotations

import asyncio


class Bell:
    """Wakes the one task that waits for it. Rung while nobody waits, it wakes the next at once."""

    def __init__(self) -> None:
        self._is_rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake whoever waits."""
        self._is_rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def silence(self) -> None:
        """Forget that it was rung while nobody waited: that was about something else."""
        self._is_rung = False

    async def wait(self, seconds: float | None) -> bool:
        """Wait for so long at the most; say whether it was rung."""
        if not self._is_rung:
            loop = asyncio.get_running_loop()
            waiter = self._waiter = loop.create_future()
            timer = loop.call_later(seconds, _settle, waiter) if seconds is not None else None
            try:
                await waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        is_rung, self._is_rung = self._is_rung, False
        return is_rung


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
