"""Server programs that share a log: what is said at one is heard at all; how they start."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from natsd import Natsd, running_nats, stable_ports
from support import (
    DEADLINE_SECONDS,
    Client,
    eventually,
    full_client,
    running_program,
    running_server,
)
from test_security import make_certificates

from chat_pb2 import KIND_HISTORY, KIND_SEARCH, Message

FLAGS = ("--lang", "en", "--host", "localhost", "--port", "0")


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Natsd]:
    """One nats-server."""
    with running_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


def test_what_is_said_at_one_server_is_heard_at_the_other(nats: Natsd, tmp_path: Path) -> None:
    """In one order, under the same ids; and read there by those who come later."""
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    with (
        running_server("--cluster", nats.url, db=one) as first,
        running_server("--cluster", nats.url, db=other) as second,
        full_client(first.address, "ana") as ana,
        full_client(second.address, "bia") as bia,
    ):
        ana.wait_for_greeting()
        bia.wait_for_greeting()
        assert ana.epoch == bia.epoch and ana.generation == bia.generation
        ana.say("oi", key="1")
        heard = bia.wait_for_text("oi")
        bia.say("tudo bem?", key="2")
        for client in (ana, bia):
            client.wait_for_text("tudo bem?")
        assert ana.wait_for_text("oi") == heard and heard.user == "ana"
        assert ana.ids == bia.ids == sorted(ana.ids)
        second.wait_for_line("[ana]: oi")
        with full_client(second.address, "caio") as caio:
            caio.wait_for_text("tudo bem?")
            assert caio.texts == ["oi", "tudo bem?"]


def test_what_was_said_at_one_server_is_found_at_the_other(nats: Natsd, tmp_path: Path) -> None:
    """And what was said around it; nothing private, nor what was said in another room."""
    room = "found"
    with (
        running_server("--cluster", nats.url, db=tmp_path / "one.db") as first,
        running_server("--cluster", nats.url, db=tmp_path / "other.db") as second,
        full_client(first.address, "dora", room=room) as dora,
        full_client(second.address, "elis", room=room) as elis,
        full_client(first.address, "flor", room="elsewhere") as flor,
    ):
        for client in (dora, elis, flor):
            client.wait_for_greeting()
        for text in ("Reunião às 15h", "bom dia", "a REUNIAO mudou"):
            dora.say(text, key=text)
        flor.say("reunião de outros", key="outros")
        flor.wait_for_key("outros")
        dora.send(Message(message="reunião a dois", to="elis", key="private"))
        dora.wait_for_key("private")
        middle = elis.wait_for_text("bom dia")
        elis.wait_for_text("a REUNIAO mudou")
        elis.send(Message(kind=KIND_SEARCH, message="reuni", key="s"))
        elis.send(Message(kind=KIND_HISTORY, message="1+1", id=middle.id, key="h"))
        elis.wait_for(lambda message: message.key == "h" and not message.batch)
        found = [one.message for part in elis.messages if part.key == "s" for one in part.batch]
        around = [one.message for part in elis.messages if part.key == "h" for one in part.batch]
        assert found == ["a REUNIAO mudou", "Reunião às 15h"]
        assert around == ["Reunião às 15h", "bom dia"]


def test_first_line_is_the_port_whatever_is_said_meanwhile(nats: Natsd) -> None:
    """A server hears the others before it listens; what they say is shown after that."""
    is_over = threading.Event()

    def flood(client: Client) -> None:
        while not is_over.wait(0.001):
            client.say("oi", key=uuid4().hex)

    with (
        running_server("--rate", "0", "--quiet", "--cluster", nats.url) as first,
        full_client(first.address, "eva") as eva,
        ThreadPoolExecutor(1) as pool,
    ):
        flooding = pool.submit(flood, eva)
        try:
            with running_server("--cluster", nats.url) as second:
                second.wait_for_line("[eva]: oi")
                assert "running on port" in second.lines[0]
        finally:
            is_over.set()
        flooding.result()


def test_client_goes_on_at_another_server(nats: Natsd, tmp_path: Path) -> None:
    """Nothing is told to be missing, and what it says again is there once."""
    session = "ab" * 16
    with (
        running_server("--cluster", nats.url, db=tmp_path / "one.db") as first,
        running_server("--cluster", nats.url, db=tmp_path / "other.db") as second,
    ):
        with full_client(first.address, "dina", session=session) as dina:
            dina.say("once", key="dina-1")
            seen = dina.wait_for_key("dina-1")
            generation = dina.generation
        with full_client(
            second.address, "dina", session=session, after=seen.id, generation=generation
        ) as dina:
            dina.say("once", key="dina-1")
            again = dina.wait_for_key("dina-1")
            dina.say("new", key="dina-2")
            dina.wait_for_key("dina-2")
            assert again.id == seen.id
            assert [message.user for message in dina.messages if not message.id] == []


def test_server_waits_for_nats_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    """With a sentence, and without a port; when NATS comes, it serves."""
    port = stable_ports(1)[0]
    url = f"nats://user:secret@127.0.0.1:{port}"
    flags = (*FLAGS, "--db", str(tmp_path / "chat.db"), "--cluster", url)
    with running_program("server.py", *flags) as waiting:
        waiting.wait_for_error(
            f"NATS at 127.0.0.1:{port} is not available: connection refused. The server waits"
        )
        assert waiting.stop(signal.SIGTERM if sys.platform != "win32" else signal.SIGINT) == 0
        assert waiting.lines == []
    with running_program("server.py", *flags) as waiting:
        waiting.wait_for_error("is not available")
        nats = Natsd(tmp_path / "nats", port)
        try:
            nats.start()
            waiting.wait_for_line("running on port")
            assert "secret" not in waiting.report()
        finally:
            nats.kill()


def test_absence_is_told_as_json_too(tmp_path: Path) -> None:
    """One object a line, each with its time, for whatever collects them."""
    flags = ("--verbose", "--log-format", "json")
    with (
        running_nats(tmp_path / "nats") as nats,
        running_server(*flags, "--cluster", nats.url) as server,
    ):
        nats.kill()
        server.wait_for_error("is not available")
        nats.start()
        server.wait_for_error("available again")
        told = [json.loads(line) for line in server.errors]
        assert [line["event"] for line in told] == ["trouble", "trouble"]
        assert all(line["time"] for line in told)


def test_fewer_copies_than_wished_are_told(tmp_path: Path) -> None:
    """With the command that changes it; the server goes on."""
    with running_nats(tmp_path / "nats") as nats:
        with running_server("--cluster", nats.url):
            pass
        with running_server("--cluster", nats.url, "--replicas", "3") as server:
            server.wait_for_error("nats stream edit CHAT --replicas 3")


def start_refused(*flags: str) -> str:
    """Return the one sentence by which a server does not start."""
    with running_program("server.py", *FLAGS, *flags) as server:
        assert server.wait() == 1, server.report()
        assert len(server.errors) == 1, server.report()
        return server.stderr


def test_nats_that_refuses_is_one_sentence(tmp_path: Path) -> None:
    """The password is not in it."""
    extra = "authorization { user: chat, password: right }"
    with running_nats(tmp_path / "nats", extra=extra) as nats:
        address = nats.url.partition("//")[2]
        wrong = f"nats://chat:secret@{address}"
        said = start_refused("--db", ":memory:", "--cluster", wrong)
        assert address in said and "cannot be used" in said and "secret" not in said
        with running_server("--cluster", f"nats://chat:right@{address}") as server:
            assert server.port


def test_tls_to_nats_takes_the_authority_that_is_given(tmp_path: Path) -> None:
    """And shows a certificate of its own, where that is asked for."""
    ours = make_certificates(tmp_path / "ours")
    extra = (
        f'tls {{ cert_file: "{ours.cert}", key_file: "{ours.key}", ca_file: "{ours.ca}",'
        " verify: true }"
    )
    with running_nats(tmp_path / "nats", extra=extra) as nats:
        url = f"tls://localhost:{nats.port}"
        files = ("--cluster-ca", str(ours.ca), "--cluster-cert", str(ours.cert))
        with running_server("--cluster", url, *files, "--cluster-key", str(ours.key)) as server:
            assert server.port
        said = start_refused("--cluster", url, "--cluster-ca", str(tmp_path / "absent.pem"))
        assert "cannot be used" in said


INFO = {"server_id": "x", "version": "2.12.3", "proto": 1, "headers": True, "max_payload": 1 << 20}


@contextmanager
def man_in_the_middle(**info: object) -> Iterator[tuple[int, Callable[[], bytes]]]:
    """Be a NATS without TLS; yield its port, and what returns all that the first one has said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_SECONDS)

        def heard() -> bytes:
            peer, _address = listener.accept()
            with peer:
                peer.settimeout(DEADLINE_SECONDS)
                peer.sendall(b"INFO " + json.dumps({**INFO, **info}).encode() + b"\r\n")
                said = b""
                with suppress(ConnectionError):
                    while b"\r\n" not in said and (more := peer.recv(4096)):
                        said += more
                return said

        yield listener.getsockname()[1], heard


@pytest.mark.parametrize("is_by_authority", [False, True])
def test_password_is_told_to_no_nats_without_tls(tmp_path: Path, is_by_authority: bool) -> None:
    """Whoever is between says that there is none: nothing is said to that one, but to the user."""
    with man_in_the_middle() as (port, heard):
        ours = make_certificates(tmp_path / "ours")
        url = f"tls://chat:secret@127.0.0.1:{port}"
        flags = ["--cluster", url]
        if is_by_authority:
            flags = ["--cluster", url.replace("tls:", "nats:"), "--cluster-ca", str(ours.ca)]
        with running_program("server.py", *FLAGS, "--db", ":memory:", *flags) as server:
            assert heard() == b""
            assert server.wait() == 1, server.report()
            assert len(server.errors) == 1 and "TLS" in server.stderr, server.report()
            assert "secret" not in server.stderr


def test_certificate_for_nats_needs_its_key() -> None:
    """And the key the certificate."""
    for flag in ("--cluster-cert", "--cluster-key"):
        flags = ("--cluster", "tls://localhost", flag, "file.pem")
        with running_program("server.py", *FLAGS, "--db", ":memory:", *flags) as server:
            assert server.wait() == 2, server.report()
            assert "--cluster-cert" in server.stderr and "--cluster-key" in server.stderr


def test_server_says_that_nats_is_away_and_back(tmp_path: Path) -> None:
    """What was said meanwhile is stored when it is back, and nobody's stream ends."""
    with (
        running_nats(tmp_path / "nats", sync="always") as nats,
        running_server("--cluster", nats.url, db=tmp_path / "chat.db") as server,
        full_client(server.address, "fabio") as fabio,
    ):
        fabio.say("before", key="1")
        fabio.wait_for_key("1")
        nats.kill()
        server.wait_for_error("Nothing new is accepted")
        fabio.say("meanwhile", key="2")
        fabio.ask_history(10, key="h")
        fabio.wait_for(lambda message: message.key == "h" and len(message.batch) == 1)
        nats.start()
        fabio.wait_for_key("2")
        server.wait_for_error("available again")
        eventually(lambda: fabio.is_open)
        assert fabio.texts == ["before", "meanwhile"]


def test_clients_are_told_that_the_log_was_put_back(tmp_path: Path) -> None:
    """Their streams end, and whoever comes back hears it, and what the log has now."""
    session = "cd" * 16
    with (
        running_nats(tmp_path / "nats", sync="always") as nats,
        running_server("--cluster", nats.url, db=tmp_path / "chat.db") as server,
    ):
        with full_client(server.address, "gil", session=session) as gil:
            gil.say("kept", key="1")
            gil.wait_for_key("1")
            nats.stop()
            nats.copy_store(tmp_path / "copy")
            nats.start()
            gil.say("forgotten", key="2")
            seen = gil.wait_for_key("2")
            generation = gil.generation
            nats.kill()
            nats.put_back(tmp_path / "copy")
            nats.start()
            assert gil.wait_for_end() == (grpc.StatusCode.UNAVAILABLE, "LOG_REWOUND")
        with full_client(
            server.address, "gil", session=session, after=seen.id, generation=generation
        ) as gil:
            gil.wait_for(lambda message: message.user == "LOG_REWOUND")
            gil.say("new", key="3")
            gil.wait_for_key("3")
            assert gil.texts == ["kept", "new"] and gil.generation != generation


def test_cluster_without_its_package_is_one_sentence() -> None:
    """With the command that brings it."""
    hidden = "import sys, runpy; sys.modules['nats'] = None; sys.argv[0] = 'server.py'"
    run = f"{hidden}; runpy.run_path('server.py', run_name='__main__')"
    with running_program("-c", run, *FLAGS, "--db", ":memory:", "--cluster", "nats://x") as server:
        assert server.wait() == 1
        assert server.stderr.startswith("--cluster needs nats-py. Type: ")


def test_without_nats_only_who_was_here_can_come_back(tmp_path: Path) -> None:
    """A name that is new could be somebody's at another server."""
    session = "98" * 16
    with (
        running_nats(tmp_path / "nats", sync="always") as nats,
        running_server("--cluster", nats.url, db=tmp_path / "chat.db") as server,
    ):
        with full_client(server.address, "hugo", session=session) as hugo:
            hugo.say("before", key="1")
            seen = hugo.wait_for_key("1")
            generation = hugo.generation
            hugo.cancel()
        nats.kill()
        with full_client(server.address, "iris") as iris:
            assert iris.wait_for_end() == (grpc.StatusCode.UNAVAILABLE, "CLUSTER_AWAY")
        with full_client(
            server.address, "hugo", session=session, after=seen.id, generation=generation
        ) as hugo:
            hugo.ask_who("w")
            hugo.wait_for_key("w")
            nats.start()
            hugo.say("after", key="2")
            hugo.wait_for_key("2")
            assert hugo.texts == ["after"]
        with full_client(server.address, "iris") as iris:
            iris.wait_for_greeting()
