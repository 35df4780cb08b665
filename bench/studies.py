"""What is looked at now and then: variants of our server, what TLS costs, ages, the generator.

`run.py` calls each with the number of rounds, in which everything is measured in turns.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import process
from cells import FLOOD, Progress, measure_cell, our_server
from load import Plan, Report
from report import Cell, cost, good, middle

VARIANTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("as it is", {}),
    ("without SCHED_BATCH", {"BENCH_SCHED": "other"}),
    ("without uvloop", {"BENCH_LOOP": "asyncio"}),
    ("without either", {"BENCH_SCHED": "other", "BENCH_LOOP": "asyncio"}),
)
REST_FACTORS = (0, 0.3, 1, 3)  # 1 is what it is: how much noise there is
GATHER_FACTORS = (0, 1, 100)
LOADS = (
    ("plain 100/20", Plan(0, 0, clients=100, in_flight=20)),
    ("batch 100/20", Plan(0, 0, clients=100, in_flight=20, is_batch=True)),
    ("batch 1000/500", Plan(0, 0, clients=1000, in_flight=500, is_batch=True)),
    ("batch 2/1", Plan(0, 0, clients=2, in_flight=1, is_batch=True)),
    ("one sender", FLOOD),
)
# As many deliveries as real clients can take with one core: 20 clients, 100 messages a second.
CHECK = Plan(0, 0, clients=20, in_flight=0, paced=1, pace_seconds=0.01, seconds=5.0)
# What TLS costs: for each delivery, and for each of many who join (and hear one message).
TLS_LOADS = (
    ("plain 100/20, µs a delivery", Plan(0, 0, clients=100, in_flight=20)),
    ("batch 100/20, µs a delivery", Plan(0, 0, clients=100, in_flight=20, is_batch=True)),
    ("join of 1,000 plain clients, ms each", Plan(0, 0, clients=1000, rounds=1)),
    ("join of 1,000 full clients, ms each", Plan(0, 0, clients=1000, rounds=1, is_batch=True)),
)
AGE_SECONDS = 4.0
AGE_CELLS = tuple(
    Cell(design, clients, in_flight)
    for design in ("plain", "batch")
    for clients, in_flight in ((100, 20), (100, 500), (1000, 20), (1000, 500))
)


def variants(rounds: int) -> None:
    """Measure our server with one thing changed at a time, in turns."""
    tries = [*VARIANTS]
    tries += [(f"REST_FACTOR {factor}", {"BENCH_REST": str(factor)}) for factor in REST_FACTORS]
    tries += [(f"GATHER_FACTOR {n}", {"BENCH_GATHER": str(n)}) for n in GATHER_FACTORS]
    progress = Progress(len(tries) * len(LOADS) * rounds)
    figures: dict[tuple[str, str], list[Report]] = defaultdict(list)
    for _round in range(rounds):
        for load_name, load in LOADS:
            for name, environment in tries:
                progress.next(f"{name}, {load_name}")
                with our_server("disk", environment={"BENCH_VARIANT": name, **environment}) as plan:
                    report = process.generate(replace(load, port=plan.port, pid=plan.pid))
                progress.result(report.error or f"{cost(report):.2f} µs, {report.p50_ms:.2f} ms")
                figures[name, load_name].append(report)
    print("\n| µs per delivery; p50, p99 ms | " + " | ".join(name for name, _ in LOADS) + " |")
    print("| --- " * (1 + len(LOADS)) + "|")
    for name, _environment in tries:
        reports = [good(figures[name, load_name]) for load_name, _load in LOADS]
        cells = [
            f"{middle(map(cost, some)):.2f}; {middle(r.p50_ms for r in some):.1f},"
            f" {middle(r.p99_ms for r in some):.1f}"
            for some in reports
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def ages(rounds: int) -> None:
    """Show how old messages are when the server comes to them, under full fan-out."""
    progress = Progress(len(AGE_CELLS) * rounds)
    found: dict[Cell, list[float]] = defaultdict(list)
    reports: dict[Cell, list[Report]] = defaultdict(list)
    for _round in range(rounds):
        for cell in AGE_CELLS:
            progress.next(f"{cell.design}, {cell.clients} clients, {cell.in_flight} in flight")
            with tempfile.TemporaryDirectory(prefix="chat-bench-") as directory:
                notes = Path(directory) / "ages"
                report = measure_cell(cell, AGE_SECONDS, {"BENCH_AGE": str(notes)})
                found[cell] += map(float, notes.read_text(encoding="ascii").split())
            progress.result(report.error or f"{report.p50_ms:.0f} ms")
            reports[cell].append(report)
    print("\n| | read after ms, median | p99 | heard after ms, median | p99 | messages read |")
    print("| --- " * 6 + "|")
    for cell, some in found.items():
        some.sort()
        runs = good(reports[cell])
        print(
            f"| {cell.design} {cell.clients}/{cell.in_flight} | {some[len(some) // 2]:.1f} |"
            f" {some[len(some) * 99 // 100]:.1f} | {middle(r.p50_ms for r in runs):.1f} |"
            f" {middle(r.p99_ms for r in runs):.1f} | {len(some):,} |"
        )


def tls(rounds: int) -> None:
    """Measure what TLS costs the server: a delivery and a join, with it and without, in turns."""
    progress = Progress(len(TLS_LOADS) * 2 * rounds)
    figures: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for _round in range(rounds):
        for name, load in TLS_LOADS:
            for is_tls in (False, True):
                progress.next(f"{name}, {'TLS' if is_tls else 'in clear'}")
                with our_server("disk", flags=("--tls",) if is_tls else ()) as plan:
                    load = replace(load, port=plan.port, pid=plan.pid, is_tls=is_tls)
                    report = process.generate(load)
                figure = (
                    report.join_cpu_seconds * 1e3 / load.clients if load.rounds else cost(report)
                )
                progress.result(report.error or f"{figure:.2f}")
                figures[name, is_tls] += [] if report.error else [figure]
    print("\n| server CPU | in clear | with TLS | more | times |\n" + "| --- " * 5 + "|")
    for name, _load in TLS_LOADS:
        clear, secure = middle(figures[name, False]), middle(figures[name, True])
        times = f"{secure - clear:.2f} | {secure / clear:.2f}"
        print(f"| {name} | {clear:.2f} | {secure:.2f} | {times} |")


def check(rounds: int) -> None:
    """Load our server alike with the generator and with real gRPC clients, in turns."""
    progress = Progress(2 * 2 * rounds)
    print("\n| µs per delivery, p50 ms | generator | gRPC clients | ratio |\n" + "| --- " * 4 + "|")
    for design in ("plain", "batch"):
        reports: dict[str, list[Report]] = defaultdict(list)
        for _round in range(rounds):
            for script in ("bench/load.py", "bench/real.py"):
                progress.next(f"{design}, {script}")
                with our_server("disk") as plan:
                    load = replace(CHECK, port=plan.port, pid=plan.pid)
                    report = process.generate(replace(load, is_batch=design == "batch"), script)
                progress.result(f"{cost(report):.2f} µs, {report.p50_ms:.2f} ms")
                reports[script].append(report)
        costs = [middle(map(cost, some)) for some in reports.values()]
        cells = [
            f"{middle(map(cost, some)):.1f}, {middle(r.p50_ms for r in some):.2f}"
            for some in reports.values()
        ]
        print(f"| {design} | {' | '.join(cells)} | {costs[0] / costs[1]:.2f} |")
