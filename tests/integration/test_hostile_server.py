"""Servers that mean no good: nothing that they say stops a client, fills it, or steers a terminal.

Beside what they say unasked, they answer what was asked with nonsense.

`make fuzz` sets CHAT_FUZZ, how many times as many scripts are tried.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fakes import FakeTerminal
from hostile_server import (
    MAX_STEPS,
    REFUSED,
    Answer,
    Echo,
    End,
    Flood,
    Greet,
    Hang,
    Say,
    Script,
    Step,
    Take,
    hostile_server,
    scripts,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import Program, running_client, running_program

from chat.client import ChatError, Session, receiver
from chat.client import backoff as backoff_module
from chat.client.app import App
from chat.client.connection import MAX_ANSWER_BYTES
from chat.client.ending import EXIT_NOT_ACKNOWLEDGED, EXIT_OK, EXIT_REFUSED
from chat.client.sanitize import MAX_TEXT_CHARACTERS
from chat.client.ui.jsonl import json_of
from chat.protocol.limits import MAX_KEY_CHARACTERS, MAX_RAW_NAME_CHARACTERS
from chat_pb2 import (
    KIND_ENTERED,
    KIND_EXITED,
    KIND_HISTORY,
    KIND_NOTICE,
    KIND_PRESENT,
    KIND_RENAMED,
    KIND_ROOMS,
    KIND_WHO,
    Kind,
    Message,
)

TIMES = int(os.environ.get("CHAT_FUZZ", "1"))
# What no text that is shown may contain; a line feed is followed by an indent.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]|\n(?!    )")
# What a client holds by itself is 40 MB with its libraries; with each name kept it was a gigabyte.
MAX_RESIDENT_BYTES = 200 << 20
MAX_SCRIPTS = 2
PLAIN_NOTICE = "* This server keeps no history and confirms nothing."


def peak_bytes(program: Program) -> int:
    """Return the most memory that a running program has had (proc(5))."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def people(count: int, kind: Kind, room: str = "") -> Iterator[Message]:
    """Name so many people, each in the room, or in one of its own."""
    for number in range(count):
        name = f"{number:06d}".ljust(1000, "x")
        yield Message(kind=kind, user=name, room=room.format(number), message="y")


NONSENSE: Script = [
    Greet(),
    Say(Message(user="x" * 900_000, message="long name", room="r" * 90_000), 30),
    Say(Message(user="bia", message="z" * 900_000, key="k" * 9000), 3),
    Flood(lambda: people(500, KIND_PRESENT, "room {}")),
    Flood(lambda: people(500, KIND_PRESENT)),
    Flood(lambda: people(200, Kind.KIND_JOINED, "room {}")),
    Say(Message(kind=99, user="bia", message="unknown"), 100),  # type: ignore[arg-type]
    Say(Message(kind=KIND_NOTICE, user="\x1b]52;c;aGk=\x07", message="\x1b[2Jcleared")),
    Say(Message(kind=KIND_NOTICE, user="EVIL_REASON", message="z" * 90_000)),
    Say(Message(kind=KIND_ENTERED, room="aula", id=1), 200),
    Say(Message(kind=KIND_EXITED), 100),
    Say(Message(kind=KIND_HISTORY, batch=[Message(user="bia", message="page", id=3)] * 999), 5),
    Say(Message(kind=KIND_WHO)),
    Say(Message(kind=KIND_ROOMS)),
    Say(Message(kind=KIND_RENAMED, user="ana", message="\x1b[31mgarbage" * 1000)),
    Say(Message(batch=[Message(batch=[Message(user="bia", message="inner", id=9)])])),
    Say(b"B\x00" * (MAX_ANSWER_BYTES // 2 - 1)),  # a batch of nothing but nothing
    Say(Message(user="bia", message="the end", id=10)),
]


@pytest.mark.parametrize("mode", [(), ("--json",)], ids=repr)
def test_nonsense_costs_no_memory_and_prints_no_empty_line(mode: tuple[str, ...]) -> None:
    """All that was cut, dropped or cleaned; and the conversation goes on."""
    with (
        hostile_server([*NONSENSE, Echo(first_id=11)]) as server,
        running_client(server.address, "--name", "ana", *mode) as ana,
    ):
        ana.wait_for_line("the end", 60)
        if Path("/proc/self/status").exists():
            assert peak_bytes(ana) < MAX_RESIDENT_BYTES
        ana.type('{"message": "still here"}')
        ana.wait_for_line("still here")
        ana.end_input()
        assert ana.wait() == EXIT_OK
        assert all(line and line.isprintable() for line in ana.lines)
        assert max(map(len, ana.lines)) < 2 * MAX_TEXT_CHARACTERS
        assert "unknown" not in ana.stdout and "inner" not in ana.stdout
        assert "page" not in ana.stdout and "aula" not in ana.stdout
        assert ana.stderr == ""


@pytest.mark.parametrize(
    "end",
    [
        End(grpc.StatusCode.UNAVAILABLE, trailing=(("chat-reason", "EVIL"),)),
        End(grpc.StatusCode.INTERNAL, "\x1b[2J", (("grpc-status-details-bin", b"\xff\x00no"),)),
        End(grpc.StatusCode.INTERNAL, "x" * 2000, (("grpc-status-details-bin", b"\x08\x0e"),)),
    ],
)
def test_refusal_that_makes_no_sense_is_a_sentence_of_ours(end: End) -> None:
    """Nothing of what it says is shown."""
    with (
        hostile_server([end]) as server,
        running_client(server.address, "--name", "ana") as ana,
    ):
        assert ana.wait() == EXIT_REFUSED
        (sentence,) = ana.errors
        assert server.address in sentence and sentence.isprintable() and len(sentence) < 200
        assert "EVIL" not in sentence and "[2J" not in sentence


def test_first_word_of_any_length_is_taken() -> None:
    """Numbers that are none, and words of a length that nobody needs, which are sent back."""
    greeting = Greet(
        (("chat-epoch", "e" * 1000), ("chat-generation", "g" * 1000), ("chat-after", "9" * 5000))
    )
    said = Say(Message(user="bia", message="oi", id=4))
    with hostile_server([greeting, said, End()], [greeting, REFUSED]) as server:
        heard: list[Message] = []
        with pytest.raises(ChatError, match="token"):
            heard.extend(Session(server.address, "ana"))
        assert [message.message for message in heard] == ["oi"]
        assert server.metadata[1]["chat-generation"] == "g" * 64
        assert server.metadata[1]["chat-after"] == "4"


def test_ids_that_go_backwards_and_a_log_that_is_always_another_end_nothing() -> None:
    """What was said is confirmed by its key, whatever the numbers are."""
    logs: list[Script] = [
        [Greet((("chat-epoch", f"log {number}"), ("chat-after", "7"))), Take(), End()]
        for number in range(3)
    ]
    with (
        hostile_server(*logs, [Greet(), Echo(first_id=100, step=-7)]) as server,
        running_client(server.address, "--name", "ana") as ana,
    ):
        for number in range(20):
            ana.type(f"line {number}")
        ana.end_input()
        assert ana.wait(60) == EXIT_OK
        assert "not confirmed" not in ana.stderr


# How clients end where servers do not.

# As long as a test can wait.
IMPATIENT = """
import sys, client
from chat.client import ending, receiver
receiver.SILENT_SECONDS = 0.2
ending.PIPE_END_SECONDS = ending.SILENT_END_SECONDS = 1.0
ending.TELL_WAITING_SECONDS, ending.LOOK_SECONDS = 0.2, 0.1
sys.exit(client.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("script", "room"), [([Greet(), Hang()], ""), ([Hang()], "aula")], ids=["full", "silent"]
)
def test_end_of_input_is_not_waited_for_for_ever(script: Script, room: str) -> None:
    """It is told that it waits, and then what was not confirmed."""
    with (
        hostile_server(script) as server,
        running_program("-c", IMPATIENT, server.address, "--name", "ana", "--room", room) as ana,
    ):
        ana.type("oi")
        ana.end_input()
        assert ana.wait() == EXIT_NOT_ACKNOWLEDGED
        assert "Waiting for the server to confirm 1 message" in ana.stderr
        assert ana.stderr.endswith("1 message was not confirmed:\n  oi")


@pytest.mark.parametrize("lines", [[], ["never confirmed", "nor this"]], ids=len)
def test_leaving_in_the_middle_of_a_reconnect(lines: list[str]) -> None:
    """All that counts is whether anything was not confirmed."""
    down = End(grpc.StatusCode.UNAVAILABLE)
    with (
        hostile_server([Greet(), down], [down]) as server,
        running_program("-c", IMPATIENT, server.address, "--name", "ana") as ana,
    ):
        ana.wait_for_error("Connection lost")
        for line in [*lines, "/quit"]:
            ana.type(line)
        assert ana.wait() == (EXIT_NOT_ACKNOWLEDGED if lines else EXIT_OK)
        told = [line for line in ana.errors if not line.startswith("* ")]
        quoted = [f"  {line}" for line in lines]
        assert told == (["2 messages were not confirmed:", *quoted] if lines else [])


@pytest.mark.parametrize("greeting", [[Greet()], []], ids=["full", "plain"])
def test_server_that_vanishes_while_one_leaves(greeting: list[Step]) -> None:
    """What it confirmed before counts, not how it went; a plain one confirms nothing ever."""
    vanishing: Script = [*greeting, Answer(lambda message: [message]), Take(), End()]
    with (
        hostile_server(vanishing, [End()]) as server,
        running_client(server.address, "--name", "ana") as ana,
    ):
        ana.type("oi")
        ana.wait_for_line("[ana]: oi")
        ana.end_input()  # which the last step has waited for
        assert ana.wait() == EXIT_OK
        assert ana.stderr.replace(PLAIN_NOTICE, "") == ""


# Scripts at random.


class Hearer:
    """An app at a terminal that remembers, over a session that iterates here."""

    def __init__(self, address: str, is_interactive: bool) -> None:
        self.terminal = FakeTerminal(is_interactive=is_interactive)
        self.session = Session(address, "ana", rooms=["", "aula"], retry_first_connect=True)
        self.app = App(self.session, self.terminal, "all")
        self.heard: list[Message] = []

    def _ask(self) -> None:
        session = self.session
        session.ask_who()
        session.ask_rooms()
        session.history(20)
        session.enter("cozinha")
        session.leave("aula")
        session.rename("anna")
        session.send("psst", to="bia")
        # A plain or silent server is told nothing but this, and takes one for each of its steps.
        for _step in range(MAX_SCRIPTS * MAX_STEPS):
            session.send("oi", room="")

    def hear(self) -> None:
        """Ask for all there is, and take all that comes, until the refusal that ends it."""
        self._ask()
        for message in self.session:
            self.heard.append(Message.FromString(message.SerializeToString()))
            self.app.receive(message)
            self.app.status()


def check_bounded(message: Message) -> None:
    """Fail where something of a message is longer than what is kept, or steers a terminal."""
    for name in (message.user, message.to, message.room):
        assert len(name) <= MAX_RAW_NAME_CHARACTERS and not STEERING.search(name)
    assert len(message.message) <= MAX_TEXT_CHARACTERS
    assert not STEERING.search(message.message.replace("\n", ""))
    assert len(message.key) <= MAX_KEY_CHARACTERS and message.kind in Kind.values()
    assert not message.batch or message.kind == KIND_HISTORY
    assert json.loads(json_of(message))["user"] == message.user
    for part in message.batch:
        check_bounded(part)


@settings(
    max_examples=10 * TIMES,
    deadline=None,
    derandomize=TIMES == 1,  # the suite's are always the same
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(played=st.lists(scripts(), min_size=1, max_size=MAX_SCRIPTS), is_interactive=st.booleans())
def test_no_script_stops_or_steers_a_client(
    monkeypatch: pytest.MonkeyPatch, played: list[list[Step]], is_interactive: bool
) -> None:
    """Only its last word does, which is a refusal for good."""
    monkeypatch.setattr(backoff_module, "MIN_BACKOFF_SECONDS", 0.0005)
    monkeypatch.setattr(backoff_module, "MAX_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(receiver, "SILENT_SECONDS", 0.1)
    with hostile_server(*played, [REFUSED]) as server:
        ana = Hearer(server.address, is_interactive)
        with pytest.raises(ChatError, match="token"):
            ana.hear()
    for message in ana.heard:
        check_bounded(message)
    for text in [*ana.terminal.shown, *ana.terminal.notices, *ana.terminal.errors]:
        assert not STEERING.search(text)
        assert text or not is_interactive  # programs get each message, and some have no line
