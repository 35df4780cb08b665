"""The calls beside the chat, without a server around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from rooms import FakeContext, bounded, quiet

from chat.protocol.errors import ChatError
from chat.protocol.metadata import JoinRequest
from chat.server import other_calls
from chat.server.address import LOOPBACK
from chat.server.other_calls import EOF, OtherCalls

METHOD = "/ChatService/Chat"
OTHER = "/grpc.health.v1.Health/Check"
Code = grpc.StatusCode
SECRET = "what somebody said"


def decode(raw: bytes) -> str:
    if raw == b"?":
        raise DecodeError(SECRET)
    return raw.decode()


class Calls:
    """One interceptor, and calls that go through it."""

    def __init__(self) -> None:
        self._interceptor = OtherCalls(METHOD, self._take_turn)
        self.waiting: asyncio.Future[None] | None = None  # until it is anybody's turn
        self.tasks: list[asyncio.Task[Any]] = []

    async def _take_turn(self, address: str) -> None:
        assert address == LOOPBACK
        if self.waiting is not None:
            await self.waiting

    async def handler(self, made: Any, method: str = OTHER) -> Any:
        """Return what the interceptor makes of a handler."""

        async def go_on(details: object) -> Any:
            return made

        details: Any = SimpleNamespace(method=method)
        return await self._interceptor.intercept_service(go_on, details)

    async def begin(self, made: Any, *said: Any) -> FakeContext:
        """Begin a call in which the client says something."""
        handler = await self.handler(made)
        context = FakeContext(JoinRequest())
        for one in said:
            context.said.put_nowait(one)
        serving = handler.stream_stream(read_all(context), context)
        self.tasks.append(asyncio.get_running_loop().create_task(serving))
        await quiet()
        return context

    async def end(self, made: Any, *said: Any) -> FakeContext:
        """Begin a call, and return when it has ended."""
        context = await self.begin(made, *said)
        await bounded(asyncio.wait({self.tasks[-1]}))
        is_refused = isinstance(self.tasks[-1].exception(), grpc.aio.AbortError)
        assert is_refused is (context.status is not None)
        return context


async def read_all(context: FakeContext) -> AsyncIterator[bytes]:
    while (raw := await context.read()) is not EOF:
        yield raw


async def echo(request: str, context: Any) -> bytes:
    return request.encode()


async def say_three(request: str, context: Any) -> AsyncIterator[bytes]:
    for number in range(3):
        yield request.encode() * number


async def write_two(request: str, context: Any) -> None:
    await context.write(request.encode())
    await context.write(b".")


async def echo_all(requests: AsyncIterator[str], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request.encode()


async def wait(request: str, context: Any) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("made", "said", "written"),
    [
        (grpc.unary_unary_rpc_method_handler(echo, decode), [b"a"], [b"a"]),
        (grpc.unary_stream_rpc_method_handler(say_three, decode), [b"a"], [b"", b"a", b"aa"]),
        (grpc.unary_stream_rpc_method_handler(write_two, decode), [b"a"], [b"a", b"."]),
        (grpc.stream_stream_rpc_method_handler(echo_all, decode), [b"a", b"b", EOF], [b"a", b"b"]),
    ],
    ids=["one answer", "yields", "writes", "a stream"],
)
async def test_call_is_answered_whatever_its_sort(
    made: Any, said: list[Any], written: list[bytes]
) -> None:
    """As if gRPC itself had called the handler."""
    context = await Calls().end(made, *said)
    assert context.writes == written and context.status is None


async def test_chat_and_what_is_unknown_go_by() -> None:
    """They are not counted."""
    made: Any = grpc.unary_unary_rpc_method_handler(echo, decode)
    assert await Calls().handler(made, METHOD) is made
    assert await Calls().handler(None) is None


@pytest.mark.parametrize("said", [[b"?"], [EOF]], ids=["garbage", "nothing"])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_request_that_is_none_is_refused(
    said: list[Any], is_stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """In words of our own, which are nobody's fault to log."""
    made: Any = grpc.unary_unary_rpc_method_handler(echo, decode)
    if is_stream:
        made = grpc.stream_stream_rpc_method_handler(echo_all, decode)
    context = await Calls().end(made, *said)
    is_well = is_stream and said == [EOF]  # a stream may be empty
    assert context.status == (None if is_well else (Code.INVALID_ARGUMENT, ""))
    assert caplog.messages == []


async def test_call_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its place would be held for ever, for the price of its headers."""
    monkeypatch.setattr(other_calls, "REQUEST_SECONDS", 0.0)
    context = await Calls().end(grpc.unary_unary_rpc_method_handler(echo, decode))
    assert context.status == (Code.INVALID_ARGUMENT, "")


async def test_method_that_a_service_leaves_out_is_told_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A newer version of a standard service has one: whoever calls it is nobody's fault to log."""

    def generated(request: str, context: Any) -> None:
        raise NotImplementedError("Method not implemented!")

    context = await Calls().end(grpc.unary_unary_rpc_method_handler(generated, decode), b"a")
    assert context.status == (Code.UNIMPLEMENTED, "")
    assert caplog.messages == []


async def test_failure_is_told_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The peer learns that there was one."""

    async def fail(request: str, context: Any) -> None:
        raise ZeroDivisionError(SECRET)

    context = await Calls().end(grpc.unary_unary_rpc_method_handler(fail, decode), b"a")
    assert context.status == (Code.INTERNAL, "")
    (line,) = caplog.messages
    assert context.peer() in line


async def test_one_more_call_takes_the_place_of_the_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which is told why; one that has ended has no place any more."""
    monkeypatch.setattr(other_calls, "MAX_OPEN", 2)
    calls = Calls()
    made: Any = grpc.unary_stream_rpc_method_handler(wait, decode)
    first, second = [await calls.begin(made, b"a") for _ in range(2)]
    assert first.status is None
    third = await calls.begin(made, b"a")
    assert first.status == (Code.RESOURCE_EXHAUSTED, "")
    calls.tasks[1].cancel()  # the caller of the second goes
    await quiet()
    assert second.status is None and calls.tasks[1].cancelled()
    fourth = await calls.begin(made, b"a")
    assert third.status is None and fourth.status is None
    await calls.begin(made, b"a")
    assert third.status == (Code.RESOURCE_EXHAUSTED, "")
    for task in calls.tasks:
        task.cancel()
    await asyncio.wait(calls.tasks)


async def test_call_waits_for_the_turn_of_its_address() -> None:
    """Nothing of it is read before, and where too many wait it never is."""
    calls = Calls()
    calls.waiting = asyncio.get_running_loop().create_future()
    contexts = [
        await calls.begin(grpc.unary_unary_rpc_method_handler(echo, decode), b"a") for _ in range(2)
    ]
    assert [context.said.qsize() for context in contexts] == [1, 1]
    calls.tasks[1].cancel()
    calls.waiting = asyncio.get_running_loop().create_future()
    calls.waiting.set_exception(ChatError("ADDRESS_FULL"))
    context = await calls.end(grpc.unary_unary_rpc_method_handler(echo, decode), b"a")
    assert context.status == (Code.RESOURCE_EXHAUSTED, "ADDRESS_FULL")
    assert context.said.qsize() == 1
