"""The proofs that clients bring: each holds once.

Checking one takes half a millisecond, so it comes after the limit of an address's joins. Everything
runs in the event loop.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection

from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_SKEW_SECONDS, PROOF_SECONDS
from chat.protocol.metadata import JoinRequest

# After this no proof that was seen can hold any more.
REMEMBERED_SECONDS = PROOF_SECONDS + 2 * MAX_SKEW_SECONDS
# Of more in that time the oldest are forgotten: some 20 MB. A proof is of use to nobody else anyway
# unless its session was stolen with it.
MAX_REMEMBERED = 100_000


class Proofs:
    """Who has proved what. `servers`: returns the fingerprints of this server's certificates.

    `clock`: seconds since 1970.
    """

    def __init__(
        self, servers: Callable[[], Collection[str]], clock: Callable[[], float] = time.time
    ) -> None:
        self._servers = servers
        self._clock = clock
        self._seen: OrderedDict[bytes, float] = OrderedDict()  # when, by the hash of key and id

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._seen)

    def owner_of(self, request: JoinRequest) -> str:
        """Return the key that a client has proved to have, empty where it brings no proof.

        Raises PROOF_INVALID for one that does not hold, or is brought a second time.
        """
        if not request.proof or request.user is None:
            return ""
        from chat.protocol.proof import check_proof  # cryptography: only where there is TLS

        now = self._clock()
        name, session = request.user, request.session
        proof = check_proof(request.proof, name, self._servers(), session, now)
        self._forget(now - REMEMBERED_SECONDS)
        seen = hashlib.sha256(f"{proof.owner}\n{proof.id}".encode()).digest()
        if seen in self._seen:
            raise ChatError("PROOF_INVALID")
        self._seen[seen] = now
        return proof.owner

    def _forget(self, before: float) -> None:
        while self._seen:
            oldest = next(iter(self._seen.values()))
            if oldest >= before and len(self._seen) < MAX_REMEMBERED:
                break
            self._seen.popitem(last=False)
