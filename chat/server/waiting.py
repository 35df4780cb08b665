"""Waiting for the first of several things. Runs in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


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
