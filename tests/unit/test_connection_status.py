"""What the status line says of the connection."""

from __future__ import annotations

import time

import pytest

from chat.client import connection_status
from chat.client.connection_status import ConnectionStatus
from chat.client.state import Change, State


def after(*changes: Change | State) -> ConnectionStatus:
    """Return the status after these changes, one after the other."""
    status = ConnectionStatus()
    for change in changes:
        status = ConnectionStatus(change if isinstance(change, State) else State(change), status)
    return status


WAITING = State(Change.RETRYING, seconds=60.0)


@pytest.mark.parametrize(
    ("changes", "text", "is_lost"),
    [
        ((), "connecting", False),
        ((Change.SILENT,), "no answer yet", False),
        ((Change.CONNECTED,), "connected", False),
        ((Change.PLAIN,), "plain server", False),
        ((Change.LOST,), "reconnecting", True),
        ((Change.LOST, WAITING), "reconnecting in 60 s", True),
        ((Change.LOST, Change.RETRYING), "reconnecting", True),
        ((Change.LOST, Change.NEW_LOG), "reconnecting", True),
        ((Change.LOST, Change.SILENT), "no answer yet", True),
        ((Change.NEW_LOG,), "connected", False),
        ((Change.LOST, Change.RESUMED), "reconnected", False),
        ((Change.LOST, Change.PLAIN), "reconnected", False),
        ((Change.RESUMED,), "connected", False),
        ((Change.NAME_TAKEN,), "name taken, trying again", True),
        ((Change.NAME_TAKEN, WAITING), "name taken, trying again in 60 s", True),
        ((Change.NAME_OWNED,), "choose another name", True),
        ((Change.NAME_TAKEN, WAITING, Change.LOST, WAITING), "reconnecting in 60 s", True),
        ((Change.PASSED_OVER,), "connecting", False),
        ((Change.PASSED_OVER, WAITING), "connecting", False),
        ((Change.PASSED_OVER, WAITING, Change.CONNECTED), "connected", False),
        ((Change.PASSED_OVER, WAITING, Change.SILENT), "no answer yet", False),
        ((Change.CONNECTED, Change.LOST, WAITING, Change.PASSED_OVER), "reconnecting", True),
        (
            (Change.CONNECTED, Change.LOST, Change.PASSED_OVER, WAITING),
            "reconnecting in 60 s",
            True,
        ),
    ],
)
def test_each_change_has_its_text(
    changes: tuple[Change | State, ...], text: str, is_lost: bool
) -> None:
    """A stream that was replaced by our own will is not a return."""
    status = after(*changes)
    assert (status.text, status.is_lost) == (text, is_lost)


def test_name_is_lost_since_the_first_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until there is a connection again, or another reason why there is none."""
    moment = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(moment)))
    first = ConnectionStatus(State(Change.NAME_TAKEN), after(Change.CONNECTED))
    again = ConnectionStatus(State(Change.NAME_TAKEN), ConnectionStatus(WAITING, first))
    assert again.has_lost_name and again.name_lost_at == first.name_lost_at
    assert not ConnectionStatus(State(Change.LOST), again).has_lost_name
    back = ConnectionStatus(State(Change.RESUMED), again)
    later = ConnectionStatus(State(Change.NAME_TAKEN), back)
    assert not back.has_lost_name and later.name_lost_at > first.name_lost_at


def test_what_the_server_is_stays_known_while_it_is_away() -> None:
    """Until it says something else."""
    assert not after(Change.SILENT).is_known
    assert after(Change.PLAIN, Change.LOST, WAITING).is_plain
    assert after(Change.CONNECTED, Change.LOST).is_known
    assert not after(Change.PLAIN, Change.LOST, Change.RESUMED).is_plain


def test_text_that_will_change_is_not_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn anew every second until it is."""
    assert ConnectionStatus(State(Change.CONNECTED)).is_steady
    assert not ConnectionStatus().is_steady
    assert not after(Change.LOST, WAITING).is_steady
    assert not after(Change.LOST, Change.RESUMED).is_steady
    monkeypatch.setattr(connection_status, "RESUMED_SECONDS", -2.0)
    status = after(Change.LOST, Change.RESUMED)
    assert status.is_steady and status.text == "connected"
