"""`run.py --against FOLDER`: this code and that of another checkout, in turns.

For whoever wants to know what a change costs. A machine is a quarter slower now and then; what is
measured in turns, some seconds each, is slower together. The generator is that of this checkout.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import process
from cells import DISK, FLOOD, Progress
from command_line import BenchError
from load import Plan, Report
from report import cost, good, middle

SERVER = "server.py"
HERE, THERE = "this code", "the other"
# By load: what is done, what is compared beside the p99, and how that is called. Less is better.
LOADS: dict[str, tuple[Plan, Callable[[Report], float], str]] = {
    "plain 100/20": (Plan(0, 0, clients=100, in_flight=20), cost, "µs a delivery"),
    "batch 100/20": (Plan(0, 0, 100, in_flight=20, is_batch=True), cost, "µs a delivery"),
    "batch 1000/500": (Plan(0, 0, 1000, in_flight=500, is_batch=True), cost, "µs a delivery"),
    "one sender": (FLOOD, lambda report: 1e6 * report.seconds / report.sent, "µs a message"),
    "idle round trip": (
        Plan(0, 0, clients=2, is_batch=True, times_own=True),
        lambda report: report.p50_ms,
        "p50, ms",
    ),
}
Found = dict[tuple[str, str], list[Report]]


def against(folder: str, rounds: int) -> None:
    """Measure each load with both servers, so many times, in turns; show the medians.

    Raises `BenchError` where `folder` is no checkout of the chat.
    """
    other = Path(folder).resolve() / SERVER
    if not other.is_file():
        raise BenchError(f"{folder} has no {SERVER}: a checkout of the chat is wanted")
    servers = {THERE: str(other), HERE: SERVER}
    progress = Progress(rounds * len(LOADS) * len(servers))
    found: Found = defaultdict(list)
    for _round in range(rounds):
        for name, (load, figure, unit) in LOADS.items():
            for whose, script in servers.items():
                progress.next(f"{name}, {whose}")
                report = _measure(load, script)
                progress.result(report.error or f"{figure(report):.2f} {unit}")
                found[name, whose].append(report)
    print(_table(found))


def _measure(load: Plan, script: str) -> Report:
    with (
        tempfile.TemporaryDirectory(prefix="chat-bench-", dir=DISK) as directory,
        process.running(process.chat(f"{directory}/chat.db", script)) as plan,
    ):
        return process.generate(replace(load, port=plan.port, pid=plan.pid))


def _table(found: Found) -> str:
    """Return, for each load, the medians of both, the least and the most, and how they compare."""
    lines = [
        f"| median (least to most) | | {THERE} | {HERE} | times | p99, ms: {THERE}, {HERE} |",
        "| --- " * 6 + "|",
    ]
    for name, (_load, figure, unit) in LOADS.items():
        before, now = (good(found[name, whose]) for whose in (THERE, HERE))
        times = middle(map(figure, now)) / middle(map(figure, before))
        late = ", ".join(f"{middle(one.p99_ms for one in many):.1f}" for many in (before, now))
        shown = " | ".join(_range([figure(one) for one in many]) for many in (before, now))
        lines.append(f"| {name} | {unit} | {shown} | {times:.2f} | {late} |")
    return "\n".join(lines)


def _range(values: list[float]) -> str:
    if not values:
        return "failed"
    return f"{middle(values):.2f} ({min(values):.2f} to {max(values):.2f})"
