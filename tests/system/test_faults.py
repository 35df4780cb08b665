"""What goes wrong around the chat: cables, frozen readers, full disks, servers that are told to go.

Needs Linux, and root for network namespaces and mounts; skipped where that is missing, but in CI.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from support import (
    IS_CI,
    Client,
    Program,
    RunningServer,
    eventually,
    full_client,
    full_metadata,
    plain_client,
    running_server,
)

import chat_pb2

IS_ROOT_ON_LINUX = sys.platform == "linux" and os.geteuid() == 0
# While the reader is frozen: twice as many bytes as the server's memory may grow by.
FROZEN_MESSAGES = int(os.environ.get("CHAT_FROZEN_MESSAGES", "20000"))
MAX_GROWTH_BYTES = FROZEN_MESSAGES * 1024 / 2
# Twice what keepalive takes (20 s of silence, 10 s for the answer); TCP by itself takes minutes.
KEEPALIVE_DEADLINE_SECONDS = 60
needs_root = pytest.mark.skipif(
    not IS_ROOT_ON_LINUX and not IS_CI, reason="needs root on Linux: mounts, network namespaces"
)

# A bystander process: prints each change and each message of a real session as it comes.
LISTENER = """
import sys, threading
from chat.client import Session
def state(s): print("STATE", s.change.name, flush=True)
chat = Session(sys.argv[1], sys.argv[2], retry_first_connect=True, on_state=state)
def say():
    for line in sys.stdin:
        chat.send(line.rstrip())
    chat.close()
threading.Thread(target=say).start()
for message in chat:
    if message.id: print("TEXT", message.user, message.message, flush=True)
    elif message.kind == 1: print("JOINED", message.user, flush=True)
    elif message.kind == 2: print("LEFT", message.user, flush=True)
"""


@contextmanager
def listener(address: str, name: str, *prefix: str) -> Iterator[Program]:
    """Run a session in a process of its own, in a network namespace if `prefix` enters one."""
    program = Program([*prefix, sys.executable, "-c", LISTENER, address, name])
    try:
        yield program
    finally:
        program.close()


class Network:
    """Two machines and a switch between them, each a network namespace, and a cable to pull."""

    SERVER_ADDRESS = "10.97.0.1"
    CLIENT_ADDRESS = "10.97.0.2"

    def __init__(self) -> None:
        suffix = os.getpid()
        self.server, self.client, self.switch = (f"chat{suffix}{end}" for end in "scw")
        self._ip("netns", "add", self.switch)
        self._ip("-n", self.switch, "link", "add", "bridge", "type", "bridge")
        self._ip("-n", self.switch, "link", "set", "bridge", "up")
        for host, address in (
            (self.server, self.SERVER_ADDRESS),
            (self.client, self.CLIENT_ADDRESS),
        ):
            self._add_host(host, address)

    def _add_host(self, host: str, address: str) -> None:
        self._ip("netns", "add", host)
        self._ip("-n", host, "link", "set", "lo", "up")
        # Named by its last letter, since a link's name has at most 15 characters.
        port = f"port-{host[-1]}"
        peer = ("peer", "name", port, "netns", self.switch)
        self._ip("-n", host, "link", "add", "eth0", "type", "veth", *peer)
        self._ip("-n", host, "addr", "add", f"{address}/24", "dev", "eth0")
        self._ip("-n", host, "link", "set", "eth0", "up")
        self._ip("-n", self.switch, "link", "set", port, "master", "bridge")
        self._ip("-n", self.switch, "link", "set", port, "up")

    def pull(self) -> None:
        """Take the client's cable out of the switch: packets vanish, nobody is told."""
        self._ip("-n", self.switch, "link", "set", "port-c", "nomaster")

    def plug(self) -> None:
        """Put it back."""
        self._ip("-n", self.switch, "link", "set", "port-c", "master", "bridge")

    def has_connection(self, port: int) -> bool:
        """Say whether the server's machine has a connection to the client's (proc(5))."""
        tables = ("/proc/net/tcp", "/proc/net/tcp6")
        show = ("ip", "netns", "exec", self.server, "cat", *tables)
        lines = subprocess.run(show, check=True, capture_output=True, text=True).stdout
        # In hexadecimal, the address in the machine's byte order.
        remote = socket.inet_aton(self.CLIENT_ADDRESS)[::-1].hex().upper()
        local, peer, is_established = f":{port:04X}", f"{remote}:", "01"
        rows = [line.split()[1:4] for line in lines.splitlines()]
        return any(
            row[0].endswith(local) and peer in row[1] and row[2] == is_established for row in rows
        )

    def close(self) -> None:
        for host in (self.server, self.client, self.switch):
            subprocess.run(["ip", "netns", "del", host], check=False, capture_output=True)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def network() -> Iterator[Network]:
    if not shutil.which("ip"):
        assert not IS_CI, "iproute2 is missing"
        pytest.skip("needs ip (iproute2)")
    net = Network()
    try:
        yield net
    finally:
        net.close()


@needs_root
def test_a_pulled_cable_is_noticed_and_the_conversation_goes_on_complete(
    tmp_path: Path,
) -> None:
    """Both ends notice by keepalive, and afterwards each has everything, once."""
    with ExitStack() as stack:
        net = stack.enter_context(network())
        inside = ("ip", "netns", "exec")
        flags = ("--host", "0.0.0.0", "--port", "0", "--db", str(tmp_path / "chat.db"))
        command = [*inside, net.server, sys.executable, "server.py", *flags]
        server = RunningServer(command, host=net.SERVER_ADDRESS)
        stack.callback(server.close)
        local = f"127.0.0.1:{server.port}"
        ana = stack.enter_context(listener(local, "ana", *inside, net.server))
        bia = stack.enter_context(listener(server.address, "bia", *inside, net.client))
        ana.wait_for_line("STATE CONNECTED")
        bia.wait_for_line("STATE CONNECTED")
        bia.type("before")
        ana.wait_for_line("TEXT bia before")
        bia.wait_for_line("TEXT bia before")
        assert net.has_connection(server.port)
        net.pull()
        for number in range(5):
            ana.type(f"from ana {number}")
        bia.type("from bia")
        eventually(lambda: not net.has_connection(server.port), KEEPALIVE_DEADLINE_SECONDS)
        bia.wait_for_line("STATE LOST", KEEPALIVE_DEADLINE_SECONDS)
        net.plug()
        bia.wait_for_line("TEXT ana from ana 4", 40)
        ana.wait_for_line("TEXT bia from bia", 40)
        bia.type("after")
        ana.wait_for_line("TEXT bia after")
        bia.wait_for_line("TEXT bia after")
        texts = [[line for line in p.lines if line.startswith("TEXT")] for p in (ana, bia)]
        # Her name was held meanwhile: nobody was told.
        assert "LEFT bia" not in ana.lines and ana.lines.count("JOINED bia") <= 1
    assert texts[0] == texts[1] and len(texts[0]) == len(set(texts[0])) == 8


FLOOD = """
import sys, time, grpc
address, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
text = "x" * 1018
def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128); n >>= 7
    return bytes([*out, n])
def frames():
    for number in range(first, first + count):
        body = f"{number:06d}{text}".encode()
        yield b"\\x0a\\x05flood\\x12" + varint(len(body)) + body
channel = grpc.insecure_channel(address)
call = channel.stream_stream("/ChatService/Chat", None, None)(frames())
echoes = sum(1 for _ in call)
print("FLOODED", echoes, flush=True)
"""

READ = """
import sys, time
from chat.client import Session
chat = Session(sys.argv[1], "frozen", retry_first_connect=True)
wanted, got, is_ordered = int(sys.argv[2]), 0, True
print("READY", flush=True)
for message in chat:
    if message.user == "flood" and message.id:
        is_ordered = is_ordered and message.message.startswith(f"{got:06d}")
        got += 1
        if got == wanted:
            print("GOT", got, is_ordered, flush=True)
            break
chat.abort()
"""


class Pinger:
    """Two bystanders: how often one's message reaches the other while something else goes on."""

    def __init__(self, address: str) -> None:
        room: dict[str, Any] = {"room": "apart", "batch": True}
        self._ana = Client(address, full_metadata("ping", **room), user="ping")
        self._bia = Client(address, full_metadata("pong", **room), user="pong")
        assert self._ana.epoch and self._bia.epoch
        self._count = 0

    def count_while(self, flooding: Program) -> int:
        """Say one message after the other until the flood is over; return how many arrived."""
        before = self._count
        while flooding.is_running:
            text = f"ping {self._count}"
            self._ana.say(text)
            self._bia.wait_for_text(text, 60)
            self._count += 1
            self._bia.messages.clear()
            self._ana.messages.clear()
        return self._count - before

    def close(self) -> None:
        self._ana.close()
        self._bia.close()


def flood(address: str, first: int, count: int) -> Program:
    """Start a plain client that sends `count` messages of 1 KiB, numbered from `first`."""
    return Program([sys.executable, "-c", FLOOD, address, str(first), str(count)])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc for memory")
def test_frozen_reader_costs_no_memory_and_nobody_waits_and_gets_everything_later(
    tmp_path: Path,
) -> None:
    """A stopped process is thawed after a long flood, and has it all, once, in order."""
    warm_up = FROZEN_MESSAGES // 2
    total = warm_up + FROZEN_MESSAGES
    with ExitStack() as stack:
        server = stack.enter_context(
            running_server("--rate", "0", "--quiet", db=tmp_path / "chat.db")
        )
        reader = Program([sys.executable, "-c", READ, server.address, str(total)])
        stack.callback(reader.close)
        reader.wait_for_line("READY")
        with full_client(server.address, "witness") as witness:
            assert witness.epoch
            eventually(lambda: _is_present(witness, "frozen"))
        pinger = Pinger(server.address)
        stack.callback(pinger.close)
        with ended(flood(server.address, 0, warm_up)) as flooding:
            before = pinger.count_while(flooding)
            flooding.wait_for_line(f"FLOODED {warm_up}", 60)
        memory = server.resident_bytes()
        reader.send_signal(signal.SIGSTOP)
        try:
            with ended(flood(server.address, warm_up, FROZEN_MESSAGES)) as flooding:
                meanwhile = pinger.count_while(flooding)
                flooding.wait_for_line(f"FLOODED {FROZEN_MESSAGES}", 120)
            grown = server.resident_bytes() - memory
        finally:
            reader.send_signal(signal.SIGCONT)
        reader.wait_for_line(f"GOT {total} True", 120)
    print(
        f"memory grew by {grown / 1e6:.1f} MB; {before} messages of others arrived during half"
        f" as much before, {meanwhile} meanwhile"
    )
    assert grown < MAX_GROWTH_BYTES
    # A flood twice as long lets pass twice as many, more or less; had anybody waited, almost none.
    assert meanwhile >= before / 2


@contextmanager
def ended(program: Program) -> Iterator[Program]:
    try:
        yield program
    finally:
        program.close()


def _is_present(client: Client, name: str) -> bool:
    client.ask_who()
    client.wait_for_key("who")
    return any(m.user == name for m in client.of_kind(chat_pb2.KIND_PRESENT))


@needs_root
def test_full_disk_refuses_what_is_new_and_serves_the_rest(tmp_path: Path) -> None:
    """Nothing is broadcast that was not stored; readers go on; with room again all is well."""
    mount = tmp_path / "disk"
    mount.mkdir()
    small = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(mount)]
    subprocess.run(small, check=True)
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", "-l", str(mount)], check=True)
        server = stack.enter_context(running_server("--rate", "0", db=mount / "chat.db"))
        ana = stack.enter_context(full_client(server.address, "ana", batch=True))
        bia = stack.enter_context(full_client(server.address, "bia", batch=True))
        assert ana.epoch and bia.epoch
        ana.say("the first", key="first")
        bia.wait_for_text("the first")
        for number in range(300):
            ana.say(f"{number} " + "x" * 4000, key=str(number))
        for number in range(300):
            ana.wait_for_key(str(number))
        # Whole groups were refused, for which there was no room: now what still fits alone.
        said = 300
        while True:
            ana.say(f"{said} " + "x" * 4000, key=str(said))
            said += 1
            if ana.wait_for_key(str(said - 1)).kind == chat_pb2.KIND_NOTICE:
                break
        refused = {m.key for m in ana.of_kind(chat_pb2.KIND_NOTICE) if m.user == "NOT_STORED"}
        assert refused
        server.wait_for_error("is full")
        # A plain client has no other way to hear of it than the end of its stream.
        with plain_client(server.address, user="caio") as caio:
            caio.say("x" * 8000)
            assert caio.wait_for_end() == (grpc.StatusCode.UNAVAILABLE, "NOT_STORED")
        with full_client(server.address, "dora", history=1000) as dora:
            dora.wait_for_text("the first")
        larger = ["mount", "-o", "remount,size=20m", str(mount)]
        subprocess.run(larger, check=True)
        ana.say("room again", key="again")
        assert ana.wait_for_key("again").id
        bia.wait_for_text("room again")
        stored = said + 2 - len(refused)
        assert len(bia.ids) == len(set(bia.ids)) == stored
        assert not any(text.split()[0] in refused for text in bia.texts)
        assert server.stop() == 0
        assert "Traceback" not in server.stderr


CROWD = """
import asyncio, sys, grpc
async def one(stub, n, metadata):
    call = stub(metadata=metadata and (("chat-user-bin", f"c{n}".encode()),))
    try:
        await call.initial_metadata()
        print("IN", flush=True)
        while await call.read() is not grpc.aio.EOF: pass
    except grpc.aio.AioRpcError: pass
    print("OUT", await call.code(), flush=True)
async def main(address, count):
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options) for _ in range(20)]
    stubs = [c.stream_stream("/ChatService/Chat", None, None) for c in channels]
    await asyncio.gather(*(one(stubs[n % 20], n, n % 2) for n in range(count)))
    for c in channels: await c.close()
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_sigterm_with_a_thousand_clients_delivers_and_ends_each_stream(tmp_path: Path) -> None:
    """What was accepted is committed and delivered, every stream ends with UNAVAILABLE, exit 0."""
    db = tmp_path / "chat.db"
    with ExitStack() as stack:
        server = stack.enter_context(running_server("--rate", "0", "--quiet", db=db))
        crowd = Program([sys.executable, "-c", CROWD, server.address, "1000"])
        stack.callback(crowd.close)
        eventually(lambda: crowd.lines.count("IN") == 1000, 60, lambda: len(crowd.lines))
        ana = stack.enter_context(full_client(server.address, "ana", batch=True))
        assert ana.epoch
        for number in range(200):
            ana.say(f"last words {number}", key=str(number))
        ana.wait_for_key("0")
        assert server.stop(signal.SIGTERM) == 0
        assert ana.wait_for_end() == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert crowd.wait(30) == 0
        codes = [line for line in crowd.lines if line.startswith("OUT")]
        echoed = {m.key for m in ana.messages if m.id}
        again = stack.enter_context(running_server(db=db))
        back = stack.enter_context(full_client(again.address, "ana", history=1000))
        back.wait_for_text(f"last words {len(echoed) - 1}")
        stored = {m.key for m in back.messages if m.id}
    assert set(codes) == {"OUT StatusCode.UNAVAILABLE"} and len(codes) == 1000
    assert stored == echoed
    assert any(m.user == "SHUTTING_DOWN" for m in ana.of_kind(chat_pb2.KIND_NOTICE))
