"""The bench: the seed's design, and ours with plain clients and with batches, side by side.

Without one of the studies it measures the whole grid, which takes about eight minutes. Ctrl-C ends
it, and leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import command_line
import grpc
import process
from cells import DISK, FLOOD, Progress, measure_cell, our_server
from load import Report
from report import (
    REFERENCE,
    Cell,
    Target,
    compare,
    cost,
    good,
    middle,
    plots,
    share_targets,
    shares,
    table,
    targets_table,
)
from studies import ages, check, tls, variants

HERE = Path(__file__).resolve().parent
BASELINE = HERE / "baseline.json"
DOCS = HERE.parent / "docs"

CLIENTS = (10, 100, 1000)
IN_FLIGHT = (1, 20, 500)
# What the targets are about, measured more often than the rest, turn by turn.
TARGET_CELLS = (
    REFERENCE,
    Cell("plain", 100, 20),
    Cell("batch", 100, 20),
    Cell("batch", 1000, 500),
)
TARGET_ROUNDS = 5
PAIR_ROUNDS = 5
CELL_SECONDS = 2.0
SCALE_CLIENTS = 10_000
SCALE_JOINS_PER_SECOND = 500.0
SCALE_ROUNDS = 15
SCALE_KB = {"plain": 42, "batch": 42, "in three rooms": 46}

Study = Callable[[Namespace], None]
Results = dict[Cell, list[Report]]


def grid() -> list[Cell]:
    """Return all cells, the designs side by side, since the machine changes its mood."""
    cells = []
    for clients in CLIENTS:
        for in_flight in IN_FLIGHT:
            cells.append(Cell("seed", clients, in_flight, "none"))
            for log in ("disk", "memory"):
                cells += [Cell(design, clients, in_flight, log) for design in ("plain", "batch")]
    return cells


def measure(cells: Sequence[Cell], seconds: float) -> Results:
    """Measure all cells, and show how it goes."""
    progress = Progress(len(cells))
    results: Results = defaultdict(list)
    for cell in cells:
        progress.next(
            f"{cell.design}, {cell.clients} clients, {cell.in_flight} in flight, log: {cell.log}"
        )
        report = measure_cell(cell, seconds)
        results[cell].append(report)
        progress.result(report.error or f"{cost(report):.2f} µs")
    return results


def round_trip() -> list[Target]:
    """Measure an idle round trip, in turns with what it cannot be cheaper than."""
    progress = Progress(3 * PAIR_ROUNDS)
    bare, commits, ours = [], [], []
    for _round in range(PAIR_ROUNDS):
        progress.next("bare echo")
        with process.running(process.peer("echo")) as plan:
            bare.append(process.generate(replace(plan, clients=1, times_own=True)).p50_ms)
        progress.result(f"{bare[-1]:.3f} ms")
        progress.next("bare commit")
        with tempfile.TemporaryDirectory(prefix="chat-bench-", dir=DISK) as directory:
            commits.append(process.commit_ms(directory))
        progress.result(f"{commits[-1]:.3f} ms")
        progress.next("idle round trip")
        with our_server("disk") as plan:
            report = process.generate(replace(plan, clients=2, is_batch=True, times_own=True))
            ours.append(report.p50_ms)
        progress.result(f"{ours[-1]:.3f} ms")
    ratios = [one / (echo + commit) for one, echo, commit in zip(ours, bare, commits, strict=True)]
    print(
        f"\nidle round trip {middle(ours):.3f} ms; bare echo {middle(bare):.3f} ms"
        f" + commit {middle(commits):.3f} ms"
    )
    return [Target("idle round trip: times a bare echo and a commit", middle(ratios), 1.3)]


def flood() -> list[Target]:
    """Measure one sender who sends all it can, while others say something now and then."""
    progress = Progress(PAIR_ROUNDS)
    reports = []
    for _round in range(PAIR_ROUNDS):
        progress.next("one sender at full speed")
        with our_server("disk") as plan:
            report = process.generate(replace(FLOOD, port=plan.port, pid=plan.pid))
        progress.result(report.error or f"{report.sent / report.seconds:,.0f} messages/s")
        reports.append(report)
    reports = good(reports)
    rate = middle(report.sent / report.seconds for report in reports)
    p99_ms = middle(report.p99_ms for report in reports)
    return [
        Target("one sender: durable messages a second", rate, 5000, is_least=True),
        Target("meanwhile: p99 of other people's messages, ms", p99_ms, 250),
    ]


def scale() -> list[Target]:
    """Measure 10,000 clients: joining, memory, one message to all, leaving."""
    designs: list[tuple[str, Callable[[], Any], int]] = [
        ("bare", lambda: process.running(process.peer("fan-out")), 0),
        ("plain", lambda: our_server("disk"), 0),
        ("batch", lambda: our_server("disk"), 0),
        ("in three rooms", lambda: our_server("disk"), 2),
        ("bare", lambda: process.running(process.peer("fan-out")), 0),
    ]
    progress = Progress(len(designs))
    reports: dict[str, Report] = {}
    for name, running, more_rooms in designs:
        progress.next(f"{SCALE_CLIENTS:,} clients, {name}")
        with running() as plan:
            report = process.generate(
                replace(
                    plan,
                    clients=SCALE_CLIENTS,
                    join_rate=SCALE_JOINS_PER_SECOND,
                    rounds=SCALE_ROUNDS,
                    is_batch=name not in ("bare", "plain"),
                    more_rooms=more_rooms,
                )
            )
        progress.result(report.error or f"{middle(report.round_ms):,.0f} ms to all")
        if name in reports:  # once before the others and once after them: the machine drifts
            report.round_ms += reports[name].round_ms
            report.round_cpu_ms += reports[name].round_cpu_ms
        if not report.error:
            reports[name] = report
    print("\n" + scale_table(reports))
    if "bare" not in reports:
        return []
    bare = reports["bare"]
    targets = []
    for name, most_kb in SCALE_KB.items():
        if name in reports:
            times = middle(reports[name].round_ms) / middle(bare.round_ms)
            targets += [
                Target(f"10,000 clients, {name}: kB for each", kb_each(reports[name]), most_kb),
                Target(f"10,000 clients, {name}: one to all, times bare writes", times, 1.3),
            ]
    return targets


def kb_each(report: Report) -> float:
    """Return the server's memory for one client."""
    return (report.rss_kb - report.rss_before_kb) / max(1, report.clients)


def scale_table(reports: dict[str, Report]) -> str:
    """Return what 10,000 clients did to each server."""
    lines = [
        "| 10,000 clients | joined in s | CPU s | kB each | one to all, ms | CPU ms"
        " | calm after s | CPU s | kB left each |",
        "| --- " * 9 + "|",
    ]
    for name, report in reports.items():
        left = (report.rss_after_kb - report.rss_before_kb) / max(1, report.clients)
        lines.append(
            f"| {name} | {report.join_seconds:.1f} | {report.join_cpu_seconds:.1f} |"
            f" {kb_each(report):.1f} | {middle(report.round_ms):,.0f} |"
            f" {middle(report.round_cpu_ms):,.0f} | {report.calm_seconds:.1f} |"
            f" {report.calm_cpu_seconds:.1f} | {left:.1f} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """Say what all this ran on, since only ratios can be carried to another one."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    return (
        f"Python {platform.python_version()}, grpcio {grpc.__version__}, Linux,"
        f" {os.cpu_count()} cores ({model}); server and generator on a core each"
    )


def bench(is_quick: bool, seconds: float, is_comparing: bool, out: Path | None) -> int:
    """Run the grid and the targets, show all, write what is asked for; return the exit code."""
    cells = [] if is_quick else grid()
    cells += list(TARGET_CELLS) * (2 if is_quick else TARGET_ROUNDS - 1)
    results = measure(cells, seconds)
    targets = share_targets(results)
    if not is_quick:
        targets += round_trip() + flood()
    print(f"\n{machine()}\n\n{table(results)}\n\n{targets_table(targets)}")
    if out is not None:
        write(out, results, targets)
    if is_comparing:
        then = json.loads(BASELINE.read_text(encoding="utf-8"))
        text, is_worse = compare(shares(results), then["shares"])
        print(f"\nShares of the seed's cost, against {BASELINE.name}:\n\n{text}")
        return int(is_worse)
    return 0


def write(out: Path, results: Results, targets: Sequence[Target]) -> None:
    """Write the results for `--compare`, and the plots."""
    content = {
        "machine": machine(),
        "targets": {target.what: target.value for target in targets},
        "shares": shares(results),
        "reports": {cell.name: [asdict(report) for report in results[cell]] for cell in results},
    }
    out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    DOCS.mkdir(exist_ok=True)
    for name, svg in plots(results).items():
        (DOCS / name).write_text(svg, encoding="utf-8")


def _of(module: str, name: str) -> Study:
    """Return a study of a module that is imported when it is asked for: it needs more than most."""
    return lambda flags: getattr(import_module(module), name)(flags.rounds)


def _units(flags: Namespace) -> None:
    study = import_module("units_study")
    study.units(flags.rounds, study.UNITS if flags.write else None)


# What is asked for by a flag of this name: what it says of it, and what it does.
STUDIES: dict[str, tuple[str, Study]] = {
    "scale": ("10,000 clients; three minutes", lambda _flags: print("\n" + targets_table(scale()))),
    "variants": (
        "what uvloop, the scheduling and the delays bring; five minutes a round",
        lambda flags: variants(flags.rounds),
    ),
    "tls": ("what TLS costs the server; a minute a round", lambda flags: tls(flags.rounds)),
    "ages": (
        "how long what is said waits until it is read; a minute a round",
        lambda flags: ages(flags.rounds),
    ),
    "check": (
        "the generator, held against gRPC clients; half a minute a round",
        lambda flags: check(flags.rounds),
    ),
    "cluster": (
        "the log in NATS, several servers on a port; five minutes a round",
        _of("cluster_study", "cluster"),
    ),
    "joins": (
        "a thousand who come at once, ten thousand who come back; two minutes a round",
        _of("joins_study", "joins"),
    ),
    "writes": ("how many messages share a write; a minute a round", _of("writes_study", "writes")),
    "units": ("what one thing costs each, in a cluster; two minutes a round", _units),
}


def parser() -> ArgumentParser:
    """Return what reads the command line."""
    made = command_line.parser_of(__doc__)
    one = made.add_argument_group(
        "instead of the whole grid, one of"
    ).add_mutually_exclusive_group()
    one.add_argument(
        "--quick", action="store_true", help="only what the targets are about; a minute"
    )
    for name, (text, _study) in STUDIES.items():
        one.add_argument(f"--{name}", action="store_true", help=text)
    one.add_argument(
        "--against",
        metavar="FOLDER",
        help="this code and that of another checkout, in turns; a minute a round",
    )
    made.add_argument(
        "--compare", action="store_true", help=f"hold the grid, or --quick, against {BASELINE.name}"
    )
    made.add_argument(
        "--seconds",
        type=command_line.above_zero,
        help=f"measured for each cell of the grid, or of --quick ({CELL_SECONDS:g})",
    )
    made.add_argument(
        "--rounds", type=command_line.count, help=f"of a study, but --scale ({PAIR_ROUNDS})"
    )
    made.add_argument(
        "--write",
        action="store_true",
        help="write the grid's figures and plots, or those of --units",
    )
    return made


def refusal(flags: Namespace, study: str) -> str:
    """Return which flag would do nothing, or harm, beside the `study`; empty: none."""
    if study and (flags.seconds is not None or flags.compare):
        return f"--seconds and --compare are of the grid and of --quick, not of --{study}"
    if flags.rounds is not None and study in ("", "scale"):
        return "--rounds is of a study, but not of --scale"
    if flags.write and flags.compare:
        return "--write would overwrite what --compare is to be held against: one after the other"
    if flags.write and (flags.quick or study not in ("", "units")):
        return "--write is of the whole grid, or of --units"
    return ""


def main() -> int:
    """Do what the command line asks for."""
    reader = parser()
    flags = reader.parse_args()
    study = next((name for name in (*STUDIES, "against") if getattr(flags, name)), "")
    if text := refusal(flags, study):
        reader.error(text)
    process.warn_of_noise()
    if study:
        print(f"{machine()}; load over a minute {os.getloadavg()[0]:.1f}\n", flush=True)
        flags.rounds = flags.rounds or PAIR_ROUNDS
        if study == "against":
            import_module("turns_study").against(flags.against, flags.rounds)
        else:
            STUDIES[study][1](flags)
        return 0
    out = BASELINE if flags.write else None
    return bench(flags.quick, flags.seconds or CELL_SECONDS, flags.compare, out)


if __name__ == "__main__":
    command_line.run(main)
