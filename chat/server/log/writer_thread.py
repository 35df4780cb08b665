"""The thread that commits the groups, one after the other. Knows no storage.

The event loop starts it, hands groups over and hears what became of them; all else here runs in
the thread itself.
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

from chat.server.log.base import Entry, LogError, Problem

# When it is tried after a failure whether writing works again.
TRY_AGAIN_SECONDS = 2.0

# What is kept beside the messages: by kind and key the text, None where it is kept no more.
Notes = dict[tuple[str, str], "str | None"]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Group:
    """What one transaction writes: entries, and the latest note under each kind and key."""

    entries: list[Entry]
    notes: Notes = field(default_factory=dict)
    is_lost: bool = False
    trouble: LogError | None = None  # why it is lost, if that is the log's fault

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write in it."""
        return not (self.entries or self.notes)


class WriterThread:
    """Commits what it is given, and tidies up between the groups.

    `commit(group)`: writes one group in one transaction; any exception means that all of it is
    lost. An empty group is to be written too: whether that works is tried after a failure.
    `tidy()`: what is to be done between the groups (trimming); returns after how many seconds it
    wants to be called again, None for never. Neither can end the thread by an exception; what they
    raise is logged, once until a group is committed again. `finish()` is called at the end.
    """

    def __init__(
        self,
        commit: Callable[[Group], None],
        tidy: Callable[[], float | None],
        finish: Callable[[], None],
        path: str,
    ) -> None:
        self._commit = commit
        self._tidy = tidy
        self._finish = finish
        self._path = path
        # One group at the most. None ends the thread.
        self._groups: queue.SimpleQueue[Group | None] = queue.SimpleQueue()
        self._is_failing = False
        self._is_told = False
        self._tidy_at: float | None = time.monotonic()

    # In the event loop.

    def start(
        self,
        done: Callable[[Group, float], None],
        tell: Callable[[LogError | None], None],
        ended: Callable[[LogError | None], None],
    ) -> None:
        """Begin to commit. What is given is called in the running event loop.

        `done`: with each group, and how many seconds it took. `tell`: with trouble between the
        groups, and None at its end. `ended`: once, with what ended the thread, None if that was
        asked for.
        """
        self._done = done
        self._tell = tell
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        # A daemon: neither a program that failed before the end nor a disk that does not answer
        # may keep the process.
        threading.Thread(target=self._run, name="log-writer", daemon=True).start()

    def put(self, group: Group | None) -> None:
        """Hand over the next group, when the one before is done; None: the end."""
        self._groups.put(group)

    # In the thread.

    def _run(self) -> None:
        """Commit until the end; the one place that sees however this thread ends."""
        trouble = None
        try:
            self._commit_groups()
            self._finish()
        except BaseException as error:
            trouble = _trouble_of(error) or LogError(Problem.STOPPED, self._path, repr(error))
        self._call(self._ended, trouble)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        """Have the event loop call this; it is gone only when nobody waits any more."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _commit_groups(self) -> None:
        while (group := self._next_group()) is not None:
            if not group.is_empty:
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
        started = time.perf_counter()
        try:
            self._commit(group)
            self._is_failing = self._is_told = False
        except Exception as error:
            group.is_lost = True
            group.trouble = _trouble_of(error)
            for entry in group.entries:
                entry.is_lost = True
            self._note_failure(error)
        self._call(self._done, group, time.perf_counter() - started)

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
