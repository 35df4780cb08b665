"""One measurement: a server of its own, a load generator, a line that says how far the bench is."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import process
from load import Plan, Report
from report import Cell

# On most systems /tmp is in memory, where an fsync costs nothing.
DISK = "/var/tmp" if os.path.isdir("/var/tmp") else tempfile.gettempdir()
# One sender who sends all it can, among twenty who take batches; half of them say something now
# and then, and only that is timed.
FLOOD = Plan(
    0, 0, clients=20, in_flight=4000, senders=1, paced=10, is_batch=True, warm_seconds=2, seconds=5
)


class Progress:
    """One line on standard error that says how far the bench is."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._is_terminal = sys.stderr.isatty()

    def next(self, what: str) -> None:
        """Say what is measured now."""
        self._done += 1
        text = f"[{self._done}/{self._total}] {what}"
        print(f"\r\033[K{text}" if self._is_terminal else text, end="", file=sys.stderr, flush=True)

    def result(self, text: str) -> None:
        """Say what came of it."""
        end = "" if self._is_terminal and self._done < self._total else "\n"
        print(f" … {text}", end=end, file=sys.stderr, flush=True)


@contextmanager
def our_server(
    log: str, environment: dict[str, str] | None = None, flags: Sequence[str] = ()
) -> Iterator[Plan]:
    """Run our server on a new log, on disk or in memory; with an environment: a changed one."""
    with tempfile.TemporaryDirectory(prefix="chat-bench-", dir=DISK) as directory:
        db = f"{directory}/chat.db" if log == "disk" else ":memory:"
        script = "bench/launch.py" if environment else "server.py"
        with process.running([*process.chat(db, script), *flags], environment) as plan:
            yield plan


def measure_cell(cell: Cell, seconds: float, environment: dict[str, str] | None = None) -> Report:
    """Measure one cell on a server of its own."""
    if cell.design == "seed":
        running = process.running(process.seed(cell.clients))
    else:
        running = our_server(cell.log, environment)
    with running as plan:
        return process.generate(
            replace(
                plan,
                clients=cell.clients,
                in_flight=cell.in_flight,
                is_batch=cell.design == "batch",
                seconds=seconds,
            )
        )
