"""Group commit: one transaction for everything that waits. Knows no storage.

While one group of messages is on its way to the disk the next one gathers, so that a commit costs
one fsync however many messages are in it. Two threads: `append` and what waits run in the event
loop, `commit`, `tidy` and `finish` are called in the writer's own thread.
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

from chat.server.log.base import Deliver, Entry, Holder, LogError, Problem, Report, ignore

# Beyond this many uncommitted messages those who append are asked to wait.
MAX_WAITING = 4096
# One transaction: enough to share an fsync among many, short enough not to keep the first waiting.
MAX_GROUP = 1024
# When more came during a commit, the next group gathers for a multiple of what that commit took:
# under load groups grow by themselves, else the server is busy with commits of three messages
# each. When idle nothing waits.
GATHER_FACTOR = 10.0
MAX_GATHER_SECONDS = 0.01
# When it is tried after a failure whether writing works again.
TRY_AGAIN_SECONDS = 2.0
# A commit that takes so long is one that may never end: the disk does not answer.
SILENT_SECONDS = 3.0

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
    trouble: LogError | None = None  # why it is lost, if that is the log's fault


class GroupCommit:
    """The writer of a log: entries go in, groups are committed in order, and are delivered.

    `commit(group)`: writes one group in one transaction; any exception means that all of it is
    lost, and each entry says so; its notes are written with the next one. An empty group is to be
    written too: whether that works is tried after a failure. `tidy()`: what is to be done between
    the groups (trimming); returns after how many seconds it wants to be called again, None for
    never. Neither can end the thread by an exception; what they raise is logged, once until a group
    is committed again. `finish()` is called at the end. `path`: of the log, for what is reported.

    Every attribute belongs to the event loop, but for `_groups`, which is a queue, and
    `_is_failing`, `_is_told` and `_tidy_at`, which belong to the writer's thread.
    """

    def __init__(
        self,
        commit: Callable[[Group], None],
        tidy: Callable[[], float | None] = lambda: None,
        finish: Callable[[], None] = lambda: None,
        path: str = "",
    ) -> None:
        self._commit = commit
        self._tidy = tidy
        self._finish = finish
        self._path = path
        # The next group; bounded by MAX_WAITING through wait_for_space().
        self._gathering: list[Entry] = []
        self._under_way: Group | None = None
        self._notes: Notes = {}
        self._note_timer: asyncio.TimerHandle | None = None
        self._silence_timer: asyncio.TimerHandle | None = None
        self._is_busy = False  # a group is being committed, or its turn comes by itself
        self._appended = 0
        self._delivered = 0
        self._progress = asyncio.Event()
        self._is_closing = False
        self._is_given_up = False  # nobody waits for the disk any more
        self._trouble: LogError | None = None  # as it was reported
        self._thread: threading.Thread | None = None
        # One group at the most, for the writer. None ends it.
        self._groups: queue.SimpleQueue[Group | None] = queue.SimpleQueue()
        self._is_failing = False
        self._is_told = False
        self._tidy_at: float | None = time.monotonic()

    # In the event loop.

    def start(self, deliver: Deliver, report: Report = ignore) -> None:
        """Begin to commit; `deliver` gets each group in the running event loop.

        `report` hears there when nothing can be written, and when that is over.
        """
        self._deliver = deliver
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[LogError | None] = self._loop.create_future()
        # A daemon, so that a program that failed before `close` ends nevertheless.
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def append(self, entry: Entry) -> None:
        """Take `entry` for the next group. Never blocks."""
        self._appended += 1
        self._gathering.append(entry)
        if self._ended.done():
            self._loop.call_soon(self._lose_gathered)
        elif not self._is_busy:
            self._is_busy = True
            # Not at once: whatever else the loop reads in this turn goes into the same group.
            self._loop.call_soon(self._hand_over)

    def note(self, session: str, holder: Holder | None) -> None:
        """Have this written with the next group; a later note on the same session replaces it."""
        self._notes[session] = holder
        self._commit_notes_later()

    def _commit_notes_later(self) -> None:
        """See to it that notes which no message follows are written too."""
        is_due = self._notes and not (self._is_busy or self._is_closing)
        if is_due and self._note_timer is None:
            self._note_timer = self._loop.call_later(NOTE_SECONDS, self._commit_notes)

    def _commit_notes(self) -> None:
        self._note_timer = None
        if self._notes and not self._is_busy:
            self._is_busy = True
            self._hand_over()

    async def wait_for_space(self) -> None:
        """Return when fewer than `MAX_WAITING` messages wait to be committed."""
        while self._appended - self._delivered >= MAX_WAITING:
            await self._progress.wait()

    async def flush(self) -> None:
        """Return when everything appended so far has been delivered, or is waited for no more."""
        target = self._appended
        while self._delivered < target and not self._is_given_up:
            await self._progress.wait()

    def hurry(self, seconds: float) -> None:
        """Wait so long at the most, from now on, for what the disk has not answered."""
        asyncio.get_running_loop().call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self._is_given_up = True
        self._wake()

    async def close(self) -> None:
        """Commit what waits, and end the thread. Does nothing if it was never started.

        Raises `LogError`: what ended the thread, or that the disk does not answer.
        """
        if self._thread is None:
            return
        await self.flush()
        self._is_closing = True
        if self._note_timer is not None:
            self._note_timer.cancel()
        self._groups.put(Group([], self._notes))  # what nobody will hand over any more
        self._groups.put(None)
        if self._is_given_up and self._under_way is not None:
            raise LogError(Problem.SILENT, self._path)
        if (trouble := await self._ended) is not None:
            raise trouble.without_frames()

    def _hand_over(self) -> None:
        """Give the writer what has gathered."""
        entries, self._gathering = self._gathering[:MAX_GROUP], self._gathering[MAX_GROUP:]
        notes, self._notes = self._notes, {}
        self._under_way = Group(entries, notes)
        self._silence_timer = self._loop.call_later(SILENT_SECONDS, self._tell_silence)
        self._groups.put(self._under_way)

    def _tell_silence(self) -> None:
        self._tell(LogError(Problem.SILENT, self._path))

    def _take_back(self, group: Group, took_seconds: float) -> None:
        """Deliver the group, and hand the next one to the writer."""
        self._under_way = None
        if self._silence_timer is not None:
            self._silence_timer.cancel()
        if group.is_lost:
            self._notes = group.notes | self._notes
        if group.trouble is not None or not group.is_lost:
            self._tell(group.trouble)
        if self._gathering and not self._ended.done():
            gather_seconds = min(GATHER_FACTOR * took_seconds, MAX_GATHER_SECONDS)
            self._loop.call_later(gather_seconds, self._hand_over)
        else:
            self._is_busy = False
            self._commit_notes_later()
        self._give_back(group.entries)

    def _give_back(self, entries: list[Entry]) -> None:
        """Deliver entries of which it is known what became of them."""
        self._delivered += len(entries)
        try:
            self._deliver(entries)
        finally:
            self._wake()

    def _wake(self) -> None:
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    def _tell(self, trouble: LogError | None) -> None:
        """Report what changes: trouble, another one, the end of it. Some have no end."""
        known = self._trouble.problem if self._trouble else None
        if self._trouble is not None and self._trouble.problem.is_final:
            return
        self._trouble = trouble
        if known is not (trouble.problem if trouble else None):
            self._report(trouble)

    def _see_end(self, trouble: LogError | None) -> None:
        """The thread has ended: as it should, or because something in it is wrong.

        Then the entries that it had, or would get, are lost, and say so.
        """
        self._ended.set_result(trouble)
        if self._under_way is not None:
            self._gathering[:0] = self._under_way.entries
            self._under_way = None
        self._lose_gathered()
        if trouble is not None:
            self._tell(trouble)
        self._wake()

    def _lose_gathered(self) -> None:
        entries, self._gathering = self._gathering, []
        for entry in entries:
            entry.is_lost = True
        if entries:
            self._give_back(entries)

    # In the writer's thread.

    def _run(self) -> None:
        """Commit until the end; the one place that sees however this thread ends."""
        trouble = None
        try:
            self._commit_groups()
            self._finish()
        except BaseException as error:
            trouble = _trouble_of(error) or LogError(Problem.STOPPED, self._path, repr(error))
        self._call(self._see_end, trouble)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        """Have the event loop call this; it is gone only when nobody waits any more."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _commit_groups(self) -> None:
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
            self._is_failing = self._is_told = False
        except Exception as error:
            group.is_lost = True
            group.trouble = _trouble_of(error)
            for entry in group.entries:
                entry.is_lost = True
            self._note_failure(error)
        self._call(self._take_back, group, time.monotonic() - started)

    def _tidy_up(self) -> None:
        """Do what is to be done between the groups; after a failure, try to write first."""
        try:
            if self._is_failing:
                self._commit(Group([]))
                self._is_failing = False
                self._call(self._tell, None)
            wait_seconds = self._tidy()
        except Exception as error:
            self._note_failure(error)
            wait_seconds = TRY_AGAIN_SECONDS
            if (trouble := _trouble_of(error)) is not None:
                self._call(self._tell, trouble)
        self._tidy_at = None if wait_seconds is None else time.monotonic() + wait_seconds

    def _note_failure(self, error: Exception) -> None:
        if not self._is_told:
            _log.error("%s", str(error))  # a record may be kept, the frames of an error must not
        self._is_failing = self._is_told = True
        if self._tidy_at is not None:
            self._tidy_at = min(self._tidy_at, time.monotonic() + TRY_AGAIN_SECONDS)


def _trouble_of(error: BaseException) -> LogError | None:
    """Return what is wrong with the log, None where only a group of messages was."""
    return error.without_frames() if isinstance(error, LogError) else None
