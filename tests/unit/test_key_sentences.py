"""What the user sees of keys, and of how each private message came."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes import FakeSession, FakeTerminal

from chat.client import Change
from chat.client.app import App
from chat.client.pins import Pins
from chat.client.sealing import Sealing
from chat.protocol.sealing import KeyPair, check_bundle, fingerprint, key_pair, make_bundle, seal
from chat_pb2 import KIND_KEY, Message

ANA, BIA, MAL = (key_pair(Ed25519PrivateKey.generate()) for _ in range(3))
BIA_PRINT, MAL_PRINT = fingerprint(BIA.signing_public), fingerprint(MAL.signing_public)


class Talk:
    """Ana at her terminal, with keys; a server that hands out what a test wants."""

    def __init__(self, folder: Path, terminal: FakeTerminal | None = None) -> None:
        self.terminal = terminal or FakeTerminal()
        self.session = FakeSession()
        self.pins = Pins("chat", folder)
        self.sealing = Sealing(ANA.signing, self.pins)
        self.session.sealing = self.sealing
        self.app = App(self.session, self.terminal, "mentions")
        self.session.meet(Change.CONNECTED)

    def type(self, line: str) -> list[str]:
        """Type a line; return what is told of it, but for answers."""
        before = len(self.terminal.notices)
        assert self.app.handle_line(line)
        return self.terminal.notices[before:]

    def look_at(self, name: str, raw: bytes) -> list[str]:
        """Ask for a key, and have the server hand it out; return what is told."""
        self.type(f"/key {name}")
        question = [m for m in self.session.pending if m.kind == KIND_KEY][-1]
        answer = Message(kind=KIND_KEY, user=name, to=question.to, key=question.key, sealed=raw)
        self.sealing.take_offer(question.to, answer)
        before = len(self.terminal.notices)
        self.app.receive(answer)
        return "\n".join(self.terminal.notices[before:]).splitlines()

    def hear(self, message: Message) -> str:
        """Return how a private message is shown, as the receiver hands it over."""
        if message.sealed:
            self.sealing.open(message)
        self.app.receive(message)
        return self.terminal.shown[-1]


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    return Talk(tmp_path)


def sealed(text: str, keys: KeyPair = BIA) -> Message:
    """Return what ana gets from bia, or from who says to be bia."""
    message = Message(user="bia", to="ana", key="k", message=text, id=1)
    message.sealed = seal(message, keys, check_bundle(make_bundle(ANA, "ana"), "ana"))
    message.message = ""
    return message


def test_each_private_message_says_how_it_came(talk: Talk) -> None:
    """Sealed, not sealed, or not opened, and then why."""
    assert talk.hear(sealed("oi")) == "[bia \u2192 ana, private, sealed]: oi"
    clear = Message(user="caio", to="ana", message="oi", id=2)
    assert talk.hear(clear) == "[caio \u2192 ana, private, not sealed]: oi"
    closed = talk.hear(sealed("oi", MAL))
    assert closed.startswith("[bia \u2192 ana, private, not opened]: the key of this name is not")
    damaged = Message(user="bia", to="ana", sealed=b"x", id=4)
    assert talk.hear(damaged).endswith(
        "not opened]: it is damaged, or is not from this person to you"
    )


def test_who_has_no_key_is_told_why_nothing_opens(tmp_path: Path) -> None:
    """What came sealed was for somebody who had one; other messages are as they were."""
    talk = Talk(tmp_path)
    talk.session.sealing = None
    talk.app.receive(Message(user="bia", to="ana", sealed=b"x", id=1))
    assert talk.terminal.shown[-1].startswith("[bia \u2192 ana, private, not opened]: you have no")
    talk.app.receive(Message(user="bia", to="ana", message="oi", id=2))
    assert talk.terminal.shown[-1] == "[bia \u2192 ana, private]: oi"


def test_line_that_stays_as_it_was_typed_is_told_how_it_went(tmp_path: Path) -> None:
    """On a plain terminal its echo is not shown."""
    talk = Talk(tmp_path, FakeTerminal(has_typed_lines=True))
    for sign in (b"x", b""):
        talk.type("/msg bia oi")
        echo = Message()
        echo.CopyFrom([m for m in talk.session.pending if m.to][-1])
        echo.sealed = sign
        talk.app.receive(echo)
    assert talk.terminal.notices[-2:] == [
        "* Sealed for [bia].",
        "* Sent to [bia] unsealed, since one of you has no key.",
    ]
    assert talk.terminal.shown == []


def test_own_key_is_shown(talk: Talk) -> None:
    """For the other one to compare."""
    for line in ("/key", "/chave ANA"):
        assert talk.type(line) == [f"* Your key: {talk.sealing.own_fingerprint}"]


def test_without_a_key_there_is_nothing_to_show(talk: Talk) -> None:
    """It says what it takes."""
    talk.session.sealing = None
    talk.type("/key bia")
    assert "it takes TLS and a name of your own" in talk.terminal.errors[-1]


def test_both_keys_are_shown_together(talk: Talk) -> None:
    """A new one, the known one, none, and something that is no key."""
    mine = f"* Your key: {talk.sealing.own_fingerprint}"
    compare = "* Compare both with the other person, aloud or face to face."
    bundle = make_bundle(BIA, "bia")
    new = f"* Key of [bia]: {BIA_PRINT} (you have not used it yet)"
    assert talk.look_at("bia", bundle) == [mine, new, compare]
    talk.pins.find_or_add("bia", BIA.signing_public)
    known = f"* Key of [bia]: {BIA_PRINT} (the one that you know)"
    assert talk.look_at("[bia]", bundle) == [mine, known, compare]
    none = "* [caio] has no key: what you write to them is not sealed."
    assert talk.look_at("caio", b"") == [none]
    assert talk.look_at("bia", b"x" * 129) == ["* The server gives no valid key for [bia]."]


def test_changed_key_is_shown_beside_the_known_one_and_accepted(talk: Talk) -> None:
    """Then what came sealed by it is shown; not before."""
    talk.pins.find_or_add("bia", BIA.signing_public)
    talk.hear(sealed("da m\u00e1quina nova", MAL))
    lines = talk.look_at("bia", make_bundle(MAL, "bia"))
    assert BIA_PRINT in lines[1] and lines[2] == f"* {MAL_PRINT}"
    assert lines[-1].endswith("/key [bia] accept")
    assert talk.type("/chave [bia] aceitar") == ["* The key of [bia] is accepted."]
    assert talk.terminal.shown[-1] == "[bia \u2192 ana, private, sealed]: da m\u00e1quina nova"
    assert talk.pins.find("bia") == MAL.signing_public


def test_key_that_went_is_accepted_too(talk: Talk) -> None:
    """From then on what is said to them is not sealed."""
    talk.pins.find_or_add("bia", BIA.signing_public)
    lines = talk.look_at("bia", b"")
    assert lines[1].endswith("The server says that it has none now.")
    talk.type("/key bia accept")
    assert talk.pins.find("bia") is None


def test_key_is_not_accepted_unseen(talk: Talk) -> None:
    """Names may have spaces in them."""
    told = talk.type("/key Ana Maria accept")
    assert told == ["* Look at the key first, with /key [Ana Maria], and compare it."]


def test_invalid_key_is_not_accepted(talk: Talk) -> None:
    """The refusal says so."""
    talk.look_at("bia", b"x" * 129)
    talk.type("/key bia accept")
    assert "no valid key" in talk.terminal.errors[-1]


def test_program_asks_for_keys_as_well(tmp_path: Path) -> None:
    """And reads the fingerprint."""
    talk = Talk(tmp_path, FakeTerminal(is_interactive=False))
    assert talk.app.handle_message(Message(kind=KIND_KEY, to="bia", key="q"))
    answer = Message(kind=KIND_KEY, to="bia", key="q", sealed=make_bundle(BIA, "bia"))
    talk.sealing.take_offer("bia", answer)
    talk.app.receive(answer)
    assert talk.terminal.messages[-1].message == BIA_PRINT


def test_program_cannot_say_that_it_is_sealed(tmp_path: Path) -> None:
    """What it sends is sealed where it can be, whatever it says."""
    talk = Talk(tmp_path, FakeTerminal(is_interactive=False))
    assert talk.app.handle_message(Message(to="bia", message="oi", sealed=b"x", key="k"))
    (message,) = talk.session.pending
    assert (message.message, message.sealed) == ("oi", b"")


@pytest.mark.parametrize("has_key", [True, False])
def test_missing_library_is_told_once_to_who_has_a_key(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, has_key: bool
) -> None:
    """Others seal nothing anyway."""
    monkeypatch.setitem(sys.modules, "nacl", None)
    if not has_key:
        talk.session.sealing = None
    talk.app.run()
    told = [line for line in talk.terminal.notices if "sealed private messages" in line]
    assert len(told) == has_key
