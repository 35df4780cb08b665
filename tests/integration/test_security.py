"""TLS with given certificates, and the shared token: who comes in, and what the others read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from certificates import make_authority, make_pair
from support import (
    Program,
    RunningServer,
    full_client,
    plain_client,
    running_client,
    running_program,
    running_server,
)

from chat.cli import credentials as security
from chat.cli.certificate_files import read_pair
from chat.protocol.errors import ConfigError

TOKEN = "correct-horse-battery"
REFUSED = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
MISSING = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files: an authority and the certificate that it signed, with its key."""

    ca: str
    cert: str
    key: str


def make_certificates(folder: Path, host: str = "localhost") -> Certificates:
    """Write an authority and a certificate for `host`, both on P-256, valid around now."""
    authority = make_authority()
    cert, key = make_pair(host, issuer=authority).write(folder)
    ca = folder / "ca.pem"
    ca.write_bytes(authority.pem)
    return Certificates(str(ca), cert, key)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The authority and certificate of the server."""
    return make_certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Somebody else's."""
    return make_certificates(tmp_path_factory.mktemp("theirs"))


@pytest.fixture(scope="module")
def tls_server(ours: Certificates) -> Iterator[RunningServer]:
    """A server that listens with TLS and asks for no token."""
    with running_server("--tls-cert", ours.cert, "--tls-key", ours.key) as server:
        yield server


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the token, and the line feed that editors put behind it."""
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def token_server(token_file: Path) -> Iterator[RunningServer]:
    """A server that asks for a token, without TLS."""
    with running_server("--token-file", str(token_file)) as server:
        yield server


def talks(client: Program) -> None:
    """Say a word, hear it, and leave."""
    client.type("oi")
    client.wait_for_line(": oi")
    client.end_input()
    assert client.wait() == 0, client.report()


def complains(client: Program, *words: str) -> None:
    """Check that it ends at once, with one sentence that contains the words."""
    assert client.wait() not in (0, None)
    assert "Traceback" not in client.stderr, client.stderr
    assert len(client.errors) == 1, client.report()
    for word in words:
        assert word in client.stderr


# TLS.


def test_talk_over_tls(tls_server: RunningServer, ours: Certificates) -> None:
    """With the authority given, which also turns TLS on."""
    with running_client(tls_server, "--name", "ana", "--tls-ca", ours.ca) as client:
        talks(client)
    with running_client(tls_server, "--name", "bia", "--tls", "--tls-ca", ours.ca) as client:
        talks(client)


def test_talk_over_tls_by_address(tls_server: RunningServer, ours: Certificates) -> None:
    """An IP address that the certificate names is as good as a name."""
    address = f"127.0.0.1:{tls_server.port}"
    with running_client(address, "--name", "carla", "--tls-ca", ours.ca) as client:
        talks(client)


def test_any_client_may_come_with_tls(tls_server: RunningServer, ours: Certificates) -> None:
    """A plain one of gRPC's own making."""
    credentials = grpc.ssl_channel_credentials(Path(ours.ca).read_bytes())
    with plain_client(tls_server.address, "plínio", credentials=credentials) as plain:
        plain.say("oi")
        plain.wait_for_text("oi")


def test_wrong_authority_is_one_sentence(tls_server: RunningServer, theirs: Certificates) -> None:
    """The certificate is not trusted; nothing is sent."""
    with running_client(tls_server, "--name", "ana", "--tls-ca", theirs.ca) as client:
        complains(client, "certificate", "--tls-ca")


def test_unknown_authority_is_one_sentence(tls_server: RunningServer) -> None:
    """The well-known authorities have not signed it."""
    with running_client(tls_server, "--name", "ana", "--tls") as client:
        complains(client, "--fingerprint")


def test_certificate_of_another_host_is_one_sentence(tmp_path: Path) -> None:
    """Signed by the right authority, for the wrong name."""
    other = make_certificates(tmp_path / "other", host="other.example")
    with (
        running_server("--tls-cert", other.cert, "--tls-key", other.key) as server,
        running_client(server, "--name", "ana", "--tls-ca", other.ca) as client,
    ):
        complains(client, "certificate")


def test_clear_client_to_a_tls_server_is_one_sentence(tls_server: RunningServer) -> None:
    """It says which flag to try."""
    with running_client(tls_server, "--name", "ana") as client:
        complains(client, "speaks TLS only. Add --tls.")


def test_tls_client_to_a_clear_server_is_one_sentence(ours: Certificates) -> None:
    """And never talks in the clear instead."""
    with (
        running_server() as server,
        running_client(server, "--name", "ana", "--tls-ca", ours.ca) as client,
    ):
        complains(client, "TLS")
        assert not any("ana" in line for line in server.lines)


def refuses_to_start(*flags: str) -> str:
    """Return the one sentence by which a server refuses its settings."""
    arguments = ("--host", "localhost", "--port", "0", "--db", ":memory:", *flags)
    with running_program("server.py", *arguments) as server:
        assert server.wait() == 2
        assert len(server.errors) == 1 and server.lines == [], server.report()
        return server.stderr


def test_certificate_without_its_key_is_one_sentence(ours: Certificates) -> None:
    """They belong together."""
    assert "belong together" in refuses_to_start("--tls-cert", ours.cert)
    assert "belong together" in refuses_to_start("--tls-key", ours.key)


def test_certificate_that_is_not_there_is_one_sentence(ours: Certificates) -> None:
    """With its path."""
    sentence = refuses_to_start("--tls-cert", "nowhere.pem", "--tls-key", ours.key)
    assert "nowhere.pem" in sentence


def test_certificate_that_is_no_pem_is_one_sentence(ours: Certificates, tmp_path: Path) -> None:
    """A file of another kind, of either part."""
    other = tmp_path / "cert.der"
    other.write_bytes(b"\x30\x82\x01\x00")
    assert "not a PEM file" in refuses_to_start("--tls-cert", str(other), "--tls-key", ours.key)
    assert "not a PEM file" in refuses_to_start("--tls-cert", ours.cert, "--tls-key", str(other))


def test_key_of_another_certificate_is_one_sentence(
    ours: Certificates, theirs: Certificates
) -> None:
    """The pair does not fit, which the server says instead of never answering."""
    sentence = refuses_to_start("--tls-cert", ours.cert, "--tls-key", theirs.key)
    assert "does not fit" in sentence


def test_pem_with_nonsense_in_it_is_one_sentence(ours: Certificates, tmp_path: Path) -> None:
    """The right lines around the wrong content."""
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    sentence = refuses_to_start("--tls-cert", str(broken), "--tls-key", ours.key)
    assert "certificate" in sentence


@pytest.mark.parametrize(
    "content",
    [
        *(None, b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        *(b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN CERTIFICATE-----\nMI\xffB\n"),
    ],
    ids=["missing", "empty", "other", "damaged", "cut", "not-ascii"],
)
def test_authority_that_cannot_be_used_is_one_sentence(
    tls_server: RunningServer, tmp_path: Path, content: bytes | None
) -> None:
    """Said by the client, with the path, before it connects."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with running_client(tls_server, "--name", "ana", "--tls-ca", str(path)) as client:
        complains(client, str(path))
        assert client.wait() == 2


def test_authority_may_stand_among_text(
    tls_server: RunningServer, ours: Certificates, tmp_path: Path
) -> None:
    """As bundles have it, in any encoding, and with more than one certificate."""
    path = tmp_path / "ca.pem"
    authority = Path(ours.ca).read_bytes()
    path.write_bytes(b"# Autoridade de S\xe3o Paulo\r\n" + authority + b"\n" + authority)
    with running_client(tls_server, "--name", "ana", "--tls-ca", str(path)) as client:
        talks(client)


# The token.


def test_right_token_comes_in(token_server: RunningServer, token_file: Path) -> None:
    """By the file or by the variable, for full clients and for plain ones."""
    with running_client(token_server, "--name", "ana", "--token-file", str(token_file)) as client:
        talks(client)
    with running_client(token_server, "--name", "bia", env={"CHAT_TOKEN": TOKEN}) as client:
        talks(client)
    metadata = [("authorization", f"Bearer {TOKEN}")]
    with plain_client(token_server.address, "plínio", metadata=metadata) as plain:
        plain.say("oi")
        plain.wait_for_text("oi")


@pytest.mark.parametrize("token", ["", "wrong-horse-battery", TOKEN + "x", TOKEN[:-1]])
def test_wrong_or_missing_token_is_refused(token_server: RunningServer, token: str) -> None:
    """UNAUTHENTICATED, before the name is even looked at."""
    for user in ("ana", "Servidor"):
        with full_client(token_server.address, user, token=token) as client:
            assert client.wait_for_end() == (REFUSED if token else MISSING)


@pytest.mark.parametrize("value", [TOKEN, f"bearer-{TOKEN}", f"Basic {TOKEN}", "Bearer ", ""])
def test_header_that_is_no_bearer_is_refused(token_server: RunningServer, value: str) -> None:
    """The token alone is not the header; one without any token is as good as none."""
    with plain_client(token_server.address, metadata=[("authorization", value)]) as client:
        assert client.wait_for_end() == (REFUSED if TOKEN in value else MISSING)


@pytest.mark.parametrize(
    ("token", "language", "words"),
    [
        ("", "en", "none was given; ask its owner for one"),
        ("wrong-horse-battery", "en", "is wrong, or no longer holds; ask the owner"),
        ("", "pt_BR", "nenhum foi informado; peça um a quem cuida dele"),
        ("wrong-horse-battery", "pt_BR", "está errado ou não vale mais; peça o certo"),
    ],
)
def test_client_without_the_right_token_is_told_what_to_do(
    token_server: RunningServer, token: str, language: str, words: str
) -> None:
    """One sentence, and an end: no question for another name, no second attempt."""
    env = {"CHAT_TOKEN": token, "CHAT_LANG": language}
    with running_client(token_server, "--name", "ana", env=env) as client:
        complains(client, words, "--token-file", "CHAT_TOKEN")


def test_token_that_nobody_asks_for_does_no_harm() -> None:
    """On loopback it may be sent to a server without one."""
    with (
        running_server() as server,
        running_client(server, "--name", "ana", env={"CHAT_TOKEN": TOKEN}) as client,
    ):
        talks(client)


def test_token_over_tls(ours: Certificates, token_file: Path) -> None:
    """Both together."""
    tls = ("--tls-cert", ours.cert, "--tls-key", ours.key)
    with (
        running_server(*tls, "--token-file", str(token_file)) as server,
        running_client(
            server, "--name", "ana", "--tls-ca", ours.ca, "--token-file", str(token_file)
        ) as client,
    ):
        talks(client)


def test_token_is_never_sent_in_the_clear() -> None:
    """To another machine: the client says so, and does not even connect."""
    with running_client("192.0.2.1:50051", "--name", "a", env={"CHAT_TOKEN": TOKEN}) as client:
        complains(client, "in the clear", "--tls")
        assert client.wait() == 2


def test_token_is_in_no_output(token_server: RunningServer, token_file: Path) -> None:
    """Neither the server nor the client ever shows it."""
    with running_client(token_server, "--name", "ana", "--token-file", str(token_file)) as client:
        talks(client)
        assert TOKEN not in client.stdout + client.stderr
    assert TOKEN not in token_server.stdout + token_server.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"short", "8 or more"),
        (b"two words here", "without spaces"),
        ("cançãozinha".encode(), "ASCII"),
        (b"\xff" * 20, "ASCII"),
        (b"first-line\nsecond-line", "several tokens"),
        (b"# only a comment", "is empty"),
    ],
    ids=str,
)
def test_token_file_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """For server and client alike; a server never starts without the token it was told to ask."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as refusal:
        security.read_token(str(path))
    assert words in str(refusal.value)


def test_server_with_a_bad_token_file_does_not_start(tmp_path: Path) -> None:
    """It never listens without the token that it was told to ask for."""
    assert "cannot be read" in refuses_to_start("--token-file", str(tmp_path / "none"))


def test_client_with_a_bad_token_file_does_not_connect(
    token_server: RunningServer, tmp_path: Path
) -> None:
    """One sentence."""
    with running_client(
        token_server, "--name", "ana", "--token-file", str(tmp_path / "none")
    ) as client:
        complains(client, "cannot be read")
        assert client.wait() == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
def test_token_file_may_be_written_by_powershell(tmp_path: Path, encoding: str) -> None:
    """Its `>` writes UTF-16 with a mark before it, other programs of Windows UTF-8 with one."""
    path = tmp_path / "token"
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    path.write_bytes(f"{mark}{TOKEN}\r\n".encode(encoding))
    assert security.read_token(str(path)) == TOKEN


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such bits")
@pytest.mark.parametrize(
    ("mode", "is_told"), [(0o600, False), (0o400, False), (0o604, True), (0o644, True)]
)
def test_secret_that_others_can_read_is_told(
    ours: Certificates, tmp_path: Path, mode: int, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A token as well as a key, with what to type; they are used all the same."""
    token, key = tmp_path / "token", tmp_path / "key.pem"
    token.write_text(TOKEN)
    key.write_bytes(Path(ours.key).read_bytes())
    for path in (token, key):
        path.chmod(mode)
    assert security.read_token(str(token)) == TOKEN
    assert read_pair(ours.cert, str(key)).key == key.read_bytes()
    told = [
        f"chmod 600 {path}" in text
        for path, text in zip((token, key), caplog.messages, strict=False)
    ]
    assert told == [True, True] if is_told else caplog.messages == []


def test_token_comes_from_the_file_before_the_variable(
    token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And from nowhere where there is neither."""
    assert security.read_token(None) == ""
    monkeypatch.setenv("CHAT_TOKEN", "from-the-variable")
    assert security.read_token(None) == "from-the-variable"
    assert security.read_token(str(token_file)) == TOKEN


def test_token_with_spaces_around_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Editors and shells add them."""
    path = tmp_path / "token"
    path.write_bytes(f" {TOKEN}\r\n".encode())
    assert security.read_token(str(path)) == TOKEN
    monkeypatch.setenv("CHAT_TOKEN", f"{TOKEN}\n")
    assert security.read_token(None) == TOKEN


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1", "[::1]"]
)
def test_loopback_is_safe(host: str) -> None:
    """This very machine, by name or by address."""
    assert security.is_loopback(host)
    security.check_token_stays_safe(host, TOKEN, is_encrypted=False)


@pytest.mark.parametrize(
    "host",
    [
        "192.168.1.10",
        "10.0.0.1",
        "0.0.0.0",
        "::",
        "fe80::1",
        "example.org",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "localhost@example.org",
        "dns:///127.0.0.1",
        "",
    ],
)
def test_everything_else_needs_tls(host: str) -> None:
    """The token stays here unless the connection is encrypted."""
    assert not security.is_loopback(host)
    with pytest.raises(ConfigError):
        security.check_token_stays_safe(host, TOKEN, is_encrypted=False)
    security.check_token_stays_safe(host, TOKEN, is_encrypted=True)
    security.check_token_stays_safe(host, "", is_encrypted=False)
