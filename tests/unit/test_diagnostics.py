"""What comes out on standard error, whatever is logged."""

from __future__ import annotations

import io
import logging

import pytest

from chat.server import diagnostics
from chat.server.diagnostics import BoundedHandler, OneLine, describe, is_news

SECRET = "what somebody said"


class Screen:
    """A logger whose lines are collected, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stream: io.StringIO = io.StringIO()
        self.handler = BoundedHandler(self.stream, lambda: self.now)
        self.handler.setFormatter(OneLine())
        self.log = logging.Logger("name")
        self.log.addHandler(self.handler)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def failure() -> ZeroDivisionError:
    """Return an exception that was raised here."""
    try:
        raise ZeroDivisionError(SECRET)
    except ZeroDivisionError as error:
        return error


def test_exception_is_its_type_and_place() -> None:
    """In the same line; its text, which may be anything, is not told."""
    screen = Screen()
    screen.log.error("stream of %s failed", "ipv4:1.2.3.4:5", exc_info=failure())
    (line,) = screen.lines
    assert line.startswith("ERROR name: stream of ipv4:1.2.3.4:5 failed: ZeroDivisionError at ")
    assert "test_diagnostics.py:" in line and SECRET not in line
    assert describe(ZeroDivisionError()) == "ZeroDivisionError"  # it was never raised


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("first\nsecond", "first"),
        ("\x1b[2J\x07\u202e", "\\x1b[2J\\x07\\u202e"),
        ("olá", "olá"),
    ],
)
def test_line_is_one_line_that_no_terminal_obeys(text: str, line: str) -> None:
    """Whoever made it up."""
    screen = Screen()
    screen.log.warning(text)
    assert screen.lines == [f"WARNING name: {line}"]


def test_line_has_an_end() -> None:
    """However long what it tells of."""
    screen = Screen()
    screen.log.warning("%s", "x" * 100_000)
    assert len(screen.lines[0]) == diagnostics.MAX_LINE_CHARACTERS


def test_flood_is_counted_instead() -> None:
    """Ten lines in a second; the rest is a number, told with the next line, or at the end."""
    screen = Screen()
    for _ in range(15):
        screen.log.warning("again")
    assert len(screen.lines) == 10
    screen.now = 1.0
    for _ in range(12):
        screen.log.warning("later")
    assert len(screen.lines) == 20
    assert screen.lines[10].endswith(": 5 more lines were left out")
    assert screen.lines[11:] == ["WARNING name: later"] * 9
    screen.handler.close()
    assert screen.lines[20].endswith(": 3 more lines were left out")


class Full(io.StringIO):
    """A stream that takes nothing while it is full, as a pipe that nobody reads."""

    is_full = False

    def write(self, text: str) -> int:
        if self.is_full:
            raise BlockingIOError
        return super().write(text)


def test_count_that_cannot_be_written_is_kept() -> None:
    """Second after second: what is left out in the end is all that is not there."""
    screen = Screen()
    pipe = screen.stream = Full()
    screen.handler.setStream(pipe)
    pipe.is_full = True
    for second in range(60):
        screen.now = float(second)
        for _ in range(15):
            screen.log.warning("nobody reads")
    pipe.is_full = False
    screen.handler.close()
    assert [line.partition(": ")[2] for line in screen.lines] == ["900 more lines were left out"]


def test_line_that_cannot_be_made_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """The logging module would print a traceback instead."""
    screen = Screen()
    screen.log.warning("%d", "no number")
    screen.stream.close()
    screen.log.warning("nobody reads")
    assert capsys.readouterr().err == ""


def test_noise_of_grpc_is_no_news() -> None:
    """What is told elsewhere, or is none of ours."""

    def record(text: str) -> logging.LogRecord:
        return logging.LogRecord("grpc", logging.ERROR, "", 0, text, (b"\xff",), None)

    assert not is_news(record("Invalid encoding on %s"))
    assert is_news(record("Unexpected [KeyError] raised by servicer method"))
