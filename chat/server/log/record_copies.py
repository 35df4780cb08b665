"""A copy of all records in NATS, for servers that come when the stream no longer has the old ones.

The stream keeps what is said for so long, and records for no longer: who owns which name must not
be forgotten by that. So some server writes, well before that, what its file has. A copy says up to
which group of the stream it goes; whoever takes it over follows the stream from the first group
that is still there, and so ends with what is kept now, whatever has changed meanwhile.

Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

from chat.server.cluster import tasks
from chat.server.cluster.bucket import Bucket, ConflictError, Value
from chat.server.cluster.connection import ApiError, AwayError, Connection
from chat.server.cluster.stream import DAY_SECONDS
from chat.server.cluster.tasks import OnFailure
from chat.server.log.base import LogError
from chat.server.log.groups import GroupBuilder, notes_in
from chat.server.log.writer_thread import Notes
from chat.server.plain_json import read_object, record_of

BUCKET, HEAD = "chat-records", "head"
# A copy's name is part of the keys of its parts, which are of a group's size each.
IS_NAME = re.compile("[0-9a-f]{1,32}").fullmatch
MAX_PARTS = 10_000
# Copies are made so many times while the stream keeps anything, and looked for twice as often.
COPIES_IN_RETAIN = 4
# How long the copy of a server that stops may take.
LAST_COPY_SECONDS = 0.3

_TROUBLES = (AwayError, ApiError, ConflictError, LogError)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Head:
    """Which copy counts. `sequence`: the group that it goes up to; `at`: seconds since 1970."""

    name: str
    sequence: int
    parts: int
    at: float


@dataclass(frozen=True)
class RecordCopy:
    """Records, and the group of the stream up to which nothing is missing from them."""

    sequence: int
    records: Notes


class RecordCopies:
    """Writes copies now and then, and finds the last one.

    `read` returns what there is to be copied; raises `LogError`.
    """

    def __init__(
        self,
        connection: Connection,
        replicas: int,
        retain_days: float,
        read: Callable[[], Awaitable[RecordCopy]],
        on_failure: OnFailure,
    ) -> None:
        self._period = retain_days * DAY_SECONDS / COPIES_IN_RETAIN
        self._bucket = Bucket(connection, BUCKET, replicas)
        self._read = read
        self._on_failure = on_failure
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write copies, unless the stream keeps everything."""
        if self._period:
            self._task = tasks.start(self._run(), "copy-records", self._on_failure)

    async def close(self) -> None:
        """Write a last copy, and no more: this may be the last server, and the stream runs dry."""
        await asyncio.gather(tasks.end(self._task), self._save_last())

    async def _save_last(self) -> None:
        if self._task is not None:
            with suppress(*_TROUBLES, asyncio.TimeoutError):
                await asyncio.wait_for(self._save(is_last=True), LAST_COPY_SECONDS)

    async def load(self) -> RecordCopy | None:
        """Return the last copy, if there is one that is whole. Raises as `Bucket`."""
        await self._bucket.prepare()
        head = _head_in(await self._bucket.get(HEAD))
        if head is None:
            return None
        records: Notes = {}
        for number in range(head.parts):
            part = await self._bucket.get(f"{head.name}.{number}")
            if part.content is None:
                if _head_in(await self._bucket.get(HEAD)) != head:
                    raise AwayError("the copy of the records is being replaced")
                _log.error("a part of the copy of the records is missing")
                return None
            records.update(notes_in(part.content))
        return RecordCopy(head.sequence, records)

    async def _run(self) -> None:
        while True:
            with suppress(*_TROUBLES):
                await self._save()
            await asyncio.sleep(self._period / 2)

    async def _save(self, is_last: bool = False) -> None:
        """Write a copy, if it is time for one, or news that would not be in another.

        Of two servers that do so at once one counts.
        """
        await self._bucket.prepare()
        held = await self._bucket.get(HEAD)
        last = _head_in(held)
        copy = await self._read()
        is_due = last is None or time.time() - last.at >= self._period
        if last is not None and is_last:
            is_due = last.sequence < copy.sequence
        if not is_due or (last is not None and last.sequence > copy.sequence):
            return
        head = Head(secrets.token_hex(4), copy.sequence, 0, time.time())
        head = await self._write_parts(head, copy.records)
        try:
            await self._bucket.put(HEAD, json.dumps(asdict(head)).encode(), held.revision)
        except ConflictError:
            await self._drop(head)
            raise
        if last is not None:
            await self._drop(last)

    async def _write_parts(self, head: Head, records: Notes) -> Head:
        parts = 0
        while records:
            builder = GroupBuilder()
            records = builder.add_notes(records)
            await self._bucket.put(f"{head.name}.{parts}", builder.content())
            parts += 1
        return Head(head.name, head.sequence, parts, head.at)

    async def _drop(self, head: Head) -> None:
        """Take away the parts of a copy that does not count."""
        for number in range(head.parts):
            key = f"{head.name}.{number}"
            await self._bucket.delete(key, (await self._bucket.get(key)).revision)


def _head_in(value: Value) -> Head | None:
    """Return what a value says; None where it is nothing of ours."""
    if value.content is None:
        return None
    try:
        head = record_of(Head, read_object(value.content))
        if not (IS_NAME(head.name) and 0 <= head.parts <= MAX_PARTS):
            raise ValueError(head.name)
    except ValueError:
        _log.error("what %s has as its head is not understood", BUCKET)
        return None
    return head
