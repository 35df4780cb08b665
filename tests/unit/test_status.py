"""How a refusal ends a call, on gRPC itself."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from support import CHANNEL_OPTIONS, DEADLINE_SECONDS, METHOD

from chat.protocol.errors import ChatError
from chat.server import status


class Load:
    """What a call brought, in round figures."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing looks for cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@asynccontextmanager
async def refusing(loads: list[weakref.ref[Load]]) -> AsyncIterator[grpc.aio.Channel]:
    """Run a server that refuses each call, and notes what the handler of each held."""

    async def refuse(_requests: object, context: Any) -> None:
        load = Load()
        loads.append(weakref.ref(load))
        try:
            raise ChatError("REQUEST_INVALID")
        except ChatError as error:
            await status.abort(context, error)

    _empty, service, method = METHOD.split("/")
    handlers: Any = {method: grpc.stream_stream_rpc_method_handler(refuse)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("localhost:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"localhost:{port}", CHANNEL_OPTIONS) as channel:
            yield channel
    finally:
        await server.stop(None)


async def test_refused_call_leaves_nothing_to_the_collector(no_collector: None) -> None:
    """Looked for rarely, thousands of refused calls would be held with all that they brought."""
    loads: list[weakref.ref[Load]] = []
    async with refusing(loads) as channel:
        chat: Any = channel.stream_stream(METHOD, None, None)
        call = chat()
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        await asyncio.wait_for(end_of(loads[0]), DEADLINE_SECONDS)


async def end_of(load: weakref.ref[Load]) -> None:
    """Wait until nothing refers to it."""
    while load() is not None:
        await asyncio.sleep(0)
