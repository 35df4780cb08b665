"""Whether the log's file is sound: a few rows at a time, so that it can be done beside all else."""

from __future__ import annotations

import sqlite3
from typing import Any

from chat.server.log.rows import NEWEST_ID

# Rows of one step, some milliseconds.
STEP_ROWS = 500
# What an end without a stop may have harmed was written last: a server that starts again looks at
# so many messages, which takes the same time however long the log is. `--check` looks at all.
LAST_MESSAGES = 200_000
# So many faults say enough.
MAX_FAULTS = 10

ROWS = """
SELECT id, sent_at, room, user, message, sender, key FROM message NOT INDEXED
WHERE id > ? ORDER BY id LIMIT ?
"""
# What the indexes would not find.
NOT_IN_ROOM = """
SELECT count(*) FROM message AS m NOT INDEXED WHERE m.id > ? AND m.id <= ? AND NOT EXISTS (
    SELECT 1 FROM message AS i INDEXED BY message_by_room WHERE i.room = m.room AND i.id = m.id
)
"""
NOT_BY_KEY = """
SELECT count(*) FROM message AS m NOT INDEXED WHERE m.id > ? AND m.id <= ? AND m.key NOT NULL
AND NOT EXISTS (
    SELECT 1 FROM message AS i INDEXED BY message_by_key
    WHERE i.sender = m.sender AND i.key = m.key AND i.key NOT NULL AND i.id = m.id
)
"""


class Check:
    """Looks through the rows of the log as it is now, `step` by step; `faults`: what was found.

    Every page of the table is read, and every row is looked for in the indexes. Beside that: times
    never run back, and ids are none that have not been given. `last`: how many messages, counted
    from the end; None: all.
    """

    def __init__(self, connection: sqlite3.Connection, last: int | None = None) -> None:
        self.faults: list[str] = []
        self.rows = 0
        self._connection = connection
        self._end: int = connection.execute(NEWEST_ID).fetchone()[0]
        self._after = 0 if last is None else max(0, self._end - last)
        self._sent_at = 0

    def step(self) -> bool:
        """Look at the next rows; say whether there are more. What SQLite says is a fault too."""
        try:
            rows = self._connection.execute(ROWS, (self._after, STEP_ROWS)).fetchall()
            if rows:
                self._look_at(rows)
        except sqlite3.Error as error:
            self.faults.append(f"after message {self._after}: {error}")
            return False
        is_over = len(rows) < STEP_ROWS or self._after >= self._end
        return not is_over and len(self.faults) < MAX_FAULTS

    def _look_at(self, rows: list[Any]) -> None:
        before, self._after = self._after, rows[-1][0]
        self.rows += len(rows)
        for message_id, sent_at, *texts in rows:
            if sent_at < self._sent_at:
                self.faults.append(f"message {message_id}: its time is before the one before")
            if not all(isinstance(text, str) or text is None for text in texts):
                self.faults.append(f"message {message_id}: not text")
            self._sent_at = max(sent_at, self._sent_at)
        for query in (NOT_IN_ROOM, NOT_BY_KEY):
            (missing,) = self._connection.execute(query, (before, self._after)).fetchone()
            if missing:
                self.faults.append(f"messages {before + 1} to {self._after}: {missing} not indexed")
        highest = self._connection.execute(NEWEST_ID).fetchone()[0]
        if self._after > highest:
            self.faults.append(f"message {self._after}: its id was not given yet")
