"""The bounded queue of one client: what fits, what is left to the log, and who is woken."""

from __future__ import annotations

import pytest
from rooms import Message, bounded

from chat.server import send_queue
from chat.server.encoding import Delivery
from chat.server.send_queue import SendQueue


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three messages fill a queue, or a thousand bytes."""
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 3)
    monkeypatch.setattr(send_queue, "MAX_QUEUED_BYTES", 1000)


def logged(count: int = 1, text: str = "oi") -> Delivery:
    """Return messages of the log."""
    return Delivery([Message(message=text, id=1 + n) for n in range(count)], is_logged=True)


def event(text: str = "oi") -> Delivery:
    """Return what comes now or never."""
    return Delivery([Message(message=text)])


@pytest.mark.parametrize("large", [logged(4), logged(1, "x" * 1000)], ids=["messages", "bytes"])
def test_single_larger_delivery_goes_into_an_empty_queue(large: Delivery) -> None:
    """Else it would never be sent: the log would be read for it again and again."""
    queue = SendQueue()
    assert queue.put(large)
    assert not queue.has_gap and queue.take_all() == [large]


def test_queue_is_full_at_its_bounds_and_not_before() -> None:
    """As many messages as it holds; the next one is left to the log, or dropped and said to be."""
    queue = SendQueue()
    assert queue.put(logged(2)) and queue.put(event())
    assert queue.queued_messages == 3 and not queue.has_gap
    assert not queue.put(event())
    assert queue.queued_messages == 3 and not queue.has_gap
    assert queue.put(logged())
    assert queue.has_gap


def test_bytes_fill_it_as_well() -> None:
    """To the byte."""
    first = event("x" * 100)
    rest = "x" * (1000 - first.size_bytes - event("").size_bytes)
    queue = SendQueue()
    assert queue.put(first) and queue.put(event(rest))
    assert queue.queued_bytes == 1000
    queue.take_all()
    assert queue.put(first) and not queue.put(event(rest + "x"))


def test_what_is_left_to_the_log_takes_no_room_and_events_do() -> None:
    """Events that were before the gap stay, and count, until they are taken."""
    queue = SendQueue()
    kept = event("x" * 500)
    queue.put(logged(1))
    queue.put(kept)
    queue.mark_gap()
    assert (queue.queued_messages, queue.queued_bytes) == (1, kept.size_bytes)
    assert not queue.put(event("x" * 500))
    assert queue.take_all() == [kept]
    assert (queue.queued_messages, queue.queued_bytes) == (0, 0)


def test_behind_a_gap_the_log_is_left_alone_until_it_is_read() -> None:
    """Nothing of the log overtakes what only the log has."""
    queue = SendQueue()
    queue.mark_gap()
    assert queue.put(logged()) and not queue.has_deliveries
    assert queue.put(event()) and queue.has_deliveries
    queue.take_all()
    queue.clear_gap()
    assert queue.put(logged()) and queue.has_deliveries


@pytest.mark.parametrize("late", [logged(), event()], ids=["log", "event"])
def test_closed_queue_takes_nothing_more(late: Delivery) -> None:
    """And says so; what was there can still be taken."""
    queue = SendQueue()
    first = event()
    queue.put(first)
    queue.close()
    assert not queue.put(late)
    assert queue.take_all() == [first]


async def test_whoever_waits_is_woken_by_each_thing_that_may_be_taken() -> None:
    """By a delivery, by one that is left to the log, and by the end; twice does no harm."""
    queue = SendQueue()
    for wake in (lambda: queue.put(event()), lambda: queue.put(logged()), queue.close):
        ready = queue.wait_ready()
        wake()
        await bounded(ready)
        queue.put(event())
        queue.mark_gap()
