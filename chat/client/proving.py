"""Proofs that the name is the user's own: another one for each stream, by the server's clock.

Knows no gRPC. The thread that iterates the session calls it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def now() -> float:
    """Return the time of this machine."""
    return time.time()


class Prover:
    """Signs with `key` for the streams of `session`. `clock`: seconds since 1970."""

    def __init__(
        self, key: Ed25519PrivateKey, session: str, clock: Callable[[], float] | None = None
    ) -> None:
        self._key = key
        self._session = session
        self._clock = clock or now
        self._server_is_ahead_seconds = 0.0
        self._has_corrected = False

    def prove(self, name: str, server: str) -> str:
        """Return the proof for one stream to the server with this fingerprint; empty without it."""
        if not server:
            return ""
        from chat.protocol.proof import make_proof  # takes its time, and only TLS needs it

        moment = self._clock() + self._server_is_ahead_seconds
        return make_proof(self._key, name, server, self._session, moment)

    def correct_clock(self, server_seconds: float) -> bool:
        """Go by the server's clock from now on; say whether that is worth another attempt.

        It is once, until a proof was taken: what is signed holds for that very server alone, so
        that it is the server's own affair what it takes for now.
        """
        if self._has_corrected:
            return False
        self._has_corrected = True
        self._server_is_ahead_seconds = server_seconds - self._clock()
        return True

    def note_taken(self) -> None:
        """Note that a proof was taken."""
        self._has_corrected = False
