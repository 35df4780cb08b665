"""The bounded queue of one client: what is to be written to it, in order.

Three sorts of delivery go through it, and differ in what happens when it is full:

- what comes from the log is left to the log, and the client reads it there later (`replay.py`);
- events (presence) are dropped: they are worth nothing later;
- answers to what the client asked are never dropped: instead nothing more is read from it until
  they have been written (`wait_answered`), so that there are never many.

Bounded in messages and in bytes, those of names and keys included. Knows neither the log nor the
client; everything runs in the event loop.
"""

from __future__ import annotations

import asyncio

from chat.protocol.limits import MAX_BATCH_BYTES
from chat.server.encoding import Delivery
from chat.server.subscription import Subscription

# What a queue holds at most; a single larger delivery still goes into an empty queue. With what is
# being written and a page of the log, one reader takes less than 1.5 MiB.
MAX_QUEUED_MESSAGES = 4096
MAX_QUEUED_BYTES = 768 << 10

# What it is, which place in the log it belongs to, and whether it is an answer.
Item = tuple[Delivery, "Subscription | None", bool]


class SendQueue:
    """Deliveries that wait to be written; one task puts, one takes.

    `gaps`: the subscriptions that have messages which only the log has, and whose place in it is
    known. `is_closed`: nothing more is taken in. `is_due`: something is to be written now, and not
    only with what comes next. `queued_messages`, `queued_bytes`: how much waits.
    """

    # Ten thousand of them are visited for each message: the smaller the faster.
    __slots__ = (
        "_answered",
        "_has_rest",
        "_items",
        "_owed",
        "_ready",
        "_taken_messages",
        "_unanswered",
        "_unwritten",
        "gaps",
        "is_closed",
        "is_due",
        "queued_bytes",
        "queued_messages",
    )

    def __init__(self) -> None:
        self.gaps: list[Subscription] = []
        self.is_closed = False
        self.is_due = False
        self.queued_messages = 0
        self.queued_bytes = 0
        self._items: list[Item] = []
        self._has_rest = False  # the last `take` left something
        self._taken_messages = 0  # by it
        # Answers that wait here, that are still being made, and that are being written.
        self._unanswered = 0
        self._owed = 0
        self._unwritten = 0
        self._ready: asyncio.Future[None] | None = None  # of the one who waits in `wait_ready`
        self._answered: asyncio.Future[None] | None = None  # and in `wait_written`

    # Putting in.

    def put(self, delivery: Delivery, subscription: Subscription) -> None:
        """Queue what the log has committed, or leave it to the log."""
        if self.is_closed:
            return
        if not subscription.has_gap:
            if self._items and not self._fits(delivery):
                self.mark_gap(subscription)
            else:
                # As `_append` does, without a call: a thousand queues are put into for each group.
                self._items.append((delivery, subscription, False))
                self.queued_messages += len(delivery.messages)
                self.queued_bytes += delivery.size_bytes
                self.is_due = True
        wake(self._ready)

    def put_event(self, delivery: Delivery, is_urgent: bool = True) -> None:
        """Queue an event that comes now or never; drop it where it does not fit.

        One that is not urgent waits until something else comes, or `wake`.
        """
        if not self.is_closed and (not self._items or self._fits(delivery)):
            self._append(delivery)
            if is_urgent:
                self.wake()

    def wake(self) -> None:
        """Have written what waits here."""
        if self._items:
            self.is_due = True
            wake(self._ready)

    def put_answer(self, delivery: Delivery) -> None:
        """Queue the answer to something that the client asked, however full the queue is."""
        if not self.is_closed:
            self._unanswered += 1
            self._append(delivery, is_answer=True)
            self.wake()

    def _append(self, delivery: Delivery, is_answer: bool = False) -> None:
        self._items.append((delivery, None, is_answer))
        self.queued_messages += len(delivery.messages)
        self.queued_bytes += delivery.size_bytes

    def _fits(self, delivery: Delivery) -> bool:
        return (
            self.queued_messages + len(delivery.messages) <= MAX_QUEUED_MESSAGES
            and self.queued_bytes + delivery.size_bytes <= MAX_QUEUED_BYTES
            and not delivery.is_too_much
        )

    # Taking out; for the one writer.

    @property
    def is_busy(self) -> bool:
        """Whether messages come so fast that more of them would gather in a while.

        Several were taken at once, or more has come since; but nothing was left then, nor to the
        log.
        """
        has_more = self._taken_messages > 1 or self.is_due
        return has_more and not self._has_rest and not self.gaps

    def take(self, most_bytes: int = MAX_BATCH_BYTES) -> list[Item]:
        """Return what waits, in order: as much as makes one batch of `most_bytes`, or one delivery.

        Until it is written, nobody can leave it to the log any more.
        """
        queued_messages = self.queued_messages
        if self.queued_bytes <= most_bytes:
            taken, self._items = self._items, []
            self.queued_messages = self.queued_bytes = 0
        else:
            count = self._count_to_take(most_bytes)
            taken, self._items = self._items[:count], self._items[count:]
            self._measure()
        if self._unanswered:
            answers = sum(is_answer for _delivery, _place, is_answer in taken)
            self._unanswered -= answers
            self._unwritten += answers
        self._has_rest = self.is_due = bool(self._items)
        self._taken_messages = queued_messages - self.queued_messages
        return taken

    def _count_to_take(self, most_bytes: int) -> int:
        size = 0
        for count, (delivery, _place, _is_answer) in enumerate(self._items):
            size += delivery.batch_bytes
            if size > most_bytes and count:
                return count
        return len(self._items)

    def _measure(self) -> None:
        """Count anew what waits."""
        self.queued_messages = sum(len(item[0].messages) for item in self._items)
        self.queued_bytes = sum(item[0].size_bytes for item in self._items)

    def mark_written(self) -> None:
        """Note that everything taken so far has been written."""
        self._unwritten = 0
        if self._answered is not None and not self.has_answers:
            wake(self._answered)

    def wait_ready(self) -> asyncio.Future[None]:
        """Return what is done when there is something to take, or the queue is closed.

        For the one writer, who calls it when neither is so; a second call takes it from the first.
        """
        self._ready = asyncio.get_running_loop().create_future()
        return self._ready

    def close(self) -> None:
        """Take nothing more in; what waits can still be taken out."""
        self.is_closed = True
        self.is_due = bool(self._items)
        wake(self._ready)
        wake(self._answered)

    # Answers; for the one reader.

    @property
    def has_answers(self) -> bool:
        """Whether an answer has not been written yet."""
        return bool(self._unanswered or self._owed or self._unwritten)

    @property
    def has_waiting_answers(self) -> bool:
        """Whether an answer waits here."""
        return self._unanswered > 0

    def owe_answer(self) -> None:
        """Count an answer that the writer makes by itself, in parts (a history)."""
        self._owed += 1
        wake(self._ready)

    def take_owed(self) -> None:
        """Count such an answer as taken: its last part is about to be written."""
        self._owed -= 1
        self._unwritten += 1

    async def wait_answered(self) -> None:
        """Return when every answer has been written, or the queue is closed."""
        while self.has_answers and not self.is_closed:
            await self.wait_written()

    def wait_written(self) -> asyncio.Future[None]:
        """Return what is done when more was written and no answer waits, or the queue is closed.

        For the one reader; a second call takes it from the first.
        """
        self._answered = asyncio.get_running_loop().create_future()
        return self._answered

    # What only the log has.

    def mark_gap(self, subscription: Subscription) -> None:
        """Leave what is said there to the log: there is more before it."""
        self.forget(subscription)
        subscription.has_gap = subscription.is_behind = True
        self.gaps.append(subscription)

    def clear_gap(self, subscription: Subscription) -> None:
        """Queue what is said there again: the next page may be the last."""
        subscription.has_gap = False
        self.gaps.remove(subscription)

    def mark_caught_up(self, subscription: Subscription) -> None:
        """Note that what the log alone had has been taken; what is queued comes after it."""
        subscription.is_behind = False
        wake(self._answered)

    def owes(self, subscription: Subscription) -> bool:
        """Say whether something of it waits here, or is left to the log."""
        return subscription.is_behind or any(item[1] is subscription for item in self._items)

    def forget(self, subscription: Subscription) -> None:
        """Take out what waits of a subscription."""
        if subscription in self.gaps:
            self.gaps.remove(subscription)
        kept = [item for item in self._items if item[1] is not subscription]
        if len(kept) < len(self._items):
            self._items = kept
            self.is_due = self.is_due and bool(kept)
            self._measure()


def wake(future: asyncio.Future[None] | None) -> None:
    """Let whoever waits for `future` go on."""
    if future is not None and not future.done():
        future.set_result(None)
