"""What becomes of addresses where no chat is: each has its true sentence, within ten seconds.

Where nobody answers the tests wait less long for it than the client does.
"""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import grpc
import pytest
from support import Program, running_program, running_server

from chat.client import ConfigError, Session, connection, receiver

TLS = grpc.ssl_channel_credentials()
HTTP_1 = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
SSH = b"SSH-2.0-OpenSSH_9.6\r\nInvalid SSH identification string.\r\n"
# A client that waits less long for an answer, but longer than for the beginning of typing.
HASTY = """
import sys, client
from chat.client import app, connection, receiver
receiver.SILENT_SECONDS = connection.ANSWER_SECONDS = 0.4
app.GREETING_SECONDS = 0.2
sys.exit(client.main())
"""


@contextmanager
def listening(speak: Callable[[socket.socket], object]) -> Iterator[str]:
    """Accept connections for the length of the block, and let `speak` see to each."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as open_ones:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    accepted = open_ones.enter_context(server.accept()[0])
                    with suppress(OSError):
                        speak(accepted)

        thread = threading.Thread(target=accept, name="accept")
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def silent(accepted: socket.socket) -> None:
    """Never say anything."""


def hang_up(accepted: socket.socket) -> None:
    """Close at once."""
    accepted.close()


def saying(words: bytes) -> Callable[[socket.socket], None]:
    """Return what answers the first bytes by these, and closes."""

    def speak(accepted: socket.socket) -> None:
        accepted.recv(1 << 16)
        accepted.sendall(words)
        accepted.close()

    return speak


@contextmanager
def swallowing() -> Iterator[str]:
    """Have an address that answers no packet: its queue of connections is full (Linux)."""
    if sys.platform != "linux":
        pytest.skip("elsewhere a full queue refuses")
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a twentieth as long where nobody answers."""
    monkeypatch.setattr(receiver, "SILENT_SECONDS", 0.25)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.2)


def sentence_from(address: str, credentials: grpc.ChannelCredentials | None) -> str:
    with pytest.raises(ConfigError) as error:
        list(Session(address, "ana", credentials=credentials))
    return str(error.value)


@pytest.mark.parametrize("credentials", [None, TLS], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("speak", "words", "words_over_tls"),
    [
        (silent, "No chat server answers", "No chat server answers"),
        (hang_up, "No chat server answers", "No chat server answers"),
        (saying(HTTP_1), "Something other than a chat server", "does not speak TLS."),
        (saying(SSH), "Something other than a chat server", "does not speak TLS."),
    ],
    ids=["silent", "closing", "http", "ssh"],
)
def test_what_is_no_chat_is_told_in_a_sentence(
    speak: Callable[[socket.socket], object],
    words: str,
    words_over_tls: str,
    credentials: grpc.ChannelCredentials | None,
    hasty: None,
) -> None:
    """Whether it speaks something else, or nothing at all."""
    with listening(speak) as address:
        said = sentence_from(address, credentials)
    assert (words if credentials is None else words_over_tls) in said and address in said


@pytest.mark.parametrize("credentials", [None, TLS], ids=["plain", "tls"])
def test_address_that_swallows_packets_is_no_matter_of_tls(
    credentials: grpc.ChannelCredentials | None, hasty: None
) -> None:
    """Nobody got as far as a handshake."""
    with swallowing() as address:
        assert "No chat server answers" in sentence_from(address, credentials)


def test_tls_and_plain_text_are_told_apart() -> None:
    """Each is told by what the other one said."""
    with running_server() as server:
        assert "does not speak TLS." in sentence_from(server.address, TLS)
    hello = ssl.AlertDescription.ALERT_DESCRIPTION_UNEXPECTED_MESSAGE
    with listening(saying(bytes([21, 3, 1, 0, 2, 2, hello]))) as address:
        assert "asks for --tls" in sentence_from(address, None)


def test_name_that_is_none_is_told() -> None:
    """No name server is asked for it."""
    assert "No machine is called a..b." in sentence_from("a..b:1", None)


def test_limits_of_an_attempt_end_within_ten_seconds() -> None:
    """The sum of the two, and each of gRPC's own."""
    options = dict(connection.OPTIONS)
    assert receiver.SILENT_SECONDS + connection.ANSWER_SECONDS < 9.0
    assert options["grpc.min_reconnect_backoff_ms"] < 9_000
    assert options["grpc.dns_ares_query_timeout"] < 9_000


def test_program_ends_with_what_it_could_not_say() -> None:
    """Not with success, although there was time to type."""
    with swallowing() as address, hasty_client(address) as ana:
        ana.type("is anybody here?")
        assert ana.wait() == 1
        assert "No chat server answers" in ana.stderr and "is anybody here?" in ana.stderr


def test_program_that_has_nothing_to_say_fails_too() -> None:
    """Its input ended before anybody had answered: that is no success."""
    with swallowing() as address, hasty_client(address) as ana:
        ana.end_input()
        assert ana.wait() == 1
        assert "No chat server answers" in ana.stderr


@contextmanager
def hasty_client(address: str) -> Iterator[Program]:
    with running_program("-c", HASTY, address, "--name", "ana") as client:
        yield client
