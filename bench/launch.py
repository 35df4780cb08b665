"""The chat server with one thing changed, to measure what that thing brings. Not a product's flag.

Run it like `server.py`, with these in the environment: `BENCH_LOOP=asyncio` (no uvloop),
`BENCH_SCHED=other` (no SCHED_BATCH), `BENCH_REST=n` (another `server.REST_FACTOR`), `BENCH_AGE=1`
(say on standard error how old the load generator's messages are when the server comes to them).
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

changed: Any = server  # what is replaced here need not have the type of what was there
AGES = 500  # messages between two lines about their age


def watch_ages() -> None:
    """Note the age of each message as the server hears it, and now and then say what it was."""
    hear: Any = server.Stream._hear
    ages: list[float] = []

    async def hear_and_note(stream: Any, raw: bytes) -> None:
        if match := STAMP.search(raw):
            ages.append((time.monotonic_ns() - int(match[2], 16)) / 1e6)
        if len(ages) == AGES:
            ages.sort()
            print(
                f"age p50 {ages[AGES // 2]:.1f}, p99 {ages[-AGES // 100]:.1f} ms", file=sys.stderr
            )
            ages.clear()
        await hear(stream, raw)

    changed.Stream._hear = hear_and_note


def main() -> int:
    """Change what the environment asks for, and run the server."""
    if os.environ.get("BENCH_LOOP") == "asyncio":
        changed.run = asyncio.run
    if os.environ.get("BENCH_SCHED") == "other":
        changed.be_scheduled_in_batches = lambda: None
    if factor := os.environ.get("BENCH_REST"):
        changed.REST_FACTOR = float(factor)
    if os.environ.get("BENCH_AGE"):
        watch_ages()
    return server.main()


if __name__ == "__main__":
    sys.exit(main())
