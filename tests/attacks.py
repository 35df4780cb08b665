"""What one stranger does to a server, each a function; run one in a process of its own:

    python tests/attacks.py NAME PORT SCALE SECONDS

It prints `ready` when it is prepared, begins at a line on standard input, goes on for so many
seconds, and prints what it did. SCALE makes it smaller (0.1) or whole (1). It comes from an address
of its own, is bounded in time and size, and talks to a server of the tests only: `siege.py` starts
both, and looks at what others notice.
"""

from __future__ import annotations

import gzip
import itertools
import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

from hostile_client import CHAT, HostileClient, full
from http2 import DATA, HEADERS, grpc_message

import chat_pb2

Message = chat_pb2.Message
HEALTH_WATCH = b"/grpc.health.v1.Health/Watch"
REFLECTION = b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
# What a gRPC message may have on its way in; the rest of what is sent is refused by its length.
LARGEST_BYTES = 64 << 10
ANSWER_SECONDS = 2.0
GZIP = (b"grpc-encoding", b"gzip")
STREAMS_PER_CONNECTION = 100


@dataclass
class Target:
    """Whom to attack, how much, and until when."""

    port: int
    scale: float
    seconds: float
    until: float = 0.0

    def count(self, whole: int) -> int:
        """Return how many of something there are, of `whole` at full size."""
        return max(1, int(whole * self.scale))

    @property
    def is_on(self) -> bool:
        """Whether the attack goes on."""
        return time.monotonic() < self.until

    def connect(self, window_bytes: int = 1 << 20, is_stranger: bool = True) -> HostileClient:
        """Return a connection; each of its streams may be sent `window_bytes` at first."""
        return HostileClient(self.port, window_bytes=window_bytes, is_stranger=is_stranger)

    def streams(
        self,
        count: int,
        path: bytes = CHAT,
        window_bytes: int = 1 << 20,
        is_stranger: bool = True,
    ) -> Iterator[tuple[HostileClient, bytes]]:
        """Yield where to open so many streams, on as few connections as the server allows.

        Those that are not `is_stranger` come as through a proxy of this machine: from everywhere.
        """
        for number in range(count):
            if number % STREAMS_PER_CONNECTION == 0:
                client = self.connect(window_bytes, is_stranger)
            yield client, path


# Yields `ready` when it is prepared, then attacks, and yields what it did.
Run = Callable[[Target], Iterator[str]]


@dataclass(frozen=True)
class Attack:
    """One attack: what it does, and the settings (as variables) of the server that it is done to.

    `reads_log`: 8 MB lie in the log before. `needs_address`: others come in only where they are
    told apart from the attacker.
    """

    run: Run
    settings: Mapping[str, str] = field(default_factory=dict)
    reads_log: bool = False
    needs_address: bool = False


def pump(clients: Iterable[HostileClient], seconds: float, widens: bool = True) -> None:
    """Read what comes to any of the clients for so long."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        open_ones = {client.socket: client for client in clients if not client.is_over}
        if not open_ones:
            return
        ready, _writable, _failed = select.select(list(open_ones), [], [], left)
        for one in ready:
            open_ones[one].read(0.001, widens)


def ask(client: HostileClient, stream: int, message: Message) -> bool:
    """Send a message and wait for whatever the stream brings next."""
    came = client.frames[stream, DATA]
    client.send(stream, message.SerializeToString())
    return client.wait_for(stream, DATA, ANSWER_SECONDS, came + 1)


def marks(target: Target) -> Iterator[str]:
    """Combining marks wherever a name may be: normalising them is quadratic."""
    yield "ready"
    name = "a" + "\u0301" * 14_000 + "\u0323" * 14_000
    sent = 0
    for number in itertools.count():
        if not target.is_on:
            break
        with target.connect() as client:
            client.open(metadata=full(name[:2000]))
            stream = client.open(metadata=full(f"marks{number}", history="0"))
            client.wait_for(stream, HEADERS, ANSWER_SECONDS)
            for message in (
                Message(to=name, message="oi", key="1"),
                Message(kind=chat_pb2.KIND_ENTERED, room=name, key="2"),
                Message(kind=chat_pb2.KIND_WHO, room=name, key="3"),
                Message(kind=chat_pb2.KIND_RENAMED, message=name, key="4"),
                Message(message="oi", room=name, key="5"),
                Message(user="x", message="a" + name, key="6"),
            ):
                ask(client, stream, message)
                sent += 1
            client.send(stream, Message(to=name * 4, message="oi").SerializeToString())
    yield f"{sent} messages of 56 kB of marks"


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def broken_keys(target: Target) -> Iterator[str]:
    """Messages that are none, with a key of another wire type: a number of bytes to allocate."""
    yield "ready"
    no_text = b"\x0a\x01\xff"
    keys = [b"\x30" + varint(n) for n in (5 * 10**8, 2**31, 2**62, 2**63 + 5)]
    keys += [b"\x33\x08\x01\x34", b"\x35\1\0\0\0", b"\x31" + b"\xff" * 8, b"\x32\xff\xff\xff\x7f"]
    sent = 0
    while target.is_on:
        with target.connect() as client:
            for number, key in enumerate(keys):
                stream = client.open(metadata=full(f"keys{number}"))
                plain = client.open()
                client.send(stream, no_text + key)
                client.send(plain, no_text + key)
                sent += 2
            pump([client], 0.2)
    yield f"{sent} broken messages"


def gzip_bombs(target: Target) -> Iterator[str]:
    """A little gzip that unpacks to much: empty batch items, unknown fields, a long text."""
    large, small = 15 << 20, LARGEST_BYTES - 100
    bodies = [
        gzip.compress(unit * (size // len(unit)))
        for size in (large, small)
        for unit in (b"\x42\x00", b"\x0a\x01\xff\x78\x01", b"\x42\x02\x42\x00")
    ]
    yield "ready"
    sent = 0
    while target.is_on:
        with target.connect() as client:
            for number, body in enumerate(bodies):
                stream = client.open(metadata=[*full(f"gzip{number}"), GZIP])
                client.send(stream, body, is_compressed=True)
                sent += 1
            pump([client], 0.2)
    yield f"{sent} bombs of up to 15 MB"


def health_watches(target: Target) -> Iterator[str]:
    """Watch calls of health, which last: large requests, and many."""
    yield "ready"
    request = b"\x0a" + varint(60_000) + b"x" * 60_000
    clients: list[HostileClient] = []
    for number, (client, path) in enumerate(target.streams(target.count(3000), HEALTH_WATCH)):
        if not target.is_on:
            break
        clients.append(client)
        stream = client.open(path)
        client.send(stream, request if number % 3 else b"")
        client.half_close(stream)
        client.read(0.001)
    opened = len(clients)
    clients = list(dict.fromkeys(clients))
    while target.is_on and any(not client.is_over for client in clients):
        pump(clients, 0.1)
    close(clients)
    yield f"{opened} watches on {len(clients)} connections"


def close(clients: Iterable[HostileClient]) -> None:
    """Close all connections."""
    for client in clients:
        client.close()


def reflection(target: Target) -> Iterator[str]:
    """Reflection without the token that the server asks for."""
    yield "ready"
    asked = answered = 0
    while target.is_on:
        with target.connect() as client:
            for _number in range(50):
                stream = client.open(REFLECTION)
                client.send(stream, b"\x3a\x01*")  # list_services
                asked += 1
                client.wait_for(stream, HEADERS, ANSWER_SECONDS)
                answered += client.frames[stream, DATA]
    yield f"{asked} asked, {answered} answered"


def silent_streams(target: Target) -> Iterator[str]:
    """Streams that begin a large message and never end it."""
    yield "ready"
    clients: list[HostileClient] = []
    body = b"\0" + (LARGEST_BYTES - 1).to_bytes(4, "big") + b"\x12" + b"x" * (LARGEST_BYTES - 1000)
    beginnings = [body, b"\0" + (15 << 20).to_bytes(4, "big") + body]
    for number, (client, path) in enumerate(target.streams(target.count(2000))):
        if not target.is_on:
            break
        clients.append(client)
        stream = client.open(path)
        client.send_body(stream, beginnings[number % 2], 0.05)
    opened = len(clients)
    clients = list(dict.fromkeys(clients))
    while target.is_on and any(not client.is_over for client in clients):
        pump(clients, 0.1)
    close(clients)
    yield f"{opened} streams on {len(clients)} connections"


def odd_metadata(target: Target) -> Iterator[str]:
    """7 kB of 0xFF where ASCII belongs, and what else a header must not be."""
    yield "ready"
    odd = [
        [(b"x-%d" % number, b"\xff" * 1200) for number in range(6)],
        [(b"chat-user-bin", b"!!!!" * 300), (b"chat-after", b"\xc3\xa9" * 400)],
        [(b"chat-user-bin", b"/w"), (b"chat-session", b"\0\n\r" * 500)],
        [(b"authorization", b"Bearer " + b"\xe9" * 7000)],
        [(b"chat-user-bin", b"YW5h"), (b"chat-history", b"9" * 5000)],
        [(b"chat-user-bin", b"YW5h" * 6000)],
    ]
    calls = 0
    while target.is_on:
        with target.connect() as client:
            for _number in range(50):
                client.open(metadata=odd[calls % len(odd)])
                calls += 1
            pump([client], 0.1)
    yield f"{calls} calls"


def odd_paths(target: Target) -> Iterator[str]:
    """Paths that are not UTF-8, not a method, or very long."""
    yield "ready"
    paths = [
        b"/\xff",
        b"",
        b"/",
        b"\xff\xfe",
        CHAT + b"\xff",
        b"/" + b"\xff" * 7000,
        b"/a/b" * 1500,
    ]
    calls = 0
    while target.is_on:
        with target.connect() as client:
            for _number in range(50):
                client.open(paths[calls % len(paths)])
                calls += 1
            pump([client], 0.1)
    yield f"{calls} calls"


def small_windows(target: Target) -> Iterator[str]:
    """Streams that ask for the whole log and have room for 7 kB of it."""
    yield "ready"
    clients: list[HostileClient] = []
    for number, (client, path) in enumerate(target.streams(target.count(400), CHAT, 7000)):
        batch = {"batch": "1"} if number % 2 else {}
        client.open(path, full(f"w{number}", after="0", **batch))
        clients.append(client)
    opened = len(clients)
    clients = list(dict.fromkeys(clients))
    while target.is_on and any(not client.is_over for client in clients):
        pump(clients, 0.1, widens=False)
    close(clients)
    yield f"{opened} streams on {len(clients)} connections"


def every_place(target: Target) -> Iterator[str]:
    """One address opens connections and unnamed streams until no place is left, and stays."""
    yield "ready"
    clients: list[HostileClient] = []
    for number, (client, path) in enumerate(target.streams(target.count(2000))):
        clients.append(client)
        client.open(path, full(f"p{number}") if number % 4 == 0 else ())
    clients = list(dict.fromkeys(clients))
    clients += [target.connect() for _number in range(target.count(200)) if target.is_on]
    while target.is_on and any(not client.is_over for client in clients):
        pump(clients, 0.1)
    close(clients)
    yield f"{len(clients)} connections"


def joins_and_leaves(target: Target) -> Iterator[str]:
    """Join the common room and leave it, as fast as it goes."""
    yield "ready"
    joins = 0
    while target.is_on:
        with target.connect() as client:
            while target.is_on and not client.is_over:
                streams = []
                for number in range(20):
                    streams.append(client.open(metadata=full(f"j{joins + number}", history="0")))
                    client.half_close(streams[-1])
                joins += len(streams)
                for stream in streams:
                    client.wait_for(stream, HEADERS, ANSWER_SECONDS)
    yield f"{joins} joins"


def histories(target: Target) -> Iterator[str]:
    """Streams that ask for 1,000 messages again and again."""
    places = []
    for number, (client, path) in enumerate(target.streams(target.count(1940))):
        stream = client.open(path, full(f"h{number}", history="0", batch="1"))
        places.append((client, stream))
        if number % 50 == 0:
            pump([client], 0.05)
    clients = list(dict.fromkeys(client for client, _stream in places))
    pump(clients, 0.5)
    yield "ready"
    wish = Message(kind=chat_pb2.KIND_HISTORY, message="1000", key="h").SerializeToString()
    asked = 0
    for client, stream in itertools.cycle(places):
        if not target.is_on:
            break
        if not client.is_over:
            client.send_body(stream, grpc_message(wish), 0.0)
            asked += 1
        if asked % 50 == 0:
            pump(clients, 0.01)
    received = sum(sum(client.received_bytes.values()) for client in clients)
    close(clients)
    yield f"{len(places)} streams asked {asked} times, {received >> 20} MiB came"


def bursts(target: Target) -> Iterator[str]:
    """One person who comes anew after each burst, so that the rate begins anew."""
    yield "ready"
    words = [Message(message="z" * 1000, key=f"{n}").SerializeToString() for n in range(1000)]
    sent = visits = 0
    session = os.urandom(16).hex()
    while target.is_on:
        with target.connect(8 << 20) as client:
            wishes = {"session": session} if visits % 2 else {}
            stream = client.open(metadata=full(f"burst{visits}", history="0", batch="1", **wishes))
            visits += 1
            client.wait_for(stream, HEADERS, ANSWER_SECONDS)
            for word in words:
                if not target.is_on or not client.send(stream, word):
                    break
                sent += 1
            client.half_close(stream)
            client.wait_for(stream, HEADERS, 1.0, 2)
    yield f"{sent} messages of 1 kB in {visits} visits"


def readers(target: Target) -> Iterator[str]:
    """Readers of the whole log, who begin anew when they have it."""
    yield "ready"
    clients: list[HostileClient] = []
    places = []
    for number, (client, path) in enumerate(target.streams(target.count(100), CHAT, 4 << 20)):
        places.append((client, client.open(path, full(f"r{number}", after="0", batch="1"))))
    clients = list(dict.fromkeys(client for client, _stream in places))
    again = itertools.count(len(places))
    while target.is_on:
        pump(clients, 0.25)
        for index, (client, stream) in enumerate(places):
            if client.received_bytes[stream] > 6 << 20 and not client.is_over:
                client.reset(stream)
                name = f"r{next(again)}"
                places[index] = (client, client.open(metadata=full(name, after="0", batch="1")))
    received = sum(sum(client.received_bytes.values()) for client in clients)
    close(clients)
    yield f"{len(places)} readers, {received >> 20} MiB came"


def renames_and_who(target: Target) -> Iterator[str]:
    """Renames by five and WHO by ten in a room of 1,500 who are no strangers."""
    crowd: list[HostileClient] = []
    for number, (client, path) in enumerate(target.streams(target.count(1500), is_stranger=False)):
        crowd.append(client)
        client.open(path, full(f"c{number}", room="crowd", history="0", batch="1"))
        if number % 50 == 0:
            pump([client], 0.05)
    people = len(crowd)
    eve = target.connect()
    strangers = [eve.open(metadata=full(f"s{n}", room="crowd", history="0")) for n in range(15)]
    clients = [*dict.fromkeys(crowd), eve]
    pump(clients, 1.0)
    yield "ready"
    asked = 0
    for number in itertools.count():
        if not target.is_on:
            break
        for stream in strangers:
            wish = Message(kind=chat_pb2.KIND_WHO, key="w", room="crowd")
            if stream in strangers[:5]:
                wish = Message(kind=chat_pb2.KIND_RENAMED, message=f"n{number}-{stream}", key="n")
            eve.send_body(stream, grpc_message(wish.SerializeToString()), 0.0)
        asked += len(strangers)
        pump(clients, 0.005)
    close(clients)
    yield f"{people} people, {asked} renames and WHO"


TOKEN = "correct-horse-battery"
ATTACKS = {
    "marks": Attack(marks),
    "broken keys": Attack(broken_keys),
    "gzip bombs": Attack(gzip_bombs),
    "health watches": Attack(health_watches, {"CHAT_MAX_CLIENTS": "5"}),
    "reflection": Attack(reflection, {"CHAT_TOKEN": TOKEN}),
    "silent streams": Attack(silent_streams),
    "odd metadata": Attack(odd_metadata),
    "odd paths": Attack(odd_paths),
    "small windows": Attack(small_windows, reads_log=True),
    "every place": Attack(every_place, {"CHAT_MAX_CLIENTS": "500"}, needs_address=True),
    "joins and leaves": Attack(joins_and_leaves),
    "histories": Attack(histories, reads_log=True),
    "bursts": Attack(bursts),
    "readers": Attack(readers, reads_log=True),
    "renames and WHO": Attack(renames_and_who),
}


def main(name: str, port: str, scale: str, seconds: str) -> None:
    """Run one attack, as the module's docstring says."""
    if hasattr(os, "nice"):
        os.nice(19)  # the machine's processors belong to the server that is attacked
    target = Target(int(port), float(scale), float(seconds))
    steps = ATTACKS[name].run(target)
    print(next(steps), flush=True)
    sys.stdin.readline()
    target.until = time.monotonic() + target.seconds
    print(next(steps), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
