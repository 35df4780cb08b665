"""The client's part in sealed messages, over streams that go by a script."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes import FakeCall, opening
from hostile_server import messages
from hypothesis import given
from hypothesis import strategies as st
from strategies import cases

from chat.client import Change, ChatError, Place, Session, State
from chat.client import backoff as backoff_module
from chat.client import pins as pins_module
from chat.client import sealing as sealing_module
from chat.client.pins import Pins
from chat.client.sealing import Sealing
from chat.protocol.sealing import (
    KeyPair,
    check_bundle,
    fingerprint,
    key_pair,
    make_bundle,
    open_sealed,
    seal,
)
from chat_pb2 import KIND_KEY, KIND_NOTICE, KIND_RENAMED, KIND_UNSPECIFIED, Message

ADDRESS = "localhost:1"  # nobody connects to it
# Each step answers what the answers of the one before have brought.
STEPS = 12


def new_keys() -> KeyPair:
    return key_pair(Ed25519PrivateKey.generate())


ANA, BIA, MAL = new_keys(), new_keys(), new_keys()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attempts follow each other at once."""
    monkeypatch.setattr(backoff_module, "MIN_BACKOFF_SECONDS", 0.0005)


@pytest.fixture
def pins(tmp_path: Path) -> Pins:
    return Pins(ADDRESS, tmp_path)


class Server:
    """One stream of a server that answers whatever comes; `heard` is all of it.

    `bundles`: what it hands out, by name; a name that is not there has no key. `takes_keys`: it
    knows what a key is. `echo`: what becomes of an echo before it is sent.
    """

    def __init__(
        self,
        bundles: dict[str, bytes] | None = None,
        *,
        takes_keys: bool = True,
        answers_keys: bool = True,
        echo: Callable[[Message], None] = lambda message: None,
        first: tuple[Message, ...] = (),
    ) -> None:
        self.bundles = {"bia": make_bundle(BIA, "bia")} if bundles is None else bundles
        self.takes_keys = takes_keys
        self.answers_keys = answers_keys
        self.echo = echo
        self.heard: list[Message] = []
        self.call = FakeCall(*first, *[self.serve] * STEPS, epoch="e", generation="g", after="0")

    def serve(self) -> None:
        assert self.call.requests is not None
        while self.call.requests.is_ready:
            message = self.call.take()
            self.heard.append(message)
            if (answer := self.answer(message)) is not None:
                self.call.answers.append(answer)

    def answer(self, message: Message) -> Message | None:
        answer = Message(user="ana", kind=message.kind, key=message.key)
        if message.kind != KIND_KEY:
            answer.MergeFrom(message)
            self.echo(answer)
        elif not self.takes_keys:
            answer.kind, answer.user = KIND_NOTICE, "REQUEST_INVALID"
        elif message.to:
            answer.user = answer.to = message.to
            answer.sealed = self.bundles.get(message.to, b"")
            return answer if self.answers_keys else None
        return answer

    @property
    def said(self) -> list[Message]:
        return [message for message in self.heard if message.kind == KIND_UNSPECIFIED]

    @property
    def asked(self) -> list[str]:
        return [message.to for message in self.heard if message.kind == KIND_KEY]


def run(*servers: Server, pins: Pins, says: Callable[[Session], object]) -> list[Message]:
    """Have ana say something over these streams; what her session yields."""
    session = Session(
        ADDRESS,
        "ana",
        retry_first_connect=True,
        open_stream=opening(*(server.call for server in servers)),
        sealing=Sealing(ANA.signing, pins),
    )
    says(session)
    return heard_by(session)


def heard_by(session: Session) -> list[Message]:
    heard = []
    with pytest.raises(ChatError, match="token"):
        for message in session:
            heard.append(message)
    return heard


def opened(message: Message, user: str = "ana") -> str:
    """Return what bia reads of a message that the server got."""
    message.user = user
    return open_sealed(message, BIA)[0].message


def from_bia(text: str, keys: KeyPair = BIA, key: str = "b1", seconds: int = 1000) -> Message:
    """Return what ana gets when bia, or somebody with other keys, writes to her."""
    message = Message(user="bia", to="ana", key=key, message=text, id=1)
    message.sent_at.FromSeconds(seconds)
    message.sealed = seal(message, keys, check_bundle(make_bundle(ANA, "ana"), "ana"))
    message.message = ""
    return message


def test_own_key_goes_up_first_and_the_others_is_asked_for(pins: Pins) -> None:
    """Then what was typed goes, sealed; the echo brings the text back."""
    server = Server()
    heard = run(server, pins=pins, says=lambda ana: ana.send("segredo", to="bia"))
    mine, question, sealed = server.heard
    assert check_bundle(mine.sealed, "ana").signing_key == ANA.signing_public
    assert (question.kind, question.to) == (KIND_KEY, "bia")
    assert not sealed.message and opened(sealed) == "segredo"
    (echo,) = heard
    assert echo.message == "segredo" and echo.sealed and echo.to == "bia"
    assert pins.find("bia") == BIA.signing_public


def test_what_was_said_keeps_its_order(pins: Pins) -> None:
    """What comes after a private message waits with it; each key is asked for once."""
    server = Server()

    def says(ana: Session) -> None:
        for text in ("1", "2"):
            ana.send(text, to="bia")
        ana.send("3")
        ana.send("4", to="Bia")
        ana.send("5", to="caio")

    run(server, pins=pins, says=says)
    assert server.asked == ["", "bia", "caio"]
    texts = [opened(message) if message.sealed else message.message for message in server.said]
    assert texts == ["1", "2", "3", "4", "5"]
    assert [bool(message.sealed) for message in server.said] == [True, True, False, True, False]


def test_where_the_other_has_no_key_it_goes_in_the_clear(pins: Pins) -> None:
    """As before; the echo says so."""
    server = Server({})
    (echo,) = run(server, pins=pins, says=lambda ana: ana.send("oi", to="bia"))
    assert [message.message for message in server.said] == ["oi"]
    assert (echo.message, echo.sealed) == ("oi", b"")


def test_where_the_server_knows_no_keys_it_goes_in_the_clear(pins: Pins) -> None:
    """Nobody is asked about; its refusal of the key is not shown."""
    server = Server(takes_keys=False)
    (echo,) = run(server, pins=pins, says=lambda ana: ana.send("oi", to="bia"))
    assert server.asked == [""] and (echo.message, echo.sealed) == ("oi", b"")


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (Server({}), "KEY_GONE"),
        (Server(takes_keys=False), "NO_OWN_KEY"),
        (Server({"bia": make_bundle(MAL, "bia")}), "KEY_CHANGED"),
        (Server({"bia": make_bundle(BIA, "caio")}), "KEY_BROKEN"),
        (Server({"bia": b"\1" * 129}), "KEY_BROKEN"),
        (Server({"bia": b"x"}), "KEY_BROKEN"),
    ],
)
def test_known_key_is_neither_replaced_nor_done_without(
    server: Server, reason: str, pins: Pins
) -> None:
    """Whatever the server hands out, or says that there is not."""
    pins.find_or_add("bia", BIA.signing_public)

    def says(ana: Session) -> None:
        ana.send("segredo", to="bia", key="k1")
        ana.send("oi")

    heard = run(server, pins=pins, says=says)
    assert [message.message for message in server.said] == ["oi"]
    notices = [(m.user, m.key) for m in heard if m.kind == KIND_NOTICE]
    assert notices == [(reason, "k1")]
    assert pins.find("bia") == BIA.signing_public


def test_wrong_key_at_first_use_is_seen_by_who_compares(pins: Pins, tmp_path: Path) -> None:
    """A server that stands between two, with a key of its own for each: no row has its equal."""
    run(
        Server({"bia": make_bundle(MAL, "bia")}),
        pins=pins,
        says=lambda ana: ana.send("segredo", to="bia"),
    )
    ana, bia = Sealing(ANA.signing, pins), Sealing(BIA.signing, Pins("bia's", tmp_path))
    bia.take_offer("ana", Message(kind=KIND_KEY, to="ana", sealed=make_bundle(MAL, "ana")))
    assert ana.known_fingerprint("bia") != bia.own_fingerprint
    shown = bia.show_offer("ana").signing_key
    assert shown is not None and fingerprint(shown) != ana.own_fingerprint


def test_key_that_changed_is_refused_at_once_from_then_on(pins: Pins) -> None:
    """Whoever sends learns it while they send."""
    pins.find_or_add("bia", BIA.signing_public)
    refused: list[str] = []

    def says_more() -> None:
        with pytest.raises(ChatError) as error:
            session.send("mais", to="bia")
        refused.append(error.value.reason)

    server = Server({"bia": make_bundle(MAL, "bia")})
    call = FakeCall(
        *[server.serve] * STEPS, says_more, server.serve, epoch="e", generation="g", after="0"
    )
    server.call = call
    session = Session(ADDRESS, "ana", open_stream=opening(call), sealing=Sealing(ANA.signing, pins))
    session.send("segredo", to="bia")
    heard_by(session)
    assert refused == ["KEY_CHANGED"] and server.said == []


@pytest.mark.parametrize(
    ("now", "refusal", "next_refusal"),
    [
        ({"bia": make_bundle(MAL, "bia")}, "KEY_UNKNOWN", "KEY_CHANGED"),
        ({}, "NAME_UNOWNED", "KEY_GONE"),
    ],
)
def test_key_that_changes_in_the_middle_of_a_stream_is_asked_for_anew(
    now: dict[str, bytes], refusal: str, next_refusal: str, pins: Pins
) -> None:
    """The server refuses what nobody can open; the next message finds out why."""

    class Changing(Server):
        def answer(self, message: Message) -> Message | None:
            if not (message.sealed and message.to):
                return super().answer(message)
            self.bundles = now
            return Message(kind=KIND_NOTICE, user=refusal, key=message.key)

    def says_more() -> None:
        session.send("de novo", to="bia", key="k2")

    server = Changing()
    steps = [*[server.serve] * STEPS, says_more, *[server.serve] * STEPS]
    server.call = FakeCall(*steps, epoch="e", generation="g", after="0")
    session = Session(
        ADDRESS, "ana", open_stream=opening(server.call), sealing=Sealing(ANA.signing, pins)
    )
    session.send("segredo", to="bia", key="k1")
    heard = heard_by(session)
    assert [(m.user, m.key) for m in heard] == [(refusal, "k1"), (next_refusal, "k2")]
    assert server.asked == ["", "bia", "bia"] and len(server.said) == 1


def test_text_survives_a_loss_while_the_key_is_asked_for(pins: Pins) -> None:
    """It is asked for once more, and said once, under the key that it had."""
    silent, server = Server(answers_keys=False), Server()
    heard = run(silent, server, pins=pins, says=lambda ana: ana.send("segredo", to="bia", key="k"))
    assert silent.asked == ["", "bia"] and silent.said == []
    assert server.asked == ["", "bia"]
    assert [(message.key, opened(message)) for message in server.said] == [("k", "segredo")]
    assert [message.message for message in heard] == ["segredo"]


@pytest.mark.parametrize("silent_about", [("bia",), ("", "bia")], ids=["hers", "mine too"])
def test_server_that_says_no_key_holds_up_what_is_private_alone(
    silent_about: tuple[str, ...], pins: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told; once the server answers, in another stream, the private message goes too."""
    monkeypatch.setattr(sealing_module, "ANSWER_SECONDS", 0.0)

    class Silent(Server):
        def answer(self, message: Message) -> Message | None:
            is_silent = message.kind == KIND_KEY and message.to in silent_about
            return None if is_silent else super().answer(message)

    silent, server = Silent(), Server()
    told: list[State] = []

    def says(ana: Session) -> None:
        ana.on_state = told.append
        ana.send("segredo", to="bia", key="k")
        ana.send("oi")

    heard = run(silent, server, pins=pins, says=says)
    assert [message.message for message in silent.said] == ["oi"]
    assert [message.message for message in heard] == ["oi", "segredo"]
    assert [state.change for state in told].count(Change.WAITING_FOR_KEY) == 1


def test_each_stream_asks_anew(pins: Pins) -> None:
    """The server may hand out another key by then: what was not confirmed is not sealed by it."""

    class Mute(Server):
        def answer(self, message: Message) -> Message | None:
            return super().answer(message) if message.kind == KIND_KEY else None

    first, second = Mute(), Server({"bia": make_bundle(MAL, "bia")})
    heard = run(first, second, pins=pins, says=lambda ana: ana.send("segredo", to="bia"))
    assert [opened(message) for message in first.said] == ["segredo"]
    assert second.said == [] and [message.user for message in heard] == ["KEY_CHANGED"]


def test_what_went_in_the_clear_stays_so(pins: Pins) -> None:
    """Sealed the second time it would look as if the server had never read it."""

    class Mute(Server):
        def answer(self, message: Message) -> Message | None:
            return super().answer(message) if message.kind == KIND_KEY else None

    first, second = Mute({}), Server()
    heard = run(first, second, pins=pins, says=lambda ana: ana.send("oi", to="bia"))
    assert [message.message for message in (*first.said, *second.said)] == ["oi", "oi"]
    assert [(message.message, message.sealed) for message in heard] == [("oi", b"")]


def test_message_after_a_rename_is_sealed_under_the_new_name(pins: Pins) -> None:
    """When the server has agreed to it, and has the key of that name."""
    server = Server()

    def says(ana: Session) -> None:
        ana.send("1", to="bia")
        ana.rename("anna")
        ana.send("2", to="bia")

    run(server, pins=pins, says=says)
    kinds = [message.kind for message in server.heard]
    assert kinds == [KIND_KEY, KIND_KEY, KIND_UNSPECIFIED, KIND_RENAMED, KIND_KEY, KIND_UNSPECIFIED]
    assert check_bundle(server.heard[4].sealed, "anna")
    assert [opened(server.said[0], "ana"), opened(server.said[1], "anna")] == ["1", "2"]


def test_server_cannot_make_a_message_look_sealed_or_not(pins: Pins) -> None:
    """An echo says what was sent, whatever the server makes of it."""

    def lie(echo: Message) -> None:
        echo.sealed = b"" if echo.sealed else b"x"
        echo.message = "outra coisa"

    def says(ana: Session) -> None:
        ana.send("segredo", to="bia")
        ana.send("oi", to="caio")

    sealed, clear = run(Server(echo=lie), pins=pins, says=says)
    assert sealed.message == "segredo" and sealed.sealed
    assert clear.message == "oi" and not clear.sealed


@pytest.mark.parametrize(
    "change", [{"user": "caio", "to": "ana"}, {"user": "caio"}, {"to": "caio"}, {"to": ""}]
)
def test_own_sealed_words_are_not_passed_off_as_somebody_elses(
    change: dict[str, str], pins: Pins
) -> None:
    """What comes under their key from or to another one is no echo, and they wait for one."""

    def lie(echo: Message) -> None:
        for field, value in change.items():
            setattr(echo, field, value)

    lying, honest = Server(echo=lie), Server()
    heard = run(lying, honest, pins=pins, says=lambda ana: ana.send("segredo", to="bia", key="k"))
    other, echo = heard
    assert other.message == ""
    assert (echo.user, echo.to, echo.message) == ("ana", "bia", "segredo") and echo.sealed


def test_without_the_library_no_key_goes_up_and_nothing_in_the_clear(
    pins: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To whom has a key; to others it goes as before."""
    bundle = make_bundle(BIA, "bia")
    monkeypatch.setitem(sys.modules, "nacl", None)
    server = Server({"bia": bundle})

    def says(ana: Session) -> None:
        ana.send("segredo", to="bia", key="k1")
        ana.send("oi", to="caio")

    heard = run(server, pins=pins, says=says)
    assert server.asked == ["bia", "caio"]
    assert [message.message for message in server.said] == ["oi"]
    assert [m.user for m in heard if m.kind == KIND_NOTICE] == ["SEALING_MISSING"]


# What comes in.


def listen(*messages: Message, pins: Pins) -> tuple[list[Message], Sealing]:
    """Return what ana hears of what a server sends, and what is known by then."""
    sealing = Sealing(ANA.signing, pins)
    call = Server(first=messages).call
    session = Session(ADDRESS, "ana", open_stream=opening(call), sealing=sealing)
    return heard_by(session), sealing


def test_what_comes_sealed_is_opened(pins: Pins) -> None:
    """The first key of a name is taken for its own from then on."""
    (message,), _sealing = listen(from_bia("oi"), pins=pins)
    assert message.message == "oi" and message.sealed and message.sent_at.seconds == 1000
    assert pins.find("bia") == BIA.signing_public


def test_first_letter_is_read_though_no_more_keys_are_kept(
    pins: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key is known for now; kept for good it is once the user has accepted it."""
    monkeypatch.setattr(pins_module, "MAX_PINS", 1)
    pins.find_or_add("caio", MAL.signing_public)
    (message,), sealing = listen(from_bia("oi"), pins=pins)
    assert message.message == "oi"
    sealing.take_offer("bia", Message(kind=KIND_KEY, to="bia", sealed=make_bundle(BIA, "bia")))
    sealing.show_offer("bia")
    assert sealing.accept("bia") == []
    (echo,) = run(Server(), pins=pins, says=lambda ana: ana.send("oi", to="bia"))
    assert echo.sealed


def test_own_words_are_read_when_nobody_waits_for_them(pins: Pins) -> None:
    """An echo may come once more, or after the client was started anew."""
    message = Message(user="ana", to="bia", key="a1", message="meu")
    message.sealed = seal(message, ANA, check_bundle(make_bundle(BIA, "bia"), "bia"))
    message.message = ""
    (heard,), _sealing = listen(message, pins=pins)
    assert heard.message == "meu" and heard.sealed and pins.find("ana") is None


def test_message_that_comes_twice_is_new_once(pins: Pins) -> None:
    """A server may bring it again under another id."""
    first, again = from_bia("oi"), Message()
    again.CopyFrom(first)
    again.id = 2
    heard, _sealing = listen(first, again, pins=pins)
    assert [message.message for message in heard] == ["oi"]


def test_message_that_comes_again_after_a_restart_shows_when_it_was_sealed(pins: Pins) -> None:
    """Its id is no news to a client that is started anew; under another id nothing else tells."""
    first, again = from_bia("sim"), Message()
    again.CopyFrom(first)
    again.id = 2
    again.sent_at.FromSeconds(90_000)
    place = Place(inbox=1, epoch="e", generation="g")
    call = Server(first=(first, again)).call
    session = Session(
        ADDRESS,
        "ana",
        open_stream=opening(call),
        place=place,
        sealing=Sealing(ANA.signing, pins),
    )
    assert [(m.id, m.message, m.sent_at.seconds) for m in heard_by(session)] == [(2, "sim", 1000)]


def test_message_that_was_kept_back_shows_when_it_was_sealed(pins: Pins) -> None:
    """Yesterday's yes is none to today's question; a clock that is a little off is no matter."""
    late, soon = from_bia("sim", key="b1", seconds=1000), from_bia("oi", key="b2", seconds=1000)
    late.sent_at.FromSeconds(90_000)
    soon.sent_at.FromSeconds(1060)
    soon.id = 2
    heard, _sealing = listen(late, soon, pins=pins)
    assert [message.sent_at.seconds for message in heard] == [1000, 1060]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"user": "caio"}, "SEAL_INVALID"),
        ({"key": "b2"}, "SEAL_INVALID"),
        ({"to": "anna"}, "SEAL_INVALID"),
        ({"sealed": b"x" * 458}, "SEAL_INVALID"),
        ({"sealed": b"\1" * 100_000}, "SEAL_OTHER_KEY"),
        ({"message": "palavras do servidor", "sealed": b"x"}, "SEAL_INVALID"),
    ],
)
def test_what_cannot_be_opened_says_nothing(
    change: dict[str, object], reason: str, pins: Pins
) -> None:
    """Least of all in the name of somebody else; why is known."""
    message = from_bia("oi")
    for field, value in change.items():
        setattr(message, field, value)
    (heard,), sealing = listen(message, pins=pins)
    assert heard.message == "" and heard.sealed
    assert sealing.why_closed(heard) == reason
    assert pins.find("caio") is None


@cases(8)
@given(st.lists(messages(), max_size=5), st.lists(messages(), max_size=5))
def test_whatever_a_server_says_nothing_of_it_looks_sealed(
    before: list[Message], after: list[Message]
) -> None:
    """And what is said meanwhile is not sent in the clear, whatever it answers."""
    with TemporaryDirectory() as folder:
        pins = Pins(ADDRESS, Path(folder))
        pins.find_or_add("bia", BIA.signing_public)
        server = Server()
        steps: list[Any] = [*before, server.serve, *after, server.serve]
        server.call = FakeCall(*steps, epoch="e", generation="g", after="0")
        session = Session(
            ADDRESS, "ana", open_stream=opening(server.call), sealing=Sealing(ANA.signing, pins)
        )
        session.send("segredo", to="bia")
        heard = heard_by(session)
    sealed = [message.message for message in heard if message.to and message.sealed]
    assert not any(sealed)  # what cannot be opened says nothing
    assert not [message for message in server.said if message.message]


def test_message_with_another_key_waits_until_that_is_accepted(pins: Pins) -> None:
    """Which takes that the user has seen the key, as the server hands it out."""
    pins.find_or_add("bia", BIA.signing_public)
    (heard,), sealing = listen(from_bia("oi", keys=MAL), pins=pins)
    assert heard.message == "" and sealing.why_closed(heard) == "KEY_CHANGED"
    assert sealing.accept("bia") is None
    answer = Message(kind=KIND_KEY, to="bia", sealed=make_bundle(MAL, "bia"))
    sealing.take_offer("bia", answer)
    assert answer.message == fingerprint(MAL.signing_public)
    assert sealing.accept("bia") is None  # it was not shown
    sealing.show_offer("bia")
    waiting = sealing.accept("Bia")
    assert waiting is not None and [message.message for message in waiting] == ["oi"]
    assert pins.find("bia") == MAL.signing_public
    assert sealing.accept("bia") is None


def test_name_without_a_key_any_more_can_be_accepted(pins: Pins) -> None:
    """Then what is said goes in the clear again."""
    pins.find_or_add("bia", BIA.signing_public)
    sealing = Sealing(ANA.signing, pins)
    sealing.take_offer("bia", Message(kind=KIND_KEY, to="bia"))
    sealing.show_offer("bia")
    assert sealing.accept("bia") == [] and pins.find("bia") is None
    (echo,) = run(Server({}), pins=pins, says=lambda ana: ana.send("oi", to="bia"))
    assert (echo.message, echo.sealed) == ("oi", b"")


def test_key_that_is_none_cannot_be_accepted(pins: Pins) -> None:
    """There is nothing to be trusted."""
    sealing = Sealing(ANA.signing, pins)
    sealing.take_offer("bia", Message(kind=KIND_KEY, to="bia", sealed=b"x" * 129))
    assert sealing.show_offer("bia").is_broken
    with pytest.raises(ChatError) as error:
        sealing.accept("bia")
    assert error.value.reason == "KEY_BROKEN"


def test_one_without_keys_asks_for_none(pins: Pins) -> None:
    """It owns no name: nobody can seal for it."""
    with pytest.raises(ChatError) as error:
        Session(ADDRESS, "ana").ask_key("bia")
    assert error.value.reason == "NO_OWN_KEY"


def test_answer_to_the_users_question_is_the_fingerprint(pins: Pins) -> None:
    """For programs, which compare it themselves."""
    (answer,) = run(Server(), pins=pins, says=lambda ana: ana.ask_key("bia", "q"))
    assert (answer.kind, answer.to, answer.key) == (KIND_KEY, "bia", "q")
    assert answer.message == fingerprint(BIA.signing_public)
