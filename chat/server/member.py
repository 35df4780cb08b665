"""A client as the server sees it: its name, its room, its queue, and what it is still owed.

The hub makes and changes it, the stream reads for it and writes to it; all in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from chat.protocol.errors import ChatError
from chat.protocol.metadata import Greeting, JoinRequest
from chat.server.encoding import Delivery, join
from chat.server.log.base import Log
from chat.server.rate_limit import TokenBucket
from chat.server.replay import Replay
from chat.server.room import Room
from chat.server.send_queue import SendQueue, wake


class Member:
    """One client, for as long as its stream. `name` is empty until a plain one has said it."""

    __slots__ = (
        "_committed",
        "error",
        "is_full",
        "name",
        "name_key",
        "queue",
        "rate_limit",
        "replay",
        "room",
        "session",
        "uncommitted",
        "wants_batches",
        "writing_since",
    )

    def __init__(self, request: JoinRequest, room: Room, log: Log, rate: float) -> None:
        self.is_full = request.is_full
        self.session = request.session
        self.wants_batches = request.wants_batches
        self.name = ""
        self.name_key = ""
        self.room = room
        self.queue = SendQueue()
        self.replay = Replay(log, room.key, self.queue, room.last_id)
        self.rate_limit = TokenBucket(rate)
        self.error: ChatError | None = None  # how the stream ends; None: with OK
        self.writing_since: float | None = None  # seconds of the loop's clock; None: not writing
        self.uncommitted = 0  # own messages on their way into the log
        self._committed: asyncio.Future[None] | None = None  # of the reader, in `wait_committed`

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is accepted from it, nor taken in for it."""
        return self.queue.is_closed

    def greeting(self, epoch: str) -> Greeting:
        """Return the server's first word to it."""
        return Greeting(epoch, self.replay.seen_id if self.is_full else None)

    def close(self, error: ChatError | None = None) -> None:
        """Take nothing more; hand out what is owed, then the stream ends with `error`."""
        if self.queue.is_closed:
            return
        self.error = error
        self.replay.owed_id = self.room.last_id
        self.queue.close()

    async def next_frames(self) -> list[bytes]:
        """Wait for something to write and return it, encoded for this client; empty: the end.

        For the one writer of its stream. Raises LOG_UNREADABLE.
        """
        return self._encode(await self.replay.next())

    def _encode(self, deliveries: Iterable[Delivery]) -> list[bytes]:
        """Return the messages in order: shared bytes, or batches joined from them."""
        if self.wants_batches:
            pieces = [piece for delivery in deliveries for piece in delivery.batch()]
            return join(pieces) if len(pieces) > 1 else pieces
        if self.is_full:
            return [raw for delivery in deliveries for raw in delivery.full()]
        return [raw for delivery in deliveries for raw in delivery.plain()]

    async def wait_committed(self, at_most: int = 0) -> None:
        """Return when no more than `at_most` of its messages wait to be committed or refused.

        For the one reader of the stream: a second one who waits is not woken.
        """
        while self.uncommitted > at_most:
            self._committed = asyncio.get_running_loop().create_future()
            await self._committed

    def mark_committed(self) -> None:
        """Count one of its messages as committed or refused."""
        self.uncommitted -= 1
        wake(self._committed)
