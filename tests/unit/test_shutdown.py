"""How a server is told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rooms import bounded
from support import DEADLINE_SECONDS, ROOT

from chat.server.shutdown import SIGNALS, Shutdown

needs_posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

# The event loop is kept busy for good, and the handler is called all the same.
BUSY = """
import asyncio, os, signal
from chat.server import shutdown
shutdown.STOP_SECONDS = 0.05
async def main():
    stopping = shutdown.Shutdown()
    answers = [True, True, False]
    stopping.is_patient = lambda: print("asked", flush=True) or answers.pop(0)
    stopping.watch_signals()
    os.kill(os.getpid(), signal.SIGTERM)
    while True: pass
asyncio.run(main())
"""


@contextmanager
def handlers_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@needs_posix
@pytest.mark.parametrize("number", SIGNALS)
async def test_first_signal_asks_and_leaves_the_second_to_the_system(
    number: signal.Signals,
) -> None:
    """Which ends the program at once, whatever it is doing."""
    with handlers_restored():
        shutdown = Shutdown()
        shutdown.watch_signals()
        assert not shutdown.requested.is_set()
        os.kill(os.getpid(), number)
        await bounded(shutdown.requested.wait())
        assert [signal.getsignal(one) for one in SIGNALS] == [signal.SIG_DFL] * 2
        shutdown.close()


@needs_posix
def test_program_that_does_not_stop_is_ended(tmp_path: object) -> None:
    """With 1 and a sentence, also where the event loop does nothing any more."""
    done = subprocess.run(
        [sys.executable, "-c", BUSY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout.split() == ["asked"] * 3  # it had all the time that it was worth
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_closing_one_that_watched_nothing() -> None:
    """There is no thread to wait for."""
    Shutdown().close()
