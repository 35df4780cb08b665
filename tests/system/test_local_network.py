"""Servers that are found on a local network: two machines, a cable between them.

Needs Linux, and root for network namespaces; skipped where that is missing, but in CI.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from person import Person
from support import IS_CI, Program, RunningServer, eventually
from test_addresses import IS_ROOT_ON_LINUX

pytestmark = pytest.mark.skipif(
    not IS_ROOT_ON_LINUX and not IS_CI, reason="needs root on Linux: network namespaces"
)
SERVER_FLAGS = ("--port", "0", "--db", ":memory:", "--announce", "Turma 3B")
DISCOVER = ("client.py", "--discover")
# Each look takes seconds, and the first one mostly comes too early.
FIND_SECONDS = 60.0


# Announces, again and again, what no program of ours would, and sends what is no DNS.
STRANGER = """
import socket, time
from zeroconf import DNSAddress, DNSOutgoing, DNSPointer, DNSService
TYPE, GROUP = "_grpc-chat._tcp.local.", ("224.0.0.251", 5353)
sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
interface = socket.inet_aton("192.168.77.1")
sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
sending.bind(("192.168.77.1", 0))
while True:
    for number, address in enumerate(("8.8.8.8", "192.168.77.1")):
        name = f"\\x1b[2J{number}.{TYPE}"
        answer = DNSOutgoing(0x8400)
        answer.add_answer_at_time(DNSPointer(TYPE, 12, 1, 60, name), 0)
        answer.add_answer_at_time(DNSService(name, 33, 1, 60, 0, 0, 1, "evil.local."), 0)
        answer.add_answer_at_time(DNSAddress("evil.local.", 1, 1, 60, socket.inet_aton(address)), 0)
        for packet in (*answer.packets(), bytes(200)):
            sending.sendto(packet, GROUP)
    print("said", flush=True)
    time.sleep(0.5)
"""


class Machine:
    """A network namespace; `close()` takes it away."""

    def __init__(self, name: str) -> None:
        self.name = f"chat{os.getpid()}{name}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link", "set", "lo", "up")

    def ip(self, *command: str) -> None:
        subprocess.run(["ip", "-n", self.name, *command], check=True)

    def join(self, cable: str, address: str) -> None:
        """Plug in one end of a cable."""
        self.ip("addr", "add", f"{address}/24", "dev", cable)
        self.ip("link", "set", cable, "up")

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs Python here."""
        return ["ip", "netns", "exec", self.name, sys.executable, *arguments]

    def close(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


def require_ip() -> None:
    """Skip the test where there is no iproute2; in CI it fails."""
    if not shutil.which("ip"):
        assert not IS_CI, "iproute2 is missing"
        pytest.skip("needs ip (iproute2)")


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Machine, Machine]]:
    """Two, with a cable between them."""
    require_ip()
    with closing(Machine("a")) as first, closing(Machine("b")) as second:
        first.ip("link", "add", "cable", "type", "veth", "peer", "cable", "netns", second.name)
        first.join("cable", "192.168.77.1")
        second.join("cable", "192.168.77.2")
        yield first, second


def found_by(machine: Machine, *flags: str) -> list[str]:
    """Return what a program on a machine is told of servers."""
    with closing(Program(machine.command(*DISCOVER, *flags))) as client:
        client.wait()
        return list(client.lines)


def test_server_is_found_from_another_machine_and_joined(
    machines: tuple[Machine, Machine],
) -> None:
    """By its number in a list, and nobody types an address; when it ends, it is there no more.

    Whatever a stranger announces meanwhile.
    """
    here, there = machines
    with (
        closing(Program(here.command("-c", STRANGER))) as stranger,
        closing(RunningServer(here.command("server.py", *SERVER_FLAGS))) as server,
    ):
        stranger.wait_for_line("said")
        line = f"Turma 3B  192.168.77.1:{server.port}  not encrypted  0 people"
        eventually(lambda: found_by(there) == [line], FIND_SECONDS, server.report)
        command = there.command(*DISCOVER, "--name", "ana")
        arguments = ["-c", f"import os; os.execvp('ip', {command!r})"]
        with closing(Person(arguments, 80, 24, {"TERM": "dumb"})) as ana:
            ana.wait_for("Number of the server:")
            assert f"1  {line}" in ana.screen
            ana.type("1\r")
            ana.type("oi\r")
            server.wait_for_line("[ana]: oi")
            ana.type("/quit\r")
            assert ana.wait() == 0
        assert server.stop(signal.SIGTERM) == 0, server.report()
        assert not server.errors
    assert found_by(there) == []


def test_machine_without_a_network_is_told_so() -> None:
    """Within seconds, client and server; the server serves its own machine all the same."""
    with (
        closing(Machine("c")) as alone,
        closing(RunningServer(alone.command("server.py", *SERVER_FLAGS))) as server,
        closing(Program(alone.command(*DISCOVER))) as client,
    ):
        assert client.wait() == 1
        (line,) = client.errors
        assert re.match("No server was found|Servers cannot be looked for", line)
        server.wait_for_error("Nothing is announced")
        address = f"localhost:{server.port}"
        with closing(Program(alone.command("client.py", address, "--name", "ana"))) as ana:
            ana.type("oi")
            ana.wait_for_line("[ana]: oi")
