"""Standard output that takes nothing: what the plain terminal does about it, in whatever thread."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import DEADLINE_SECONDS

from chat.client.ui.plain import PlainTerminal
from chat.client.ui.render import RenderedMessage
from chat_pb2 import Message

OI = RenderedMessage(body=[("", "oi")])


def listening() -> tuple[PlainTerminal, threading.Thread]:
    """Return a terminal and the thread that runs it, reading nothing."""
    terminal = PlainTerminal(listen_only=True)
    return terminal, threading.Thread(target=terminal.run, args=(None,))


def test_reader_who_is_gone_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever thread shows; what is shown from then on goes nowhere, and fails no more."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        terminal, running = listening()
        running.start()
        assert terminal.failure is None
        terminal.show(Message(), OI)
        running.join(DEADLINE_SECONDS)
        assert not running.is_alive() and isinstance(terminal.failure, BrokenPipeError)
        terminal.show(Message(), OI)
        print("nowhere", file=broken, flush=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first failure is the one that is told."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        terminal, running = listening()
        running.start()
        terminal.show(Message(), OI)
        running.join(DEADLINE_SECONDS)
        assert terminal.failure is not None and terminal.failure.errno == errno.ENOSPC


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_standard_error_that_takes_nothing_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversation goes on without sentences."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        terminal, running = listening()
        terminal.show_error("why")
        terminal.show_notice("what")
        assert terminal.failure is None
        running.start()
        terminal.stop()
        running.join(DEADLINE_SECONDS)
        assert not running.is_alive()


class Stuck(io.StringIO):
    """Standard output whose reader takes nothing for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.is_writing, self.is_thawed = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        """Block until it is thawed."""
        self.is_writing.set()
        self.is_thawed.wait(DEADLINE_SECONDS)
        return super().write(text)


def test_reader_who_takes_nothing_holds_up_nobody_but_who_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The main thread leaves meanwhile, and asks whether anything failed."""
    with closing(Stuck()) as stuck:
        monkeypatch.setattr(sys, "stdout", stuck)
        terminal, running = listening()
        showing = threading.Thread(target=terminal.show, args=(Message(), OI))
        showing.start()
        running.start()
        try:
            assert stuck.is_writing.wait(DEADLINE_SECONDS)
            terminal.stop()
            running.join(DEADLINE_SECONDS)
            assert not running.is_alive() and terminal.failure is None
            assert not stuck.is_thawed.is_set()
        finally:
            stuck.is_thawed.set()
            showing.join()


@pytest.mark.skipif(not hasattr(os, "get_blocking"), reason="input that cannot be looked at")
@pytest.mark.parametrize(("typed", "unread"), [(b"a\nb\nc\nd", 2), (b"a\nb\n", 0)])
def test_lines_that_were_taken_and_not_sent_are_counted(
    typed: bytes, unread: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote them to a pipe cannot know; nothing more is waited for, and it stays usable."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe, os.fdopen(writing, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", pipe)
        writer.write(typed)
        terminal = PlainTerminal(send_only=True)
        handed: list[str] = []

        def hand(line: str) -> bool:
            handed.append(line)
            return len(handed) < 2

        controller: Any = SimpleNamespace(handle_line=hand, last_words=lambda: 0)
        terminal.run(controller)
        assert handed == ["a", "b"] and terminal.unread_lines() == unread
        assert os.get_blocking(reading)
        assert PlainTerminal(listen_only=True).unread_lines() == 0
