"""Several machines on one network: two servers, NATS and three clients; a server's cable is pulled.

Needs Linux, and root for network namespaces; skipped where that is missing, but in CI.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from natsd import find_nats_server
from support import IS_CI, Program, RunningServer, eventually
from test_addresses import IS_ROOT_ON_LINUX
from test_local_network import FIND_SECONDS, Machine, found_by, require_ip

pytestmark = pytest.mark.skipif(
    not IS_ROOT_ON_LINUX and not IS_CI, reason="needs root on Linux: network namespaces"
)
NETWORK = "192.168.78"
# By the last number of the address.
MACHINES = {"nats": 1, "one": 2, "other": 3, "ana": 4, "bia": 5, "caio": 6}
SERVERS = ("one", "other")
PEOPLE = ("ana", "bia", "caio")
PORT = 50061
NATS_PORT = 4222
# A server that is cut off is found out by whoever waits for it to take something, or by its silence
# (README); four times that, since machines that run tests are busy.
CUT_OFF_SECONDS = 120.0


class Network:
    """Machines with a cable each, all in one switch."""

    def __init__(self, stack: ExitStack) -> None:
        self._switch = stack.enter_context(closing(Machine("switch")))
        self._switch.ip("link", "add", "bridge", "type", "bridge", "mcast_snooping", "0")
        self._switch.ip("link", "set", "bridge", "up")
        self.machines: dict[str, Machine] = {}
        for name, number in MACHINES.items():
            self.machines[name] = machine = stack.enter_context(closing(Machine(name)))
            peer = ("peer", "name", "cable", "netns", machine.name)
            self._switch.ip("link", "add", name, "type", "veth", *peer)
            self._switch.ip("link", "set", name, "master", "bridge", "up")
            machine.join("cable", f"{NETWORK}.{number}")

    def pull_cable(self, name: str) -> None:
        """Cut a machine off, without a word to anybody."""
        self._switch.ip("link", "set", name, "down")

    def plug_in(self, name: str) -> None:
        """Put the cable in again."""
        self._switch.ip("link", "set", name, "up")


def address_of(server: str) -> str:
    """Return where clients find a server."""
    return f"{NETWORK}.{MACHINES[server]}:{PORT}"


ADDRESSES = ",".join(map(address_of, SERVERS))


@pytest.fixture
def network() -> Iterator[Network]:
    """A switch and all machines."""
    require_ip()
    with ExitStack() as stack:
        yield Network(stack)


def start_nats(machine: Machine, folder: Path) -> Program:
    """Start a nats-server that the whole network reaches."""
    command = ["ip", "netns", "exec", machine.name, find_nats_server()]
    flags = ["-a", f"{NETWORK}.{MACHINES['nats']}", "-p", str(NATS_PORT)]
    program = Program([*command, *flags, "-js", "-sd", str(folder)])
    program.wait_for_error("Server is ready")
    return program


def start_server(machine: Machine, name: str, folder: Path) -> RunningServer:
    """Start a server of the cluster."""
    url = f"nats://{NETWORK}.{MACHINES['nats']}:{NATS_PORT}"
    flags = ("--port", str(PORT), "--db", str(folder / f"{name}.db"), "--cluster", url)
    return RunningServer(machine.command("server.py", *flags, "--announce", f"Turma {name}"))


def said(program: Program) -> list[str]:
    """Return what somebody has seen to be said."""
    return [line for line in list(program.lines) if line.startswith("[")]


def is_said_to_all(people: Mapping[str, Program], text: str) -> None:
    """Have everybody say something, and wait until everybody has seen it of everybody."""
    for program in people.values():
        program.type(text)
    lines = {f"[{name}]: {text}" for name in people}
    eventually(
        lambda: all(lines <= {*said(program)} for program in people.values()),
        CUT_OFF_SECONDS,
        lambda: [program.report() for program in people.values()],
    )


def test_pulled_cable_costs_nothing(network: Network, tmp_path: Path) -> None:
    """Both servers are found; who was at one goes on at the other, under the same name.

    The server that is cut off says so, and serves again when its cable is back: with all that was
    said meanwhile, and without disturbing anybody.
    """
    machines = network.machines
    with ExitStack() as stack:
        stack.enter_context(closing(start_nats(machines["nats"], tmp_path / "nats")))
        servers = {
            name: stack.enter_context(closing(start_server(machines[name], name, tmp_path)))
            for name in SERVERS
        }
        lines = [f"Turma {name}  {address_of(name)}  not encrypted  0 people" for name in SERVERS]
        eventually(lambda: sorted(found_by(machines["ana"])) == sorted(lines), FIND_SECONDS)
        people = {}
        for name in PEOPLE:
            command = machines[name].command("client.py", ADDRESSES, "--name", name)
            people[name] = stack.enter_context(closing(Program(command)))
            people[name].wait_for_error("Connected to")
        is_said_to_all(people, "before")
        first = next(name for name in SERVERS if address_of(name) in people["ana"].stderr)
        (second,) = {*SERVERS} - {first}
        network.pull_cable(first)
        is_said_to_all(people, "meanwhile")
        people["ana"].wait_for_error(f"Reconnected, to {address_of(second)}")
        servers[first].wait_for_error("is not available", CUT_OFF_SECONDS)
        network.plug_in(first)
        servers[first].wait_for_error("is available again", CUT_OFF_SECONDS)
        dina = ("--name", "dina", "--history", "20")
        command = machines["bia"].command("client.py", address_of(first), *dina)
        people["dina"] = stack.enter_context(closing(Program(command)))
        eventually(lambda: len(said(people["dina"])) == 6, what=people["dina"].report)
        is_said_to_all(people, "after")
        assert said(people["ana"]) == said(people["bia"]) == said(people["caio"])
        assert len(said(people["ana"])) == 10
        for name in PEOPLE:
            assert people[name].stderr.count("lost") <= 1, people[name].report()
