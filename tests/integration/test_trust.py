"""Trust on first use, by programs and as a library: what is trusted, remembered and refused."""

from __future__ import annotations

import ipaddress
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from certificates import Pair, make_authority, make_chat_pair, make_pair
from cryptography import x509
from support import (
    RunningServer,
    ServerHere,
    eventually,
    running_client,
    running_program,
    running_server,
    server_here,
)

from chat.cli import i18n as language
from chat.client import ChatError, ConfigError, Session, Trust
from chat.client.known_servers import KnownServers
from chat.client.trust import UnknownServer
from chat.protocol.fingerprints import in_rows, spelled
from chat.server import reload


@pytest.fixture(scope="module")
def pair() -> Pair:
    """The certificate of the server."""
    return make_chat_pair()


@pytest.fixture(scope="module")
def server(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that listens with TLS."""
    cert, key = pair.write(tmp_path_factory.mktemp("server"))
    with running_server("--tls-cert", cert, "--tls-key", key) as running:
        yield running


@pytest.fixture(scope="module")
def clear() -> Iterator[ServerHere]:
    """A server without TLS."""
    with server_here() as running:
        yield running


@pytest.fixture
def known(tmp_path: Path) -> KnownServers:
    """What a user remembers who has met no server yet."""
    return KnownServers(tmp_path / "chat-grpc")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of the user who remembers what is `known`."""
    return {"XDG_STATE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}


# From a pipe.


def talks(server: RunningServer, *flags: str, env: dict[str, str]) -> None:
    """Say a word from a pipe, hear it, and leave."""
    with running_client(server, "--name", "ana", *flags, env=env) as client:
        client.type("oi")
        client.end_input()
        assert client.wait() == 0, client.report()
        assert any(line.endswith("[ana]: oi") for line in client.lines)


def refusal(server: RunningServer, *flags: str, env: dict[str, str]) -> str:
    """Return what a client in a pipe says that refuses to talk."""
    with running_client(server, "--name", "ana", *flags, env=env) as client:
        client.type("secret")
        client.end_input()
        assert client.wait() == 1, client.report()
        assert client.lines == [] and client.errors, client.report()
        assert not any("secret" in line for line in server.lines)
        return client.stderr


@pytest.mark.parametrize("flag", ["--tls", "--json"])
def test_program_is_not_asked(
    server: RunningServer, pair: Pair, home: dict[str, str], flag: str
) -> None:
    """It is refused, with the fingerprint and the flag that takes it."""
    said = refusal(server, "--tls", flag, env=home)
    assert f"--fingerprint {spelled(pair.fingerprint)}" in said


def test_fingerprint_is_trusted_and_remembered(
    server: RunningServer, pair: Pair, home: dict[str, str], tmp_path: Path
) -> None:
    """From then on --tls is enough, until it is forgotten."""
    talks(server, "--fingerprint", pair.fingerprint.upper(), env=home)
    talks(server, "--tls", env=home)
    [file] = tmp_path.glob("*/server-*.pem")
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with running_client(server, "--forget-certificate", env=home) as client:
        assert client.wait() == 0 and "is forgotten" in client.stdout + client.stderr
    assert not file.exists()


def test_changed_certificate_is_refused(
    server: RunningServer, pair: Pair, home: dict[str, str], known: KnownServers
) -> None:
    """With the new fingerprint, and what to type."""
    assert known.remember(server.address, make_chat_pair().der)
    said = refusal(server, "--tls", env=home)
    assert f"\n{in_rows(pair.fingerprint)}\n" in said and "listening in between" in said
    assert f"python client.py {server.address} --forget-certificate" in said


def test_known_server_in_the_clear_is_told_of(
    clear: ServerHere, pair: Pair, home: dict[str, str], known: KnownServers
) -> None:
    """On this machine it is but a sentence: who works on both goes on."""
    assert known.remember(clear.address, pair.der)
    with running_program("client.py", clear.address, "--name", "ana", env=home) as client:
        client.type("oi")
        client.end_input()
        assert client.wait() == 0, client.report()
        assert client.errors[0].endswith("was encrypted; now it would not be. Add --tls.")


# What is trusted.


def sentence_from(address: str, trust: Trust | None) -> str:
    """Return why a session has come to nothing."""
    with pytest.raises(ConfigError) as error:
        list(Session(address, "ana", credentials=trust))
    return str(error.value)


def test_forgotten_server_is_unknown_again(
    server: RunningServer, pair: Pair, known: KnownServers
) -> None:
    """Forgetting it twice does no harm."""
    Trust(fingerprint=pair.fingerprint, known=known).establish(server.address, None)
    Trust(known=known).establish(server.address, None)
    assert known.forget(server.address) and not known.forget(server.address)
    with pytest.raises(UnknownServer):
        Trust(known=known).establish(server.address, None)


def test_other_fingerprint_is_refused(
    server: RunningServer, pair: Pair, known: KnownServers
) -> None:
    """Whatever is remembered; the right one is taken in place of another that is remembered."""
    known.remember(server.address, pair.der)
    wrong = Trust(fingerprint="ab" * 32, known=known)
    assert "a different fingerprint" in sentence_from(server.address, wrong)
    known.remember(server.address, make_chat_pair().der)
    right = Trust(fingerprint=pair.fingerprint, known=known)
    assert right.check(server.address).fingerprint == pair.fingerprint
    assert known.find(server.address) == pair.der


def test_person_is_asked_once(server: RunningServer, pair: Pair, known: KnownServers) -> None:
    """Who says no is asked again the next time; who says yes is not."""
    asked: list[str] = []

    def answering(answer: bool) -> Callable[[str], bool]:
        return lambda question: asked.append(question) or answer  # type: ignore[func-returns-value]

    with pytest.raises(ConfigError, match="Nothing was sent"):
        Trust(known=known).establish(server.address, answering(False))
    for _time in range(2):
        Trust(known=known).establish(server.address, answering(True))
    assert len(asked) == 2 and all(f"\n{in_rows(pair.fingerprint)}\n" in text for text in asked)


def test_damaged_memory_is_no_first_use(server: RunningServer, known: KnownServers) -> None:
    """It is told, with what to type."""
    known.remember(server.address, b"not a certificate")
    assert "--forget-certificate" in sentence_from(server.address, Trust(known=known))


def test_nowhere_to_remember_is_asked_each_time(
    server: RunningServer, pair: Pair, tmp_path: Path
) -> None:
    """It is trusted for this run."""
    (tmp_path / "file").touch()
    nowhere = KnownServers(tmp_path / "file" / "folder")
    trust = Trust(known=nowhere)
    trust.establish(server.address, lambda question: True)
    assert trust.check(server.address).fingerprint == pair.fingerprint
    assert nowhere.find(server.address) is None and not nowhere.forget(server.address)


def test_authorities_of_the_machine_are_trusted(
    known: KnownServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they vouch for certificate and name, nobody is asked, and nothing remembered."""
    authority = make_authority()
    here = make_pair("localhost", issuer=authority)
    cert, key = here.write(tmp_path / "server")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    with server_here("--tls-cert", cert, "--tls-key", key) as running:
        assert "is not known here" in sentence_from(running.address, Trust(known=known))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        trust = Trust(known=known)
        trusted = trust.check(running.address)
        assert trusted.fingerprint == here.fingerprint and trusted.name == "localhost"
        # The machine that was seen, of those behind the name: another one may show something else.
        assert trusted.peer in (f"127.0.0.1:{running.port}", f"[::1]:{running.port}")
        with Session(running.address, "ana", credentials=trust) as session:
            session.send("oi")
            hears(session, "oi")
        assert known.find(running.address) is None
    other = make_pair("other.example", [x509.DNSName("other.example")], issuer=authority)
    cert, key = other.write(tmp_path / "server")
    port = str(running.port)
    with server_here("--tls-cert", cert, "--tls-key", key, "--port", port) as running:
        assert "is not known here" in sentence_from(running.address, Trust(known=known))
        with pytest.raises(ConfigError, match="No authority vouches any more"):
            trust.establish(running.address, lambda question: True)


@pytest.mark.parametrize(
    "names",
    [
        [x509.DNSName("*.example")],
        [x509.DNSName("a"), x509.DNSName("localhost")],
        [x509.IPAddress(ipaddress.ip_address("2001:db8::7"))],
        [],
    ],
    ids=["wildcard", "several", "address", "none but the common one"],
)
def test_any_name_will_do_once_it_is_trusted(
    known: KnownServers, tmp_path: Path, names: list[x509.GeneralName]
) -> None:
    """The certificate itself is known, whatever it was made for."""
    pair = make_pair("Servidor do João", names)
    cert, key = pair.write(tmp_path / "server")
    with server_here("--tls-cert", cert, "--tls-key", key) as running:
        trust = Trust(fingerprint=pair.fingerprint, known=known)
        with Session(running.address, "ana", credentials=trust) as session:
            session.send("oi")
            hears(session, "oi")


@pytest.mark.parametrize("lang", ["en", "pt_BR"])
def test_tls_and_clear_text_are_told_apart(
    server: RunningServer, clear: ServerHere, pair: Pair, known: KnownServers, lang: str
) -> None:
    """In both directions and languages, with the flag; the server logs nothing of it."""
    language.use(lang)
    adding, leaving = {
        "en": ("speaks TLS only. Add --tls.", "does not speak TLS. Connect without --tls,"),
        "pt_BR": ("só fala TLS. Acrescente --tls.", "não fala TLS. Conecte-se sem --tls "),
    }[lang]
    assert adding in sentence_from(server.address, None)
    assert server.errors == []
    assert leaving in sentence_from(clear.address, Trust(known=known))
    known.remember(clear.address, pair.der)
    assert leaving in sentence_from(clear.address, Trust(known=known))


@pytest.mark.parametrize("flags", [("--fingerprint",), ("--tls", "--fingerprint")])
def test_flags_that_were_given_are_named(
    clear: ServerHere, pair: Pair, home: dict[str, str], flags: tuple[str, ...]
) -> None:
    """Where the server has no TLS: what is to be left out is what stands there."""
    arguments = ("client.py", clear.address, *flags, pair.fingerprint, "--name", "ana")
    with running_program(*arguments, env=home) as client:
        assert client.wait() == 1
        assert f"Connect without {' '.join(flags)}, or" in client.stderr


# As a library.


def hears(session: Session, text: str) -> None:
    """Iterate until a text comes."""
    assert any(message.message == text for message in session)


def test_session_reconnects_to_the_same_certificate_only(
    tmp_path: Path, known: KnownServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without asking; another certificate ends it with the sentence."""
    monkeypatch.setattr(reload, "CHECK_SECONDS", 0.05)
    old, new = make_chat_pair(), make_chat_pair()
    cert, key = old.write(tmp_path / "server")
    flags = ("--tls-cert", cert, "--tls-key", key)
    with server_here(*flags) as here:
        trust = Trust(fingerprint=old.fingerprint, known=known)
        session = Session(here.address, "ana", credentials=trust)
        session.send("oi")
        hears(session, "oi")
        port = here.port
    with server_here(*flags, "--port", str(port)):
        session.send("again")
        hears(session, "again")
    new.write(tmp_path / "server")
    changed = pytest.raises(ConfigError, match="not the one that was trusted before")
    with server_here(*flags, "--port", str(port)), changed:
        list(session)


@pytest.mark.parametrize("by", ["fingerprint", "authority"])
def test_stream_knows_the_fingerprint_of_its_server(
    server: RunningServer, pair: Pair, known: KnownServers, by: str
) -> None:
    """Which proofs are bound to."""
    trust = Trust(fingerprint=pair.fingerprint, known=known)
    if by == "authority":
        trust = Trust(authorities=pair.pem)
    assert trust.check(server.address).fingerprint == pair.fingerprint


def test_look_that_is_called_off_ends(pair: Pair, known: KnownServers) -> None:
    """A session that is to end does not wait for a server that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        trust = Trust(fingerprint=pair.fingerprint, known=known)
        session = Session(address, "ana", credentials=trust)
        thread = threading.Thread(target=lambda: list(session))
        thread.start()
        accepted, _peer = silent.accept()
        with accepted:
            session.abort()
            thread.join()


# A certificate of the client's own.


@pytest.fixture
def mutual(pair: Pair) -> Iterator[tuple[str, Pair]]:
    """The address of a server that asks for certificates, and the authority that signs them."""
    authority = make_authority()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    pairs = [(pair.key_pem, pair.pem)]
    credentials = grpc.ssl_server_credentials(pairs, authority.pem, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield f"127.0.0.1:{port}", authority
    server.stop(None).wait()


def test_certificate_of_ones_own_is_shown(
    mutual: tuple[str, Pair], pair: Pair, known: KnownServers, tmp_path: Path
) -> None:
    """The server takes it, and answers; without it, or with a foreign one, there is a sentence."""
    address, authority = mutual
    own = make_pair("ana", [], issuer=authority).write(tmp_path / "own")
    foreign = make_pair("ana", [], issuer=make_authority()).write(tmp_path / "foreign")

    def with_own(paths: tuple[str, str] | None) -> Trust:
        return Trust(fingerprint=pair.fingerprint, own=paths, known=known)

    assert "asks for a certificate of your own" in sentence_from(address, with_own(None))
    assert "does not accept your certificate" in sentence_from(address, with_own(foreign))
    with pytest.raises(ChatError) as refused:  # it has let us in, and knows no chat
        list(Session(address, "ana", credentials=with_own(own)))
    assert refused.value.reason == "NOT_A_CHAT"


# What is remembered.


def test_known_servers_in_many_threads(known: KnownServers, pair: Pair) -> None:
    """Whoever reads meanwhile finds a whole certificate."""
    certificates = {pair.der, make_chat_pair().der}
    is_over = threading.Event()

    def write(certificate: bytes) -> None:
        while not is_over.is_set():
            known.remember("a:1", certificate)

    threads = [threading.Thread(target=write, args=(one,)) for one in certificates]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: known.find("a:1"))
        assert {known.find("a:1") for _look in range(300)} <= certificates
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert known.find("A:1") is not None  # names of machines have no case
    assert known.find("a:2") is None
