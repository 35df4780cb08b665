"""Tasks that run for as long as the server does: they end when they are told to."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from rooms import bounded

import server
from chat.server import assembly, shutdown
from chat.server.cluster import connection, consumer, tasks
from chat.server.log import jetstream, record_copies

SWALLOWED = 2


async def test_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    """As where the answer to a request comes in the same turn of the loop."""
    failures: list[BaseException] = []
    swallowed = 0

    async def work() -> None:
        nonlocal swallowed
        while swallowed < SWALLOWED:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            swallowed += 1
        await asyncio.Event().wait()

    stubborn = tasks.start(work(), "stubborn", failures.append)
    await asyncio.sleep(0)
    await bounded(tasks.end(stubborn, None))
    assert stubborn.cancelled() and swallowed == SWALLOWED and failures == []
    await bounded(tasks.end(stubborn))


async def test_task_that_never_ends_is_waited_for_no_longer_than_it_may_take() -> None:
    """Whoever stops the server goes on."""
    is_over = False

    async def work() -> None:
        while not is_over:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    task = tasks.start(work(), "endless", lambda error: None)
    await asyncio.sleep(0)
    await bounded(tasks.end(task))
    assert not task.done()
    is_over = True
    await bounded(tasks.end(task))
    assert task.done()


def test_steps_of_the_stop_take_less_than_it_has() -> None:
    """Each as long as it may: what waits, the streams, the names, the log, NATS."""
    consumers = tasks.END_SECONDS + consumer.DROP_SECONDS
    names = max(assembly.STOP_SECONDS, consumers)
    log = max(consumers, record_copies.LAST_COPY_SECONDS)
    log += jetstream.CLOSE_SECONDS + connection.CLOSE_SECONDS
    streams = assembly.COMMIT_SECONDS + server.DRAIN_SECONDS
    assert streams + names + log < shutdown.STOP_SECONDS
