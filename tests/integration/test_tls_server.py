"""The server's side of TLS: its own certificate, another one while it runs, versions."""

from __future__ import annotations

import signal
import socket
import ssl
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import pytest
from certificates import make_chat_pair
from support import (
    CHANNEL_OPTIONS,
    Client,
    RunningServer,
    eventually,
    full_client,
    running_server,
    server_here,
)

from chat.protocol.fingerprints import fingerprint, parsed
from chat.server import reload

CHAT = [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", "chat")]


def served(port: int) -> str:
    """Return the fingerprint of the certificate that a newcomer is shown."""
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    return fingerprint(ssl.PEM_cert_to_DER_cert(pem))


def told(server: RunningServer) -> str:
    """Return the fingerprint that the server has printed."""
    return parsed("\n".join(server.fingerprint_rows()))


def client_of(server: RunningServer, user: str, pem: bytes) -> AbstractContextManager[Client]:
    """Return a client that trusts one certificate for the name `chat`."""
    address, trust = f"127.0.0.1:{server.port}", grpc.ssl_channel_credentials(pem)
    return full_client(address, user, credentials=trust, options=CHAT)


def test_server_makes_a_certificate_and_keeps_it(tmp_path: Path) -> None:
    """It says its fingerprint, and a client that knows the certificate talks; a restart too."""
    log, cert = tmp_path / "talk.db", tmp_path / "talk-cert.pem"
    with running_server("--tls", db=log) as server:
        first = told(server)
        assert served(server.port) == first
        with client_of(server, "ana", cert.read_bytes()) as ana:
            ana.say("oi")
            ana.wait_for_text("oi")
        assert server.stop() == 0
    with running_server("--tls", db=log) as server:
        assert told(server) == served(server.port) == first


def test_line_for_other_machines_has_every_flag(tmp_path: Path) -> None:
    """Of TLS and of a token, and of nothing where neither is needed."""
    token = tmp_path / "token"
    token.write_text("correct-horse-battery")
    token.chmod(0o600)
    tls = ("--tls", "--db", str(tmp_path / "a.db"))
    cases: list[tuple[tuple[str, ...], str]] = [
        ((), ""),
        (tls, " --tls"),
        ((*tls, "--token-file", str(token)), " --tls --token-file FILE"),
        (("--token-file", str(token)), " --token-file FILE"),
    ]
    for flags, expected in cases:
        with server_here(*flags) as here:
            assert here.server.client_flags == expected


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_certificate_is_replaced_at_a_hangup(tmp_path: Path) -> None:
    """Newcomers are shown the new one, whoever is in stays; a broken one changes nothing."""
    old, new = make_chat_pair(), make_chat_pair()
    cert, key = old.write(tmp_path)
    with (
        running_server("--tls-cert", cert, "--tls-key", key) as server,
        client_of(server, "ana", old.pem) as ana,
    ):
        assert served(server.port) == old.fingerprint == told(server)
        new.write(tmp_path)
        server.send_signal(signal.SIGHUP)
        server.wait_for_error("read again")
        assert served(server.port) == new.fingerprint
        Path(key).write_bytes(old.key_pem)
        server.send_signal(signal.SIGHUP)
        server.wait_for_error("does not fit the certificate")
        assert served(server.port) == new.fingerprint
        with client_of(server, "bia", new.pem) as bia:
            bia.say("oi")
            ana.wait_for_text("oi")
        assert server.stop() == 0


def test_certificate_is_replaced_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after its files have changed."""
    monkeypatch.setattr(reload, "CHECK_SECONDS", 0.05)
    old, new = make_chat_pair(), make_chat_pair()
    cert, key = old.write(tmp_path)
    with server_here("--tls-cert", cert, "--tls-key", key) as here:
        assert served(here.port) == old.fingerprint
        new.write(tmp_path)
        eventually(lambda: served(here.port) == new.fingerprint)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_only_modern_versions_of_tls(tmp_path: Path) -> None:
    """1.2 and 1.3 are spoken; whoever speaks nothing newer than 1.1 gets no handshake."""
    with server_here("--tls", "--db", str(tmp_path / "a.db")) as here:
        assert negotiated(here.port, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        assert negotiated(here.port, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with pytest.raises(OSError):
                negotiated(here.port, version)


def negotiated(port: int, version: ssl.TLSVersion) -> str | None:
    """Return the version that a client which speaks one alone has got; raises `OSError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # OpenSSL itself would refuse the old ones
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", port)) as connection,
        context.wrap_socket(connection) as secure,
    ):
        return secure.version()
