"""The state of the connection, as the status line says it, and what the server is known to be."""

from __future__ import annotations

import time

from chat.cli.i18n import _
from chat.client.state import Change, State

# For so long the status says "reconnected" before it says "connected" again.
RESUMED_SECONDS = 5.0


class ConnectionStatus:
    """What became of the connection, and when. Immutable, so that any thread may read it.

    `before`: the status before this change; None at the beginning.

    `is_lost`: there is no connection; `has_lost_name`: since somebody else has the name, from
    `name_lost_at` on (monotonic seconds). `is_plain`: the last server that said what it is was a
    plain one; `is_known`: there was one. `address`: of the server in question, where it is said.
    """

    def __init__(self, state: State | None = None, before: ConnectionStatus | None = None) -> None:
        change = state.change if state else None
        self._change = change
        now = time.monotonic()
        self._retry_at = now + (state.seconds if state else 0.0)
        self._until = now + RESUMED_SECONDS
        was_lost = before is not None and before.is_lost
        had_lost_name = before is not None and before.has_lost_name
        goes_on = change in (Change.RETRYING, Change.SILENT, Change.PASSED_OVER)
        is_name_lost = change in (Change.NAME_TAKEN, Change.NAME_OWNED)
        is_met = change in (Change.CONNECTED, Change.RESUMED, Change.PLAIN)
        self.is_known: bool = is_met or (before is not None and before.is_known)
        # The first of several servers could not be used: nothing is lost by that.
        self._is_search: bool = not self.is_known and (
            change is Change.PASSED_OVER
            or (change is Change.RETRYING and before is not None and before._is_search)
        )
        self.is_lost: bool = is_name_lost or (
            (change in (Change.LOST, Change.RETRYING) and not self._is_search)
            or was_lost
            and change in (Change.NEW_LOG, Change.SILENT, Change.PASSED_OVER)
        )
        self.has_lost_name: bool = is_name_lost or (goes_on and had_lost_name)
        self.name_lost_at: float = (
            before.name_lost_at if before is not None and had_lost_name else now
        )
        self._is_return = was_lost and change in (Change.RESUMED, Change.PLAIN)
        self.address: str = state.address if state else ""
        was_plain = before is not None and before.is_plain
        self.is_plain: bool = change is Change.PLAIN if is_met else was_plain

    @property
    def is_steady(self) -> bool:
        """Whether the text stays what it is."""
        is_new = self._is_return and time.monotonic() < self._until + 1
        return self.is_known and not self.is_lost and not is_new

    @property
    def text(self) -> str:
        """What the status line says."""
        if self._change is None or self._is_search:
            return _("connecting")
        if self._change is Change.SILENT:
            return _("no answer yet")
        if self.is_lost:
            return self._reconnecting()
        if self._is_return and time.monotonic() < self._until:
            return _("reconnected")
        return _("plain server") if self.is_plain else _("connected")

    def _reconnecting(self) -> str:
        if self._change is Change.NAME_OWNED:
            return _("choose another name")
        seconds = self._retry_at - time.monotonic()
        is_now = self._change is not Change.RETRYING or seconds <= 0
        if self.has_lost_name:
            if is_now:
                return _("name taken, trying again")
            text = _("name taken, trying again in {seconds} s")
        elif is_now:
            return _("reconnecting")
        else:
            text = _("reconnecting in {seconds} s")
        return text.format(seconds=max(1, round(seconds)))
