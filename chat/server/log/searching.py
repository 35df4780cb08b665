"""Searches of the log, and the index of its words that follows it beside all else.

The index (`search_index.py`) is a reader of the log like any other: it goes on after the last id
that it has seen, and begins anew where that means nothing any more. It is never in the way of a
commit: it reads a few rows at a time, writes a file of its own, and rests for a multiple of what
that took.
What it has not come to yet is found by looking at the texts themselves; so is all of a log in
memory, or where SQLite has no FTS5.

The event loop calls it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, ParamSpec, Protocol, TypeVar

import chat_pb2
from chat.protocol.kinds import SAID
from chat.protocol.metadata import MAX_ID
from chat.protocol.words import Query
from chat.server.log import search_index
from chat.server.log.base import Found, LogError, Missing
from chat.server.log.connections import Connect
from chat.server.log.files import INDEX_SUFFIX
from chat.server.log.reading import ReadThread, Urgency
from chat.server.log.rows import message_of
from chat.server.log.search_index import (
    ForeignFileError,
    Match,
    Part,
    Said,
    Words,
    has_no_fts5,
    is_damage,
    open_words,
)
from chat.server.log.sqlite_reader import SqliteReader, Wishes
from chat.server.room import is_inbox

# Rows that are taken into the index at a time, some milliseconds.
FOLLOWED_ROWS = 200
# The index rests for so many times what its last step took.
REST_FACTOR = 4.0
# How often it looks for news, when there was none.
LOOK_SECONDS = 1.0
# After a failure (a full disk, say) it tries again.
TRY_AGAIN_SECONDS = 60.0
# How often a part is made anew that has words of what the log keeps no longer.
TRIM_SECONDS = 3600.0
# Texts that are looked at themselves at a time, and in one turn of a search.
SCANNED_ROWS = 500
MAX_SCANNED_ROWS = 5000
CLOSE_SECONDS = 0.3

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class Read(Protocol):
    """Calls something in the log's own thread, when it is its turn; raises `LogError`."""

    def __call__(
        self,
        urgency: Urgency,
        read: Callable[_Given, _Result],
        /,
        *arguments: _Given.args,
        **named: _Given.kwargs,
    ) -> Awaitable[_Result]:
        """Return what `read` returns."""


class Searching:
    """Searches one log, and has its index follow it.

    `path`: of the log, None in memory. `identity`: returns the epoch and the generation of the log.
    `read`: calls in the log's own thread.
    """

    def __init__(
        self,
        path: str | None,
        connect: Connect,
        reader: SqliteReader,
        read: Read,
        identity: Callable[[], tuple[str, str]],
    ) -> None:
        self._path = f"{path}{INDEX_SUFFIX}" if path is not None else None
        self._connect = connect
        self._reader = reader
        self._read = read
        self._identity = identity
        self._following = ReadThread("search-index")
        self._finding = ReadThread("search")
        self._words: Words | None = None
        self._connection: sqlite3.Connection | None = None  # that finds
        self._task: asyncio.Task[None] | None = None
        self._is_told = self._is_damaged = False
        self._trim_at = 0.0

    def start(self) -> None:
        """Begin to follow the log, where there can be an index. In the running event loop."""
        if self._path is not None:
            self._task = asyncio.get_running_loop().create_task(self._follow(self._path))

    def close(self, is_gone: bool = False) -> None:
        """Follow it no more, and release the index; a step that is under way is waited for.

        `is_gone`: so is the log, and the index goes with it. Does nothing the second time.
        """
        if self._task is not None:
            with suppress(RuntimeError):  # the loop is over, and the task with it
                self._task.cancel()
        ended = [thread.close(CLOSE_SECONDS) for thread in (self._following, self._finding)]
        if not all(ended):
            return
        if self._connection is not None:
            self._connection.close()
        if self._words is not None:
            with suppress(sqlite3.Error, OSError):
                self._words.close(is_gone)
        self._words = self._connection = None

    # Searching.

    async def find(self, room: str, query: Query, after: int, before: int, limit: int) -> Found:
        """Find messages, as `Log.search` has it."""
        if before - 1 <= after:
            return Found([])
        upto = self._upto
        if before - 1 > upto:
            found = await self._scan(room, query, max(after, upto), before, limit)
            if found.reached or upto <= after:
                return found
            if found.messages:
                return Found(found.messages, upto + 1)
        return await self._look_up(room, query, after, min(before, upto + 1), limit)

    @property
    def _upto(self) -> int:
        """Up to which id the index can be asked: 0 until it is known to be of this log."""
        if self._words is None or self._is_damaged:
            return 0
        state = self._words.state
        return state.upto if (state.epoch, state.generation) == self._identity() else 0

    async def _scan(self, room: str, query: Query, after: int, before: int, limit: int) -> Found:
        """Look at the texts themselves, of so many messages at the most."""
        ids: list[int] = []
        for _turn in range(MAX_SCANNED_ROWS // SCANNED_ROWS):
            search = (room, query, before, after, limit - len(ids))
            found, before = await self._read(Urgency.SEARCH, self._scan_some, *search)
            ids += found
            if not before or len(ids) >= limit:
                break
        return Found(await self._messages(room, ids), before)

    def _scan_some(
        self, room: str, query: Query, before: int, after: int, limit: int
    ) -> tuple[list[int], int]:
        """Look at a portion; return the ids that were found, and how far that was, 0 at the end."""
        rows = self._reader.texts_before(room, before, after, SCANNED_ROWS)
        found: list[int] = []
        for message_id, kind, text in rows:
            if kind in SAID and query.is_in(text):
                found.append(message_id)
                if len(found) >= limit:
                    return found, message_id
        return found, rows[-1][0] if len(rows) == SCANNED_ROWS else 0

    async def _look_up(self, room: str, query: Query, after: int, before: int, limit: int) -> Found:
        """Look into the index; where that fails, at the texts themselves."""
        search = (search_index.match_of(room, query), after, before, limit)
        try:
            ids, reached = await self._finding.run(Urgency.SEARCH, self._find_ids, *search)
        except sqlite3.Error as error:
            self._is_damaged = is_damage(error)
            self._tell(error)
            return await self._scan(room, query, after, before, limit)
        messages = await self._messages(room, ids)
        return Found([one for one in messages if query.is_in(one.message)], reached)

    def _find_ids(self, match: Match, after: int, before: int, limit: int) -> tuple[list[int], int]:
        assert self._path is not None
        if self._connection is None:
            self._connection = search_index.open_index(self._path, self._connect)
        return search_index.find(self._connection, match, after, before, limit)

    async def _messages(self, room: str, ids: Sequence[int]) -> list[chat_pb2.Message]:
        if not ids:
            return []
        rows = await self._read(Urgency.SEARCH, self._reader.rows_of, room, ids)
        return [message_of(row) for row in rows]

    # Following.

    async def _follow(self, path: str) -> None:
        """Take in what is said, for as long as the log is open."""
        while True:
            try:
                rest_seconds = await self._follow_on(path)
            except ForeignFileError:
                _log.warning("%s is no index of a log: searches look at the texts", path)
                return
            except (LogError, sqlite3.Error, OSError) as error:
                if has_no_fts5(error):
                    _log.info("this SQLite has no FTS5: searches look at the texts")
                    return
                self._tell(error)
                await self._discard(path, is_damage(error))
                rest_seconds = TRY_AGAIN_SECONDS
            await asyncio.sleep(rest_seconds)

    async def _follow_on(self, path: str) -> float:
        """Take in some rows; return for how many seconds to rest."""
        if self._is_damaged:
            await self._discard(path, is_damaged=True)
        if self._words is None:
            await self._step(self._open, path)
        words = self._words
        assert words is not None
        await self._see_to_identity(words)
        rows = await self._rows(words.state.upto)
        if rows:
            took = await self._timed(words.add, _said(rows), rows[-1][0])
            return REST_FACTOR * took if len(rows) == FOLLOWED_ROWS else LOOK_SECONDS
        await self._trim(words)
        if self._connection is None:
            await self._open_parts()
        return LOOK_SECONDS

    def _open(self, path: str) -> None:
        """Open the index, in its thread; it is there from then on, whoever still waits for it."""
        self._words = open_words(path, self._connect)

    async def _open_parts(self) -> None:
        """Look once into the newest parts, so that a first search takes no longer than others."""
        search = (search_index.NOWHERE, 0, MAX_ID, 1)
        await self._finding.run(Urgency.CHECK, self._find_ids, *search)

    async def _rows(self, after: int, before: int = MAX_ID) -> list[Any]:
        """Return the next rows of the log."""
        search = (after, FOLLOWED_ROWS, before)
        rows: list[Any] = await self._read(Urgency.CHECK, self._reader.rows_after, *search)
        return rows

    async def _see_to_identity(self, words: Words) -> None:
        """Begin anew where the log is not the one that was followed, as far as it was."""
        epoch, generation = self._identity()
        state = words.state
        if (state.epoch, state.generation) == (epoch, generation):
            return
        is_same = state.epoch == epoch
        if is_same:
            wish = Wishes([("", state.upto)], state.generation, 0)
            [[place]] = await self._read(Urgency.LOOK_UP, self._reader.places, [wish])
            is_same = place.missing is not Missing.REWOUND
        if not is_same:
            await self._step(words.clear)
        await self._step(words.begin, epoch, generation)

    # What the log keeps no longer.

    async def _trim(self, words: Words) -> None:
        """Forget what is no longer in the log: whole parts, and now and then some of one."""
        oldest = await self._read(Urgency.CHECK, self._reader.oldest_id)
        part = await self._step(words.drop_before, oldest)
        now = asyncio.get_running_loop().time()
        if part is not None and now >= self._trim_at:
            self._trim_at = now + TRIM_SECONDS
            await self._make_again(words, part, oldest)

    async def _make_again(self, words: Words, part: Part, oldest: int) -> None:
        """Make a part anew out of what the log still has of it."""
        number = await self._step(words.begin_again, oldest)
        after = oldest - 1
        while rows := await self._rows(after, part.last_id + 1):
            after = rows[-1][0]
            took = await self._timed(words.add_again, number, _said(rows), after)
            await asyncio.sleep(REST_FACTOR * took)
        await self._step(words.put_in_place, part, number)

    # What goes wrong, and where it runs.

    def _tell(self, error: BaseException) -> None:
        """Say once what is wrong: it is nobody's trouble but of those who search."""
        if not self._is_told:
            _log.warning("the index of the log's words: %s", str(error))
        self._is_told = True

    async def _discard(self, path: str, is_damaged: bool) -> None:
        """Close the index, to open it again; one that is damaged is removed."""
        words, self._words = self._words, None
        connection, self._connection = self._connection, None
        self._is_damaged = False
        if connection is not None:
            await self._finding.run(Urgency.SEARCH, connection.close)
        if words is not None:
            await self._step(words.close)
        if is_damaged:
            with suppress(OSError):
                await self._step(search_index.remove, path)

    async def _step(
        self, step: Callable[_Given, _Result], /, *arguments: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        return await self._following.run(Urgency.CHECK, step, *arguments, **named)

    async def _timed(
        self, step: Callable[_Given, object], /, *arguments: _Given.args, **named: _Given.kwargs
    ) -> float:
        """Do a step; return how many seconds it took."""
        clock = asyncio.get_running_loop().time
        started = clock()
        await self._step(step, *arguments, **named)
        return clock() - started


def _said(rows: Sequence[Any]) -> list[Said]:
    """Return what rows say in rooms; nothing private, whatever is in it."""
    return [
        (message_id, room, text)
        for message_id, room, kind, text in rows
        if kind in SAID and not is_inbox(room)
    ]
