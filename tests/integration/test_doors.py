"""Closed rooms on real servers, over TLS, under names that are proved; and over restarts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from owned_clients import OwnedClients
from support import Client, RunningServer, plain_client, running_server
from test_security import Certificates, make_certificates

import chat_pb2

Message = chat_pb2.Message
ROOM = "sala"


class Doorway(OwnedClients):
    """A server with TLS on one log, which may be stopped and started, and its people."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self._certificates = certificates
        self._db = folder / "chat.db"
        super().__init__(certificates.cert, certificates.key, certificates.ca)

    @contextmanager
    def open(self) -> Iterator[RunningServer]:
        """Run a server on the log for the length of the block."""
        pair = ("--tls-cert", self._certificates.cert, "--tls-key", self._certificates.key)
        with running_server("--db", str(self._db), *pair) as server:
            yield server
            server.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def doorway(tmp_path: Path, certificates: Certificates) -> Doorway:
    return Doorway(tmp_path, certificates)


def wish(client: Client, kind: chat_pb2.Kind, key: str, to: str = "") -> Message:
    """Wish something of the room's door; return the answer."""
    client.send(Message(kind=kind, room=ROOM, key=key, to=to))
    return client.wait_for_key(key)


def refusals(client: Client) -> list[str]:
    """Name the room in every way; return why each is refused."""
    client.enter(ROOM, key="enter")
    client.enter(ROOM, key="enter-last", history=1000)
    client.ask_who(key="who", room=ROOM)
    client.ask_history(9, room=ROOM, key="history")
    client.say("oi", key="say", room=ROOM)
    client.ask_rooms(key="rooms")
    rooms = client.wait_for(lambda m: m.key == "rooms" and not m.message)
    assert rooms.kind == chat_pb2.KIND_ROOMS
    assert ROOM not in [m.room for m in client.of_kind(chat_pb2.KIND_ROOMS)]
    assert client.of_kind(chat_pb2.KIND_PRESENT) == []
    return [client.wait_for_key(k).user for k in ("enter", "enter-last", "who", "history", "say")]


UNINVITED = ["ROOM_CLOSED", "ROOM_CLOSED", "ROOM_CLOSED", "NOT_IN_ROOM", "NOT_IN_ROOM"]


def test_closed_room_from_its_closing_to_its_opening(doorway: Doorway) -> None:
    """Over three servers on one log: nobody else hears a word, the invited one all of it."""
    with doorway.open() as server:
        with doorway.client(server, "bia"):
            pass  # so that her name is her own
        with (
            doorway.client(server, "ana", room=ROOM) as ana,
            doorway.client(server, "caio") as caio,
            plain_client(server.address, "plínio", credentials=doorway.trust) as plain,
        ):
            assert wish(ana, chat_pb2.KIND_CLOSED, "close").id == 1
            ana.say("segredo", key="said", room=ROOM)
            ana.wait_for_key("said")
            assert refusals(caio) == UNINVITED
            invited = wish(ana, chat_pb2.KIND_INVITED, "invite", to="bia")
            assert (invited.to, invited.id) == ("bia", 0)
            plain.say("bom dia")
            for other in (caio, plain):
                other.wait_for_text("bom dia")
            assert caio.texts == plain.texts == ["bom dia"]
        server.wait_for_line("#sala * [ana] closed the room")
        server.wait_for_line("#sala * [ana] invites [bia]")
    with doorway.open() as server:
        with doorway.client(server, "caio", room=ROOM, after=0) as caio:
            refused = (grpc.StatusCode.PERMISSION_DENIED, "ROOM_CLOSED")
            assert caio.wait_for_end() == refused
        with doorway.client(server, "bia", is_owner=False, room=ROOM) as thief:
            assert thief.wait_for_end() == (grpc.StatusCode.ALREADY_EXISTS, "NAME_OWNED")
        with doorway.client(server, "bia") as bia:
            told = bia.wait_for_kind(chat_pb2.KIND_INVITED)
            assert (told.user, told.to, told.room) == ("ana", "bia", ROOM)
            bia.enter(told.room, key="in", history=20)
            bia.wait_for_text("segredo")
    with doorway.open() as server:
        with doorway.client(server, "bia", inbox=told.id, room=ROOM) as bia:
            bia.wait_for_text("segredo")
            assert bia.of_kind(chat_pb2.KIND_INVITED) == []
        with (
            doorway.client(server, "ana", room=ROOM) as ana,
            doorway.client(server, "zeca", is_owner=False) as zeca,
        ):
            assert wish(ana, chat_pb2.KIND_OPENED, "open").id
            ana.say("agora", key="now", room=ROOM)
            ana.wait_for_key("now")
            zeca.enter(ROOM, key="in", after=0)
            zeca.wait_for_text("agora")
            zeca.ask_history(1000, room=ROOM, key="page")
            zeca.wait_for(lambda m: m.key == "page" and not m.batch)
            pages = [said.message for m in zeca.messages for said in m.batch]
            assert zeca.texts[1:] == ["agora"]  # behind the common room's
            assert "segredo" not in pages


def test_member_without_an_invitation_does_not_resume(doorway: Doorway) -> None:
    """His session, the id that he saw and his own words there open nothing, nor say anything."""
    with doorway.open() as server:
        session = secrets.token_hex(16)
        with doorway.client(server, "rui", is_owner=False, session=session, room=ROOM) as rui:
            rui.say("antes", key="mine", room=ROOM)
            seen = rui.wait_for_key("mine").id
        with doorway.client(server, "ana", room=ROOM) as ana:
            wish(ana, chat_pb2.KIND_CLOSED, "close")
            ana.say("segredo", key="said", room=ROOM)
            ana.wait_for_key("said")
            with doorway.client(
                server, "rui", is_owner=False, session=session, room=ROOM, after=seen
            ) as rui:
                assert rui.wait_for_end() == (grpc.StatusCode.PERMISSION_DENIED, "ROOM_CLOSED")
                assert rui.messages == []
            with doorway.client(server, "rui", is_owner=False, session=session) as rui:
                rui.enter(ROOM, key="in", after=seen)
                assert rui.wait_for_key("in").user == "ROOM_CLOSED"
