"""Tasks that run for as long as the server does: their failure is seen, whatever it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

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
