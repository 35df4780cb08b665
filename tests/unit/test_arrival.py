"""What is told on coming in."""

from __future__ import annotations

import pytest
from fakes import FakeTerminal

from chat.cli import english
from chat.cli import i18n as language
from chat.client.arrival import Arrival, place_text
from chat.client.connection_status import ConnectionStatus
from chat.client.state import Change, State


def told(
    *states: State, room: str = "", is_interactive: bool = True, is_live: bool = True
) -> list[str]:
    """Return what is told of these changes of a connection."""
    terminal, status = FakeTerminal(is_interactive=is_interactive), ConnectionStatus()
    terminal.is_live = is_live
    arrival = Arrival(terminal)
    for state in states:
        arrival.tell(state, status, room)
        status = ConnectionStatus(state, status)
    return terminal.notices


@pytest.mark.parametrize(
    ("lang", "room", "people", "text"),
    [
        ("en", "", 1, "You are in the common room of chat.example:1. Nobody else is here yet."),
        ("en", "redes", 2, "You are in #redes at chat.example:1. 1 other person is here."),
        ("en", "", 3, "You are in the common room of chat.example:1. 2 other people are here."),
        ("en", "", None, "You are in the common room of chat.example:1."),
        ("pt_BR", "", 1, "Você está na sala comum de chat.example:1. Ainda não há mais ninguém"),
        ("pt_BR", "redes", 2, "Você está em #redes, em chat.example:1. Há mais 1 pessoa aqui."),
        ("pt_BR", "", 3, "Você está na sala comum de chat.example:1. Há mais 2 pessoas aqui."),
    ],
)
def test_place_is_told_with_how_many_are_there(
    lang: str, room: str, people: int | None, text: str
) -> None:
    """Others, that is; a server of an earlier version does not say."""
    language.use(lang)
    assert place_text("chat.example:1", room, people).startswith(text)


def test_it_is_told_once() -> None:
    """Not after a loss, nor when a plain server is back, nor while nobody is known to be there."""
    for met in (Change.CONNECTED, Change.PLAIN):
        states = [Change.SILENT, met, Change.LOST, Change.RESUMED, Change.LOST, Change.PLAIN]
        lines = told(*map(State, states))
        assert len(lines) == 2
        assert "/help" in lines[1] and "Tab" in lines[1]
    assert told(State(Change.CONNECTED), is_interactive=False) == []


def test_tab_is_promised_where_it_works() -> None:
    """A terminal without a line editor knows none."""
    assert told(State(Change.CONNECTED), is_live=False)[1] == "* /help shows the commands."


def test_english_is_offered_behind_the_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """To who may not read the first; not to those who were told already."""
    language.use("pt_BR")
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    english.offer(is_chosen=False)
    where, offer, about_help = told(State(Change.CONNECTED, people=2))
    assert where.startswith("* Você está") and "/idioma en" in offer and "/ajuda" in about_help
    assert len(told(State(Change.CONNECTED))) == 2
