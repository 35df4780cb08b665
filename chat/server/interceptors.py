"""What happens to every call before its handler: the token, shared bytes, the counting of calls.

gRPC asks each interceptor once for each call, in the event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from chat.cli.credentials import is_authorized
from chat.protocol.errors import ChatError
from chat.protocol.metadata import AUTHORIZATION
from chat.server.status import abort

# What whoever watches over the server asks, and has no token for.
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
# Calls of the services beside the chat that may be open at a time: each costs memory as it lasts.
MAX_OTHER_CALLS = 100

Details = grpc.HandlerCallDetails
Handler = Any  # an RpcMethodHandler; its type is not public
Continuation = Callable[[Details], Awaitable[Handler]]


class SharedBytes(grpc.aio.ServerInterceptor):
    """Hands the method its messages as bytes, and takes bytes from it.

    The generated registration would encode each message anew for each client; so it is encoded once
    for all of them (`encoding.py`).
    """

    def __init__(self, method: str) -> None:
        self._method = method

    async def intercept_service(self, continuation: Continuation, details: Details) -> Handler:
        """Return the handler without its serializers."""
        handler = await continuation(details)
        if handler is None or details.method != self._method:
            return handler
        return grpc.stream_stream_rpc_method_handler(handler.stream_stream)


class TokenCheck(grpc.aio.ServerInterceptor):
    """Refuses every call that does not carry `token`, whatever its service; but health's Check."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_service(self, continuation: Continuation, details: Details) -> Handler:
        """Return the handler of a call with the token, else one that refuses."""
        metadata = dict(details.invocation_metadata or ())
        authorization = metadata.get(AUTHORIZATION, "")
        if details.method == HEALTH_CHECK or is_authorized(authorization, self._token):
            return await continuation(details)
        return grpc.stream_stream_rpc_method_handler(_refuse)


async def _refuse(_requests: object, context: Any) -> None:
    await abort(context, ChatError("TOKEN_INVALID"))


class CallLimit(grpc.aio.ServerInterceptor):
    """Lets at most `MAX_OTHER_CALLS` calls be open at a time, not counting those of `exclude`."""

    def __init__(self, exclude: str) -> None:
        self._exclude = exclude
        self._open = 0

    async def intercept_service(self, continuation: Continuation, details: Details) -> Handler:
        """Return the handler, counted."""
        handler = await continuation(details)
        if handler is None or details.method == self._exclude:
            return handler
        return _with_behaviour(handler, self._counted(_behaviour_of(handler)))

    def _counted(self, behaviour: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        async def counted(request: Any, context: Any) -> Any:
            if self._open >= MAX_OTHER_CALLS:
                code = grpc.StatusCode.RESOURCE_EXHAUSTED
                await context.abort(code, "too many calls are open; try again later")
            with self._place():
                answer = behaviour(request, context)
                if not hasattr(answer, "__aiter__"):
                    return await answer
                async for message in answer:
                    await context.write(message)

        return counted

    @contextmanager
    def _place(self) -> Iterator[None]:
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


_FACTORIES: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _behaviour_of(handler: Handler) -> Callable[..., Any]:
    """Return the function that a handler calls: it has exactly one of the four sorts."""
    sorts = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    return next(behaviour for behaviour in sorts if behaviour is not None)  # type: ignore[no-any-return]


def _with_behaviour(handler: Handler, behaviour: Callable[..., Any]) -> Handler:
    """Return a handler of the same sort that calls `behaviour`."""
    make = _FACTORIES[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(behaviour, handler.request_deserializer, handler.response_serializer)
