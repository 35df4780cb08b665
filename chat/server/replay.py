"""A client's cursor in the log, and the seam where what is read meets what is queued.

Joining with history, coming back after a lost connection, and catching up after a full queue are
one thing: reading the log from an id, page by page, until a page meets the queue. The order at the
seam, which makes that neither lose nor double a message:

1. `clear_gap()` comes before the page is read: whatever is committed from then on is queued.
2. The page is read, and the cursor put at its end. A commit is seen by a read before it is
   delivered, so the page may hold messages that are queued as well.
3. A page that is not full has reached the end of the log: what is queued comes next, without what
   is not after the cursor (`Delivery.after`).
4. A full page may be followed by more: `mark_gap()` leaves the queue's messages to the log.
5. Events of the queue (presence, notices) have no place in the log: they come when they can.

Knows no gRPC and no SQL; everything runs in the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TypeVar

from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_HISTORY
from chat.protocol.metadata import JoinRequest
from chat.server.encoding import Delivery
from chat.server.log.base import Log, LogError
from chat.server.send_queue import SendQueue

# Messages that a client behind the others gets from the log at a time.
PAGE_MESSAGES = 500

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class Replay:
    """What one client gets next: a page of the log, or what its queue holds.

    `seen_id`: the last log message handed out. `owed_id`: once the queue is closed, the last one
    that is still owed.
    """

    __slots__ = ("_log", "_queue", "_room_key", "owed_id", "seen_id")

    def __init__(self, log: Log, room_key: str, queue: SendQueue, seen_id: int) -> None:
        self._log = log
        self._room_key = room_key
        self._queue = queue
        self.seen_id = seen_id
        self.owed_id = 0

    async def begin(self, request: JoinRequest) -> str:
        """Put the cursor where a full client's stream begins.

        Returns the reason of the notice it must get, empty for none; raises LOG_UNREADABLE.
        """
        self._queue.mark_gap()  # nothing is queued before the beginning is known
        missing, start = "", request.after
        if start is not None and start > await _readable(self._log.last_id()):
            start, missing = None, "LOG_REWOUND"
        elif start is not None and not await self._reaches_back_to(start):
            missing = "HISTORY_GONE"
        if start is None:
            count = min(max(request.history, 0), MAX_HISTORY)
            start = await _readable(self._log.start_of_last(self._room_key, count))
        self.seen_id = start
        return missing

    async def next(self) -> list[Delivery]:
        """Wait for something to send and return it, in order; empty: all that is owed was sent.

        For the one writer of the stream. Raises LOG_UNREADABLE.
        """
        queue = self._queue
        while True:
            if queue.has_deliveries:
                if deliveries := self._take_queued():
                    return deliveries
            elif queue.has_gap:
                if page := await self._read_page():
                    return [page]
            elif queue.is_closed:
                return []
            else:
                await queue.wait_ready()

    def _take_queued(self) -> list[Delivery]:
        after = self.seen_id
        deliveries = [delivery.after(after) for delivery in self._queue.take_all()]
        deliveries = [delivery for delivery in deliveries if delivery.messages]
        for delivery in reversed(deliveries):
            if delivery.is_logged:
                self.seen_id = delivery.last_id
                break
        return deliveries

    async def _read_page(self) -> Delivery | None:
        self._queue.clear_gap()
        page = await _readable(self._log.read(self._room_key, self.seen_id, PAGE_MESSAGES))
        if not page:
            return None
        delivery = Delivery(page, is_logged=True)
        self.seen_id = delivery.last_id
        is_owed_more = not self._queue.is_closed or self.seen_id < self.owed_id
        if len(page) == PAGE_MESSAGES and is_owed_more:
            self._queue.mark_gap()
        return delivery

    async def _reaches_back_to(self, start: int) -> bool:
        return await _readable(self._log.reaches_back_to(self._room_key, start))


async def _readable(reading: Awaitable[_Result]) -> _Result:
    """Return what the log read; to a client its trouble is a refusal, to the operator a line."""
    try:
        return await reading
    except LogError as error:
        _log.error("%s", error)
        raise ChatError("LOG_UNREADABLE") from error
