"""`run.py --writes`: how many messages share a write, by clients that take batches.

A write costs the server nearly the same for one message as for a hundred. By the server's own
count (`chat_write_messages` of its metrics), with the bench's clients and with gRPC's.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from dataclasses import replace
from http.client import HTTPConnection

from cells import Progress, our_server
from contenders import BENCH, GRPC, Generator
from load import Plan, Report
from peers_study import HISTORY, LOADS
from process import free_port
from report import cost, good, middle

LOOK_SECONDS = 0.1
# What is not looked at: this share of all that is written in a run.
BEGIN = 0.2

_COUNT = re.compile(r"^chat_write_messages_count (\S+)", re.MULTILINE)
_SUM = re.compile(r"^chat_write_messages_sum (\S+)", re.MULTILINE)


def writes(rounds: int) -> None:
    """Measure each load so many times, in turns; show the medians."""
    generators = [BENCH] if GRPC.equipment is None or GRPC.equipment.missing() else [BENCH, GRPC]
    if GRPC in generators and GRPC.equipment is not None:
        GRPC.equipment.build()
    rows = [(name, load, generator) for name, load in LOADS for generator in generators]
    progress = Progress(len(rows) * rounds)
    found: dict[tuple[str, str], list[tuple[float, Report]]] = defaultdict(list)
    for name, load, generator in rows * rounds:
        progress.next(f"{name}, clients: {generator.name}")
        messages, report = _measure(load, generator)
        progress.result(report.error or f"{messages:.0f} messages a write")
        found[name, generator.name].append((messages, report))
    print(_table(found))


def _measure(load: Plan, generator: Generator) -> tuple[float, Report]:
    """Return how many messages a write had under load, and the report."""
    port = free_port()
    with our_server("disk", flags=["--metrics-port", str(port)]) as plan:
        load = replace(load, port=plan.port, pid=plan.pid, is_batch=True, history=HISTORY)
        with _Counting(port) as counting:
            report = generator.run(load)
        return counting.messages_a_write(), report


class _Counting:
    """Looks at the server's metrics from time to time, for the length of a block."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._seen: list[tuple[float, float]] = []  # messages and writes until then
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="counting")

    def __enter__(self) -> _Counting:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port)
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
        connection.close()
        self._seen.append((_figure(_SUM, page), _figure(_COUNT, page)))

    def messages_a_write(self) -> float:
        """Return the mean of all but the beginning, when people came in."""
        messages, writes = self._seen[-1]
        earlier = [seen for seen in self._seen if seen[0] < BEGIN * messages]
        messages_before, writes_before = earlier[-1] if earlier else (0.0, 0.0)
        return (messages - messages_before) / (writes - writes_before)


def _figure(pattern: re.Pattern[str], page: str) -> float:
    found = pattern.search(page)
    assert found is not None, page
    return float(found[1])


def _table(found: dict[tuple[str, str], list[tuple[float, Report]]]) -> str:
    lines = [
        "",
        "| batches | clients | messages a write | µs a delivery | p50, p99 ms |",
        "| --- " * 5 + "|",
    ]
    for (load, generator), every in found.items():
        reports = good([report for _messages, report in every])
        messages = middle(messages for messages, _report in every)
        p50, p99 = (
            middle(getattr(report, f"{p}_ms") for report in reports) for p in ("p50", "p99")
        )
        micros = middle(map(cost, reports))
        lines.append(
            f"| {load} | {generator} | {messages:.0f} | {micros:.2f} | {p50:,.1f}, {p99:,.1f} |"
        )
    return "\n".join(lines)
