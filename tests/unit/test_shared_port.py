"""Who may listen on a port together: the flags for it, and the marks by which servers know."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from chat.protocol.errors import ConfigError, UsageError
from chat.server import runtime
from chat.server.grpc_options import server_options
from chat.server.settings import read_flags
from chat.server.shared_port import SharedPort, check_flags

HOST = "127.0.0.1"
CLUSTER = ("--cluster", "nats://localhost")

linux_alone = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no port is shared")


@linux_alone
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--share-port",), "needs --cluster"),
        (("--share-port", *CLUSTER, "--port", "0"), "not 0"),
        (("--share-port", *CLUSTER, "--tls"), "one certificate"),
    ],
)
def test_port_is_shared_only_where_that_is_one_chat(flags: tuple[str, ...], said: str) -> None:
    """In one sentence that says what is missing."""
    with pytest.raises(UsageError, match=said):
        check_flags(read_flags(flags))


def test_port_is_shared_on_linux_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others either have no such thing or give all connections to one of the servers."""
    flags = read_flags(["--share-port", *CLUSTER])
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UsageError, match="needs Linux"):
        check_flags(flags)
    monkeypatch.setattr(sys, "platform", "linux")
    check_flags(flags)
    check_flags(read_flags(["--share-port", *CLUSTER, "--tls-cert", "c", "--tls-key", "k"]))
    check_flags(read_flags([]))


def test_grpc_shares_a_port_only_when_told_to() -> None:
    """By itself it would."""
    assert dict(server_options(10))["grpc.so_reuseport"] == 0
    assert dict(server_options(10, shares_port=True))["grpc.so_reuseport"] == 1


@contextmanager
def listening(is_shared: bool, port: int = 0) -> Iterator[int]:
    """Be some program that listens; yield its port."""
    with socket.socket() as listener:
        if is_shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((HOST, port))
        listener.listen()
        yield listener.getsockname()[1]


def free_port() -> int:
    with listening(is_shared=False) as port:
        return port


@linux_alone
@pytest.mark.parametrize("is_shared", [False, True])
def test_port_of_another_program_is_not_shared(is_shared: bool) -> None:
    """Whether or not it would let us in, and again when it is gone."""
    with (
        listening(is_shared) as port,
        closing(SharedPort(HOST, port)) as shared,
        pytest.raises(ConfigError, match=f"Port {port} is in use by a program that does not"),
    ):
        shared.claim("aa")
    with closing(SharedPort(HOST, port)) as shared:
        shared.claim("aa")


@linux_alone
def test_servers_of_one_cluster_share_a_port() -> None:
    """As long as one of them is left, whoever has begun."""
    port = free_port()
    with closing(SharedPort(HOST, port)) as first, closing(SharedPort(HOST, port)) as second:
        first.claim("aa")
        with listening(is_shared=True, port=port):
            second.claim("aa")
            first.close()
            with closing(SharedPort(HOST, port)) as third:
                third.claim("aa")
            second.close()
            with closing(SharedPort(HOST, port)) as late, pytest.raises(ConfigError):
                late.claim("aa")


@linux_alone
def test_servers_of_two_clusters_do_not_share_a_port() -> None:
    """Not even where neither listens yet; other ports are no matter."""
    port = free_port()
    with closing(SharedPort(HOST, port)) as first, closing(SharedPort(HOST, port)) as second:
        first.claim("aa")
        with pytest.raises(ConfigError, match="another cluster"):
            second.claim("aaa")
        with closing(SharedPort(HOST, free_port())) as elsewhere:
            elsewhere.claim("aaa")
        first.close()
        second.claim("aaa")


@linux_alone
def test_other_faults_of_a_shared_port_are_told_apart() -> None:
    """By trying it, as without sharing."""
    elsewhere = pytest.raises(ConfigError, match="is not an address of this machine")
    with closing(SharedPort("192.0.2.1", 50051)) as shared, elsewhere:
        shared.claim("aa")
    assert "does not share it" in runtime.explain_bind_error(HOST, 0, is_shared=True)
