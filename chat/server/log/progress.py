"""What those wait for who wait until something has gone on. Everything runs in the event loop."""

from __future__ import annotations

import asyncio


class Progress:
    """Wakes all who wait for what comes next; while nobody waits, telling costs nothing."""

    def __init__(self) -> None:
        self._next: asyncio.Event | None = None

    async def wait(self) -> None:
        """Return when something has gone on since."""
        if self._next is None:
            self._next = asyncio.Event()
        await self._next.wait()

    def tell(self) -> None:
        """Wake whoever waits."""
        told, self._next = self._next, None
        if told is not None:
            told.set()
