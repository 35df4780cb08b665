"""Lines that a thread writes: whoever reads them, or does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import pytest

from chat.server import line_thread, line_writer
from chat.server.line_writer import LineWriter


@pytest.fixture
def pipe() -> Iterator[tuple[IO[bytes], IO[str]]]:
    """Both ends of one that nobody reads unless told to."""
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as reading, open(write_end, "w", encoding="utf-8") as writing:
        yield reading, writing


def test_lines_come_in_order(pipe: tuple[IO[bytes], IO[str]]) -> None:
    """All of them, by the time that it is closed."""
    reading, writing = pipe
    writer = LineWriter(writing)
    for number in range(100):
        writer.write(f"{number}é\n")
    writer.flush()
    writer.close()
    writing.close()
    assert reading.read().decode().split() == [f"{number}é" for number in range(100)]


def test_nobody_waits_for_who_does_not_read(
    pipe: tuple[IO[bytes], IO[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit is refused at once; closing has an end, and what waited is not lost."""
    monkeypatch.setattr(line_thread, "CLOSE_SECONDS", 0.01)
    reading, writing = pipe
    writer = LineWriter(writing)
    more_than_fits = "x" * (1 << 20)
    lines = [more_than_fits] + ["y"] * line_writer.MAX_WAITING * 2
    taken = 0
    for line in lines:
        with suppress(BlockingIOError):
            taken += writer.write(line)
    writer.close()
    # What is on its way to the pipe is beside those that wait.
    assert taken < len(more_than_fits) + 2 * line_writer.MAX_WAITING
    assert len(reading.read(taken)) == taken


def test_reader_that_is_gone_ends_nothing(pipe: tuple[IO[bytes], IO[str]]) -> None:
    """Lines go nowhere then."""
    reading, writing = pipe
    reading.close()
    writer = LineWriter(writing)
    for _number in range(10):
        writer.write("x\n")
    writer.close()
    writer.close()
