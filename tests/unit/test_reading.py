"""Whose turn it is to read the log."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from rooms import bounded, come_true
from support import DEADLINE_SECONDS

from chat.server.log import reading
from chat.server.log.reading import PageEnds, ReadThread, Urgency


class HeldThread:
    """A thread whose first read takes until it is let go, so that others wait meanwhile."""

    def __init__(self) -> None:
        self.thread = ReadThread()
        self.done: list[str] = []
        self.begun, self.gate = threading.Event(), threading.Event()
        self._first = asyncio.ensure_future(self.thread.run(Urgency.LOOK_UP, self._wait))

    def _wait(self) -> None:
        self.begun.set()
        assert self.gate.wait(DEADLINE_SECONDS)

    def ask(self, urgency: Urgency, name: str) -> asyncio.Task[None]:
        """Ask for a read, which notes its name when it is done."""
        return asyncio.ensure_future(self.thread.run(urgency, self.done.append, name))

    async def look_up(self, name: str) -> None:
        """Do a read that is not to wait for a silent disk, which notes its name."""
        await self.thread.run_unless_silent(Urgency.LOOK_UP, self.done.append, name)


@pytest.fixture
async def held() -> Iterator[HeldThread]:  # type: ignore[misc]
    """It ends with the test."""
    thread = HeldThread()
    await asyncio.sleep(0)
    yield thread
    thread.gate.set()
    assert thread.thread.close(DEADLINE_SECONDS)


async def test_most_urgent_read_is_the_first(held: HeldThread) -> None:
    """Of those that wait; among equals, in the order in which they were asked for."""
    order = [Urgency.NEXT_PAGE, Urgency.HISTORY, Urgency.FIRST_PAGE, Urgency.LOOK_UP]
    tasks = [held.ask(urgency, urgency.name) for urgency in order]
    tasks.append(held.ask(Urgency.LOOK_UP, "second"))
    await asyncio.sleep(0)
    held.gate.set()
    await bounded(asyncio.gather(*tasks))
    assert held.done[:2] == ["LOOK_UP", "second"]
    assert held.done.index("FIRST_PAGE") < held.done.index("HISTORY")


async def test_least_urgent_read_is_not_kept_waiting_for_good(held: HeldThread) -> None:
    """Now and then it is its turn, however many others come."""
    late = held.ask(Urgency.NEXT_PAGE, "late")
    many = [held.ask(Urgency.LOOK_UP, str(number)) for number in range(50)]
    await asyncio.sleep(0)
    held.gate.set()
    await bounded(asyncio.gather(late, *many))
    assert held.done.index("late") < reading.LAST_TURN_EVERY


async def test_read_that_nobody_waits_for_is_left_out(held: HeldThread) -> None:
    """Its client has gone meanwhile."""
    gone, here = held.ask(Urgency.LOOK_UP, "gone"), held.ask(Urgency.LOOK_UP, "here")
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    held.gate.set()
    await bounded(here)
    assert held.done == ["here"]


async def test_what_a_read_raises_is_its_own() -> None:
    """The thread goes on."""
    thread = ReadThread()
    with pytest.raises(ZeroDivisionError):
        await bounded(thread.run(Urgency.LOOK_UP, divmod, 1, 0))
    assert await bounded(thread.run(Urgency.LOOK_UP, divmod, 7, 2)) == (3, 1)
    assert thread.close(DEADLINE_SECONDS)


async def test_thread_that_does_not_end_keeps_nobody_waiting(held: HeldThread) -> None:
    """A disk that does not answer, say."""
    assert not held.thread.close(0.0)


async def test_look_up_waits_for_no_disk_that_does_not_answer(
    held: HeldThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that waits its turn by then, nor a later one; what else is read waits."""
    page = held.ask(Urgency.FIRST_PAGE, "page")
    with monkeypatch.context() as impatient:
        impatient.setattr(reading, "SILENT_SECONDS", 0.01)
        for name in ("waits", "comes later"):
            with pytest.raises(TimeoutError):
                await bounded(held.look_up(name))
        assert held.thread.is_silent and not page.done()
    held.gate.set()
    await bounded(page)
    await bounded(held.look_up("again"))
    assert held.done == ["page", "again"] and not held.thread.is_silent


async def test_look_up_is_given_up_as_soon_as_there_is_silence(
    held: HeldThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it has waited for other reads: what counts is the one that is under way."""
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    later = loop.call_later
    assert held.begun.wait(DEADLINE_SECONDS)
    now = time.monotonic()

    def call_later(delay: float, call: Any, *arguments: Any) -> asyncio.TimerHandle:
        if getattr(call, "__self__", None) is not held.thread:
            return later(delay, call, *arguments)
        delays.append(delay)
        return later(0.0, call, *arguments)

    monkeypatch.setattr(reading, "time", SimpleNamespace(monotonic=lambda: now))
    with monkeypatch.context() as patched:
        patched.setattr(loop, "call_later", call_later)
        waits = asyncio.ensure_future(held.look_up("waits"))
        await come_true(lambda: len(delays) >= 2)
        assert not waits.done()
        now += reading.SILENT_SECONDS - 0.5
        await come_true(lambda: delays[-1] <= 0.5)
        now += 0.5
        await come_true(waits.done)
    with pytest.raises(TimeoutError):
        waits.result()


async def test_read_that_has_just_begun_is_no_silence(held: HeldThread) -> None:
    """Nor is a thread that has nothing to do."""
    looked_up = asyncio.ensure_future(held.look_up("here"))
    await asyncio.sleep(0)
    assert not held.thread.is_silent
    held.gate.set()
    await bounded(looked_up)
    assert held.done == ["here"] and not ReadThread().is_silent


async def test_look_up_that_nobody_waits_for_is_left_out(held: HeldThread) -> None:
    """As any other read."""
    gone = asyncio.ensure_future(held.look_up("gone"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({gone})
    held.gate.set()
    await bounded(held.look_up("here"))
    assert gone.cancelled() and held.done == ["here"]


async def test_what_a_look_up_raises_is_its_own() -> None:
    """The thread goes on."""
    thread = ReadThread()
    with pytest.raises(ZeroDivisionError):
        await bounded(thread.run_unless_silent(Urgency.LOOK_UP, divmod, 1, 0))
    assert await bounded(thread.run_unless_silent(Urgency.LOOK_UP, divmod, 7, 2)) == (3, 1)
    assert thread.close(DEADLINE_SECONDS)


def test_closing_a_thread_that_never_read() -> None:
    """There is none."""
    assert ReadThread().close(0.0)


def test_who_goes_on_where_a_page_ended_is_least_urgent() -> None:
    """But not elsewhere, nor in a history that somebody asked for."""
    ends = PageEnds()
    assert ends.urgency("", 500, is_history=False) is Urgency.FIRST_PAGE
    ends.add("", 500)
    assert ends.urgency("", 500, is_history=False) is Urgency.NEXT_PAGE
    assert ends.urgency("", 501, is_history=False) is Urgency.FIRST_PAGE
    assert ends.urgency("sala", 500, is_history=False) is Urgency.FIRST_PAGE
    assert ends.urgency("", 500, is_history=True) is Urgency.HISTORY


def test_ends_of_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten."""
    monkeypatch.setattr(reading, "MAX_PAGE_ENDS", 2)
    ends = PageEnds()
    for last_id in (1, 2, 1, 3):
        ends.add("", last_id)
    found = [ends.urgency("", last_id, is_history=False) for last_id in (1, 2, 3)]
    assert found == [Urgency.NEXT_PAGE, Urgency.FIRST_PAGE, Urgency.NEXT_PAGE]
