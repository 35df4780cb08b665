"""The bounded queue of one client: what fits, what is left to the log, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from rooms import Message, bounded

from chat.protocol.limits import MAX_BATCH_BYTES
from chat.server import encoding, send_queue
from chat.server.encoding import Backlog, Delivery
from chat.server.room import Room
from chat.server.send_queue import SendQueue
from chat.server.subscription import Subscription


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


def taken(queue: SendQueue, most_bytes: int = MAX_BATCH_BYTES) -> list[Delivery]:
    return [delivery for delivery, _place, _is_answer in queue.take(most_bytes)]


@pytest.fixture
def place() -> Subscription:
    return Subscription(Room("", 0))


@pytest.mark.parametrize("large", [logged(4), logged(1, "x" * 1000)], ids=["messages", "bytes"])
def test_single_larger_delivery_goes_into_an_empty_queue(
    large: Delivery, place: Subscription
) -> None:
    """Else it would never be sent: the log would be read for it again and again."""
    queue = SendQueue()
    queue.put(large, place)
    assert not place.has_gap and taken(queue) == [large]


def test_queue_is_full_at_its_bounds_and_not_before(place: Subscription) -> None:
    """As many messages as it holds; the next one is left to the log, or dropped."""
    queue = SendQueue()
    queue.put(logged(2), place)
    queue.put_event(event())
    assert queue.queued_messages == 3 and not place.has_gap
    queue.put_event(event())
    assert queue.queued_messages == 3
    queue.put(logged(), place)
    assert place.has_gap and queue.gaps == [place]


def test_bytes_fill_it_as_well() -> None:
    """To the byte."""
    first = event("x" * 100)
    rest = "x" * (1000 - first.size_bytes - event("x" * 200).size_bytes + 200)
    queue = SendQueue()
    queue.put_event(first)
    queue.put_event(event(rest))
    assert queue.queued_bytes == 1000
    queue.take()
    queue.put_event(first)
    queue.put_event(event(rest + "x"))
    assert taken(queue) == [first]


def test_answers_are_taken_however_full_it_is(place: Subscription) -> None:
    """And have been answered once they were written, not when they were taken."""
    queue = SendQueue()
    queue.put(logged(3), place)
    answers = [event(str(number)) for number in range(5)]
    for answer in answers:
        queue.put_answer(answer)
    assert queue.has_answers and queue.has_waiting_answers
    assert taken(queue)[1:] == answers
    assert queue.has_answers and not queue.has_waiting_answers
    queue.mark_written()
    assert not queue.has_answers


def test_names_and_keys_fill_it_as_well(place: Subscription) -> None:
    """Bytes are counted as they are written, whatever they are for."""
    message = Message(user="ü" * 32, key="\U0001f600" * 256, room="é" * 32, id=1)
    delivery = Delivery([message], is_logged=True)
    assert delivery.size_bytes >= message.ByteSize()
    queue = SendQueue()
    queue.put_event(event())
    queue.put(delivery, place)
    assert place.has_gap


def test_much_is_taken_in_parts(monkeypatch: pytest.MonkeyPatch, place: Subscription) -> None:
    """In order; what was not taken can still be left to the log, and answers count one by one."""
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 100)
    first, second = event("x" * 100), logged(1, "y" * 100)
    most_bytes = first.batch_bytes + second.batch_bytes
    queue = SendQueue()
    queue.put_answer(first)
    queue.put(second, place)
    queue.put_answer(last := event("z"))
    assert taken(queue, most_bytes) == [first, second]
    assert queue.is_due and not queue.is_busy
    assert queue.has_waiting_answers and queue.queued_bytes == last.size_bytes
    queue.mark_written()
    assert queue.has_answers
    assert taken(queue, most_bytes) == [last]
    assert queue.queued_bytes == queue.queued_messages == 0
    queue.mark_written()
    assert not queue.has_answers
    assert not queue.is_busy
    queue.put_event(event())
    assert queue.is_busy


def test_queue_is_busy_where_several_messages_were_taken_at_once(place: Subscription) -> None:
    """After a lone one nothing more would gather; and who is behind does not rest."""
    queue = SendQueue()
    for count, is_busy in ((1, False), (2, True), (1, False), (2, True)):
        for _number in range(count):
            queue.put_event(event())
        queue.take()
        assert queue.is_busy is is_busy
    queue.mark_gap(place)
    assert not queue.is_busy


def test_single_delivery_is_taken_however_long_it_is() -> None:
    """And by itself."""
    queue = SendQueue()
    long = [event("x" * 100), event("y" * 100)]
    for one in long:
        queue.put_answer(one)
    assert taken(queue, 10) == [long[0]]
    assert taken(queue, 10) == [long[1]]


def test_when_all_queues_hold_much_the_slow_read_the_log(
    monkeypatch: pytest.MonkeyPatch, place: Subscription
) -> None:
    """Who has nothing waiting gets it as ever; what was written is not counted any more."""
    monkeypatch.setattr(encoding, "MAX_BACKLOG_BYTES", 150)
    backlog = Backlog()
    slow, other = SendQueue(), Subscription(Room("sala", 0))
    for number in (1, 2):
        slow.put(Delivery([Message(id=number)], True, backlog=backlog), place)
    assert not place.has_gap and not backlog.is_full
    last = Delivery([Message(id=3)], True, backlog=backlog)
    quick = SendQueue()
    quick.put(last, other)
    assert backlog.is_full and quick.is_due
    slow.put(last, place)
    assert place.has_gap and not slow.is_due
    quick.take()
    del last
    assert backlog.held_bytes == 0


async def test_reader_waits_until_its_answers_were_written() -> None:
    """Those that wait, those being written, and those that are made in parts."""
    queue = SendQueue()
    await bounded(queue.wait_answered())
    queue.put_answer(event())
    queue.owe_answer()
    waiting = asyncio.ensure_future(queue.wait_answered())
    queue.take()
    queue.mark_written()
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.take_owed()
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.mark_written()
    await bounded(waiting)


async def test_closed_queue_keeps_no_reader_waiting() -> None:
    """Its stream is about to end."""
    queue = SendQueue()
    queue.put_answer(event())
    waiting = asyncio.ensure_future(queue.wait_answered())
    await asyncio.sleep(0)
    queue.close()
    await bounded(waiting)


def test_what_is_left_to_the_log_takes_no_room_and_the_rest_does(place: Subscription) -> None:
    """Events, answers and other places' messages stay, and count, until they are taken."""
    queue = SendQueue()
    other, kept = Subscription(Room("sala", 0)), event("x" * 500)
    there = logged()
    queue.put(logged(), place)
    queue.put_event(kept)
    queue.put(there, other)
    queue.mark_gap(place)
    size = kept.size_bytes + there.size_bytes
    assert (queue.queued_messages, queue.queued_bytes) == (2, size)
    queue.put_event(event("x" * 500))
    assert taken(queue) == [kept, there]
    assert (queue.queued_messages, queue.queued_bytes) == (0, 0)


def test_behind_a_gap_a_place_is_left_alone_until_it_is_read(place: Subscription) -> None:
    """Nothing of the log overtakes what only the log has; other places go on."""
    queue = SendQueue()
    queue.mark_gap(place)
    queue.put(logged(), place)
    assert not queue.is_due
    queue.put(logged(), Subscription(Room("sala", 0)))
    assert queue.is_due
    queue.take()
    queue.clear_gap(place)
    queue.put(logged(), place)
    assert queue.is_due and not queue.gaps


def test_place_that_has_ended_is_forgotten(place: Subscription) -> None:
    """What waited of it, and that it was behind."""
    queue = SendQueue()
    queue.put(logged(), place)
    queue.forget(place)
    assert not queue.is_due and queue.queued_bytes == 0
    queue.mark_gap(place)
    queue.forget(place)
    assert queue.gaps == []


def test_closed_queue_takes_nothing_more(place: Subscription) -> None:
    """What was there can still be taken."""
    queue = SendQueue()
    first = event()
    queue.put_event(first)
    queue.close()
    queue.put(logged(), place)
    queue.put_event(event())
    queue.put_answer(event())
    assert taken(queue) == [first] and not queue.has_answers


async def test_whoever_waits_is_woken_by_each_thing_that_may_be_taken(place: Subscription) -> None:
    """By a delivery, by one that is left to the log, and by the end; twice does no harm."""
    queue = SendQueue()
    queue.mark_gap(place)
    wakes: list[Callable[[], None]] = [
        lambda: queue.put_event(event()),
        lambda: queue.put_answer(event()),
        lambda: queue.put(logged(), place),
        queue.owe_answer,
        queue.close,
    ]
    for wake in wakes:
        ready = queue.wait_ready()
        wake()
        await bounded(ready)
        wake()


def test_event_that_is_not_urgent_is_no_reason_to_write_once_more() -> None:
    """A writer who has just written, and looks for more, leaves it until something is due."""
    queue = SendQueue()
    makes_due: list[Callable[[], None]] = [
        lambda: queue.put_event(event()),
        lambda: queue.put_answer(event()),
        queue.wake,
        queue.close,
    ]
    for make_due in makes_due:
        told = event()
        queue.put_event(told, is_urgent=False)
        assert not queue.is_due
        make_due()
        assert queue.is_due and taken(queue)[0] is told
        assert not queue.is_due


async def test_event_that_is_not_urgent_waits_for_what_comes_next() -> None:
    """Or for whoever says that it is time; its place among the others is that of its coming."""
    queue = SendQueue()
    ready = queue.wait_ready()
    queue.wake()
    queue.put_event(event("first"), is_urgent=False)
    assert not ready.done()
    queue.wake()
    assert ready.done()
    ready = queue.wait_ready()
    queue.put_event(event("second"))
    assert ready.done()
    assert [one.messages[0].message for one in taken(queue)] == ["first", "second"]
