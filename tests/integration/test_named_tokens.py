"""Tokens with names, against a real server: who comes in, who has to go, and who guesses."""

from __future__ import annotations

import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from support import (
    RunningServer,
    eventually,
    full_client,
    plain_client,
    running_client,
    running_server,
)

ANA, BIA = "correct-horse-battery", "staple-of-another"
MISSING = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")
INVALID = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
GUESSED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_GUESSES")
BOTH = f"# people\nana:{ANA}\n\nbia:{BIA}\n"
# Of this machine: what it may guess at once, and a second; so many wait.
BURST, A_SECOND, WAITING = 100, 10, 20


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(BOTH)
    return path


@pytest.fixture
def server(token_file: Path) -> Iterator[RunningServer]:
    with running_server("--token-file", str(token_file)) as server:
        yield server


def reload(server: RunningServer) -> None:
    """Have the server read its files again: at once, or where there is no SIGHUP soon."""
    if sys.platform != "win32":
        server.send_signal(signal.SIGHUP)


def test_token_is_taken_from_one_without_the_others(
    server: RunningServer, token_file: Path
) -> None:
    """Full and plain streams that came in by it end, and nobody comes in by it any more."""
    header = [("authorization", f"Bearer ana:{ANA}")]
    with ExitStack() as stack:
        ana = stack.enter_context(full_client(server.address, "ana", token=ANA))
        bia = stack.enter_context(full_client(server.address, "bia", token=BIA))
        plain = stack.enter_context(plain_client(server.address, "plínio", metadata=header))
        for client in (ana, bia, plain):
            client.say("oi", key=client.user)
        for client in (ana, bia):
            client.wait_for_key(client.user)
        plain.wait_for_text("oi")
        token_file.write_text(f"bia:{BIA}\n")
        reload(server)
        assert ana.wait_for_end() == plain.wait_for_end() == INVALID
        bia.say("tchau", key="after")
        bia.wait_for_key("after")
        server.wait_for_error("token ana was taken away; streams that end by that: 2")
    with full_client(server.address, "carla", token=ANA) as carla:
        assert carla.wait_for_end() == INVALID


def test_broken_file_leaves_the_tokens_as_they_were(
    server: RunningServer, token_file: Path
) -> None:
    """It is told by its line; what is in that is not."""
    with full_client(server.address, "ana", token=ANA) as ana:
        token_file.write_text(BOTH + "carla:short\n")
        reload(server)
        server.wait_for_error(f"{token_file}, line 5: ")
        ana.say("oi", key="k")
        ana.wait_for_key("k")
    assert "short" not in server.stderr and ANA not in server.stderr


def test_new_token_comes_in_without_a_restart(server: RunningServer, token_file: Path) -> None:
    """As soon as the file is read."""
    token_file.write_text(BOTH + "carla:another-token-again\n")
    reload(server)
    server.wait_for_error("read again")
    with full_client(server.address, "carla", token="another-token-again") as carla:
        assert carla.epoch


def test_client_whose_token_is_taken_away_is_told(
    server: RunningServer, token_file: Path, tmp_path: Path
) -> None:
    """In a sentence, by which it ends; its line of the file, handed over whole, had let it in."""
    own = tmp_path / "own"
    own.touch(0o600)
    own.write_text(f"ana:{ANA}\n")
    with running_client(server, "--name", "ana", "--token-file", str(own)) as client:
        client.type("oi")
        client.wait_for_line(": oi")
        token_file.write_text(f"bia:{BIA}\n")
        reload(server)
        assert client.wait() == 1, client.report()
        assert "wrong, or no longer holds" in client.stderr and "Traceback" not in client.stderr


def test_refusals_are_logged_with_the_address(server: RunningServer) -> None:
    """And not with what was shown."""
    for token, end in (("", MISSING), ("a-guess-or-two", INVALID)):
        with full_client(server.address, "eva", token=token) as eva:
            assert eva.wait_for_end() == end
    for words in ("showed no token", "showed a wrong token"):
        line = server.wait_for_error(words)
        assert "ipv" in line and "guess" not in line


def test_guesses_are_slowed_whatever_carries_them(server: RunningServer) -> None:
    """On connections of their own, all at once; who was in before comes back meanwhile."""
    session = secrets.token_hex(16)
    with full_client(server.address, "ana", token=ANA, session=session) as ana:
        ana.cancel()
    started = time.monotonic()
    with ExitStack() as stack:
        guessing = [
            stack.enter_context(plain_client(server.address, metadata=guess(n)))
            for n in range(BURST + 2 * WAITING)
        ]
        eventually(lambda: GUESSED[1] in {one.reason for one in guessing})
        with full_client(server.address, "ana", token=ANA, session=session) as again:
            again.say("oi", key="k")
            again.wait_for_key("k")
            ends = [one.wait_for_end() for one in guessing]
    compared = ends.count(INVALID)
    assert BURST <= compared <= BURST + A_SECOND * (time.monotonic() - started) + 1
    assert compared + ends.count(GUESSED) == len(ends)


def guess(number: int) -> list[tuple[str, str]]:
    """Return the metadata that show a token made up."""
    return [("authorization", f"Bearer guess-number-{number}")]
