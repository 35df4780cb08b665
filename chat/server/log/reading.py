"""The thread that reads the log, and whose turn it is. Knows no storage.

A read that is asked for while others wait goes before those that are larger, so that joining never
waits for somebody who reads the whole log; but now and then it is the turn of the largest, so that
those are never kept waiting for good.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import Any, ParamSpec, TypeVar

# Of so many turns, one is that of the least urgent read, if any waits.
LAST_TURN_EVERY = 4
# Ends of pages that are remembered, to tell who goes on reading from who begins.
MAX_PAGE_ENDS = 10_000
# A read that takes so long is one that may never end: the disk does not answer. Clients wonder
# after 5 s.
SILENT_SECONDS = 3.0

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Urgency(IntEnum):
    """How soon a read has its turn; the first of these first."""

    LOOK_UP = 0  # a few rows by an index: where a join begins, who was it
    FIRST_PAGE = 1
    HISTORY = 2  # that somebody asked for, who is in the room already
    NEXT_PAGE = 3  # of somebody who is far behind
    SEARCH = 4
    CHECK = 5


class PageEnds:
    """Where pages ended lately, with more after them: who reads on from there reads on.

    Bounded: the oldest are forgotten. Used in the event loop.
    """

    def __init__(self) -> None:
        self._ends: OrderedDict[tuple[str, int], None] = OrderedDict()

    def add(self, room: str, last_id: int) -> None:
        """Note that a page of `room` ended with this id."""
        self._ends[room, last_id] = None
        self._ends.move_to_end((room, last_id))
        if len(self._ends) > MAX_PAGE_ENDS:
            self._ends.popitem(last=False)

    def urgency(self, room: str, after: int, is_history: bool) -> Urgency:
        """Return how urgent it is to read on after that id."""
        if is_history:
            return Urgency.HISTORY
        return Urgency.NEXT_PAGE if (room, after) in self._ends else Urgency.FIRST_PAGE


class ReadThread:
    """One thread that does one read after the other, the most urgent first.

    It begins with the first read. `run` is called in the event loop; `_changed` guards every
    attribute. What waits is bounded by the members, each of which awaits its read.
    """

    def __init__(self, name: str = "log-reader") -> None:
        self._name = name
        self._changed = threading.Condition()
        self._waiting: tuple[deque[Callable[[], None]], ...] = tuple(deque() for _ in Urgency)
        self._turns = 0
        self._begun_at: float | None = None  # the read that is under way, in monotonic seconds
        self._is_closing = False
        self._thread: threading.Thread | None = None

    async def run(
        self,
        urgency: Urgency,
        read: Callable[_Given, _Result],
        /,
        *arguments: _Given.args,
        **named: _Given.kwargs,
    ) -> _Result:
        """Return what `read` returns, called in the thread; raises what it raises."""
        return await self._ask(urgency, read, *arguments, **named)

    async def run_unless_silent(
        self,
        urgency: Urgency,
        read: Callable[_Given, _Result],
        /,
        *arguments: _Given.args,
        **named: _Given.kwargs,
    ) -> _Result:
        """As `run`; raises `TimeoutError` where the disk does not answer: see `is_silent`."""
        if self.is_silent:
            raise TimeoutError
        answer = self._ask(urgency, read, *arguments, **named)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(SILENT_SECONDS, self._watch, answer, loop)
        try:
            return await answer
        finally:
            timer.cancel()

    def _watch(self, answer: asyncio.Future[_Result], loop: asyncio.AbstractEventLoop) -> None:
        """Give up an answer where the disk does not answer; look again later where it does."""
        if answer.done():
            return
        if (left_seconds := self._patience()) <= 0:
            answer.set_exception(TimeoutError())
        else:
            loop.call_later(left_seconds, self._watch, answer, loop)

    @property
    def is_silent(self) -> bool:
        """Whether the read that is under way has taken `SILENT_SECONDS`, and still does."""
        return self._patience() <= 0

    def _patience(self) -> float:
        """Return how many seconds are left to the read that is under way, before it is silence."""
        begun_at = self._begun_at  # without the lock, for which each who comes would wait
        if begun_at is None:
            return SILENT_SECONDS
        return SILENT_SECONDS - (time.monotonic() - begun_at)

    def _ask(
        self,
        urgency: Urgency,
        read: Callable[_Given, _Result],
        /,
        *arguments: _Given.args,
        **named: _Given.kwargs,
    ) -> asyncio.Future[_Result]:
        """Have `read` called in the thread in its turn, unless nobody waits for it by then."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Result] = loop.create_future()

        def work() -> None:
            if answer.done():
                return
            try:
                result = read(*arguments, **named)
            except BaseException as error:  # it is the asker's, whatever it is
                _settle(loop, answer, answer.set_exception, error)
            else:
                _settle(loop, answer, answer.set_result, result)

        with self._changed:
            self._waiting[urgency].append(work)
            self._changed.notify()
        self._begin()
        return answer

    def _begin(self) -> None:
        if self._thread is None:
            # A daemon: a disk that does not answer keeps no server from ending.
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def close(self, seconds: float) -> bool:
        """End the thread after what waits; say whether it has ended within so many seconds."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._begun_at = None
            self._changed.wait_for(lambda: any(self._waiting) or self._is_closing)
            self._begun_at = time.monotonic()
            self._turns += 1
            waiting = [one for one in self._waiting if one]
            if not waiting:
                return None
            is_last_turn = self._turns % LAST_TURN_EVERY == 0
            return waiting[-1 if is_last_turn else 0].popleft()


def _settle(
    loop: asyncio.AbstractEventLoop,
    answer: asyncio.Future[Any],
    give: Callable[[Any], None],
    what: object,
) -> None:
    """Give the answer in the event loop, if somebody still waits for it."""

    def give_if_wanted() -> None:
        if not answer.done():
            give(what)

    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(give_if_wanted)
