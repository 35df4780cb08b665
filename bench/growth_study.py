"""What grows with the length of the log: nothing but its file should.

python bench/growth_study.py [--sizes N …] [--keep FOLDER] [--write]

Makes a log of each size, with its index of words, and measures a server on it: its start, after a
stop and after a kill; somebody who joins with the last 20 messages, comes back after 40, or comes
back after all and wants 20 of it; searches of one room (a word that many messages have, one that
only the oldest has, two letters that words begin with, a word that nobody said); a message; the
trimming of 500. `--keep`: the logs stay in that folder, and are taken from there the next time;
making one can be stopped, and goes on. `--write`: draws docs/bench-growth.svg. Linux.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import process
from cells import DISK
from load import Plan, cpu_seconds, rss_kb, wait_until_calm
from long_log import ONCE, make, room_of
from plot import Line, draw
from search_study import NEVER, Speech

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import chat_pb2
import chat_pb2_grpc
from chat.protocol.metadata import Greeting, JoinRequest
from chat.server.log.files import INDEX_SUFFIX
from chat.server.log.log_clock import DAY, SECOND

Message = chat_pb2.Message

SIZES = (1_000, 1_000_000, 10_000_000)
PLOT = Path(__file__).resolve().parent.parent / "docs" / "bench-growth.svg"
ROOM = room_of(7)
STARTS, VISITS, SEARCHES = 3, 100, 10
MISSED = 40  # of the room's; the shortest log has 50
SAID = 1000
TRIMMED = 500
STOP_SECONDS = 20.0
# By then a server has begun all that it does by itself: the index looks for news each second.
SETTLE_SECONDS = 2.5
# The colour of each in the plot.
KINDS = {
    "start": "start",
    "start after a kill": "start",
    "join": "join",
    "come back": "join",
    "come back late": "join",
    "search: common word": "search",
    "search: oldest message": "search",
    "search: two letters": "search",
    "search: nothing": "search",
    "a message": "message",
    "trim": "trim",
}


@dataclass
class Taken:
    """What one thing took: each time in ms until it was there; the server's CPU, in ms of each."""

    ms: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0

    def __str__(self) -> str:
        time_ms = f"{statistics.median(self.ms):,.1f}" if self.ms else ""
        return f"{time_ms} | {self.cpu_ms:,.2f}"


@dataclass
class Growth:
    """What was measured with a log of so many messages."""

    messages: int
    taken: dict[str, Taken]
    rss_mb: float
    log_mb: float
    index_mb: float


class Visitor:
    """Somebody who comes, says some things, hears so much, and goes; each time another person."""

    def __init__(self, plan: Plan) -> None:
        self._pid = plan.pid
        self._channel = grpc.insecure_channel(f"127.0.0.1:{plan.port}")
        make_stub: Any = chat_pb2_grpc.ChatServiceStub  # generated, without types
        self._stub = make_stub(self._channel)
        self.greeting = Greeting()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def visit(
        self,
        has_enough: Callable[[Sequence[Message]], bool],
        said: Sequence[Message] = (),
        **wishes: Any,
    ) -> tuple[list[Message], float]:
        """Return all that is heard, and after how many ms that was enough; raises if it never is.

        Ends when everything has come: nobody else says anything.
        """
        request = JoinRequest(
            user=secrets.token_hex(8),
            room=ROOM,
            session=secrets.token_hex(16),
            wants_batches=True,
            **wishes,
        )
        heard: list[Message] = []
        took_ms, started = 0.0, time.perf_counter()
        call = self._stub.Chat(iter(said), metadata=request.to_metadata())
        for message in call:
            is_batch = message.batch and not message.kind
            heard += message.batch if is_batch else [message]
            if not took_ms and has_enough(heard):
                took_ms = (time.perf_counter() - started) * 1000
        self.greeting = Greeting.from_metadata(call.initial_metadata())
        if not took_ms:
            raise RuntimeError(f"only {len(heard)} messages came")
        return heard, took_ms

    def visits(self, times: int, hears: int, **wishes: Any) -> Taken:
        """Return what it takes to come, hear so many messages and go."""
        return self._repeat(times, lambda: self.visit(_as_many(hears), **wishes)[1])

    def search(self, text: str) -> Taken:
        """Return what it takes to come, search and go; until the whole log was looked through."""
        question = Message(kind=chat_pb2.KIND_SEARCH, message=text, room=ROOM, key="k")
        return self._repeat(SEARCHES, lambda: self.visit(_has_found, [question], history=0)[1])

    def say(self) -> Taken:
        """Return what a message takes of many that one person says at once, with its echo."""
        said = [Message(message="oi", key=secrets.token_hex(12)) for _ in range(SAID)]
        whole = self._repeat(1, lambda: self.visit(_as_many(SAID), said, history=0)[1])
        return Taken([whole.ms[0] / SAID], whole.cpu_ms / SAID)

    def _repeat(self, times: int, visit: Callable[[], float]) -> Taken:
        before = cpu_seconds(self._pid)
        taken = Taken([visit() for _ in range(times)])
        taken.cpu_ms = (cpu_seconds(self._pid) - before) / times * 1000
        return taken


def _as_many(hears: int) -> Callable[[Sequence[Message]], bool]:
    return lambda heard: len(heard) >= hears


def _has_found(heard: Sequence[Message]) -> bool:
    """Say whether a search has come to its end."""
    return any(one.kind == chat_pb2.KIND_SEARCH and not one.batch for one in heard)


@contextmanager
def serving(path: Path, *flags: str, is_killed: bool = False) -> Iterator[tuple[Plan, Taken]]:
    """Run a server on a log; yield what its start has taken. At the end it is stopped, or killed.

    Its time is until it listens, its CPU until nothing is left to be done.
    """
    started = time.perf_counter()
    with process.running([*process.chat(str(path)), *flags]) as plan:
        taken = Taken([(time.perf_counter() - started) * 1000])
        time.sleep(SETTLE_SECONDS)
        wait_until_calm(plan.pid)
        taken.cpu_ms = cpu_seconds(plan.pid) * 1000
        yield plan, taken
        if not is_killed:
            os.kill(plan.pid, signal.SIGTERM)
            _wait_ended(plan.pid)


def _wait_ended(pid: int) -> None:
    """Return when a child of ours has ended, and waits to be asked how."""
    deadline = time.monotonic() + STOP_SECONDS
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            raise RuntimeError("the server does not stop")
        time.sleep(0.01)


def starts(path: Path, times: int, *flags: str) -> Taken:
    """Return what starting takes, the median of so many times."""
    found = []
    for _start in range(times):
        with serving(path, *flags) as (_plan, taken):
            found.append(taken)
    return Taken([one.ms[0] for one in found], statistics.median([one.cpu_ms for one in found]))


def measure(path: Path) -> Growth:
    """Measure a server on a log."""
    with serving(path):  # what is done once with a new file
        pass
    start = starts(path, STARTS)
    taken = {"start": start}
    with serving(path, is_killed=True):
        pass
    taken["start after a kill"] = starts(path, 1)
    with serving(path) as (plan, _taken), closing(Visitor(plan)) as visitor:
        taken |= visits(visitor)
        rss_mb = rss_kb(plan.pid) / 1024
    days = retain_days(path, TRIMMED)
    trimming = starts(path, 1, "--retain", f"{days:.6f}")
    taken["trim"] = Taken([], trimming.cpu_ms - start.cpu_ms)
    log_mb, index_mb = (_megabytes(f"{path}{suffix}") for suffix in ("", INDEX_SUFFIX))
    return Growth(0, {what: taken[what] for what in KINDS}, rss_mb, log_mb, index_mb)


def visits(visitor: Visitor) -> dict[str, Taken]:
    """Measure all that somebody does who comes; nobody else is there."""
    heard, _ms = visitor.visit(_as_many(MISSED), history=MISSED)
    since = {"after": heard[0].id - 1, "generation": visitor.greeting.generation}
    long_ago = {"after": 0, "at_most": 20, "generation": visitor.greeting.generation}
    word = Speech().words
    return {
        "join": visitor.visits(VISITS, 20, history=20),
        "come back": visitor.visits(VISITS, MISSED, **since),
        "come back late": visitor.visits(VISITS, 20, **long_ago),
        "search: common word": visitor.search(word[0]),
        "search: oldest message": visitor.search(ONCE),
        "search: two letters": visitor.search(word[10][:2]),
        "search: nothing": visitor.search(NEVER),
        "a message": visitor.say(),
    }


def retain_days(path: Path, count: int) -> float:
    """Return how many days a log must keep for its oldest messages, so many, to be too old."""
    query = "SELECT sent_at FROM message ORDER BY id LIMIT 2 OFFSET ?"
    with closing(sqlite3.connect(path)) as connection:
        old, kept = (row[0] for row in connection.execute(query, (count - 1,)))
    return float((time.time() * SECOND - (old + kept) / 2) / DAY)


def _megabytes(path: str) -> float:
    return os.path.getsize(path) / 2**20


def table(growths: Sequence[Growth]) -> str:
    """Return what was measured, a row for each thing, a pair of columns for each length."""
    heads = [f"{growth.messages:,} messages: ms | CPU ms" for growth in growths]
    lines = ["| | " + " | ".join(heads) + " |", "| --- " * (1 + 2 * len(growths)) + "|"]
    for what in KINDS:
        cells = " | ".join(str(growth.taken[what]) for growth in growths)
        lines.append(f"| {what} | {cells} |")
    sizes = {
        "memory of the server, MB": "rss_mb",
        "the log, MB": "log_mb",
        "its index, MB": "index_mb",
    }
    for what, name in sizes.items():
        cells = " | ".join(f"| {getattr(growth, name):,.1f}" for growth in growths)
        lines.append(f"| {what} {cells} | |")
    return "\n".join(lines)


def plot(growths: Sequence[Growth]) -> str:
    """Return how the server's CPU of each thing goes with the length of the log, as SVG."""
    lines = []
    for what, kind in KINDS.items():
        points = [(float(one.messages), one.taken[what].cpu_ms) for one in growths]
        lines.append(Line(what, kind, [(x, max(y, 0.001)) for x, y in points]))
    return draw("What grows with the log", "messages in the log", "server CPU, ms of each", lines)


def study(sizes: Sequence[int], folder: Path) -> list[Growth]:
    """Measure logs of these sizes, in files of this folder."""
    growths = []
    for size in sizes:
        path = folder / f"{size}.db"
        make(path, size)
        growth = measure(path)
        growth.messages = size
        growths.append(growth)
        print(f"[{len(growths)}/{len(sizes)}]\n{table([growth])}", file=sys.stderr, flush=True)
    return growths


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="of the logs, messages")
    parser.add_argument("--keep", type=Path, help="the folder in which the logs stay")
    parser.add_argument("--write", action="store_true", help=f"draw {PLOT.name}")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chat-growth-", dir=DISK) as folder:
        if flags.keep is not None:
            flags.keep.mkdir(parents=True, exist_ok=True)
        growths = study(flags.sizes, flags.keep or Path(folder))
    print(table(growths))
    short, _middle, long = os.getloadavg()
    print(f"\nload of the machine over 1 and 15 minutes: {short:.1f}, {long:.1f}")
    if flags.write:
        PLOT.write_text(plot(growths), encoding="utf-8")


if __name__ == "__main__":
    main()
