"""The proofs that clients bring: each holds once.

Everything runs in the event loop.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection

from chat.protocol.errors import ChatError
from chat.protocol.metadata import JoinRequest
from chat.protocol.proof import LIFETIME_SECONDS, MAX_SKEW_SECONDS, check_proof

# After this no proof that was seen can hold any more.
REMEMBERED_SECONDS = LIFETIME_SECONDS + 2 * MAX_SKEW_SECONDS


class Proofs:
    """Who has proved what. `servers`: returns the fingerprints of this server's certificates.

    `clock`: seconds since 1970.
    """

    def __init__(
        self, servers: Callable[[], Collection[str]], clock: Callable[[], float] = time.time
    ) -> None:
        self._servers = servers
        self._clock = clock
        self._seen: set[str] = set()
        self._in_order: deque[tuple[float, str]] = deque()

    def owner_of(self, request: JoinRequest) -> str:
        """Return the key that a client has proved to have, empty where it brings no proof.

        Raises PROOF_INVALID for one that does not hold, or is brought a second time.
        """
        if not request.proof or request.user is None:
            return ""
        now = self._clock()
        name, session = request.user, request.session
        proof = check_proof(request.proof, name, self._servers(), session, now)
        self._forget(now - REMEMBERED_SECONDS)
        if proof.id in self._seen:
            raise ChatError("PROOF_INVALID")
        self._seen.add(proof.id)
        self._in_order.append((now, proof.id))
        return proof.owner

    def _forget(self, before: float) -> None:
        while self._in_order and self._in_order[0][0] < before:
            self._seen.discard(self._in_order.popleft()[1])
