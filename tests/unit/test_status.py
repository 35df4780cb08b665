"""How a refusal ends a call, on gRPC itself."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from support import CHANNEL_OPTIONS, DEADLINE_SECONDS, METHOD

from chat.protocol.details import Details
from chat.protocol.errors import REASONS, ChatError
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
async def serving(handle: Callable[[object, Any], Awaitable[None]]) -> AsyncIterator[Any]:
    """Run a server whose only method is `handle`; yield what calls it."""
    _empty, service, method = METHOD.split("/")
    handlers: Any = {method: grpc.stream_stream_rpc_method_handler(handle)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("localhost:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"localhost:{port}", CHANNEL_OPTIONS) as channel:
            yield channel.stream_stream(METHOD, None, None)
    finally:
        await server.stop(None)


async def test_refused_call_leaves_nothing_to_the_collector(no_collector: None) -> None:
    """Looked for rarely, thousands of refused calls would be held with all that they brought."""
    loads: list[weakref.ref[Load]] = []

    async def refuse(_requests: object, context: Any) -> None:
        load = Load()
        loads.append(weakref.ref(load))
        try:
            raise ChatError("REQUEST_INVALID")
        except ChatError as error:
            await status.abort(context, error)

    async with serving(refuse) as chat:
        assert await chat().code() is grpc.StatusCode.INVALID_ARGUMENT
        await asyncio.wait_for(end_of(loads[0]), DEADLINE_SECONDS)


@pytest.mark.parametrize(
    ("details", "text", "info"),
    [
        (Details(), "", {}),
        (
            Details(1_709_208_000.5, "ana", "não", has_end=True),
            " (by [ana], until 2024-02-29T12:00:00Z): não",
            {"until": "2024-02-29T12:00:00Z", "by": "ana", "words": "não"},
        ),
        (Details(has_end=True), " (for good)", {}),
    ],
)
async def test_details_are_in_the_text_and_in_the_error_info(
    details: Details, text: str, info: dict[str, str]
) -> None:
    """The text is for those who read nothing else."""
    context = Ending()
    await status.abort(context, ChatError("BANNED", details))
    assert context.code is grpc.StatusCode.PERMISSION_DENIED
    assert context.text == REASONS["BANNED"].text + text
    found = status_pb2.Status.FromString(context.trailing["grpc-status-details-bin"])
    error_info = error_details_pb2.ErrorInfo()
    assert found.details[0].Unpack(error_info)
    assert (error_info.reason, dict(error_info.metadata)) == ("BANNED", info)
    assert found.message == context.text


class Ending:
    """A call that only notes how it ends."""

    async def abort(self, code: grpc.StatusCode, text: str, trailing: Any) -> None:
        self.code, self.text, self.trailing = code, text, dict(trailing)


async def test_call_that_is_cancelled_while_it_greets_can_still_be_ended() -> None:
    """Else gRPC has begun to send the metadata, does not know it, and ends it never."""

    async def greet(_requests: object, context: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        try:
            await status.finish(context.send_initial_metadata((("chat-epoch", "e"),)))
        except asyncio.CancelledError:
            await status.abort(context, ChatError("TOKEN_INVALID"))

    async with serving(greet) as chat:
        code = await asyncio.wait_for(chat().code(), DEADLINE_SECONDS)
        assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_operation_that_fails_is_heard_of() -> None:
    """As without `finish`."""

    async def fail() -> None:
        raise grpc.aio.UsageError

    with pytest.raises(grpc.aio.UsageError):
        await status.finish(fail())


async def end_of(load: weakref.ref[Load]) -> None:
    """Wait until nothing refers to it."""
    while load() is not None:
        await asyncio.sleep(0)
