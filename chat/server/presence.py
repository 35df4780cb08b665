"""Comings, goings and renames in one room, told no faster than people can read them.

Knows no members and no queues. The room announces, and is called back to tell; everything runs in
the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import chat_pb2
from chat.protocol.limits import MAX_PRESENCE_MEMBERS
from chat.server.rate_limit import Rate, TokenBucket

# All whom a room may have may come in together; a crowd that comes and goes is told bit by bit.
TELLING = Rate(2.0, float(MAX_PRESENCE_MEMBERS))
# What is told is written at once, but no more often than this: when a class comes in, each pupil is
# written to a few times, and not once for each of the others.
WRITING = Rate(4.0, 5.0)

_Who = TypeVar("_Who")


class Presence(Generic[_Who]):
    """What is still to be told of one room's people.

    `tell` is called with each event, and with who need not hear it, which need not be written
    before `write` is called; it is in its place among all else. Beyond `TELLING` events wait.
    Of what waits, a coming and the going that follows it, or the other way round, cancel each other
    out, and a rename is a going and a coming: so what was told is right again in the end, and what
    waits is bounded by the people who have come or gone.
    """

    __slots__ = ("_bucket", "_tell", "_timer", "_waiting", "_write", "_writes", "_writing")

    def __init__(
        self,
        tell: Callable[[chat_pb2.Message, _Who | None], None],
        write: Callable[[], None] = lambda: None,
    ) -> None:
        self._tell = tell
        self._write = write
        self._bucket = TokenBucket(TELLING)
        self._writes = TokenBucket(WRITING)
        self._writing: asyncio.TimerHandle | None = None
        self._waiting: dict[str, tuple[chat_pb2.Message, _Who | None]] = {}  # by the name
        self._timer: asyncio.TimerHandle | None = None

    def announce(self, event: chat_pb2.Message, exclude: _Who | None) -> None:
        """Tell JOINED, LEFT or RENAMED, now or when its turn comes."""
        if not self._waiting:
            wait_seconds = self._bucket.take()
            if not wait_seconds:
                self._tell_now(event, exclude)
                return
            self._tell_later(wait_seconds)
        for change in _changes(event):
            self._merge(change, exclude)

    def forget(self) -> None:
        """Tell nothing of what waits."""
        self._waiting.clear()

    def _merge(self, change: chat_pb2.Message, exclude: _Who | None) -> None:
        waiting = self._waiting.pop(change.user, None)
        if waiting is None or waiting[0].kind == change.kind:
            self._waiting[change.user] = (change, exclude)

    def _tell_later(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._tell_next)

    def _tell_next(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        event, exclude = self._waiting.pop(next(iter(self._waiting)))
        self._tell_now(event, exclude)
        if self._waiting:
            self._tell_later(self._bucket.take())

    def _tell_now(self, event: chat_pb2.Message, exclude: _Who | None) -> None:
        self._tell(event, exclude)
        if self._writing is None:
            if wait_seconds := self._writes.take():
                loop = asyncio.get_running_loop()
                self._writing = loop.call_later(wait_seconds, self._write_all)
            else:
                self._write()

    def _write_all(self) -> None:
        self._writing = None
        self._write()


def _changes(event: chat_pb2.Message) -> list[chat_pb2.Message]:
    """Return the event as comings and goings."""
    if event.kind != chat_pb2.KIND_RENAMED:
        return [event]
    return [
        chat_pb2.Message(user=event.user, kind=chat_pb2.KIND_LEFT, room=event.room),
        chat_pb2.Message(user=event.message, kind=chat_pb2.KIND_JOINED, room=event.room),
    ]
