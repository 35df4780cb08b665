"""Programs of other people and of other times: all of them talk with ours.

Each runs in a process of its own, since each has its own idea of the contract.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import (
    IS_CI,
    ROOT,
    Program,
    RunningServer,
    full_client,
    plain_client,
    running_client,
    running_program,
    running_server,
)

PEERS = Path("tests/peers")
NODE_FILES = ("package.json", "package-lock.json", "node_client.js", "chat.proto")
# npm fetches some thirty small packages.
NPM_SECONDS = 180


@contextmanager
def old_server(max_workers: int = 10) -> Iterator[RunningServer]:
    """Run the thread-per-client server on a free port."""
    command = [sys.executable, str(PEERS / "old_server.py"), "0", str(max_workers)]
    server = RunningServer(command)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def old_client(server: RunningServer, name: str) -> Iterator[Program]:
    """Run the first version's client, past its question for the name."""
    with running_program(str(PEERS / "old_client.py"), server.address) as client:
        client.type(name)
        client.wait_for_line("Digite suas mensagens")
        yield client


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the Node client and its packages; the test is skipped where there is no npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        assert not IS_CI, "node and npm must be there in CI"
        pytest.skip("no node or npm here: the client in another language was not tried")
    folder = tmp_path_factory.mktemp("node")
    for name in NODE_FILES:
        shutil.copy(ROOT / "tests" / "peers" / name, folder)
    assert npm is not None
    install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS)
    if done.returncode:
        assert not IS_CI, done.stderr
        pytest.skip(f"npm could not fetch the packages: {done.stderr.strip()[-300:]}")
    return folder


def test_old_client_and_ours_talk_through_the_new_server() -> None:
    """Each reads what the other says."""
    with (
        running_server() as server,
        old_client(server, "velho") as old,
        running_client(server, "--name", "nova") as new,
    ):
        new.type("oi, velho")
        old.wait_for_line("[nova]: oi, velho")
        old.type("oi, nova")
        new.wait_for_line("[velho]: oi, nova")
        old.wait_for_line("[velho]: oi, nova")


def test_old_client_leaves_by_sair() -> None:
    """Its half-close gets its last echo and the end of the stream, so that the program ends."""
    with running_server() as server, old_client(server, "velho") as old:
        old.type("até logo")
        old.type("/sair")
        assert old.wait() == 0
        assert old.lines[-1] == "[velho]: até logo"


def test_new_client_and_old_one_talk_through_the_old_server() -> None:
    """Our client does without ids, echo keys and history, and says once that it must."""
    with (
        old_server() as server,
        old_client(server, "velho") as old,
        running_client(server, "--name", "nova") as new,
    ):
        # The old server only speaks once somebody does: until then nobody knows what it is.
        old.type("um")
        old.wait_for_line("[velho]: um")
        new.type("oi, velho")
        old.wait_for_line("[nova]: oi, velho")
        old.type("oi, nova")
        new.wait_for_line("[velho]: oi, nova")
        old.type("tudo bem?")
        new.wait_for_line("[velho]: tudo bem?")
        new.wait_for_error("This server keeps no history")
        told = [line for line in new.errors if "This server keeps no history" in line]
        assert len(told) == 1


def test_new_client_leaves_the_old_server() -> None:
    """The old server never ends a stream: our client does not wait for it."""
    with old_server() as server, running_client(server, "--name", "nova") as new:
        new.type("oi")
        new.wait_for_line("[nova]: oi")
        new.type("/sair")
        assert new.wait() == 0


def test_new_client_leaves_an_old_server_that_never_spoke() -> None:
    """Nobody has said a word yet: leaving takes no longer for that."""
    with old_server() as server, running_client(server, "--name", "nova") as new:
        new.type("/sair")
        assert new.wait() == 0
        assert "Traceback" not in new.stderr


def test_what_a_pipe_says_reaches_the_old_server() -> None:
    """Lines that are already there when the client starts are all sent, in order."""
    with (
        old_server() as server,
        old_client(server, "velho") as old,
        running_client(server, "--name", "robô") as new,
    ):
        old.type("um")
        old.wait_for_line("[velho]: um")
        for number in range(20):
            new.type(f"linha {number}")
        new.end_input()
        assert new.wait() == 0
        old.wait_for_line("[robô]: linha 19")
        heard = [line for line in old.lines if line.startswith("[robô]: ")]
        assert heard == [f"[robô]: linha {number}" for number in range(20)]


def test_node_client_talks_with_ours(node_folder: Path) -> None:
    """A client in another language, from the small contract alone, is one of us."""
    with (
        running_server() as server,
        running_client(server, "--name", "ana", "--history", "20") as ana,
        node_client(node_folder, server, "nó") as node,
    ):
        node.type("olá do Node ✓")
        ana.wait_for_line("[nó]: olá do Node ✓")
        ana.type("oi, nó")
        node.wait_for_line("oi, nó")
        node.end_input()
        node.wait_for_line("ended 0")
        assert node.wait() == 0
        heard = [json.loads(line) for line in node.lines if line.startswith("{")]
        assert heard == [
            {"user": "nó", "message": "olá do Node ✓"},
            {"user": "ana", "message": "oi, nó"},
        ]


def test_node_client_reads_a_refusal_as_a_status(node_folder: Path) -> None:
    """ALREADY_EXISTS, with a sentence, for a name that is taken."""
    with (
        running_server() as server,
        full_client(server.address, "ana") as ana,
        node_client(node_folder, server, "ANA") as node,
    ):
        assert ana.epoch
        node.type("oi")
        node.wait_for_line("ended 6")


@contextmanager
def node_client(folder: Path, server: RunningServer, name: str) -> Iterator[Program]:
    """Run the Node client."""
    node = shutil.which("node")
    assert node
    client = Program([node, "node_client.js", server.address, name], cwd=folder)
    try:
        yield client
    finally:
        client.close()


def test_grpclib_client_talks_with_ours() -> None:
    """Another HTTP/2 implementation altogether says a word, hears one, and leaves with OK."""
    script = str(PEERS / "grpclib_client.py")
    with running_server() as server, plain_client(server.address, "ana") as ana:
        assert ana.epoch
        arguments = (script, "localhost", str(server.port), "lib", "oi", "2")
        with running_program(*arguments) as lib:
            ana.wait_for_text("oi")
            ana.say("oi, lib")
            lib.wait_for_line("ended OK")
            assert lib.wait() == 0
            assert lib.lines == ["[lib]: oi", "[ana]: oi, lib", "ended OK"]


def test_old_server_still_has_its_limit() -> None:
    """One client more than workers waits in silence, which is what the comparison is about."""
    with (
        old_server(max_workers=1) as server,
        plain_client(server.address, "ana") as ana,
    ):
        ana.say("um")
        ana.wait_for_text("um")  # the one worker serves ana
        with plain_client(server.address, "bia") as bia:
            bia.say("dois")
            ana.say("três")
            ana.wait_for_text("três")
            assert ana.texts == ["um", "três"]
            assert bia.is_open and not bia.messages


def test_peers_know_no_field_of_ours() -> None:
    """Their contract is the seed's: two fields, and nothing that came later."""
    with running_program("-c", KNOWN_FIELDS, cwd=ROOT / "tests" / "peers") as program:
        assert program.wait() == 0, program.report()
        assert program.lines == ["['user', 'message']"]


KNOWN_FIELDS = "import chat_pb2; print([f.name for f in chat_pb2.Message.DESCRIPTOR.fields])"
