"""The commands of operators, in a real pseudo-terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moderated import ModeratedServer, moderated_server

from chat.client import ending

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

from person import Person, person


@pytest.fixture
def server() -> Iterator[ModeratedServer]:
    with moderated_server() as running:
        yield running


@contextmanager
def sitting(server: ModeratedServer, name: str, language: str = "en") -> Iterator[Person]:
    """Let somebody sit there who may type by now."""
    with person(server.address, name, "--lang", language, columns=120) as somebody:
        somebody.wait_for_line(f"[{name}]:")
        yield somebody


def do(somebody: Person, line: str, shown: str) -> None:
    """Type a line, and wait for what comes of it."""
    somebody.type(f"{line}\r")
    somebody.wait_for(shown)


def test_operator_types_and_everybody_sees_it(server: ModeratedServer) -> None:
    """In both languages; who is banned sees why, and the program ends."""
    with (
        sitting(server, "ana", "pt_BR") as ana,
        sitting(server, "caio") as caio,
        sitting(server, "bia maria") as bia,
    ):
        caio.wait_for("[bia maria] joined")
        do(ana, "/silenciar bia maria 2h calma", "[ana] silenciou [bia maria], até ")
        bia.wait_for("* [ana] muted [bia maria], until ")
        do(bia, "oi", 'Not sent: "oi": you are muted')
        do(ana, "/dessilenciar bia maria", "[ana] deixou [bia maria] falar de novo")
        bia.wait_for("* [ana] lets [bia maria] speak again")
        do(ana, "/aviso fecha às 18h", "* Aviso de [ana]: fecha às 18h")
        caio.wait_for("* Announcement from [ana]: fecha às 18h")
        do(caio, "/kick bia maria", "/kick bia maria: only an operator of this server may do that")
        do(ana, "/banir bia maria 2h não grite", "[ana] baniu [bia maria], até ")
        caio.wait_for("* [ana] banned [bia maria], until ")
        assert bia.wait() == ending.EXIT_REFUSED
        bia.wait_for("There is a ban on you, this name")
        bia.wait_for("(by [ana], until ")
        bia.wait_for("): não grite.")
        do(ana, "/desbanir bia maria", "[ana] retirou o banimento de [bia maria]")
        do(ana, "/remover caio", "[ana] removeu [caio]")
        assert caio.wait() == ending.EXIT_REFUSED
        caio.wait_for("You were removed from the chat (by [ana]).")


def test_ignored_one_is_ignored_the_next_time_too(server: ModeratedServer) -> None:
    """The client remembers it for the server, lists it, and takes it back."""
    with sitting(server, "caio") as caio:
        do(caio, "/ignore bia", "Nobody called [bia] has been seen here.")
        caio.type("/quit\r")
        assert caio.wait() == 0
    with (
        sitting(server, "caio") as caio,
        sitting(server, "bia") as bia,
        sitting(server, "rui") as rui,
    ):
        do(bia, "hidden", "[bia]: hidden")
        do(rui, "heard", "[rui]: heard")
        caio.wait_for("[rui]: heard")
        assert "[bia]: hidden" not in caio.screen
        do(caio, "/ignore", "Hidden: [bia]. /ignore NAME shows")
        do(caio, "/ignore bia", "Messages from [bia] are shown again")
        do(bia, "shown", "[bia]: shown")
        caio.wait_for("[bia]: shown")
