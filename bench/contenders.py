"""The servers that ours is held against, and the clients that load them. `peers_study.py` measures.

The seed's design, the same in Go (bench/peers/twin.go), ngircd, and ours.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import process
from cells import our_server
from equipment import GO_SERVER, GRPC_CLIENTS, NGIRCD, Equipment, which
from load import Plan, Report

START_SECONDS = 10.0
# ngircd lets ten connections wait; the kernel tries the others again after seconds.
IRC_JOINS_PER_SECOND = 200.0
# All limits that there are, taken away; what it warns of in its log is no matter here.
NGIRCD_SETTINGS = """
[Global]
Name = bench.invalid
Info = bench
Listen = 127.0.0.1
Ports = {port}
MotdFile = /dev/null
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxPenaltyTime = 0
PingTimeout = 3600
[Options]
DNS = no
Ident = no
PAM = no
"""


@dataclass(frozen=True)
class Generator:
    """Who the clients are."""

    name: str
    run: Callable[[Plan], Report]
    equipment: Equipment | None = None


def generate_irc(plan: Plan) -> Report:
    """Load an IRC server."""
    return process.generate(replace(plan, join_rate=IRC_JOINS_PER_SECOND), "bench/irc_load.py")


BENCH = Generator("bench", process.generate)
GRPC = Generator("gRPC", process.generate_by_grpc, GRPC_CLIENTS)
IRC = Generator("IRC", generate_irc)


@dataclass(frozen=True)
class Peer:
    """A server; `start` runs it for so many clients."""

    name: str
    start: Callable[[int], AbstractContextManager[Plan]]
    generators: Sequence[Generator] = (BENCH, GRPC)
    equipment: Equipment | None = None
    is_batch: bool = False


@contextmanager
def ngircd(_clients: int) -> Iterator[Plan]:
    """Run an IRC server; it does not say when it listens, so that is tried."""
    with tempfile.TemporaryDirectory(prefix="chat-bench-") as folder:
        port = process.free_port()
        settings = Path(folder) / "ngircd.conf"
        settings.write_text(NGIRCD_SETTINGS.format(port=port), encoding="ascii")
        words = f"echo ngircd running on port {port}...; exec {which('ngircd')} -n -f {settings}"
        with process.running(["sh", "-c", words]) as plan:
            wait_until_open(port)
            yield plan


def wait_until_open(port: int) -> None:
    """Return when somebody listens on the port."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


SEED = Peer("seed's design", lambda clients: process.running(process.seed(clients)))
PEERS = (
    SEED,
    Peer("Go", lambda _clients: process.running([process.GO_SERVER]), equipment=GO_SERVER),
    Peer("ngircd", ngircd, (IRC,), NGIRCD),
    Peer("ours, plain", lambda _clients: our_server("disk")),
    Peer("ours, batches", lambda _clients: our_server("disk"), is_batch=True),
)
