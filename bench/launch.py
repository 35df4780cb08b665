"""The chat server with one thing changed, to measure what that thing brings. Not a product's flag.

Run it like `server.py`, with these in the environment: `BENCH_LOOP=asyncio` (no uvloop),
`BENCH_SCHED=other` (no SCHED_BATCH), `BENCH_REST=n` (another `rounds.REST_FACTOR`),
`BENCH_GATHER=n` (another `group_commit.GATHER_FACTOR`), `BENCH_AGE=FILE` (keep in FILE how old the
load generator's messages were when the server came to them, in milliseconds).
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from load import STAMP

import server
from chat.server import rounds, runtime
from chat.server.log import group_commit

# What is replaced here need not have the type of what was there.
changed: Any = server
system: Any = runtime
NOTE_SECONDS = 0.5  # between two notes of the ages


def note_ages(path: Path) -> None:
    """Note the age of each message as the server comes to it: it may be killed at any time."""
    decode = changed.decode
    ages: list[str] = []
    due = 0.0

    def note_and_decode(raw: bytes) -> Any:
        nonlocal due
        if match := STAMP.search(raw):
            ages.append(f"{(time.monotonic_ns() - int(match[2], 16)) / 1e6:.3f}\n")
        if ages and time.monotonic() >= due:
            with path.open("a", encoding="ascii") as file:
                file.writelines(ages)
            ages.clear()
            due = time.monotonic() + NOTE_SECONDS
        return decode(raw)

    changed.decode = note_and_decode


def main() -> int:
    """Change what the environment asks for, and run the server."""
    if os.environ.get("BENCH_LOOP") == "asyncio":
        system.run = asyncio.run
    if os.environ.get("BENCH_SCHED") == "other":
        system.use_batch_scheduling = lambda: None
    if factor := os.environ.get("BENCH_REST"):
        rounds.REST_FACTOR = float(factor)
    if factor := os.environ.get("BENCH_GATHER"):
        group_commit.GATHER_FACTOR = float(factor)
    if path := os.environ.get("BENCH_AGE"):
        note_ages(Path(path))
    return server.main()


if __name__ == "__main__":
    sys.exit(main())
