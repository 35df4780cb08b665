"""What one thing costs each, in a cluster: the figures that docs/scale.md reckons with.

Needs a nats-server, which runs beside the load generator. What is measured is the CPU of the chat
server, on a core of its own; what it keeps in memory; and how often in a second NATS can sync.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import process
from cells import DISK, Progress
from cluster_study import beside, fill, follow, our_servers
from equipment import NATS, NATS_HOW
from load import Plan, Report, cpu_seconds, rss_kb, wait_until_calm
from natsd import Natsd
from report import cost, middle

from chat.server import runtime
from chat.server.cluster.bucket import Bucket
from chat.server.cluster.connection import ClusterSettings, Connection
from chat.server.cluster.leases import Leases
from chat.server.cluster.names import BUCKET, Holding, keys_of

UNITS = Path(__file__).resolve().parent / "units.json"
# People in rooms of a hundred, each of which says one thing five times a second.
ROOMS = Plan(
    0, 0, clients=2000, rooms=20, paced=20, pace_seconds=0.2, in_flight=0, is_batch=True, seconds=5
)
# The joins of full rooms cost all that those in them are told; most join no faster than this.
ROOMS_JOIN_RATE = 100.0
FOLLOWED_MESSAGES, FOLLOWED_GROUP = 100_000, 20
NAMES = 20_000
AT_ONCE = 200
TURNS = 2_000
TURN_BYTES = 2_000


def units(rounds: int, out: Path | None) -> None:
    """Measure each thing so many times, in turns; show the medians, and write them to `out`."""
    NATS.require(NATS_HOW)
    progress = Progress(len(STUDIES) * rounds)
    found: dict[str, list[float]] = defaultdict(list)
    for _round in range(rounds):
        for name, study in STUDIES.items():
            progress.next(name)
            figures = study()
            progress.result(", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
            for key, value in figures.items():
                found[key].append(value)
    text = json.dumps({key: float(f"{middle(found[key]):.3g}") for key in found}, indent=2)
    print(f"\n{text}\nload of the machine over 15 minutes: {os.getloadavg()[2]:.1f}")
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


def in_rooms() -> Mapping[str, float]:
    """Measure a delivery where few speak, and a join, with all that it brings about."""
    with our_servers("") as plan:
        load = replace(ROOMS, port=plan.port, pid=plan.pid, join_rate=ROOMS_JOIN_RATE)
        report: Report = process.generate(load)
    if report.error or report.missing:
        raise RuntimeError(report.error or f"{report.missing} are missing")
    return {
        "delivery_us": cost(report),
        "join_us": report.join_cpu_seconds / report.clients * 1e6,
        "client_kb": (report.rss_kb - report.rss_before_kb) / report.clients,
    }


def following() -> Mapping[str, float]:
    """Measure what a message of another server costs, as long as nobody here is to have it."""
    with tempfile.TemporaryDirectory(dir=DISK) as name, beside(Path(name), "") as nats:
        runtime.run(fill(nats, FOLLOWED_MESSAGES, FOLLOWED_GROUP))
        took: list[float] = []
        runtime.run(follow(nats, f"{name}/chat.db", took))
        size = Path(f"{name}/chat.db").stat().st_size
    return {
        "follow_us": took[1] / FOLLOWED_MESSAGES * 1e6,
        "message_bytes": size / FOLLOWED_MESSAGES,
    }


def others_names() -> Mapping[str, float]:
    """Measure what somebody at another server costs this one: two starts, with and without them."""
    with tempfile.TemporaryDirectory(dir=DISK) as name, beside(Path(name), "") as nats:
        found: list[tuple[float, float]] = []

        async def compare() -> None:
            await asyncio.to_thread(_start, nats, found)
            await _with_names(nats, lambda: _start(nats, found))

        runtime.run(compare())
    (cpu, kb), (cpu_with, kb_with) = found
    return {
        "name_us": (cpu_with - cpu) / NAMES * 1e6,
        "name_bytes": (kb_with - kb) / NAMES * 1024,
    }


def _start(nats: Natsd, found: list[tuple[float, float]]) -> None:
    """Start a server on an empty file; note its CPU and memory when it has come to rest."""
    with process.running([*process.chat(":memory:"), "--cluster", nats.url]) as plan:
        wait_until_calm(plan.pid)
        found.append((cpu_seconds(plan.pid), rss_kb(plan.pid)))


async def _with_names(nats: Natsd, act: Callable[[], None]) -> None:
    """Be a server that has many people, while `act` runs in a thread."""
    connection = Connection(ClusterSettings((nats.url,)))
    await connection.open(print)
    leases = Leases(connection, "bench", 1, _raise)
    await leases.open()
    bucket = Bucket(connection, BUCKET, 1)
    for first in range(0, NAMES, AT_ONCE):
        people = [_somebody(number) for number in range(first, first + AT_ONCE)]
        puts = [bucket.put(keys_of(one.name)[0], one.to_content()) for one in people]
        await asyncio.gather(*puts)
    await asyncio.to_thread(act)
    await leases.close()
    await connection.close()


def _somebody(number: int) -> Holding:
    identity = secrets.token_hex(16)
    room = f"room {number % (NAMES // 100)}"
    return Holding(f"user{number}", "bench", identity, f"\0{identity}", (room,))


def _raise(error: BaseException) -> None:
    raise error


def turns() -> Mapping[str, float]:
    """Measure how many groups a second NATS takes, as it comes and where each is synced."""
    return {
        "turns": _turns_a_second(""),
        "synced_turns": _turns_a_second("always"),
    }


def _turns_a_second(sync: str) -> float:
    with tempfile.TemporaryDirectory(dir=DISK) as name, beside(Path(name), sync) as nats:
        took: list[float] = []
        runtime.run(_take_turns(nats, took))
    return TURNS / took[0]


async def _take_turns(nats: Natsd, took: list[float]) -> None:
    connection = Connection(ClusterSettings((nats.url,)))
    await connection.open(print)
    bucket = Bucket(connection, "turns", 1)
    await bucket.prepare()
    started = time.perf_counter()
    for first in range(0, TURNS, AT_ONCE):
        keys = [str(number) for number in range(first, first + AT_ONCE)]
        await asyncio.gather(*(bucket.put(key, bytes(TURN_BYTES)) for key in keys))
    took.append(time.perf_counter() - started)
    await connection.close()


STUDIES: Mapping[str, Callable[[], Mapping[str, float]]] = {
    "people in rooms": in_rooms,
    "following": following,
    "names of other servers": others_names,
    "turns of the stream": turns,
}
