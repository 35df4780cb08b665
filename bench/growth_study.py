"""What grows with the length of the log: nothing but its file should.

A thousand, a million and ten million messages take half an hour. Makes a log of each size, with its
index of words, and measures a server on it: its start, after a stop and after a kill; somebody who
joins with the last 20 messages, comes back after 40, or comes back after all and wants 20 of it;
searches of one room (a word that many messages have, one that only the oldest has, two letters that
words begin with, a word that nobody said); a message; the trimming of 500. Making a log can be
stopped, and goes on where it is kept. Linux.
"""

from __future__ import annotations

import os
import secrets
import signal
import statistics
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import command_line
import grpc
import process
from cells import DISK, Progress
from command_line import BenchError
from load import Plan, cpu_seconds, rss_kb, wait_until_calm
from long_log import ONCE, is_index_trimmed, make, room_of, rows_around
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
LEAST_SIZE = 1_000  # in which there is all that is looked for, and trimmed
PLOT = Path(__file__).resolve().parent.parent / "docs" / "bench-growth.svg"
ROOM = room_of(7)
STARTS, VISITS, SEARCHES = 3, 100, 10
MISSED = 40  # of the room's; the shortest log has 50
SAID = 1000
TRIMMED = 500
STOP_SECONDS = 20.0
# By then a server has begun all that it does by itself: the index looks for news each second.
SETTLE_SECONDS = 2.5
# So long may it take what was waited for; the index of a part is made anew in steps, with rests.
WORK_SECONDS = 300.0
POLL_SECONDS = 0.2
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

    def said(self) -> str:
        """Return it as the progress says it."""
        time_ms = f"{statistics.median(self.ms):,.1f} ms, " if self.ms else ""
        return f"{time_ms}{self.cpu_ms:,.2f} ms of CPU"


# Does one thing of that name, and returns what it took.
Do = Callable[[str, Callable[[], Taken]], Taken]


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
def serving(
    path: Path,
    *flags: str,
    is_killed: bool = False,
    is_done: Callable[[], bool] = lambda: True,
) -> Iterator[tuple[Plan, Taken]]:
    """Run a server on a log; yield what its start has taken. At the end it is stopped, or killed.

    Its time is until it listens, its CPU until `is_done`, and nothing is left to be done.
    """
    started = time.perf_counter()
    with process.running([*process.chat(str(path)), *flags]) as plan:
        taken = Taken([(time.perf_counter() - started) * 1000])
        time.sleep(SETTLE_SECONDS)
        _wait_for(is_done, WORK_SECONDS, "the server is not done with what it does at its start")
        wait_until_calm(plan.pid)
        taken.cpu_ms = cpu_seconds(plan.pid) * 1000
        yield plan, taken
        if not is_killed:
            os.kill(plan.pid, signal.SIGTERM)
            _wait_for(lambda: _has_ended(plan.pid), STOP_SECONDS, "the server does not stop")


def _wait_for(is_done: Callable[[], bool], seconds: float, what: str) -> None:
    """Return when it is done; raises, saying what is wrong, if that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise RuntimeError(what)
        time.sleep(POLL_SECONDS)


def _has_ended(pid: int) -> bool:
    """Say whether a child of ours has ended, and waits to be asked how."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def starts(path: Path, times: int, *flags: str) -> Taken:
    """Return what starting takes, the median of so many times."""
    found = []
    for _start in range(times):
        with serving(path, *flags) as (_plan, taken):
            found.append(taken)
    return Taken([one.ms[0] for one in found], statistics.median([one.cpu_ms for one in found]))


def start_after_a_kill(path: Path) -> Taken:
    """Return what starting takes where the server before was killed."""
    with serving(path, is_killed=True):
        pass
    return starts(path, 1)


def trim(path: Path, start: Taken) -> Taken:
    """Return what trimming takes beyond a `start`, of the log and then of its index."""
    retain = f"{retain_days(path, TRIMMED):.6f}"
    _old, (kept, _sent_at) = rows_around(path, TRIMMED)
    with serving(path, "--retain", retain, is_done=lambda: is_index_trimmed(path, kept)) as (
        _plan,
        taken,
    ):
        return Taken([], taken.cpu_ms - start.cpu_ms)


def measure(path: Path, do: Do) -> Growth:
    """Measure a server on a log; each thing is done by `do`, which is told what it is."""
    with serving(path):  # what is done once with a new file
        pass
    start = do("start", lambda: starts(path, STARTS))
    taken = {"start": start}
    taken["start after a kill"] = do("start after a kill", lambda: start_after_a_kill(path))
    with serving(path) as (plan, _taken), closing(Visitor(plan)) as visitor:
        taken |= {what: do(what, visit) for what, visit in visits(visitor).items()}
        rss_mb = rss_kb(plan.pid) / 1024
    taken["trim"] = do("trim", lambda: trim(path, start))
    log_mb, index_mb = (_megabytes(f"{path}{suffix}") for suffix in ("", INDEX_SUFFIX))
    return Growth(0, {what: taken[what] for what in KINDS}, rss_mb, log_mb, index_mb)


def visits(visitor: Visitor) -> dict[str, Callable[[], Taken]]:
    """Return what measures each thing that somebody does who comes; nobody else is there."""
    heard, _ms = visitor.visit(_as_many(MISSED), history=MISSED)
    since = {"after": heard[0].id - 1, "generation": visitor.greeting.generation}
    long_ago = {"after": 0, "at_most": 20, "generation": visitor.greeting.generation}
    word = Speech().words
    return {
        "join": lambda: visitor.visits(VISITS, 20, history=20),
        "come back": lambda: visitor.visits(VISITS, MISSED, **since),
        "come back late": lambda: visitor.visits(VISITS, 20, **long_ago),
        "search: common word": lambda: visitor.search(word[0]),
        "search: oldest message": lambda: visitor.search(ONCE),
        "search: two letters": lambda: visitor.search(word[10][:2]),
        "search: nothing": lambda: visitor.search(NEVER),
        "a message": visitor.say,
    }


def retain_days(path: Path, count: int) -> float:
    """Return how many days a log must keep for its oldest messages, so many, to be too old."""
    (_id, old), (_next_id, kept) = rows_around(path, count)
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
    progress = Progress(len(sizes) * (1 + len(KINDS)))
    for size in sizes:
        path, started = folder / f"{size}.db", time.monotonic()
        progress.next(f"{size:,} messages, making them")
        make(path, size)
        progress.result(f"{time.monotonic() - started:,.0f} s")
        growths.append(measure(path, _showing(progress, f"{size:,} messages")))
        growths[-1].messages = size
    return growths


def _showing(progress: Progress, log: str) -> Do:
    """Return what does a thing and says what came of it."""

    def do(what: str, act: Callable[[], Taken]) -> Taken:
        progress.next(f"{log}, {what}")
        taken = act()
        progress.result(taken.said())
        return taken

    return do


def parser() -> ArgumentParser:
    """Return what reads the command line."""
    made = command_line.parser_of(__doc__)
    made.add_argument(
        "--sizes",
        type=command_line.at_least(LEAST_SIZE),
        nargs="+",
        default=SIZES,
        metavar="MESSAGES",
        help=f"of the logs, each at least {LEAST_SIZE:,} ({' '.join(map(str, SIZES))})",
    )
    made.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="where the logs stay, and are taken from the next time (none stays)",
    )
    made.add_argument(
        "--write", action="store_true", help=f"draw docs/{PLOT.name}, of two sizes up"
    )
    return made


def main() -> None:
    """Do what the command line asks for."""
    reader = parser()
    flags = reader.parse_args()
    sizes = sorted(set(flags.sizes))
    if flags.write and len(sizes) < 2:
        reader.error("--write draws lines: that takes two sizes at least")
    if flags.keep is not None:
        make_folder(flags.keep)
    process.warn_of_noise()
    with tempfile.TemporaryDirectory(prefix="chat-growth-", dir=DISK) as folder:
        growths = study(sizes, flags.keep or Path(folder))
    print(f"\n{table(growths)}")
    short, _middle, long = os.getloadavg()
    print(f"\nload of the machine over 1 and 15 minutes: {short:.1f}, {long:.1f}")
    if flags.write:
        PLOT.write_text(plot(growths), encoding="utf-8")


def make_folder(path: Path) -> None:
    """Make a folder, unless it is there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BenchError(f"--keep {path}: that is no folder") from None


if __name__ == "__main__":
    command_line.run(main)
