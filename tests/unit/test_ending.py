"""The end of a conversation: what is waited for, what is told, and the exit code."""

from __future__ import annotations

import errno
import sys
import time

import pytest
from fakes import FakeTerminal

from chat.client import ChatError, ConfigError, outbox
from chat.client.ending import (
    EXIT_BROKEN_PIPE,
    EXIT_NOT_ACKNOWLEDGED,
    EXIT_OK,
    EXIT_REFUSED,
    PIPE_END_SECONDS,
    SILENT_END_SECONDS,
    SILENT_SEARCH_SECONDS,
    TELL_WAITING_SECONDS,
    Farewell,
    is_broken_pipe,
    sentence,
    unexpected,
)
from chat.client.sent_lines import SentLines
from chat_pb2 import Message

FULL_DISK = OSError(errno.ENOSPC, "No space left on device")


class WaitingSession:
    """A session whose messages are acknowledged at given times, with a clock that only it moves.

    `acknowledged_at`: seconds from the beginning, None for never.
    """

    def __init__(self, *acknowledged_at: float | None) -> None:
        self.clock = 0.0
        self.is_silent = self.has_ended = False
        self._acknowledged_at = acknowledged_at

    def monotonic(self) -> float:
        return self.clock

    @property
    def unacknowledged(self) -> int:
        return sum(at is None or at > self.clock for at in self._acknowledged_at)

    @property
    def pending(self) -> list[Message]:
        return [Message(message="oi")] * self.unacknowledged

    def wait_acknowledged(self, timeout: float, allowed: int = 0) -> bool:
        if self.unacknowledged > allowed:
            self.clock += timeout
        return self.unacknowledged > allowed and not self.has_ended


def leaving(
    session: WaitingSession, monkeypatch: pytest.MonkeyPatch
) -> tuple[Farewell, FakeTerminal]:
    terminal = FakeTerminal(is_interactive=False)
    monkeypatch.setattr(time, "monotonic", session.monotonic)
    lines = SentLines(terminal)
    return Farewell(session, terminal, lines, lambda message: message.message), terminal  # type: ignore[arg-type]


def test_what_is_acknowledged_soon_is_waited_for_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody need know that anything was waited for."""
    session = WaitingSession(0.5, TELL_WAITING_SECONDS - 1)
    farewell, terminal = leaving(session, monkeypatch)
    farewell.wait_acknowledged()
    assert session.unacknowledged == 0 and terminal.notices == []


def test_wait_goes_on_as_long_as_anything_is_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow line may take many minutes, and loses nothing; what is waited for is told once."""
    times = [number * (PIPE_END_SECONDS - 5) for number in range(1, 6)]
    session = WaitingSession(*times)
    farewell, terminal = leaving(session, monkeypatch)
    farewell.wait_acknowledged()
    assert session.unacknowledged == 0
    assert terminal.notices == ["* Waiting for the server to confirm 5 messages; Ctrl-C gives up."]


@pytest.mark.parametrize(
    ("is_silent", "seconds"), [(False, PIPE_END_SECONDS), (True, SILENT_END_SECONDS)]
)
def test_wait_ends_when_nothing_is_acknowledged(
    monkeypatch: pytest.MonkeyPatch, is_silent: bool, seconds: float
) -> None:
    """A server that has not said a word is given up sooner."""
    session = WaitingSession(3.0, None)
    session.is_silent = is_silent
    farewell, terminal = leaving(session, monkeypatch)
    farewell.wait_acknowledged()
    assert session.clock == pytest.approx(3 + seconds, abs=1)
    assert farewell.tell_lost() and terminal.errors == ["1 message was not confirmed:\n  oi"]


@pytest.mark.parametrize(
    ("is_silent", "seconds", "reason"),
    [(False, PIPE_END_SECONDS, "SERVER_SILENT"), (True, SILENT_SEARCH_SECONDS, "PLAIN_SERVER")],
)
def test_search_without_an_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch, is_silent: bool, seconds: float, reason: str
) -> None:
    """Plain servers say nothing to one who only searches: with leaving that takes 15 seconds."""
    session = WaitingSession(None)
    session.is_silent = is_silent
    farewell, _terminal = leaving(session, monkeypatch)
    with pytest.raises(ChatError) as refusal:
        farewell.wait_answered()
    assert refusal.value.reason == reason
    assert session.clock == pytest.approx(seconds, abs=1)

    farewell, _terminal = leaving(WaitingSession(1.0), monkeypatch)
    farewell.wait_answered()


def test_input_is_held_back_until_there_is_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """One confirmation is enough; a server that gives none is given up, and not waited for anew."""
    monkeypatch.setattr(outbox, "MAX_PENDING", 2)
    session = WaitingSession(TELL_WAITING_SECONDS + 2, None, None)
    farewell, terminal = leaving(session, monkeypatch)
    assert not farewell.wait_for_space()
    given_up_at = session.clock
    assert given_up_at == pytest.approx(TELL_WAITING_SECONDS + 2 + PIPE_END_SECONDS, abs=1)
    assert len(terminal.notices) == 1
    assert not farewell.wait_for_space()
    farewell.wait_acknowledged()
    assert session.clock == given_up_at

    session = WaitingSession(3.0, None)
    farewell, terminal = leaving(session, monkeypatch)
    assert farewell.wait_for_space() and session.clock == 3 and terminal.notices == []


def test_wait_ends_with_the_session_and_with_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more will be acknowledged, or nobody cares."""
    session = WaitingSession(None)
    session.has_ended = True
    farewell, terminal = leaving(session, monkeypatch)
    farewell.wait_acknowledged()
    session.has_ended = False
    terminal.failure = BrokenPipeError()
    farewell.wait_acknowledged()
    assert session.clock <= 2


@pytest.mark.parametrize(
    ("failure", "cause", "is_lost", "code", "told"),
    [
        (None, None, False, EXIT_OK, []),
        (None, None, True, EXIT_NOT_ACKNOWLEDGED, []),
        (None, ConfigError("Why."), True, EXIT_REFUSED, ["Why."]),
        (BrokenPipeError(), ConfigError("Why."), True, EXIT_BROKEN_PIPE, []),
        (
            FULL_DISK,
            None,
            True,
            EXIT_REFUSED,
            ["Nothing more could be written to standard output: the disk is full."],
        ),
    ],
)
def test_exit_code_says_how_it_ended(
    monkeypatch: pytest.MonkeyPatch,
    failure: OSError | None,
    cause: ConfigError | None,
    is_lost: bool,
    code: int,
    told: list[str],
) -> None:
    """A reader who went away is told nothing; a disk that is full is."""
    farewell, terminal = leaving(WaitingSession(), monkeypatch)
    terminal.failure = failure
    assert farewell.exit_code(cause, is_lost) == code
    assert terminal.errors == told


def test_broken_pipe_is_known_on_each_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows it is an invalid argument."""
    other_word = OSError(errno.EINVAL, "Invalid argument")
    monkeypatch.setattr(sys, "platform", "linux")
    assert is_broken_pipe(BrokenPipeError()) and not is_broken_pipe(other_word)
    monkeypatch.setattr(sys, "platform", "win32")
    assert is_broken_pipe(other_word) and not is_broken_pipe(FULL_DISK)


def test_unexpected_error_is_a_sentence_on_one_line() -> None:
    """It may have any text."""
    text = sentence(unexpected(ValueError("a\n\x1b[2Jb")))
    assert text.startswith("Something unexpected ended the conversation (ValueError(")
    assert text.isprintable() and text.endswith(".")


def test_refusal_is_a_sentence() -> None:
    """A host at its beginning stays as it is written."""
    assert sentence(ChatError("CLOSED")) == "The conversation is over."
    assert sentence(ConfigError("localhost:1 is no one.")) == "localhost:1 is no one."
