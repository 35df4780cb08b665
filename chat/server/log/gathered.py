"""Questions to the log that many ask at once, answered together. Knows no storage.

A read costs its turn of the reader's thread, and the event loop a wake-up, however small it is.
When a thousand people come at once, each of whom has one question, that is most of the cost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from chat.server.log.base import LogError

# So many at a time, so that nobody waits long for the others' answers.
MAX_TOGETHER = 100
# Whoever asks after that waits for a multiple of what the last answer took, while others gather: in
# a rush of people one after the other would be answered by itself else.
GATHER_FACTOR = 10.0
MAX_GATHER_SECONDS = 0.01

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")


class Gathered(Generic[_Question, _Answer]):
    """Questions of one sort: while some are being answered, and a little longer, others gather.

    `answer` is awaited with some of them, and returns the answers in their order; what it raises,
    each of them gets. What waits is bounded by the members, each of which awaits its answer.
    Everything runs in the event loop.
    """

    def __init__(
        self, answer: Callable[[Sequence[_Question]], Awaitable[Sequence[_Answer]]]
    ) -> None:
        self._answer = answer
        self._waiting: list[tuple[_Question, asyncio.Future[_Answer]]] = []
        self._answering: asyncio.Task[None] | None = None

    async def ask(self, question: _Question) -> _Answer:
        """Return the answer; raises what answering raises."""
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_all(), name="gathered-reads")
        try:
            return await answer
        finally:
            del answer  # which has the exception whose frames would keep it, and all the log

    async def _answer_all(self) -> None:
        clock = time.perf_counter  # uvloop counts in milliseconds
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:MAX_TOGETHER], self._waiting[MAX_TOGETHER:]
                started = clock()
                await self._answer_some(asked)
                await asyncio.sleep(min(GATHER_FACTOR * (clock() - started), MAX_GATHER_SECONDS))
        finally:
            self._answering = None

    async def _answer_some(
        self, asked: Sequence[tuple[_Question, asyncio.Future[_Answer]]]
    ) -> None:
        wanted = [(question, answer) for question, answer in asked if not answer.done()]
        try:
            answers = await self._answer([question for question, _answer in wanted])
        except Exception as error:  # it is the askers', whatever it is
            for _question, answer in wanted:
                if not answer.done():
                    its_own = error.without_frames() if isinstance(error, LogError) else error
                    answer.set_exception(its_own)
        else:
            for (_question, answer), found in zip(wanted, answers, strict=True):
                if not answer.done():
                    answer.set_result(found)
