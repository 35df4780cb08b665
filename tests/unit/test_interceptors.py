"""What happens to every call before its handler, without a server around it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from rooms import FakeContext

from chat.protocol.errors import ChatError
from chat.protocol.metadata import JoinRequest
from chat.server.interceptors import MetadataCheck, SharedBytes

METHOD = "/ChatService/Chat"
OTHER = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
DECODE: Any = str
ENCODE: Any = repr


async def intercepted(interceptor: Any, handler: Any, method: str, **metadata: Any) -> Any:
    """Return what an interceptor makes of `handler` for a call."""

    async def go_on(details: object) -> Any:
        return handler

    pairs = tuple(metadata.items()) or None
    details = SimpleNamespace(method=method, invocation_metadata=pairs)
    return await interceptor.intercept_service(go_on, details)


async def at_once(address: str) -> None:
    """It is everybody's turn."""


async def never(address: str) -> None:
    """Too many wait already."""
    raise ChatError("ADDRESS_FULL")


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
    ("metadata", "is_let_in"),
    [
        ({}, True),
        ({"plain": "ascii", "raw-bin": b"\xff"}, True),
        ({"plain": "\xff"}, False),
        ({"k\xffy": "value"}, False),
    ],
)
async def test_metadata_are_text(
    metadata: dict[str, Any], is_let_in: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal is a line with who it was, and not what."""
    made: Any = grpc.stream_stream_rpc_method_handler(behaviour)
    handler = await intercepted(MetadataCheck(at_once), made, METHOD, **metadata)
    assert (handler is made) is is_let_in
    if not is_let_in:
        call = context()
        with pytest.raises(grpc.aio.AbortError):
            await handler.stream_stream(None, call)
        assert call.status == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
        (line,) = caplog.messages
        assert call.peer() in line and len(line) < 200


async def test_refusal_waits_for_the_turn_of_its_address() -> None:
    """Who is not even let wait is told that instead."""
    made: Any = grpc.stream_stream_rpc_method_handler(behaviour)
    handler = await intercepted(MetadataCheck(never), made, METHOD, k="\xff")
    call = context()
    with pytest.raises(grpc.aio.AbortError):
        await handler.stream_stream(None, call)
    assert call.status == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ADDRESS_FULL")
