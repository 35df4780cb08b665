"""Names and addresses that are not as one would wish: some dead, some that move, some unknown.

Needs Linux, and root for a network namespace with a hosts file of its own; skipped where that is
missing, but in CI.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import IS_CI, ROOT, Program, RunningServer

IS_ROOT_ON_LINUX = sys.platform == "linux" and os.geteuid() == 0
PORT = 4000  # nobody else is there
DEAD = "2001:db8::2"  # on a link that answers nothing

pytestmark = pytest.mark.skipif(
    not IS_ROOT_ON_LINUX and not IS_CI, reason="needs root on Linux: network namespaces"
)


class Machine:
    """A machine of its own, with a link into the void; `close()` takes it away.

    `ip netns exec` puts the files of its folder over those in /etc (ip-netns(8)).
    """

    def __init__(self) -> None:
        self._name = f"chat{os.getpid()}v"
        self._folder = Path("/etc/netns", self._name)
        self._folder.mkdir(parents=True)
        self.name_is("localhost", "127.0.0.1")
        # Where nobody listens: what the hosts file does not know is not found, at once.
        (self._folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        subprocess.run(["ip", "netns", "add", self._name], check=True)
        for command in (
            ("link", "set", "lo", "up"),
            ("link", "add", "void", "type", "veth", "peer", "name", "hole"),
            ("link", "set", "void", "arp", "off"),
            ("addr", "add", "2001:db8::1/64", "dev", "void", "nodad"),
            ("link", "set", "hole", "up"),
            ("link", "set", "void", "up"),
        ):
            subprocess.run(["ip", "-n", self._name, *command], check=True)

    def name_is(self, name: str, *addresses: str) -> None:
        """Let `name`, and no other, lead to `addresses`."""
        lines = "".join(f"{address} {name}\n" for address in addresses)
        (self._folder / "hosts").write_text(lines)

    def server(self, host: str, db: Path) -> RunningServer:
        flags = ("--host", host, "--port", str(PORT), "--db", str(db))
        return RunningServer([*self._inside, "server.py", *flags])

    def run(self, code: str) -> list[str]:
        """Run a program in Python there; what it prints."""
        command = [*self._inside, "-c", code]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        return done.stdout.split()

    def client(self, host: str, name: str) -> Program:
        return Program([*self._inside, "client.py", f"{host}:{PORT}", "--name", name])

    @property
    def _inside(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self._name, sys.executable)

    def close(self) -> None:
        subprocess.run(["ip", "netns", "del", self._name], check=False, capture_output=True)
        shutil.rmtree(self._folder)


@pytest.fixture
def machine() -> Iterator[Machine]:
    if not shutil.which("ip"):
        assert not IS_CI, "iproute2 is missing"
        pytest.skip("needs ip (iproute2)")
    with closing(Machine()) as one:
        yield one


def test_dead_address_of_a_name_does_not_hide_the_live_one(
    machine: Machine, tmp_path: Path
) -> None:
    """One that swallows all comes first; the other one is tried meanwhile (RFC 8305)."""
    machine.name_is("both", DEAD, "127.0.0.1")
    with (
        closing(machine.server("127.0.0.1", tmp_path / "chat.db")),
        closing(machine.client("both", "ana")) as ana,
    ):
        ana.type("oi")
        ana.wait_for_line("[ana]: oi")
        ana.end_input()
        assert ana.wait() == 0


def test_name_that_is_unknown_for_a_while_and_leads_elsewhere_then_is_found_again(
    machine: Machine, tmp_path: Path
) -> None:
    """Every attempt looks the name up anew; nothing is lost meanwhile, and nothing said twice."""
    db = tmp_path / "chat.db"
    machine.name_is("moving", "127.0.0.1")
    first = machine.server("127.0.0.1", db)
    with closing(first), closing(machine.client("moving", "ana")) as ana:
        ana.type("before")
        ana.wait_for_line("[ana]: before")
        machine.name_is("moving")
        first.close()
        ana.wait_for_error("* Connection lost: the server does not answer")
        ana.type("meanwhile")
        with closing(machine.server("127.0.0.2", db)):
            machine.name_is("moving", "127.0.0.2")
            ana.wait_for_error("* Reconnected.")
            ana.wait_for_line("[ana]: meanwhile")
            ana.end_input()
            assert ana.wait() == 0
    assert [line.partition("]: ")[2] for line in ana.lines] == ["before", "meanwhile"]
    assert len(ana.errors) == 2


# Prints the log that each of twenty sessions finds.
WHOSE_LOGS = f"""
from chat.client import Session
for number in range(20):
    with Session("all:{PORT}", f"ana{{number}}") as session:
        session.send("oi")
        next(iter(session))
        print(session.place.epoch)
"""


def test_clients_spread_over_the_machines_behind_a_name(machine: Machine, tmp_path: Path) -> None:
    """Not all go to the first one; one that is dead costs nobody anything."""
    machine.name_is("all", "127.0.0.1", "127.0.0.2", "127.0.0.3")
    with (
        closing(machine.server("127.0.0.1", tmp_path / "1.db")),
        closing(machine.server("127.0.0.3", tmp_path / "3.db")),
    ):
        found = machine.run(WHOSE_LOGS)
        assert len(found) == 20 and len(set(found)) == 2


def test_machine_that_is_killed_is_left_for_another_one_of_its_name(
    machine: Machine, tmp_path: Path
) -> None:
    """With everything, since that has the same log."""
    machine.name_is("both", "127.0.0.1", "127.0.0.2")
    first = machine.server("127.0.0.1", tmp_path / "chat.db")
    with closing(first), closing(machine.client("both", "ana")) as ana:
        ana.type("before")
        ana.wait_for_line("[ana]: before")
        first.process.kill()
        ana.wait_for_error("* Connection lost: the server does not answer")
        ana.type("meanwhile")
        with closing(machine.server("127.0.0.2", tmp_path / "chat.db")):
            ana.wait_for_error("* Reconnected.")
            ana.wait_for_line("[ana]: meanwhile")
            ana.end_input()
            assert ana.wait() == 0
