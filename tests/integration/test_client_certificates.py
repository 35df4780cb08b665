"""Mutual TLS: every client has a certificate, and the name in it is the user's."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import pytest
from certificates import DAY, Pair, make_authority, make_pair
from cryptography import x509
from support import (
    ROOT,
    Client,
    full_client,
    plain_client,
    running_server,
)

import chat_pb2
import server as server_program
from chat.protocol.errors import UsageError
from chat.server.assembly import Server
from chat.server.settings import read_flags

NAMES = (grpc.StatusCode.PERMISSION_DENIED, "NAME_CERTIFIED")
NO_NAME = (grpc.StatusCode.PERMISSION_DENIED, "CERTIFICATE_INVALID")
AT_THE_HANDSHAKE = (grpc.StatusCode.UNAVAILABLE, "")


class Doors:
    """A server that asks for certificates, and the authority that makes them."""

    def __init__(self, folder: Path) -> None:
        self.authority = make_authority()
        self.file = folder / "ca.pem"
        self.file.write_bytes(self.authority.pem)
        self._own = make_pair(issuer=self.authority)
        cert, key = self._own.write(folder)
        self.flags = ("--tls-cert", cert, "--tls-key", key, "--tls-client-ca", str(self.file))
        self.address = ""

    def trust(self, pair: Pair | None) -> grpc.ChannelCredentials:
        """Return the credentials of whoever shows `pair`."""
        if pair is None:
            return grpc.ssl_channel_credentials(self.authority.pem)
        return grpc.ssl_channel_credentials(self.authority.pem, pair.key_pem, pair.pem)

    def person(self, name: str) -> Pair:
        """Return a certificate for a name, as its common name."""
        return make_pair(name, [], issuer=self.authority)

    def full(self, user: str, pair: Pair | None) -> AbstractContextManager[Client]:
        return full_client(self.address, user, credentials=self.trust(pair))

    def plain(self, user: str, pair: Pair) -> AbstractContextManager[Client]:
        return plain_client(self.address, user, credentials=self.trust(pair))


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    doors = Doors(tmp_path_factory.mktemp("doors"))
    with running_server(*doors.flags) as server:
        doors.address = server.address
        yield doors
        for reason in (NAMES[1], NO_NAME[1]):
            assert "ipv" in server.wait_for_error(f"was refused: {reason}")


def test_name_in_the_certificate_is_the_users(doors: Doors) -> None:
    """The alternative name, else the common one; they talk, and nobody is renamed."""
    bia = make_pair("nobody", [x509.DNSName("bia")], issuer=doors.authority)
    with doors.full("ana", doors.person("ana")) as a, doors.full("bia", bia) as b:
        a.say("oi", key="k")
        assert b.wait_for_text("oi").user == "ana"
        a.rename("carla", key="r")
        notice = a.wait_for_key("r")
        assert (notice.kind, notice.user) == (chat_pb2.KIND_NOTICE, "NAME_CERTIFIED")
        assert "the name in it" in notice.message
        b.say("tchau", key="k")
        assert a.wait_for_text("tchau").user == "bia"


def test_other_name_is_refused(doors: Doors) -> None:
    """Whoever it is, and free or not."""
    with doors.full("bia", doors.person("ana")) as client:
        assert client.wait_for_end() == NAMES


def test_plain_client_says_its_name_or_is_refused(doors: Doors) -> None:
    """With its first message, and with each."""
    pair = doors.person("plínio")
    with doors.plain("plínio", pair) as plain:
        plain.say("oi")
        plain.wait_for_text("oi")
        plain.say("ha", user="ana")
        assert plain.wait_for_end() == NAMES
    with doors.plain("ana", pair) as plain:
        plain.say("oi")
        assert plain.wait_for_end() == NAMES


@pytest.mark.parametrize("name", ["", "ana, bia", "servidor"])
def test_certificate_without_a_name_to_use_is_refused(doors: Doors, name: str) -> None:
    """With what to do about it."""
    with doors.full("ana", doors.person(name)) as client:
        assert client.wait_for_end() == NO_NAME
        assert "ask whoever made it" in client.details


def test_no_certificate_or_another_authoritys_ends_at_the_handshake(doors: Doors) -> None:
    """So does one that has expired, or that somebody has signed himself."""
    other = make_pair("ana", [], issuer=make_authority())
    expired = make_pair("ana", [], issuer=doors.authority, ends=-DAY / 2)
    for pair in (None, other, expired, make_pair("ana", [])):
        with doors.full("ana", pair) as client:
            assert client.wait_for_end() == AT_THE_HANDSHAKE


def test_stolen_session_is_no_way_in(doors: Doors) -> None:
    """The session of one certified person does not make another one of her."""
    session = "0123456789abcdef" * 2
    ana, eva = doors.trust(doors.person("ana")), doors.trust(doors.person("eva"))
    with full_client(doors.address, "ana", credentials=ana, session=session) as a:
        a.wait_for_greeting()
        with full_client(doors.address, "eva", credentials=eva, session=session) as e:
            assert e.wait_for_end() == NAMES
        a.say("oi", key="k")
        a.wait_for_key("k")


def test_authorities_are_read_again(tmp_path: Path) -> None:
    """Who comes by one that is gone is refused; who is in stays, until the connection ends."""
    doors, later = Doors(tmp_path), make_authority()
    with running_server(*doors.flags, "--host", "0.0.0.0") as server:
        line = server.wait_for_line("From another machine")
        assert line.endswith(" --tls --tls-cert FILE --tls-key FILE --lang en")
        doors.address = server.address
        ana, bia = doors.person("ana"), make_pair("bia", [], issuer=later)
        with doors.full("ana", ana) as a:
            doors.file.write_bytes(later.pem)
            if sys.platform != "win32":
                server.send_signal(signal.SIGHUP)
            server.wait_for_error("ca.pem: read again")
            with doors.full("bia", bia) as b:
                b.say("oi", key="k")
                a.wait_for_text("oi")
        with doors.full("ana", ana) as again:
            assert again.wait_for_end() == AT_THE_HANDSHAKE


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_document_makes_certificates(tmp_path: Path) -> None:
    """Its two commands make an authority, and a person whom the server knows by name."""
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    for line in re.findall(r"^openssl .*people-key.*$", text, re.MULTILINE):
        subprocess.run(line, shell=True, cwd=tmp_path, check=True, capture_output=True)
    pair = [(tmp_path / name).read_bytes() for name in ("ana-key.pem", "ana.pem")]
    doors = Doors(tmp_path)
    flags = (*doors.flags[:-1], str(tmp_path / "people.pem"))
    trust = grpc.ssl_channel_credentials(doors.authority.pem, *pair)
    with (
        running_server(*flags) as server,
        full_client(server.address, "ana", credentials=trust) as ana,
    ):
        ana.say("oi", key="k")
        assert ana.wait_for_key("k").user == "ana"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "needs TLS: add --tls"), (b"", "not a PEM file"), (b"-----BEGIN X", "No certificate")],
)
def test_authorities_that_cannot_be_used_are_a_sentence(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """Before anything listens."""
    doors = Doors(tmp_path)
    flags = list(doors.flags)
    if content is None:
        flags = flags[-2:]
    else:
        doors.file.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        Server(read_flags(["--lang", "en", *flags]), server_program.ChatService)
