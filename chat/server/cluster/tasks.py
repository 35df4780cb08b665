"""Tasks that run for as long as the server does: their failure is seen, and they do end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

# How often tasks are told to end, and how long they have for it each time.
ATTEMPTS, AGAIN_SECONDS = 4, 0.05
END_SECONDS = ATTEMPTS * AGAIN_SECONDS

# Called in the event loop with what a task, or what it called, raised.
OnFailure = Callable[[BaseException], None]


def start(
    program: Coroutine[Any, Any, None], name: str, on_failure: OnFailure
) -> asyncio.Task[None]:
    """Run `program` as a task of this name. That it is cancelled, or ends, is no failure."""

    def see_end(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            on_failure(error)

    task = asyncio.get_running_loop().create_task(program, name=name)
    task.add_done_callback(see_end)
    return task


async def end(*running: asyncio.Task[Any] | None) -> None:
    """Cancel tasks, those that there are; return when all have ended, or had their time for it.

    Before Python 3.12 `asyncio.wait_for` swallows a cancellation that comes in the same turn as
    what it waits for, as requests of nats-py do: whoever goes on is cancelled again.
    """
    left = {task for task in running if task is not None}
    for _attempt in range(ATTEMPTS):
        for task in left:
            task.cancel()
        if left:
            _ended, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
