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
from dataclasses import dataclass, field

from chat.server.log.base import Deliver, Entry, Holder

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

# Notes wait so long for a group of messages to go with; then they are committed alone.
NOTE_SECONDS = 1.0

Notes = dict[str, "Holder | None"]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Group:
    """What one transaction writes: entries, and the latest note on each session."""

    entries: list[Entry]
    notes: Notes = field(default_factory=dict)
    is_lost: bool = False


class GroupCommit:
    """The writer of a log: entries go in, groups are committed in order, and are delivered.

    `commit(group)`: writes one group in one transaction; any exception means that all of it is
    lost, and each entry says so; its notes are written with the next one. `tidy()`: what is to be
    done between the groups (trimming); returns after how many seconds it wants to be called again,
    None for never. Neither can end the thread by an exception; what they raise is logged, once
    until a commit succeeds again.

    Every attribute belongs to the event loop, but for `_groups`, which is a queue, and
    `_is_failing` and `_tidy_at`, which belong to the writer's thread.
    """

    def __init__(
        self,
        commit: Callable[[Group], None],
        tidy: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._commit = commit
        self._tidy = tidy
        # The next group; bounded by MAX_WAITING through wait_for_space().
        self._gathering: list[Entry] = []
        self._notes: Notes = {}
        self._note_timer: asyncio.TimerHandle | None = None
        self._is_under_way = False  # a group is being committed, or its turn comes by itself
        self._appended = 0
        self._delivered = 0
        self._progress = asyncio.Event()
        self._thread: threading.Thread | None = None
        # One group at the most, for the writer. None ends it.
        self._groups: queue.SimpleQueue[Group | None] = queue.SimpleQueue()
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

    def note(self, session: str, holder: Holder | None) -> None:
        """Have this written with the next group; a later note on the same session replaces it."""
        self._notes[session] = holder
        self._commit_notes_later()

    def _commit_notes_later(self) -> None:
        """See to it that notes which no message follows are written too."""
        if self._notes and not self._is_under_way and self._note_timer is None:
            self._note_timer = self._loop.call_later(NOTE_SECONDS, self._commit_notes)

    def _commit_notes(self) -> None:
        self._note_timer = None
        if self._notes and not self._is_under_way:
            self._is_under_way = True
            self._hand_over()

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
        if self._note_timer is not None:
            self._note_timer.cancel()
        self._groups.put(Group([], self._notes))  # what nobody will hand over any more
        self._groups.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _hand_over(self) -> None:
        """Give the writer what has gathered."""
        entries, self._gathering = self._gathering[:MAX_GROUP], self._gathering[MAX_GROUP:]
        notes, self._notes = self._notes, {}
        self._groups.put(Group(entries, notes))

    def _finish(self, group: Group, took_seconds: float) -> None:
        """Deliver the group, and hand the next one to the writer."""
        self._delivered += len(group.entries)
        if group.is_lost:
            self._notes = group.notes | self._notes
        if self._gathering:
            gather_seconds = min(GATHER_FACTOR * took_seconds, MAX_GATHER_SECONDS)
            self._loop.call_later(gather_seconds, self._hand_over)
        else:
            self._is_under_way = False
            self._commit_notes_later()
        try:
            self._deliver(group.entries)
        finally:
            progress, self._progress = self._progress, asyncio.Event()
            progress.set()

    # In the writer's thread.

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            if group.entries or group.notes:
                self._commit_and_report(group)
            if self._tidy_at is not None and time.monotonic() >= self._tidy_at:
                self._tidy_up()

    def _next_group(self) -> Group | None:
        """Block until the loop hands over a group; None: the end. Empty: time to tidy up."""
        timeout = None
        if self._tidy_at is not None:
            timeout = max(0.0, self._tidy_at - time.monotonic())
        try:
            return self._groups.get(timeout=timeout)
        except queue.Empty:
            return Group([])

    def _commit_and_report(self, group: Group) -> None:
        started = time.monotonic()
        try:
            self._commit(group)
            self._is_failing = False
        except Exception as error:
            group.is_lost = True
            for entry in group.entries:
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
