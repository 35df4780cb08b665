"""Questions that many ask at once: few answers for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from rooms import bounded

from chat.server.log import gathered
from chat.server.log.base import LogError, Problem
from chat.server.log.gathered import Gathered


class Library:
    """Answers questions by what they are; while the gate is closed, later. `asked`: in turns."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.questions = Gathered(self._answer)

    async def _answer(self, questions: Sequence[int]) -> Sequence[str]:
        self.asked.append(list(questions))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [str(question) for question in questions]

    def ask(self, *questions: int) -> list[asyncio.Task[str]]:
        return [asyncio.ensure_future(self.questions.ask(question)) for question in questions]


async def test_those_who_ask_together_are_answered_together() -> None:
    """Each gets its own answer."""
    library = Library()
    assert await bounded(asyncio.gather(*library.ask(1, 2, 3))) == ["1", "2", "3"]
    assert library.asked == [[1, 2, 3]]
    assert await bounded(library.ask(4)[0]) == "4"


async def test_those_who_come_meanwhile_are_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no more of them at a time than others can wait for."""
    monkeypatch.setattr(gathered, "MAX_TOGETHER", 2)
    library = Library()
    library.gate.clear()
    first = library.ask(1)
    while not library.asked:
        await asyncio.sleep(0)
    later = library.ask(2, 3, 4)
    await asyncio.sleep(0)
    library.gate.set()
    await bounded(asyncio.gather(*first, *later))
    assert library.asked == [[1], [2, 3], [4]]


async def test_whoever_goes_away_is_not_asked_for() -> None:
    """The others have their answers."""
    library = Library()
    tasks = library.ask(1, 2)
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await bounded(tasks[1]) == "2" and library.asked == [[2]]


async def test_failure_is_everybodys_who_asked() -> None:
    """Each gets an error of its own; the next are answered."""
    library = Library()
    library.error = LogError(Problem.DAMAGED, "chat.db")
    failed = await bounded(asyncio.gather(*library.ask(1, 2), return_exceptions=True))
    assert [str(error) for error in failed] == [str(library.error)] * 2
    assert failed[0] is not failed[1]
    library.error = ValueError("a fault in the program")
    assert await bounded(asyncio.gather(*library.ask(3), return_exceptions=True)) == [library.error]
    library.error = None
    assert await bounded(library.ask(4)[0]) == "4"
