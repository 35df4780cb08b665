"""An operator at work, over real gRPC: on clients of the first contract and of this one."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from moderated import (
    BANNED,
    ENDED,
    MUTED,
    NOTICE,
    REMOVED,
    ModeratedServer,
    moderated_server,
    wish,
)
from support import (
    CHANNEL_OPTIONS,
    Client,
    Program,
    RunningServer,
    eventually,
    full_client,
    full_metadata,
    plain_client,
    running_client,
    running_program,
    running_server,
)
from test_peers import PEERS
from test_security import Certificates, make_certificates

import chat_pb2
from chat.cli.certificate_files import read_pair
from chat.protocol.proof import make_proof

DENIED = grpc.StatusCode.PERMISSION_DENIED
Message = chat_pb2.Message


@pytest.fixture
def rooms() -> Iterator[ModeratedServer]:
    with moderated_server() as server:
        yield server


def operator(rooms: ModeratedServer) -> AbstractContextManager[Client]:
    return full_client(rooms.address, "ana", session=secrets.token_hex(16))


@contextmanager
def old_client(rooms: ModeratedServer, name: str) -> Iterator[Program]:
    """The first version's client, in the room: it has said something."""
    with running_program(str(PEERS / "old_client.py"), rooms.address) as client:
        client.type(name)
        client.wait_for_line("Digite suas mensagens")
        client.type("oi")
        client.wait_for_line(f"[{name}]: oi")
        yield client


def test_every_sort_of_client_is_removed_and_the_others_go_on(rooms: ModeratedServer) -> None:
    """Full ones are told by whom and why; those with two fields hear what is said and no more."""
    with (
        operator(rooms) as ana,
        full_client(rooms.address, "bia") as bia,
        full_client(rooms.address, "caio", batch=True) as caio,
        plain_client(rooms.address, "rui") as rui,
        old_client(rooms, "velho") as old,
        old_client(rooms, "velha") as other,
    ):
        rui.say("oi")
        rui.wait_for_texts(1)
        for key, name in enumerate(("bia", "rui", "velho")):
            ana.send(wish(REMOVED, name, "spam", key=str(key)))
            assert ana.wait_for_key(str(key)).to == name
        assert bia.wait_for_end() == rui.wait_for_end() == (DENIED, "REMOVED")
        assert bia.details == "you were removed from the chat (by [ana]): spam"
        old.wait_for_line("you were removed from the chat (by [ana]): spam")
        ana.send(wish(NOTICE, words="at six", key="n"))
        ana.wait_for_key("n")
        ana.say("after")
        other.wait_for_line("[ana]: after")
        caio.wait_for_text("after")
        told = [(m.user, m.to, m.message) for m in caio.of_kind(REMOVED)]
        assert told == [("ana", name, "spam") for name in ("bia", "rui", "velho")]
        (notice,) = caio.of_kind(NOTICE)
        assert (notice.user, notice.message, notice.to) == ("ANNOUNCEMENT", "at six", "ana")
        lines = [line for line in other.lines if line.startswith("[")]
        assert lines[-1] == "[ana]: after" and not any("spam" in line for line in lines)
        assert [m.to for m in rooms.shown if m.kind == REMOVED] == ["bia", "rui", "velho"]


def test_ban_of_two_seconds_is_over_after_them(rooms: ModeratedServer) -> None:
    """Meanwhile nobody of that name comes in, whatever the client."""
    with operator(rooms) as ana, full_client(rooms.address, "bia") as bia:
        until = time.time() + 2
        ana.send(wish(BANNED, "bia", "calma", until, key="b"))
        assert bia.wait_for_end() == (DENIED, "BANNED")
        with full_client(rooms.address, "Bia") as again:
            again.half_close()
            refusal = again.wait_for_end()
        assert refusal == (DENIED, "BANNED") or time.time() >= until  # on a busy machine
        eventually(lambda: comes_in(rooms, "bia"))
        assert time.time() >= until


def comes_in(rooms: ModeratedServer, name: str) -> bool:
    with full_client(rooms.address, name) as client:
        client.ask_who("who")
        eventually(lambda: client.of_kind(chat_pb2.KIND_WHO) or not client.is_open)
        return client.is_open


def test_mute_reaches_every_sort_of_client(rooms: ModeratedServer) -> None:
    """A full one is told with the key, and stays; a plain one's stream ends by what it says."""
    with (
        operator(rooms) as ana,
        full_client(rooms.address, "bia") as bia,
        old_client(rooms, "velho") as old,
    ):
        until = int(time.time()) + 3600
        for name in ("bia", "velho"):
            ana.send(wish(MUTED, name, until=until, key=name))
            ana.wait_for_key(name)
        bia.say("oi", key="1")
        notice = bia.wait_for_key("1")
        assert (notice.user, notice.kind, notice.sent_at.seconds) == ("MUTED", NOTICE, until)
        bia.say("please", to="ana", key="2")
        assert bia.wait_for_key("2").message == "please" == ana.wait_for_text("please").message
        old.type("still there?")
        old.wait_for_line("you are muted")
        ana.send(wish(MUTED, "bia", until=ENDED, key="end"))
        ana.wait_for_key("end")
        bia.say("at last")
        assert ana.wait_for_text("at last").user == "bia"
        assert "still there?" not in ana.texts and "oi" not in ana.texts[1:]


def test_nobody_else_may(rooms: ModeratedServer) -> None:
    """A full client is told so and stays; a plain one that speaks of it is refused as ever."""
    with (
        operator(rooms) as ana,
        full_client(rooms.address, "bia") as bia,
        plain_client(rooms.address, "rui") as rui,
    ):
        rui.say("oi")
        rui.wait_for_texts(1)
        for kind in (REMOVED, BANNED, MUTED, NOTICE):
            bia.send(wish(kind, "rui", "x", key=str(kind)))
            assert bia.wait_for_key(str(kind)).user == "NOT_OPERATOR"
        ban = wish(BANNED, "bia", "x")
        ban.user = "rui"
        rui.send(ban)
        assert rui.wait_for_end() == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
        bia.say("here")
        ana.wait_for_text("here")


# The programs, over TLS, with a real proof.


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("ours"))


class Moderated:
    """A server program with an operator, `ana`, whose key is this test's, and a trail."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self._certificates = certificates
        self._key = Ed25519PrivateKey.generate()
        self._folder = folder
        self._db, self.trail = folder / "chat.db", folder / "audit.jsonl"
        self.operators = folder / "operators.txt"
        self.operators.write_text("# who may\nana\n")
        self.credentials = grpc.ssl_channel_credentials(Path(certificates.ca).read_bytes())
        self.tls = ("--tls-ca", certificates.ca)

    @contextmanager
    def running(self) -> Iterator[RunningServer]:
        flags = ["--tls-cert", self._certificates.cert, "--tls-key", self._certificates.key]
        flags += ["--operators", str(self.operators), "--audit", str(self.trail)]
        with running_server(*flags, db=self._db) as server:
            yield server

    def client(self, server: RunningServer, name: str) -> AbstractContextManager[Program]:
        """Run our client with a folder of its own, and so with a key of its own."""
        folder = str(self._folder / name)
        env = {"XDG_STATE_HOME": folder, "LOCALAPPDATA": folder}
        return running_client(server, "--name", name, *self.tls, env=env)

    def ana(self, server: RunningServer) -> Client:
        """Return the operator's client, who has proved that the name is her own."""
        session = secrets.token_hex(16)
        print_ = read_pair(self._certificates.cert, self._certificates.key).fingerprint
        proof = make_proof(self._key, "ana", print_, session, time.time())
        metadata = [*full_metadata("ana", session=session), ("chat-proof", proof)]
        return Client(server.address, metadata, self.credentials, CHANNEL_OPTIONS, "ana")


@pytest.fixture
def moderated(tmp_path: Path, ours: Certificates) -> Moderated:
    return Moderated(tmp_path, ours)


def test_ban_outlives_the_server_and_ends_our_client_with_a_sentence(moderated: Moderated) -> None:
    """By the proof of a key; the client ends with 1, and says by whom, until when and why."""
    with moderated.running() as server, ExitStack() as leaving:
        server.wait_for_error("Nobody owns the name [ana] yet")
        ana = moderated.ana(server)
        leaving.callback(ana.close)
        bia = leaving.enter_context(moderated.client(server, "bia"))
        caio = leaving.enter_context(moderated.client(server, "caio"))
        for client in (bia, caio):
            client.type("oi")
        eventually(lambda: len(ana.texts) == 2)
        ana.send(wish(BANNED, "bia", "não grite", key="b"))
        ana.wait_for_key("b")
        assert bia.wait() == 1
        sentence = (
            "There is a ban on you, this name or this address (by [ana], for good): não grite."
        )
        assert bia.errors[-1] == sentence
        caio.wait_for_line("* [ana] banned [bia], for good: não grite")
        server.wait_for_line("* [ana] banned [bia], for good: não grite")
        with full_client(server.address, "rui", credentials=moderated.credentials) as rui:
            rui.send(wish(BANNED, "caio", key="x"))
            assert rui.wait_for_key("x").user == "NOT_OPERATOR"
        server.wait_for_error("is no operator")
        caio.type("still here")
        ana.wait_for_text("still here")
        assert server.stop() == 0
    with moderated.running() as server:
        with moderated.client(server, "bia") as bia:
            assert bia.wait() == 1 and bia.errors[-1] == sentence
        assert "Nobody owns" not in server.stderr
    (banned, refused) = map(json.loads, moderated.trail.read_text().splitlines())
    assert (banned["operator"], banned["did"], banned["to"]) == ("ana", "banned", "bia")
    assert (refused["operator"], refused["refused"]) == ("rui", "NOT_OPERATOR")
