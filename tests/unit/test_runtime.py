"""What the server asks of its machine: files, scheduler, collector, signals, and why it cannot."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from chat.server import runtime

needs_posix = pytest.mark.skipif(os.name == "nt", reason="limits and signals of POSIX")
SPARE = runtime.SPARE_FILES


@needs_posix
@pytest.mark.parametrize(
    ("soft", "hard", "clients", "becomes"),
    [
        (1024, 4096, 10, None),
        (100 + SPARE, 4096, 100, None),
        (99 + SPARE, 4096, 100, 100 + SPARE),
        (1024, 4096, 10_000, 4096),
        (1024, -1, 10_000, 10_000 + SPARE),
        (-1, -1, 10_000, None),
    ],
    ids=["enough", "just enough", "one too few", "all there are", "no hard limit", "no limit"],
)
def test_file_limit_is_raised_as_far_as_needed_and_possible(
    soft: int,
    hard: int,
    clients: int,
    becomes: int | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Never lowered; where it stays too low the operator is told."""
    import resource

    made: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "RLIM_INFINITY", -1)
    monkeypatch.setattr(resource, "getrlimit", lambda what: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: made.append((what, limits)))
    runtime.raise_file_limit(clients)
    wanted = [] if becomes is None else [(resource.RLIMIT_NOFILE, (becomes, hard))]
    assert made == wanted
    is_too_low = becomes is not None and becomes < clients + SPARE
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * is_too_low


@needs_posix
def test_file_limit_that_cannot_be_raised_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some systems allow less than they say."""
    import resource

    def refuse(what: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda what: (10, 1_000_000))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    runtime.raise_file_limit(1000)


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux has it")
def test_batch_scheduling_is_asked_for_where_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """For this very process; a refusal is none of our business."""
    asked: list[tuple[Any, ...]] = []

    def refuse(*arguments: Any) -> None:
        asked.append(arguments)
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    runtime.use_batch_scheduling()
    ((process, policy, parameters),) = asked
    assert (process, policy, parameters.sched_priority) == (0, os.SCHED_BATCH, 0)


def test_cycles_are_looked_for_rarely() -> None:
    """What is there at the start is not looked at again."""
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        runtime.tune_gc()
        assert gc.get_threshold()[0] == runtime.COLLECT_OBJECTS
        assert gc.get_freeze_count() > frozen
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def test_port_in_use_and_other_faults_are_told_apart() -> None:
    """By trying it: gRPC only says that it could not."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert "in use" in runtime.explain_bind_error("127.0.0.1", port)
    assert "not an address" in runtime.explain_bind_error("192.0.2.1", 0)
    assert "in use" in runtime.explain_bind_error("127.0.0.1", 0)  # free by now


def test_port_of_the_system_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may listen there is not asked: a refusal is EACCES."""

    class Refused(socket.socket):
        def bind(self, address: Any) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refused)
    assert "above 1023" in runtime.explain_bind_error("127.0.0.1", 80)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_host_in_brackets_is_an_address_of_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """As gRPC writes it."""
    asked: list[tuple[Any, Any]] = []

    class Asked(socket.socket):
        def bind(self, address: Any) -> None:
            asked.append((self.family, address))

    monkeypatch.setattr(socket, "socket", Asked)
    runtime.explain_bind_error("[::1]", 0)
    runtime.explain_bind_error("127.0.0.1", 0)
    assert asked == [(socket.AF_INET6, ("::1", 0)), (socket.AF_INET, ("127.0.0.1", 0))]


def test_addresses_are_those_that_others_may_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of IPv4, neither the machine's own loopback nor what it gave itself for want of a network."""
    known = ["127.0.0.1", "192.0.2.7", "169.254.1.2", "10.0.0.7"]
    ips = [SimpleNamespace(ip=ip, is_IPv4=True) for ip in known]
    ips.append(SimpleNamespace(ip=("fe80::1", 0, 1), is_IPv4=False))
    adapters = [SimpleNamespace(ips=ips[:2]), SimpleNamespace(ips=ips[2:])]
    ifaddr = SimpleNamespace(get_adapters=lambda: adapters)
    monkeypatch.setitem(sys.modules, "ifaddr", ifaddr)
    assert runtime.addresses() == ["192.0.2.7", "10.0.0.7"]


def test_without_ifaddr_the_address_is_that_of_the_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """None where there is no route."""
    monkeypatch.setitem(sys.modules, "ifaddr", None)
    has_route = True

    class Routed(socket.socket):
        def connect(self, address: Any) -> None:
            if not has_route:
                raise OSError("Network is unreachable")

        def getsockname(self) -> Any:
            return ("192.0.2.7", 9)

    monkeypatch.setattr(socket, "socket", Routed)
    assert runtime.addresses() == ["192.0.2.7"]
    has_route = False
    assert runtime.addresses() == []


@pytest.mark.parametrize(("platform", "has_uvloop"), [("linux", True), ("win32", False)])
def test_what_can_be_missing_is_what_this_system_could_have(
    platform: str, has_uvloop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop is not for Windows: nobody is told there to install it."""
    monkeypatch.setattr(sys, "platform", platform)
    assert ("uvloop" in runtime.optional_features()) is has_uvloop


@pytest.mark.parametrize(
    ("server", "client"),
    [("server.py", "python client.py"), ("/opt/bin/chat-server", "chat-client")],
)
def test_client_is_started_as_the_server_was(
    monkeypatch: pytest.MonkeyPatch, server: str, client: str
) -> None:
    """Whoever has installed the package has no client.py to type."""
    monkeypatch.setattr(sys, "argv", [server])
    assert runtime.client_command() == client
