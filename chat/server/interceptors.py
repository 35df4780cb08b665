"""What happens to every call before its handler: sound metadata, shared bytes, refusals in turn.

gRPC asks each interceptor once for each call, in the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from chat.protocol.errors import ChatError
from chat.server.address import address_of
from chat.server.status import abort

Details = grpc.HandlerCallDetails
Handler = Any  # an RpcMethodHandler; its type is not public
Continuation = Callable[[Details], Awaitable[Handler]]
# Returns when an address may make one call more beside the chat (`Admission.take_turn`).
TakeTurn = Callable[[str], Awaitable[None]]

stream_handler = grpc.stream_stream_rpc_method_handler
_log = logging.getLogger(__name__)


class Remade:
    """What an interceptor makes of a handler, by `remake`; the last one is kept.

    Each call of a method brings the same handler: so ten thousand streams share what is made of it.
    """

    def __init__(self, remake: Callable[[Handler], Handler]) -> None:
        self._remake = remake
        self._last: tuple[Handler, Handler] = (None, None)

    def of(self, handler: Handler) -> Handler:
        """Return what is made of a handler."""
        if self._last[0] is not handler:
            self._last = (handler, self._remake(handler))
        return self._last[1]


class SharedBytes(grpc.aio.ServerInterceptor):
    """Hands the method its messages as bytes, and takes bytes from it.

    The generated registration would encode each message anew for each client; so it is encoded once
    for all of them (`encoding.py`).
    """

    def __init__(self, method: str) -> None:
        self._method = method
        self._bare = Remade(lambda handler: stream_handler(handler.stream_stream))

    async def intercept_service(self, continuation: Continuation, details: Details) -> Handler:
        """Return the handler without its serializers."""
        handler = await continuation(details)
        if handler is None or details.method != self._method:
            return handler
        return self._bare.of(handler)


def refusing(reason: str, take_turn: TakeTurn, line: str) -> Handler:
    """Return a handler that refuses its calls when it is their address's turn.

    `line`: what is logged of whoever makes one.
    """

    async def refuse(_requests: object, context: Any) -> None:
        _log.warning("%s %s", context.peer(), line)
        await refuse_in_turn(context, reason, take_turn)

    return grpc.stream_stream_rpc_method_handler(refuse)


async def refuse_in_turn(context: Any, reason: str, take_turn: TakeTurn) -> None:
    """Refuse a call when it is its address's turn, or because too many wait for that."""
    try:
        await take_turn(address_of(context.peer()))
    except ChatError as error:
        reason = error.reason
    await abort(context, ChatError(reason))


class MetadataCheck(grpc.aio.ServerInterceptor):
    """Refuses a call whose metadata are not ASCII where they must be."""

    def __init__(self, take_turn: TakeTurn) -> None:
        self._refusing = refusing("REQUEST_INVALID", take_turn, "sent metadata that are no text")

    async def intercept_service(self, continuation: Continuation, details: Details) -> Handler:
        """Return the handler of a call with sound metadata, else one that refuses."""
        for key, value in details.invocation_metadata or ():
            if not _is_sound(key, value):
                return self._refusing
        return await continuation(details)


def _is_sound(key: str, value: str | bytes) -> bool:
    """Say whether a pair is as gRPC's protocol has it: binary values come as bytes."""
    return key.isascii() and (isinstance(value, bytes) or value.isascii())
