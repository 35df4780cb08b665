"""Who may come in, how many from one address, how fast, and who gives way."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest
from rooms import Chat, bounded, quiet, refusal_of

from chat.server import admission
from chat.server.address import LOOPBACK
from chat.server.admission import Admission, UnnamedMembers

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def enter(doors: Admission, address: str) -> None:
    """Take a place and give it back."""
    with await doors.place(address):
        pass


async def test_address_has_its_share_of_places() -> None:
    """A place that is given back is free; another address has its own."""
    doors = Admission(1000, 2)
    with await doors.place(HERE):
        with await doors.place(HERE), await doors.place(THERE):
            assert await refusal_of(enter(doors, HERE)) == "ADDRESS_FULL"
        await enter(doors, HERE)


@pytest.mark.parametrize(("max_clients", "share"), [(1, 50), (500, 50), (700, 70)])
async def test_share_is_a_tenth_but_no_less_than_fifty(max_clients: int, share: int) -> None:
    """Unless the flag says otherwise."""
    doors = Admission(max_clients)
    with ExitStack() as stack:
        for _ in range(share):
            stack.enter_context(await doors.place(HERE))
        assert await refusal_of(enter(doors, HERE)) == "ADDRESS_FULL"


@pytest.mark.parametrize(("max_per_address", "is_counted"), [(0, False), (1, True)])
async def test_this_machine_is_counted_where_the_flag_is_given(
    max_per_address: int, is_counted: bool
) -> None:
    """Else a proxy would have one place for everybody behind it."""
    doors = Admission(1, max_per_address)
    assert doors.account_of(LOOPBACK) == (LOOPBACK if is_counted else "")
    assert doors.account_of(HERE) == HERE
    with ExitStack() as stack:
        for _ in range(1 if is_counted else 200):
            stack.enter_context(await doors.place(LOOPBACK))
        if is_counted:
            assert await refusal_of(enter(doors, LOOPBACK)) == "ADDRESS_FULL"


async def test_joins_above_the_rate_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """In places of their own; the next second has ten more."""
    waits = watch_waits(monkeypatch)
    clock = Clock()
    doors = Admission(1000, 1000, clock)
    for _ in range(100):
        await enter(doors, HERE)
    assert waits == []
    for _ in range(3):
        await enter(doors, HERE)
    await enter(doors, THERE)
    assert waits == pytest.approx([0.1, 0.2, 0.3])
    clock.now += 1.0
    await enter(doors, HERE)
    assert len(waits) == 3


def watch_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note how long each join is to wait, and let none of them."""
    waits: list[float] = []

    async def wait_for(waiting: Any, seconds: float) -> None:
        waiting.close()
        waits.append(seconds)
        raise asyncio.TimeoutError

    monkeypatch.setattr(asyncio, "wait_for", wait_for)
    return waits


async def test_calls_that_get_no_place_wait_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the rate of joins, and beside them: neither delays the other."""
    waits = watch_waits(monkeypatch)
    clock = Clock()
    doors = Admission(1000, 1, clock)
    with await doors.place(HERE):
        for _ in range(60):
            await doors.take_turn(HERE)
            assert await refusal_of(enter(doors, HERE)) == "ADDRESS_FULL"
    assert waits == pytest.approx([n / 10 for n in range(1, 21)])
    await enter(doors, HERE)
    await doors.take_turn(THERE)
    await doors.take_turn(LOOPBACK)
    assert len(waits) == 20
    clock.now += 2.1
    await doors.take_turn(HERE)
    assert len(waits) == 20


async def test_watching_every_second_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load balancers do, several of them from one address."""
    waits = watch_waits(monkeypatch)
    clock = Clock()
    doors = Admission(1, 1, clock)
    for _ in range(300):
        for _balancer in range(10):
            await doors.take_turn(HERE)
        clock.now += 1.0
    assert waits == []


async def test_place_that_is_free_by_its_turn_is_given() -> None:
    """Who has waited is not refused for what was so before."""
    doors = Admission(1000, 1, Clock())
    for _ in range(100):
        await doors.take_turn(HERE)
    with await doors.place(HERE):
        waiting = asyncio.get_running_loop().create_task(enter(doors, HERE))
        await quiet()
        assert not waiting.done()
    await bounded(waiting)


async def test_calls_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused at once; who goes makes room, and takes no time from those who come."""
    monkeypatch.setattr(admission, "MAX_WAITING_CALLS", 2)
    doors = Admission(1000, 1, Clock())
    for _ in range(100):
        await doors.take_turn(HERE)
    loop = asyncio.get_running_loop()
    waiting = [loop.create_task(doors.take_turn(HERE)) for _ in range(2)]
    await quiet()
    for _ in range(100):
        assert await refusal_of(doors.take_turn(HERE)) == "ADDRESS_FULL"
    waiting[1].cancel()
    await asyncio.wait({waiting[1]})
    await bounded(doors.take_turn(HERE))  # in 0.2 s, as if the others had never been
    await bounded(waiting[0])


async def test_who_waits_holds_a_place_and_is_told_of_the_end() -> None:
    """There are never more who wait than places, of an address or in all."""
    doors = Admission(1, 103, Clock())
    for _ in range(100):
        await enter(doors, HERE)
        await enter(doors, THERE)
    waiting = asyncio.get_running_loop().create_task(enter(doors, HERE))
    await quiet()
    assert not waiting.done()
    assert await refusal_of(enter(doors, THERE)) == "SERVER_FULL"
    doors.close()
    assert await refusal_of(bounded(waiting)) == "SHUTTING_DOWN"
    assert await refusal_of(bounded(enter(doors, THERE))) == "SHUTTING_DOWN"


async def test_who_goes_again_before_coming_in_takes_no_time_from_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor who is refused: a crowd that comes and goes leaves nothing to be waited for."""
    doors = Admission(1, 1000, Clock())
    for _ in range(100):
        await enter(doors, HERE)
    for _ in range(600):
        coming = asyncio.get_running_loop().create_task(enter(doors, HERE))
        await asyncio.sleep(0)
        assert await refusal_of(enter(doors, HERE)) == "SERVER_FULL"
        coming.cancel()
        await asyncio.wait({coming})
    waits = watch_waits(monkeypatch)
    await enter(doors, HERE)
    assert waits == pytest.approx([0.1])


async def test_addresses_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """But not those that have a stream, or have been here just now."""
    monkeypatch.setattr(admission, "MAX_IDLE_ADDRESSES", 2)
    waits = watch_waits(monkeypatch)
    clock = Clock()
    doors = Admission(1000, 1, clock)
    with await doors.place(HERE):
        for number in range(1000):
            clock.now += 1.0
            await enter(doors, str(number))
        assert await refusal_of(enter(doors, HERE)) == "ADDRESS_FULL"
        for _ in range(101):
            await enter(doors, THERE)
        await enter(doors, "another")
        await enter(doors, THERE)
    assert waits == pytest.approx([0.1, 0.2])


async def test_longest_unnamed_member_gives_way_after_a_minute() -> None:
    """Not before, and not one that has a name by now, or is gone."""
    chat = await Chat().start()
    clock = Clock()
    unnamed = UnnamedMembers(clock)
    named, gone, first, second = [(await chat.join()).member for _ in range(4)]
    full = (await chat.join("ana")).member
    for member in (named, gone, first, full):
        unnamed.add(member)
    unnamed.discard(gone)
    unnamed.discard(gone)
    clock.now += 59.0
    unnamed.add(second)
    assert unnamed.take_longest() is None
    chat.hub.naming.name_plain(named, "plínio", "1")
    clock.now += 1.0
    assert unnamed.take_longest() is first
    assert unnamed.take_longest() is None
    clock.now += 59.0
    assert unnamed.take_longest() is second
    assert unnamed.take_longest() is None
