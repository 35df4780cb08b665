"""The layout of the log's file: made where it is new, checked where it is not.

`application_id` tells our files from other people's databases, `user_version` is the layout's
(sqlite.org/pragma.html). Called once, when the log is opened, in the thread that opens it.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from chat.server.log.base import LogError, Problem

SCHEMA_VERSION = 1
APPLICATION_ID = 0x63686174  # "chat"

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, even after the newest was removed
    sent_at INTEGER NOT NULL,              -- microseconds since 1970, UTC; never less than before
    room TEXT NOT NULL,
    user TEXT NOT NULL,
    message TEXT NOT NULL,
    sender TEXT NOT NULL,                  -- the user without regard to case: whose key it is
    key TEXT                               -- NULL: the sender gave none
);
CREATE INDEX message_by_room ON message (room, id);
CREATE UNIQUE INDEX message_by_key ON message (sender, key) WHERE key IS NOT NULL;
CREATE TABLE trimmed (room TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log (epoch TEXT NOT NULL);
INSERT INTO log VALUES (lower(hex(randomblob(16))));
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Make the file a log of ours if it is new.

    Raises `LogError` where it is somebody else's or of a later version, `sqlite3.Error` where it is
    damaged or cannot be written.
    """
    is_new = not _value(connection, "SELECT count(*) FROM sqlite_master")
    if not is_new and _value(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise LogError(Problem.FOREIGN, path)
    if _value(connection, "PRAGMA user_version") > SCHEMA_VERSION:
        raise LogError(Problem.NEWER, path)
    # FULL: every commit is fsynced; what anyone has seen is on disk (sqlite.org/pragma.html).
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if is_new:
        connection.executescript(SCHEMA)
    elif (found := _value(connection, "PRAGMA quick_check(1)")) != "ok":
        raise LogError(Problem.DAMAGED, path, str(found))
    # A file that cannot be written is found now, not by the first message. Taken back, it needs no
    # room on the disk; only a statement that writes is refused in WAL mode, not BEGIN.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("ROLLBACK")


def _value(connection: sqlite3.Connection, query: str) -> Any:
    return connection.execute(query).fetchone()[0]
