"""Whatever a server sends to the client program: it goes on, shows it clean, and keeps little.

The server is one process with the tests, and plays what Hypothesis makes up into a stream that
stays open; after each case it says something that must be shown. `make fuzz` tries many times as
many cases (`strategies.cases`).
"""

from __future__ import annotations

import itertools
import json
import queue
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import NoReturn

import pytest
from hostile_server import FULL_GREETING, Flood, Greet, Script, hostile_server
from hypothesis import given
from hypothesis import strategies as st
from probe import HAS_PROC, Watched
from strategies import TIMES, cases, messages
from support import Program, eventually, running_client

import chat_pb2

Message = chat_pb2.Message
# The end of a stream may be what a message means to a client: it is told again in the next one.
REPEAT_SECONDS = 2.0
PLAIN_GREETING = ()
MAX_GROWTH = 1.1
WARM_UP_CASES = 40 * TIMES


class Audience:
    """A client program and the hostile server that it talks with."""

    def __init__(self, *flags: str, greeting: Sequence[tuple[str, str]] = FULL_GREETING) -> None:
        self._flags = flags
        self._numbers = itertools.count(1)
        self._feed: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._open = ExitStack()
        script: Script = [Greet(greeting), Flood(lambda: iter(self._feed.get, None))]
        self._server = self._open.enter_context(hostile_server(script))
        self._early_bytes = 0
        self._start()

    def _start(self) -> None:
        client = running_client(self._server.address, "--name", "ana", *self._flags)
        self.client: Program = self._open.enter_context(client)

    def hear(self, heard: Sequence[Message]) -> list[str]:
        """Say these, wait until the client shows what comes after them; return what it showed."""
        number = next(self._numbers)
        start = len(self.client.lines)
        for message in heard:
            self._feed.put(message)
        shown = self._wait_for(f"that was number {number}.", start)
        if not shown or "Traceback" in self.client.stderr:
            self._fail()
        if number == WARM_UP_CASES and HAS_PROC:
            self._early_bytes = self._resident_bytes()
        return self.client.lines[start:]

    def _wait_for(self, text: str, start: int) -> bool:
        def is_shown() -> bool:
            has_ended = not self.client.is_running
            return has_ended or any(text in line for line in self.client.lines[start:])

        for _attempt in range(10):
            self._feed.put(Message(user="bia", message=text))
            with suppress(AssertionError):
                return eventually(is_shown, REPEAT_SECONDS) and self.client.is_running
        return False

    def _fail(self) -> NoReturn:
        """Fail with what the client said, and begin anew with another one."""
        report = self.client.report()
        self.client.close()
        self._start()
        pytest.fail(report[-4000:])

    def _resident_bytes(self) -> int:
        return Watched(self.client.process.pid).resident_bytes()

    def leave(self) -> None:
        """End the client as a person does; it keeps nothing of what it has shown."""
        if self._early_bytes:
            assert self._resident_bytes() <= MAX_GROWTH * self._early_bytes
        self.client.end_input()
        self._feed.put(None)
        self.client.wait()
        assert "Traceback" not in self.client.stderr

    def close(self) -> None:
        """End both, however they are."""
        self._feed.put(None)
        self._open.close()


@pytest.fixture(autouse=True)
def no_threads_left() -> None:
    """The hostile server's threads last as long as the module."""


@pytest.fixture(scope="module")
def plain() -> Iterator[Audience]:
    """A client whose output is a pipe."""
    audience = Audience()
    try:
        yield audience
    finally:
        audience.close()


@pytest.fixture(scope="module")
def programs() -> Iterator[Audience]:
    """A client for programs, of a server that knows the small contract only."""
    audience = Audience("--json", greeting=PLAIN_GREETING)
    try:
        yield audience
    finally:
        audience.close()


@cases(50)
@given(heard=st.lists(messages(), min_size=1, max_size=8))
def test_lines_are_clean(plain: Audience, heard: list[Message]) -> None:
    """No row has what steers a terminal."""
    for line in plain.hear(heard):
        assert line.replace("\t", "").isprintable() or not any(map(_is_control, line)), line


def _is_control(character: str) -> bool:
    return ord(character) < 0x20 and character != "\t" or 0x7F <= ord(character) < 0xA0


@cases(50)
@given(heard=st.lists(messages(), min_size=1, max_size=8))
def test_lines_are_json(programs: Audience, heard: list[Message]) -> None:
    """Each line is one object, whatever came."""
    for line in programs.hear(heard):
        assert line.isascii() and isinstance(json.loads(line), dict)


def test_clients_keep_nothing_of_it(plain: Audience, programs: Audience) -> None:
    """Memory is what it was, and they end when their input does."""
    plain.leave()
    programs.leave()
