"""Names that are the user's own, as the session proves them: over TLS, reconnects and machines."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from certificates import Pair, make_pair
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import DEADLINE_SECONDS, eventually, running_client, server_here, stable_port

from chat.client import Change, ChatError, Session, State, Trust, proving
from chat.client.known_servers import KnownServers
from chat_pb2 import KIND_NOTICE, KIND_PRESENT, KIND_UNSPECIFIED, Message

ANA, BIA = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def pair() -> Pair:
    """The certificate of the server."""
    return make_pair()


@contextmanager
def server(pair: Pair, folder: Path, *flags: str) -> Iterator[str]:
    """Run a server with TLS whose log is in a folder; its address."""
    cert, key = pair.write(folder)
    tls = ("--tls-cert", cert, "--tls-key", key)
    with server_here(*tls, *flags, db=folder / "chat.db") as running:
        yield running.address


class Person:
    """A session, and a thread that takes what it hears."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.messages: list[Message] = []
        self.states: list[State] = []
        self.refusal: ChatError | None = None
        session.on_state = self.states.append
        self._thread = threading.Thread(target=self._hear)
        self._thread.start()

    def _hear(self) -> None:
        try:
            self.messages.extend(self.session)
        except ChatError as refusal:
            self.refusal = refusal

    def hears(self, text: str) -> Message:
        """Return the message that says so."""

        def found() -> list[Message]:
            return [message for message in list(self.messages) if message.message == text]

        return eventually(found, what=lambda: self.messages)[0]

    def hears_privately(self, count: int) -> list[str]:
        """Return what was said to it in private, when that is so many messages or more."""

        def found() -> list[str]:
            said = [m for m in list(self.messages) if m.kind == KIND_UNSPECIFIED and m.to]
            return [m.message for m in said if m.user != self.session.name]

        eventually(lambda: len(found()) >= count, what=found)
        return found()

    def changes(self) -> list[Change]:
        """What has become of the connection."""
        return [state.change for state in list(self.states)]

    def notices(self) -> list[Message]:
        """What the server has told it."""
        return [message for message in list(self.messages) if message.kind == KIND_NOTICE]

    def ends(self) -> ChatError:
        """Return why the server will not have it."""
        self._thread.join(DEADLINE_SECONDS)
        assert self.refusal is not None
        return self.refusal

    def close(self) -> None:
        """Leave, and end the thread."""
        self.session.close()
        self._thread.join()


@contextmanager
def person(
    address: str, pair: Pair, name: str, folder: Path, key: Any, **options: Any
) -> Iterator[Person]:
    """Let somebody talk whose state is in a folder."""
    trust = Trust(fingerprint=pair.fingerprint, known=KnownServers(folder))
    session = Session(address, name, credentials=trust, key=key, history=0, **options)
    somebody = Person(session)
    try:
        yield somebody
    finally:
        somebody.close()


def test_name_is_proved_in_each_stream(pair: Pair, tmp_path: Path) -> None:
    """The server comes back, and so does its owner, with another proof; nobody else can."""
    port, staying = str(stable_port()), ExitStack()
    with server(pair, tmp_path, "--port", port) as address:
        ana = staying.enter_context(person(address, pair, "ana", tmp_path, ANA))
        ana.session.send("um")
        ana.hears("um")
    with server(pair, tmp_path, "--port", port) as address:
        with staying:
            eventually(lambda: Change.RESUMED in ana.changes(), what=ana.changes)
            ana.session.send("dois")
            ana.hears("dois")
        for key in (None, BIA):
            with person(address, pair, "ana", tmp_path, key) as impostor:
                assert impostor.ends().reason == "NAME_OWNED"


def test_clock_that_is_wrong_locks_nobody_out(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A classroom's machine may live in another year; the server's time comes with the refusal."""
    for wrong in (-400 * 86_400.0, 3600.0):
        monkeypatch.setattr(proving, "now", lambda wrong=wrong: time.time() + wrong)
        with (
            server(pair, tmp_path) as address,
            person(address, pair, "ana", tmp_path, ANA) as ana,
        ):
            ana.session.send("oi")
            ana.hears("oi")
            assert ana.changes()[0] is Change.CONNECTED
            ana.session.ask_who()
            (mark,) = eventually(lambda: [m for m in ana.messages if m.kind == KIND_PRESENT])
            assert mark.message == "owned"


def test_private_message_finds_its_reader_on_another_machine(pair: Pair, tmp_path: Path) -> None:
    """Away, over three restarts, back with the same key: once, in order; the writer knows."""
    here, there = tmp_path / "here", tmp_path / "there"
    with (
        server(pair, tmp_path) as address,
        person(address, pair, "bia", here, BIA) as bia,
    ):
        bia.session.send("até logo")
        bia.hears("até logo")
    for number in range(3):
        with (
            server(pair, tmp_path) as address,
            person(address, pair, "ana", here, ANA) as ana,
        ):
            ana.session.send(f"oi {number}", to="bia")
            ana.hears(f"oi {number}")
            away = eventually(ana.notices)
            assert [(m.user, m.to, m.key) for m in away] == [("AWAY", "bia", "")]
    with server(pair, tmp_path) as address:
        for folder, expected in ((there, ["oi 0", "oi 1", "oi 2"]), (here, []), (there, [])):
            with person(address, pair, "bia", folder, BIA) as bia:
                bia.session.send("de volta")
                bia.hears("de volta")
                assert bia.hears_privately(len(expected)) == expected


def test_program_makes_a_key_and_owns_its_name(pair: Pair, tmp_path: Path) -> None:
    """The second machine is refused, until it has the key."""

    def talk(address: str, home: str, *flags: str) -> tuple[int, str]:
        folder = str(tmp_path / home)
        env = {"XDG_STATE_HOME": folder, "LOCALAPPDATA": folder}
        trust = ("--fingerprint", pair.fingerprint)
        with running_client(address, "--name", "ana", *trust, *flags, env=env) as client:
            client.type("oi")
            client.end_input()
            return client.wait(), client.stderr

    with server(pair, tmp_path) as address:
        assert talk(address, "here")[0] == 0
        code, said = talk(address, "there")
        assert code == 1 and "belongs to somebody else" in said
        key = next((tmp_path / "here").rglob("key.pem"))
        assert talk(address, "there", "--key-file", str(key))[0] == 0
