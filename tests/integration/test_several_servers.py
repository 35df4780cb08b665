"""Clients with several servers: whoever loses one goes on at another, with everything.

One server at two addresses, by lines that can be closed or cut, is one log at two addresses.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from certificates import Pair, make_chat_pair
from listener import Listener, listening
from slow_proxy import SlowProxy, slow_proxy
from support import (
    ServerHere,
    eventually,
    full_client,
    running_client,
    running_program,
    running_server,
    server_here,
    serving,
    stable_port,
)

from chat.client import Change, ConfigError, Session, Trust, receiver, servers
from chat.client.first_look import check_servers
from chat.client.known_servers import KnownServers
from chat_pb2 import Message
from chat_pb2_grpc import ChatServiceServicer


class Lines:
    """Two lines to one server; `both` is what a client is given."""

    def __init__(self, one: SlowProxy, other: SlowProxy) -> None:
        self._lines = {one.address: one, other.address: other}
        self.both = ",".join(self._lines)

    def close(self, address: str) -> None:
        """Let the server at this address be killed, as it looks from outside."""
        self._lines.pop(address).close()

    def close_rest(self) -> None:
        for line in self._lines.values():
            line.close()


@contextmanager
def two_lines(target: str) -> Iterator[Lines]:
    lines = Lines(SlowProxy(target), SlowProxy(target))
    try:
        yield lines
    finally:
        lines.close_rest()


@pytest.fixture(scope="module")
def server() -> Iterator[ServerHere]:
    with server_here() as running:
        yield running


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers be tried in the order in which they are named, not in a random one."""
    monkeypatch.setattr(random, "sample", lambda items, count: list(items))


def place_of(listener: Listener) -> str:
    """Return the server where a session is."""
    listener.wait(lambda: listener.changes[-1:] in ([Change.CONNECTED], [Change.RESUMED]))
    return listener.states[-1].address


# What is lost when a server is.


def test_killed_server_costs_nothing(server: ServerHere) -> None:
    """Rooms, inbox and what was being said: all of it once, in order, at the other server."""
    with (
        two_lines(server.address) as lines,
        full_client(server.address, "bia", history=0) as bia,
        listening(lines.both, "ana", rooms=["", "obras"], history=0) as ana,
    ):
        first = place_of(ana)
        bia.say("1")
        ana.wait(lambda: ana.texts == ["1"])
        lines.close(first)
        keys = [ana.session.send(f"meanwhile {n}") for n in range(50)]
        bia.send(Message(message="for ana", to="ana", key="private"))
        bia.wait_for_text("for ana")
        ana.wait(lambda: ana.session.unacknowledged == 0 and "for ana" in ana.texts)
        second = place_of(ana)
        assert {first, second} == set(lines.both.split(","))
        bia.wait_for_text("meanwhile 49")
        said = [m for m in list(ana.messages) if m.message.startswith("meanwhile")]
        assert [message.key for message in said] == keys
        assert sorted(ana.texts) == sorted(["1", "for ana", *(f"meanwhile {n}" for n in range(50))])
        assert bia.texts.count("meanwhile 7") == 1
        assert ana.session.rooms == ("", "obras") and ana.session.name == "ana"


def test_server_that_is_cut_off_is_not_waited_for(
    server: ServerHere, in_order: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that swallows everything is left for the other after some seconds."""
    monkeypatch.setattr(servers, "QUICK_SECONDS", 1.0)
    with slow_proxy(server.address) as dead, slow_proxy(server.address) as line:
        dead.cut()
        with listening(f"{dead.address},{line.address}", "rui", history=0) as rui:
            rui.session.send("oi")
            rui.wait(lambda: rui.texts == ["oi"])
            assert [s.address for s in rui.states if s.change is Change.PASSED_OVER] == [
                dead.address
            ]


def test_full_server_is_passed_over(server: ServerHere) -> None:
    """Whichever comes first."""
    with (
        running_server("--max-clients", "1") as full,
        full_client(full.address, "bia"),
        listening(f"{full.address},{server.address}", "leo", history=0) as leo,
    ):
        assert place_of(leo) == server.address


# Whose log it is.


def test_server_of_another_chat_gets_nothing(in_order: None, tmp_path: Path) -> None:
    """It is told of; what was being said comes to its own chat when that is back."""
    db, port = tmp_path / "chat.db", stable_port()
    home = f"localhost:{port}"
    with (
        running_server() as other,
        full_client(other.address, "bia", history=0) as bia,
        running_server(db=db, port=port) as running,
        listening(f"{home},{other.address}", "ana") as ana,
    ):
        assert place_of(ana) == home
        running.stop()
        ana.session.send("for us alone")
        ana.wait(lambda: Change.PASSED_OVER in ana.changes)
        [told] = [state for state in ana.states if state.change is Change.PASSED_OVER]
        assert told.address == other.address and "another chat" in told.cause
        with running_server(db=db, port=port):
            ana.wait(lambda: ana.texts == ["for us alone"])
        bia.say("end")
        bia.wait_for_text("end")
        assert bia.texts == ["end"]


class Plain(ChatServiceServicer):
    """A plain server: it repeats what it gets, and remembers it."""

    def __init__(self) -> None:
        self.got: list[str] = []

    def Chat(self, requests: Iterator[Message], context: grpc.ServicerContext) -> Iterator[Message]:
        for message in requests:
            self.got.append(message.message)
            yield message


def test_plain_server_among_them_gets_nothing(
    in_order: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no log that could be the chat's."""
    monkeypatch.setattr(receiver, "SILENT_SECONDS", 0.5)
    plain, db, port = Plain(), tmp_path / "chat.db", stable_port()
    home = f"localhost:{port}"
    with (
        serving(plain) as address,
        running_server(db=db, port=port) as running,
        listening(f"{home},{address}", "ana") as ana,
    ):
        assert place_of(ana) == home
        running.stop()
        ana.session.send("for us alone")
        # It says nothing unless it is spoken to, and is left after a while.
        ana.wait(lambda: address in [state.address for state in ana.states])
        with running_server(db=db, port=port):
            ana.wait(lambda: ana.texts == ["for us alone"])
        assert plain.got == []


# With TLS: each server has its own certificate, or all have one.


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return [make_chat_pair(), make_chat_pair()]


@pytest.fixture(scope="module")
def secure(pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Two servers with certificates of their own, and the first certificate at a third one."""
    with ExitStack() as stack:
        addresses = []
        for pair in (*pairs, pairs[0]):
            cert, key = pair.write(tmp_path_factory.mktemp("server"))
            running = stack.enter_context(running_server("--tls-cert", cert, "--tls-key", key))
            addresses.append(running.address)
        yield addresses


@pytest.fixture
def known(tmp_path: Path) -> KnownServers:
    return KnownServers(tmp_path / "chat-grpc")


def asked(addresses: list[str], known: KnownServers, answer: bool = True) -> list[str]:
    """Return what a person is asked before the first stream."""
    questions: list[str] = []

    def confirm(question: str) -> bool:
        questions.append(question.partition("\n")[0])
        return answer

    check_servers(addresses, Trust(known=known), confirm, lambda text: None)
    return questions


def test_person_is_asked_of_each_certificate_once(secure: list[str], known: KnownServers) -> None:
    """Not again of one that another server has too; nor of any the next time."""
    first, second, third = secure
    assert asked([first, second], known) == [
        f"The certificate of {address} is not known here." for address in (first, second)
    ]
    assert asked([third, second, first], known) == []
    assert known.find(third) == known.find(first) != known.find(second)


def test_server_that_is_away_is_asked_of_later(secure: list[str], known: KnownServers) -> None:
    """As long as one is there."""
    nobody = f"localhost:{stable_port()}"
    assert len(asked([nobody, secure[0]], known)) == 1
    assert known.find(nobody) is None
    with pytest.raises(ConfigError, match=f"at {nobody}"):
        asked([nobody, f"localhost:{stable_port()}"], known)


def test_server_that_is_not_trusted_is_passed_over(
    secure: list[str], pairs: list[Pair], known: KnownServers
) -> None:
    """Nothing is sent to it, whichever comes first; the fingerprint of each is given, or of all."""
    one = Trust(fingerprint=pairs[1].fingerprint, known=known)
    with listening(",".join(secure[:2]), "ana", credentials=one) as ana:
        assert place_of(ana) == secure[1]
    for address in secure[:2]:
        both = Trust(fingerprint=",".join(pair.fingerprint for pair in pairs), known=known)
        with listening(address, "bia", credentials=both) as bia:
            assert place_of(bia) == address


def test_changed_certificate_of_one_is_told_and_the_others_are_used(
    secure: list[str], pairs: list[Pair], known: KnownServers
) -> None:
    """A session that begins there, and one that comes there later."""
    assert known.remember(secure[0], pairs[1].der) and known.remember(secure[1], pairs[1].der)
    with two_lines(secure[1]) as lines:
        last = lines.both.split(",")[0]
        assert known.remember(last, pairs[1].der)
        with listening(f"{secure[0]},{last}", "eva", credentials=Trust(known=known)) as eva:
            assert place_of(eva) == last
            lines.close(last)
            eva.wait(lambda: Change.PASSED_OVER in eva.changes)
            told = [state for state in eva.states if state.change is Change.PASSED_OVER]
            assert [state.address for state in told] == [secure[0]]
            assert "is not the one that was trusted before" in told[0].cause


# The programs.


@pytest.mark.parametrize(
    ("addresses", "part"),
    [
        ("localhost,", "before or after a comma in 'localhost,'"),
        ("localhost,::1,LOCALHOST:50051", "LOCALHOST:50051 is in the list of servers twice"),
        ("localhost,a b", "'a b' is not a valid address"),
    ],
)
def test_wrong_list_ends_the_client_with_one_sentence(addresses: str, part: str) -> None:
    """And the code of wrong usage; also where it comes from the environment."""
    with running_program("client.py", "--name", "ana", env={"CHAT_SERVER": addresses}) as client:
        assert client.wait() == 2
        assert part in client.errors[0] and len(client.errors) == 1, client.report()


def test_client_says_where_it_is_and_goes_on_elsewhere(server: ServerHere) -> None:
    """What was said meanwhile is said once."""
    with (
        two_lines(server.address) as lines,
        running_client(lines.both, "--name", "gil", "--history", "0") as gil,
    ):
        eventually(lambda: gil.errors, what=gil.report)
        first = next(address for address in lines.both.split(",") if address in gil.errors[0])
        assert gil.errors == [f"* Connected to {first}."]
        gil.type("one")
        gil.wait_for_line("[gil]: one")
        lines.close(first)
        gil.type("two")
        gil.wait_for_line("[gil]: two")
        [second] = set(lines.both.split(",")) - {first}
        assert gil.errors[1:] == [
            f"* Connection to {first} lost: the server does not answer",
            f"* Reconnected, to {second}.",
        ]
        gil.end_input()
        assert gil.wait() == 0
        assert len(gil.lines) == 2


def test_killed_client_is_who_it_was_in_whatever_order_the_servers_are_named(
    server: ServerHere, tmp_path: Path
) -> None:
    """It takes its own ghost's place."""
    home = {"XDG_STATE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    with two_lines(server.address) as lines:
        one, other = lines.both.split(",")
        with running_client(f"{one},{other}", "--name", "ivo", env=home) as ivo:
            ivo.type("oi")
            ivo.wait_for_line("[ivo]: oi")
            ivo.process.kill()
        with running_client(f"{other},{one}", "--name", "ivo", "--json", env=home) as again:
            again.type(json.dumps({"message": "olá"}))
            eventually(
                lambda: any(json.loads(line)["message"] == "olá" for line in again.lines),
                what=again.report,
            )


def test_library_says_what_is_wrong_with_each() -> None:
    """Of several servers none of which can be used."""
    nobody = f"localhost:{stable_port()}"
    with (
        running_server("--max-clients", "1") as full,
        full_client(full.address, "bia"),
        pytest.raises(ConfigError) as error,
    ):
        list(Session(f"{nobody},{full.address}", "ana"))
    assert f"No chat server answers at {nobody}." in str(error.value)
    assert f"{full.address}: the server is full" in str(error.value)
