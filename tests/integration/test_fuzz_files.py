"""Command lines and files of any content: settings, or one sentence that says what is wrong.

`make fuzz` tries many times as many cases (`strategies.cases`).
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cases, command_lines, contents
from support import (
    CHANNEL_OPTIONS,
    DEADLINE_SECONDS,
    METHOD,
    full_client,
    full_metadata,
    running_server,
)

import client as client_program
import server as server_program
from chat.cli import credentials
from chat.client.address import parse_address
from chat.client.cursor import Place
from chat.client.identity import Identity
from chat.client.known_servers import Damaged, KnownServers
from chat.client.settings import read_flags as read_client_flags
from chat.client.settings import session_options
from chat.protocol.errors import ChatError, ConfigError
from chat.server.assembly import Server
from chat.server.log.base import LogError
from chat.server.settings import read_flags as read_server_flags
from chat.server.tokens import read_tokens

Code = grpc.StatusCode

SERVER_FLAGS = ["--host", "--port", "--db", "--retain", "--max-clients", "--rate", "--quiet"]
SERVER_FLAGS += [
    "--tls",
    "--tls-cert",
    "--tls-key",
    "--token-file",
    "--lang",
    "--help",
    "--version",
    "--",
]
CLIENT_FLAGS = ["--name", "--room", "--history", "--bell", "--json", "--listen", "--tls", "--lang"]
CLIENT_FLAGS += ["--fingerprint", "--tls-cert", "--tls-key", "--forget-certificate"]
CLIENT_FLAGS += ["--tls-ca", "--token-file", "localhost:1", "[::1]:1", "--help", "--version", "--"]
SESSION = "a" * 32
PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
NUMBERS = itertools.count()
IDENTITY = b'{"session": "%s", "inbox": 5, "epoch": "e", "generation": "g"}' % SESSION.encode()


def _as_pem(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).encode()


@cases(50)
@given(server_line=command_lines(SERVER_FLAGS), client_line=command_lines(CLIENT_FLAGS))
def test_any_command_line(server_line: list[str], client_line: list[str]) -> None:
    """Settings, or a sentence and exit code 2; the help is a good end too."""
    for read, line in ((read_server_flags, server_line), (_read_client, client_line)):
        try:
            read(line)
        except SystemExit as end:
            assert end.code in (0, 2)
        except (ChatError, ConfigError) as refusal:
            assert str(refusal)


def _read_client(line: Sequence[str]) -> None:
    chosen = read_client_flags(line, client_program.SERVER_ADDRESS)
    parse_address(chosen.address)
    session_options(chosen)


@cases(30)
@given(content=contents(b"correct-horse-battery\r\n"))
def test_any_token_file(tmp_path: Path, content: bytes) -> None:
    """A token that a header can carry, or a sentence."""
    path = tmp_path / "token.txt"
    path.write_bytes(content)
    try:
        token = credentials.read_token(str(path))
    except ConfigError as refusal:
        assert "\n" not in str(refusal)
    else:
        assert token.isascii() and token.isprintable()
    with suppress(ConfigError):
        assert read_tokens(str(path))


@cases(30)
@given(content=contents(IDENTITY))
def test_any_identity_file(tmp_path: Path, content: bytes) -> None:
    """What a client kept is read again where it makes sense, else it is somebody new."""
    kept = Identity("localhost:1", "ana", tmp_path)
    kept.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    found = Identity("localhost:1", "ana", tmp_path)
    try:
        assert len(found.session) == 32
        found.save(found.place or Place())
    finally:
        found.close()


@cases(30)
@given(content=st.binary(max_size=300) | st.binary(max_size=90).map(_as_pem))
def test_any_known_server_file(tmp_path: Path, content: bytes) -> None:
    """It holds a certificate, or is told to be damaged: never taken for a server not met yet."""
    known = KnownServers(tmp_path)
    assert known.remember("localhost:1", b"")
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    with pytest.raises(Damaged):
        known.find("localhost:1")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A log's file with a few messages in it, as it is after a stop."""
    path = tmp_path_factory.mktemp("log") / "chat.db"
    with running_server("--quiet", db=path) as server:
        with full_client(server.address, "ana") as ana:
            for number in range(20):
                ana.say(f"{number} " * 20, key=str(number))
            ana.wait_for_key("19")
        assert server.stop() == 0
    return path.read_bytes()


@cases(20)
@given(data=st.data())
def test_any_log_file(tmp_path: Path, log: bytes, data: st.DataObject) -> None:
    """A server starts on it and stops, or says in a sentence why it cannot."""
    path = tmp_path / f"chat-{next(NUMBERS)}.db"
    path.write_bytes(data.draw(contents(log)))
    asyncio.run(_start_and_stop("--db", str(path)))


@cases(20)
@given(data=st.data())
def test_any_certificate(tmp_path: Path, data: st.DataObject) -> None:
    """A certificate or a key that is none is a sentence."""
    names = ("cert.pem", "key.pem")
    for name in names:
        content = data.draw(contents(PEM), label=name)
        (tmp_path / name).write_bytes(content)
    cert, key = (str(tmp_path / name) for name in names)
    asyncio.run(_start_and_stop("--tls-cert", cert, "--tls-key", key, "--db", ":memory:"))


async def _start_and_stop(*flags: str) -> None:
    settings = read_server_flags(["--host", "localhost", "--port", "0", *flags])
    try:
        server = Server(settings, server_program.ChatService)
        port = await server.start()
    except ConfigError as refusal:
        assert str(refusal)
        return
    try:
        await _visit(port)
    finally:
        with suppress(LogError):  # a log that was lost is told again in the end
            await server.stop()


async def _visit(port: int) -> None:
    """Read all that was said and leave; or be told that it cannot be read."""
    async with grpc.aio.insecure_channel(f"localhost:{port}", CHANNEL_OPTIONS) as channel:
        chat: Any = channel.stream_stream(METHOD, None, None)
        call = chat(metadata=full_metadata("ana", history=1000))
        await call.done_writing()
        end = asyncio.create_task(call.code())
        while await asyncio.wait_for(call.read(), DEADLINE_SECONDS) is not grpc.aio.EOF:
            pass
        assert await asyncio.wait_for(end, DEADLINE_SECONDS) in (Code.OK, Code.UNAVAILABLE)
