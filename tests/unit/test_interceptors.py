"""What happens to every call before its handler, without a server around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from rooms import FakeContext, bounded, quiet

from chat.protocol.metadata import JoinRequest
from chat.server import interceptors
from chat.server.interceptors import HEALTH_CHECK, CallLimit, SharedBytes, TokenCheck

METHOD = "/ChatService/Chat"
OTHER = "/grpc.health.v1.Health/Watch"
DECODE: Any = str
ENCODE: Any = repr
FULL = (grpc.StatusCode.RESOURCE_EXHAUSTED, "")


async def intercepted(interceptor: Any, handler: Any, method: str, **metadata: str) -> Any:
    """Return what an interceptor makes of `handler` for a call."""

    async def go_on(details: object) -> Any:
        return handler

    pairs = tuple(metadata.items()) or None
    details = SimpleNamespace(method=method, invocation_metadata=pairs)
    return await interceptor.intercept_service(go_on, details)


def context() -> FakeContext:
    return FakeContext(JoinRequest())


async def behaviour(request: Any, context: Any) -> Any:
    raise AssertionError("never called")


async def test_bytes_of_the_chat_are_handed_on_as_they_are() -> None:
    """Other methods keep their serializers, and one that is not there stays so."""
    made: Any = grpc.stream_stream_rpc_method_handler(behaviour, DECODE, ENCODE)
    handler = await intercepted(SharedBytes(METHOD), made, METHOD)
    assert handler.stream_stream is behaviour and handler.request_streaming
    assert handler.request_deserializer is None and handler.response_serializer is None
    assert await intercepted(SharedBytes(METHOD), made, OTHER) is made
    assert await intercepted(SharedBytes(METHOD), None, METHOD) is None


@pytest.mark.parametrize(
    ("method", "authorization", "is_let_in"),
    [
        (METHOD, "Bearer secret", True),
        (METHOD, "Bearer other", False),
        (METHOD, None, False),
        (OTHER, None, False),
        (HEALTH_CHECK, None, True),
    ],
)
async def test_token_opens_every_service(
    method: str, authorization: str | None, is_let_in: bool
) -> None:
    """Health's Check alone needs none."""
    made: Any = grpc.stream_stream_rpc_method_handler(behaviour)
    metadata = {} if authorization is None else {"authorization": authorization}
    handler = await intercepted(TokenCheck("secret"), made, method, **metadata)
    assert (handler is made) is is_let_in
    if not is_let_in:
        call = context()
        with pytest.raises(grpc.aio.AbortError):
            await handler.stream_stream(None, call)
        assert call.status == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_calls_beside_the_chat_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends, well or by an exception, makes room; those of the chat are not counted."""
    monkeypatch.setattr(interceptors, "MAX_OTHER_CALLS", 2)
    gates = {number: asyncio.Event() for number in range(3)}

    async def hold(request: Any, context: Any) -> Any:
        await gates[request].wait()
        return 1 / request  # the first one fails

    limit = CallLimit(METHOD)
    made: Any = grpc.unary_unary_rpc_method_handler(hold, DECODE, ENCODE)
    assert await intercepted(limit, made, METHOD) is made
    assert await intercepted(limit, None, OTHER) is None
    handler = await intercepted(limit, made, OTHER)
    assert (handler.request_deserializer, handler.response_serializer) == (DECODE, ENCODE)

    async def is_refused() -> bool:
        call = context()
        gates[9] = asyncio.Event()
        gates[9].set()
        await asyncio.wait({asyncio.create_task(handler.unary_unary(9, call))})
        assert call.status in (None, FULL)
        return call.status == FULL

    calls = [asyncio.create_task(handler.unary_unary(number, context())) for number in (0, 1)]
    await quiet()
    assert await is_refused()
    gates[0].set()
    await bounded(asyncio.wait({calls[0]}))
    assert isinstance(calls[0].exception(), ZeroDivisionError)
    assert not await is_refused()
    calls[0] = asyncio.create_task(handler.unary_unary(2, context()))
    await quiet()
    assert await is_refused()
    for gate in gates.values():
        gate.set()
    assert await bounded(asyncio.gather(*calls)) == [0.5, 1.0]


@pytest.mark.parametrize("is_request_stream", [False, True])
async def test_streams_stay_what_they_are(is_request_stream: bool) -> None:
    """A handler that yields is written out; one that writes by itself is awaited."""

    async def count(request: Any, context: Any) -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number

    async def write(request: Any, context: Any) -> None:
        await context.write(b"0")

    sort = "stream_stream" if is_request_stream else "unary_stream"
    make = getattr(grpc, f"{sort}_rpc_method_handler")
    for way, written in ((count, [b"0", b"1", b"2"]), (write, [b"0"])):
        handler = await intercepted(CallLimit(METHOD), make(way), OTHER)
        call = context()
        await getattr(handler, sort)(None, call)
        assert call.writes == written
