"""Our server beside what people would pick instead, with the bench's clients and with gRPC's own.

Three rounds take a quarter of an hour, and a minute or two more when the clients and the server in
Go are built, the first time. What needs a package that is not installed is left out, and the
package is named. Ctrl-C ends it early, with the tables of what there is.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import command_line
import process
from cells import Progress
from command_line import BenchError
from contenders import BENCH, IRC, PEERS, SEED, Generator, Peer
from equipment import Equipment
from load import Plan, Report
from report import cost, good, middle, note

ROUNDS = 3
HISTORY = 20  # what a full client asks for
# A thousand plain clients with 500 messages in flight hear each of them after half a minute, which
# nobody waits for here.
PATIENCE_SECONDS = 4.0
LOADS = (
    ("100 clients, 20 in flight", Plan(0, 0, clients=100, in_flight=20)),
    ("1,000 clients, 500 in flight", Plan(0, 0, clients=1000, in_flight=500)),
    ("one sender, 500 in flight, 1,000 clients", Plan(0, 0, 1000, in_flight=500, senders=1)),
)


@dataclass(frozen=True)
class Row:
    """What is measured: one server, its clients, the load."""

    load: str
    peer: Peer
    generator: Generator


Results = Mapping[Row, Sequence[Report]]


def prepare(peers: Sequence[Peer]) -> set[Equipment]:
    """Build what is needed; return what cannot be had, and say what is missing for it."""
    parts = {peer.equipment for peer in peers}
    parts |= {generator.equipment for peer in peers for generator in peer.generators}
    lacking = set()
    for part in sorted(filter(None, parts), key=lambda part: part.name):
        if packages := part.missing():
            print(f"{part.name}: left out; not installed: {' '.join(packages)}", flush=True)
            lacking.add(part)
        else:
            part.build()
    return lacking


def measure(rounds: int, loads: Mapping[str, Plan], peers: Sequence[Peer]) -> Results:
    """Measure all that can be measured here, in turns."""
    lacking = prepare(peers)
    rows = [
        Row(load, peer, generator)
        for load in loads
        for peer in peers
        for generator in peer.generators
        if not {peer.equipment, generator.equipment} & lacking
    ]
    progress = Progress(len(rows) * rounds)
    results: dict[Row, list[Report]] = defaultdict(list)
    try:
        for row in rows * rounds:
            progress.next(f"{row.load}: {row.peer.name}, clients: {row.generator.name}")
            report = measure_row(row, loads[row.load])
            progress.result(report.error or f"{cost(report):.2f} µs")
            results[row].append(report)
    except KeyboardInterrupt:  # it ends early, with what there is
        if not results:
            raise
    return results


def measure_row(row: Row, load: Plan) -> Report:
    """Measure one row, on a server of its own."""
    with row.peer.start(load.clients) as plan:
        load = replace(load, port=plan.port, pid=plan.pid, patience_seconds=PATIENCE_SECONDS)
        if row.peer.is_batch:
            load = replace(load, is_batch=True, history=HISTORY)
        return row.generator.run(load)


def tables(results: Results) -> str:
    """Return a table of the deliveries for each load, and one of the joins where most come in."""
    loads = list(dict.fromkeys(row.load for row in results))
    return "\n\n".join([*(deliveries(results, load, loads[0]) for load in loads), joins(results)])


def deliveries(results: Results, load: str, first_load: str) -> str:
    """Return what a delivery costs under one load, as a share of the seed's under the first one."""
    lines = [
        f"| {load} | clients | µs of server CPU a delivery | of the seed's | deliveries/s"
        " | p50, p99 ms | server, generator CPU | |",
        "| --- " * 8 + "|",
    ]
    for row, every in results.items():
        if row.load == load:
            generator = BENCH if row.generator is IRC else row.generator
            seed = results.get(Row(first_load, SEED, generator), ())
            cells = figures(good(every), middle(map(cost, good(seed))))
            lines.append(f"| {row.peer.name} | {row.generator.name} | {cells} | {note(every)} |")
    return "\n".join(lines)


def figures(reports: Sequence[Report], seed_micros: float) -> str:
    """Return the medians of what was measured, as cells of a table; without any, empty ones."""
    if not reports:
        return "| " * 4
    micros = middle(map(cost, reports))
    rate = middle(report.deliveries / report.seconds for report in reports)
    p50, p99 = (middle(getattr(r, f"{p}_ms") for r in reports) for p in ("p50", "p99"))
    server, generator = (
        middle(getattr(r, f"{who}_cpu_seconds") / r.seconds for r in reports)
        for who in ("server", "generator")
    )
    return (
        f"{micros:.2f} | {micros / (seed_micros or math.nan):.3f} | {rate:,.0f} |"
        f" {p50:,.1f}, {p99:,.1f} | {server:.0%}, {generator:.0%}"
    )


def joins(results: Results) -> str:
    """Return what a join costs where most come in: the median of all runs with so many."""
    most = max((report.clients for every in results.values() for report in every), default=0)
    found: dict[tuple[str, str], list[Report]] = defaultdict(list)
    for row, every in results.items():
        of_most = [report for report in good(every) if report.clients == most]
        found[row.peer.name, row.generator.name] += of_most
    lines = [
        f"| joins of {most:,} | clients | ms of server CPU a join | all in after s"
        " | p50, p99 ms of one |",
        "| --- " * 5 + "|",
    ]
    for (peer, generator), reports in found.items():
        if not reports:
            continue
        millis = middle(report.join_cpu_seconds / report.clients * 1e3 for report in reports)
        seconds = middle(report.join_seconds for report in reports)
        p50, p99 = (middle(getattr(r, f"join_{p}_ms") for r in reports) for p in ("p50", "p99"))
        one = f"{p50:,.0f}, {p99:,.0f}" if p99 else ""
        lines.append(f"| {peer} | {generator} | {millis:.2f} | {seconds:.1f} | {one} |")
    return "\n".join(lines)


def chosen(word: str) -> list[Peer]:
    """Return the servers with this word in their name, and the seed's design."""
    others = [peer for peer in PEERS if peer is not SEED]
    if not any(word in peer.name for peer in PEERS):
        names = ", ".join(peer.name for peer in others)
        raise BenchError(f"--only {word}: no server has this in its name; there are: {names}")
    return [SEED, *(peer for peer in others if word in peer.name)]


def main() -> None:
    """Do what the command line asks for."""
    parser = command_line.parser_of(__doc__)
    parser.add_argument(
        "--rounds",
        type=command_line.count,
        default=ROUNDS,
        help="in which all take turns (%(default)s)",
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="WORD",
        help="only the servers with this in their name, and the seed's design (all)",
    )
    flags = parser.parse_args()
    peers = chosen(flags.only)
    process.warn_of_noise()
    results = measure(flags.rounds, dict(LOADS), peers)
    short, _middle, long = os.getloadavg()
    print(f"\n{tables(results)}\n\nload over 1 and 15 minutes: {short:.1f}, {long:.1f}")


if __name__ == "__main__":
    command_line.run(main)
