"""Many clients: one after the other, and at the same time; and what they leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from crowd import STREAMS_PER_CHANNEL, Crowd, admitted, crowd, heard, reason, within
from support import plain_client, running_server

import chat_pb2

Message = chat_pb2.Message
Code = grpc.StatusCode
# What the C library's heap below gRPC takes until it has settled, over some thousand streams.
HEAP_BYTES = 4 << 20


def test_three_hundred_clients_one_after_the_other() -> None:
    """Each with a connection of its own; none hangs, all are heard, and each ends with OK."""
    with running_server() as server:
        for number in range(300):
            with plain_client(server.address, f"p{number}") as client:
                client.say("oi")
                client.half_close()
                assert client.wait_for_end() == (Code.OK, "")
                assert client.texts == ["oi"]


async def test_five_hundred_clients_at_the_same_time() -> None:
    """All hear each word; one more is refused aloud; when one leaves there is room again."""
    people = 500
    with running_server("--max-clients", str(people), "--quiet") as server:
        async with crowd(server.address, people // STREAMS_PER_CHANNEL) as guests:
            calls = [
                guests.open(f"p{number}", batch=number % 4 == 1) if number % 2 else guests.open()
                for number in range(people)
            ]
            await admitted(calls)
            for word, number in (("first", 0), ("second", 1), ("third", people - 1)):
                said = Message(user=f"p{number}", message=word)
                await within(calls[number].write(said.SerializeToString()))
                await within(asyncio.gather(*(heard(call, word) for call in calls)))
            refused = guests.open("late")
            assert await within(refused.code()) == Code.RESOURCE_EXHAUSTED
            assert await reason(refused) == "SERVER_FULL"
            calls.pop().cancel()
            await room_again(guests)
            assert server.is_running


async def room_again(guests: Crowd) -> None:
    """Try until one more is let in."""
    for _ in range(1000):
        call = guests.open("late")
        metadata = dict(await within(call.initial_metadata()))
        call.cancel()
        if "chat-epoch" in metadata:
            return
    raise AssertionError("the place of the one who left was never free")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read memory from")
async def test_memory_is_the_same_after_two_thousand_visits(tmp_path: Path) -> None:
    """What 2,000 joins and leaves leave behind is what 200 left, within 10%."""
    with running_server("--quiet", db=tmp_path / "chat.db") as server:
        async with crowd(server.address) as guests:
            await visits(guests, 0, 200)
            early = server.resident_bytes()
            await visits(guests, 200, 2000)
            late = server.resident_bytes()
    assert late <= 1.1 * early + HEAP_BYTES, f"{early} bytes after 200 visits, {late} after 2,000"


async def visits(guests: Crowd, first: int, last: int) -> None:
    """Let people come and go, forty at a time, with sessions; every fourth says something."""

    def visit(number: int) -> Awaitable[None]:
        says = f"{number} was here" if number % 4 == 0 else ""
        room, session = f"r{number % 50}", f"{number:032x}"
        return guests.visit(f"v{number}", says, room=room, session=session)

    for start in range(first, last, 40):
        await within(asyncio.gather(*map(visit, range(start, start + 40))))


async def test_everybody_leaving_at_once_leaves_a_calm_server() -> None:
    """Two hundred streams are cut in one moment: their names are free, and the rest talk on."""
    with running_server("--quiet") as server:
        async with crowd(server.address) as stayers:
            stayer = stayers.open("stayer", history=0)
            await admitted([stayer])
            async with AsyncExitStack() as stack:
                leavers = await stack.enter_async_context(crowd(server.address))
                await admitted([leavers.open(f"p{number}") for number in range(200)])
            async with crowd(server.address) as again:
                await within(stayer.write(Message(message="still here").SerializeToString()))
                await within(heard(stayer, "still here"))
                for number in range(0, 200, 20):
                    await rejoin(again, f"p{number}")


async def rejoin(guests: Crowd, user: str) -> None:
    """Join as `user` as soon as the name is free."""
    for _ in range(1000):
        call = guests.open(user)
        metadata = dict(await within(call.initial_metadata()))
        if "chat-epoch" in metadata:
            return
    raise AssertionError(f"{user} was never free")
