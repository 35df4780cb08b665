"""`--metrics-port`: what a scraper gets of a running server, and what it cannot do to it."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from support import (
    DEADLINE_SECONDS,
    RunningServer,
    eventually,
    full_client,
    running_server,
    server_here,
)

from chat.protocol.errors import ConfigError
from chat.server import metrics_server
from chat.server.metrics_server import MAX_CONNECTIONS, MAX_REQUEST_BYTES

METRICS = ("--metrics-port", "0")


def url_of(server: RunningServer) -> str:
    """Return where a server says that its metrics are."""
    return server.wait_for_line("Metrics: http://127.0.0.1:").split()[1]


def get(url: str) -> str:
    """Return a page as a scraper gets it."""
    status, content_type, page = answer_of(url)
    assert status == 200 and content_type.startswith("text/plain")
    return page


def answer_of(url: str) -> tuple[int, str, str]:
    """Return the status, the content type and the text of the answer."""
    address = urlsplit(url)
    with closing(HTTPConnection(address.netloc, timeout=DEADLINE_SECONDS)) as connection:
        connection.request("GET", address.path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def connect(url: str) -> socket.socket:
    """Connect, and say nothing."""
    address = urlsplit(url)
    assert address.hostname and address.port
    return socket.create_connection((address.hostname, address.port), DEADLINE_SECONDS)


def all_from(connection: socket.socket) -> bytes:
    """Return what comes until the other side ends it, however it does."""
    received = b""
    try:
        while some := connection.recv(4096):
            received += some
    except ConnectionResetError:
        pass
    return received


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server(*METRICS, "--token-file", "", env={"CHAT_TOKEN": "s3cret-token"}) as one:
        yield one


def test_scraper_sees_who_came_and_what_was_said(server: RunningServer) -> None:
    """Who was refused before anything knew of it, too."""
    with (
        full_client(server.address, "ana", token="s3cret-token") as ana,
        full_client(server.address, "eva", token="wrong-token") as eva,
        full_client(server.address, "ana", token="s3cret-token") as other,
    ):
        ana.say("oi", key="1")
        ana.wait_for_text("oi")
        ana.say("x" * 9000, key="2")
        ana.wait_for(lambda message: message.user == "MESSAGE_TOO_LONG")
        eva.wait_for_end()
        other.wait_for_end()
        expected = (
            'chat_clients{kind="full"} 1.0',
            "chat_received_messages_total 2.0",
            'chat_refused_calls_total{reason="TOKEN_INVALID"} 1.0',
            'chat_refused_calls_total{reason="NAME_TAKEN"} 1.0',
            'chat_refused_messages_total{reason="MESSAGE_TOO_LONG"} 1.0',
            "chat_commit_messages_sum 1.0",
            "chat_log_writable 1.0",
        )
        url = url_of(server)
        eventually(lambda: all(line in get(url) for line in expected), what=lambda: get(url))
    line = 'chat_leaves_total{reason="LEFT"} 1.0'
    eventually(lambda: line in get(url), what=lambda: get(url))
    # Who came and went is told where that is asked for, and nowhere else.
    assert not [line for line in server.errors if "name=" in line]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET / HTTP/1.1", "404"),
        ("POST /metrics HTTP/1.1", "405"),
        ("\x00\xff", "405"),
        ("GET /metrics?x HTTP/1.0", "200"),
        ("GET", "404"),
    ],
)
def test_other_requests_get_an_answer_and_the_connection_ends(
    request_line: str, status: str, server: RunningServer
) -> None:
    """Whatever they are."""
    with closing(connect(url_of(server))) as connection:
        connection.sendall(f"{request_line}\r\nHost: x\r\n\r\n".encode("latin-1"))
        answer = all_from(connection)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer


def test_endless_request_is_cut(server: RunningServer) -> None:
    """Nothing of it is kept."""
    with closing(connect(url_of(server))) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n" + b"x" * (2 * MAX_REQUEST_BYTES))
        assert all_from(connection) == b""


def test_more_scrapers_than_there_is_room_for_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they come, while the others hang; the chat goes on, and its stop ends them all."""
    monkeypatch.setattr(metrics_server, "ANSWER_SECONDS", 1e9)
    with ExitStack() as stack:
        with server_here(*METRICS) as here, full_client(here.address, "ana") as ana:
            url = here.server.notes()[0].split()[1]
            crowd = [stack.enter_context(closing(connect(url))) for _ in range(MAX_CONNECTIONS)]
            for connection in crowd:
                connection.sendall(b"GET /metrics")  # and no more
            one_more = stack.enter_context(closing(connect(url)))
            assert all_from(one_more) == b""
            ana.say("oi", key="1")
            ana.wait_for_text("oi")
        assert [all_from(connection) for connection in crowd] == [b""] * MAX_CONNECTIONS


def test_scraper_that_hangs_is_cut_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing, and one that says all but the end; the next one is served."""
    monkeypatch.setattr(metrics_server, "ANSWER_SECONDS", 0.2)
    with server_here(*METRICS) as here:
        url = here.server.notes()[0].split()[1]
        for words in (b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"):
            with closing(connect(url)) as connection:
                connection.sendall(words)
                assert all_from(connection) == b""
        monkeypatch.setattr(metrics_server, "ANSWER_SECONDS", DEADLINE_SECONDS)
        assert "chat_clients" in get(url)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to programs there")
def test_hanging_scraper_does_not_keep_the_server() -> None:
    """It ends as soon as without one."""
    with running_server(*METRICS) as server, closing(connect(url_of(server))) as connection:
        connection.sendall(b"GET /metrics")
        assert get(url_of(server))  # the first one has been accepted by now
        assert server.stop(signal.SIGTERM) == 0, server.report()
        assert all_from(connection) == b"" and not server.errors


def test_busy_server_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scraper is not left waiting for ever."""
    monkeypatch.setattr(metrics_server, "SNAPSHOT_SECONDS", 0.0)
    with server_here(*METRICS) as here:
        (note,) = here.server.notes()
        assert answer_of(note.split()[1])[0] == 503


def test_snapshot_is_shared_by_those_who_ask_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many they are, the chat's own loop is asked once."""
    monkeypatch.setattr(metrics_server, "FRESH_SECONDS", 1e9)
    with server_here(*METRICS) as here:
        url = here.server.notes()[0].split()[1]
        taken = [get(url)]
        with full_client(here.address, "ana"):
            taken.append(get(url))
    assert ["chat_people 0.0" in page for page in taken] == [True, True]


def test_port_that_cannot_be_had_is_a_sentence(server: RunningServer) -> None:
    """Which names the flag; nothing else is begun, and nothing is left of it."""
    port = urlsplit(url_of(server)).port
    for where, words in (
        (f"{port}", f"Port {port} is in use by another program. Stop it, or choose --metrics-port"),
        ("192.0.2.1:9100", "192.0.2.1 is not an address of this machine.*--metrics-port"),
    ):
        with pytest.raises(ConfigError, match=words), server_here("--metrics-port", where):
            raise AssertionError("it runs")


def test_missing_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which says what to install; without the flag nobody misses it (`test_bare_python.py`)."""
    monkeypatch.delitem(sys.modules, "chat.server.metrics", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    words = "--metrics-port needs a package .* -m pip install prometheus_client"
    with pytest.raises(ConfigError, match=words), server_here(*METRICS):
        raise AssertionError("it runs")
