"""A log's file in SQLite: opened for one connection that writes and one that reads, and its reads.

Knows no rooms' rules, no gRPC and no language, and not who decides what is written: `sqlite.py`,
where the file is the log, or `jetstream.py`, where it follows one. The event loop calls it; a
thread of its own reads (`sqlite_reader.py`), and another one writes (`sqlite_writer.py`).
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, nullcontext
from typing import ParamSpec, TypeVar

import chat_pb2
from chat.protocol.words import Query
from chat.server.log import checking
from chat.server.log.base import MAX_PAGE_BYTES, ClusterState, Found, LogError, Place, Problem
from chat.server.log.checking import Check
from chat.server.log.checkpoints import Checkpoints
from chat.server.log.connections import (
    WRITER_TIMEOUT_SECONDS,
    Connect,
    connect_sqlite,
    lock_beside,
    log_error,
    open_connection,
)
from chat.server.log.files import HAS_FILE_LOCKS, IN_MEMORY, LogFile
from chat.server.log.gathered import Gathered
from chat.server.log.migrations import begin_opening, check_is_ours, prepare
from chat.server.log.other_names import check_name
from chat.server.log.reading import PageEnds, ReadThread, Urgency
from chat.server.log.rows import message_of
from chat.server.log.searching import Searching
from chat.server.log.sqlite_reader import SqliteReader, Wishes

# How long closing waits for a read that is under way.
CLOSE_SECONDS = 0.3
# The check beside the serving rests for so many times what a step took.
CHECK_REST_FACTOR = 4.0

# Pages of those who read on that are read, or made messages of, at a time: the event loop has more
# to do with a page than the thread that reads it.
MAX_NEXT_PAGES = 4

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class SqliteFile:
    """The log in the file `path` or in memory; opened by one server at a time.

    Opening blocks for a moment, whatever the size of the file, and raises `LogError`. `connect` is
    `sqlite3.connect` but in tests. `is_clean`: the server before this one closed it.
    """

    def __init__(self, path: str, connect: Connect = connect_sqlite) -> None:
        self.path = path
        with ExitStack() as opened:  # closes what was opened before something failed
            self._file = opened.enter_context(closing(LogFile(path))) if path != IN_MEMORY else None
            try:
                self._open(opened, self._file, connect)
                self._begin(connect)
            except sqlite3.Error as error:
                raise log_error(path, error) from error
            self._opened = opened.pop_all()

    def _open(self, opened: ExitStack, file: LogFile | None, connect: Connect) -> None:
        path = self.path
        if file is not None:
            check_name(path)
            file.lock()
            path = file.real_path
        writing = open_connection(path, connect, WRITER_TIMEOUT_SECONDS)
        opened.enter_context(closing(writing))
        check_is_ours(writing, self.path)
        if file is not None:
            if not HAS_FILE_LOCKS:
                opened.enter_context(closing(lock_beside(path)))
            file.make_private()
        prepare(writing, path)
        self._writing = self._reading = writing
        if file is not None:
            self._reading = opened.enter_context(closing(open_connection(path, connect)))
        self._generation, self.is_clean = begin_opening(writing, path)
        if file is not None:
            file.note_companions()
        self._epoch: str = writing.execute("SELECT epoch FROM log").fetchone()[0]

    def _begin(self, connect: Connect) -> None:
        # In memory there is one connection for two threads, so one lock; in a file nobody waits.
        self._write_lock = threading.Lock()
        self._read_lock = self._write_lock if self._file is None else threading.Lock()
        self._checkpoints = None
        if self._file is not None:
            real_path = self._file.real_path
            self._checkpoints = Checkpoints(self._writing, real_path, self._read_lock)
        self._reader = SqliteReader(self._reading, self._read_lock)
        self._read_thread = ReadThread()
        self._places = Gathered(self._find_all_places)
        self._page_ends = PageEnds()
        self._next_pages = asyncio.Semaphore(MAX_NEXT_PAGES)
        self._searching = Searching(
            self._file.real_path if self._file is not None else None,
            connect,
            self._reader,
            self._run,
            lambda: (self.epoch, self.generation),
        )

    @property
    def epoch(self) -> str:
        """The identity of the log."""
        return self._epoch

    @property
    def rewinds(self) -> int:
        """Never: what is kept with an older copy of the file is as old."""
        return 0

    @property
    def cluster(self) -> ClusterState | None:
        """Nothing: there are no other servers."""
        return None

    @property
    def generation(self) -> str:
        """The identity of this opening of it."""
        return self._generation

    async def read(
        self, room: str, after: int, limit: int, before: int = 0, max_bytes: int = MAX_PAGE_BYTES
    ) -> list[chat_pb2.Message]:
        """Return a page of `room`: ids above `after`, below `before` if that is given, in order."""
        where = (room, after, limit, before, max_bytes)
        urgency = self._page_ends.urgency(room, after, is_history=before > 0)
        async with self._next_pages if urgency is Urgency.NEXT_PAGE else nullcontext():
            rows, has_more = await self._run(urgency, self._reader.page, *where)
            if has_more:
                self._page_ends.add(room, rows[-1][0])
            return [message_of(row) for row in rows]

    async def find_places(
        self, wishes: Sequence[tuple[str, int | None]], generation: str, count: int
    ) -> list[Place]:
        """Return where the readers of rooms begin; many who ask at once are answered together."""
        return await self._places.ask(Wishes(wishes, generation, count))

    async def _find_all_places(self, asked: Sequence[Wishes]) -> list[list[Place]]:
        """Answer many at once; whoever comes in waits for no disk that does not answer."""
        look_up, read = self._read_thread.run_unless_silent, self._reader.places
        try:
            return await look_up(Urgency.LOOK_UP, read, asked)
        except TimeoutError as error:
            raise LogError(Problem.SILENT, self.path) from error
        except sqlite3.Error as error:
            raise log_error(self.path, error) from error

    @property
    def is_silent(self) -> bool:
        """Whether the disk has not answered a read for some seconds."""
        return self._read_thread.is_silent

    async def search(self, room: str, query: Query, after: int, before: int, limit: int) -> Found:
        """Find what was said and done in `room`: see `Log.search`."""
        return await self._searching.find(room, query, after, before, limit)

    async def find_key(self, sender: str, key: str) -> tuple[str, chat_pb2.Message] | None:
        """Return the room and the message that were appended under a key, None if none was."""
        rows = await self._look_up(self._reader.by_key, sender, key)
        return (rows[0][-1], message_of(rows[0])) if rows else None

    async def start_of_last(self, room: str, count: int, before: int = 0) -> int:
        """Return the id after which the last `count` messages of `room` begin, below `before`."""
        return await self._look_up(self._reader.start_of_last, room, count, before)

    async def count(self, room: str, after: int, until: int, limit: int) -> int:
        """Return how many messages of `room` there are between two ids, `limit` at most."""
        return await self._look_up(self._reader.count, room, after, until, limit)

    async def last_id(self) -> int:
        """Return the newest id ever given, 0 for an empty log."""
        return await self._look_up(self._reader.last_id)

    async def records(self, kind: str) -> dict[str, str]:
        """Return all that is kept of one kind beside the messages."""
        return await self._look_up(self._reader.records, kind)

    async def check(self) -> list[str]:
        """Look through what was written last, beside all else; return what is wrong, in English."""
        check = await self._run(
            Urgency.CHECK, self._locked, lambda: Check(self._reading, checking.LAST_MESSAGES)
        )
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            if not await self._run(Urgency.CHECK, self._locked, check.step):
                return check.faults
            await asyncio.sleep(CHECK_REST_FACTOR * (clock() - started))

    def abandon(self) -> None:
        """Release the file of a log that was never started, or has come to its end."""
        self._close_search()
        if self._read_thread.close(CLOSE_SECONDS):
            self._opened.close()

    def _close_search(self) -> None:
        """Search no more; of a log that was removed no words stay. Does nothing the second time."""
        is_gone = self._file is not None and not self._file.is_in_place()
        self._searching.close(is_gone)

    async def _look_up(
        self, read: Callable[_Given, _Result], /, *arguments: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        return await self._run(Urgency.LOOK_UP, read, *arguments, **named)

    async def _run(
        self,
        urgency: Urgency,
        read: Callable[_Given, _Result],
        /,
        *arguments: _Given.args,
        **named: _Given.kwargs,
    ) -> _Result:
        """Call `read` in the reader's thread; what SQLite raises becomes a `LogError`."""
        try:
            return await self._read_thread.run(urgency, read, *arguments, **named)
        except sqlite3.Error as error:
            raise log_error(self.path, error) from error

    def _locked(self, read: Callable[[], _Result]) -> _Result:
        with self._read_lock:
            return read()
