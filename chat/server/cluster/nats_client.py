"""nats-py's client, where it trusts what comes from NATS more than may be trusted.

Before TLS begins, whoever is between says what NATS says: nats-py takes its word for whether there
is TLS at all, and for where else to go. And headers that nats-py cannot read end its reading, for
good; anybody who may publish writes some.
"""

from __future__ import annotations

import logging
from typing import Any

import nats.errors
from nats.aio.client import Client

_log = logging.getLogger(__name__)


class NoTlsError(nats.errors.Error):
    """NATS does not begin TLS, which it has to: nothing was said to it."""

    def __str__(self) -> str:
        return "it does not offer TLS"


class NatsClient(Client):
    """`needs_tls`: nobody is told who we are, unless by TLS."""

    def __init__(self, needs_tls: bool) -> None:
        super().__init__()
        self._needs_tls = needs_tls

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Take what NATS says of itself: first, in the clear and before anything is said to it."""
        if self._needs_tls and initial_connection:
            if not info.get("tls_required"):
                raise NoTlsError
            info = {name: value for name, value in info.items() if name != "connect_urls"}
        await super()._process_info(info, initial_connection)

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        """Return the headers of a message; none, where these are no headers."""
        try:
            found: dict[str, str] | None = await super()._process_headers(headers)
        except (ValueError, IndexError):
            _log.error("the headers of a message are none")
            return None
        return found
