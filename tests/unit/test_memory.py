"""Giving freed memory back: when it is done, and that it can be left out."""

from __future__ import annotations

import asyncio
import sys

import pytest
from rooms import bounded

from chat.server import memory
from chat.server.memory import CHECK_SECONDS, GROWTH_BYTES, MAX_PAUSE_SECONDS, Pace

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def dues(pace: Pace, start: float, count: int, resident_bytes: int) -> list[float]:
    """Return when it is time, of so many looks, with always as much memory."""
    times = [start + number * CHECK_SECONDS for number in range(count)]
    found = []
    for now in times:
        if pace.is_due(now, resident_bytes):
            pace.mark_done(now, resident_bytes)
            found.append(now - start)
    return found


def test_memory_that_grew_is_given_back_ever_more_rarely() -> None:
    """It costs a little, and mostly there is nothing more to give back."""
    pace = Pace(0.0, 0)
    steps = [number * CHECK_SECONDS for number in (0, 1, 3, 7, 15, 31, 63)]
    assert dues(pace, 10.0, 100, GROWTH_BYTES + 1) == steps
    assert dues(pace, 1e6, 2, 3 * GROWTH_BYTES) == steps[:2]


def test_memory_that_stays_is_tried_once_an_hour() -> None:
    """A server that does nothing is left in peace."""
    pace = Pace(0.0, 0)
    count = int(2.5 * MAX_PAUSE_SECONDS / CHECK_SECONDS)
    assert dues(pace, 0.0, count, GROWTH_BYTES) == [MAX_PAUSE_SECONDS, 2 * MAX_PAUSE_SECONDS]


@needs_proc
async def test_it_is_given_back_beside_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """In another thread."""
    is_given_back = asyncio.Event()
    loop = asyncio.get_running_loop()
    give = loop.call_soon_threadsafe
    monkeypatch.setattr(memory, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(memory, "GROWTH_BYTES", -1)
    monkeypatch.setattr(memory, "find_trim", lambda: lambda _pad: give(is_given_back.set))
    giving = loop.create_task(memory.give_back_freed())
    await bounded(is_given_back.wait())
    giving.cancel()
    await asyncio.wait({giving})


async def test_it_is_left_out_where_it_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """On musl, macOS and Windows."""
    monkeypatch.setattr(memory, "find_trim", lambda: None)
    await bounded(memory.give_back_freed())
