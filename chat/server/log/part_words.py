"""Which parts of the index have which words, so that a search asks only those.

One document for each part that is full: all words that are in it, once. So a word that is seldom
said is found among ten million messages as soon as among a million. A part with more words than
people use has none, and is always asked. In the thread of whoever has the connection; all raises
`sqlite3.Error`.
"""

from __future__ import annotations

import sqlite3

from chat.protocol.words import Query

# Of one part; people use some ten thousand. All of them are in memory for a moment.
MAX_WORDS = 100_000
# Of a longer word the beginning stands for all.
MAX_CHARACTERS = 64

# Only which words a part has, and nothing of where (`detail`).
SCHEMA = """
CREATE VIRTUAL TABLE part_words USING fts5(
    text, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
);
CREATE INDEX part_not_noted ON part (number) WHERE is_whole AND NOT is_noted;
"""
# The words of one part; it lives as long as it is read.
VOCABULARY = "CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, words_{number}, col)"
WORDS = """
SELECT count(*), group_concat(substr(term, 1, ?), ' ')
FROM (SELECT term FROM temp.vocabulary WHERE col = 'text' LIMIT ?)
"""
NOTE = "INSERT INTO part_words (rowid, text) VALUES (?, ?)"
FORGET = "INSERT INTO part_words (part_words, rowid, text) VALUES ('delete', ?, ?)"
FIND = """
SELECT number, first_id FROM (
    SELECT number, first_id, last_id FROM part_words JOIN part ON number = part_words.rowid
    WHERE part_words MATCH ?
    UNION ALL SELECT number, first_id, last_id FROM part INDEXED BY part_not_noted
    WHERE is_whole AND NOT is_noted
) WHERE last_id > ? AND first_id < ? ORDER BY first_id DESC
"""


def note(connection: sqlite3.Connection, number: int) -> bool:
    """Note the words of a part, to which nothing is added any more; not where they are too many.

    Say whether that was done.
    """
    count, words = _words_of(connection, number)
    if count <= MAX_WORDS:
        connection.execute(NOTE, (number, words))
    return count <= MAX_WORDS


def forget(connection: sqlite3.Connection, number: int) -> None:
    """Forget the words of a part that is about to be dropped, and was noted."""
    connection.execute(FORGET, (number, _words_of(connection, number)[1]))


def find(
    connection: sqlite3.Connection, match: str, after: int, before: int
) -> list[tuple[int, int]]:
    """Return the number and the first id of the parts that may have all words; the newest first.

    Of those that span ids above `after` and begin below `before`.
    """
    return connection.execute(FIND, (match, after, before)).fetchall()


def match_of(query: Query) -> str:
    """Return what FTS5 is asked: all words of a query, of open ones their beginnings."""
    words: dict[str, None] = {}
    for term in query.terms:
        *whole, last = (f'"{word[:MAX_CHARACTERS]}"' for word in term.words)
        words |= dict.fromkeys([*whole, f"{last} *" if term.is_open else last])
    return " AND ".join(words)


def _words_of(connection: sqlite3.Connection, number: int) -> tuple[int, str]:
    """Return how many words a part has, one too many at the most, and all of them."""
    connection.execute(VOCABULARY.format(number=number))
    try:
        limits = (MAX_CHARACTERS, MAX_WORDS + 1)
        count, words = connection.execute(WORDS, limits).fetchone()
        return count, words or ""
    finally:
        connection.execute("DROP TABLE temp.vocabulary")
