"""What is said and heard of servers on the local network, without one."""

from __future__ import annotations

import json
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import FakeTerminal
from support import eventually

from chat.client import discovery
from chat.client.choosing import choose_server
from chat.client.discovery import FoundServer, Listener, own_networks, server_of
from chat.client.settings import read_flags
from chat.protocol.announcement import SERVICE_TYPE, Properties, check_server_name
from chat.protocol.errors import ConfigError, UsageError
from chat.server import discovery as server_discovery
from chat.server.discovery import Announcement, announced_addresses

NETWORKS = [IPv4Network("192.168.1.0/24")]
TURMA = FoundServer("Turma 3B", "192.168.1.10:50051", 3, True)
CASA = FoundServer("casa", "192.168.1.11:4000", None, False)


def info(
    name: str = "turma",
    addresses: tuple[str, ...] = ("192.168.1.10",),
    port: int | None = 50051,
    properties: Mapping[bytes, bytes | None] | None = None,
) -> Any:
    """Return an announcement as zeroconf has it."""
    return SimpleNamespace(
        name=f"{name}.{SERVICE_TYPE}",
        port=port,
        properties=properties or {},
        parsed_addresses=lambda: list(addresses),
    )


# What is said.


@pytest.mark.parametrize("said", [Properties(3, True), Properties(0), Properties()])
def test_what_is_announced_is_what_is_found(said: Properties) -> None:
    """Each key may be missing."""
    record = {key.encode(): value.encode() for key, value in said.to_txt().items()}
    assert Properties.from_txt(record) == said


@pytest.mark.parametrize("number", [b"-1", b"1e9", b"x", b"9" * 300, "٣".encode(), b""])
def test_number_of_people_that_is_none_is_not_said(number: bytes) -> None:
    """Nor is it a number of any length."""
    assert Properties.from_txt({b"people": number, b"tls": None}) == Properties()


@pytest.mark.parametrize("name", ["", "x" * 33, "a\nb", "[ana]", "\U0001f600" * 20])
def test_name_that_cannot_be_announced_is_a_sentence(name: str) -> None:
    """By the rules of all names, and no longer than DNS has room for."""
    with pytest.raises(UsageError, match="--announce: "):
        Announcement(name, lambda: 0)
    assert check_server_name("Turma 3B") == "Turma 3B"


def test_addresses_are_those_that_the_server_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """All, or the one; none for this machine alone, and none that cannot be found."""
    monkeypatch.setattr("chat.server.runtime.addresses", lambda: ["192.168.1.10", "10.0.0.1"])
    assert announced_addresses("[::]") == ["192.168.1.10", "10.0.0.1"]
    assert announced_addresses("192.168.1.10") == ["192.168.1.10"]
    assert announced_addresses("localhost") == announced_addresses("no.such.host.invalid") == []


def test_server_for_this_machine_alone_is_not_announced(caplog: pytest.LogCaptureFixture) -> None:
    """A line says so; it serves all the same."""
    announcement = Announcement("turma", lambda: 0)
    announcement.start("127.0.0.1", 50051, has_tls=False)
    announcement.close()
    assert "Nothing is announced" in caplog.text


def test_nothing_is_announced_unless_it_is_asked_for() -> None:
    """Not even the package is looked for."""
    announcement = Announcement(None, lambda: 0)
    announcement.start("[::]", 50051, has_tls=False)
    announcement.begin_close()
    announcement.close()


class FakeZeroconf:
    """In the place of the package: what was announced, and how much others said meanwhile.

    `failure`: what opening it raises.
    """

    Error = ZeroDivisionError

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.opened = self.closed = 0
        self.announced: list[str] = []
        self.records = 0
        self.is_announced = threading.Event()
        self.cache = self

    def Zeroconf(self) -> FakeZeroconf:
        if self.failure is not None:
            raise self.failure
        self.opened += 1
        self.records = 0
        return self

    def ServiceInfo(self, _type: str, name: str, port: int, **said: Any) -> Any:
        return SimpleNamespace(name=name, port=port, **said)

    def register_service(self, info: Any, allow_name_change: bool) -> None:
        self.update_service(info)

    def update_service(self, info: Any) -> None:
        self.announced.append(info.properties["people"])
        self.is_announced.set()

    def close(self) -> None:
        self.closed += 1

    def names(self) -> list[str]:
        return ["x"]

    def entries_with_name(self, _name: str) -> range:
        return range(self.records)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeZeroconf:
    made = FakeZeroconf()
    monkeypatch.setitem(sys.modules, "zeroconf", made)
    monkeypatch.setattr("chat.server.discovery.UPDATE_SECONDS", 0.001)
    monkeypatch.setattr("chat.server.runtime.addresses", lambda: ["192.168.1.10"])
    return made


def test_number_of_people_is_told_when_it_changes(fake: FakeZeroconf) -> None:
    """And not otherwise; the end is told, too."""
    people = [1]
    announcement = Announcement("turma", lambda: people[0])
    announcement.start("[::]", 50051, has_tls=False)
    eventually(lambda: fake.announced == ["1"])
    people[0] = 2
    eventually(lambda: fake.announced == ["1", "2"])
    announcement.begin_close()
    announcement.close()
    assert (fake.opened, fake.closed) == (1, 1)


def test_whoever_floods_the_network_is_forgotten(fake: FakeZeroconf) -> None:
    """What others say is kept no longer than there is room for it; the server is told of anew."""
    announcement = Announcement("turma", lambda: 0)
    announcement.start("[::]", 50051, has_tls=False)
    eventually(lambda: fake.opened == 1)
    fake.records = server_discovery.MAX_HEARD_RECORDS + 1
    eventually(lambda: (fake.opened, fake.closed) == (2, 1) and fake.announced == ["0", "0"])
    announcement.close()
    assert (fake.opened, fake.closed) == (2, 2)


@pytest.mark.parametrize("failure", [OSError("no such device"), FakeZeroconf.Error()])
def test_network_that_cannot_be_told_is_a_line(
    failure: Exception, fake: FakeZeroconf, caplog: pytest.LogCaptureFixture
) -> None:
    """The server goes on; no traceback."""
    fake.failure = failure
    announcement = Announcement("turma", lambda: 0)
    announcement.start("[::]", 50051, has_tls=False)
    eventually(lambda: caplog.messages)
    announcement.close()
    (line,) = caplog.messages
    assert line.startswith("The server cannot be announced on the local network (")


@pytest.mark.parametrize("make", [lambda: Announcement("turma", lambda: 0), discovery.discover])
def test_missing_package_is_a_sentence(
    make: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which says what to install."""
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(ConfigError, match="not installed. Type: .* -m pip install zeroconf"):
        make()


# What is heard.


def test_announcement_is_a_server() -> None:
    """Its name, where it is, and what it says of itself."""
    said = {b"people": b"3", b"tls": b"1"}
    assert server_of(info("Turma 3B", properties=said), NETWORKS) == TURMA


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "127.0.0.1", "192.168.2.1", "224.0.0.251", "fe80::1", "2001:db8::1", "x", ""],
)
def test_address_that_is_not_on_the_local_network_is_none(address: str) -> None:
    """Whoever announces it; another one of the same server may be."""
    assert server_of(info(addresses=(address,)), NETWORKS) is None
    found = server_of(info(addresses=(address, "192.168.1.10")), NETWORKS)
    assert found is not None and found.address == "192.168.1.10:50051"


@pytest.mark.parametrize("port", [0, None, 65536, -1])
def test_port_that_is_none_is_no_server(port: int | None) -> None:
    """There is nothing to connect to."""
    assert server_of(info(port=port), NETWORKS) is None


def test_name_that_somebody_made_up_moves_no_terminal_and_reorders_nothing() -> None:
    """It is one line, bounded, and whatever is after it stays after it."""
    found = server_of(info("\x1b[2Ja\n1  b\u202e" + "z" * 1000), NETWORKS)
    assert found is not None
    assert found.line().isprintable() or "\u2068" in found.line()
    assert "\x1b" not in found.line() and "\n" not in found.line() and "\u202e" not in found.line()
    assert len(found.name) <= 64
    arabic = server_of(info("مرحبا"), NETWORKS)
    assert arabic is not None and arabic.line().startswith("\u2068مرحبا\u2069  192.168.1.10")


def test_thousands_of_servers_are_some() -> None:
    """Others are not even noted; one that says goodbye makes room."""
    listener = Listener()
    for number in range(5000):
        listener.add_service(None, SERVICE_TYPE, f"{number}")
        listener.update_service(None, SERVICE_TYPE, f"{number}")
    assert listener.names == [f"{number}" for number in range(discovery.MAX_NAMES)]
    listener.remove_service(None, SERVICE_TYPE, "0")
    listener.remove_service(None, SERVICE_TYPE, "4999")
    listener.add_service(None, SERVICE_TYPE, "late")
    assert listener.names[0] == "1" and listener.names[-1] == "late"


def test_list_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where everything that was announced is a server."""

    class Crowd:
        Error = ZeroDivisionError

        def __enter__(self) -> Crowd:
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def Zeroconf(self) -> Crowd:
            return self

        def ServiceBrowser(self, _heard: object, _type: str, listener: Listener) -> None:
            for number in range(discovery.MAX_SERVERS + 1):
                listener.add_service(None, SERVICE_TYPE, f"{number}.{SERVICE_TYPE}")

        def ServiceInfo(self, _type: str, name: str) -> Any:
            made = info(name.removesuffix(f".{SERVICE_TYPE}"))
            made.load_from_cache = lambda _heard: True
            return made

    waits: list[float] = []
    monkeypatch.setitem(sys.modules, "zeroconf", Crowd())
    monkeypatch.setattr(discovery, "own_networks", lambda: NETWORKS)
    assert len(discovery.discover(waits.append)) == discovery.MAX_SERVERS
    assert waits == [discovery.LISTEN_SECONDS]
    monkeypatch.setattr(discovery, "own_networks", list)
    waits.clear()
    assert discovery.discover(waits.append) == []
    assert waits == [discovery.LISTEN_SECONDS, discovery.LONGER_SECONDS]


def test_loopback_is_no_local_network() -> None:
    """Whoever announces it means another machine than we do."""
    assert not any(network.is_loopback for network in own_networks())


# What is chosen.


def choose(
    terminal: FakeTerminal, *flags: str, servers: tuple[FoundServer, ...] = (TURMA, CASA)
) -> tuple[bool, Namespace]:
    """Choose among servers; return whether one is to be joined, and the settings by then."""
    settings = read_flags(["--discover", *flags], "localhost:50051")
    return choose_server(settings, terminal, lambda: servers), settings


def test_person_chooses_by_number(capsys: pytest.CaptureFixture[str]) -> None:
    """What is no number of the list is asked again."""
    terminal = FakeTerminal(answers=["0", "three", "3", "9" * 1000, " 1 "])
    is_chosen, settings = choose(terminal)
    assert is_chosen and settings.address == TURMA.address and settings.tls
    assert len(terminal.errors) == 4
    looking, first, second = capsys.readouterr().out.splitlines()
    assert looking.startswith("Looking for")
    assert first == "1  Turma 3B  192.168.1.10:50051  encrypted  3 people"
    assert second == "2  casa  192.168.1.11:4000  not encrypted"


def test_server_without_tls_is_joined_in_clear_unless_tls_is_asked_for() -> None:
    """What it says of itself lowers nothing that the person wants."""
    assert choose(FakeTerminal(answers=["2"]))[1].tls is False
    assert choose(FakeTerminal(answers=["2"]), "--tls")[1].tls is True


@pytest.mark.parametrize("answer", ["", "/quit", "/sair", None])
def test_person_leaves_instead(answer: str | None) -> None:
    """By an empty line, the command, or the end of input."""
    terminal = FakeTerminal(answers=[] if answer is None else [answer])
    assert not choose(terminal)[0]


def test_program_is_told_and_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """In lines, or in objects."""
    assert not choose(FakeTerminal(is_interactive=False))[0]
    assert capsys.readouterr().out.splitlines() == [TURMA.line(), CASA.line()]
    assert not choose(FakeTerminal(is_interactive=False), "--json")[0]
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == {
        "name": "Turma 3B",
        "address": "192.168.1.10:50051",
        "people": 3,
        "has_tls": True,
    }
    assert json.loads(second)["people"] is None


def test_token_is_given_to_no_stranger_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever announces himself would have it."""
    with pytest.raises(ConfigError, match="does not encrypt"):
        choose(FakeTerminal(answers=["2"]), "--token-file", "token")
    monkeypatch.setenv("CHAT_TOKEN", "s3cret-token")
    with pytest.raises(ConfigError, match="does not encrypt"):
        choose(FakeTerminal(answers=["2"]))
    assert choose(FakeTerminal(answers=["1"]))[0]


def test_nobody_there_is_a_sentence() -> None:
    """Which says what to do instead."""
    with pytest.raises(ConfigError, match="No server was found"):
        choose(FakeTerminal(), servers=())
