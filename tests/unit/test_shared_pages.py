"""Pages that many ask for at once: read once, never stale, and kept for a moment only."""

from __future__ import annotations

import asyncio

import pytest
from rooms import Chat, FakeLog, Message, come_true

from chat.server import shared_pages
from chat.server.log.base import Entry, LogError
from chat.server.room import Room
from chat.server.shared_pages import SharedPages

LIMIT, SIZE = 500, 1 << 10


def log_of(count: int) -> FakeLog:
    log = FakeLog(is_automatic=False)
    for number in range(count):
        log.append(Entry("", "bia", Message(user="bia", message=str(number))))
    log.commit_and_deliver()
    return log


async def test_those_who_come_at_once_get_the_same_page() -> None:
    """The very same, which is read and encoded once."""
    log = log_of(5)
    pages, room = SharedPages(log), Room("", 5)
    found = await asyncio.gather(*(pages.read(room, 2, LIMIT, SIZE) for _ in range(50)))
    assert log.reads == 1 and all(page is found[0] for page in found)
    assert [message.id for message in found[0].messages] == [3, 4, 5]
    assert await pages.read(room, 2, LIMIT, SIZE) is found[0]
    assert (await pages.read(room, 3, LIMIT, SIZE)).last_id == 5 and log.reads == 2


async def test_page_is_read_anew_when_more_was_broadcast_or_the_log_put_back() -> None:
    """What was read before that does not have it, or has what is gone."""
    log = log_of(5)
    pages, room = SharedPages(log), Room("", 4)
    assert (await pages.read(room, 0, LIMIT, SIZE)).last_id == 5
    log.append(Entry("", "bia", Message(user="bia", message="more")))
    log.commit_and_deliver()
    assert (await pages.read(room, 0, LIMIT, SIZE)).last_id == 5  # that will be broadcast yet
    room.last_id = 6
    assert (await pages.read(room, 0, LIMIT, SIZE)).last_id == 6
    log.rewinds = 1
    await pages.read(room, 0, LIMIT, SIZE)
    assert log.reads == 3


async def test_large_pages_and_very_many_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for others takes little memory."""
    monkeypatch.setattr(shared_pages, "MAX_SHARED", 2)
    log, rooms = log_of(1), [Room(key, 0) for key in "abc"]
    pages = SharedPages(log)
    for _ in range(2):
        await pages.read(rooms[0], 0, LIMIT, shared_pages.MAX_SHARED_BYTES + 1)
    assert log.reads == 2
    for _ in range(2):
        for room in rooms:
            await pages.read(room, 0, LIMIT, SIZE)
    assert log.reads == 2 + 3 + 1


async def test_page_is_forgotten_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody hears for long what has been trimmed."""
    monkeypatch.setattr(shared_pages, "SHARED_SECONDS", 0.0)
    log = log_of(3)
    pages, room = SharedPages(log), Room("", 3)
    await pages.read(room, 0, LIMIT, SIZE)
    log.trim("", 3)

    async def is_empty() -> bool:
        return not (await pages.read(room, 0, LIMIT, SIZE)).messages

    for _ in range(1000):
        if await is_empty():
            break
    assert await is_empty()


async def test_failure_is_everybodys_and_not_kept() -> None:
    """Nor does one who goes away meanwhile take the page from the others."""
    log = log_of(1)
    pages, room = SharedPages(log), Room("", 1)
    log.is_unreadable = True
    asked = [asyncio.ensure_future(pages.read(room, 0, LIMIT, SIZE)) for _ in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in found] == [asyncio.CancelledError, LogError, LogError]
    log.is_unreadable = False
    assert (await pages.read(room, 0, LIMIT, SIZE)).last_id == 1


async def test_class_that_joins_reads_its_history_once() -> None:
    """Each of them hears all of it all the same."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    for number in range(30):
        await ana.say(str(number))
    await come_true(lambda: len(ana.texts) == 30)
    reads = chat.log.reads
    pupils = await asyncio.gather(*(chat.join(f"p{number}", history=20) for number in range(40)))
    await come_true(lambda: all(len(pupil.texts) == 20 for pupil in pupils))
    assert all(pupil.texts == ana.texts[-20:] for pupil in pupils)
    assert chat.log.reads == reads + 1
