"""Whoever follows a stream: everything that is in it, in order, whatever becomes of NATS.

A push consumer of our own: nats-py's ordered one loses what a finite queue does not hold, and has
no heartbeat of its own. A gap, silence or a new connection make another consumer, from where the
last one was. Knows nothing of what is in the stream; everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chat.server.cluster import tasks
from chat.server.cluster.connection import ApiError, AwayError, Connection, Received
from chat.server.cluster.stream import NANOSECONDS
from chat.server.cluster.tasks import OnFailure
from chat.server.plain_json import number_of

HEARTBEAT_SECONDS = 1.0
# So many heartbeats that do not come are silence.
MISSED_HEARTBEATS = 3
# NATS forgets a consumer that nobody listens to any more after so long.
INACTIVE_SECONDS = 5.0
# How long telling NATS may take, at the end.
DROP_SECONDS = 0.1
# Between two consumers: all servers lose NATS at once, and are not to come back at once.
MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.05, 2.0
STATUS_CONTROL = "100"
# Where answers to a message of a stream go: NATS writes that, whoever published it.
OF_STREAM = "$JS.ACK."

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Delivered:
    """One message of the stream. `stamp`: when it was stored, nanoseconds since 1970.

    `pending`: how many are known to come after it.
    """

    subject: str
    sequence: int
    stamp: int
    pending: int
    headers: dict[str, str]
    content: bytes


class Consumer:
    """Follows `stream`, from `start()` to `close()`.

    `begin()` is awaited before each new consumer, and returns after which sequence that begins. It
    may raise `AwayError` and `ApiError`, and is then tried again. `take` gets each message, one
    after the other; while it waits, NATS is told to wait too. `is_live`: a consumer is there and
    nothing is wrong with it. `pending`: how many messages are known that have not been taken.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        begin: Callable[[], Awaitable[int]],
        take: Callable[[Delivered], Awaitable[None]],
        on_failure: OnFailure,
        is_last_of_each: bool = False,
    ) -> None:
        self._is_last_of_each = is_last_of_each
        self._connection = connection
        self._stream = stream
        self._begin = begin
        self._take = take
        self._on_failure = on_failure
        self._name = ""
        self._turn = 0  # of which consumer messages count
        self._received = 0  # messages of the present one
        self._heard_at = 0.0
        self._broken = asyncio.Event()
        self._end: Callable[[], Awaitable[None]] | None = None
        self._task: asyncio.Task[None] | None = None
        self.is_live = False
        self.on_live: Callable[[bool], None] = lambda is_live: None
        self.pending = 0

    def start(self) -> None:
        """Begin to follow."""
        self._task = tasks.start(self._run(), "consumer", self._on_failure)

    def renew(self) -> None:
        """Make another consumer now: the connection is a new one, or the stream another."""
        self._set_live(False)
        self._broken.set()

    async def close(self) -> None:
        """Follow no more."""
        self.is_live = False
        await tasks.end(self._task)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._drop(), DROP_SECONDS)

    def _set_live(self, is_live: bool) -> None:
        if is_live != self.is_live:
            self.is_live = is_live
            self.on_live(is_live)

    async def _run(self) -> None:
        backoff = MIN_BACKOFF_SECONDS
        while True:
            try:
                await self._create()
                backoff = MIN_BACKOFF_SECONDS
                await self._watch()
            except (AwayError, ApiError) as error:
                _log.info("consumer of %s: %s", self._stream, error)
                backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)
            self._set_live(False)
            self._broken.clear()
            with suppress(asyncio.TimeoutError):  # a new connection ends the waiting
                seconds = random.uniform(0, backoff)  # noqa: S311  # no secret
                await asyncio.wait_for(self._broken.wait(), seconds)

    async def _create(self) -> None:
        await self._drop()
        after = await self._begin()
        self._broken.clear()
        self._turn += 1
        self._received = 0
        turn = self._turn

        async def take(message: Received) -> None:
            if turn != self._turn:  # what an earlier one still had in its queue
                return
            try:
                await self._see(message)
            except Exception as error:  # which nats-py would only mention
                self._on_failure(error)

        subject, self._end = await self._connection.subscribe(take)
        self._name = secrets.token_hex(8)
        config = self._configuration(subject, after)
        request = {"stream_name": self._stream, "config": config}
        # What comes before the answer says more than the answer.
        self.pending = 1
        place = f"CONSUMER.CREATE.{self._stream}.{self._name}"
        if "filter_subject" in config:
            place += ".>"
        answer = await self._connection.api(place, request)
        if not self._received:
            self.pending = int(answer["num_pending"])
        self._heard_at = asyncio.get_running_loop().time()
        self._set_live(not self._broken.is_set())

    def _configuration(self, subject: str, after: int) -> dict[str, Any]:
        start: dict[str, Any]
        start = {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1}
        if self._is_last_of_each and not after:
            start = {"deliver_policy": "last_per_subject", "filter_subject": ">"}
        return {
            **start,
            "name": self._name,
            "deliver_subject": subject,
            "ack_policy": "none",
            "max_deliver": 1,
            "replay_policy": "instant",
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_SECONDS * NANOSECONDS),
            "inactive_threshold": int(INACTIVE_SECONDS * NANOSECONDS),
            "mem_storage": True,
            "num_replicas": 1,
        }

    async def _watch(self) -> None:
        """Return when this consumer is of no use any more."""
        clock = asyncio.get_running_loop().time
        while not self._broken.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._broken.wait(), HEARTBEAT_SECONDS)
            if clock() - self._heard_at > MISSED_HEARTBEATS * HEARTBEAT_SECONDS:
                return

    async def _drop(self) -> None:
        """Forget the last consumer, here and at NATS, where nobody else would for a while."""
        self._turn += 1
        if self._end is not None:
            await self._end()
            self._end = None
            with suppress(AwayError):
                where = f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._name}"
                await self._connection.publish(where)

    async def _see(self, message: Received) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if message.reply.startswith(OF_STREAM):  # its headers are whatever its publisher wrote
            await self._see_message(message, headers)
        elif status is None:
            _log.info("consumer of %s: a message of no stream", self._stream)
        elif status == STATUS_CONTROL:
            await self._see_control(message, headers)
        else:  # it was deleted, or its stream
            self.renew()
        self._heard_at = asyncio.get_running_loop().time()

    async def _see_control(self, message: Received, headers: dict[str, str]) -> None:
        """Answer flow control, whose turn comes when all before it has been taken; a heartbeat."""
        reply = message.reply or headers.get("Nats-Consumer-Stalled", "")
        if reply:
            with suppress(AwayError):
                await self._connection.publish(reply)
        last = headers.get("Nats-Last-Consumer")
        if last is not None and number_of(last) != self._received:
            self.renew()

    async def _see_message(self, message: Received, headers: dict[str, str]) -> None:
        # $JS.ACK.[domain.account.]stream.consumer.delivered.sequence.of consumer.time.pending[.…]
        fields = message.reply.split(".")
        if len(fields) > 9:
            del fields[2:4]
        sequence, of_consumer, stamp, pending = map(int, fields[5:9])
        if of_consumer != self._received + 1 or self._broken.is_set():
            self.renew()
            return
        self._received = of_consumer
        await self._take(
            Delivered(message.subject, sequence, stamp, pending, headers, message.data)
        )
        self.pending = pending
