"""What a cluster costs: a delivery with the log in NATS against the embedded one; several servers
behind one port; and catching up.

Needs a nats-server, as the tests do. It runs beside the load generator, since what is measured is
the chat servers' own CPU.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import process
from cells import DISK, Progress
from equipment import NATS, NATS_HOW
from load import Plan, Report
from report import cost, good, middle

sys.path.insert(0, str(process.ROOT / "tests"))
sys.path.insert(0, str(process.ROOT))

from natsd import Natsd, running_nats, stable_ports

import chat_pb2
from chat.server import runtime
from chat.server.cluster import stream
from chat.server.cluster.connection import ClusterSettings, Connection
from chat.server.log.base import Entry
from chat.server.log.groups import GroupBuilder, message_id
from chat.server.log.jetstream import JetStreamLog

LOADS = (
    ("plain 100/20", Plan(0, 0, clients=100, in_flight=20)),
    ("batch 100/20", Plan(0, 0, clients=100, in_flight=20, is_batch=True)),
    ("batch 1000/500", Plan(0, 0, clients=1000, in_flight=500, is_batch=True)),
    ("batch 2/1", Plan(0, 0, clients=2, in_flight=1, is_batch=True)),
)
# Where the log is: in the server's file; in NATS, as it comes, and with each group synced.
HOMES = (("embedded", None), ("cluster", ""), ("cluster, synced", "always"))
# Of servers behind one port. They may use both cores, of which one has the generator and NATS too.
COUNTS = (1, 2, 3)
SHARED_LOADS = LOADS[:3]
CATCH_UP_MESSAGES = 200_000
CATCH_UP_GROUPS = (1, 20, 200)
TEXT = "a message of some words, as people write them in a chat, " * 2


def cluster(rounds: int) -> None:
    """Measure the log in the server's file and in NATS, several servers, and how one catches up."""
    NATS.require(NATS_HOW)
    print("\n" + compare_homes(rounds))
    print("\n" + compare_counts(rounds))
    print("\n" + catch_up())
    print(f"\nload of the machine over 15 minutes: {os.getloadavg()[2]:.1f}")


def compare_homes(rounds: int) -> str:
    """Measure our server with the log in its file and in NATS, in turns; return the table."""
    progress = Progress(len(LOADS) * len(HOMES) * rounds)
    figures: dict[tuple[str, str], list[Report]] = defaultdict(list)
    for _round in range(rounds):
        for load_name, load in LOADS:
            for name, sync in HOMES:
                progress.next(f"{name}, {load_name}")
                with our_servers(sync) as plan:
                    figures[name, load_name].append(measured(progress, plan, load))
    names = [name for name, _plan in LOADS]
    lines = [heading("µs per delivery (times); of NATS; p50, p99 ms", names)]
    for name, _sync in HOMES:
        cells = [described(figures[name, load], figures[HOMES[0][0], load]) for load in names]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def compare_counts(rounds: int) -> str:
    """Measure one, two and three servers behind one port, in turns; return the table."""
    progress = Progress(len(SHARED_LOADS) * len(COUNTS) * rounds)
    figures: dict[tuple[int, str], list[Report]] = defaultdict(list)
    for _round in range(rounds):
        for load_name, load in SHARED_LOADS:
            for count in COUNTS:
                progress.next(f"{count} behind one port, {load_name}")
                with our_servers("", count, process.ALL_CORES) as plan:
                    figures[count, load_name].append(measured(progress, plan, load))
    names = [name for name, _plan in SHARED_LOADS]
    lines = [heading("deliveries/s (times); µs per delivery (times), of NATS", names)]
    for count in COUNTS:
        cells = [scaled(figures[count, load], figures[COUNTS[0], load]) for load in names]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measured(progress: Progress, plan: Plan, load: Plan) -> Report:
    """Load the servers of `plan`, and say what came of it."""
    load = replace(load, port=plan.port, pid=plan.pid)
    report = process.generate(replace(load, more_pids=plan.more_pids, beside_pid=plan.beside_pid))
    progress.result(report.error or f"{cost(report):.2f} µs, {report.p50_ms:.2f} ms")
    return report


def heading(what: str, names: Sequence[str]) -> str:
    """Return the first lines of a table."""
    return f"| {what} | {' | '.join(names)} |\n" + "| --- " * (1 + len(names)) + "|"


def described(reports: list[Report], embedded: list[Report]) -> str:
    """Return the middle of some reports, and how many times the embedded log's cost that is."""
    some = good(reports)
    delays = f"{middle(r.p50_ms for r in some):.1f}, {middle(r.p99_ms for r in some):.1f}"
    times = middle_ratio(reports, embedded, cost)
    return f"{middle(map(cost, some)):.2f} ({times:.2f}); {cost_beside(some):.2f}; {delays}"


def scaled(reports: list[Report], alone: list[Report]) -> str:
    """Return the middle of some reports, and how many times those of one server that is."""
    some = good(reports)
    rates = f"{middle(map(rate, some)):,.0f} ({middle_ratio(reports, alone, rate):.2f})"
    costs = f"{middle(map(cost, some)):.2f} ({middle_ratio(reports, alone, cost):.2f})"
    return f"{rates}; {costs}, {cost_beside(some):.2f}"


def middle_ratio(some: list[Report], others: list[Report], of: Callable[[Report], float]) -> float:
    """Return the median of what two have to each other in each round: the machine drifts."""
    pairs = zip(some, others, strict=True)
    return middle(of(one) / of(other) for one, other in pairs if not (one.error or other.error))


def rate(report: Report) -> float:
    """Return how many deliveries there were in a second."""
    return report.deliveries / report.seconds


def cost_beside(reports: Sequence[Report]) -> float:
    """Return the CPU time of NATS for one delivery, in microseconds."""
    return middle(r.beside_cpu_seconds / max(1, r.deliveries) * 1e6 for r in reports)


@contextmanager
def our_servers(
    sync: str | None, count: int = 1, cores: Set[int] = frozenset({process.SERVER_CORE})
) -> Iterator[Plan]:
    """Run our servers on a new log, behind one port; without NATS where `sync` is None."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=DISK)))
        flags: list[str] = []
        nats_pid = 0
        if sync is not None:
            nats = stack.enter_context(beside(folder, sync))
            assert nats.process is not None
            nats_pid = nats.process.pid
            flags = ["--cluster", nats.url]
        if count > 1:
            flags += ["--share-port", "--port", str(stable_ports(1)[0])]
        plans = [
            stack.enter_context(
                process.running([*process.chat(f"{folder}/{n}.db"), *flags], None, cores)
            )
            for n in range(count)
        ]
        pids = [plan.pid for plan in plans[1:]]
        yield replace(plans[0], more_pids=pids, beside_pid=nats_pid)


@contextmanager
def beside(folder: Path, sync: str) -> Iterator[Natsd]:
    """Run a nats-server on the load generator's core."""
    with running_nats(folder / "nats", sync) as nats:
        assert nats.process is not None
        for task in Path(f"/proc/{nats.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {process.GENERATOR_CORE})
        yield nats


def catch_up() -> str:
    """Measure how many messages a second a new server takes over, and what of its CPU each takes.

    Return the table.
    """
    lines = [heading("messages in a group", ["messages/s of a new server", "µs of its CPU each"])]
    for size in CATCH_UP_GROUPS:
        count = CATCH_UP_MESSAGES if size > 1 else CATCH_UP_MESSAGES // 10
        with tempfile.TemporaryDirectory(dir=DISK) as name, beside(Path(name), "") as nats:
            runtime.run(fill(nats, count, size))
            took: list[float] = []
            runtime.run(follow(nats, str(Path(name) / "chat.db"), took))
        seconds, cpu_seconds = took
        lines.append(f"| {size} | {count / seconds:,.0f} | {cpu_seconds / count * 1e6:.1f} |")
    return "\n".join(lines)


async def fill(nats: Natsd, count: int, size: int) -> None:
    """Put so many messages into the stream, in groups of that size."""
    log = JetStreamLog(":memory:", 0, ClusterSettings((nats.url,)))
    await log.open()  # makes the stream
    await log.close()
    connection = Connection(ClusterSettings((nats.url,)))
    await connection.open(print)
    for number in range(count // size):
        builder = GroupBuilder()
        for place in range(size):
            key = f"{number}-{place}"
            message = chat_pb2.Message(user=f"user{place}", message=TEXT, key=key)
            builder.add(Entry("", f"sender{place}", message))
        headers = {stream.MESSAGE_ID: message_id("bench", number + 1)}
        await connection.publish(stream.SUBJECT, builder.content(), "", headers)
        if number % 500 == 0:
            await connection.api(f"STREAM.INFO.{stream.NAME}", {}, 30)
    looking = stream.Stream(connection, 0, 1)
    while (await looking.look()).last < count // size:
        await asyncio.sleep(0.05)
    await connection.close()


async def follow(nats: Natsd, path: str, took: list[float]) -> None:
    """Open the log of a new server, and note how long that takes: seconds, and those of CPU."""
    log = JetStreamLog(path, 0, ClusterSettings((nats.url,)))
    started, cpu_started = time.perf_counter(), time.process_time()
    await log.open()
    took += (time.perf_counter() - started, time.process_time() - cpu_started)
    await log.close()
