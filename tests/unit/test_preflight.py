"""The first look at a server: which of its addresses answers, and what it may say."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from certificates import make_chat_pair
from support import server_here

from chat.client.preflight import anybody, look
from chat.client.trust import see
from chat.client.unreachable import Unreachable


@contextmanager
def answering(words: bytes) -> Iterator[str]:
    """Listen for the length of the block; whoever comes gets these bytes, and the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                accepted, _peer = server.accept()
                with accepted:
                    accepted.recv(1 << 16)
                    accepted.sendall(words)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (b"", "No chat server answers"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\0" * 18, "does not speak TLS"),
        (b"\x16\x03\x03\xff\xff" + b"x" * 500, "does not speak TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "does not speak TLS, or"),
    ],
    ids=["end", "http", "http2", "nonsense", "alert"],
)
def test_what_is_no_tls_is_a_sentence(words: bytes, sentence: str) -> None:
    """Whatever it says instead."""
    with answering(words) as address, pytest.raises(Unreachable, match=sentence):
        see(address, anybody(), lambda: False)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("nobody.invalid:1", "looked up|No machine is called"),
        (f"{'x' * 70}.example:1", "No machine is called"),
        ("127.0.0.1:1", "No chat server answers"),
    ],
)
def test_address_where_nobody_is_is_a_sentence(address: str, sentence: str) -> None:
    """As gRPC's own errors are told."""
    with pytest.raises(Unreachable, match=sentence):
        see(address, anybody(), lambda: False)


def test_silence_ends_in_time() -> None:
    """When nobody wants it any more, or its time is over."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimeoutError):
            look(address, anybody(), seconds=0.05)
        with pytest.raises(TimeoutError):
            look(address, anybody(), lambda: True, seconds=3600)


def resolving(*hosts: str) -> Callable[..., list[Any]]:
    """Return what resolves every name to these addresses, as `socket.getaddrinfo` does."""

    def resolve(_host: str, port: int, **_hints: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]

    return resolve


def test_addresses_that_do_not_answer_are_passed_over(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that refuses at once, and one that is none of this machine's networks."""
    pair = make_chat_pair()
    cert, key = pair.write(tmp_path)
    with server_here("--host", "127.0.0.1", "--tls-cert", cert, "--tls-key", key) as server:
        monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.9", "0.0.0.1", "127.0.0.1"))
        seen = look(f"chat.example:{server.port}", anybody())
        assert seen.certificate == pair.der
        monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.9"))
        with pytest.raises(ConnectionRefusedError):
            look(f"chat.example:{server.port}", anybody())
        monkeypatch.setattr(socket, "getaddrinfo", resolving())
        with pytest.raises(OSError):
            look(f"chat.example:{server.port}", anybody())


def test_certificate_is_judged_where_that_is_asked_for(tmp_path: Any) -> None:
    """A context of the caller's decides whom it trusts."""
    pair = make_chat_pair()
    cert, key = pair.write(tmp_path)
    with server_here("--tls-cert", cert, "--tls-key", key) as server:
        assert not look(server.address, anybody(), wants_answer=True).is_refused
        with pytest.raises(ssl.SSLCertVerificationError):
            look(server.address, ssl.create_default_context())
