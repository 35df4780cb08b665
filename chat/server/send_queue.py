"""The bounded queue of one client: what is to be written to it, in order.

Bounded in messages and in bytes. When it is full, what comes from the log is left to the log, and
the client reads it there later (`replay.py`); other events are dropped, and `put` says so. Knows
neither the log nor the client; everything runs in the event loop.
"""

from __future__ import annotations

import asyncio

from chat.server.encoding import Delivery

# What a queue holds at most; a single larger delivery still goes into an empty queue.
MAX_QUEUED_MESSAGES = 4096
MAX_QUEUED_BYTES = 1 << 20


class SendQueue:
    """Deliveries that wait to be written; one task puts, one takes.

    `has_gap`: before the queue there are messages that only the log has. `is_closed`: nothing more
    is taken in. `queued_messages`, `queued_bytes`: how much waits.
    """

    # Ten thousand of them are visited for each message: the smaller the faster.
    __slots__ = (
        "_deliveries",
        "_ready",
        "has_gap",
        "is_closed",
        "queued_bytes",
        "queued_messages",
    )

    def __init__(self) -> None:
        self.has_gap = False
        self.is_closed = False
        self._deliveries: list[Delivery] = []
        self.queued_messages = 0
        self.queued_bytes = 0
        self._ready: asyncio.Future[None] | None = None  # of the one who waits in `wait_ready`

    def put(self, delivery: Delivery) -> bool:
        """Queue `delivery`, or leave it to the log; say whether it will be sent at all."""
        if self.is_closed:
            return False
        if delivery.is_logged and self.has_gap:
            wake(self._ready)
            return True
        if self._deliveries and not self._fits(delivery):
            if delivery.is_logged:
                self.mark_gap()
            return delivery.is_logged
        self._deliveries.append(delivery)
        self.queued_messages += len(delivery.messages)
        self.queued_bytes += delivery.size_bytes
        wake(self._ready)
        return True

    def take_all(self) -> list[Delivery]:
        """Return everything that waits, in order, and empty the queue."""
        taken, self._deliveries = self._deliveries, []
        self.queued_messages = self.queued_bytes = 0
        return taken

    def close(self) -> None:
        """Take nothing more in; what waits can still be taken out."""
        self.is_closed = True
        wake(self._ready)

    @property
    def has_deliveries(self) -> bool:
        """Whether anything waits."""
        return bool(self._deliveries)

    def mark_gap(self) -> None:
        """Leave what comes from the log to the log: there is more before it."""
        events = [delivery for delivery in self._deliveries if not delivery.is_logged]
        self._deliveries = events
        self.queued_messages = sum(len(event.messages) for event in events)
        self.queued_bytes = sum(event.size_bytes for event in events)
        self.has_gap = True

    def clear_gap(self) -> None:
        """Queue what comes from the log again: the next page of it may be the last."""
        self.has_gap = False

    def wait_ready(self) -> asyncio.Future[None]:
        """Return what is done when there is something to take, or the queue is closed.

        For the one writer, who calls it when neither is so; a second call takes it from the first.
        """
        self._ready = asyncio.get_running_loop().create_future()
        return self._ready

    def _fits(self, delivery: Delivery) -> bool:
        return (
            self.queued_messages + len(delivery.messages) <= MAX_QUEUED_MESSAGES
            and self.queued_bytes + delivery.size_bytes <= MAX_QUEUED_BYTES
        )


def wake(future: asyncio.Future[None] | None) -> None:
    """Let whoever waits for `future` go on."""
    if future is not None and not future.done():
        future.set_result(None)
