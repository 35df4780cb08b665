"""How a thread ends the wait for a line: by a signal, or where there is none by the last words."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from chat.client.ui import signals


def say_why() -> int:
    """Say why it ends, without a line feed: what is not flushed would be lost."""
    print("it was refused", end="")
    print("this was lost", end="", file=sys.stderr)
    return 3


@pytest.mark.skipif(signals.WAKE_SIGNAL is None, reason="Windows has no such signal")
def test_main_thread_is_woken() -> None:
    """Nothing is said by the thread that wakes it: the main thread does."""
    with pytest.raises(KeyboardInterrupt), signals.wakeable(say_why):
        signals.interrupt_main_thread()


def test_program_that_cannot_be_woken_ends_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """On Windows, with their exit code; with 1 where even they fail."""
    codes: list[int] = []
    monkeypatch.setattr(signals, "WAKE_SIGNAL", None)
    monkeypatch.setattr(os, "_exit", codes.append)
    with signals.wakeable(say_why):
        signals.interrupt_main_thread()
    said = capfd.readouterr()
    assert (codes, said.out, said.err) == ([3], "it was refused", "this was lost")
    with pytest.raises(ZeroDivisionError), signals.wakeable(lambda: 1 // 0):
        signals.interrupt_main_thread()
    assert codes == [3, 1]


def test_second_signal_ends_what_does_not_end_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """But not one that was sent together with the first; and without any, time does."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    guards: list[tuple[float, tuple[int, ...]]] = []

    class Guard:
        daemon = False

        def __init__(self, seconds: float, _end: object, code: tuple[int, ...]) -> None:
            guards.append((seconds, code))

        def start(self) -> None:
            assert self.daemon

    monkeypatch.setattr(threading, "Timer", Guard)
    now = [0.0]
    ending = signals.Ending(lambda: now[0])
    with pytest.raises(SystemExit) as end:
        ending.take(15, None)
    assert end.value.code == 143 and guards == [(signals.IN_ORDER_SECONDS, (143,))]
    ending.take(1, None)
    assert codes == []
    now[0] = 2 * signals.TOGETHER_SECONDS
    ending.take(1, None)
    assert codes == [129] and len(guards) == 1
