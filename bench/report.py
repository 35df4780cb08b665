"""What is made of the measurements: tables, the targets, the comparison, the plots' lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from load import Report
from plot import Line, draw

# Above this share of its core the generator, not the server, may have set the pace.
BOTTLENECK_SHARE = 0.97
# A design whose cost, in terms of the seed's, grew by more than this is worse, and no noise.
TOLERANCE = 1.25
DESIGNS = ("seed", "plain", "batch")


@dataclass(frozen=True)
class Cell:
    """One combination that is measured. `log`: `disk`, `memory`, or `none` (the seed has none)."""

    design: str
    clients: int
    in_flight: int
    log: str = "disk"

    @property
    def name(self) -> str:
        return f"{self.design} {self.clients} {self.in_flight} {self.log}"


# What every cost is held against: the seed's design under load, with clients enough.
REFERENCE = Cell("seed", 100, 20, "none")

Results = Mapping[Cell, Sequence[Report]]


def cost(report: Report) -> float:
    """Return the server's CPU time for one delivery, in microseconds."""
    return report.server_cpu_seconds / max(1, report.deliveries) * 1e6


def middle(values: Iterable[float]) -> float:
    """Return the median, not a number where there is none."""
    values = list(values)
    return median(values) if values else math.nan


def good(reports: Iterable[Report]) -> list[Report]:
    """Return those reports that a server stood through."""
    return [report for report in reports if not report.error]


def cell_cost(results: Results, cell: Cell) -> float:
    """Return the median cost of a cell, not a number if it was not measured."""
    return middle(cost(report) for report in good(results.get(cell, ())))


def note(reports: Sequence[Report]) -> str:
    """Say what is to be known about a cell: that it failed, or that something else was measured."""
    if errors := [report.error for report in reports if report.error]:
        return f"failed: {errors[0]}"
    notes = []
    if middle(report.generator_cpu_seconds / report.seconds for report in reports) > (
        BOTTLENECK_SHARE
    ):
        notes.append("the generator was the bottleneck")
    if not all(report.is_steady for report in reports):
        notes.append("latency is a lower bound")
    if any(report.missing for report in reports):
        notes.append("some was still to come")
    return ", ".join(notes)


HEAD = (
    "| design | log | clients | in flight | CPU µs / delivery | of the seed's | deliveries / s "
    "| p50 ms | p99 ms | memory MB | server CPU | generator CPU | |\n" + "| --- " * 13 + "|"
)


def row(results: Results, cell: Cell) -> str:
    """Return the table's line for one cell."""
    start = f"| {cell.design} | {cell.log} | {cell.clients} | {cell.in_flight} |"
    reports = good(results[cell])
    if not reports:
        return f"{start}{' |' * 8} {note(results[cell])} |"

    def figure(of: str) -> float:
        return middle(getattr(report, of) for report in reports)

    rate = middle(report.deliveries / report.seconds for report in reports)
    shares = [
        middle(getattr(report, f"{who}_cpu_seconds") / report.seconds for report in reports)
        for who in ("server", "generator")
    ]
    micros = cell_cost(results, cell)
    share = micros / cell_cost(results, REFERENCE)
    return (
        f"{start} {micros:.2f} | {share:.3f} | {rate:,.0f} | {figure('p50_ms'):,.1f} |"
        f" {figure('p99_ms'):,.1f} | {figure('rss_kb') / 1024:.0f} | {shares[0]:.0%} |"
        f" {shares[1]:.0%} | {note(results[cell])} |"
    )


def table(results: Results) -> str:
    """Return everything that was measured, in the order of the designs."""
    cells = sorted(
        results,
        key=lambda cell: (cell.clients, cell.in_flight, DESIGNS.index(cell.design), cell.log),
    )
    return "\n".join([HEAD, *(row(results, cell) for cell in cells)])


@dataclass(frozen=True)
class Target:
    """A promise of the project: what, what was measured, and what it must not exceed (or reach)."""

    what: str
    value: float
    limit: float
    is_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.value >= self.limit if self.is_least else self.value <= self.limit

    def line(self) -> str:
        """Return the target as a line of a table."""
        sign = "≥" if self.is_least else "≤"
        if math.isnan(self.value):
            return f"| {self.what} | not measured | {sign} {self.limit:g} | |"
        value = f"{self.value:,.0f}" if self.value >= 1000 else f"{self.value:.3g}"
        return f"| {self.what} | {value} | {sign} {self.limit:,g} | {self._verdict()} |"

    def _verdict(self) -> str:
        return "met" if self.is_met else "**missed**"


def share_targets(results: Results) -> list[Target]:
    """Return the targets that are shares of the seed's cost."""
    reference = cell_cost(results, REFERENCE)

    def share(cell: Cell) -> float:
        return cell_cost(results, cell) / reference

    return [
        Target(
            "plain, 100 clients, 20 in flight: share of the seed's cost",
            share(Cell("plain", 100, 20)),
            0.25,
        ),
        Target(
            "batches, 100 clients, 20 in flight: share of the seed's cost",
            share(Cell("batch", 100, 20)),
            0.06,
        ),
        Target(
            "batches, 1,000 clients, 500 in flight: share of the seed's cost at 100",
            share(Cell("batch", 1000, 500)),
            0.012,
        ),
    ]


def targets_table(targets: Sequence[Target]) -> str:
    """Return the targets as a table."""
    head = "| target | measured | limit | |\n| --- | --- | --- | --- |"
    return "\n".join([head, *(target.line() for target in targets)])


def compare(now: Mapping[str, float], then: Mapping[str, float]) -> tuple[str, bool]:
    """Hold shares of the seed's cost against earlier ones; also say whether a design got worse.

    Single cells are noisy: a design is worse when all its cells together are.
    """
    lines = ["| cell | then | now | change |", "| --- | --- | --- | --- |"]
    changes: dict[str, list[float]] = {}
    for name in sorted(set(now) & set(then)):
        change = now[name] / then[name]
        changes.setdefault(name.split()[0], []).append(math.log(change))
        lines.append(f"| {name} | {then[name]:.4f} | {now[name]:.4f} | {change - 1:+.0%} |")
    is_worse = False
    for design, logarithms in changes.items():
        mean = math.exp(sum(logarithms) / len(logarithms))
        is_worse |= design != "seed" and mean > TOLERANCE
        lines.append(f"| **{design}, all together** | | | {mean - 1:+.0%} |")
    return "\n".join(lines), is_worse


def shares(results: Results) -> dict[str, float]:
    """Return every cell's cost in terms of the seed's, by the cell's name."""
    reference = cell_cost(results, REFERENCE)
    every = {cell.name: cell_cost(results, cell) / reference for cell in results}
    return {name: share for name, share in every.items() if not math.isnan(share)}


def plots(results: Results) -> dict[str, str]:
    """Return the plots as SVG, by the name of their file."""
    by_clients, by_load = [], []
    for design, in_flight in (("seed", 20), ("plain", 20), ("batch", 20), ("batch", 500)):
        log = "none" if design == "seed" else "disk"
        points = [
            (float(cell.clients), cell_cost(results, cell))
            for cell in sorted(results, key=lambda cell: cell.clients)
            if (cell.design, cell.in_flight, cell.log) == (design, in_flight, log)
        ]
        name = f"{design}, {in_flight} in flight"
        by_clients.append(Line(name, design, points, is_dashed=in_flight == 500))
    for design in DESIGNS:
        log = "none" if design == "seed" else "disk"
        cells = [
            cell
            for cell in sorted(results, key=lambda cell: cell.in_flight)
            if (cell.design, cell.clients, cell.log) == (design, 100, log)
        ]
        for percentile in ("p50_ms", "p99_ms"):
            points = [
                (float(cell.in_flight), middle(getattr(r, percentile) for r in good(results[cell])))
                for cell in cells
            ]
            name = f"{design}, {percentile[:3]}"
            by_load.append(Line(name, design, points, is_dashed=percentile == "p99_ms"))
    return {
        "bench-cost.svg": draw(
            "What one delivery costs",
            "clients",
            "server CPU, µs per delivery",
            drawable(by_clients),
        ),
        "bench-latency.svg": draw(
            "How long a message takes, 100 clients", "messages in flight", "ms", drawable(by_load)
        ),
    }


def drawable(lines: Sequence[Line]) -> list[Line]:
    """Return the lines without points that were not measured, and only those with a point left."""
    kept = []
    for line in lines:
        points = [(x, y) for x, y in line.points if y > 0]
        if points:
            kept.append(Line(line.name, line.design, points, line.is_dashed))
    return kept
