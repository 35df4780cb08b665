"""The server's tasks: whoever fails is seen, and ends the server."""

from __future__ import annotations

import asyncio

import pytest
from rooms import bounded, stubborn

from chat.server.supervisor import ServerFailure, Supervisor


async def raise_late(error: Exception) -> None:
    await asyncio.sleep(0)
    raise error


async def test_task_that_fails_is_a_failure_and_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """With its name, and without a traceback."""
    supervisor = Supervisor()
    supervisor.run(raise_late(KeyError("bug")), "tidy")
    failure = await bounded(supervisor.wait_for_failure())
    assert isinstance(failure, ServerFailure) and "KeyError('bug')" in str(failure)
    assert [(r.getMessage(), r.exc_info) for r in caplog.records] == [
        ("task tidy: KeyError('bug')", None)
    ]


async def test_task_that_ends_is_no_failure() -> None:
    """Nor is one that is ended by the stop."""
    supervisor = Supervisor()
    supervisor.run(asyncio.sleep(0), "short")
    supervisor.run(asyncio.sleep(3600), "long")
    await bounded(supervisor.stop())
    await bounded(supervisor.stop())
    failing = asyncio.ensure_future(supervisor.wait_for_failure())
    await asyncio.sleep(0)
    assert not failing.done()
    failing.cancel()


async def test_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    """As where what it waits for comes in the same turn of the loop."""
    swallowed = asyncio.Event()
    supervisor = Supervisor()
    supervisor.run(stubborn(swallowed), "stubborn")
    await asyncio.sleep(0)
    await bounded(supervisor.stop())
    assert swallowed.is_set()


async def test_first_failure_counts() -> None:
    """What follows from it says nothing new."""
    supervisor = Supervisor()
    first = ValueError("first")
    supervisor.fail(first)
    supervisor.fail(ValueError("second"))
    assert await bounded(supervisor.wait_for_failure()) is first
