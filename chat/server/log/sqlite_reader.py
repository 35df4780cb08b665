"""What is asked of the log in SQLite: pages, places, keys. It all runs in the reader's thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Sequence
from contextlib import closing
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

from chat.protocol.metadata import MAX_ID
from chat.server.log.base import OVERHEAD_BYTES, Missing, Place
from chat.server.log.rows import ALL_ROOMS, BY_KEY, COLUMNS, NEWEST_ID


class Wishes(NamedTuple):
    """What one reader asks of its places: as `Log.find_places` is asked."""

    places: Sequence[tuple[str, int | None]]
    generation: str
    history: int


class SqliteReader:
    """The connection that reads, by short reads alone: a long one keeps the WAL from ending.

    `lock` is held while the connection is in use. All methods raise `sqlite3.Error`.
    """

    def __init__(self, connection: sqlite3.Connection, lock: threading.Lock) -> None:
        self._connection = connection
        self._lock = lock

    def page(
        self, room: str, after: int, limit: int, before: int, max_bytes: int
    ) -> tuple[list[Any], bool]:
        """Return rows of a room with ids between two, and whether there may be more.

        Up to `limit` of them, or `max_bytes`, unless the first is longer.
        """
        query = (
            f"SELECT {COLUMNS} FROM message WHERE room = ? AND id > ? AND id < ?"
            " ORDER BY id LIMIT ?"
        )
        rows: list[Any] = []
        size = 0
        parameters = (room, after, before or MAX_ID, limit)
        with self._lock, closing(self._connection.execute(query, parameters)) as cursor:
            for row in cursor:
                size += _size_of(row)
                if rows and size > max_bytes:
                    return rows, True
                rows.append(row)
        return rows, len(rows) == limit

    def places(self, asked: Sequence[Wishes]) -> list[list[Place]]:
        """Return where each reader begins (`Log.find_places`), by a few statements for all."""
        end_of, start_of_last = cache(self._end_of), cache(self.start_of_last)
        beyond = self._beyond({place for one in asked for place in one.places})

        def place(of: Wishes, room: str, after: int | None) -> Place:
            if after is None:
                return Place(start_of_last(room, of.history, MAX_ID))
            if after > end_of(of.generation):
                return Place(start_of_last(room, of.history, MAX_ID), Missing.REWOUND)
            has_more, is_trimmed = beyond.get((room, after), (False, False))
            return Place(after, Missing.TRIMMED if is_trimmed else Missing.NOTHING, has_more)

        return [[place(one, *where) for where in one.places] for one in asked]

    def by_key(self, sender: str, key: str) -> list[Any]:
        """Return the row that was appended under a key, in a list that is empty if none was."""
        return self._fetch(BY_KEY, (sender, key))

    def last_id(self) -> int:
        """Return the newest id ever given, 0 for an empty log."""
        return int(self._fetch(NEWEST_ID, ())[0][0])

    def records(self, kind: str) -> dict[str, str]:
        """Return the texts of one kind that are kept beside the messages, by their keys."""
        return dict(self._fetch("SELECT key, text FROM record WHERE kind = ?", (kind,)))

    def all_records(self) -> list[tuple[str, str, str]]:
        """Return the kind, the key and the text of all that is kept beside the messages."""
        return self._fetch("SELECT kind, key, text FROM record", ())

    def start_of_last(self, room: str, count: int, before: int) -> int:
        """Return the id after which the last `count` messages of a room begin."""
        query = "SELECT id FROM message WHERE room = ? AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?"
        if not count:
            return self.last_id()
        rows = self._fetch(query, (room, before or MAX_ID, count))
        return int(rows[0][0]) if rows else 0

    def count(self, room: str, after: int, until: int, limit: int) -> int:
        """Return how many messages of a room have ids above `after`, up to `until`; up to a limit.

        The index alone says so: a hundred thousand take some ten milliseconds.
        """
        query = (
            "SELECT count(*) FROM"
            " (SELECT 1 FROM message WHERE room = ? AND id > ? AND id <= ? LIMIT ?)"
        )
        return int(self._fetch(query, (room, after, until, limit))[0][0])

    def rows_after(self, after: int, limit: int, before: int = MAX_ID) -> list[Any]:
        """Return id, room, kind and text of the next messages, of whatever room, in order."""
        columns = "id, room, kind, message"
        query = f"SELECT {columns} FROM message WHERE id > ? AND id < ? ORDER BY id LIMIT ?"
        return self._fetch(query, (after, before, limit))

    def texts_before(self, room: str, before: int, after: int, limit: int) -> list[Any]:
        """Return id, kind and text of the last messages of a room between two ids, newest first."""
        query = (
            "SELECT id, kind, message FROM message WHERE room = ? AND id < ? AND id > ?"
            " ORDER BY id DESC LIMIT ?"
        )
        return self._fetch(query, (room, before, after, limit))

    def rows_of(self, room: str, ids: Sequence[int]) -> list[Any]:
        """Return the rows of some messages of a room that are still there, newest first."""
        marks = ", ".join("?" * len(ids))
        query = f"SELECT {COLUMNS} FROM message WHERE id IN ({marks}) AND room = ? ORDER BY id DESC"
        return self._fetch(query, (*ids, room))

    def oldest_id(self) -> int:
        """Return the id of the oldest message that is kept, one that was never given if none is."""
        (found,) = self._fetch("SELECT min(id) FROM message", ())
        return MAX_ID if found[0] is None else int(found[0])

    def _beyond(
        self, places: Collection[tuple[str, int | None]]
    ) -> dict[tuple[str, int], tuple[bool, bool]]:
        """Return what is beyond ids that were seen in rooms: messages, and trimmed ones.

        Where nothing is, as beyond most, there is no row.
        """
        seen = [place for place in places if place[1] is not None]
        query = (
            f"WITH seen (room, id) AS (VALUES {', '.join(['(?, ?)'] * len(seen))})"
            " SELECT room, id, has_more, is_trimmed FROM (SELECT room, id,"
            " EXISTS (SELECT 1 FROM message WHERE room = seen.room AND id > seen.id) AS has_more,"
            " EXISTS (SELECT 1 FROM trimmed WHERE room IN (seen.room, ?) AND id > seen.id)"
            " AS is_trimmed FROM seen) WHERE has_more OR is_trimmed"
        )
        rows = self._fetch(query, (*chain.from_iterable(seen), ALL_ROOMS)) if seen else ()
        return {(room, after): (bool(more), bool(gone)) for room, after, more, gone in rows}

    def _end_of(self, generation: str) -> int:
        """Return the last id that was given in `generation`, -1 where the log does not know it."""
        if generation:
            query = "SELECT number FROM generation WHERE generation = ?"
            if not (found := self._fetch(query, (generation,))):
                return -1
            query = "SELECT first_id FROM generation WHERE number > ? ORDER BY number LIMIT 1"
            if following := self._fetch(query, (found[0][0],)):
                return int(following[0][0]) - 1
        return self.last_id()

    def _fetch(self, query: str, parameters: Sequence[Any]) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()


def _size_of(row: Sequence[Any]) -> int:
    """Return about how many bytes the message of a row takes."""
    texts = (value for value in row if isinstance(value, (str, bytes)))
    return OVERHEAD_BYTES + sum(
        len(text.encode() if isinstance(text, str) else text) for text in texts
    )
