"""Server programs of a cluster behind one port: who gets which clients, and who may not have it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from natsd import Natsd, running_nats, stable_ports
from support import (
    Client,
    RunningServer,
    eventually,
    full_client,
    running_program,
    running_server,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no port is shared")

# By hash each connection goes to either of two: all to one is as good as impossible.
MAX_CLIENTS = 60


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Natsd]:
    """One nats-server."""
    with running_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


def start_refused(*flags: str) -> str:
    """Return the one sentence by which a server does not start."""
    with running_program("server.py", "--lang", "en", "--host", "localhost", *flags) as server:
        assert server.wait() == 1, server.report()
        assert len(server.errors) == 1, server.report()
        return server.stderr


def home_of(name: str, servers: Sequence[RunningServer]) -> RunningServer:
    """Return the server at which a client came in, by the line that says so."""

    def found() -> list[RunningServer]:
        return [one for one in servers if any(f" name={name} " in line for line in one.errors)]

    eventually(lambda: bool(found()))
    return found()[0]


def test_servers_share_a_port(nats: Natsd, tmp_path: Path) -> None:
    """Each has some of the clients; when one stops, newcomers and those it had find the other."""
    port = stable_ports(1)[0]
    flags = ("--cluster", nats.url, "--share-port", "--verbose")
    one, two = tmp_path / "one.db", tmp_path / "two.db"
    with ExitStack() as stack:
        first = stack.enter_context(running_server(*flags, db=one, port=port))
        second = stack.enter_context(running_server(*flags, db=two, port=port))
        assert first.port == second.port == port
        homes: dict[RunningServer, Client] = {}
        for number in range(MAX_CLIENTS):
            session = f"{number:032x}"
            client = stack.enter_context(full_client(first.address, f"c{number}", session=session))
            homes.setdefault(home_of(client.user, (first, second)), client)
            if len(homes) == 2:
                break
        homes[first].say("oi", key="1")
        homes[second].wait_for_text("oi")
        refused = ("--port", str(port), "--cluster", nats.url, "--db")
        assert f"Port {port} is in use by another" in start_refused(*refused, ":memory:")
        assert f"has {one} open" in start_refused(*refused, str(one), "--share-port")
        assert second.stop() == 0
        session = f"{int(homes[second].user[1:]):032x}"
        with full_client(first.address, homes[second].user, session=session) as back:
            back.say("de volta", key="2")
            homes[first].wait_for_text("de volta")


def test_port_of_another_cluster_is_refused(nats: Natsd, tmp_path: Path) -> None:
    """gRPC would share it in silence, and the chat would be two."""
    port = stable_ports(1)[0]
    flags = ("--port", str(port), "--share-port", "--cluster")
    with (
        running_server("--cluster", nats.url, "--share-port", port=port),
        running_nats(tmp_path / "nats") as other,
    ):
        said = start_refused(*flags, other.url, "--db", str(tmp_path / "chat.db"))
        assert "another cluster" in said
