"""A model of the server's turns: why its writers rest together, and for how long.

Run: `python bench/rounds_model.py` prints the tables of bench/README.md in a minute, the same each
time. Two cores, each of which does one thing after the other: one has the server's reads, commits,
broadcasts and writes, the other what all clients do with what is written to them. The rules and
the constants are the server's, what things cost was measured; knows no gRPC. Times are
microseconds.
"""

from __future__ import annotations

import heapq
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import command_line

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chat.server.appending import MAX_UNCOMMITTED
from chat.server.log.group_commit import (
    ENOUGH_MESSAGES,
    GATHER_FACTOR,
    GROWTH,
    MAX_GATHER_SECONDS,
    MAX_GROUP,
    MIN_GATHER_SECONDS,
    MIN_LONE_GATHER_SECONDS,
)
from chat.server.rounds import LONG_TURN_SECONDS, MAX_REST_SECONDS, REST_FACTOR

# What the server does, on its core (`perf`, and the grid of bench/README.md).
READ = 55.0  # of one message: gRPC, judging it, appending it
COMMIT, COMMIT_MESSAGE = 150.0, 4.0  # of a group: the core's part
DISK = 250.0  # and the disk's
PUT = 0.5  # of a delivery into one queue
WRITE, WRITE_MESSAGE = 22.0, 0.1  # to begin a write, of so many messages
WRITTEN = 10.0  # to hear that it is done

Do = Callable[[], None]
Changes = dict[str, dict[str, Any]]  # by name, of a `Case`
# What is done on a core: returns what it costs, and what comes of it.
Job = Callable[[], tuple[float, Do]]


@dataclass(frozen=True)
class Case:
    """What is modelled. `senders` keep `in_flight` messages unanswered, together.

    `takes`, `takes_message`: what it costs a client to read what has come, and each message of it.
    `is_together`: writers go on at the same moment; else each rests for itself, for a multiple of
    what its own write took. The others are the server's constants.
    """

    clients: int
    in_flight: int
    senders: int
    takes: float = 1.0
    takes_message: float = 0.1
    disk: float = DISK
    is_together: bool = True
    rest_factor: float = REST_FACTOR
    max_rest: float = MAX_REST_SECONDS * 1e6
    gather_factor: float = GATHER_FACTOR
    max_gather: float = MAX_GATHER_SECONDS * 1e6


@dataclass
class Outcome:
    """What was seen in the second half of the time. `worked`: by the server's core."""

    worked: float = 0.0
    writes: int = 0
    deliveries: int = 0
    groups: int = 0
    messages: int = 0
    took: list[float] = field(default_factory=list)

    @property
    def cost(self) -> float:
        """What one delivery cost the server."""
        return self.worked / max(1, self.deliveries)

    @property
    def messages_a_write(self) -> float:
        """How many messages one write brought."""
        return self.deliveries / max(1, self.writes)

    @property
    def messages_a_group(self) -> float:
        """How many messages one commit took."""
        return self.messages / max(1, self.groups)

    def took_ms(self, share: float) -> float:
        """Return within how many milliseconds such a share of the messages was heard."""
        return sorted(self.took)[int(share * (len(self.took) - 1))] / 1e3


class Clock:
    """What happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Do]] = []
        self._count = 0

    def after(self, delay: float, do: Do) -> None:
        """Have something done so much later."""
        self._count += 1
        heapq.heappush(self._due, (self.now + delay, self._count, do))

    def run(self, until: float) -> None:
        """Let everything happen, in order, until then."""
        while self._due and self._due[0][0] <= until:
            self.now, _count, do = heapq.heappop(self._due)
            do()


class Core:
    """Does one job after the other, in the order in which they came. `worked`: for how long."""

    def __init__(self, clock: Clock) -> None:
        self.worked = 0.0
        self._clock = clock
        self._jobs: deque[Job] = deque()
        self._is_busy = False

    def add(self, job: Job) -> None:
        """Do this when all that came before is done."""
        self._jobs.append(job)
        if not self._is_busy:
            self._is_busy = True
            self._clock.after(0.0, self._next)

    def _next(self) -> None:
        cost, do = self._jobs.popleft()()
        self.worked += cost
        self._clock.after(cost, lambda: self._end(do))

    def _end(self, do: Do) -> None:
        do()
        self._is_busy = bool(self._jobs)
        if self._jobs:
            self._next()


@dataclass(slots=True, eq=False)
class Client:
    """One client: what it has said that was not read yet, its queue, what has come to it."""

    unread: deque[float] = field(default_factory=deque)  # when each was said
    is_reading: bool = False
    uncommitted: int = 0
    queue: list[Said] = field(default_factory=list)
    is_writing: bool = False  # to it; or that writer rests
    arrived: list[Said] = field(default_factory=list)


# By whom, and when.
Said = tuple[Client, float]


class Model:
    """One case, on a clock of its own."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._clock = Clock()
        self._server, self._takers = Core(self._clock), Core(self._clock)
        self._clients = [Client() for _number in range(case.clients)]
        self._gathering: list[Said] = []
        self._is_committing = self._is_gathering = False
        self._gatherings = 0
        self._enough = 0  # so many messages have a group gather no longer
        self._resting: list[Client] = []
        self._outcome = Outcome()

    def run(self, seconds: float) -> Outcome:
        """Let everybody begin; return what was seen in the second half of so many seconds."""
        case = self._case
        for number in range(case.senders):
            place = (2 * number + 1) * case.clients // (2 * case.senders)
            self._say(self._clients[place], case.in_flight // case.senders)
        self._clock.run(seconds * 5e5)
        self._outcome, before = Outcome(), self._server.worked
        self._clock.run(seconds * 1e6)
        self._outcome.worked = self._server.worked - before
        return self._outcome

    # What comes in.

    def _say(self, client: Client, count: int) -> None:
        client.unread.extend([self._clock.now] * count)
        self._read(client)

    def _read(self, client: Client) -> None:
        """Read one message, after all that the server has to do already."""
        may_read = not client.is_reading and client.uncommitted <= MAX_UNCOMMITTED
        if client.unread and may_read:
            client.is_reading = True
            self._server.add(lambda: (READ, lambda: self._append(client)))

    def _append(self, client: Client) -> None:
        client.is_reading = False
        client.uncommitted += 1
        self._gathering.append((client, client.unread.popleft()))
        self._read(client)
        if not self._is_committing:
            self._is_committing = True
            self._server.add(lambda: (0.0, self._commit))
        elif len(self._gathering) >= self._enough:
            self._end_gathering(self._gatherings)

    # The log (`group_commit.py`).

    def _commit(self) -> None:
        if not self._gathering:
            self._is_committing = False
            return
        group, self._gathering = self._gathering[:MAX_GROUP], self._gathering[MAX_GROUP:]

        def deliver() -> None:
            cost = PUT * len(self._clients)
            self._server.add(lambda: (cost, lambda: self._deliver(group)))

        cost = COMMIT + COMMIT_MESSAGE * len(group)
        self._server.add(lambda: (cost, lambda: self._clock.after(self._case.disk, deliver)))

    def _deliver(self, group: list[Said]) -> None:
        self._outcome.groups += 1
        self._outcome.messages += len(group)
        for sender, _said in group:
            sender.uncommitted -= 1
            self._read(sender)
        for client in self._clients:
            client.queue += group
            self._write(client)
        commit = COMMIT + COMMIT_MESSAGE * len(group) + self._case.disk
        took = PUT * len(self._clients) + (commit if self._gathering else 0.0)
        gather = min(self._case.gather_factor * took, self._case.max_gather)
        is_lone = len(group) <= 1 and not self._gathering
        least = MIN_LONE_GATHER_SECONDS if is_lone else MIN_GATHER_SECONDS
        self._enough = min(GROWTH * len(group), ENOUGH_MESSAGES)
        is_enough = gather < least * 1e6 or len(self._gathering) >= self._enough
        self._gatherings, self._is_gathering = self._gatherings + 1, True
        number = self._gatherings
        self._clock.after(0.0 if is_enough else gather, lambda: self._end_gathering(number))

    def _end_gathering(self, number: int) -> None:
        """Commit what has gathered, unless this gathering has ended already."""
        if self._is_gathering and number == self._gatherings:
            self._is_gathering = False
            self._commit()

    # What goes out (`ChatService._send_messages`, `rounds.py`).

    def _write(self, client: Client) -> None:
        if client.queue and not client.is_writing:
            client.is_writing = True
            self._server.add(lambda: self._begin_write(client))

    def _begin_write(self, client: Client) -> tuple[float, Do]:
        written, client.queue = client.queue, []
        now, worked = self._clock.now, self._server.worked

        def rest() -> None:
            took = self._server.worked - worked if self._case.is_together else self._clock.now - now
            self._rest(client, len(written), took)

        def end() -> None:
            self._outcome.writes += 1
            self._outcome.deliveries += len(written)
            self._arrive(client, written)
            self._server.add(lambda: (WRITTEN, rest))

        return WRITE + WRITE_MESSAGE * len(written), end

    def _rest(self, client: Client, count: int, took: float) -> None:
        times = took / (LONG_TURN_SECONDS * 1e6) if self._case.is_together else 1.0
        rest = min(self._case.rest_factor * took * times, self._case.max_rest)
        if count < 2 and not client.queue:
            self._go_on([client])
        elif not self._case.is_together:
            self._clock.after(rest, lambda: self._go_on([client]))
        else:
            if not self._resting:
                self._clock.after(rest, self._begin_round)
            self._resting.append(client)

    def _begin_round(self) -> None:
        resting, self._resting = self._resting, []
        self._go_on(resting)

    def _go_on(self, clients: Iterable[Client]) -> None:
        for client in clients:
            client.is_writing = False
            self._write(client)

    # What the clients do.

    def _arrive(self, client: Client, written: list[Said]) -> None:
        client.arrived += written
        if len(client.arrived) == len(written):
            self._takers.add(lambda: self._take(client))

    def _take(self, client: Client) -> tuple[float, Do]:
        """Let a client read all that has come, and answer each of its own messages with one."""
        taken, client.arrived = client.arrived, []

        def end() -> None:
            self._outcome.took.append(self._clock.now - taken[0][1])
            if own := sum(sender is client for sender, _said in taken):
                self._say(client, own)

        return self._case.takes + self._case.takes_message * len(taken), end


def run(case: Case, seconds: float = 4.0) -> Outcome:
    """Return what comes of a case."""
    return Model(case).run(seconds)


def slow(case: Case, times: float = 1.0) -> Case:
    """Return a case with clients that take 50 µs to read, and 1 for each message."""
    return replace(case, takes=50.0 * times, takes_message=times)


ONE, MANY, FEW = Case(1000, 500, 1), Case(1000, 500, 500), Case(100, 20, 20)
LOADS = {
    "1 sender, 500 in flight, 1,000 quick clients": ONE,
    "the same, 1,000 slow clients": slow(ONE),
    "the same, three times as slow": slow(ONE, 3),
    "500 senders, 500 in flight, 1,000 slow clients": slow(MANY),
    "20 senders, 20 in flight, 100 quick clients": FEW,
    "the same, 100 slow clients": slow(FEW),
    "20 senders, 20 in flight, 1,000 quick clients": Case(1000, 20, 20),
}
# As it was until there were rounds.
APART: dict[str, Any] = {"is_together": False, "rest_factor": 10.0}
RESTS: Changes = {"each for itself, 10": APART}
RESTS |= {f"together, {factor}": {"rest_factor": float(factor)} for factor in (0, 0.3, 1, 3)}
GATHERINGS = {
    "500 senders, 1,000 slow clients": slow(MANY),
    "the same, the log in memory": replace(slow(MANY), disk=0.0),
    "20 senders, 100 slow clients": slow(FEW),
    "these, the log in memory": replace(slow(FEW), disk=0.0),
}
GATHER_FACTORS: Changes = {f"{n}": {"gather_factor": float(n)} for n in (0, 1, 10, 100)}


def table(
    title: str, cases: Mapping[str, Case], changes: Changes, show: Callable[[Outcome], str]
) -> str:
    """Return what comes of each case with each change, as a table."""
    lines = [f"| {title} | {' | '.join(changes)} |", "| --- " * (1 + len(changes)) + "|"]
    for name, case in cases.items():
        shown = [show(run(replace(case, **change))) for change in changes.values()]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def figures(out: Outcome, messages: float) -> str:
    """Return a cell of a table: messages, what a delivery costs, how long it takes."""
    return f"{messages:.0f}; {out.cost:.2f}; {out.took_ms(0.99):.0f}"


def main() -> None:
    """Print both tables."""
    command_line.parser_of(__doc__).parse_args()
    units = "µs a delivery; p99 in ms"
    writes = table(
        f"messages a write; {units}; by REST_FACTOR",
        LOADS,
        RESTS,
        lambda o: figures(o, o.messages_a_write),
    )
    print(f"{writes}\n", flush=True)
    print(
        table(
            f"messages a group; {units}; by GATHER_FACTOR",
            GATHERINGS,
            GATHER_FACTORS,
            lambda o: figures(o, o.messages_a_group),
        )
    )


if __name__ == "__main__":
    command_line.run(main)
