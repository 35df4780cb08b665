"""The ledger over several servers: nothing is lost, doubled or reordered by what is killed.

Servers and NATS are killed, servers are stopped and continued, NATS nodes and leaders are killed,
twice each; `make soak`, which sets CHAT_SOAK, twenty times each.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from natsd import Natsd, running_nats, running_nats_cluster, stable_ports
from support import RunningServer, eventually, running_program
from test_ledger import Reader, Row, Sender
from test_rooms_ledger import NAMES, REPORT_SECONDS, check

from chat.server.cluster.connection import ApiError, AwayError, ClusterSettings, Connection
from chat.server.cluster.stream import NAME

TIMES = min(20, int(os.environ.get("CHAT_SOAK", "2")))
SERVERS = 2
SENDERS_EACH = 3
READERS_EACH = 2
LIFETIME_SECONDS = (0.2, 1.0)
STOPPED_SECONDS = 1.5
# How long NATS is gone: in make soak longer than anything waits to be stored.
GONE_SECONDS = 12.0 if "CHAT_SOAK" in os.environ else 1.0
CATCH_UP_SECONDS = 90.0


class Chat:
    """Servers that share a log, each on a port and a file of its own, over kills and starts."""

    def __init__(self, folder: Path, urls: Sequence[str], replicas: int = 1) -> None:
        self.files = [folder / f"chat-{number}.db" for number in range(SERVERS)]
        self.addresses: list[str] = []
        self._commands = []
        for port, file in zip(stable_ports(SERVERS), self.files, strict=True):
            command = [sys.executable, "server.py", "--host", "localhost", "--port", str(port)]
            command += ["--db", str(file), "--rate", "0", "--quiet"]
            command += ["--cluster", ",".join(urls), "--replicas", str(replicas)]
            self._commands.append(command)
            self.addresses.append(f"localhost:{port}")
        self._running: list[RunningServer] = []
        for command in self._commands:
            self._running.append(RunningServer(command))

    def kill(self, number: int) -> None:
        """Kill one server, and start it again."""
        self._running[number].close()
        self._running[number] = RunningServer(self._commands[number])

    def pause(self, number: int, seconds: float) -> None:
        """Stop one server for a while, as a machine that sleeps does."""
        process = self._running[number].process
        os.kill(process.pid, signal.SIGSTOP)
        threading.Event().wait(seconds)
        os.kill(process.pid, signal.SIGCONT)

    def rows(self, number: int) -> list[Row]:
        """Return the log as one server's file has it."""
        with closing(sqlite3.connect(self.files[number])) as connection:
            query = "SELECT id, user, message FROM message ORDER BY id"
            return connection.execute(query).fetchall()

    def close(self) -> None:
        """Kill all of them."""
        for server in self._running:
            server.close()


class People:
    """Senders and readers at every server, and what they make of it in the end."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        places = list(enumerate(chat.addresses))
        self.readers = [
            Reader(address, f"reader-{place}-{number}")
            for place, address in places
            for number in range(READERS_EACH)
        ]
        eventually(lambda: all(reader.is_there.is_set() for reader in self.readers))
        self.senders = [
            Sender(address, f"sender-{place}-{number}")
            for place, address in places
            for number in range(SENDERS_EACH)
        ]

    def wait_for_news(self) -> None:
        """Return when something that is said from now on has been heard by everybody."""
        heard = [len(reader.rows) for reader in self.readers]
        eventually(
            lambda: all(
                len(reader.rows) > before + SENDERS_EACH * SERVERS
                for reader, before in zip(self.readers, heard, strict=True)
            ),
            CATCH_UP_SECONDS,
        )

    def check(self) -> None:
        """Let everybody finish; what was acknowledged, stored and heard must agree."""
        eventually(lambda: all(sender.sent for sender in self.senders), CATCH_UP_SECONDS)
        for sender in self.senders:
            sender.stop()
        for sender in self.senders:
            sender.join()
        said = sum(sender.sent - len(sender.refused) for sender in self.senders)
        logs = range(SERVERS)
        eventually(
            lambda: all(len(self._chat.rows(number)) >= said for number in logs),
            CATCH_UP_SECONDS,
            lambda: [said, *(len(self._chat.rows(number)) for number in logs)],
        )
        log = self._chat.rows(0)
        assert all(self._chat.rows(number) == log for number in logs)
        assert [sender.unacknowledged for sender in self.senders] == [0] * len(self.senders)
        for sender in self.senders:
            own = [text for _id, user, text in log if user == sender.name]
            sent = [f"{sender.name}-{number}" for number in range(sender.sent)]
            assert own == [text for text in sent if text not in sender.refused]
        eventually(lambda: all(len(r.rows) >= len(log) for r in self.readers), CATCH_UP_SECONDS)
        assert all(reader.rows == log for reader in self.readers)
        refused = sum(len(sender.refused) for sender in self.senders)
        print(f"{len(log)} messages, {refused} refused: 0 lost, 0 doubled, 0 reordered")

    def close(self) -> None:
        """End everybody, whatever they wait for."""
        for sender in self.senders:
            sender.stop()
            sender.abort()
        for reader in self.readers:
            reader.close()
        for sender in self.senders:
            sender.join()


@contextmanager
def conversation(chat: Chat) -> Iterator[People]:
    """Have people talk at all servers for the length of the block; then hold all to the ledger."""
    try:
        people = People(chat)
        try:
            yield people
            people.check()
        finally:
            people.close()
    finally:
        chat.close()


def pause_a_while(chance: random.Random) -> None:
    """Let them talk."""
    threading.Event().wait(chance.uniform(*LIFETIME_SECONDS))


def restart(nats: Natsd, after_seconds: float = 0.0) -> None:
    """Kill a nats-server, and start it again after a while."""
    nats.kill()
    threading.Event().wait(after_seconds)
    nats.start()


@pytest.mark.skipif(sys.platform == "win32", reason="programs are stopped by signals of POSIX")
def test_kills_of_servers_and_of_nats_cost_nothing(tmp_path: Path) -> None:
    """And of servers that are stopped and continued: under flood, at random moments."""
    chance = random.Random()
    with running_nats(tmp_path / "nats", sync="always") as nats:
        chat = Chat(tmp_path, [nats.url])
        faults: list[Callable[[], None]] = [
            lambda: chat.kill(chance.randrange(SERVERS)),
            lambda: restart(nats),
            lambda: restart(nats, GONE_SECONDS),
            lambda: chat.pause(chance.randrange(SERVERS), STOPPED_SECONDS),
        ]
        with conversation(chat):
            for fault in chance.sample(faults * TIMES, k=len(faults) * TIMES):
                pause_a_while(chance)
                fault()


def lose_two(nodes: Sequence[Natsd]) -> None:
    """Kill two of three nodes: what is left cannot store anything until they are back."""
    for node in nodes[1:]:
        node.kill()
    threading.Event().wait(GONE_SECONDS)
    for node in nodes[1:]:
        node.start()


@pytest.mark.skipif(sys.platform == "win32", reason="programs are stopped by signals of POSIX")
def test_rooms_names_and_inboxes_are_those_of_all_servers(tmp_path: Path) -> None:
    """People at both servers write to each other, move about and are renamed, through kills."""
    chance = random.Random()
    with ExitStack() as stack:
        nats = stack.enter_context(running_nats(tmp_path / "nats", sync="always"))
        chat = Chat(tmp_path, [nats.url])
        stack.callback(chat.close)
        addresses = ",".join(chat.addresses)
        groups = [
            stack.enter_context(running_program("tests/system/people.py", addresses, *names))
            for names in (NAMES[:5], NAMES[5:])
        ]
        for _time in range(TIMES):
            pause_a_while(chance)
            chat.kill(chance.randrange(SERVERS))
            pause_a_while(chance)
            restart(nats)
        for group in groups:
            group.type("enough")
        eventually(lambda: all(group.lines for group in groups), REPORT_SECONDS)
        reports = [one for group in groups for one in json.loads(group.lines[0])]
        for group in groups:
            assert group.stderr == ""
        eventually(lambda: chat.rows(0) == chat.rows(1))
    check(reports, chat.files[0])


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

    name = eventually(lambda: asyncio.run(ask()), CATCH_UP_SECONDS)
    return [f"n{node.port}" for node in nodes].index(name)


def test_kills_of_nodes_and_leaders_of_nats_cost_nothing(tmp_path: Path) -> None:
    """Three copies: one node less at a time, the leader or another."""
    chance = random.Random()
    with running_nats_cluster(tmp_path / "nats") as nodes:
        chat = Chat(tmp_path, [node.url for node in nodes], replicas=len(nodes))
        with conversation(chat) as people:
            for kills_leader in chance.sample([True, False] * TIMES, k=2 * TIMES):
                people.wait_for_news()
                leader = leader_of(nodes)
                others = [number for number in range(len(nodes)) if number != leader]
                restart(nodes[leader if kills_leader else chance.choice(others)])
            if "CHAT_SOAK" in os.environ:  # it takes nodes a while to find each other again
                people.wait_for_news()
                lose_two(nodes)
