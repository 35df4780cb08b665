"""A bucket of keys and values in JetStream, of which each key has the last value alone.

Of two who change a key at once one succeeds: a change says which revision it follows. It is laid
out as NATS's own tools do it (ADR-8), so that `nats kv` can look into it. What asks NATS raises
`AwayError` and `ApiError`; everything runs in the event loop.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chat.server.cluster.connection import ApiError, Connection
from chat.server.cluster.consumer import Consumer, Delivered
from chat.server.cluster.stream import DUPLICATE_SECONDS, MESSAGE_NOT_FOUND, NANOSECONDS
from chat.server.cluster.tasks import OnFailure

OPERATION = "KV-Operation"
DELETED = "DEL"
EXPECTED_REVISION = "Nats-Expected-Last-Subject-Sequence"
WRONG_REVISION = 10071


class ConflictError(Exception):
    """Somebody else has changed the key since."""


@dataclass(frozen=True)
class Value:
    """What a key has: its revision, 0 for one that never had any, and the content, None: none."""

    revision: int = 0
    content: bytes | None = None


class Bucket:
    """The bucket `name`. `age_seconds`: how long a value is kept, 0 for ever."""

    def __init__(
        self, connection: Connection, name: str, replicas: int, age_seconds: float = 0
    ) -> None:
        self._connection = connection
        self.stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."
        self._replicas = replicas
        self._age_seconds = age_seconds

    async def prepare(self) -> None:
        """Make the bucket, if it is not there."""
        try:
            await self._connection.api(f"STREAM.CREATE.{self.stream}", self._configuration())
        except ApiError as refusal:
            with suppress(ApiError):  # it is there, as another server has made it
                await self._connection.api(f"STREAM.INFO.{self.stream}", {})
                return
            raise refusal

    async def get(self, key: str) -> Value:
        """Return what the leader of the bucket has: an answer of a copy might be an older one."""
        request = {"last_by_subj": self._prefix + key}
        try:
            found = await self._connection.api(f"STREAM.MSG.GET.{self.stream}", request)
        except ApiError as error:
            if error.code != MESSAGE_NOT_FOUND:
                raise
            return Value()
        message = found["message"]
        is_deleted = OPERATION.encode() in base64.b64decode(message.get("hdrs", ""))
        content = None if is_deleted else base64.b64decode(message.get("data", ""))
        return Value(int(message["seq"]), content)

    async def put(self, key: str, content: bytes, revision: int | None = None) -> int:
        """Give a key a value, in place of that `revision`; return the new one.

        None: whatever it has. Raises `ConflictError`.
        """
        return await self._publish(key, content, {}, revision)

    async def delete(self, key: str, revision: int) -> None:
        """Take a key's value away, if it is that revision. Raises `ConflictError`."""
        await self._publish(key, b"", {OPERATION: DELETED}, revision)

    def follow(
        self,
        take: Callable[[str, Value, Delivered], Awaitable[None]],
        on_failure: OnFailure,
        on_begin: Callable[[], None] = lambda: None,
    ) -> Consumer:
        """Return a consumer that brings each key's value, then each change, once it is started.

        A new connection brings all of it anew, after `on_begin()`.
        """

        async def begin() -> int:
            on_begin()
            return 0

        async def take_message(delivered: Delivered) -> None:
            key = delivered.subject.removeprefix(self._prefix)
            content = None if OPERATION in delivered.headers else delivered.content
            await take(key, Value(delivered.sequence, content), delivered)

        return Consumer(
            self._connection, self.stream, begin, take_message, on_failure, is_last_of_each=True
        )

    async def _publish(
        self, key: str, content: bytes, headers: dict[str, str], revision: int | None
    ) -> int:
        if revision is not None:
            headers = {**headers, EXPECTED_REVISION: str(revision)}
        try:
            answer = await self._connection.request(self._prefix + key, content, headers or None)
        except ApiError as error:
            if error.code == WRONG_REVISION:
                raise ConflictError(key) from error
            raise
        return int(answer["seq"])

    def _configuration(self) -> dict[str, Any]:
        window = min(DUPLICATE_SECONDS, self._age_seconds or DUPLICATE_SECONDS)
        return {
            "name": self.stream,
            "subjects": [f"{self._prefix}>"],
            "storage": "file",
            "num_replicas": self._replicas,
            "max_msgs_per_subject": 1,
            "max_age": int(self._age_seconds * NANOSECONDS),
            "duplicate_window": int(window * NANOSECONDS),
            "discard": "new",
            "deny_delete": True,
            "allow_rollup_hdrs": True,
            "allow_direct": True,
        }
