"""What the status line says of the connection."""

from __future__ import annotations

import pytest

from chat.client import connection_status
from chat.client.connection_status import ConnectionStatus
from chat.client.state import Change, State


@pytest.mark.parametrize(
    ("state", "was_lost", "text", "is_lost"),
    [
        (None, False, "connecting", False),
        (State(Change.CONNECTED), False, "connected", False),
        (State(Change.PLAIN), False, "plain server", False),
        (State(Change.LOST), False, "reconnecting", True),
        (State(Change.RETRYING, seconds=60.0), True, "reconnecting in 60 s", True),
        (State(Change.RETRYING, seconds=0.0), True, "reconnecting", True),
        (State(Change.NEW_LOG), True, "reconnecting", True),
        (State(Change.NEW_LOG), False, "connected", False),
        (State(Change.RESUMED), True, "resumed", False),
        (State(Change.RESUMED), False, "connected", False),
    ],
)
def test_each_change_has_its_text(
    state: State | None, was_lost: bool, text: str, is_lost: bool
) -> None:
    """A stream that was replaced by our own will is not a return."""
    status = ConnectionStatus(state, was_lost)
    assert (status.text, status.is_lost) == (text, is_lost)


def test_text_that_will_change_is_not_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn anew every second until it is."""
    assert ConnectionStatus(State(Change.CONNECTED)).is_steady
    assert not ConnectionStatus().is_steady
    assert not ConnectionStatus(State(Change.RETRYING, seconds=1.0), True).is_steady
    assert not ConnectionStatus(State(Change.RESUMED), True).is_steady
    monkeypatch.setattr(connection_status, "RESUMED_SECONDS", -2.0)
    status = ConnectionStatus(State(Change.RESUMED), True)
    assert status.is_steady and status.text == "connected"
