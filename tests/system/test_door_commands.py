"""The commands for closed rooms in real pseudo-terminals, in both languages, and in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from support import ServerHere, full_client, running_client, running_program, server_here

from chat.protocol.metadata import JoinRequest
from chat.server.hub import Hub
from chat_pb2 import KIND_JOINED
from server import ChatService

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

from person import TAB, Person, person

OLD_CLIENT = "tests/peers/old_client.py"


class EverybodyProves:
    """Instead of `Proofs`, which needs TLS: each full client has proved its name.

    But those whose names begin with "x".
    """

    def owner_of(self, request: JoinRequest) -> str:
        name = request.user or "x"
        return "" if name.startswith("x") else name.ljust(43, "_")


class EverybodysService(ChatService):
    """The service where everybody proves."""

    def __init__(
        self, hub: Hub, show: Any, admission: Any, _proofs: None, naming: Any, visits: Any
    ) -> None:
        super().__init__(hub, show, admission, cast("Any", EverybodyProves()), naming, visits)


@pytest.fixture(autouse=True)
def owned_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let names be their owners' without TLS."""
    monkeypatch.setattr("chat.server.encryption.owns_names", lambda wish, has_tls: True)
    monkeypatch.setattr("server.ChatService", EverybodysService)


@contextmanager
def seated(server: ServerHere, name: str, *flags: str) -> Iterator[Person]:
    """Let somebody sit at a terminal, connected."""
    with person(server.address, name, *flags) as someone:
        someone.wait_for(name)
        someone.wait_for("conectado" if "pt_BR" in flags else "connected")
        yield someone


def test_room_is_closed_entered_by_invitation_and_opened() -> None:
    """By the commands, as a person types them; each is told in the language of whoever reads."""
    with (
        server_here() as server,
        seated(server, "ana", "--room", "sala") as ana,
        seated(server, "bia", "--lang", "pt_BR") as bia,
        seated(server, "xico") as xico,
        running_program(OLD_CLIENT, server.address) as old,
    ):
        old.type("plínio\noi\n")
        xico.wait_for("[plínio]: oi")
        ana.type("/fech" + TAB)
        ana.wait_for_line("[ana]: /fechar")
        ana.type("\r")
        ana.wait_for("* [ana] closed the room: only those invited can enter it now")
        bia.type("/sala sala\r")
        bia.wait_for("esta sala está fechada; peça um convite")
        xico.type("/rooms\r")
        xico.wait_for("* Rooms with people: #common (3)")
        ana.type("/convidar [bia]\r")
        bia.wait_for("* [ana] convida você para #sala: /sala sala")
        ana.wait_for("* [ana] invites [bia] to #sala")
        bia.type("/sala s" + TAB)
        bia.wait_for_line("[bia]: /sala sala")
        bia.type("\r")
        bia.wait_for("* Você entrou em #sala")
        ana.wait_for("* [bia] joined")
        bia.type("oi, ana\r")
        ana.wait_for("[bia]: oi, ana")
        bia.type("/convidar xico\r")
        bia.wait_for("só quem é dono da sala pode fazer isso")
        ana.type("/invite xandra\r")
        ana.wait_for("nobody with this name is here")
        ana.type("/invite\r")
        ana.wait_for("Usage: /invite NAME")
        ana.type("/uninvite bia\r")
        ana.wait_for("* [bia] is no longer invited to #sala.")
        ana.wait_for("* [bia] left")
        bia.wait_for("* Você teve de sair de #sala: seu convite foi retirado.")
        bia.wait_for("* Você está na sala comum.")
        ana.type("/open\r")
        ana.wait_for("* [ana] opened the room to everybody")
        xico.type("/join sala\r")
        xico.wait_for("* You entered #sala")
        ana.wait_for("* [xico] joined")
        assert "oi, ana" not in xico.screen
        xico.type("/close\r")
        xico.wait_for("no name is yours on this server")
        old.type("/sair\n")
        assert old.wait() == 0
    assert old.stdout.splitlines()[-1] == "[plínio]: oi"


def test_pipe_shows_what_happens_to_a_room() -> None:
    """One line each; an invitation with the command that a person would type."""
    with (
        server_here() as server,
        seated(server, "ana", "--room", "sala") as ana,
        full_client(server.address, "caio") as caio,
        running_client(server.address, "--name", "bia", "--listen") as pipe,
    ):
        caio.wait_for(lambda message: (message.kind, message.user) == (KIND_JOINED, "bia"))
        caio.say("oi", key="oi")
        pipe.wait_for_line("[caio]: oi")
        ana.type("/close\r")
        ana.wait_for("closed the room")
        ana.type("/invite bia\r")
        pipe.wait_for_line("* [ana] invites you to #sala: /join sala")


def test_first_room_that_is_closed_is_a_sentence() -> None:
    """At the start, where nobody can be asked for another room."""
    with server_here() as server, seated(server, "ana", "--room", "sala") as ana:
        ana.type("/close\r")
        ana.wait_for("closed the room")
        with running_client(server.address, "--name", "bia", "--room", "sala") as refused:
            assert refused.wait() == 1
            assert refused.errors == ["This room is closed; ask its owner to invite you."]
