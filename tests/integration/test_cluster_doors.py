"""Operators, closed rooms and owned names over two servers that share a log in NATS."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from moderated import BANNED, ENDED, MUTED, NOTICE, REMOVED, wish
from natsd import running_nats
from owned_clients import OwnedClients
from support import (
    Client,
    eventually,
    plain_client,
    running_program,
    running_server,
)
from test_security import make_certificates

import chat_pb2

DENIED = grpc.StatusCode.PERMISSION_DENIED
CLOSED, OPENED, INVITED = chat_pb2.KIND_CLOSED, chat_pb2.KIND_OPENED, chat_pb2.KIND_INVITED
Message = chat_pb2.Message


class Cluster(OwnedClients):
    """Two servers with one certificate and one list of operators: `ana`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        files = make_certificates(folder)
        super().__init__(files.cert, files.key, files.ca)
        self.trail = folder / "audit.jsonl"
        operators = folder / "operators.txt"
        operators.write_text("ana\n", "utf-8")
        nats = stack.enter_context(running_nats(folder / "nats"))
        flags = ["--tls-cert", files.cert, "--tls-key", files.key, "--cluster", nats.url]
        flags += ["--operators", str(operators)]
        self.paths = [folder / "one.db", folder / "other.db"]
        trail = ("--audit", str(self.trail))
        self.one = stack.enter_context(running_server(*flags, *trail, db=self.paths[0]))
        self.other = stack.enter_context(running_server(*flags, db=self.paths[1]))

    def wait_until_known(self, client: Client, *names: str, room: str = "") -> None:
        """Wait until somebody hears at one server that others are at another."""
        for name in names:
            keys = iter(range(10_000))

            def is_there(name: str = name, keys: Iterator[int] = keys) -> bool:
                key = f"who-{name}-{next(keys)}"
                client.ask_who(key, room)
                client.wait_for_key(key)
                return name in {m.user for m in client.of_kind(chat_pb2.KIND_PRESENT)}

            eventually(is_there)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all of these tests; each has its own people and rooms."""
    with ExitStack() as stack:
        yield Cluster(tmp_path_factory.mktemp("cluster"), stack)


def facts(client: Client, kind: chat_pb2.Kind, to: str) -> list[tuple[str, str, str]]:
    """Return what somebody heard of what was done to one: by whom, the words, the key."""
    heard = [m for m in client.of_kind(kind) if m.to == to]
    return [(m.user, m.message, m.key) for m in heard]


def test_somebody_at_the_other_server_is_removed(cluster: Cluster) -> None:
    """She is told why, the rooms at both servers once; the trail is that of the operator's."""
    with (
        cluster.client(cluster.one, "ana") as ana,
        cluster.client(cluster.one, "caio1", is_owner=False) as caio,
        cluster.client(cluster.other, "davi1", is_owner=False) as davi,
        cluster.client(cluster.other, "bia1", is_owner=False) as bia,
    ):
        cluster.wait_until_known(ana, "bia1", "davi1")
        ana.send(wish(REMOVED, "BIA1", "não grite", key="kick"))
        assert ana.wait_for_key("kick").to == "bia1"
        assert bia.wait_for_end() == (DENIED, "REMOVED")
        for client in (caio, davi):
            client.wait_for(lambda m: m.kind == chat_pb2.KIND_LEFT and m.user == "bia1")
            assert facts(client, REMOVED, "bia1") == [("ana", "não grite", "")]
        assert facts(ana, REMOVED, "bia1") == [("ana", "não grite", "kick")]
        cluster.other.wait_for_line("[ana]")
        ana.send(wish(REMOVED, "ninguem1", key="nobody"))
        assert ana.wait_for_key("nobody").user == "USER_UNKNOWN"
    lines = cluster.trail.read_text("utf-8").splitlines()
    assert [json.loads(line)["to"] for line in lines] == ["BIA1", "ninguem1"]


def test_ban_and_mute_hold_at_both_servers_until_they_end(cluster: Cluster) -> None:
    """Also for whoever comes back by the other one; an announcement is heard at both."""
    session = secrets.token_hex(16)
    with (
        cluster.client(cluster.one, "ana") as ana,
        cluster.client(cluster.other, "davi2", is_owner=False) as davi,
        cluster.client(cluster.other, "eva2", is_owner=False, session=session) as eva,
    ):
        cluster.wait_until_known(ana, "eva2", "davi2")
        ana.send(wish(MUTED, "eva2", "calma", key="mute"))
        eva.wait_for(lambda m: m.kind == MUTED)
        eva.say("oi", key="said")
        assert eva.wait_for_key("said").user == "MUTED"
        ana.send(wish(BANNED, "eva2", "spam", key="ban"))
        assert eva.wait_for_end() == (DENIED, "BANNED")
        davi.wait_for(lambda m: m.kind == BANNED)
        assert facts(davi, BANNED, "eva2") == [("ana", "spam", "")]
        for server in (cluster.one, cluster.other):
            with cluster.client(server, "zoe2", is_owner=False, session=session) as eva:
                assert eva.wait_for_end() == (DENIED, "BANNED")
        ana.send(wish(BANNED, "eva2", until=ENDED, key="end"))
        assert ana.wait_for_key("end").kind == BANNED
        with cluster.client(cluster.one, "eva2", is_owner=False, session=session) as eva:
            eva.say("oi", key="again")
            assert eva.wait_for_key("again").user == "MUTED"
        ana.send(wish(NOTICE, words="fecha às 18h", key="announce"))
        davi.wait_for(lambda m: m.kind == NOTICE and m.message == "fecha às 18h")


def test_wish_sent_again_at_the_other_server_is_done_once(cluster: Cluster) -> None:
    """Who was removed has come back, and stays."""
    session = secrets.token_hex(16)
    with cluster.client(cluster.one, "ana", session=session) as ana:
        with cluster.client(cluster.other, "bia3", is_owner=False) as bia:
            cluster.wait_until_known(ana, "bia3")
            ana.send(wish(REMOVED, "bia3", "x", key="once"))
            bia.wait_for_end()
        cluster.other.wait_for_line("bia3")
        ana.cancel()
    with (
        cluster.client(cluster.one, "bia3", is_owner=False) as bia,
        cluster.client(cluster.other, "ana", session=session) as ana,
    ):
        cluster.wait_until_known(ana, "bia3")
        ana.send(wish(REMOVED, "bia3", "x", key="once"))
        assert ana.wait_for_key("once").kind == REMOVED
        bia.say("still here", key="1")
        assert bia.wait_for_key("1").message == "still here"


def door(client: Client, kind: chat_pb2.Kind, room: str, key: str, to: str = "") -> Message:
    """Wish something of a room's door; return the answer."""
    client.send(Message(kind=kind, room=room, key=key, to=to))
    return client.wait_for_key(key)


def test_room_that_is_closed_at_one_server_is_so_at_the_other(cluster: Cluster) -> None:
    """Who was inside there stays; who is invited there comes in; who is turned out leaves."""
    room = "sala4"
    with (
        ExitStack() as stack,
        cluster.client(cluster.one, "bia4") as bia,
        cluster.client(cluster.other, "davi4", is_owner=False) as davi,
    ):
        bia.enter(room, key="in")
        bia.wait_for_key("in")
        cluster.wait_until_known(davi, "bia4", room=room)
        caio = stack.enter_context(
            cluster.client(cluster.other, "caio4", is_owner=False, room=room)
        )
        cluster.wait_until_known(bia, "caio4", room=room)
        assert door(bia, CLOSED, room, "close").id
        bia.say("segredo", key="said", room=room)
        caio.wait_for_text("segredo")
        davi.enter(room, key="in")
        assert davi.wait_for_key("in").user == "ROOM_CLOSED"
        cluster.wait_until_known(bia, "davi4")
        assert door(bia, INVITED, room, "invite", to="davi4").to == "davi4"
        davi.wait_for_kind(INVITED)
        davi.enter(room, key="in2", history=20)
        davi.wait_for_text("segredo")
        door(bia, chat_pb2.KIND_EXITED, room, "out", to="caio4")
        assert caio.wait_for_end() == (DENIED, "ROOM_CLOSED")
    with (
        cluster.client(cluster.other, "bia4", room=room) as bia,
        cluster.client(cluster.one, "eva4", is_owner=False) as eva,
    ):
        assert door(bia, OPENED, room, "open").id

        def is_in() -> bool:
            key = secrets.token_hex(4)
            eva.enter(room, key=key, history=20)
            return eva.wait_for_key(key).kind == chat_pb2.KIND_ENTERED

        eventually(is_in)
        bia.say("agora", key="now", room=room)
        eva.wait_for_text("agora")
        assert "segredo" not in eva.texts


def test_name_that_is_freed_at_one_server_is_free_at_both(cluster: Cluster) -> None:
    """Within the seconds in which a server looks for it."""
    with cluster.client(cluster.other, "gil5"):
        pass
    with cluster.client(cluster.one, "gil5", is_owner=False) as thief:
        assert thief.wait_for_end() == (grpc.StatusCode.ALREADY_EXISTS, "NAME_OWNED")
    flags = ("--lang", "en", "--db", str(cluster.paths[0]), "--free", "gil5")
    with running_program("server.py", *flags) as freeing:
        assert freeing.wait() == 0, freeing.report()

    def is_free() -> bool:
        with plain_client(cluster.other.address, "gil5", credentials=cluster.trust) as plain:
            plain.say("oi")
            eventually(lambda: not plain.is_open or plain.texts)
            return plain.texts == ["oi"]

    eventually(is_free)
