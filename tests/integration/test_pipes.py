"""The client in pipes: what it prints there, and what only when it is asked to."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import (
    DEADLINE_SECONDS,
    ROOT,
    RunningServer,
    clean_environment,
    full_client,
    running_client,
    running_program,
    running_server,
)

from chat.client import ending
from chat_pb2 import KIND_JOINED

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for all tests; each uses a room of its own."""
    with running_server() as running:
        yield running


def talk(server: RunningServer, *flags: str, typed: str) -> subprocess.CompletedProcess[str]:
    """Run the client with `typed` as its input."""
    return subprocess.run(
        [sys.executable, "client.py", server.address, "--name", "robo", *flags],
        input=typed,
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        env=clean_environment(),
        timeout=DEADLINE_SECONDS,
    )


@pytest.mark.parametrize(
    ("flags", "typed"),
    [((), "um\ndois\n"), (("--json",), '{"message": "um"}\n{"message": "dois"}\n')],
    ids=["lines", "json"],
)
def test_who_only_sends_prints_nothing(
    server: RunningServer, flags: tuple[str, ...], typed: str
) -> None:
    """Not what was said before, nor what is said now; all of it is confirmed."""
    room = f"send-{len(flags)}"
    with full_client(server.address, "ana", room=room) as ana:
        ana.say("before", key=room)
        ana.wait_for_text("before")
        wishes = ("--room", room, "--history", "5", "--send-only", *flags)
        done = talk(server, *wishes, typed=typed)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        ana.wait_for_text("dois")
        assert ana.texts == ["before", "um", "dois"]


@pytest.mark.parametrize(
    ("flags", "typed"),
    [((), "x" * 9000 + "\n"), (("--json",), '{"message": "oi", "to": "nobody"}\n')],
    ids=["by the client", "by the server"],
)
def test_who_only_sends_is_told_what_was_refused(
    server: RunningServer, flags: tuple[str, ...], typed: str
) -> None:
    """On standard error, and by the exit code."""
    done = talk(server, "--room", "refused", "--send-only", *flags, typed=typed)
    assert (done.returncode, done.stdout) == (ending.EXIT_NOT_ACKNOWLEDGED, "")
    assert "8192 bytes" in done.stderr or "USER_UNKNOWN" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes it")
def test_who_only_sends_needs_no_standard_output(server: RunningServer) -> None:
    """Closed, it is missed by nobody."""
    command = f"{sys.executable} client.py {server.address} --name r --room shut --send-only >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        input=b"oi\n",
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=clean_environment(),
        timeout=DEADLINE_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_command_in_a_pipe_is_warned_of_once(server: RunningServer) -> None:
    """It is said aloud, as every line; a program that sends paths is not bothered."""
    done = talk(server, "--room", "commands", typed="/etc/passwd\n/msg bia oi\n/who\n")
    assert [line.split(": ", 1)[1] for line in done.stdout.splitlines() if "robo" in line] == [
        "/etc/passwd",
        "/msg bia oi",
        "/who",
    ]
    assert done.stderr.startswith("* /msg is no command in a pipe") and done.stderr.count("\n") == 1


def test_private_run_writes_nothing(server: RunningServer, tmp_path: Path) -> None:
    """Neither who one is for the server, nor anything else: not even the folder is made."""
    home = tmp_path / "state"
    env = {"XDG_STATE_HOME": str(home), "LOCALAPPDATA": str(home)}
    flags = ("--name", "eva", "--private")
    with running_program("client.py", server.address, *flags, env=env) as client:
        client.type("oi")
        client.wait_for_line("[eva]: oi")
        client.end_input()
        assert client.wait() == 0
    assert not home.exists()


def test_history_comes_when_it_is_asked_for(server: RunningServer) -> None:
    """Else a program gets what is said from now on."""
    with full_client(server.address, "ana", room="asked") as ana:
        ana.say("before", key="asked")
        ana.wait_for_text("before")
        without = talk(server, "--room", "asked", typed="um\n")
        assert without.stdout == "[robo]: um\n"
        with_it = talk(server, "--room", "asked", "--history", "5", typed="dois\n")
        assert with_it.stdout == "[ana]: before\n[robo]: um\n[robo]: dois\n"
        as_json = talk(server, "--room", "asked", "--json", typed='{"message": "tr\\u00eas"}\n')
        said = [json.loads(line)["message"] for line in as_json.stdout.splitlines()]
        assert said == ["três"]


def test_time_is_shown_when_it_is_asked_for(server: RunningServer) -> None:
    """With the date, since nothing else says it in a pipe."""
    flags = ("--name", "olho", "--room", "time", "--listen", "--time", "--history", "5")
    with (
        full_client(server.address, "ana", room="time") as ana,
        running_client(server, *flags) as olho,
    ):
        ana.wait_for_kind(KIND_JOINED)
        ana.say("bom dia", key="time")
        assert re.fullmatch(rf"{TIME} \[ana\]: bom dia", olho.wait_for_line("bom dia"))
