"""A client as the server sees it: its name, its rooms, its queue, and what it is still owed.

The hub makes and changes it, the stream reads for it and writes to it; all in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_HISTORY
from chat.protocol.metadata import JoinRequest
from chat.protocol.names import name_key
from chat.server.budget import Budgets
from chat.server.directory import Person
from chat.server.encoding import Delivery, join
from chat.server.log.base import Log
from chat.server.rate_limit import RateLimit
from chat.server.replay import Replay
from chat.server.send_queue import SendQueue, wake
from chat.server.shared_pages import SharedPages
from chat.server.subscription import Subscription
from chat.server.tally import Traffic

# Rooms that a stream has left, and of which it is known how far it has seen.
MAX_LEFT = 1000


class Member:
    """One client, for as long as its stream.

    `address`: its machine's; empty: not known, or of no account. `certified`: the only name that it
    may have, by its certificate; empty: any.
    `person`: who it is; None for a plain client that has not said its name yet. `rooms`: its places
    in the log, by the room's key. `inbox`: the place of its private messages, if it can get any.
    `generation`: the opening of the log in which the ids that it names were seen, but for those of
    rooms that it has `left` in this stream. `history`: how many of the last messages come where
    no id that means anything says more. `is_multiroom`: it knows rooms beside the first, and
    private ids. `traffic`: what its stream has brought and taken.
    """

    __slots__ = (
        "_committed",
        "address",
        "certified",
        "error",
        "generation",
        "history",
        "inbox",
        "is_full",
        "is_multiroom",
        "left",
        "person",
        "queue",
        "replay",
        "rooms",
        "traffic",
        "uncommitted",
        "wants_batches",
        "writing_since",
    )

    def __init__(
        self,
        request: JoinRequest,
        log: Log,
        pages: SharedPages,
        budgets: Budgets,
        address: str = "",
        certified: str = "",
    ) -> None:
        self.address = address
        self.certified = certified
        self.is_full = request.is_full
        self.is_multiroom = request.inbox is not None
        self.generation = request.generation
        self.history = min(max(request.history, 0), MAX_HISTORY)
        self.wants_batches = request.wants_batches
        self.person: Person | None = None
        self.rooms: dict[str, Subscription] = {}
        self.inbox: Subscription | None = None
        self.left: dict[str, None] = {}
        self.queue = SendQueue()
        self.replay = Replay(log, self.queue, pages, budgets)
        self.error: ChatError | None = None  # how the stream ends; None: with OK
        self.writing_since: float | None = None  # seconds of the loop's clock; None: not writing
        self.traffic = Traffic()
        self.uncommitted = 0  # own messages on their way into the log
        self._committed: asyncio.Future[None] | None = None  # of the reader, in `wait_committed`

    @property
    def name(self) -> str:
        """What it is called, empty until a plain one has said it."""
        return self.person.name if self.person is not None else ""

    @property
    def rate_limit(self) -> RateLimit:
        """How fast it may speak, ask and read; set by the hub, as soon as it knows who this is."""
        return self.replay.rate_limit

    @rate_limit.setter
    def rate_limit(self, limit: RateLimit) -> None:
        self.replay.rate_limit = limit

    @property
    def key_owner(self) -> str:
        """Whose keys these are: the session's, or the name's where there is none."""
        assert self.person is not None
        return self.person.identity if self.person.session else name_key(self.person.name)

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is accepted from it, nor taken in for it."""
        return self.queue.is_closed

    def close(self, error: ChatError | None = None) -> None:
        """Take nothing more; hand out what is owed, then the stream ends with `error`."""
        if self.queue.is_closed:
            return
        self.error = error
        for place in self.places():
            place.owed_id = place.room.last_id
        self.queue.close()

    def remember_left(self, room_key: str) -> None:
        """Note that it has left a room; of very many the first are forgotten."""
        self.left[room_key] = None
        if len(self.left) > MAX_LEFT:
            del self.left[next(iter(self.left))]

    def places(self) -> Iterable[Subscription]:
        """Return its rooms and its inbox."""
        return [*self.rooms.values(), self.inbox] if self.inbox else self.rooms.values()

    def encode(self, deliveries: Sequence[Delivery]) -> list[bytes]:
        """Return what is to be written of what `replay.next()` has brought, for this client.

        In order: shared bytes, or batches joined from them. Counts it as sent.
        """
        frames, traffic = self._frames(deliveries), self.traffic
        for delivery in deliveries:
            traffic.sent_messages += len(delivery.messages)
        for frame in frames:
            traffic.sent_bytes += len(frame)
        return frames

    def _frames(self, deliveries: Sequence[Delivery]) -> list[bytes]:
        if self.wants_batches:
            if len(deliveries) == 1 and len(pieces := deliveries[0].batch()) == 1:
                return [*pieces]
            pieces = [piece for delivery in deliveries for piece in delivery.batch()]
            return join(pieces, self.replay.batch_size.most_bytes) if len(pieces) > 1 else pieces
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
