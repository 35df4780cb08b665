"""The way to the stream: opened once, groups are put into it, and it is told when it is cut.

Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from chat.server.cluster.connection import (
    ApiError,
    AwayError,
    ClusterSettings,
    Connection,
    Received,
    RefusedError,
    error_in,
    explain,
)
from chat.server.cluster.stream import (
    EXPECTED_STREAM,
    MESSAGE_ID,
    NAME,
    SUBJECT,
    Stream,
    StreamState,
)
from chat.server.log.base import LogError, Problem
from chat.server.log.groups import MAX_BYTES, REWINDS_HEADER, OwnGroup, message_id

# Between two attempts to find the stream, which may have no leader yet, and to publish what NATS
# has just refused.
RETRY_SECONDS = 0.3
# NATS may be gone for so long before anybody is told: it was only started again.
AWAY_SECONDS = 3.0
# What JetStream answers to a group that it is just storing: then it need only be waited for.
IN_PROCESS = 10158

_log = logging.getLogger(__name__)


class StreamLink:
    """The connection and the stream. `tell` hears that they are away, and with None: back.

    `again` is called when it makes sense to publish once more. `is_open`: whether it is not known
    yet what became of the group that was published last.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        retain_days: float,
        tell: Callable[[LogError | None], None],
        again: Callable[[], None],
        is_open: Callable[[], bool],
    ) -> None:
        self.connection = Connection(settings)
        self.stream = Stream(self.connection, retain_days, settings.replicas)
        self._where = settings.shown()
        self._tell = tell
        self._again = again
        self._is_open = is_open
        self._answers = ""
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> StreamState:
        """Wait for NATS, and return what the stream is. Raises `LogError`."""
        try:
            await self.connection.open(self.tell_away)
        except (RefusedError, OSError) as error:
            raise LogError(Problem.REFUSED, self._where, explain(error)) from error
        if self.connection.max_payload < 2 * MAX_BYTES:
            detail = f"max_payload {self.connection.max_payload} < {2 * MAX_BYTES}"
            raise LogError(Problem.REFUSED, self._where, detail)
        while True:
            try:
                state = await self.stream.prepare()
                self._answers, _end = await self.connection.subscribe(self._see_answer)
                return state
            except (AwayError, ApiError) as error:
                self.tell_away(str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def publish(self, group: OwnGroup, instance: str) -> None:
        """Put a group into the stream; that it is there is known by its coming out again."""
        headers = {MESSAGE_ID: message_id(instance, group.number), EXPECTED_STREAM: NAME}
        if group.rewinds:
            headers[REWINDS_HEADER] = str(group.rewinds)
        try:
            await self.connection.publish(SUBJECT, group.content, self._answers, headers)
        except AwayError as error:
            _log.info("publishing: %s", error)

    async def _see_answer(self, message: Received) -> None:
        """JetStream's word on a group: the stream is full, or has no leader."""
        error = error_in(message.data)
        if error is None or error.code == IN_PROCESS or not self._is_open():
            return
        self.tell_away(str(error))
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._again)

    def see_live(self, is_live: bool) -> None:
        """Note whether the stream can be followed now."""
        self._stop_timer()
        if is_live:
            self._tell(None)
            self._again()
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(AWAY_SECONDS, self.tell_away, "")

    def tell_away(self, detail: str) -> None:
        """Say what is wrong with it; an empty `detail`: it is silent."""
        self._tell(LogError(Problem.AWAY, self._where, detail))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def close(self) -> None:
        """End the connection."""
        self._stop_timer()
        await self.connection.close()
