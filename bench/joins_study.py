"""`run.py --joins`: what coming in costs, to a thousand at once and to ten thousand who come back.

The study is its own generator: it holds the streams while servers come and go. Somebody who says
something all the while, in another room, is a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import heapq
import os
import secrets
import select
import sqlite3
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import process
from cells import DISK, Progress
from command_line import BenchError
from http2 import Wire
from load import END, MARK, SEED_PATH, TEXT_BYTES, Plan, Report, cpu_seconds
from report import middle

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import chat_pb2
from chat.client.backoff import Backoff
from chat.server.log.base import Entry
from chat.server.log.sqlite import SqliteLog

JOINS, RETURNS = 1_000, 10_000
HISTORY = 20
SAID = 1_000  # before anybody comes
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.02
# Who joins, whether as a full client, and whether a server that greets and no more.
KINDS = (
    ("plain", False, False),
    ("full", True, False),
    ("bare, greeted", False, True),
    ("bare, and a history written", True, True),
)
AT_ONCE = 20  # streams that are opened before the others are heard again
# Somebody in a room of its own says so many things a second, from the server's start on.
ECHOES = Plan(
    0, 0, clients=1, rooms=2, paced=1, pace_seconds=0.02, in_flight=0, is_batch=True, seconds=5.0
)


class Comer:
    """Somebody who comes in, loses the connection, and comes back until that works."""

    def __init__(self, number: int, is_full: bool) -> None:
        self._name = f"j{number:06x}".encode()
        self._session = secrets.token_hex(16).encode()
        self._is_full = is_full
        self.backoff = Backoff()
        self.wire: Wire  # of the last try

    def come(self, port: int, generation: str = "") -> Wire:
        """Open a stream, as a newcomer, or where the log was left in a `generation`."""
        self._heard, self._rest = 0, b""
        metadata = self._metadata(generation.encode()) if self._is_full else {}
        self.wire = Wire(port, SEED_PATH, metadata, is_patient=False)
        return self.wire

    def _metadata(self, generation: bytes) -> dict[str, bytes]:
        about = {"chat-user-bin": self._name, "chat-session": self._session, "chat-batch": b"1"}
        if not generation:
            return {**about, "chat-history": b"%d" % HISTORY, "chat-inbox": b"0"}
        seen = {"chat-after": b"%d" % SAID, "chat-inbox": b"%d" % SAID}
        return {**about, **seen, "chat-generation": generation}

    def listen(self, wanted: int) -> bool:
        """Take what the socket has; say whether the stream is open, with so many messages."""
        self.wire.flush()
        body = self._rest + self.wire.receive()
        self._heard += body.count(END)
        self._rest = body[-1:]
        return self.wire.is_open and not self.wire.is_over and self._heard >= wanted


class Coming:
    """The coming in of a crowd, each as often as it takes: one run of the loop over its sockets.

    `lost`: when all of them lost the connection, and began to try again; 0: they are newcomers.
    `tries_in_vain`: those that met no server, or were `refused` by it.
    """

    def __init__(
        self, comers: Sequence[Comer], port: int, wanted: int, generation: str = "", lost: float = 0
    ) -> None:
        self._comers = comers
        self._port = port
        self._wanted = wanted
        self._generation = generation
        self._poll = select.epoll()
        self._outside: dict[int, int] = {}  # whose stream is not open yet, by its file
        self.refused = self.tries_in_vain = 0
        self._due = [(self._first_try(comer, lost), n) for n, comer in enumerate(comers)]
        heapq.heapify(self._due)

    def _first_try(self, comer: Comer, lost: float) -> float:
        """Return when somebody tries to come who finds a server."""
        now = time.monotonic()
        at = lost + comer.backoff.next() if lost else now
        while at < now:
            self.tries_in_vain += 1
            at += comer.backoff.next()
        return at

    def run(self) -> None:
        """Return when everybody is in."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._due or self._outside:
            self._open_those_due()
            self._serve()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(self._due) + len(self._outside)} are not in")
        self._poll.close()

    def _open_those_due(self) -> None:
        """Open the streams of those whose time it is, a few at a time."""
        for _ in range(AT_ONCE):
            if not self._due or self._due[0][0] > time.monotonic():
                return
            _at, number = heapq.heappop(self._due)
            try:
                wire = self._comers[number].come(self._port, self._generation)
            except ConnectionRefusedError:
                self._fail(number)
            else:
                self._outside[wire.socket.fileno()] = number
                self._poll.register(wire.socket, select.EPOLLIN | select.EPOLLOUT)

    def _fail(self, number: int) -> None:
        self.tries_in_vain += 1
        seconds = self._comers[number].backoff.next()
        heapq.heappush(self._due, (time.monotonic() + seconds, number))

    def _serve(self) -> None:
        """Hear whoever was spoken to, until the next one's time."""
        until_next = self._due[0][0] - time.monotonic() if self._due else POLL_SECONDS
        for file, events in self._poll.poll(min(POLL_SECONDS, max(0.0, until_next)), 1024):
            if events & select.EPOLLOUT:
                self._poll.modify(file, select.EPOLLIN)
            self._hear(file, self._outside[file])

    def _hear(self, file: int, number: int) -> None:
        comer = self._comers[number]
        try:
            is_in = comer.listen(self._wanted)
        except OSError:
            is_in, comer.wire.is_over = False, True
        if is_in or comer.wire.is_over:
            self._poll.unregister(file)
            del self._outside[file]
        if comer.wire.is_over:
            self.refused += comer.wire.is_open
            comer.wire.close()
            self._fail(number)


@dataclass(frozen=True)
class Return:
    """How a crowd came back after a kill: seconds since then, the server's CPU, what others saw."""

    listens_after: float
    all_in_after: float
    cpu_seconds: float
    coming: Coming
    echo: Report


@contextlib.contextmanager
def _log() -> Iterator[str]:
    """Make a log in which something was said already; yield its path."""
    with tempfile.TemporaryDirectory(prefix="chat-bench-", dir=DISK) as directory:
        path = f"{directory}/chat.db"
        asyncio.run(_say(path))
        yield path


async def _say(path: str) -> None:
    log = SqliteLog(path)
    log.start(lambda entries: None)
    text = MARK.decode() + "." * (TEXT_BYTES - len(MARK + END)) + END.decode()
    for number in range(SAID):
        message = chat_pb2.Message(user="before", message=text, key=f"{number:024x}")
        log.append(Entry("", "before", message))
        await log.wait_for_space()
    await log.flush()
    await log.close()


def _command(is_bare: bool, path: str, port: int = 0) -> list[str]:
    """Return the command of our server, or of one that greets and no more (`peers.py`)."""
    if is_bare:
        return process.peer("greet", str(port))
    return [*process.chat(path), "--port", str(port)]


def _joins(is_full: bool, is_bare: bool) -> float:
    """Return the milliseconds of the server's CPU that each of a thousand joins costs."""
    with _log() as path, process.running(_command(is_bare, path)) as plan:
        comers = [Comer(number, is_full) for number in range(JOINS)]
        before = cpu_seconds(plan.pid)
        Coming(comers, plan.port, HISTORY if is_full else 0).run()
        took = cpu_seconds(plan.pid) - before
        _hang_up(comers)
    return took / JOINS * 1e3


def _hang_up(comers: Sequence[Comer]) -> None:
    """Close every connection: the server is gone, or about to."""
    for comer in comers:
        comer.wire.close()


def _come_back(is_bare: bool) -> Return:
    """Let ten thousand come in, kill the server, start it again, and let them come back."""
    comers = [Comer(number, is_full=True) for number in range(RETURNS)]
    with _log() as path:
        with process.running(_command(is_bare, path)) as plan:
            Coming(comers, plan.port, HISTORY).run()
            generation, port = _generation(path), plan.port
        killed = time.monotonic()
        _hang_up(comers)
        with process.running(_command(is_bare, path, port)) as plan:
            listens_after = time.monotonic() - killed
            echo = _Echo(plan)
            coming = Coming(comers, port, 0, generation, killed)
            coming.run()
            all_in_after, cpu = time.monotonic() - killed, cpu_seconds(plan.pid)
            report = echo.report()
            _hang_up(comers)
    return Return(listens_after, all_in_after, cpu, coming, report)


def _generation(path: str) -> str:
    """Return in which opening of the log everybody is."""
    with contextlib.closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True)) as log:
        query = "SELECT generation FROM generation ORDER BY number DESC LIMIT 1"
        return str(log.execute(query).fetchone()[0])


class _Echo:
    """Somebody who says something all the while, in another process."""

    def __init__(self, plan: Plan) -> None:
        self._plan = replace(ECHOES, port=plan.port, pid=plan.pid, warm_seconds=0.0, times_own=True)
        self._found: list[Report] = []
        self._thread = threading.Thread(target=self._run, name="echo")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._found.append(process.generate(self._plan))
        except BenchError as error:
            self._found.append(Report(error=str(error)))

    def report(self) -> Report:
        """Return what it has seen."""
        self._thread.join()
        return self._found[0]


def joins(rounds: int) -> None:
    """Measure joins and returns so many times; show the medians."""
    gc.disable()
    os.sched_setaffinity(0, {process.GENERATOR_CORE})
    progress = Progress((len(KINDS) + 2) * rounds)
    costs: dict[str, list[float]] = defaultdict(list)
    returns: list[tuple[str, Return]] = []
    for _round in range(rounds):
        for name, is_full, is_bare in KINDS:
            progress.next(f"{JOINS:,} joins, {name}")
            costs[name].append(_joins(is_full, is_bare))
            progress.result(f"{costs[name][-1]:.3f} ms each")
        for name, is_bare in (("bare", True), ("ours", False)):
            progress.next(f"{RETURNS:,} come back, {name}")
            returns.append((name, _come_back(is_bare)))
            progress.result(f"all in after {returns[-1][1].all_in_after:.1f} s")
    print(_tables(costs, returns))


def _tables(costs: dict[str, list[float]], returns: Sequence[tuple[str, Return]]) -> str:
    lines = ["", f"| {JOINS:,} join at once | ms of server CPU each |", "| --- | --- |"]
    for name, found in costs.items():
        lines.append(f"| {name} | {middle(found):.2f} ({min(found):.2f} to {max(found):.2f}) |")
    lines += [
        "",
        f"| {RETURNS:,} come back | listens after s | all in after s | CPU s | refused"
        " | tries in vain | another's echo, p50 ms | p99 ms |",
        "| --- " * 8 + "|",
    ]
    for name, one in returns:
        echo = one.echo.error or f"{one.echo.p50_ms:.0f} | {one.echo.p99_ms:.0f}"
        lines.append(
            f"| {name} | {one.listens_after:.1f} | {one.all_in_after:.1f} | {one.cpu_seconds:.1f} |"
            f" {one.coming.refused} | {one.coming.tries_in_vain:,} | {echo} |"
        )
    return "\n".join(lines)
