"""What goes wrong on the way to NATS, in words."""

from __future__ import annotations

import asyncio
import errno
import ssl
from pathlib import Path

import nats.errors
import pytest

from chat.protocol.errors import UsageError
from chat.server.cluster.connection import error_in, explain
from chat.server.log.base import LogError, Problem
from chat.server.log.sqlite import SqliteLog
from chat.server.log_homes import open_home, tell_cluster
from chat.server.log_sentences import explain_log_error
from chat.server.settings import read_flags

BOTH = "Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed"
AWAY = LogError(Problem.AWAY, "nats:4222", "")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('::1', 4222)"), "connection refused"),
        (OSError(BOTH), "connection refused"),
        (OSError("odd"), "odd"),
        (asyncio.TimeoutError(), ""),
        (nats.errors.TimeoutError(), ""),
        (nats.errors.NoRespondersError(), "no responders available for request"),
        (ssl.SSLError(1, "certificate verify failed"), "certificate verify failed"),
    ],
)
def test_what_goes_wrong_is_told_in_words(error: Exception, words: str) -> None:
    """Neither in numbers nor with what Python calls it."""
    if isinstance(error, OSError) and "111" in str(error) and errno.ECONNREFUSED != 111:
        pytest.skip("the numbers are those of Linux")
    assert words in explain(error)
    assert "[Errno" not in explain(error)


def test_refusal_is_what_jetstream_says_of_it() -> None:
    """Without the JSON around it."""
    found = error_in(b'{"error": {"code": 503, "err_code": 10077, "description": "it is full"}}')
    assert found is not None and (found.code, str(found)) == (10077, "it is full")
    assert error_in(b'{"stream": "CHAT", "seq": 1}') is None


def test_silence_is_no_answer() -> None:
    """Whatever did not come."""
    assert explain_log_error(AWAY) == (
        "NATS at nats:4222 is not available: no answer. Nothing new is accepted until it is."
    )


def test_server_that_does_not_listen_yet_waits(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody can say anything that would not be accepted."""
    tell_cluster(AWAY, None, is_serving=False)
    tell_cluster(AWAY, None, is_serving=True)
    waiting, away = caplog.messages
    assert waiting.endswith("no answer. The server waits for it before it listens.")
    assert away.endswith("Nothing new is accepted until it is.")


def test_copies_are_for_a_cluster(tmp_path: Path) -> None:
    """Else somebody believes that there are some."""
    flags = read_flags(["--replicas", "3", "--db", str(tmp_path / "chat.db")])
    with pytest.raises(UsageError, match="--replicas needs --cluster"):
        open_home(flags, SqliteLog)
    assert not (tmp_path / "chat.db").exists()
