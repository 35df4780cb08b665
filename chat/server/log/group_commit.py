"""Group commit: one transaction for everything that waits. Knows no storage.

While one group of messages is on its way to the disk the next one gathers, so that a commit costs
one fsync however many messages are in it. Two threads: `append` and what waits run in the event
loop, `commit` and `tidy` are called in the writer's own thread.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from chat.server.log.base import Deliver, Entry

# Beyond this many uncommitted messages those who append are asked to wait.
MAX_WAITING = 4096
# One transaction: enough to share an fsync among many, short enough not to keep the first waiting.
MAX_GROUP = 1024
# When more came during a commit, the next group gathers for a multiple of what that commit took:
# under load groups grow by themselves, else the server is busy with commits of three messages
# each. When idle nothing waits.
GATHER_FACTOR = 10.0
MAX_GATHER_SECONDS = 0.01
# When tidying up is tried again after a failure: the disk may have room by then.
TIDY_AGAIN_SECONDS = 3600.0

_log = logging.getLogger(__name__)


class GroupCommit:
    """The writer of a log: entries go in, groups are committed in order, and are delivered.

    `commit(group)`: writes one group in one transaction; any exception means that all of it is
    lost, and each entry says so. `tidy()`: what is to be done between the groups (trimming);
    returns after how many seconds it wants to be called again, None for never. Neither can end the
    thread by an exception; what they raise is logged, once until a commit succeeds again.

    Every attribute belongs to the event loop, but for `_groups`, which is a queue, and
    `_is_failing` and `_tidy_at`, which belong to the writer's thread.
    """

    def __init__(
        self,
        commit: Callable[[list[Entry]], None],
        tidy: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._commit = commit
        self._tidy = tidy
        # The next group; bounded by MAX_WAITING through wait_for_space().
        self._gathering: list[Entry] = []
        self._is_under_way = False  # a group is being committed, or its turn comes by itself
        self._appended = 0
        self._delivered = 0
        self._progress = asyncio.Event()
        self._thread: threading.Thread | None = None
        # One group at the most, for the writer. None ends it.
        self._groups: queue.SimpleQueue[list[Entry] | None] = queue.SimpleQueue()
        self._is_failing = False
        self._tidy_at: float | None = time.monotonic()

    # In the event loop.

    def start(self, deliver: Deliver) -> None:
        """Begin to commit; `deliver` gets each group in the running event loop."""
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        # A daemon, so that a program that failed before `close` ends nevertheless.
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def append(self, entry: Entry) -> None:
        """Take `entry` for the next group. Never blocks."""
        self._appended += 1
        self._gathering.append(entry)
        if not self._is_under_way:
            self._is_under_way = True
            # Not at once: whatever else the loop reads in this turn goes into the same group.
            self._loop.call_soon(self._hand_over)

    async def wait_for_space(self) -> None:
        """Return when fewer than `MAX_WAITING` messages wait to be committed."""
        while self._appended - self._delivered >= MAX_WAITING:
            await self._progress.wait()

    async def flush(self) -> None:
        """Return when everything appended so far has been delivered."""
        target = self._appended
        while self._delivered < target:
            await self._progress.wait()

    async def close(self) -> None:
        """Commit what waits, and end the thread. Does nothing if it was never started."""
        if self._thread is None:
            return
        await self.flush()
        self._groups.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _hand_over(self) -> None:
        """Give the writer what has gathered."""
        group, self._gathering = self._gathering[:MAX_GROUP], self._gathering[MAX_GROUP:]
        self._groups.put(group)

    def _finish(self, group: list[Entry], took_seconds: float) -> None:
        """Deliver the group, and hand the next one to the writer."""
        self._delivered += len(group)
        if self._gathering:
            gather_seconds = min(GATHER_FACTOR * took_seconds, MAX_GATHER_SECONDS)
            self._loop.call_later(gather_seconds, self._hand_over)
        else:
            self._is_under_way = False
        try:
            self._deliver(group)
        finally:
            progress, self._progress = self._progress, asyncio.Event()
            progress.set()

    # In the writer's thread.

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            if group:
                self._commit_and_report(group)
            if self._tidy_at is not None and time.monotonic() >= self._tidy_at:
                self._tidy_up()

    def _next_group(self) -> list[Entry] | None:
        """Block until the loop hands over a group; None: the end. Empty: time to tidy up."""
        timeout = None
        if self._tidy_at is not None:
            timeout = max(0.0, self._tidy_at - time.monotonic())
        try:
            return self._groups.get(timeout=timeout)
        except queue.Empty:
            return []

    def _commit_and_report(self, group: list[Entry]) -> None:
        started = time.monotonic()
        try:
            self._commit(group)
            self._is_failing = False
        except Exception as error:
            for entry in group:
                entry.is_lost = True
            self._note_failure(error)
        took_seconds = time.monotonic() - started
        # The loop is gone only when the server is killed, and then nobody waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._finish, group, took_seconds)

    def _tidy_up(self) -> None:
        try:
            wait_seconds = self._tidy()
        except Exception as error:
            self._note_failure(error)
            wait_seconds = TIDY_AGAIN_SECONDS
        self._tidy_at = None if wait_seconds is None else time.monotonic() + wait_seconds

    def _note_failure(self, error: Exception) -> None:
        if not self._is_failing:
            _log.error("%s", error)
        self._is_failing = True
