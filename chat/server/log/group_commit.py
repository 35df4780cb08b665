"""Group commit: one transaction for everything that waits. Knows no storage.

While one group of messages is on its way to the disk the next one gathers, so that a commit costs
one fsync however many messages are in it. Everything here runs in the event loop; the thread that
commits is in `writer_thread.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from chat.server.log.base import Deliver, Entry, LogError, Problem, Report, ignore
from chat.server.log.progress import Progress
from chat.server.log.writer_thread import Group, Notes, WriterThread
from chat.server.tally import Commits

# Beyond this many uncommitted messages those who append are asked to wait.
MAX_WAITING = 4096
# One transaction: enough to share an fsync among many, short enough not to keep the first waiting.
MAX_GROUP = 256
# The next group gathers for a multiple of what the delivery of the last one took, into all queues;
# and of its commit too, where more came meanwhile. So groups grow by themselves under load; else
# the server is busy with groups of three messages each, also where a commit takes no time, as in
# memory. When idle nothing waits: a lone message which no other follows has the next one wait only
# where its delivery took long, as in a large room.
GATHER_FACTOR = 10.0
MAX_GATHER_SECONDS = 0.01
MIN_GATHER_SECONDS = 0.001  # a step of uvloop's timers
MIN_LONE_GATHER_SECONDS = 0.005
# Twice as many as in the last group are enough, so many in any case: those who wait for an answer
# before they go on would wait for nothing. One sender has no more (`appending.MAX_UNCOMMITTED`).
GROWTH = 2
ENOUGH_MESSAGES = 128
# A commit that takes so long is one that may never end: the disk does not answer.
SILENT_SECONDS = 3.0
# What a disk that was given up has to answer after all, at the very end.
LAST_SECONDS = 0.2
# Notes wait so long for a group of messages to go with; then they are committed alone.
NOTE_SECONDS = 1.0


class GroupCommit:
    """The writer of a log: entries go in, groups are committed in order, and are delivered.

    `commit`, `tidy` and `finish` are called in the writer's thread: see `WriterThread`. A group
    that was not committed is lost as a whole, and each entry says so; its notes are written with
    the next one. `path`: of the log, for what is reported. `commits`: what is counted of them.
    `clock`: in seconds; not the loop's, which counts in milliseconds where it is uvloop's.
    """

    def __init__(
        self,
        commit: Callable[[Group], None],
        tidy: Callable[[], float | None] = lambda: None,
        finish: Callable[[], None] = lambda: None,
        path: str = "",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.commits = Commits()
        self._clock = clock
        self._path = path
        self._thread = WriterThread(commit, tidy, finish, path)
        self._is_started = False
        # The next group; bounded by MAX_WAITING through wait_for_space().
        self._gathering: list[Entry] = []
        self._under_way: Group | None = None
        self._notes: Notes = {}
        self._note_timer: asyncio.TimerHandle | None = None
        self._handed_over_at = 0.0  # the group that is under way
        self._silence_timer: asyncio.TimerHandle | None = None
        self._gather_timer: asyncio.TimerHandle | None = None
        self._enough = 0  # so many have the next group gather no longer
        self._is_busy = False  # a group is being committed, or its turn comes by itself
        self._appended = 0
        self._delivered = 0
        self._progress = Progress()
        self._is_closing = False
        self._is_given_up = False  # nobody waits for the disk any more
        self._trouble: LogError | None = None  # as it was reported

    def start(self, deliver: Deliver, report: Report = ignore) -> None:
        """Begin to commit; `deliver` gets each group in the running event loop.

        `report` hears there when nothing can be written, and when that is over.
        """
        self._deliver = deliver
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[LogError | None] = self._loop.create_future()
        self._is_started = True
        self._thread.start(self._take_back, self._tell, self._see_end)

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
        elif self._gather_timer is not None and len(self._gathering) >= self._enough:
            self._gather_timer.cancel()
            self._go_on()

    def keep(self, kind: str, key: str, text: str | None) -> None:
        """Have this written with the next group; a later note under the same key replaces it."""
        self._notes[kind, key] = text
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

    @property
    def waiting(self) -> int:
        """How many messages wait to be committed, or are on their way to the disk."""
        return self._appended - self._delivered

    async def wait_for_space(self) -> None:
        """Return when fewer than `MAX_WAITING` messages wait to be committed."""
        while self.waiting >= MAX_WAITING:
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
        self._progress.tell()

    async def close(self) -> None:
        """Commit what waits, and end the thread. Does nothing if it was never started.

        Raises `LogError`: what ended the thread, or that the disk does not answer.
        """
        if not self._is_started:
            return
        await self.flush()
        self._is_closing = True
        if self._note_timer is not None:
            self._note_timer.cancel()
        self._thread.put(Group([], self._notes))  # what nobody will hand over any more
        self._thread.put(None)
        if self._is_given_up and self._under_way is not None:
            await asyncio.wait({self._ended}, timeout=LAST_SECONDS)
            if self._under_way is not None:
                raise LogError(Problem.SILENT, self._path)
        # Without an end: what a removed file held may be being saved.
        if (trouble := await self._ended) is not None:
            raise trouble.without_frames()

    def _hand_over(self) -> None:
        """Give the writer what has gathered."""
        entries, self._gathering = self._gathering[:MAX_GROUP], self._gathering[MAX_GROUP:]
        notes, self._notes = self._notes, {}
        self._under_way = Group(entries, notes)
        self._handed_over_at = self._clock()
        if self._silence_timer is None:
            self._watch_for_silence(SILENT_SECONDS)
        self._thread.put(self._under_way)

    def _watch_for_silence(self, seconds: float) -> None:
        """Look after so long whether the group that is under way then is so for too long.

        One timer for many groups: there may be a thousand a second.
        """
        self._silence_timer = self._loop.call_later(seconds, self._see_silence)

    def _see_silence(self) -> None:
        self._silence_timer = None
        if self._under_way is not None:
            left_seconds = self._handed_over_at + SILENT_SECONDS - self._clock()
            if left_seconds > 0:
                self._watch_for_silence(left_seconds)
            else:
                self._tell(LogError(Problem.SILENT, self._path))

    def _take_back(self, group: Group, took_seconds: float) -> None:
        """Deliver the group, and hand the next one to the writer."""
        self._under_way = None
        self.commits.note(len(group.entries), took_seconds, group.is_lost)
        if group.is_lost:
            self._notes = group.notes | self._notes
        if group.trouble is not None or not group.is_lost:
            self._tell(group.trouble)
        commit_seconds = took_seconds if self._gathering else 0.0
        taken_back_at = self._clock()
        try:
            self._give_back(group.entries)
        finally:
            took_seconds = commit_seconds + self._clock() - taken_back_at
            self._gather(took_seconds, len(group.entries))

    def _gather(self, took_seconds: float, messages: int) -> None:
        """Have the next group gather for a multiple of the time that the last one took."""
        is_lone = messages <= 1 and not self._gathering
        least_seconds = MIN_LONE_GATHER_SECONDS if is_lone else MIN_GATHER_SECONDS
        gather_seconds = min(GATHER_FACTOR * took_seconds, MAX_GATHER_SECONDS)
        self._enough = min(GROWTH * messages, ENOUGH_MESSAGES)
        if gather_seconds < least_seconds or len(self._gathering) >= self._enough:
            self._go_on()
        else:
            self._gather_timer = self._loop.call_later(gather_seconds, self._go_on)

    def _go_on(self) -> None:
        """Give the writer what has gathered; if nothing has, what comes next at once."""
        self._gather_timer = None
        if self._gathering and not self._ended.done():
            self._hand_over()
        else:
            self._is_busy = False
            self._commit_notes_later()

    def _give_back(self, entries: list[Entry]) -> None:
        """Deliver entries of which it is known what became of them."""
        self._delivered += len(entries)
        try:
            self._deliver(entries)
        finally:
            self._progress.tell()

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
        if self._silence_timer is not None:
            self._silence_timer.cancel()
        if self._under_way is not None:
            self._gathering[:0] = self._under_way.entries
            self._under_way = None
        self._lose_gathered()
        if trouble is not None:
            self._tell(trouble)
        self._progress.tell()

    def _lose_gathered(self) -> None:
        entries, self._gathering = self._gathering, []
        for entry in entries:
            entry.is_lost = True
        if entries:
            self._give_back(entries)
