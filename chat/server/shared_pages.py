"""Pages of the log, read once for all who ask for the same one within a moment.

When many come at once, a class or everybody after a restart, they ask for the same last messages:
these are read and encoded once for all of them. Knows no queues and no SQL; everything runs in the
event loop.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from chat.protocol.limits import MAX_BATCH_BYTES
from chat.server.encoding import Delivery
from chat.server.log.base import Log
from chat.server.room import Room

# The first page of a reader is no larger; later ones are its own.
MAX_SHARED_BYTES = MAX_BATCH_BYTES
# A page is kept for so long, and so many are: what was trimmed since then is in none for longer.
SHARED_SECONDS = 1.0
MAX_SHARED = 32

# A room, after which id, what had been broadcast there, and how often the log was put back.
_Key = tuple[str, int, int, int]


class SharedPages:
    """The pages of one log.

    One that was read since the newest message was broadcast in its room has all that had been
    broadcast there by the time it is asked for again: what `replay.py` wants of any page.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._shared: dict[_Key, asyncio.Task[Delivery]] = {}

    async def read(self, room: Room, after: int, limit: int, max_bytes: int) -> Delivery:
        """Return what comes next in a room after an id, perhaps nothing, as `Log.read` does."""
        key = (room.key, after, room.last_id, self._log.rewinds)
        reading = self._shared.get(key)
        if reading is None:
            if max_bytes > MAX_SHARED_BYTES or len(self._shared) >= MAX_SHARED:
                return await self._read(room.key, after, limit, max_bytes)
            reading = asyncio.ensure_future(self._read(room.key, after, limit, max_bytes))
            self._share(key, reading)
        return await asyncio.shield(reading)

    async def _read(self, room: str, after: int, limit: int, max_bytes: int) -> Delivery:
        page = await self._log.read(room, after, limit, max_bytes=max_bytes)
        return Delivery(page, is_logged=True)

    def _share(self, key: _Key, reading: asyncio.Task[Delivery]) -> None:
        """Keep a page for a moment, unless it cannot be read."""

        def forget() -> None:
            self._shared.pop(key, None)

        def forget_failed(reading: asyncio.Task[Delivery]) -> None:
            with suppress(asyncio.CancelledError):
                if reading.exception() is not None:
                    forget()

        self._shared[key] = reading
        reading.add_done_callback(forget_failed)
        asyncio.get_running_loop().call_later(SHARED_SECONDS, forget)
