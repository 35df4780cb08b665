"""The words of what was said, in a file beside the log: SQLite's FTS5, made from the log alone.

Nothing is in it that the log does not say again, so that it can be thrown away at any time. It is
in parts, each of so many messages: one part is looked through in a bounded time, and what the log
keeps no longer goes with its part. Of the texts only their words are there, not the texts. Private
messages and what is sealed never are.

`Words` belongs to the thread that follows the log; `find` is for another one, with a connection of
its own.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from chat.protocol.words import Query, Term, words_of
from chat.server.log import part_words
from chat.server.log.connections import Connect
from chat.server.log.files import COMPANION_SUFFIXES, HEADER, PRIVATE

APPLICATION_ID = 0x63686177  # "chaw"
# Of another version it is made anew.
INDEX_VERSION = 2
# Where the header has the application's id (sqlite.org/fileformat2.html).
ID_PLACE = slice(68, 72)
HEADER_BYTES = 100
# The messages of one part: to find all words that begin with two letters takes some 20 ms.
PART_MESSAGES = 50_000
# A search asks each part by a statement of its own. To make one anew takes three times as long as
# to use it, and where more are used in turns than are kept, each is made anew.
MAX_STATEMENTS = 2000
# A search that has not found enough in so many parts asks first which of the others have its words.
# Most find enough in the newest, and that takes long where many words begin as theirs.
ASKED_PARTS = 8
# So long is looked for without a pause; others may search then.
TURN_SECONDS = 0.05

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE state (               -- one row: of which log it is, and how far it has followed that
    epoch TEXT NOT NULL,
    generation TEXT NOT NULL,
    upto INTEGER NOT NULL
);
INSERT INTO state VALUES ('', '', 0);
CREATE TABLE part (                -- each has its words in a table `words_NUMBER`
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    first_id INTEGER NOT NULL,     -- of the messages that it has looked at
    last_id INTEGER NOT NULL,
    messages INTEGER NOT NULL,     -- that are in it
    is_whole INTEGER NOT NULL,     -- not while it is being made in the place of another one
    is_noted INTEGER NOT NULL DEFAULT 0  -- whether `part_words` has it: not the newest
);
CREATE INDEX part_by_id ON part (first_id) WHERE is_whole;
{part_words.SCHEMA}
PRAGMA user_version = {INDEX_VERSION};
COMMIT;
"""
# Without the texts (`content`) and their lengths; the words come as they are to be compared, with
# spaces between them, which is what the tokenizer `ascii` leaves as it is.
WORDS = """
CREATE VIRTUAL TABLE words_{number} USING fts5(
    room, text, content = '', columnsize = 0, tokenize = 'ascii'
)
"""
FIND = """
SELECT rowid FROM words_{number} WHERE words_{number} MATCH ? AND rowid > ? AND rowid < ?
ORDER BY rowid DESC LIMIT ?
"""
END_PART = """
SELECT number, first_id, last_id, messages, is_noted FROM part WHERE is_whole
ORDER BY first_id {order} LIMIT 1
"""
PARTS = """
SELECT number, first_id FROM part WHERE is_whole AND last_id > ? AND first_id < ?
ORDER BY first_id DESC LIMIT ?
"""

# The id of a message, the key of its room, its text.
Said = tuple[int, str, str]


class Match(NamedTuple):
    """What FTS5 is asked: `text`, of a part; `words`, which of them have it (`part_words.py`)."""

    text: str
    words: str


# What is in no room at all: none is called so (`room_word`).
NOWHERE = Match('room : "none"', '"none"')


class ForeignFileError(Exception):
    """There is a file of that name which is no index of ours: it is left alone."""


@dataclass(frozen=True)
class State:
    """Of which log the index is, and how far it has followed that."""

    epoch: str = ""
    generation: str = ""
    upto: int = 0


@dataclass(frozen=True)
class Part:
    """A portion of the index: the ids that it spans, and how many messages are in it.

    `is_noted`: nothing is added to it any more, and `part_words.py` knows its words.
    """

    number: int
    first_id: int
    last_id: int
    messages: int
    is_noted: bool


class Words:
    """The index in the file `path`, made if need be; in one thread. All methods: `sqlite3.Error`.

    Raises `ForeignFileError`, `OSError`, and `sqlite3.OperationalError` also where this SQLite has
    no FTS5.
    """

    def __init__(self, path: str, connect: Connect) -> None:
        self._path = path
        make_private_file(path)
        self._connection = open_index(path, connect)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        execute = self._connection.execute
        if execute("PRAGMA user_version").fetchone()[0] != INDEX_VERSION:
            if execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise sqlite3.DatabaseError("another version")
            execute(
                f"PRAGMA application_id = {APPLICATION_ID}"
            )  # in the file itself, before the WAL
            execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(SCHEMA)
        # What is lost with the machine's power comes again out of the log.
        execute("PRAGMA synchronous = NORMAL")
        self.state = self._read_state()
        with self._transaction():
            self._add_part(0, is_whole=False)  # raises where there is no FTS5
            for (number,) in execute("SELECT number FROM part WHERE NOT is_whole").fetchall():
                self._drop(number)

    def close(self, is_gone: bool = False) -> None:
        """Release the file; where the log `is_gone`, remove it, unless it is of another by now."""
        is_own = is_gone and self._read_state() == self.state
        self._connection.close()
        if is_own:
            remove(self._path)

    def begin(self, epoch: str, generation: str) -> None:
        """Note which log is followed from now on, as far as it was."""
        with self._transaction():
            self._write_state(State(epoch, generation, self.state.upto))

    def clear(self) -> None:
        """Forget all: the log is another one, or was put back to an older copy."""
        with self._transaction():
            while (part := self._part("DESC")) is not None:
                self._drop(part.number)
            self._write_state(State())

    def add(self, said: Sequence[Said], upto: int) -> None:
        """Take in what was said, up to an id of the log, in one transaction."""
        with self._transaction():
            if said:
                self._insert(self._part_for(said[0][0]), said, upto)
            self._write_state(replace(self.state, upto=upto))

    # What the log keeps no longer.

    def drop_before(self, oldest_id: int) -> Part | None:
        """Drop the parts that end before an id; return one that begins before it, if any does."""
        while (part := self._part("ASC")) is not None and part.last_id < oldest_id:
            with self._transaction():
                self._drop(part.number)
        return part if part is not None and part.first_id < oldest_id else None

    def begin_again(self, first_id: int) -> int:
        """Begin a part in the place of one that has more than the log; return its number."""
        with self._transaction():
            return self._add_part(first_id, is_whole=False)

    def add_again(self, number: int, said: Sequence[Said], upto: int) -> None:
        """Take what was said into a part that was begun so."""
        with self._transaction():
            self._insert(number, said, upto)

    def put_in_place(self, part: Part, number: int) -> None:
        """Let the part that was begun so be in the place of another one."""
        with self._transaction():
            self._drop(part.number)
            change = "UPDATE part SET is_whole = 1, last_id = ? WHERE number = ?"
            self._connection.execute(change, (part.last_id, number))
            if part.is_noted:
                self._note(number)

    def _part(self, order: str) -> Part | None:
        """Return the oldest part (ASC) or the newest one (DESC), if there is any."""
        row = self._connection.execute(END_PART.format(order=order)).fetchone()
        return Part(*row) if row else None

    # Within a transaction.

    def _part_for(self, first_id: int) -> int:
        """Return the number of the part that takes in what is new: the newest, if it has room.

        Never that of an older one, which may have room since it was made anew.
        """
        newest = self._part("DESC")
        if newest is not None and newest.messages < PART_MESSAGES:
            return newest.number
        if newest is not None:
            self._note(newest.number)
        return self._add_part(first_id, is_whole=True)

    def _note(self, number: int) -> None:
        """Note the words of a part, unless there are too many: nothing more is added to it."""
        is_noted = part_words.note(self._connection, number)
        values = (is_noted, number)
        self._connection.execute("UPDATE part SET is_noted = ? WHERE number = ?", values)

    def _read_state(self) -> State:
        return State(*self._connection.execute("SELECT * FROM state").fetchone())

    def _add_part(self, first_id: int, is_whole: bool) -> int:
        cursor = self._connection.execute(
            "INSERT INTO part (first_id, last_id, messages, is_whole) VALUES (?, ?, 0, ?)",
            (first_id, first_id, is_whole),
        )
        number = int(cursor.lastrowid or 0)
        self._connection.execute(WORDS.format(number=number))
        return number

    def _insert(self, number: int, said: Sequence[Said], upto: int) -> None:
        values: list[object] = []
        for message_id, room, text in said:
            values += (message_id, room_word(room), " ".join(words_of(text)))
        if said:
            rows = ", ".join(["(?, ?, ?)"] * len(said))
            query = f"INSERT INTO words_{number} (rowid, room, text) VALUES {rows}"
            self._connection.execute(query, values)
        change = "UPDATE part SET last_id = ?, messages = messages + ? WHERE number = ?"
        self._connection.execute(change, (upto, len(said), number))

    def _drop(self, number: int) -> None:
        query = "SELECT is_noted FROM part WHERE number = ?"
        if self._connection.execute(query, (number,)).fetchone()[0]:
            part_words.forget(self._connection, number)
        self._connection.execute(f"DROP TABLE IF EXISTS words_{number}")
        self._connection.execute("DELETE FROM part WHERE number = ?", (number,))

    def _write_state(self, state: State) -> None:
        values = (state.epoch, state.generation, state.upto)
        change = "UPDATE state SET epoch = ?, generation = ?, upto = ?"
        self._connection.execute(change, values)
        self._next = state

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        self._next = self.state
        try:
            if self._read_state() != self.state:  # of a server whose log was replaced by this one
                raise sqlite3.OperationalError("another server has changed it")
            yield
            self._connection.execute("COMMIT")
            self.state = self._next
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise


def find(
    connection: sqlite3.Connection, match: Match, after: int, before: int, limit: int
) -> tuple[list[int], int]:
    """Return ids of what matches, newest first, and below which id nothing was looked at.

    Between the ids `after` and `before`, `limit` at the most, for `TURN_SECONDS`, but always in one
    part; 0: all was looked at. Raises `sqlite3.Error`.
    """
    until = time.monotonic() + TURN_SECONDS
    found: list[int] = []
    with _snapshot(connection), closing(_parts_with(connection, match, after, before)) as parts:
        for number, first_id in parts:
            values = (match.text, after, before, limit - len(found))
            found += [row[0] for row in connection.execute(FIND.format(number=number), values)]
            if len(found) >= limit:
                return found, found[-1]
            if time.monotonic() >= until:
                return found, first_id
    return found, 0


def _parts_with(
    connection: sqlite3.Connection, match: Match, after: int, before: int
) -> Generator[tuple[int, int]]:
    """Yield the number and the first id of the parts that may have it, the newest first."""
    parts = connection.execute(PARTS, (after, before, ASKED_PARTS)).fetchall()
    yield from parts
    if len(parts) == ASKED_PARTS:
        yield from part_words.find(connection, match.words, after, parts[-1][1])


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Let no part be dropped meanwhile."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def match_of(room: str, query: Query) -> Match:
    """Return what FTS5 is asked: all of a query, in one room. Words have no quotation marks."""
    texts = " AND ".join(map(_phrase, query.terms))
    text = f'room : "{room_word(room)}" AND text : ({texts})'
    return Match(text, part_words.match_of(query))


def _phrase(term: Term) -> str:
    return f'"{" ".join(term.words)}"' + (" *" if term.is_open else "")


def room_word(room: str) -> str:
    """Return the key of a room as one word."""
    return f"x{room.encode().hex()}"


# The file.


def open_index(path: str, connect: Connect) -> sqlite3.Connection:
    """Open a connection to an index that is there; raises `sqlite3.Error`."""
    return connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=MAX_STATEMENTS,
    )


def open_words(path: str, connect: Connect) -> Words:
    """Open the index; one that is damaged, or of another version, is made anew. As `Words`."""
    try:
        return Words(path, connect)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        remove(path)
        return Words(path, connect)


def is_damage(error: BaseException) -> bool:
    """Say whether an error is the file's own fault: not that of the disk, or of this SQLite."""
    is_other = isinstance(error, sqlite3.OperationalError)
    return isinstance(error, sqlite3.DatabaseError) and not is_other


def has_no_fts5(error: BaseException) -> bool:
    """Say whether an error is that this SQLite was built without FTS5."""
    return isinstance(error, sqlite3.OperationalError) and "no such module" in str(error)


def make_private_file(path: str) -> None:
    """Make the file, for its owner alone, unless one of ours is there.

    Raises `OSError`, and `ForeignFileError`.
    """
    if os.path.lexists(path):
        if not is_ours(path):
            raise ForeignFileError(path)
        os.chmod(path, PRIVATE)
    else:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))


def is_ours(path: str) -> bool:
    """Say whether a file is an index of ours, or is empty."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with Path(path).open("rb") as file:
        header = file.read(HEADER_BYTES)
    is_index = header.startswith(HEADER) and header[ID_PLACE] == APPLICATION_ID.to_bytes(4, "big")
    return is_index or not header


def remove(path: str) -> None:
    """Remove an index of ours, with what SQLite has put beside it; raises `OSError`."""
    if os.path.lexists(path) and is_ours(path):
        for suffix in ("", *COMPANION_SUFFIXES):
            with suppress(FileNotFoundError):
                os.unlink(f"{path}{suffix}")


def faults_of(path: str, connect: Connect) -> list[str]:
    """Return what is wrong with the index in `path`, in English; nothing where there is none."""
    if not os.path.lexists(path) or not is_ours(path):
        return []
    try:
        with closing(open_index(path, connect)) as connection:
            rows = connection.execute("PRAGMA quick_check").fetchall()
            return [str(row[0]) for row in rows if row[0] != "ok"]
    except sqlite3.Error as error:
        return [str(error)]
