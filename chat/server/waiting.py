"""Waiting for the first of several things, or no longer than so long. In the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from chat.server.cluster import tasks

_Result = TypeVar("_Result")


async def first_of(*events: Coroutine[Any, Any, object]) -> object:
    """Return what the first of these returns, and wait no more for the others."""
    tasks = [asyncio.ensure_future(event) for event in events]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    return done.pop().result()


async def unless(event: asyncio.Event, starting: Coroutine[Any, Any, int]) -> int | None:
    """Return what `starting` returns, or None where the event comes first, and ends it."""
    task = asyncio.ensure_future(starting)
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait({task})
    return None


async def within(seconds: float, program: Coroutine[Any, Any, _Result]) -> _Result:
    """Return what `program` returns; raises `asyncio.TimeoutError` where that takes longer.

    Whoever waits is cancelled when it is told to be: before Python 3.12 `asyncio.wait_for` swallows
    a cancellation that comes in the same turn as the end of what it waits for. `program` has ended
    in any case, or had its time for it (`tasks.end`).
    """
    task = asyncio.ensure_future(program)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        if not task.done():
            await tasks.end(task)
        if task.done() and not task.cancelled():
            task.exception()  # it is known, also where the waiting ended by something else
