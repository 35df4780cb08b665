"""The state of the connection, as the status line says it."""

from __future__ import annotations

import time

from chat.cli.i18n import _
from chat.client.state import Change, State

# For so long the status says "resumed" before it says "connected" again.
RESUMED_SECONDS = 5.0


class ConnectionStatus:
    """What became of the connection, and when. Immutable, so that any thread may read it.

    `was_lost`: whether it was lost before this change.
    """

    def __init__(self, state: State | None = None, was_lost: bool = False) -> None:
        self._change = state.change if state else None
        now = time.monotonic()
        self._retry_at = now + (state.seconds if state else 0.0)
        self._until = now + RESUMED_SECONDS
        self.is_lost = self._change in (Change.LOST, Change.RETRYING) or (
            was_lost and self._change is Change.NEW_LOG
        )
        self._is_return = was_lost and self._change is Change.RESUMED

    @property
    def is_steady(self) -> bool:
        """Whether the text stays what it is."""
        is_new = self._is_return and time.monotonic() < self._until + 1
        return self._change is not None and not self.is_lost and not is_new

    @property
    def text(self) -> str:
        """What the status line says."""
        if self._change is None:
            return _("connecting")
        if self.is_lost:
            return self._reconnecting()
        if self._change is Change.PLAIN:
            return _("plain server")
        is_resumed = self._is_return and time.monotonic() < self._until
        return _("resumed") if is_resumed else _("connected")

    def _reconnecting(self) -> str:
        seconds = self._retry_at - time.monotonic()
        if self._change is Change.LOST or seconds <= 0:
            return _("reconnecting")
        return _("reconnecting in {seconds} s").format(seconds=max(1, round(seconds)))
