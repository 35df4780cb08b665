"""The owner of all that runs for as long as the server does: the first that fails ends it.

Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from chat.cli.i18n import _

# How long tasks have to end each time that they are told to.
AGAIN_SECONDS = 0.05

_log = logging.getLogger(__name__)


class ServerFailure(Exception):
    """Why the server cannot go on; `str()` is the whole sentence, translated."""


class Supervisor:
    """Tasks that nobody else awaits, and the first failure among them, or told by `fail`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._has_failed = asyncio.Event()
        self._failure: Exception | None = None

    def run(self, program: Coroutine[Any, Any, object], name: str) -> None:
        """Run `program` beside all else. It may end; if it raises, that is a failure."""
        task = asyncio.get_running_loop().create_task(program, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._see_end)

    def fail(self, error: Exception) -> None:
        """End the server because of `error`, if nothing else does already."""
        if self._failure is None:
            self._failure = error
            self._has_failed.set()

    async def wait_for_failure(self) -> Exception:
        """Return the first failure, once there is one."""
        await self._has_failed.wait()
        assert self._failure is not None
        return self._failure

    async def stop(self) -> None:
        """End every task, and return when all have ended.

        Before Python 3.12 `asyncio.wait_for` swallows a cancellation that comes in the same turn as
        what it waits for: whoever goes on is cancelled again.
        """
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=AGAIN_SECONDS)

    def _see_end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("task %s: %r", task.get_name(), error)
            text = _("An error in this program ended it ({error}). Please report it.")
            self.fail(ServerFailure(text.format(error=repr(error))))
