"""Trust on first use, from a pipe and as a library: what is trusted, remembered and refused."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Pair, make_authority, make_pair
from cryptography import x509
from support import RunningServer, eventually, running_client, running_server, server_here

from chat.client import ConfigError, Session, Trust
from chat.client.known_servers import KnownServers
from chat.protocol.errors import UsageError
from chat.protocol.fingerprints import spelled
from chat.server import reload

COLONS = ":".join


def make_chat_pair() -> Pair:
    """Return a certificate as servers make it."""
    return make_pair("chat", [x509.DNSName("chat")])


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


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has met no server yet."""
    return {"XDG_STATE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}


def talks(server: RunningServer | str, *flags: str, env: dict[str, str]) -> None:
    """Say a word from a pipe, hear it, and leave."""
    with running_client(server, "--name", "ana", *flags, env=env) as client:
        client.type("oi")
        client.end_input()
        assert client.wait() == 0, client.report()
        assert any(line.endswith("[ana]: oi") for line in client.lines)


def refusal(server: RunningServer | str, *flags: str, env: dict[str, str], code: int = 1) -> str:
    """Return the one line by which a client in a pipe refuses to talk."""
    with running_client(server, "--name", "ana", *flags, env=env) as client:
        client.type("secret")
        client.end_input()
        assert client.wait() == code, client.report()
        assert client.lines == [] and len(client.errors) == 1, client.report()
        return client.stderr


@pytest.mark.parametrize("flags", [(), ("--json",), ("--listen",)], ids=" ".join)
def test_program_is_not_asked(
    server: RunningServer, pair: Pair, home: dict[str, str], flags: tuple[str, ...]
) -> None:
    """It is refused, with the fingerprint and the flag that takes it."""
    said = refusal(server, "--tls", *flags, env=home)
    assert f"--fingerprint {spelled(pair.fingerprint)}" in said
    assert not any("secret" in line for line in server.lines)


def test_fingerprint_is_trusted_and_remembered(
    server: RunningServer, pair: Pair, home: dict[str, str], tmp_path: Path
) -> None:
    """In any spelling; from then on --tls is enough, until it is forgotten."""
    digits = pair.fingerprint
    talks(server, "--fingerprint", digits.upper(), env=home)
    talks(server, "--tls", env=home)
    [file] = tmp_path.glob("*/server-*.pem")
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for told in ("is forgotten", "No certificate of"):
        with running_client(server, "--forget-certificate", env=home) as client:
            assert client.wait() == 0 and told in client.stdout + client.stderr
    assert "is not known here" in refusal(server, "--tls", env=home)
    by_bytes = COLONS(digits[i : i + 2] for i in range(0, 64, 2))
    talks(server, "--tls", "--fingerprint", by_bytes, env=home)


def test_other_fingerprint_is_refused(server: RunningServer, home: dict[str, str]) -> None:
    """Whatever is remembered; and what is none is wrong usage."""
    said = refusal(server, "--fingerprint", "ab" * 32, env=home)
    assert "another fingerprint" in said
    assert "64 hex digits" in refusal(server, "--fingerprint", "ab:cd", env=home, code=2)


def test_changed_certificate_is_refused(home: dict[str, str], tmp_path: Path) -> None:
    """With the new fingerprint, and what to type; then the new one can be trusted."""
    old, new = make_chat_pair(), make_chat_pair()
    cert, key = old.write(tmp_path / "server")
    flags = ("--tls-cert", cert, "--tls-key", key)
    with running_server(*flags) as server:
        talks(server, "--fingerprint", old.fingerprint, env=home)
        port = server.port
        server.stop()
    new.write(tmp_path / "server")
    with running_server(*flags, port=port) as server:
        said = refusal(server, "--tls", env=home)
        assert spelled(new.fingerprint) in said and "listening in between" in said
        command = f"python client.py {server.address} --forget-certificate"
        assert command in said and not any("secret" in line for line in server.lines)
        with running_client(server, "--forget-certificate", env=home) as client:
            assert client.wait() == 0
        assert "is not known here" in refusal(server, "--tls", env=home)
        talks(server, "--fingerprint", new.fingerprint, env=home)


def test_damaged_memory_is_no_first_use(
    server: RunningServer, pair: Pair, home: dict[str, str], tmp_path: Path
) -> None:
    """It is told, with what to type."""
    talks(server, "--fingerprint", pair.fingerprint, env=home)
    [file] = tmp_path.glob("*/server-*.pem")
    file.write_text("not a certificate")
    assert "--forget-certificate" in refusal(server, "--tls", env=home)


def test_authorities_of_the_machine_are_trusted(home: dict[str, str], tmp_path: Path) -> None:
    """Where they vouch for certificate and name, nobody is asked, and nothing remembered."""
    authority = make_authority()
    cert, key = make_pair("localhost", issuer=authority).write(tmp_path / "server")
    other = make_pair("other.example", [x509.DNSName("other.example")], issuer=authority)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    env = {**home, "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    with running_server("--tls-cert", cert, "--tls-key", key) as server:
        talks(server, "--tls", env=env)
        assert "is not known here" in refusal(server, "--tls", env=home)
    assert not list(tmp_path.glob("*/server-*.pem"))
    cert, key = other.write(tmp_path / "other")
    with running_server("--tls-cert", cert, "--tls-key", key) as server:
        assert "is not known here" in refusal(server, "--tls", env=env)


def test_authority_and_fingerprint_exclude_each_other() -> None:
    """One of them decides."""
    with pytest.raises(UsageError, match="exclude each other"):
        Trust(authorities=b"", fingerprint="ab" * 32)


def test_tls_and_clear_text_are_told_apart(server: RunningServer, home: dict[str, str]) -> None:
    """Each in a sentence with the flag; the server logs nothing of it."""
    assert "speaks TLS only. Add --tls." in refusal(server, env=home)
    assert "fala TLS. Acrescente --tls." in refusal(server, "--lang", "pt_BR", env=home)
    assert server.errors == []
    with running_server() as clear:
        assert "does not speak TLS. Leave out --tls" in refusal(clear, "--tls", env=home)
        assert "não fala TLS" in refusal(clear, "--tls", "--lang", "pt_BR", env=home)
        assert clear.errors == []


# As a library.


def hears(session: Session, text: str) -> None:
    """Iterate until a text comes."""
    assert any(message.message == text for message in session)


def test_session_reconnects_to_the_same_certificate_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without asking; another certificate ends it with the sentence."""
    monkeypatch.setattr(reload, "CHECK_SECONDS", 0.05)
    old, new = make_chat_pair(), make_chat_pair()
    cert, key = old.write(tmp_path / "server")
    known = KnownServers(tmp_path / "known")
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
    server: RunningServer, pair: Pair, tmp_path: Path, by: str
) -> None:
    """Which proofs are bound to."""
    known = KnownServers(tmp_path)
    trust = Trust(fingerprint=pair.fingerprint, known=known)
    if by == "authority":
        trust = Trust(authorities=pair.pem)
    assert trust.check(server.address).fingerprint == pair.fingerprint


def test_called_off_look_ends_soon(pair: Pair, tmp_path: Path) -> None:
    """A session that is to end does not wait for a server that says nothing."""
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        trust = Trust(fingerprint=pair.fingerprint, known=KnownServers(tmp_path))
        session = Session(address, "ana", credentials=trust, retry_first_connect=True)
        thread = threading.Thread(target=lambda: list(session))
        thread.start()
        accepted, _peer = silent.accept()
        with accepted:
            session.abort()
            thread.join()


# A certificate of the client's own.


@pytest.fixture
def mutual(tmp_path: Path, pair: Pair) -> Iterator[tuple[str, Pair]]:
    """The address of a server that asks for certificates, and the authority that signs them."""
    from concurrent import futures

    import grpc

    authority = make_authority()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    pairs = [(pair.key_pem, pair.pem)]
    credentials = grpc.ssl_server_credentials(pairs, authority.pem, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield f"127.0.0.1:{port}", authority
    server.stop(None).wait()


def test_certificate_of_ones_own_is_shown(
    mutual: tuple[str, Pair], pair: Pair, home: dict[str, str], tmp_path: Path
) -> None:
    """The server takes it, and answers; without it, or with a foreign one, there is a sentence."""
    address, authority = mutual
    own = make_pair("ana", [], issuer=authority).write(tmp_path / "own")
    foreign = make_pair("ana", [], issuer=make_authority()).write(tmp_path / "foreign")
    trusting = ("--fingerprint", pair.fingerprint)

    def with_own(paths: tuple[str, str]) -> str:
        return refusal(address, *trusting, "--tls-cert", paths[0], "--tls-key", paths[1], env=home)

    assert "asks for a certificate of your own" in refusal(address, *trusting, env=home)
    assert "does not accept your certificate" in with_own(foreign)
    assert "Something other than a chat server" in with_own(own)  # it has let us in


def test_half_of_a_pair_is_wrong_usage(home: dict[str, str], pair: Pair, tmp_path: Path) -> None:
    """They belong together; and must fit."""
    cert, key = pair.write(tmp_path)
    other = make_chat_pair().write(tmp_path, "other")
    for flags, words in (
        (("--tls-cert", cert), "belong together"),
        (("--tls-key", key), "belong together"),
        (("--tls-cert", cert, "--tls-key", other[1]), "does not fit"),
    ):
        assert words in refusal("localhost:1", *flags, env=home, code=2)


def test_name_is_that_of_the_certificate(
    server: RunningServer, pair: Pair, home: dict[str, str], tmp_path: Path
) -> None:
    """Where none is given."""
    cert, key = make_pair("", [x509.RFC822Name("ana@example.org")]).write(tmp_path / "own")
    flags = ("--fingerprint", pair.fingerprint, "--tls-cert", cert, "--tls-key", key)
    with running_client(server, *flags, env=home) as client:
        client.type("oi")
        client.wait_for_line("[ana@example.org]: oi")
        client.end_input()
        assert client.wait() == 0


def test_known_servers_in_many_threads(tmp_path: Path, pair: Pair) -> None:
    """Whoever reads meanwhile finds a whole certificate, or none."""
    import threading

    other = make_chat_pair()
    contents = [x509.load_pem_x509_certificate(one.pem) for one in (pair, other)]
    from cryptography.hazmat.primitives.serialization import Encoding

    ders = [certificate.public_bytes(Encoding.DER) for certificate in contents]
    known = KnownServers(tmp_path)
    is_over = threading.Event()

    def write(der: bytes) -> None:
        while not is_over.is_set():
            known.remember("a:1", der)

    threads = [threading.Thread(target=write, args=(der,)) for der in ders]
    for thread in threads:
        thread.start()
    eventually(lambda: known.find("a:1"))
    found = {known.find("a:1") for _ in range(300)}
    is_over.set()
    for thread in threads:
        thread.join()
    assert found <= set(ders) and found
