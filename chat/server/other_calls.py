"""The calls beside the chat, of whatever service: few at a time, and cheap, whoever makes them.

Load balancers have no token, so anybody may ask for health. Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from chat.protocol.errors import ChatError
from chat.server.address import address_of
from chat.server.interceptors import Continuation, Details, Handler, TakeTurn
from chat.server.status import abort, abort_unexpected, bounded_abort
from chat.server.waiting import within

# Each costs memory as long as it lasts. One more, and the longest gives way: were new ones refused
# instead, anybody could keep the load balancers out.
MAX_OPEN = 100
# How long one that takes a single message may wait for it.
REQUEST_SECONDS = 10.0
Code = grpc.StatusCode
EOF: Any = grpc.aio.EOF

_log = logging.getLogger(__name__)


class OtherCalls(grpc.aio.ServerInterceptor):
    """Bounds all calls but those of the method `exclude`, and sees to it how they end.

    Whatever their sort, gRPC is given a handler of streams: it would read, and decode, the message
    of any other before it calls the handler, for as long as that takes. `take_turn`: returns when
    an address may make one more, before anything of it is read.
    """

    def __init__(self, exclude: str, take_turn: TakeTurn) -> None:
        self._exclude = exclude
        self._take_turn = take_turn
        self._open: dict[asyncio.Task[Any], Any] = {}  # with their contexts; the longest first

    async def intercept_service(self, continuation: Continuation, details: Details) -> Handler:
        """Return the handler, bounded."""
        handler = await continuation(details)
        if handler is None or details.method == self._exclude:
            return handler

        async def serve(requests: AsyncIterator[bytes], context: Any) -> None:
            try:
                await self._take_turn(address_of(context.peer()))
            except ChatError as error:
                await abort(context, ChatError(error.reason))
            else:
                async with self._place(context):
                    await _serve(handler, requests, context)

        return grpc.stream_stream_rpc_method_handler(serve, None, handler.response_serializer)

    @asynccontextmanager
    async def _place(self, context: Any) -> AsyncIterator[None]:
        """Hold a place for the length of the block; whoever loses it is refused."""
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= MAX_OPEN:
            longest = next(iter(self._open))
            del self._open[longest]
            longest.cancel()
        self._open[task] = context
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._open:  # it was not the caller who ended it
                await bounded_abort(context, Code.RESOURCE_EXHAUSTED, "too many calls are open")
            raise
        finally:
            self._open.pop(task, None)


async def _serve(handler: Handler, requests: AsyncIterator[bytes], context: Any) -> None:
    """Serve one call; what is wrong with it is never told by the text of an exception."""
    try:
        await _answer(handler, requests, context)
    except (DecodeError, asyncio.TimeoutError):
        await bounded_abort(context, Code.INVALID_ARGUMENT, "the request is not understood")
    except grpc.aio.BaseError:  # it was aborted, or the client is gone
        raise
    except NotImplementedError:  # a method of the generated class that its service leaves out
        await bounded_abort(context, Code.UNIMPLEMENTED, "there is no such method here")
    except Exception as error:
        _log.error("a call from %s failed", context.peer(), exc_info=error)
        await abort_unexpected(context)


async def _answer(handler: Handler, requests: AsyncIterator[bytes], context: Any) -> None:
    decode = handler.request_deserializer
    if handler.request_streaming:
        request: Any = (decode(raw) async for raw in requests)
    else:
        request = decode(await _only_request(context))
    answer = _behaviour_of(handler)(request, context)
    if hasattr(answer, "__aiter__"):
        async for message in answer:
            await context.write(message)
    elif handler.response_streaming:
        await answer  # it writes by itself
    else:
        await context.write(await answer)


async def _only_request(context: Any) -> bytes:
    """Return the one message of a call that takes no more; raises TimeoutError without one."""
    raw = await within(REQUEST_SECONDS, context.read())
    if raw is EOF:
        raise asyncio.TimeoutError
    return bytes(raw)


def _behaviour_of(handler: Handler) -> Any:
    """Return the function that a handler calls: it has exactly one of the four sorts."""
    sorts = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    return next(behaviour for behaviour in sorts if behaviour is not None)
