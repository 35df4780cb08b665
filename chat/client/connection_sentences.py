"""What the user is told of a change of the connection: that it is lost, or back, and to whom."""

from __future__ import annotations

from chat.cli.i18n import _
from chat.client.connection_status import ConnectionStatus
from chat.client.state import Change, State
from chat.client.ui import render

# Why a server is passed over that has nothing to do with that one: where no other one is any better
# it is said at the end, once.
SAME_EVERYWHERE = ("CLUSTER_AWAY",)


def change_line(state: State, before: ConnectionStatus, name: str, *, has_choice: bool) -> str:
    """Return what is told of a change, empty for nothing; not of a new log, which has a gap.

    `before`: how it stood until now. `name`: the user's. `has_choice`: whether it is worth saying
    at which of several servers one is.
    """
    if state.change in (Change.CONNECTED, Change.RESUMED, Change.PLAIN):
        text = _back_text(state.change, before, has_choice)
    else:
        text = _trouble_text(state, before, has_choice)
    return text.format(address=state.address, cause=state.cause, name=render.name_sign(name))


def _back_text(change: Change, before: ConnectionStatus, has_choice: bool) -> str:
    """Return what is told of a server that is there; of a plain one what is missing, once."""
    if change is Change.CONNECTED:
        return _("* Connected to {address}.") if has_choice else ""
    if change is Change.PLAIN and not before.is_plain:
        return _("* This server keeps no history and confirms nothing.")
    if not before.is_lost:
        return ""
    names_server = has_choice and change is Change.RESUMED
    return _("* Reconnected, to {address}.") if names_server else _("* Reconnected.")


def _trouble_text(state: State, before: ConnectionStatus, has_choice: bool) -> str:
    """Return what is told of a server that is not there, or does not do what it should."""
    change = state.change
    if change is Change.SILENT:
        return _("* The server has not answered yet; it may be full, or be waiting for a message.")
    if change is Change.WAITING_FOR_KEY:
        return _(
            "* The server does not say by which key to seal: private messages wait for that,"
            " and what you say in rooms goes on."
        )
    if change is Change.LOST and not before.is_lost:
        text = _("* Connection to {address} lost: {cause}")
        return text if has_choice else _("* Connection lost: {cause}")
    if change is Change.PASSED_OVER and state.reason not in SAME_EVERYWHERE:
        return _("* {address} is passed over: {cause}")
    if change is Change.NAME_TAKEN and before.is_known and not before.has_lost_name:
        return _("* Somebody else is called {name} now; trying again until the name is free.")
    return ""
