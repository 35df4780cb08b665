"""Owned names over two servers that share a log: the owner, and what waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from certificates import make_pair
from natsd import running_nats
from support import Client, eventually, server_here
from test_cluster_people import is_there
from test_owned_names import ANA, BIA, NAME_OWNED, OTHER_SESSION, Door

import chat_pb2

Doors = tuple[Door, Door]
THIRD_SESSION = "c" * 32


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Two servers of one cluster, with one certificate, for all of these tests."""
    folder: Path = tmp_path_factory.mktemp("cluster")
    pair = make_pair()
    cert, key = pair.write(folder)
    with running_nats(folder / "nats") as nats:
        flags = ("--cluster", nats.url, "--tls-cert", cert, "--tls-key", key)
        with (
            server_here(*flags, db=folder / "one.db") as one,
            server_here(*flags, db=folder / "other.db") as other,
        ):
            yield Door(one, pair), Door(other, pair)


def refused_elsewhere(door: Door, name: str) -> None:
    """Wait until a server refuses somebody who is not the owner of a name, as such."""

    def is_refused() -> bool:
        with door.own(BIA, name, OTHER_SESSION) as thief:
            return thief.wait_for_end() == NAME_OWNED

    eventually(is_refused)


def test_owner_comes_with_another_session_at_another_server(doors: Doors) -> None:
    """As at one server: the stream of before ends; nobody else can do that."""
    one, other = doors
    with one.own(ANA, "ana1") as before:
        refused_elsewhere(other, "ana1")
        assert before.is_open
        with other.own(ANA, "ana1", OTHER_SESSION) as after:
            assert before.wait_for_end() == (grpc.StatusCode.ABORTED, "SESSION_REPLACED")
            after.say("still me", key="1")
            assert after.wait_for_key("1").user == "ana1"
            with one.own(ANA, "ana1", THIRD_SESSION) as again:
                assert after.wait_for_end() == (grpc.StatusCode.ABORTED, "SESSION_REPLACED")
                assert again.is_open


def reasons(client: Client) -> list[str]:
    """Return the notices that a client has got."""
    return [m.user for m in client.of_kind(chat_pb2.KIND_NOTICE)]


def test_reader_at_another_server_is_not_away(doors: Doors) -> None:
    """Nor does what is written to it count as left for it; when it is gone, it is away."""
    one, other = doors
    with one.own(BIA, "bia2", OTHER_SESSION) as bia:
        with other.own(ANA, "ana2") as ana:
            is_there(bia, "ana2")
            bia.say("and now", key="last", to="ana2")
            bia.wait_for_key("last")
            ana.wait_for_text("and now")
            bia.ask_who("w")
            bia.wait_for(lambda m: m.kind == chat_pb2.KIND_WHO)
            assert "AWAY" not in reasons(bia)
        keys = iter(range(10_000))

        def is_away() -> bool:
            key = f"away {next(keys)}"
            bia.say("for later", key=key, to="ana2")
            bia.wait_for_key(key)
            bia.ask_who(key)
            bia.wait_for(lambda m: m.kind == chat_pb2.KIND_WHO and m.key == key)
            return "AWAY" in reasons(bia)

        eventually(is_away)
