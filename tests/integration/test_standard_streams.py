"""Programs whose standard streams are closed, full or not in UTF-8, or that Ctrl-C ends early."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import (
    DEADLINE_SECONDS,
    ROOT,
    Program,
    RunningServer,
    clean_environment,
    full_client,
    plain_client,
    running_client,
    running_server,
)

from chat_pb2 import KIND_JOINED

if sys.platform == "win32":
    pytest.skip("no shell here closes descriptors", allow_module_level=True)

SCRIPTS = ("server.py", "client.py")
NOTHING_CLOSED = ""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for all that do no harm to it."""
    with running_server() as running:
        yield running


def command(redirections: str, *arguments: str) -> list[str]:
    """Return a command that runs Python with some descriptors closed."""
    line = shlex.join([sys.executable, *arguments])
    return ["sh", "-c", f"exec {line} {redirections}"]


def run(
    redirections: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, with something on standard input."""
    return subprocess.run(
        command(redirections, *arguments),
        cwd=ROOT,
        env=clean_environment(environment),
        input=b"oi\n",
        capture_output=True,
        timeout=DEADLINE_SECONDS,
    )


@pytest.mark.parametrize(
    ("redirections", "sentence"),
    [
        ("<&-", "Standard input is closed."),
        (">&-", "Standard output is closed."),
        ("<&- >&-", "Standard input is closed."),
        ("<&- >&- 2>&-", ""),
    ],
)
def test_client_says_which_stream_it_misses(redirections: str, sentence: str) -> None:
    """In one line on standard error, if that is there, and ends with 2; connects to nothing."""
    done = run(redirections, "client.py", "localhost:1", "--name", "ana")
    assert (done.returncode, done.stdout) == (2, b"")
    said = done.stderr.decode()
    assert said.startswith(sentence) and said.count("\n") == bool(sentence)


def test_client_needs_only_what_it_uses(server: RunningServer) -> None:
    """Standard error is for what goes wrong; one who only listens reads nothing."""
    done = run("2>&-", "client.py", server.address, "--name", "ana")
    assert (done.returncode, done.stdout) == (0, b"[ana]: oi\n")
    listen = ("client.py", server.address, "--name", "bia", "--listen", "--history", "5")
    listener = Program(command("<&-", *listen))
    try:
        listener.wait_for_line("[ana]: oi")
        assert listener.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    finally:
        listener.close()
    assert listener.errors == []


def test_server_serves_on_without_its_streams(tmp_path: Path) -> None:
    """No file or connection of its own gets their descriptors; SIGTERM ends it with 0."""
    arguments = ("server.py", "--host", "localhost", "--port", "0", "--db", str(tmp_path / "db"))
    server = RunningServer(command("<&- 2>&-", *arguments))
    try:
        with plain_client(server.address, "ana") as ana:
            ana.say("oi")
            ana.wait_for_text("oi")
        server.wait_for_line("[ana]: oi")
        files = Path(f"/proc/{server.process.pid}/fd")
        assert not files.exists() or {os.readlink(files / n) for n in ("0", "2")} == {os.devnull}
        assert server.stop(signal.SIGTERM) == 0
    finally:
        server.close()
    assert server.errors == []


# A server of which nobody hears where it listens: it is stopped as soon as it does.
STOP_AT_ONCE = """
import os, signal, sys, server
from chat.server import runtime
runtime.tune_gc = lambda: os.kill(os.getpid(), signal.SIGTERM)
sys.exit(server.main(["--host", "localhost", "--port", "0", "--db", ":memory:"]))
"""


def test_server_without_any_stream_stops_with_zero() -> None:
    """As ever."""
    assert run("<&- >&- 2>&-", "-c", STOP_AT_ONCE).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize(("script", "flag"), [("server.py", "--help"), ("client.py", "--version")])
def test_output_that_is_full_or_closed_is_a_sentence(script: str, flag: str) -> None:
    """And 1, rather than Python's own complaint at its end."""
    for redirection in (">/dev/full", ">&-"):
        done = run(redirection, script, flag)
        assert done.returncode == 1
        assert b"standard output cannot be written" in done.stderr
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("imported", ["asyncio", "grpc"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_ctrl_c_while_it_starts_is_quiet(script: str, imported: str, tmp_path: Path) -> None:
    """The program ends by the signal, which a shell shows as 130, whatever it is importing."""
    press = "import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(60)"
    (tmp_path / f"{imported}.py").write_text(press)
    done = run(NOTHING_CLOSED, script, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_input_that_does_not_block_is_waited_for(server: RunningServer) -> None:
    """Another program may have set it so, on a descriptor that both have."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    command = [sys.executable, "client.py", server.address, "--name", "ana", "--room", "slow"]
    with (
        full_client(server.address, "bia", room="slow") as bia,
        subprocess.Popen(
            command,
            stdin=reading,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=clean_environment(),
        ) as ana,
        os.fdopen(writing, "wb", buffering=0) as typed,
    ):
        os.close(reading)
        bia.wait_for_kind(KIND_JOINED)
        for line in (b"first\nsec", b"ond\n"):
            typed.write(line)
            bia.wait_for_text("first")
        bia.wait_for_text("second")
        typed.close()
        assert ana.wait(DEADLINE_SECONDS) == 0
        assert ana.stderr is not None and ana.stderr.read() == b""


LOCALES = [
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1"},
]


@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: " ".join(locale.values()))
def test_pipe_is_utf8_under_any_locale(server: RunningServer, locale: dict[str, str]) -> None:
    """A line that is not is refused, in a sentence."""
    with running_client(server, "--room", "pipe", "--history", "0", env=locale) as client:
        stdin = client.process.stdin
        assert stdin is not None
        stdin.buffer.write("não\nação\n".encode() + b"a\xffb\n")  # type: ignore[attr-defined]
        client.end_input()
        assert client.wait() == 3
        assert client.lines == ["[não]: ação"]
        assert "not text in UTF-8" in client.stderr and "Traceback" not in client.stderr


@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: " ".join(locale.values()))
def test_argument_that_is_not_utf8_is_a_sentence(locale: dict[str, str]) -> None:
    """And 2, whatever bytes Python makes of it."""
    done = subprocess.run(
        [os.fsencode(sys.executable), b"client.py", b"--name", b"a\xff"],
        cwd=ROOT,
        env=clean_environment(locale),
        capture_output=True,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1 and b"not text in UTF-8" in done.stderr
