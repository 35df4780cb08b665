"""The ledger: what senders were told, what the log holds and what readers saw must agree.

The suite kills the server five times; `make soak` sets CHAT_SOAK=50.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

from support import eventually, running_server, stable_port

import chat_pb2
from chat.client import Change, Session, State
from chat.protocol.errors import ChatError

# Read when the module is, since the tests themselves see none of our variables.
KILLS = int(os.environ.get("CHAT_SOAK", "5"))
SENDERS = 10
READERS = 10
# Between two kills; the shortest leave some clients no time to come back at all.
LIFETIME_SECONDS = (0.2, 1.8)
CATCH_UP_SECONDS = 60.0

Row = tuple[int, str, str]


class Reader:
    """A session that only listens: `rows` is what it saw of the log, in the order it saw it."""

    def __init__(self, address: str, name: str) -> None:
        self.rows: list[Row] = []
        # From here on its session owes it everything.
        self.is_there = threading.Event()
        self._session = Session(
            address, name, retry_first_connect=True, on_state=lambda state: self._note(state)
        )
        self._thread = threading.Thread(target=self._listen, name=name)
        self._thread.start()

    def _note(self, state: State) -> None:
        if state.change is Change.CONNECTED:
            self.is_there.set()

    def _listen(self) -> None:
        for message in self._session:
            if message.id:
                self.rows.append((message.id, message.user, message.message))

    def close(self) -> None:
        self._session.close(5)
        self._thread.join()


class Sender:
    """A session that says `NAME-0`, `NAME-1`, … as fast as it is taken, until told to stop.

    `refused`: what of it the server has said not to be stored.
    """

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self.sent = 0
        self.refused: set[str] = set()
        self.unacknowledged = 0
        self._is_stopping = threading.Event()
        self._session = Session(address, name, retry_first_connect=True)
        self._threads = [
            threading.Thread(target=target, name=name) for target in (self._listen, self._flood)
        ]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        for message in self._session:
            if message.kind == chat_pb2.KIND_NOTICE and message.user == "NOT_STORED":
                self.refused.add(message.key)

    def _flood(self) -> None:
        with suppress(ChatError):  # aborted, after a failure elsewhere
            while not self._is_stopping.is_set():
                text = f"{self.name}-{self.sent}"
                self._session.send(text, key=text)
                self.sent += 1
        self.unacknowledged = self._session.close(CATCH_UP_SECONDS)

    def stop(self) -> None:
        self._is_stopping.set()

    def abort(self) -> None:
        self._session.abort()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def test_nothing_acknowledged_is_lost_doubled_or_reordered_by_kills(tmp_path: Path) -> None:
    """Under flood, with SIGKILLs at random moments, everybody ends up with the log, exactly."""
    db, port = tmp_path / "chat.db", stable_port()
    address = f"localhost:{port}"
    chance = random.Random()
    readers = [Reader(address, f"reader-{i}") for i in range(READERS)]
    with running_server("--quiet", db=db, port=port):
        assert all(reader.is_there.wait(CATCH_UP_SECONDS) for reader in readers)
    senders = [Sender(address, f"sender-{i}") for i in range(SENDERS)]
    try:
        for _kill in range(KILLS):
            with running_server("--rate", "0", "--quiet", db=db, port=port) as server:
                threading.Event().wait(chance.uniform(*LIFETIME_SECONDS))
                server.process.kill()
        with running_server("--rate", "0", "--quiet", db=db, port=port):
            log = _settle(senders, readers, db)
    finally:
        _end(readers, senders)
    assert [sender.unacknowledged for sender in senders] == [0] * SENDERS
    assert not any(sender.refused for sender in senders)
    for sender in senders:
        own = [text for _id, user, text in log if user == sender.name]
        assert own == [f"{sender.name}-{number}" for number in range(sender.sent)]
    for reader in readers:
        assert reader.rows == log
    print(f"{KILLS} kills, {len(log)} messages, {READERS} readers: 0 lost, 0 doubled, 0 reordered")


def _settle(senders: list[Sender], readers: list[Reader], db: Path) -> list[Row]:
    """Let the senders finish and the readers catch up; return the whole log."""
    eventually(lambda: all(sender.sent for sender in senders), CATCH_UP_SECONDS)
    for sender in senders:
        sender.stop()
    for sender in senders:
        sender.join()
    log = _rows(db)
    eventually(
        lambda: all(len(reader.rows) >= len(log) for reader in readers),
        CATCH_UP_SECONDS,
        lambda: [len(reader.rows) for reader in readers],
    )
    return log


def _rows(db: Path) -> list[Row]:
    connection = sqlite3.connect(db)
    try:
        return connection.execute("SELECT id, user, message FROM message ORDER BY id").fetchall()
    finally:
        connection.close()


def _end(readers: list[Reader], senders: list[Sender]) -> None:
    for sender in senders:
        sender.stop()
        sender.abort()
    for reader in readers:
        reader.close()
    for sender in senders:
        sender.join()
