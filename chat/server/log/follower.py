"""What has come out of the stream, on its way through this server's file to the rooms.

Everything here runs in the event loop; the thread that writes is in `writer_thread.py`. What came
is written in as few transactions as it takes, one at a time, and delivered when it is in the file.
Where it cannot be written, nothing is lost: the stream has it, and it is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chat.server.log.base import LogError, Problem
from chat.server.log.following_writer import Arrivals, FollowingWriter
from chat.server.log.group_commit import NOTE_SECONDS, SILENT_SECONDS
from chat.server.log.groups import StreamGroup
from chat.server.log.progress import Progress
from chat.server.log.writer_thread import Group, Notes, WriterThread

# What may wait to be written before the stream is told to wait.
MAX_WAITING_BYTES = 8 << 20
# One transaction of catching up: enough to share its cost, soon enough over.
MAX_GROUPS = 256
TRY_AGAIN_SECONDS = 0.5


class Follower:
    """Hands what it takes to the writer, and delivers what has been written.

    `deliver`: gets what each transaction wrote, in the order of the stream. `report`: hears when
    nothing can be written, and with None when it can again.
    """

    def __init__(
        self,
        writer: FollowingWriter,
        path: str,
        deliver: Callable[[Arrivals], None],
        report: Callable[[LogError | None], None],
    ) -> None:
        self._writer = writer
        self._path = path
        self._deliver = deliver
        self._report = report
        self._thread = WriterThread(writer.commit, writer.tidy, writer.finish, path)
        self._ended: asyncio.Future[LogError | None] | None = None
        # Bounded through `take`.
        self._waiting: list[StreamGroup] = []
        self._waiting_bytes = 0
        self._floor = 0
        self._copied: Notes | None = None
        self._restart: int | None = None
        self._notes: Notes = {}
        self._note_timer: asyncio.TimerHandle | None = None
        self._silence_timer: asyncio.TimerHandle | None = None
        self._is_busy = False
        self._is_closing = False
        self._progress = Progress()

    def start(self) -> None:
        """Begin to write. Call it in the event loop, once."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._thread.start(self._take_back, self._report, self._see_end)

    @property
    def waiting_groups(self) -> int:
        """How many groups have come and are not handed to the thread that writes."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether all that was taken is in the file, and delivered."""
        return not (self._is_busy or self._waiting or self._restart is not None)

    async def take(self, group: StreamGroup) -> None:
        """Take what has come; waits while much of it is still to be written."""
        self._waiting.append(group)
        self._waiting_bytes += len(group.content)
        self._wake_writer()
        while self._waiting_bytes > MAX_WAITING_BYTES:
            await self._progress.wait()

    def skip_to(self, first: int, records: Notes | None = None) -> None:
        """Note that the stream no longer has what comes before this sequence.

        `records`: all that were kept by then, in place of those that are in the file; None: it is
        not known.
        """
        self._floor, self._copied = first, records
        self._wake_writer()

    def restart(self, rewinds: int) -> None:
        """Forget all that came from the stream, and what of it still waits to be written."""
        self._waiting.clear()
        self._waiting_bytes = 0
        self._floor, self._copied = 0, None
        self._restart = rewinds
        self._wake_writer()

    def keep(self, kind: str, key: str, text: str | None) -> None:
        """Keep a record in this server's own file alone."""
        self._notes[kind, key] = text
        self._write_notes_later()

    def _write_notes_later(self) -> None:
        """See to it that notes with which nothing else is written are written too."""
        is_due = self._notes and not (self._is_busy or self._is_closing)
        if is_due and self._note_timer is None:
            self._note_timer = self._loop.call_later(NOTE_SECONDS, self._write_notes)

    def _write_notes(self) -> None:
        self._note_timer = None
        self._wake_writer()

    async def wait_idle(self) -> None:
        """Return when all that was taken is in the file, and delivered."""
        while not self.is_idle:
            await self._progress.wait()

    async def wait_progress(self) -> None:
        """Return when something more is in the file."""
        await self._progress.wait()

    async def close(self, seconds: float) -> None:
        """Write what waits, and end the thread. Raises `LogError`: what ended it, or SILENT."""
        if self._ended is None:
            return
        self._is_closing = True
        for timer in (self._note_timer, self._silence_timer):
            if timer is not None:
                timer.cancel()
        self._thread.put(Arrivals([], notes=self._notes))
        self._thread.put(None)
        if self._is_busy:
            await asyncio.wait({self._ended}, timeout=seconds)
            if not self._ended.done():
                raise LogError(Problem.SILENT, self._path)
        if (trouble := await self._ended) is not None:
            raise trouble.without_frames()

    # To the thread and back.

    def _wake_writer(self) -> None:
        if not (self._is_busy or self._is_closing):
            self._is_busy = True
            # Not at once: what else comes in this turn of the loop is written with it.
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        arrived, self._waiting = self._waiting[:MAX_GROUPS], self._waiting[MAX_GROUPS:]
        notes, self._notes = self._notes, {}
        group = Arrivals([], notes, arrived=arrived, floor=self._floor, restart=self._restart)
        group.copied = self._copied
        self._floor, self._copied, self._restart = 0, None, None
        if group.is_empty:  # which the thread would not give back
            self._is_busy = False
            self._progress.tell()
        else:
            self._put(group)

    def _put(self, group: Arrivals) -> None:
        error = LogError(Problem.SILENT, self._path)
        self._silence_timer = self._loop.call_later(SILENT_SECONDS, self._report, error)
        self._thread.put(group)

    def _take_back(self, group: Group, took_seconds: float) -> None:
        """Deliver what was written; try again what was not."""
        assert isinstance(group, Arrivals)
        if self._silence_timer is not None:
            self._silence_timer.cancel()
        if group.is_lost:
            self._report(group.trouble or LogError(Problem.UNUSABLE, self._path))
            self._try_again_later(group)
            return
        self._report(None)
        self._waiting_bytes -= sum(len(one.content) for one in group.arrived)
        self._is_busy = False
        if self._waiting or self._restart is not None:
            self._wake_writer()
        self._write_notes_later()
        try:
            self._deliver(group)
        finally:
            self._progress.tell()

    def _try_again_later(self, group: Arrivals) -> None:
        """Put the group once more, unless the stream has become another one meanwhile."""

        def put() -> None:
            if self._is_closing:
                return
            if self._restart is not None and group.restart is None:
                self._notes = group.notes | self._notes
                self._hand_over()
                return
            group.is_lost, group.trouble = False, None
            self._put(group)

        self._loop.call_later(TRY_AGAIN_SECONDS, put)

    def _see_end(self, trouble: LogError | None) -> None:
        """The thread has ended: as it should, or because something in it is wrong."""
        assert self._ended is not None
        self._ended.set_result(trouble)
        if trouble is not None:
            self._report(trouble)
        self._progress.tell()
