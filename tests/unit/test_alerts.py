"""When the bell rings."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from chat.cli import i18n as language
from chat.client import commands
from chat.client.alerts import MODES, Alerts
from chat_pb2 import KIND_ACTION, KIND_INVITED, KIND_JOINED, Message

BEGAN_AT = datetime(2026, 1, 2, 12, 0, tzinfo=timezone.utc)


def said(text: str, user: str = "bia", to: str = "", minutes: float = 1.0, id: int = 1) -> Message:
    """Return a message of the log, said so many minutes after the beginning."""
    message = Message(user=user, message=text, to=to, id=id)
    message.sent_at.FromDatetime(BEGAN_AT + timedelta(minutes=minutes))
    return message


@pytest.mark.parametrize(
    ("mode", "rings"),
    [("all", [True, True, True]), ("mentions", [False, True, True]), ("off", [False] * 3)],
)
def test_bell_rings_by_its_mode(mode: str, rings: list[bool]) -> None:
    """At every message, at those that mention or address one, or never."""
    alerts = Alerts(mode, BEGAN_AT)
    messages = [said("banana"), said("oi, Ana!"), said("psiu", to="ana", id=0)]
    assert [alerts.rings_at(message, "ana") for message in messages] == rings


def test_history_does_not_ring() -> None:
    """What was said before one came in; a private message is never history."""
    alerts = Alerts("all", BEGAN_AT)
    assert not alerts.rings_at(said("Ana!", minutes=-1), "ana")
    assert alerts.rings_at(said("Ana!", minutes=1), "ana")
    assert alerts.rings_at(said("psiu", to="ana", minutes=-1), "ana")
    assert alerts.rings_at(Message(user="bia", message="from a plain server"), "ana")


def test_action_rings_like_what_is_said() -> None:
    """By the same rules."""
    message = said("waves at ana")
    message.kind = KIND_ACTION
    assert Alerts("mentions", BEGAN_AT).rings_at(message, "ana")


def test_own_messages_and_events_do_not_ring() -> None:
    """By the name, whatever its case."""
    alerts = Alerts("all", BEGAN_AT)
    assert not alerts.rings_at(said("Ana!", user="ANA"), "ana")
    assert not alerts.rings_at(Message(user="bia", kind=KIND_JOINED), "ana")


@pytest.mark.parametrize(
    ("word", "mode"),
    [("all", "all"), ("TUDO", "all"), ("menções", "mentions"), ("nao", "off"), ("", "mentions")],
)
def test_mode_is_chosen_by_a_word(word: str, mode: str) -> None:
    """In both languages; no word keeps it."""
    alerts = Alerts("mentions", BEGAN_AT)
    assert alerts.choose(word)
    assert alerts.mode == mode


@pytest.mark.parametrize(
    ("lang", "shown"),
    [("pt_BR", "/sino [todas|menções|nunca]"), ("en", "/bell [all|mentions|off]")],
)
def test_words_that_are_shown_are_understood(lang: str, shown: str) -> None:
    """Those of the user's language, each for its mode."""
    language.use(lang)
    assert commands.BELL.usage == shown
    for word, mode in zip(commands.BELL.words, MODES, strict=True):
        alerts = Alerts("mentions", BEGAN_AT)
        assert alerts.choose(word) and alerts.mode == mode


def test_unknown_word_changes_nothing() -> None:
    """The user is shown the usage instead."""
    alerts = Alerts("all", BEGAN_AT)
    assert not alerts.choose("loud")
    assert alerts.mode == "all"


def test_invitation_rings_for_whom_it_is() -> None:
    """Not for the others in the room, nor for one's own, nor where the bell is off."""
    invitation = Message(kind=KIND_INVITED, user="bia", to="Ana", room="sala")
    assert Alerts("mentions", BEGAN_AT).rings_at(invitation, "ana")
    assert not Alerts("all", BEGAN_AT).rings_at(invitation, "caio")
    assert not Alerts("all", BEGAN_AT).rings_at(invitation, "bia")
    assert not Alerts("off", BEGAN_AT).rings_at(invitation, "ana")


@pytest.mark.parametrize(
    ("mode", "notifies"),
    [("all", [True, True, True]), ("mentions", [False, True, True]), ("off", [False, True, True])],
)
def test_notifications_go_by_the_mode_too(
    mode: str, notifies: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the bell is off they take its place; and there are none unless they are wished for."""
    monkeypatch.setattr("chat.client.alerts.NOTIFICATION_SECONDS", 0.0)
    messages = [said("banana"), said("oi, Ana!"), said("psiu", to="ana", id=0)]
    alerts, silent = Alerts(mode, BEGAN_AT, notifies=True), Alerts(mode, BEGAN_AT)
    assert [alerts.notifies_of(message, "ana") for message in messages] == notifies
    assert not any(silent.notifies_of(message, "ana") for message in messages)


def test_many_at_a_time_are_notified_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """History is not at all."""
    monkeypatch.setattr("chat.client.alerts.NOTIFICATION_SECONDS", 3600.0)
    alerts = Alerts("all", BEGAN_AT, notifies=True)
    assert not alerts.notifies_of(said("Ana!", minutes=-1), "ana")
    assert [alerts.notifies_of(said("Ana!"), "ana") for _ in range(5)] == [True] + [False] * 4
