"""Which servers are alive: each renews one lease, whatever the number of its people.

Knows no names. Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from chat.server.cluster import tasks
from chat.server.cluster.bucket import Bucket, Value
from chat.server.cluster.connection import ApiError, AwayError, Connection
from chat.server.cluster.consumer import Delivered
from chat.server.cluster.tasks import OnFailure

BUCKET = "chat-servers"
# A server that has not renewed its lease for so long is dead, and what it holds can be taken over.
LEASE_SECONDS = 10.0
RENEW_SECONDS = 2.0
# Leases of servers that are long gone are not kept.
KEEP_SECONDS = 3600.0

_log = logging.getLogger(__name__)


class Leases:
    """This server's lease, and when the others were last heard of. `me`: this server.

    `on_lapse`: the lease was over before it was renewed; others may have taken what was held.
    """

    def __init__(
        self, connection: Connection, me: str, replicas: int, on_failure: OnFailure
    ) -> None:
        self.me = me
        self._connection = connection
        self._bucket = Bucket(connection, BUCKET, replicas, KEEP_SECONDS)
        self._consumer = self._bucket.follow(self._take, on_failure)
        self._on_failure = on_failure
        self._heard_at: dict[str, float] = {}  # monotonic seconds
        self._renewed_at = float("-inf")
        self.on_lapse: Callable[[], None] = lambda: None
        # Since when it is known how the others are: whoever was away itself does not judge.
        self._listening_since = float("inf")
        self._task: asyncio.Task[None] | None = None
        self._consumer.on_live = self._see_live

    async def open(self) -> None:
        """Take the lease, and begin to follow those of others. Raises as `Bucket`."""
        await self._bucket.prepare()
        await self._renew()
        self._consumer.start()
        self._task = tasks.start(self._keep(), "lease", self._on_failure)

    async def close(self) -> None:
        """Renew it no more."""
        await asyncio.gather(tasks.end(self._task), self._consumer.close())

    def renew(self) -> None:
        """Follow the others anew: the connection is another one."""
        self._consumer.renew()

    @property
    def is_held(self) -> bool:
        """Whether the others still take this server for alive: else others may have its names."""
        return time.monotonic() - self._renewed_at < LEASE_SECONDS

    def is_alive(self, server: str) -> bool:
        """Say whether a server is, or may be: only silence that was listened to means anything."""
        now = time.monotonic()
        if server == self.me or now - self._listening_since < LEASE_SECONDS:
            return True
        return now - self._heard_at.get(server, float("-inf")) < LEASE_SECONDS

    def is_first(self) -> bool:
        """Say whether this server is the one that tidies up after the dead."""
        return self.is_held and self.me == min(
            (server for server in self._heard_at if self.is_alive(server)), default=self.me
        )

    def _see_live(self, is_live: bool) -> None:
        self._listening_since = time.monotonic() if is_live else float("inf")

    async def _take(self, server: str, value: Value, delivered: Delivered) -> None:
        # What was stored before this server listened is as old as its stamp says.
        age = max(0.0, time.time() - delivered.stamp / 1e9) if delivered.pending else 0.0
        if value.content is not None:
            self._heard_at[server] = time.monotonic() - age
        else:
            self._heard_at.pop(server, None)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with suppress(AwayError, ApiError):
                await self._renew()

    async def _renew(self) -> None:
        at = time.monotonic()
        await self._bucket.put(self.me, b"1")
        if not self.is_held:
            self.on_lapse()
        self._renewed_at = at
