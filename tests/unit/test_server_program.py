"""The server as a program: what it asks of the machine, what it prints, how it ends."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

import server
from chat.protocol.errors import ConfigError
from chat.server import runtime
from chat.server.log.base import LogError, Problem
from chat.server.settings import read_flags
from chat.server.shutdown import Shutdown
from chat.server.supervisor import ServerFailure


class FakeServer:
    """Starts and stops, and notes of what and how it was made."""

    made: list[FakeServer] = []
    fingerprint = ""
    client_flags = ""
    unguarded_names = 0
    has_bare_token = False

    def __init__(self, flags: Namespace, make_service: object, *show: Any) -> None:
        self.show = show
        self.is_running = False
        FakeServer.made.append(self)

    async def start(self) -> int:
        self.is_running = True
        return 7

    def notes(self) -> list[str]:
        return []

    def is_saving(self) -> bool:
        return False

    async def wait_for_failure(self) -> Exception:
        await asyncio.Event().wait()
        raise AssertionError("nothing ends this")

    async def stop(self) -> None:
        assert self.is_running
        self.is_running = False


@pytest.fixture
def asked_to_stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shutdown]:
    """As after a signal, which this process is spared."""
    shutdown = Shutdown()
    monkeypatch.setattr(shutdown, "watch_signals", lambda: None)
    shutdown.requested.set()
    yield shutdown
    shutdown.close()


class Console:
    """What was printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def print(self, *lines: str) -> None:
        self.lines += lines

    def begin(self, *lines: str) -> None:
        self.lines += lines

    def show(self, room: str, messages: Any) -> None:
        raise AssertionError("nobody speaks")


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was asked of the machine, instead of asking it."""
    asked: list[object] = []
    monkeypatch.setattr(runtime, "raise_file_limit", asked.append)
    monkeypatch.setattr(runtime, "use_batch_scheduling", lambda: asked.append("batch"))
    monkeypatch.setattr(runtime, "tune_gc", lambda: asked.append("gc"))
    return asked


@pytest.mark.parametrize("host", ["localhost", "[::]"])
async def test_server_runs_until_it_is_told_to_stop(
    host: str,
    tuned: list[object],
    asked_to_stop: Shutdown,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says its port, and what to type on other machines where they can reach it."""
    monkeypatch.setattr(server, "Server", FakeServer)
    monkeypatch.setattr(runtime, "addresses", lambda: ["192.0.2.7"])
    console: Any = Console()
    await server.serve(read_flags(["--host", host]), console, asked_to_stop)
    elsewhere = (
        ["From another machine: python client.py 192.0.2.7:7 --lang en"] if host == "[::]" else []
    )
    first, last = "gRPC server running on port 7...", "The server is stopping..."
    assert console.lines == [first, *elsewhere, last]
    assert FakeServer.made[-1].show == (console.show,) and not FakeServer.made[-1].is_running
    assert tuned == ["gc"]


async def test_server_that_lost_its_port_ends_and_says_so(
    tuned: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would serve nobody who is not there yet; `main` makes 1 of it."""

    class Failing(FakeServer):
        async def wait_for_failure(self) -> Exception:
            return ServerFailure("--port")

    shutdown = Shutdown()
    monkeypatch.setattr(server, "Server", Failing)
    monkeypatch.setattr(shutdown, "watch_signals", lambda: None)
    console: Any = Console()
    with pytest.raises(ServerFailure, match="--port"):
        await server.serve(read_flags(["--host", "localhost"]), console, shutdown)
    shutdown.close()
    assert not FakeServer.made[-1].is_running


async def test_server_whose_log_is_gone_says_where_it_was_saved(
    tuned: list[object], asked_to_stop: Shutdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that is found by the stop itself."""

    class Failing(FakeServer):
        async def stop(self) -> None:
            raise LogError(Problem.SAVED, "chat.db", "chat.db-rescued")

    monkeypatch.setattr(server, "Server", Failing)
    console: Any = Console()
    with pytest.raises(ServerFailure, match=r"chat\.db was removed .* is in chat\.db-rescued\."):
        await server.serve(read_flags(["--host", "localhost"]), console, asked_to_stop)


@pytest.mark.parametrize(("host", "is_told"), [("[::]", True), ("127.0.0.1", False)])
async def test_server_whose_token_nobody_would_send_says_so(
    host: str, is_told: bool, asked_to_stop: Shutdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of a line that works nowhere; on the machine itself a token may go as it is."""
    monkeypatch.setattr(server, "Server", FakeServer)
    monkeypatch.setattr(FakeServer, "has_bare_token", True)
    monkeypatch.setattr(runtime, "addresses", lambda: ["192.0.2.7"])
    console: Any = Console()
    await server.serve(read_flags(["--host", host]), console, asked_to_stop)
    assert any("in the clear" in line and "--tls" in line for line in console.lines) == is_told
    assert not any("From another machine" in line for line in console.lines)


@pytest.mark.parametrize(("has_tls", "flag"), [(True, "--own-names"), (False, "--tls")])
async def test_server_says_that_names_are_anybodys(
    has_tls: bool, flag: str, asked_to_stop: Shutdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where some belong to somebody, and it was told not to care, or has no TLS."""

    class Open(FakeServer):
        unguarded_names = 2

    if has_tls:
        monkeypatch.setattr(Open, "fingerprint", "0" * 64)

    monkeypatch.setattr(server, "Server", Open)
    console: Any = Console()
    await server.serve(read_flags(["--host", "localhost"]), console, asked_to_stop)
    assert f"2 names belong to somebody, but without {flag} anybody" in console.lines[-2]


async def test_quiet_server_shows_nothing(
    tuned: list[object], asked_to_stop: Shutdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not even told."""
    monkeypatch.setattr(server, "Server", FakeServer)
    console: Any = Console()
    await server.serve(read_flags(["--quiet", "--host", "localhost"]), console, asked_to_stop)
    assert FakeServer.made[-1].show == ()


def test_program_prepares_its_machine_and_ends_with_zero(
    tuned: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files for its clients, the scheduler; what is not installed is told in a line."""

    def run(program: Coroutine[Any, Any, None]) -> None:
        program.close()
        tuned.append("run")

    monkeypatch.setattr(runtime, "run", run)
    monkeypatch.setattr(runtime, "optional_features", lambda: {"no_such_package": "wings"})
    assert server.main(["--max-clients", "7"]) == 0
    assert tuned == [7, "batch", "run"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "wings" in said


@pytest.mark.parametrize("error", [ConfigError("Do this."), ServerFailure("Do this.")])
def test_what_the_user_must_fix_is_one_sentence_and_one(
    error: Exception,
    tuned: list[object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On standard error; no traceback."""

    def run(program: Coroutine[Any, Any, None]) -> None:
        program.close()
        raise error

    monkeypatch.setattr(runtime, "run", run)
    monkeypatch.setattr(runtime, "optional_features", dict)
    assert server.main([]) == 1
    assert capsys.readouterr().err == "Do this.\n"
