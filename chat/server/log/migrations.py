"""The layout of the log's file: made where it is new, checked where it is not.

`application_id` tells our files from other people's databases, `user_version` is the layout's
(sqlite.org/pragma.html). A file of an older layout is copied aside where there is room for it, and
brought up to date in one transaction. Called once, when the log is opened, in the thread that opens
it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from chat.server.log.base import LogError, Problem
from chat.server.log.connections import connect_sqlite
from chat.server.log.files import PRIVATE

SCHEMA_VERSION = 3
APPLICATION_ID = 0x63686174  # "chat"

SINCE_2 = """
CREATE TABLE generation (         -- each opening of the log, in order
    number INTEGER PRIMARY KEY,
    generation TEXT NOT NULL UNIQUE,
    first_id INTEGER NOT NULL     -- no id of it is below this one
);
"""

SINCE_3 = """
CREATE TABLE record (             -- what is kept beside the messages: `records.py` says what
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    text TEXT NOT NULL,           -- JSON
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
"""

# Not a version of its own: earlier programs do not look at it.
OPENING = (
    """
CREATE TABLE IF NOT EXISTS opening (  -- a row while a server has the log open; of one that was
    generation TEXT NOT NULL          -- killed it is found by the next
)
""",
    """
CREATE TABLE IF NOT EXISTS place (    -- likewise: the name by which that server opened the file,
    path BLOB NOT NULL                -- without links, as the system writes it
)
""",
)

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, even after the newest was removed
    sent_at INTEGER NOT NULL,              -- microseconds since 1970, UTC; never less than before
    room TEXT NOT NULL,
    user TEXT NOT NULL,
    message TEXT NOT NULL,
    sender TEXT NOT NULL,                  -- whose key it is: an identity, or the user's name_key
    key TEXT,                              -- NULL: the sender gave none
    kind INTEGER NOT NULL DEFAULT 0,       -- of chat.proto
    addressee TEXT NOT NULL DEFAULT '',    -- of a private message, whose room is an inbox
    sealed BLOB                            -- what only the addressee can open; NULL: nothing
);
CREATE INDEX message_by_room ON message (room, id);
CREATE UNIQUE INDEX message_by_key ON message (sender, key) WHERE key IS NOT NULL;
CREATE TABLE trimmed (room TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log (epoch TEXT NOT NULL);
{SINCE_2}{SINCE_3}{";".join(OPENING)};
INSERT INTO log VALUES (lower(hex(randomblob(16))));
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

FROM_1_TO_2 = f"""
BEGIN IMMEDIATE;
ALTER TABLE message ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN addressee TEXT NOT NULL DEFAULT '';
{SINCE_2}
PRAGMA user_version = 2;
COMMIT;
"""

# The names that were held a moment ago are free.
FROM_2_TO_3 = f"""
BEGIN IMMEDIATE;
ALTER TABLE message ADD COLUMN sealed BLOB;
DROP TABLE IF EXISTS holder;
{SINCE_3}
PRAGMA user_version = 3;
COMMIT;
"""


# Likewise; only in the file of a server that follows the stream of a cluster.
FOLLOWING = (
    """
CREATE TABLE IF NOT EXISTS follow (   -- how far the stream has been followed, in one row
    sequence INTEGER NOT NULL,        -- of the last group that is in this file
    message_id TEXT NOT NULL,         -- that group's
    rewinds INTEGER NOT NULL          -- how often the stream was put back to an older copy
)
""",
    """
CREATE TABLE IF NOT EXISTS publisher (  -- every server's every run, as far as its groups are here
    instance TEXT PRIMARY KEY,
    number INTEGER NOT NULL,          -- of its last group
    sent_at INTEGER NOT NULL          -- when that was
) WITHOUT ROWID
""",
)

# From the first layout to the second, and so on.
STEPS = (FROM_1_TO_2, FROM_2_TO_3)


def check_is_ours(connection: sqlite3.Connection, path: str) -> None:
    """Raise `LogError` where the file is somebody else's, or of a later version."""
    is_new = not _value(connection, "SELECT count(*) FROM sqlite_master")
    if not is_new and _value(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise LogError(Problem.FOREIGN, path)
    if _value(connection, "PRAGMA user_version") > SCHEMA_VERSION:
        raise LogError(Problem.NEWER, path)


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Make the file, which is ours, a log if it is new, and bring an older one up to date.

    Raises `sqlite3.Error` where it is damaged or cannot be written.
    """
    is_new = not _value(connection, "SELECT count(*) FROM sqlite_master")
    version = _value(connection, "PRAGMA user_version")
    connection.execute("PRAGMA journal_mode = WAL")
    if is_new:
        connection.executescript(SCHEMA)
    if not is_new and version < SCHEMA_VERSION:
        _keep_copy(connection, path, version)
        for step in STEPS[version - 1 :]:
            connection.executescript(step)
    # A file that cannot be written is found now, not by the first message. Taken back, it needs no
    # room on the disk; only a statement that writes is refused in WAL mode, not BEGIN.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("ROLLBACK")


class Opening(NamedTuple):
    """What a server is told when it opens the log.

    `generation`: the identity of this opening. `is_clean`: the server before this one closed it.
    """

    generation: str
    is_clean: bool


def begin_opening(connection: sqlite3.Connection, real_path: str) -> Opening:
    """Note this opening of the log, by this name without links, until `end_opening`."""
    generation = secrets.token_hex(16)
    known = _has_table(connection, "opening")
    connection.execute("BEGIN IMMEDIATE")
    for statement in OPENING:
        connection.execute(statement)
    is_clean = known and not _value(connection, "SELECT count(*) FROM opening")
    end_opening(connection)
    connection.execute("INSERT INTO opening VALUES (?)", (generation,))
    connection.execute("INSERT INTO place VALUES (?)", (os.fsencode(real_path),))
    connection.execute(
        "INSERT INTO generation (generation, first_id) VALUES"
        " (?, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0) + 1)",
        (generation,),
    )
    connection.execute("COMMIT")
    # Into the file itself: by another name of it nothing else can be seen (`other_names.py`).
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return Opening(generation, is_clean)


def find_place(connection: sqlite3.Connection) -> str | None:
    """Return by which name a server has the log open, or had it when it ended without closing it.

    None: it was closed, or by an earlier program.
    """
    if not _has_table(connection, "place"):
        return None
    row = connection.execute("SELECT path FROM place").fetchone()
    return os.fsdecode(row[0]) if row else None


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    query = "SELECT count(*) FROM sqlite_master WHERE name = ?"
    return bool(connection.execute(query, (name,)).fetchone()[0])


def is_following(connection: sqlite3.Connection) -> bool:
    """Say whether the file belongs to a server of a cluster."""
    return _has_table(connection, "follow")


def keep_opening(connection: sqlite3.Connection) -> None:
    """Write as little as can be, to find out whether it can be."""
    connection.execute("UPDATE opening SET generation = generation")


def end_opening(connection: sqlite3.Connection) -> None:
    """Note that this opening ends, as it should. Does nothing in a file that knows none."""
    for table in ("opening", "place"):
        if _has_table(connection, table):
            connection.execute(f"DELETE FROM {table}")


def _keep_copy(connection: sqlite3.Connection, path: str, version: int) -> None:
    """Copy the file of an older layout aside, as `chat.db-v1`, if the disk has room for two."""
    copy = Path(f"{path}-v{version}")
    size = _value(connection, "PRAGMA page_count") * _value(connection, "PRAGMA page_size")
    with suppress(OSError):
        if copy.exists() or shutil.disk_usage(copy.parent).free < 2 * size:
            return
        copy.touch(PRIVATE)
        with closing(connect_sqlite(copy)) as target:
            connection.backup(target)


def _value(connection: sqlite3.Connection, query: str) -> Any:
    return connection.execute(query).fetchone()[0]
