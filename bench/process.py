"""Servers and load generators as processes, each on a core of its own. Linux, since it reads /proc.

`run.py` says what to start; nothing here knows what is measured.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from command_line import BenchError
from load import Plan, Report

ROOT = Path(__file__).resolve().parent.parent
# What bench/peers/Makefile builds.
GRPC_CLIENT, GO_SERVER = "build/peers/client", "build/peers/twin"
START_SECONDS = 30.0
MAX_SAID_BYTES = 1 << 16
PORT = re.compile(r"(\d+)\.\.\.\s*$")
_cores = sorted(os.sched_getaffinity(0))
SERVER_CORE, GENERATOR_CORE = _cores[-1], _cores[0]
ALL_CORES = frozenset(_cores)
# A load average above which other programs take part in what is measured.
BUSY_LOAD = 0.5


class NotStartedError(BenchError):
    """A server did not come to listen."""


def on_one_core() -> bool:
    """Say whether server and generator have to share their core: then no figure is worth much."""
    return SERVER_CORE == GENERATOR_CORE


def warn_of_noise() -> None:
    """Say what makes figures of this machine, at this time, worth less."""
    if on_one_core():
        print("only one core: server and generator disturb each other", file=sys.stderr)
    if os.getloadavg()[0] > BUSY_LOAD:
        print(
            f"the machine is busy (load {os.getloadavg()[0]:.1f}, quiet is below {BUSY_LOAD}):"
            " expect noise, and measure again later",
            file=sys.stderr,
        )


def seed(clients: int) -> list[str]:
    """Return the command of the seed's server, with a thread for each client and a few more."""
    return [sys.executable, "tests/peers/old_server.py", "0", str(clients + 10)]


def chat(db: str, script: str = "server.py", max_clients: int = 10_100) -> list[str]:
    """Return the command of our server, without a limit to what a client sends."""
    flags = ["--port", "0", "--rate", "0", "--lang", "en", "--max-clients", str(max_clients)]
    return [sys.executable, script, *flags, "--db", db]


def peer(name: str, *arguments: str) -> list[str]:
    """Return the command of one of the bare peers."""
    return [sys.executable, "bench/peers.py", name, *arguments]


def _pin(cores: Set[int]) -> None:
    os.sched_setaffinity(0, cores)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which no variable of ours is set but `extra`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CHAT_")}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **extra}


def free_port() -> int:
    """Return a port where nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    cores: Set[int] = frozenset({SERVER_CORE}),
) -> Iterator[Plan]:
    """Run a server; yield a plan with its port and process id. Killed at the end.

    Ctrl-C does not reach it. What it says on standard error comes when it has ended.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=errors,
            cwd=ROOT,
            env=_environment(environment or {}),
            preexec_fn=lambda: _pin(cores),
            start_new_session=True,
        )
        try:
            yield Plan(port=_port(process, output, errors), pid=process.pid, clients=0)
        finally:
            process.kill()
            process.wait()
            if not isinstance(sys.exc_info()[1], (NotStartedError, KeyboardInterrupt)):
                sys.stderr.write(_said(errors))


def _said(output: IO[bytes]) -> str:
    """Return what a process has written so far."""
    return os.pread(output.fileno(), MAX_SAID_BYTES, 0).decode(errors="replace")


def _port(process: subprocess.Popen[bytes], output: IO[bytes], errors: IO[bytes]) -> int:
    """Wait for the first line of the server's output and return the port that it names."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        first, newline, _rest = _said(output).partition("\n")
        if newline and (match := PORT.search(first)):
            return int(match[1])
        time.sleep(0.02)
    lines = _said(errors).splitlines() or [f"not within {START_SECONDS:.0f} seconds"]
    raise NotStartedError(f"a server did not start: {lines[-1]}")


def generate(plan: Plan, script: str = "bench/load.py") -> Report:
    """Run the load generator, or its check, with `plan` and return its report."""
    command = [sys.executable, script, json.dumps(asdict(plan))]
    return _report(*command)


def generate_by_grpc(plan: Plan) -> Report:
    """Run the load generator of real gRPC clients, which `make -C bench/peers client` builds.

    It refuses what it does not know of a plan, so that it is told what is unlike the defaults.
    """
    defaults = asdict(Plan(0, 0, 0))
    told = {name: value for name, value in asdict(plan).items() if value != defaults[name]}
    return _report(GRPC_CLIENT, json.dumps(told))


def _report(*command: str) -> Report:
    output = _output(GENERATOR_CORE, *command)
    try:
        return Report(**json.loads(output))
    except ValueError:
        raise BenchError(f"the load generator gave no report: {ascii(output[:80])}") from None


def commit_ms(directory: str) -> float:
    """Return the median time of one commit of one message, on the server's core."""
    return float(_output(SERVER_CORE, *peer("commit"), directory))


def _output(core: int, *arguments: str) -> bytes:
    """Run a program of the bench on one core, out of Ctrl-C's reach, and return what it prints."""
    process = subprocess.run(
        arguments,
        capture_output=True,
        cwd=ROOT,
        check=False,
        preexec_fn=lambda: _pin({core}),
        start_new_session=True,
    )
    said = process.stderr.decode(errors="replace")
    if process.returncode:
        reason = (said.splitlines() or [f"exit code {process.returncode}"])[-1]
        raise BenchError(f"{Path(arguments[-2]).name} failed: {reason}")
    sys.stderr.write(said)
    return process.stdout
