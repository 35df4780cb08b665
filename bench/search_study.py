"""What searching a large log takes, and what its index costs those who speak.

Ten minutes and more for three million messages. Makes a log of so many on the disk, of words as
often as people use them, and removes it afterwards. Says how long a commit takes with the index,
without it, and while it catches up; what the index takes of the disk; and how soon a search has its
first answer.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import command_line
from cells import DISK

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import chat_pb2
from chat.protocol.limits import MAX_FOUND
from chat.protocol.metadata import MAX_ID
from chat.protocol.words import Query
from chat.server.log import searching
from chat.server.log.base import Entry
from chat.server.log.connections import connect_sqlite
from chat.server.log.files import INDEX_SUFFIX
from chat.server.log.sqlite import SqliteLog

MESSAGES = 3_000_000
# The index is not at the end of such a log before the commits beside it have been measured.
LEAST_MESSAGES = 200_000
ROWS = 10_000
ROOMS = 20
VOCABULARY = 30_000
WORDS = (2, 16)  # of one message
# Of Zipf's law: the word of rank n is so often said as the first, by n.
RARE = VOCABULARY - 1
# What is said while commits are measured: so many messages at once, so often, for so long.
AT_ONCE, EVERY_SECONDS, SPEAK_SECONDS = 10, 0.01, 5.0
ROUNDS = 10
# Of the groups: the median, p99, the longest.
SHARES = (0.5, 0.99, 1.0)
REPEATS = 5
POLL_SECONDS = 0.2
NEVER = "zzzz"


class Speech:
    """Texts made of the same words in each run."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        self.words = [self._word() for _ in range(VOCABULARY)]
        self._weights = list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))

    def _word(self) -> str:
        letters = itertools.cycle(("bcdfglmnprstv", "aeiouáéãç"))
        length = self._random.randint(2, 9)
        return "".join(self._random.choice(next(letters)) for _ in range(length))

    def texts(self, count: int) -> Iterator[str]:
        """Yield so many texts."""
        for _ in range(count):
            length = self._random.randint(*WORDS)
            yield " ".join(self._random.choices(self.words, cum_weights=self._weights, k=length))


class WithoutFts5(sqlite3.Connection):
    """A connection to an SQLite that was built without FTS5: the log has no index."""

    def execute(self, query: str, *rest: Any) -> sqlite3.Cursor:
        """Execute one statement."""
        if "fts5" in query:
            raise sqlite3.OperationalError("no such module: fts5")
        return super().execute(query, *rest)


def connect_without(*arguments: Any, **named: Any) -> sqlite3.Connection:
    """Connect as `connect_sqlite` does."""
    return sqlite3.connect(*arguments, factory=WithoutFts5, **named)


def fill(path: Path, speech: Speech, count: int) -> None:
    """Make a log of so many messages; much faster than they could be said."""
    SqliteLog(str(path)).abandon()
    query = "INSERT INTO message (sent_at, room, user, message, sender) VALUES (?, ?, ?, ?, ?)"
    with closing(sqlite3.connect(path)) as connection:
        for start in range(0, count, ROWS):
            numbers = range(start, min(start + ROWS, count))
            rows = [
                (
                    1_700_000_000_000_000 + number * 1000,
                    f"sala {number % ROOMS}",
                    "ana",
                    text,
                    "ana",
                )
                for number, text in zip(numbers, speech.texts(len(numbers)), strict=True)
            ]
            with connection:
                connection.executemany(query, rows)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def speak(log: SqliteLog, speech: Speech, seconds: float) -> list[float]:
    """Say something for so long; return how long each group took to be committed, sorted, in ms."""
    took: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        for text in speech.texts(AT_ONCE):
            log.append(Entry("sala 0", "ana", chat_pb2.Message(user="ana", message=text)))
        await log.flush()
        took.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(max(0.0, started + EVERY_SECONDS - time.perf_counter()))
    return sorted(took)


async def commits(path: Path, speech: Speech, has_index: bool) -> list[float]:
    """Measure commits with the index, or without it."""
    log = SqliteLog(str(path), connect=connect_sqlite if has_index else connect_without)
    log.start(lambda entries: None)
    try:
        if has_index:
            await caught_up(path, log)
        return await speak(log, speech, SPEAK_SECONDS)
    finally:
        await log.close()


def compare_commits(path: Path, speech: Speech) -> None:
    """Measure commits with the index and without it, in turns; print the medians of the rounds."""
    rounds: dict[bool, list[list[float]]] = {False: [], True: []}
    for _round in range(ROUNDS):
        for has_index, found in rounds.items():
            found.append(asyncio.run(commits(path, speech, has_index)))
    for has_index, found in rounds.items():
        name = "with" if has_index else "without"
        middle = [statistics.median(_share(took, share) for took in found) for share in SHARES]
        count = sum(map(len, found))
        print(f"| commit {name} the index | {_row(middle)} | {count} |", flush=True)
    ratios = [_share(w, 0.99) / _share(wo, 0.99) for wo, w in zip(*rounds.values(), strict=True)]
    print(f"p99 with the index, times that without, of each round: {_row(sorted(ratios))}")


def _share(took: Sequence[float], share: float) -> float:
    return took[min(int(len(took) * share), len(took) - 1)]


def _row(figures: Sequence[float]) -> str:
    return " | ".join(f"{figure:.2f}" for figure in figures)


async def caught_up(path: Path, log: SqliteLog) -> None:
    """Wait for the index to be at the end of the log."""
    last = await log.last_id()
    while _upto(path, log) < last:
        await asyncio.sleep(POLL_SECONDS)


def _upto(path: Path, log: SqliteLog) -> int:
    """Return how far the index has followed this opening of the log, -1 where it has not yet."""
    uri = Path(f"{path}{INDEX_SUFFIX}").as_uri() + "?mode=ro"
    query = "SELECT upto FROM state WHERE generation = ?"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as index:
            found = index.execute(query, (log.generation,)).fetchone()
            return int(found[0]) if found else -1
    except sqlite3.Error:
        return -1


async def build(path: Path, speech: Speech) -> None:
    """Let the index come to the end of the log, and say what that takes."""
    log = SqliteLog(str(path))
    log.start(lambda entries: None)
    try:
        meanwhile = await speak(log, speech, SPEAK_SECONDS)
        print(f"| commit while the index catches up | {_figures(meanwhile)} |", flush=True)
        searching.REST_FACTOR = 0.0  # so that this bench comes to an end
        before, began, cpu = _upto(path, log), time.perf_counter(), time.process_time()
        await caught_up(path, log)
        count = await log.last_id() - before
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        text = f"{wall / count * 1e6:.0f} µs a message, {cpu / count * 1e6:.0f} of CPU"
        print(f"index, without rests: {count} messages, {text}")
    finally:
        await log.close()
    sizes = [
        os.path.getsize(f"{path}{suffix}") / await _count(path) for suffix in ("", INDEX_SUFFIX)
    ]
    print(f"bytes a message: log {sizes[0]:.0f}, index {sizes[1]:.0f}", flush=True)


async def _count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM message").fetchone()[0])


async def search(path: Path, queries: Sequence[tuple[str, str]], connect: Any) -> None:
    """Say how long each query takes until its first answer, and until all of it is there, in ms."""
    print("| search | found | first answer, the first time | again, median | all |")
    print("| --- | --- | --- | --- | --- |")
    for name, text in queries:
        log = SqliteLog(str(path), connect=connect)
        log.start(lambda entries: None)
        try:
            if connect is connect_sqlite:
                await caught_up(path, log)
            runs = [await _search(log, text) for _ in range(REPEATS)]
        finally:
            await log.close()
        count, first, whole = runs[0]
        again = sorted(run[1] for run in runs[1:])[(REPEATS - 1) // 2]
        print(f"| {name} | {count} | {first:.0f} | {again:.0f} | {whole:.0f} |", flush=True)


async def _search(log: SqliteLog, text: str) -> tuple[int, float, float]:
    """Search as the server does; return how much was found, and after how many milliseconds."""
    query, before, found, first = Query.of(text), MAX_ID, 0, 0.0
    started = time.perf_counter()
    while before and found < MAX_FOUND and time.perf_counter() - started < 1.0:
        some = await log.search("sala 7", query, 0, before, MAX_FOUND - found)
        found, before = found + len(some.messages), some.reached
        first = first or (_since(started) if found else 0.0)
    whole = _since(started)
    return found, first or whole, whole


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _figures(took: Sequence[float]) -> str:
    return f"{_row([_share(took, share) for share in SHARES])} | {len(took)}"


def main() -> None:
    """Do what the command line asks for."""
    parser = command_line.parser_of(__doc__)
    parser.add_argument(
        "messages",
        nargs="?",
        type=command_line.at_least(LEAST_MESSAGES),
        default=MESSAGES,
        help=f"of the log, at least {LEAST_MESSAGES:,} ({MESSAGES:,})",
    )
    study(parser.parse_args().messages)


def study(count: int) -> None:
    """Measure all of it, on a log of so many messages."""
    speech = Speech()
    words = speech.words
    queries = (
        ("a common word", words[0]),
        ("a word that is seldom said", words[RARE]),
        ("two common words", f"{words[1]} {words[2]}"),
        ("a common and a rare one", f"{words[0]} {words[RARE - 1]}"),
        ("a phrase", f'"{words[0]} {words[3]}"'),
        ("two letters that words begin with", words[10][:2]),
        ("what nobody said", NEVER),
    )
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        path = Path(folder) / "chat.db"
        small = Path(folder) / "small.db"
        fill(small, speech, ROWS)
        print("| | p50, ms | p99, ms | longest | groups |\n| --- | --- | --- | --- | --- |")
        compare_commits(small, speech)
        print(f"making a log of {count:,} messages", file=sys.stderr)
        fill(path, speech, count)
        print("making its index", file=sys.stderr)
        asyncio.run(build(path, speech))
        asyncio.run(search(path, queries, connect_sqlite))
        print("without FTS5:")
        asyncio.run(search(path, queries, connect_without))
    short, _middle, long = os.getloadavg()
    print(f"load of the machine over 1 and 15 minutes: {short:.1f}, {long:.1f}")


if __name__ == "__main__":
    command_line.run(main)
