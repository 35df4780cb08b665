"""The ledger over three servers: what is killed costs nobody anything.

Sixty people, twenty of whom talk, in rooms and privately, are at three servers, whose log is in one
nats-server, or in three that are one. Servers and NATS are killed, twice each. `make soak` sets
CHAT_SOAK: then it is twenty times each, and there are three hundred people.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from natsd import Natsd, running_nats, running_nats_cluster, stable_ports
from support import Program, RunningServer, eventually, running_program
from test_rooms_ledger import Report, check

from chat.server.cluster.connection import ApiError, AwayError, ClusterSettings, Connection
from chat.server.cluster.stream import NAME

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="programs are stopped by signals of POSIX"
)
IS_SOAK = "CHAT_SOAK" in os.environ
TIMES = min(20, int(os.environ.get("CHAT_SOAK", "2")))
SERVERS = 3
TALKERS = 20
# Sixty sessions each: the threads of three hundred in one would have no time to talk. They keep a
# processor busy even when nobody does, which the suite has not to spare.
PROGRAMS = 5 if IS_SOAK else 1
NAMES = [f"p{number}." for number in range(60 * PROGRAMS)]
PAUSE_SECONDS = "1"  # of one who talks, at most
# Between two faults.
LIFETIME_SECONDS = (0.0, 1.0)
# In make soak longer than others take a server for alive, and longer than clients wait for it.
STOPPED_SECONDS = 15.0 if IS_SOAK else 1.5
# How long NATS is gone: in make soak longer than anything waits to be stored.
GONE_SECONDS = 12.0 if IS_SOAK else 1.0
NEWS_SECONDS = 120.0
REPORT_SECONDS = 240.0

WHOLE_LOG = "SELECT id, room, user, addressee, message, key, sent_at FROM message ORDER BY id"

Fault = Callable[[], None]


class Chat:
    """Servers that share a log, each on a port and a file of its own, over kills and starts.

    `outages`: the address of each server that was killed or stopped, when that was, and when it was
    there again.
    """

    def __init__(self, folder: Path, urls: Sequence[str], replicas: int = 1) -> None:
        self.files = [folder / f"chat-{number}.db" for number in range(SERVERS)]
        self.addresses = [f"localhost:{port}" for port in stable_ports(SERVERS)]
        self.outages: list[tuple[str, float, float]] = []
        self._commands = []
        for address, file in zip(self.addresses, self.files, strict=True):
            port = address.partition(":")[2]
            command = [sys.executable, "server.py", "--host", "localhost", "--port", port]
            command += ["--db", str(file), "--rate", "0", "--quiet"]
            command += ["--cluster", ",".join(urls), "--replicas", str(replicas)]
            self._commands.append(command)
        with ThreadPoolExecutor(SERVERS) as pool:
            self._running = list(pool.map(RunningServer, self._commands))

    def kill(self, number: int, until: Fault) -> None:
        """Kill one server, and start it again when `until` returns."""
        killed_at = time.monotonic()
        self._running[number].close()
        until()
        self._running[number] = RunningServer(self._commands[number])
        self._note_outage(number, killed_at)

    def pause(self, number: int, seconds: float) -> None:
        """Stop one server for a while, as a machine that sleeps does."""
        stopped_at = time.monotonic()
        self._running[number].send_signal(signal.SIGSTOP)
        threading.Event().wait(seconds)
        self._running[number].send_signal(signal.SIGCONT)
        self._note_outage(number, stopped_at)

    def _note_outage(self, number: int, since: float) -> None:
        self.outages.append((self.addresses[number], since, time.monotonic()))

    def log(self, number: int) -> list[tuple[object, ...]]:
        """Return the log as one server's file has it."""
        with closing(sqlite3.connect(self.files[number])) as connection:
            return connection.execute(WHOLE_LOG).fetchall()

    def close(self) -> None:
        """Kill all of them."""
        for server in self._running:
            server.close()


class People:
    """Everybody, in some programs: each is at one of the servers, and goes on at another."""

    def __init__(self, chat: Chat, programs: Sequence[Program]) -> None:
        self._chat = chat
        self._programs = programs
        self._answers()

    def _answers(self, seconds: float = NEWS_SECONDS) -> list[str]:
        """Return the next line of each program, which is taken away there."""
        eventually(lambda: all(p.lines or not p.is_running for p in self._programs), seconds)
        assert all(program.lines for program in self._programs), self._errors()
        return [program.lines.pop(0) for program in self._programs]

    def _errors(self) -> list[str]:
        return [program.stderr for program in self._programs]

    def _tell(self, word: str) -> None:
        for program in self._programs:
            program.type(word)

    def wait_for_news(self) -> None:
        """Return when each talker has been confirmed something new."""
        self._tell("news")
        self._answers()

    def check(self) -> None:
        """Let everybody finish; what was acknowledged, stored and heard must agree."""
        self._tell("enough")
        self._answers(REPORT_SECONDS)
        self._tell("report")
        reports: list[Report] = [
            one for line in self._answers(REPORT_SECONDS) for one in json.loads(line)
        ]
        assert [program.wait() for program in self._programs] == [0] * PROGRAMS
        assert self._errors() == [""] * PROGRAMS
        logs = range(SERVERS)
        eventually(lambda: all(self._chat.log(0) == self._chat.log(number) for number in logs))
        in_words = check(reports, self._chat.files[0])
        resumed = [self._check_stays(report) for report in reports]
        print(f"{in_words}; {len(self._chat.outages)} outages, {sum(resumed)} times resumed")

    def _check_stays(self, report: Report) -> int:
        """Return how often somebody lost a server: never one that was there all the time."""
        for address, came_at, lost_at in report["stays"]:
            assert any(
                address == lost and came_at < until and since < lost_at
                for lost, since, until in self._chat.outages
            ), (report["name"], address)
        return len(report["stays"])


@contextmanager
def conversation(chat: Chat) -> Iterator[People]:
    """Have people talk at all servers for the length of the block; then hold all to the ledger."""
    with ExitStack() as stack:
        stack.callback(chat.close)
        arguments = (",".join(chat.addresses), str(TALKERS // PROGRAMS), PAUSE_SECONDS)
        programs = [
            stack.enter_context(
                running_program("tests/system/people.py", *arguments, *NAMES[first::PROGRAMS])
            )
            for first in range(PROGRAMS)
        ]
        people = People(chat, programs)
        yield people
        people.check()


def inflict(faults: Sequence[Fault], people: People, chance: random.Random) -> None:
    """Let each fault happen so often, in any order; go on when everybody is served again."""
    for fault in chance.sample([*faults] * TIMES, k=len(faults) * TIMES):
        threading.Event().wait(chance.uniform(*LIFETIME_SECONDS))
        fault()
        people.wait_for_news()


def restart(nats: Natsd, after_seconds: float = 0.0) -> None:
    """Kill a nats-server, and start it again after a while."""
    nats.kill()
    threading.Event().wait(after_seconds)
    nats.start()


def lose_two(nodes: Sequence[Natsd]) -> None:
    """Kill two of three nodes: what is left cannot store anything until they are back."""
    for node in nodes[1:]:
        node.kill()
    threading.Event().wait(GONE_SECONDS)
    for node in nodes[1:]:
        node.start()


def leader_of(nodes: Sequence[Natsd]) -> int:
    """Return which node leads the stream."""

    async def ask() -> str:
        connection = Connection(ClusterSettings(tuple(node.url for node in nodes)))
        await connection.open(lambda text: None)
        try:
            found = await connection.api(f"STREAM.INFO.{NAME}", {}, 1.0)
            return str(found["cluster"].get("leader") or "")
        except (AwayError, ApiError):
            return ""
        finally:
            await connection.close()

    name = eventually(lambda: asyncio.run(ask()), NEWS_SECONDS)
    return [f"n{node.port}" for node in nodes].index(name)


def test_kills_of_servers_and_of_nats_cost_nothing(tmp_path: Path) -> None:
    """And of servers that are stopped and continued, and of NATS that is gone for a while."""
    chance = random.Random()
    with running_nats(tmp_path / "nats", sync="always") as nats:
        chat = Chat(tmp_path, [nats.url])
        with conversation(chat) as people:
            faults: list[Fault] = [
                lambda: chat.kill(chance.randrange(SERVERS), people.wait_for_news),
                lambda: restart(nats, chance.choice([0.0, GONE_SECONDS])),
                lambda: chat.pause(chance.randrange(SERVERS), STOPPED_SECONDS),
            ]
            inflict(faults, people, chance)


def test_kills_of_servers_and_of_nodes_of_nats_cost_nothing(tmp_path: Path) -> None:
    """Three copies: one node less at a time, the leader or another."""
    chance = random.Random()
    with running_nats_cluster(tmp_path / "nats") as nodes:
        chat = Chat(tmp_path, [node.url for node in nodes], replicas=len(nodes))

        def kill_node(is_leader: bool) -> None:
            leader = leader_of(nodes)
            others = [number for number in range(len(nodes)) if number != leader]
            restart(nodes[leader if is_leader else chance.choice(others)])

        with conversation(chat) as people:
            faults: list[Fault] = [
                lambda: chat.kill(chance.randrange(SERVERS), people.wait_for_news),
                lambda: kill_node(is_leader=True),
                lambda: kill_node(is_leader=False),
            ]
            inflict(faults, people, chance)
            if IS_SOAK:  # it takes nodes a while to find each other again
                lose_two(nodes)
                people.wait_for_news()
