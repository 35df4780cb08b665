"""Giving back to the system what the C library keeps of freed memory (glibc; elsewhere nothing).

Whoever has had the server hold 160 MB for a moment would have it keep them for good: they are free,
but in pieces, and glibc by itself gives back only what lies at the end of its heap.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# How often it is looked whether there is more than there was.
CHECK_SECONDS = 5.0
GROWTH_BYTES = 16 << 20
# Giving back takes up to 50 ms where a gigabyte is in use: it is tried again half as often each
# time, in the end once an hour.
MAX_PAUSE_SECONDS = 3600.0

_STATM = Path("/proc/self/statm")


async def give_back_freed() -> None:
    """Give back what is free, for as long as the server runs; ends where that cannot be done."""
    trim = find_trim()
    if trim is None or not _STATM.exists():
        return
    loop = asyncio.get_running_loop()
    pace = Pace(loop.time(), resident_bytes())
    with ThreadPoolExecutor(1, "memory") as thread:  # in which no lock of Python is held meanwhile
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if pace.is_due(loop.time(), resident_bytes()):
                await loop.run_in_executor(thread, trim, 0)
                pace.mark_done(loop.time(), resident_bytes())


class Pace:
    """When it is time: soon after there was much more than before, and then ever more rarely."""

    def __init__(self, now: float, resident_bytes: int) -> None:
        self._kept_bytes = resident_bytes
        self._pause = MAX_PAUSE_SECONDS
        self._due_at = now + self._pause

    def is_due(self, now: float, resident_bytes: int) -> bool:
        """Say whether to give back now; `now` in seconds."""
        has_grown = resident_bytes > self._kept_bytes + GROWTH_BYTES
        if has_grown:
            self._pause = CHECK_SECONDS / 2
        return has_grown or now >= self._due_at

    def mark_done(self, now: float, resident_bytes: int) -> None:
        """Note how much there is after giving back."""
        self._kept_bytes = resident_bytes
        self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)
        self._due_at = now + self._pause


def find_trim() -> Callable[[int], Any] | None:
    """Return glibc's malloc_trim(3), None where there is none."""
    try:
        import ctypes

        trim: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (ImportError, OSError, TypeError, AttributeError):
        return None
    return trim


def resident_bytes() -> int:
    """Return how much memory this process has (proc(5))."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
