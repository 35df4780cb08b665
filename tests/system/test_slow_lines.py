"""What a slow line does not break. Portable: the line is a proxy of the tests.

The suite has it ten times as fast as the slowest line that is promised, with time-outs ten times as
short; `make soak` sets CHAT_SOAK, and has it as it is (5 minutes).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from slow_proxy import SlowProxy, slow_proxy
from support import RunningServer, full_client

from chat.client import Session, State, connection
from chat.protocol import limits

SPEED_UP = 1 if "CHAT_SOAK" in os.environ else 10
# The slowest line that is promised, and a backlog that takes four time-outs on it.
BYTES_PER_SECOND = 6_000 * SPEED_UP
MESSAGES = 200 if SPEED_UP == 1 else 40
MESSAGE_BYTES = 8_000
# Beside the texts: ids, times, names, keys, and what HTTP/2 and the pings take.
MAX_OVERHEAD = 1.1
# How many times as long as the line needs the test waits.
PATIENCE = 3
# A time-out of these, in ms, is as many times as short as the line is fast; that of TCP stays.
PINGS = {
    "grpc.keepalive_time_ms": limits.KEEPALIVE_TIME_MS // SPEED_UP,
    "grpc.http2.ping_timeout_ms": limits.PING_TIMEOUT_MS // SPEED_UP,
}

SERVER = f"""
import sys, server
from chat.server import grpc_options
grpc_options.OPTIONS = [*(dict(grpc_options.OPTIONS) | {PINGS!r}).items()]
sys.exit(server.main())
"""


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowProxy]:
    """A slow line to a server that has a backlog."""
    options = dict(connection.OPTIONS) | PINGS
    monkeypatch.setattr(connection, "OPTIONS", [*options.items()])
    with server_with_backlog() as address, slow_proxy(address, BYTES_PER_SECOND) as slow:
        yield slow


@contextmanager
def server_with_backlog() -> Iterator[str]:
    flags = ("--host", "localhost", "--port", "0", "--db", ":memory:", "--rate", "0", "--quiet")
    with closing(RunningServer([sys.executable, "-c", SERVER, *flags])) as server:
        with full_client(server.address, "bia") as bia:
            for number in range(MESSAGES):
                bia.say(f"{number:04d}".ljust(MESSAGE_BYTES, "x"), key=str(number))
            bia.wait_for_key(str(MESSAGES - 1))
        yield server.address


def test_backlog_arrives_at_the_speed_of_a_slow_line(line: SlowProxy) -> None:
    """A ping that is answered late, behind all that is on its way, cuts nothing."""
    states: list[State] = []
    got: list[str] = []
    session = Session(line.address, "ana", history=MESSAGES, on_state=states.append)
    with aborted_after(session, PATIENCE * MESSAGES * MESSAGE_BYTES / BYTES_PER_SECOND):
        for message in session:
            if message.user == "bia" and message.message:
                got.append(message.message[:4])
            if len(got) == MESSAGES:
                break
    assert got == [f"{number:04d}" for number in range(MESSAGES)]
    assert (line.connections, [state.change.name for state in states]) == (1, ["CONNECTED"])
    assert line.carried_bytes < MAX_OVERHEAD * MESSAGES * MESSAGE_BYTES


@contextmanager
def aborted_after(session: Session, seconds: float) -> Iterator[None]:
    """End the session at the end of the block, or of so many seconds."""
    timer = threading.Timer(seconds, session.abort)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        session.abort()
