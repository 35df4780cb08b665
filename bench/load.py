"""The load generator: many chat clients in one process, on raw bytes. `run.py` starts it.

Argument: a `Plan` as JSON; the answer, one line of JSON on standard output, is a `Report`. Every
message carries who sent it and when, between marks that the parts of the protocol never form, so
that messages are counted in what was received without being decoded, single or in batches.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import select
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

from http2 import Wire, grpc_message, tls_context
from sockets import Connection

MARK, END, ROLL = b"~~", b"~.", b"~r"
TEXT_BYTES = 64
STAMP = re.compile(rb"~~([0-9a-f]{6})([0-9a-f]{16})")
SEED_PATH = "/ChatService/Chat"
JOIN_SECONDS = 60.0
ROLL_SECONDS = 1.0
# Clients whose every message is timed; timing them all would slow the generator down.
TIMED_CLIENTS = 10
# A server that uses no more of its core than this is calm.
IDLE_SHARE = 0.05
POLL_SECONDS = 0.1
# The people of each further room. Its name is that of a first room no client has.
ROOM_CLIENTS = 100
ENTERED = b"\x28\x07"  # the field `kind` of chat.proto


@dataclass
class Plan:
    """What one generator does. `in_flight` messages are kept unanswered by as many senders."""

    port: int
    pid: int  # of the server, whose CPU and memory are read
    clients: int
    in_flight: int = 1
    is_batch: bool = False
    is_tls: bool = False
    path: str = SEED_PATH
    warm_seconds: float = 1.0
    seconds: float = 2.0
    times_own: bool = False  # time each message at its own sender alone: the round trip
    paced: int = 0  # clients that say one thing every `pace_seconds`, and alone are timed
    pace_seconds: float = 0.1
    senders: int = 0  # how many share `in_flight`; 0: as many as there can be
    join_rate: float = 0.0  # clients a second; 0: as fast as they come in
    more_pids: Sequence[int] = ()  # more servers behind the port; their CPU is counted with it
    beside_pid: int = 0  # a program that the server needs, whose CPU is told apart
    rooms: int = 1  # the clients are spread over; of more than one only with batches
    more_rooms: int = 0  # that each client enters beside its first one, of `ROOM_CLIENTS` each
    rounds: int = 0  # instead of load: messages to all, one after the other, then all leave
    # How long to wait, after the warming up, until each of the first messages has had its answer;
    # and in the end for all that is still missing.
    patience_seconds: float = 20.0
    history: int = 0  # how many of the last messages a client that takes batches asks for


@dataclass
class Report:
    """What was seen in the measured seconds; times in seconds, latencies in milliseconds."""

    clients: int = 0
    seconds: float = 0.0
    sent: int = 0
    deliveries: int = 0
    missing: int = 0  # messages that some client did not get, in the end
    is_steady: bool = True  # what was in flight at first had been answered before the measuring
    server_cpu_seconds: float = 0.0
    beside_cpu_seconds: float = 0.0
    generator_cpu_seconds: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    rss_kb: int = 0
    rss_before_kb: int = 0
    rss_after_kb: int = 0  # when all have left
    join_seconds: float = 0.0
    join_cpu_seconds: float = 0.0
    join_p50_ms: float = 0.0  # from opening a stream to its history; of gRPC clients alone
    join_p99_ms: float = 0.0
    round_ms: list[float] = field(default_factory=list)
    round_cpu_ms: list[float] = field(default_factory=list)
    calm_seconds: float = 0.0
    calm_cpu_seconds: float = 0.0
    error: str = ""


class ServerLost(Exception):
    """The server ended a stream, or did not answer in time."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all its threads, user and system (proc(5))."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def servers_cpu_seconds(plan: Plan) -> float:
    """Return the CPU time of all servers behind the plan's port."""
    return sum(map(cpu_seconds, (plan.pid, *plan.more_pids)))


def rss_kb(pid: int) -> int:
    """Return the resident memory of a process."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def _field(number: int, value: bytes) -> bytes:
    """Return a protobuf field of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value


class Client:
    """One chat client. Counts what it hears; a sender answers each own echo with a message."""

    def __init__(self, number: int, plan: Plan, tls: ssl.SSLContext | None = None) -> None:
        self.name = f"c{number:06x}".encode()
        self.room = number % plan.rooms
        self.wire = self.connect(plan, tls)
        self.heard = 0
        self.sent = 0
        self.outstanding = 0
        self.window = 0
        self.times: list[tuple[int, int, int]] | None = None  # sender, sent, received, if timed
        self.has_heard = False
        self.number = number
        self._stamp = b"%06x" % number
        self.own = MARK + self._stamp
        self._user = _field(1, self.name)
        self.answers = self  # whose messages are answered when they are heard here
        self._has_key = plan.is_batch
        self._rest = b""

    def connect(self, plan: Plan, tls: ssl.SSLContext | None) -> Connection:
        """Return an open stream of this client."""
        metadata: dict[str, bytes] = {}
        if plan.is_batch:
            metadata = {"chat-user-bin": self.name, "chat-batch": b"1"}
            metadata["chat-history"] = b"%d" % plan.history
        if plan.rooms > 1:
            metadata["chat-room-bin"] = b"r%d" % self.room
        return Wire(plan.port, plan.path, metadata, tls)

    def text(self, mark: bytes) -> bytes:
        """Return what is said now, and when that is."""
        stamp = mark + self._stamp + b"%016x" % time.monotonic_ns()
        return stamp + b"." * (TEXT_BYTES - len(stamp) - len(END)) + END

    def message(self, mark: bytes) -> bytes:
        """Return the same as the protocol has it."""
        # As long as the keys of `session.py`, and as random.
        key = _field(6, os.urandom(12).hex().encode()) if self._has_key else b""
        return grpc_message(self._user + _field(2, self.text(mark)) + key)

    def enter(self, room: int) -> None:
        """Enter a further room, without its history."""
        name = b"m%d-%d" % (room, self.number // ROOM_CLIENTS)
        wish = _field(2, b"0") + ENTERED + _field(6, b"m%d" % room) + _field(9, name)
        self.wire.send(grpc_message(wish))

    def call_roll(self) -> None:
        """Say something that is not counted."""
        self.wire.send(self.message(ROLL))

    def speak(self, count: int = 1) -> None:
        """Send `count` messages."""
        self.sent += count
        self.outstanding += count
        for _number in range(count):
            self.wire.send(self.message(MARK))

    def listen(self) -> None:
        """Take what the socket has."""
        body = self.wire.receive()
        if not body:
            return
        if self._rest:
            body = self._rest + body
        cut = body.rfind(END) + len(END)
        if cut < len(END):
            self._rest = body
            return
        self._rest = body[cut:]
        self.has_heard = True
        self.heard += body.count(MARK, 0, cut)
        if self.times is not None:
            now = time.monotonic_ns()
            for match in STAMP.finditer(body, 0, cut):
                self.times.append((int(match[1], 16), int(match[2], 16), now))
        if self.answers.outstanding:
            self.answers.be_answered(body.count(self.answers.own, 0, cut))

    def be_answered(self, count: int) -> None:
        """Say as many more messages as were answered."""
        self.outstanding -= count
        if self.outstanding < self.window:
            self.speak(self.window - self.outstanding)

    def due(self, sent: int) -> int:
        """Return how many messages this client hears of those that were sent in its room."""
        return sent


class Crowd:
    """All clients of one plan, and the loop that serves their sockets."""

    client_class = Client

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.clients: list[Client] = []
        self._by_file: dict[int, Client] = {}
        self._poll = select.epoll()
        self._next_pace = 0.0

    def serve(self, seconds: float) -> None:
        """Hear whoever was spoken to, for at most `seconds` if nobody is."""
        for number, _events in self._poll.poll(max(0.0, seconds), 1024):
            client = self._by_file[number]
            client.wire.flush()
            client.listen()
            if client.wire.is_over:
                raise ServerLost(
                    f"the stream of client {client.number} ended ({client.wire.last_words})"
                )

    def serve_until(self, is_done: Callable[[], bool], seconds: float, what: str) -> None:
        """Serve until `is_done`, or raise after `seconds`."""
        deadline = time.monotonic() + seconds
        while not is_done():
            if time.monotonic() > deadline:
                raise ServerLost(f"after {seconds:.0f} s still not: {what}")
            self.serve(POLL_SECONDS)

    def serve_for(self, seconds: float) -> None:
        """Serve for `seconds`, while those who are paced say something now and then."""
        deadline = time.monotonic() + seconds
        paced = self.clients[-self.plan.paced :] if self.plan.paced else []
        while (now := time.monotonic()) < deadline:
            if paced and now >= self._next_pace:
                self._next_pace = now + self.plan.pace_seconds
                for client in paced:
                    client.speak()
            wait = min(deadline - now, self._next_pace - now if paced else POLL_SECONDS)
            self.serve(wait)

    def join(self) -> None:
        """Bring in everybody, at the plan's rate, and wait until each is known to be in."""
        started, tls = time.monotonic(), tls_context() if self.plan.is_tls else None
        for number in range(len(self.clients), self.plan.clients):
            self._add(self.client_class(number, self.plan, tls))
            due = started + number / self.plan.join_rate if self.plan.join_rate else 0.0
            while True:
                self.serve(due - time.monotonic())
                if time.monotonic() >= due:
                    break

    def _add(self, client: Client) -> None:
        self.clients.append(client)
        self._by_file[client.wire.socket.fileno()] = client
        self._poll.register(client.wire.socket.fileno(), select.EPOLLIN)

    def make_history(self) -> None:
        """Let the first client say what the others will ask for; it is counted for nobody."""
        if not self.plan.history:
            return
        first = self.client_class(0, self.plan, tls_context() if self.plan.is_tls else None)
        self._add(first)
        first.speak(self.plan.history)
        self.serve_until(lambda: first.heard == self.plan.history, JOIN_SECONDS, "history")

    def begin_to_count(self) -> None:
        """Forget what was said and heard while everybody came in."""
        for client in self.clients:
            client.heard = client.sent = 0

    def call_roll(self) -> None:
        """Return when everybody hears everybody: a plain server does not say when one is in."""
        deadline = time.monotonic() + JOIN_SECONDS
        while not all(client.has_heard for client in self.clients):
            if time.monotonic() > deadline:
                deaf = sum(not client.has_heard for client in self.clients)
                raise ServerLost(f"{deaf} of {len(self.clients)} clients hear nothing")
            for client in self.clients[: self.plan.rooms]:
                client.call_roll()
            with contextlib.suppress(ServerLost):
                self.serve_until(
                    lambda: all(client.has_heard for client in self.clients), ROLL_SECONDS, "heard"
                )
            over = [client.wire.last_words for client in self.clients if client.wire.is_over]
            if over:
                raise ServerLost(f"{len(over)} streams were ended by the server ({over[0]})")

    def enter_rooms(self) -> None:
        """Have everybody in the plan's further rooms."""
        for room in range(self.plan.more_rooms):
            for client in self.clients:
                client.enter(room)
                self.serve(0)
            wait_until_calm(self.plan.pid, self)

    def drain(self) -> int:
        """Let everything that was sent arrive; return how many messages some client lacks."""
        for client in self.clients:
            client.window = 0
        sent = [0] * self.plan.rooms
        for client in self.clients:
            sent[client.room] += client.sent
        with contextlib.suppress(ServerLost):
            self.serve_until(
                lambda: all(
                    client.heard >= client.due(sent[client.room]) for client in self.clients
                ),
                self.plan.patience_seconds,
                "all",
            )
        return sum(abs(client.due(sent[client.room]) - client.heard) for client in self.clients)

    def leave(self) -> None:
        """Close every connection, as fast as that goes."""
        for client in self.clients:
            client.wire.close()
        self._poll.close()


def spread(count: int, among: list[Client]) -> Iterable[Client]:
    """Return `count` of the clients, evenly from the first to the last."""
    count = min(count, len(among))
    return [among[index * (len(among) - 1) // max(1, count - 1)] for index in range(count)]


def measure(crowd: Crowd, report: Report) -> None:
    """Keep the plan's messages in flight, and report the seconds after the warming up."""
    plan = crowd.plan
    speakers = crowd.clients[: len(crowd.clients) - plan.paced]
    senders = list(spread(plan.senders or plan.in_flight, speakers))
    for index, client in enumerate(senders):
        client.window = plan.in_flight // len(senders) + (index < plan.in_flight % len(senders))
        client.speak(client.window)
    crowd.serve_for(plan.warm_seconds)
    report.is_steady = become_steady(crowd)
    timed = list(spread(TIMED_CLIENTS, crowd.clients))
    for client in timed:
        client.times = []
    heard = sum(client.heard for client in crowd.clients)
    sent = sum(client.sent for client in crowd.clients)
    started, server, own = time.monotonic(), servers_cpu_seconds(plan), time.process_time()
    beside = cpu_seconds(plan.beside_pid) if plan.beside_pid else 0.0
    crowd.serve_for(plan.seconds)
    report.seconds = time.monotonic() - started
    report.server_cpu_seconds = servers_cpu_seconds(plan) - server
    report.beside_cpu_seconds = cpu_seconds(plan.beside_pid) - beside if plan.beside_pid else 0.0
    report.generator_cpu_seconds = time.process_time() - own
    report.deliveries = sum(client.heard for client in crowd.clients) - heard
    report.sent = sum(client.sent for client in crowd.clients) - sent
    report.rss_kb = rss_kb(plan.pid)
    first_paced = len(crowd.clients) - plan.paced if plan.paced else 0
    latencies = sorted(
        received - sent
        for client in timed
        for sender, sent, received in client.times or ()
        if sender >= first_paced and (sender == client.number or not plan.times_own)
    )
    if latencies:
        report.p50_ms = latencies[len(latencies) // 2] / 1e6
        report.p99_ms = latencies[len(latencies) * 99 // 100] / 1e6
    report.missing = crowd.drain()


def become_steady(crowd: Crowd) -> bool:
    """Serve until each message that was in flight at first has been answered; say whether it was.

    Before that, only those messages have been timed that were answered soon.
    """
    deadline = time.monotonic() + crowd.plan.patience_seconds

    def is_steady() -> bool:
        return sum(client.sent for client in crowd.clients) >= 2 * crowd.plan.in_flight

    while not is_steady() and time.monotonic() < deadline:
        crowd.serve_for(POLL_SECONDS)
    return is_steady()


def say_to_all(crowd: Crowd, report: Report) -> None:
    """Report how long one message takes to everybody, for each of the plan's rounds."""
    for _number in range(crowd.plan.rounds):
        wait_until_calm(crowd.plan.pid, crowd)
        before = sum(client.heard for client in crowd.clients)
        started, server = time.monotonic(), servers_cpu_seconds(crowd.plan)
        crowd.clients[len(crowd.clients) // 2].speak()
        target = before + len(crowd.clients)
        while sum(client.heard for client in crowd.clients) < target:
            for _poll in range(8):  # counting ten thousand each time would be the bottleneck
                crowd.serve(POLL_SECONDS if _poll == 0 else 0.002)
            if time.monotonic() - started > JOIN_SECONDS:
                raise ServerLost("a message did not reach everybody")
        report.round_ms.append((time.monotonic() - started) * 1e3)
        report.round_cpu_ms.append((servers_cpu_seconds(crowd.plan) - server) * 1e3)


def wait_until_calm(pid: int, crowd: Crowd | None = None) -> None:
    """Return when the server has done next to nothing for half a second."""
    deadline = time.monotonic() + JOIN_SECONDS
    calm_polls, before = 0, cpu_seconds(pid)
    while calm_polls < 5 and time.monotonic() < deadline:
        started = time.monotonic()
        if crowd is None:
            time.sleep(POLL_SECONDS)
        else:
            crowd.serve_for(POLL_SECONDS)
        now = cpu_seconds(pid)
        is_calm = now - before <= IDLE_SHARE * (time.monotonic() - started) + 0.01  # one tick
        calm_polls, before = (calm_polls + 1 if is_calm else 0), now


def carry_out(crowd: Crowd) -> Report:
    """Do what the crowd's plan says; a server that does not stand it is reported, not raised."""
    plan = crowd.plan
    report = Report(rss_before_kb=rss_kb(plan.pid))
    try:
        crowd.make_history()
        started, server = time.monotonic(), servers_cpu_seconds(plan)
        crowd.join()
        crowd.call_roll()
        report.join_seconds = time.monotonic() - started
        report.join_cpu_seconds = servers_cpu_seconds(plan) - server
        report.clients = len(crowd.clients)
        crowd.enter_rooms()
        crowd.begin_to_count()
        if plan.rounds:
            say_to_all(crowd, report)
            report.rss_kb = rss_kb(plan.pid)
        else:
            measure(crowd, report)
        started, server = time.monotonic(), servers_cpu_seconds(plan)
        crowd.leave()
        if plan.rounds:
            wait_until_calm(plan.pid)
            report.calm_seconds = time.monotonic() - started - 5 * POLL_SECONDS
            report.calm_cpu_seconds = servers_cpu_seconds(plan) - server
            report.rss_after_kb = rss_kb(plan.pid)
    except (ServerLost, OSError) as error:
        report.error = str(error) or type(error).__name__
    return report


def main(crowd_class: type[Crowd] = Crowd) -> None:
    """Read the plan, carry it out, print the report."""
    gc.disable()  # nothing here makes cycles, and a pause would be taken for the server's
    plan = Plan(**json.loads(sys.argv[1]))
    print(json.dumps(asdict(carry_out(crowd_class(plan)))))


if __name__ == "__main__":
    main()
