"""The conversation on standard output: what is shown, what is left out, what the pipe does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from rooms import Message
from support import DEADLINE_SECONDS

from chat.cli import streams
from chat.server import console_log, line_thread
from chat.server.console_log import ConsoleLog
from chat_pb2 import KIND_ACTION, KIND_CLOSED, KIND_INVITED, KIND_OPENED


class Pipe:
    """Standard output's end: `take` answers each write; what it took is in `text`.

    `writes`: how often it was written to.
    """

    def __init__(self) -> None:
        self._taken = b""
        self.writes = 0
        self.take: Callable[[bytes], int | None] = len
        self.gate = threading.Event()
        self.gate.set()
        self.is_writing = threading.Event()

    def write(self, data: bytes) -> int | None:
        self.writes += 1
        self.is_writing.set()
        assert self.gate.wait(DEADLINE_SECONDS)
        count = self.take(data)
        self._taken += data[: count or 0]
        return count

    @property
    def text(self) -> str:
        return self._taken.decode()


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """A pipe in the place of standard output."""
    made = Pipe()
    stdout = SimpleNamespace(buffer=SimpleNamespace(raw=made))
    monkeypatch.setattr(console_log, "sys", SimpleNamespace(stdout=stdout))
    return made


def begun() -> ConsoleLog:
    """A console of a server that listens."""
    console = ConsoleLog()
    console.begin()
    return console


def test_lines_gather(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Woken for each, the thread would cost the chat more than the line does."""
    monkeypatch.setattr(line_thread, "GATHER_SECONDS", DEADLINE_SECONDS)
    console = begun()
    for number in range(100):
        console.print(str(number))
    console.close()  # which waits for no more of them
    assert pipe.writes == 1
    assert pipe.text == "".join(f"{number}\n" for number in range(100))


def test_room_is_named_and_later_lines_are_indented(pipe: Pipe) -> None:
    """The common room has no name; nobody can write a line that looks like another's."""
    console = begun()
    console.show(
        "", [Message(user="ana", message="oi"), Message(user="bia", message="a\n[ana]: b")]
    )
    console.show("sala", [Message(user="ana", message="oi")])
    console.close()
    assert pipe.text == "[ana]: oi\n[bia]: a\n    [ana]: b\n#sala [ana]: oi\n"


def test_rows_of_a_terminal_are_broken_and_indented(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the terminal did it, what stands after the padding would begin a row."""
    monkeypatch.setattr(console_log, "columns_of", lambda stream: 40)
    console = begun()
    padded = "a" + " " * 32 + "[ana]: b"
    console.show("", [Message(user="bia", message=padded), Message(user="bia", message="a\tb")])
    console.show("sala", [Message(user="ana", message="waves", kind=KIND_ACTION)])
    console.close()
    assert pipe.text.splitlines() == [
        "[bia]: a" + " " * 32,
        "      [ana]: b",
        "[bia]: a    b",
        "#sala [ana]: *waves*",
    ]


def test_what_does_not_fit_is_counted(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody reads, so many lines are kept and no more."""
    monkeypatch.setattr(console_log, "MAX_LINES", 3)
    console = begun()
    pipe.gate.clear()
    console.print("first")
    assert pipe.is_writing.wait(DEADLINE_SECONDS)
    console.print("1", "2")
    console.print("3", "4", "5")
    console.print("6")
    pipe.gate.set()
    console.close()
    assert pipe.text == "first\n1\n2\n3\n(3 lines left out)\n"


def test_first_lines_come_before_what_was_heard_already(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, however much that was; what came before them still counts as waiting."""
    monkeypatch.setattr(console_log, "MAX_LINES", 2)
    console = ConsoleLog()
    console.show("", [Message(user="ana", message=text) for text in "123"])
    pipe.gate.clear()
    console.begin("port 1", "port 2")
    console.show("", [Message(user="ana", message="4")])
    pipe.gate.set()
    console.close()
    assert pipe.text.splitlines()[:4] == ["port 1", "port 2", "[ana]: 1", "[ana]: 2"]


def test_server_that_does_not_come_to_listen_shows_nothing(pipe: Pipe) -> None:
    """Whatever it has heard of other servers meanwhile."""
    console = ConsoleLog()
    console.show("", [Message(user="ana", message="oi")])
    console.close()
    assert pipe.text == ""


def test_pipe_that_takes_a_part_is_given_the_rest(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a pause; one that is full and does not block is tried again after one."""
    answers: list[int | None] = [2, None, None, 1]
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    pipe.take = lambda data: answers.pop(0) if answers else len(data)
    console = begun()
    console.print("abcdef")
    console.close()
    assert pipe.text == "abcdef\n"
    assert pauses == [streams.FULL_PIPE_SECONDS] * 2


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("closed file")], ids=repr)
def test_pipe_that_is_gone_is_left_alone(pipe: Pipe, error: Exception) -> None:
    """The chat goes on without it."""
    writes: list[bytes] = []

    def fail(data: bytes) -> int:
        writes.append(data)
        pipe.is_writing.set()
        raise error

    pipe.take = fail
    console = begun()
    console.print("one")
    assert pipe.is_writing.wait(DEADLINE_SECONDS)
    console.print("two")
    console.close()
    assert len(writes) == 1 and pipe.text == ""


def test_what_happens_to_a_room_is_nobody_s_word(pipe: Pipe) -> None:
    """It begins with a star behind the room's name, as no message does."""
    console = begun()
    kinds = (KIND_CLOSED, KIND_INVITED, KIND_OPENED)
    console.show("sala", [Message(kind=kind, user="ana", to="bia") for kind in kinds])
    console.close()
    assert pipe.text.splitlines() == [
        "#sala * [ana] closed the room",
        "#sala * [ana] invites [bia]",
        "#sala * [ana] opened the room",
    ]
