"""What one client gets next: the seam where what is read from the log meets what is queued.

Joining with history, coming back after a lost connection, entering a room, and catching up after a
full queue are one thing: reading the log from an id, page by page, until a page meets the queue.
The order at the seam, for each subscription, which makes that neither lose nor double a message:

1. While it has a gap, nothing of it is queued: what is committed then is left to the log.
2. `clear_gap()` comes before a page is read: whatever is committed from then on is queued.
3. The page is read, and the cursor put at its end. A commit is seen by a read before it is
   delivered, so the page may hold messages that are queued as well.
4. A page that reaches what had been broadcast before 2 meets the queue: it comes before what is
   queued, of which what is not after the cursor is left out (`Delivery.after`).
5. Any other page is followed by more: `mark_gap()` leaves what was queued meanwhile to the log.

A page is small at first, and grows with a reader who takes what it is sent: one who takes nothing
holds no more than a batch. What all hold beyond that is bounded as well (`budget.py`).

Between two subscriptions there is no order, nor between them and events. Pages and what is queued
take turns, so that neither a busy room nor a long history keeps the other waiting; but an answer is
never behind a page, since it may say from where the page is (ENTERED, a notice of what is missing).

Knows no gRPC and no SQL; everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_BATCH_BYTES
from chat.server.batch_size import BatchSize
from chat.server.budget import Budget, Budgets
from chat.server.encoding import Delivery
from chat.server.log.base import MAX_PAGE_BYTES, Log, LogError
from chat.server.rate_limit import RateLimit
from chat.server.send_queue import SendQueue
from chat.server.shared_pages import SharedPages
from chat.server.subscription import Subscription

# Messages that a client behind the others gets from the log at a time.
PAGE_MESSAGES = 500
# The first page of a reader; each is twice the one before while they are written as quickly as this
# (it includes a rest of the writer's), up to `MAX_PAGE_BYTES`.
MIN_PAGE_BYTES = MAX_BATCH_BYTES
QUICK_SECONDS = 0.25
# Of a part of a history, which has a key and a room of its own.
PART_BYTES = MAX_BATCH_BYTES - (2 << 10)

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


@dataclass
class History:
    """What a client asked to hear once more: of `room`, between the ids `after` and `before`."""

    room: str
    key: str
    after: int
    before: int


class PageSize:
    """How large the next page of one reader may be."""

    __slots__ = ("_begun_at", "_budget", "_is_over", "_lent_bytes", "_wanted_bytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._wanted_bytes = MIN_PAGE_BYTES
        self._lent_bytes = 0
        self._begun_at: float | None = None
        self._is_over = False

    def begin(self) -> int:
        """Return how many bytes may be read now."""
        self._give_back()  # of a page that brought nothing
        self._begun_at = asyncio.get_running_loop().time()
        if not self._is_over:
            self._lent_bytes = self._budget.lend(self._wanted_bytes - MIN_PAGE_BYTES)
        return MIN_PAGE_BYTES + self._lent_bytes

    def end(self) -> None:
        """Note that what was read has been written, or that there was nothing."""
        if self._begun_at is None:
            return
        took_seconds = asyncio.get_running_loop().time() - self._begun_at
        self._begun_at = None
        if took_seconds > QUICK_SECONDS:
            self._wanted_bytes = MIN_PAGE_BYTES
        else:
            self._wanted_bytes = min(2 * self._wanted_bytes, MAX_PAGE_BYTES)
        self._give_back()

    def close(self) -> None:
        """Give back what was lent, and borrow no more."""
        self._is_over = True
        self._give_back()

    def _give_back(self) -> None:
        self._budget.give_back(self._lent_bytes)
        self._lent_bytes = 0


class Replay:
    """Pages of the log, what the queue holds, and a history that was asked for, taking turns."""

    __slots__ = (
        "_history",
        "_is_turn_of_pages",
        "_log",
        "_page_at",
        "_page_size",
        "_pages",
        "_queue",
        "batch_size",
        "rate_limit",
    )

    rate_limit: RateLimit  # set before the first page

    def __init__(self, log: Log, queue: SendQueue, pages: SharedPages, budgets: Budgets) -> None:
        self._log = log
        self._queue = queue
        self._pages = pages
        self._page_size = PageSize(budgets.pages)
        self.batch_size = BatchSize(budgets.batches)
        self._history: History | None = None
        self._is_turn_of_pages = False
        self._page_at = 0.0  # when the next page may be read, in seconds of the loop's clock

    def close(self) -> None:
        """Note that the stream has ended, whatever is still being written."""
        self._page_size.close()
        self.batch_size.close()

    def begin_history(self, history: History) -> None:
        """Hand out a history, page by page; its echo is an answer that is owed from now on."""
        self._history = history
        self._queue.owe_answer()

    async def next(self) -> list[Delivery]:
        """Wait for something to send and return it, in order; empty: all that is owed was sent.

        For the one writer of the stream, who has written what it was given before. Raises
        LOG_UNREADABLE.
        """
        queue = self._queue
        self._page_size.end()
        while True:
            if queue.gaps or self._history is not None:
                if deliveries := await self._take_turn():
                    return deliveries
            elif queue.is_due:
                self._is_turn_of_pages = True
                if deliveries := self._take_queued():
                    return deliveries
            elif queue.is_closed:
                return []
            else:
                await queue.wait_ready()

    async def _take_turn(self) -> list[Delivery]:
        """Return what is queued or the next page, whose turn it is; empty: look again."""
        wait_seconds = self._page_at - asyncio.get_running_loop().time()
        may_read = wait_seconds <= 0 and not self._queue.has_waiting_answers
        if self._queue.is_due and not (self._is_turn_of_pages and may_read):
            self._is_turn_of_pages = True
            return self._take_queued()
        if wait_seconds > 0:
            await asyncio.wait({self._queue.wait_ready()}, timeout=wait_seconds)
            return []
        self._is_turn_of_pages = False
        page = await self._read_page()
        if page is None:
            return []
        self._pay_for(page)
        return [page]

    def _pay_for(self, page: Delivery) -> None:
        """Have the next page wait, where this address reads faster than it may."""
        if wait_seconds := self.rate_limit.read(page.size_bytes):
            self._page_at = asyncio.get_running_loop().time() + wait_seconds

    def _take_queued(self) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for delivery, place, _is_answer in self._queue.take(self.batch_size.most_bytes):
            rest = delivery
            if place is not None:
                if delivery.first_id <= place.seen_id:  # a page had some of it
                    rest = delivery.after(place.seen_id)
                    if not rest.messages:
                        continue
                place.seen_id = rest.last_id
                if place.hides_ids:
                    rest = rest.without_ids()
            deliveries.append(rest)
        return deliveries

    async def _read_page(self) -> Delivery | None:
        if self._queue.gaps:
            return await self._read_on(self._queue.gaps[0])
        assert self._history is not None
        return await self._read_history(self._history)

    async def _read_on(self, place: Subscription) -> Delivery | None:
        """Read what comes next in one subscription."""
        broadcast_id = place.room.last_id
        self._queue.clear_gap(place)
        size = self._page_size.begin()
        reading = self._pages.read(place.room, place.seen_id, PAGE_MESSAGES, size)
        page = await readable(reading)
        is_last = self._queue.is_closed or place.is_leaving
        if place.is_leaving:
            page = page.until(place.owed_id)
        if not page.messages or place.has_ended:
            self._queue.mark_caught_up(place)
            return None
        place.seen_id = page.last_id
        if place.seen_id < (place.owed_id if is_last else broadcast_id):
            self._queue.mark_gap(place)
        else:
            self._queue.mark_caught_up(place)
        return page.without_ids() if place.hides_ids else page

    async def _read_history(self, history: History) -> Delivery:
        """Return the next part of a history, or its end; of a closing client's, the end."""
        part = chat_pb2.Message(kind=chat_pb2.KIND_HISTORY, room=history.room, key=history.key)
        if not self._queue.is_closed:
            after, before = history.after, history.before
            reading = self._log.read(history.room, after, PAGE_MESSAGES, before, PART_BYTES)
            part.batch.extend(await readable(reading))
        if part.batch:
            history.after = part.batch[-1].id
        else:
            self._history = None
            self._queue.take_owed()
        return Delivery([part])


async def readable(reading: Awaitable[_Result]) -> _Result:
    """Return what the log read; to a client its trouble is a refusal, to the operator a line."""
    try:
        return await reading
    except LogError as error:
        _log.error("%s", str(error))
        raise ChatError("LOG_UNREADABLE") from error
