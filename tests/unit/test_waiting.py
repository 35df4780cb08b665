"""Waiting no longer than so long: what ends it, and that nothing of it is swallowed."""

from __future__ import annotations

import asyncio

import pytest
from rooms import bounded, stubborn
from support import DEADLINE_SECONDS

from chat.server.waiting import within


async def test_what_is_waited_for_is_returned_or_raised() -> None:
    """As if it had been awaited."""
    assert await within(DEADLINE_SECONDS, asyncio.sleep(0, "done")) == "done"

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await within(DEADLINE_SECONDS, fail())


async def test_what_takes_longer_is_ended() -> None:
    """By the time that whoever waited is told."""
    has_ended = False

    async def work() -> None:
        nonlocal has_ended
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            has_ended = True

    with pytest.raises(asyncio.TimeoutError):
        await bounded(within(0.0, work()))
    assert has_ended


@pytest.mark.parametrize("error", [None, ZeroDivisionError()])
async def test_cancellation_in_the_turn_of_the_result_is_not_swallowed(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    """As `asyncio.wait_for` does before Python 3.12; nor is an error left that nobody has seen."""

    async def work() -> str:
        asyncio.get_running_loop().call_soon(waiting.cancel)  # when this has ended
        if error is not None:
            raise error
        return "done"

    waiting = asyncio.ensure_future(within(DEADLINE_SECONDS, work()))
    await asyncio.wait({waiting})
    assert waiting.cancelled() and not caplog.records


async def test_what_was_cancelled_goes_on_no_longer_than_it_may() -> None:
    """Whoever swallows a cancellation is cancelled again."""
    swallowed = asyncio.Event()
    waiting = asyncio.ensure_future(within(DEADLINE_SECONDS, stubborn(swallowed)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await bounded(asyncio.wait({waiting}))
    assert waiting.cancelled() and swallowed.is_set()
