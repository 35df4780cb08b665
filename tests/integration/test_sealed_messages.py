"""Sealed messages between two owners, over a server with TLS: who can read them, and who cannot."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Pair, make_pair
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import (
    DEADLINE_SECONDS,
    Program,
    RunningServer,
    eventually,
    running_client,
    running_server,
    server_here,
    stable_port,
)
from tls_recorder import tls_recorder

from chat.client import Place, Session
from chat.client.ending import EXIT_OK
from chat.client.outbox import Requests
from chat.client.pins import Pins
from chat.client.sealing import Sealing
from chat.client.ui.search_lines import EXIT_NOTHING_FOUND
from chat.protocol.metadata import PROOF, SESSION, USER
from chat.protocol.proof import make_proof
from chat_pb2 import KIND_UNSPECIFIED, Message

SECRET = "o-ouro-esta-no-quintal"
CLEAR = "todo-mundo-pode-ler-isto"


@dataclass
class Owner:
    """Somebody with a key, whose client is started and ended; what is kept from one to the next."""

    name: str
    folder: Path
    pair: Pair
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    session: str = field(default_factory=lambda: f"{time.monotonic_ns():032x}")
    place: Place | None = None
    messages: list[Message] = field(default_factory=list)

    @contextmanager
    def talking(self, address: str, **options: Any) -> Iterator[Session]:
        """Be in the chat for the length of the block; the connection is lost at its end."""
        session = Session(
            address,
            self.name,
            credentials=grpc.ssl_channel_credentials(self.pair.pem),
            retry_first_connect=True,
            open_stream=self._open,
            session_id=self.session,
            place=self.place,
            sealing=Sealing(self.key, Pins("chat", self.folder / self.name)),
            **options,
        )
        thread = threading.Thread(target=self._listen, args=(session,), name=self.name)
        thread.start()
        try:
            eventually(lambda: session.is_connected, what=lambda: self.messages)
            yield session
        finally:
            session.abort()
            thread.join(DEADLINE_SECONDS)
            self.place = session.place
            assert not thread.is_alive()

    def _listen(self, session: Session) -> None:
        self.messages.extend(iter(session))

    def _open(self, stub: Any, requests: Requests, metadata: Any) -> Any:
        """Open a stream, and prove that the name is one's own."""
        said: dict[str, Any] = dict(metadata)
        name = said[USER].decode()
        proof = make_proof(self.key, name, self.pair.fingerprint, said[SESSION], time.time())
        return stub.Chat(iter(requests.next, None), metadata=[*metadata, (PROOF, proof)])

    def hears(self, text: str) -> Message:
        """Wait for a text; return the message."""
        found = eventually(
            lambda: [m for m in list(self.messages) if m.message == text],
            what=lambda: self.messages,
        )
        (message,) = found
        return message


class Town:
    """A server with TLS on a log of its own, which may be started again, and a port that stays."""

    def __init__(self, folder: Path) -> None:
        self.db = folder / "chat.db"
        self.pair = make_pair()
        self.cert, self.key = self.pair.write(folder / "tls")
        self.flags = ("--tls-cert", self.cert, "--tls-key", self.key)
        self.port = stable_port()
        self.ana, self.bia = (Owner(name, folder, self.pair) for name in ("ana", "bia"))

    @contextmanager
    def open(self) -> Iterator[RunningServer]:
        """Run the server, as a program of its own, for the length of the block."""
        with running_server(*self.flags, db=self.db) as server:
            yield server

    @contextmanager
    def open_here(self) -> Iterator[str]:
        """Run the server in this process; its address."""
        with server_here(*self.flags, "--port", str(self.port), "--quiet", db=self.db) as server:
            yield server.address


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def forms_of(text: str) -> list[bytes]:
    """Return the bytes that a text may be in, on a wire, on a disk or in memory."""
    return [text.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-32-le")]


def holds(where: bytes, text: str) -> bool:
    return any(form in where for form in forms_of(text))


def memory_of(pid: int) -> bytes:
    """Return all that a process can write to, and so all that it has ever read; Linux alone."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the memory of another process can be read on Linux alone")
    pieces = []
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                begin, end, mode = re.match(r"(\w+)-(\w+) (\S+)", line).groups()  # type: ignore
                if mode.startswith("rw") and "[vvar" not in line:
                    memory.seek(int(begin, 16))
                    pieces.append(memory.read(int(end, 16) - int(begin, 16)))
    except PermissionError:
        pytest.skip("this system lets nobody read the memory of another process")
    return b"".join(pieces)


def test_only_the_two_can_read_it(town: Town) -> None:
    """Neither the wire without TLS, nor the log's file, nor the server's memory has a word of it.

    What is said to everybody is in all three, so that this would be seen.
    """
    with ExitStack() as stack:
        server = stack.enter_context(town.open())
        line = stack.enter_context(tls_recorder(server.address, town.cert, town.key))
        bia = stack.enter_context(town.bia.talking(line.address))
        bia.send("estou aqui")
        town.bia.hears("estou aqui")  # and her key came before that
        ana = stack.enter_context(town.ana.talking(line.address))
        ana.send(SECRET, to="bia")
        ana.send(CLEAR)
        message = town.bia.hears(SECRET)
        assert message.user == "ana" and message.sealed and message.id
        assert town.ana.hears(SECRET).sealed
        assert town.bia.hears(CLEAR).sealed == b""
        bia.send("respondo", to="ana")
        assert town.ana.hears("respondo").sealed
        on_disk = b"".join(path.read_bytes() for path in town.db.parent.glob("chat.db*"))
        for where in (line.recorded, on_disk, memory_of(server.process.pid)):
            assert holds(where, CLEAR)
            assert not holds(where, SECRET) and not holds(where, "respondo")
    assert not holds(server.report().encode(), SECRET)


def test_reader_who_was_away_reads_it_after_three_restarts(town: Town) -> None:
    """Once, and in order; the server that hands it out never had the key."""
    with town.open_here() as address, town.ana.talking(address) as ana:
        with town.bia.talking(address) as bia:
            bia.send("estou aqui")
            town.bia.hears("estou aqui")
        for number in (1, 2, 3):
            ana.send(f"{SECRET}-{number}", to="bia")
        town.ana.hears(f"{SECRET}-3")
    for _restart in range(2):
        with town.open_here():
            pass
    with town.open_here() as address, town.bia.talking(address):
        town.bia.hears(f"{SECRET}-3")
        private = [m.message for m in town.bia.messages if m.to and m.kind == KIND_UNSPECIFIED]
        assert private == [f"{SECRET}-{number}" for number in (1, 2, 3)]


def program_of(town: Town, name: str, address: str, *flags: str) -> AbstractContextManager[Program]:
    """Run the client of somebody, with a folder of their own."""
    home = str(town.db.parent / name)
    tls = ("--tls", "--fingerprint", town.pair.fingerprint)
    # Whoever comes first may have spoken before the other is in.
    use = flags or ("--json", "--history", "20")
    env = {"XDG_STATE_HOME": home, "LOCALAPPDATA": home}
    return running_client(address, *tls, "--name", name, "--lang", "en", *use, env=env)


def test_programs_seal_by_themselves(town: Town) -> None:
    """Nobody has to ask for it; and they say so."""
    with town.open_here() as address, ExitStack() as stack:
        ana, bia = (stack.enter_context(program_of(town, name, address)) for name in ("ana", "bia"))
        bia.type('{"message": "estou aqui"}')
        ana.wait_for_line("estou aqui")
        ana.type('{"message": "o ouro", "to": "bia"}')
        heard = json.loads(bia.wait_for_line("o ouro"))
        assert (heard["user"], heard["sealed"]) == ("ana", True)
        assert json.loads(ana.wait_for_line("o ouro"))["sealed"]
        ana.type('{"kind": "KIND_KEY", "to": "bia", "key": "q"}')
        answer = json.loads(ana.wait_for_line("KIND_KEY"))
        assert re.fullmatch(r"\d{5}( \d{5}){7}", answer["message"])


def words_in_index(db: Path) -> set[str]:
    """Return all that can be found by the index of a log; nothing while there is none yet."""
    words: set[str] = set()
    index_uri = db.with_name(f"{db.name}-search").as_uri() + "?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(index_uri, uri=True)) as index:
        for (number,) in index.execute("SELECT number FROM part").fetchall():
            table = f"fts5vocab(main, words_{number}, row)"
            index.execute(f"CREATE VIRTUAL TABLE temp.vocabulary USING {table}")
            words.update(word for (word,) in index.execute("SELECT term FROM vocabulary"))
            index.execute("DROP TABLE vocabulary")
    return words


def found_by(program: Program, text: str) -> list[str]:
    """Search as a program does; return what it is told, once that is all."""
    key = f"look for {text}"
    program.type(json.dumps({"kind": "KIND_SEARCH", "message": text, "key": key}))

    def parts() -> list[list[dict[str, Any]]]:
        answers = map(json.loads, list(program.lines))
        return [answer["batch"] for answer in answers if answer["key"] == key]

    eventually(lambda: [] in parts(), what=program.report)
    return [message["message"] for part in parts() for message in part]


def test_what_is_sealed_is_nowhere_found(town: Town) -> None:
    """By neither of the two, nor anybody else; what is said aloud is, whoever looks for it."""
    with town.open_here() as address, ExitStack() as stack:
        ana, bia = (stack.enter_context(program_of(town, name, address)) for name in ("ana", "bia"))
        bia.type('{"message": "ouro de tolo"}')
        ana.wait_for_line("ouro de tolo")
        ana.type('{"message": "ouro no quintal", "to": "bia"}')
        assert json.loads(bia.wait_for_line("ouro no quintal"))["sealed"]
        ana.type('{"message": "foi dito"}')
        eventually(lambda: {"tolo", "dito"} < words_in_index(town.db))
        assert "quintal" not in words_in_index(town.db)
        for someone in (ana, bia):
            assert found_by(someone, "quintal") == []
            assert found_by(someone, "ouro") == ["ouro de tolo"]
        for text, code in (("quintal", EXIT_NOTHING_FOUND), ("tolo", EXIT_OK)):
            with program_of(town, f"zoe {text}", address, "--search", text) as search:
                assert search.wait() == code
                assert search.stderr == ""
