"""A thousand clients of a test: asynchronous streams, many to a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from support import CHANNEL_OPTIONS, DEADLINE_SECONDS, METHOD, full_metadata, reason_of

import chat_pb2

Message = chat_pb2.Message
Code = grpc.StatusCode
# Streams that share one connection, so that a thousand of them are no thousand sockets here.
STREAMS_PER_CHANNEL = 50
# A server that was killed is tried again soon.
OPTIONS = [
    *CHANNEL_OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]


class Crowd:
    """Streams by grpc.aio, many to a connection: cheap clients that say and hear little."""

    def __init__(self, address: str, channels: int) -> None:
        self._channels = [
            grpc.aio.insecure_channel(address, options=OPTIONS) for _ in range(channels)
        ]
        self._opened = 0

    def open(self, user: str | None = None, **wishes: Any) -> Any:
        """Open a stream as soon as a server listens: a full one as `user`, or a plain one."""
        channel = self._channels[self._opened % len(self._channels)]
        self._opened += 1
        metadata = full_metadata(user, **wishes) if user is not None else ()
        chat: Any = channel.stream_stream(METHOD, None, None)
        return chat(metadata=metadata, wait_for_ready=True)

    async def visit(self, user: str, says: str = "", **wishes: Any) -> None:
        """Join, say something and hear it, and leave."""
        call = self.open(user, history=0, **wishes)
        if says:
            await call.write(Message(message=says).SerializeToString())
            await heard(call, says)
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass
        assert await call.code() == Code.OK

    async def close(self) -> None:
        await within(asyncio.gather(*(channel.close() for channel in self._channels)))


@asynccontextmanager
async def crowd(address: str, channels: int = 10) -> AsyncIterator[Crowd]:
    """Make a crowd, and send it home afterwards."""
    people = Crowd(address, channels)
    try:
        yield people
    finally:
        await people.close()


async def within(awaitable: Awaitable[Any]) -> Any:
    """Wait for something, but not for ever."""
    return await asyncio.wait_for(awaitable, DEADLINE_SECONDS)


async def heard(call: Any, text: str) -> None:
    """Read until `text` has come."""
    while True:
        raw = await call.read()
        assert raw is not grpc.aio.EOF, f"the stream ended before {text!r}: {await call.code()}"
        message = Message.FromString(raw)
        if any(one.message == text for one in message.batch or (message,)):
            return


async def admitted(calls: Iterable[Any]) -> None:
    """Wait until each has had the server's first word."""
    for call in calls:
        metadata = dict(await within(call.initial_metadata()))
        assert "chat-epoch" in metadata


async def reason(call: Any) -> str:
    """Return the reason in the ErrorInfo of an ended asynchronous call."""
    trailing, code, details = (
        await call.trailing_metadata(),
        await call.code(),
        await call.details(),
    )

    class Ended:
        """The same call as `grpc_status` wants to see it."""

        @staticmethod
        def trailing_metadata() -> Any:
            return tuple(trailing)

        @staticmethod
        def code() -> Any:
            return code

        @staticmethod
        def details() -> Any:
            return details

    return reason_of(Ended())
