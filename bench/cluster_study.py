"""What a cluster costs: a delivery with the log in NATS against the embedded one, and catching up.

Needs a nats-server, as the tests do. It runs beside the load generator, since what is measured is
the chat server's own core.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import process
from cells import DISK, Progress
from load import Plan, Report
from report import cost, good, middle

sys.path.insert(0, str(process.ROOT / "tests"))
sys.path.insert(0, str(process.ROOT))

from natsd import Natsd, running_nats

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
CATCH_UP_MESSAGES = 200_000
CATCH_UP_GROUPS = (1, 20, 200)
TEXT = "a message of some words, as people write them in a chat, " * 2


def cluster(rounds: int) -> None:
    """Measure our server with the log in its file and in NATS, in turns; then how it catches up."""
    progress = Progress(len(LOADS) * len(HOMES) * rounds)
    figures: dict[tuple[str, str], list[Report]] = defaultdict(list)
    for _round in range(rounds):
        for load_name, load in LOADS:
            for name, sync in HOMES:
                progress.next(f"{name}, {load_name}")
                with our_server(sync) as plan:
                    report = process.generate(replace(load, port=plan.port, pid=plan.pid))
                progress.result(report.error or f"{cost(report):.2f} µs, {report.p50_ms:.2f} ms")
                figures[name, load_name].append(report)
    print(f"\nload of the machine: {os.getloadavg()[0]:.1f}")
    print("\n| µs per delivery; p50, p99 ms | " + " | ".join(name for name, _ in LOADS) + " |")
    print("| --- " * (1 + len(LOADS)) + "|")
    for name, _sync in HOMES:
        cells = [
            described(figures[name, load], figures[HOMES[0][0], load]) for load, _plan in LOADS
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    catch_up()


def described(reports: list[Report], embedded: list[Report]) -> str:
    """Return the middle of some reports, and how many times the embedded log's cost that is."""
    some = good(reports)
    micros = middle(map(cost, some))
    ratio = micros / middle(map(cost, good(embedded)))
    delays = f"{middle(r.p50_ms for r in some):.1f}, {middle(r.p99_ms for r in some):.1f}"
    return f"{micros:.2f} ({ratio:.2f}); {delays}"


@contextmanager
def our_server(sync: str | None) -> Iterator[Plan]:
    """Run our server on a new log: without NATS where `sync` is None."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=DISK)))
        command = process.chat(str(folder / "chat.db"))
        if sync is not None:
            nats = stack.enter_context(beside(folder, sync))
            command += ["--cluster", nats.url]
        yield stack.enter_context(process.running(command))


@contextmanager
def beside(folder: Path, sync: str) -> Iterator[Natsd]:
    """Run a nats-server on the load generator's core."""
    with running_nats(folder / "nats", sync) as nats:
        assert nats.process is not None
        for task in Path(f"/proc/{nats.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {process.GENERATOR_CORE})
        yield nats


def catch_up() -> None:
    """Show how many messages a second a new server takes over, and what of its CPU each takes."""
    print("\n| messages in a group | messages/s of a new server | µs of its CPU each |")
    print("| --- " * 3 + "|")
    for size in CATCH_UP_GROUPS:
        count = CATCH_UP_MESSAGES if size > 1 else CATCH_UP_MESSAGES // 10
        with tempfile.TemporaryDirectory(dir=DISK) as name, beside(Path(name), "") as nats:
            runtime.run(fill(nats, count, size))
            took: list[float] = []
            runtime.run(follow(nats, str(Path(name) / "chat.db"), took))
        seconds, cpu_seconds = took
        print(f"| {size} | {count / seconds:,.0f} | {cpu_seconds / count * 1e6:.1f} |", flush=True)


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
