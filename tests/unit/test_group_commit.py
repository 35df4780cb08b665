"""Group commit without a storage: what waits, what fails, and what the thread survives."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from rooms import bounded, come_true
from support import DEADLINE_SECONDS

import chat_pb2
from chat.server import appending
from chat.server.log import group_commit, writer_thread
from chat.server.log.base import Deliver, Entry, LogError, Problem
from chat.server.log.group_commit import GroupCommit
from chat.server.log.writer_thread import Group, Notes


def entry(text: str = "oi") -> Entry:
    return Entry("", "ana", chat_pb2.Message(user="ana", message=text))


class Storage:
    """Commits by remembering; waits while the gate is closed, and raises what it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[Entry]] = []
        self.notes: list[Notes] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def commit(self, group: Group) -> None:
        assert self.gate.wait(DEADLINE_SECONDS)
        if self.error is not None:
            raise self.error
        self.groups.append(group.entries)
        self.notes.append(group.notes)


@asynccontextmanager
async def started(
    storage: Storage,
    deliver: Deliver = lambda entries: None,
    tidy: Callable[[], float | None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> AsyncIterator[GroupCommit]:
    writer = GroupCommit(storage.commit, tidy, clock=clock)
    writer.start(deliver)
    try:
        yield writer
    finally:
        storage.gate.set()
        await writer.close()


async def test_log_that_is_behind_asks_to_wait() -> None:
    """`wait_for_space()` returns only when fewer wait than the log likes to hold."""
    storage = Storage()
    async with started(storage) as writer:
        storage.gate.clear()
        for _number in range(group_commit.MAX_WAITING):
            writer.append(entry())
        space = asyncio.ensure_future(writer.wait_for_space())
        await asyncio.sleep(0)
        assert not space.done()
        storage.gate.set()
        await bounded(space)
        await bounded(writer.flush())
        await bounded(writer.wait_for_space())


async def test_one_that_fits_does_not_wait() -> None:
    """One less than the limit leaves room for one."""
    storage = Storage()
    async with started(storage) as writer:
        storage.gate.clear()
        for _number in range(group_commit.MAX_WAITING - 1):
            writer.append(entry())
        await bounded(writer.wait_for_space())


@pytest.mark.parametrize("error", [OSError("gone"), KeyError("bug"), RecursionError()])
async def test_any_exception_of_a_commit_loses_its_group_alone(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread goes on, the entries say what became of them, and a line is logged, once."""
    storage = Storage()
    async with started(storage) as writer:
        storage.error = error
        lost = [entry(), entry()]
        for one in lost:
            writer.append(one)
            await bounded(writer.flush())
        storage.error = None
        kept = entry()
        writer.append(kept)
        await bounded(writer.flush())
    assert [one.is_lost for one in [*lost, kept]] == [True, True, False]
    assert [(record.levelno, record.exc_info) for record in caplog.records] == [
        (logging.ERROR, None)
    ]


async def test_delivery_that_fails_keeps_nobody_waiting() -> None:
    """A bug in what takes the group must not stop the log."""
    seen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))

    def deliver(entries: object) -> None:
        raise ZeroDivisionError

    storage = Storage()
    async with started(storage, deliver) as writer:
        for _number in range(3):
            writer.append(entry())
            await bounded(writer.flush())
    assert len(storage.groups) == 3
    assert [type(context["exception"]) for context in seen] == [ZeroDivisionError] * 3


async def test_what_is_appended_during_a_commit_is_the_next_group() -> None:
    """In the order in which it was appended, and at most `MAX_GROUP` at a time."""
    storage = Storage()
    delivered: list[Entry] = []
    async with started(storage, delivered.extend) as writer:
        storage.gate.clear()
        entries = [entry(str(number)) for number in range(2 * group_commit.MAX_GROUP + 1)]
        for one in entries:
            writer.append(one)
        storage.gate.set()
        await bounded(writer.flush())
    assert delivered == entries
    assert [len(group) for group in storage.groups] == [
        group_commit.MAX_GROUP,
        group_commit.MAX_GROUP,
        1,
    ]


async def tidied(tidy: Callable[[], float | None], is_done: threading.Event) -> Storage:
    """Run a log until its tidying is done, and then commit one more group."""
    storage = Storage()
    async with started(storage, tidy=tidy) as writer:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, is_done.wait, DEADLINE_SECONDS)
        writer.append(entry())
        await bounded(writer.flush())
    return storage


async def test_gathering_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a commit took, what came during it waits for a bounded time."""
    monkeypatch.setattr(group_commit, "GATHER_FACTOR", 1e9)
    monkeypatch.setattr(group_commit, "MAX_GATHER_SECONDS", 0.0)
    storage = Storage()
    async with started(storage) as writer:
        storage.gate.clear()
        writer.append(entry())
        await asyncio.sleep(0)  # it is on its way
        writer.append(entry())
        storage.gate.set()
        await bounded(writer.flush())
    assert len(storage.groups) == 2


async def test_what_is_enough_gathers_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many as in the last group: those who wait for an answer would wait for nothing.

    And so many in any case: one sender has no more under way.
    """
    monkeypatch.setattr(group_commit, "GATHER_FACTOR", 1e9)
    monkeypatch.setattr(group_commit, "MAX_GATHER_SECONDS", 1e9)
    assert group_commit.ENOUGH_MESSAGES <= appending.MAX_UNCOMMITTED
    sizes = [1]
    storage = Storage()
    async with started(storage) as writer:
        storage.gate.clear()
        writer.append(entry())
        await asyncio.sleep(0)  # it is on its way
        writer.append(entry())  # so that the next one gathers
        storage.gate.set()
        await come_true(lambda: writer.waiting == 1)
        size = 1
        while size < group_commit.ENOUGH_MESSAGES:
            size = min(group_commit.GROWTH * size, group_commit.ENOUGH_MESSAGES)
            storage.gate.clear()
            for _number in range(size - writer.waiting):
                writer.append(entry())
            await asyncio.sleep(0)  # it is on its way
            writer.append(entry())
            storage.gate.set()
            await come_true(lambda: writer.waiting == 1)
            sizes.append(size)
        for _number in range(group_commit.ENOUGH_MESSAGES - 1):
            writer.append(entry())
        await bounded(writer.flush())
    assert [len(group) for group in storage.groups] == [*sizes, group_commit.ENOUGH_MESSAGES]


class Delivering:
    """A delivery that takes so many seconds of a clock that goes by nothing else but `add`."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self._seconds = seconds

    def __call__(self, _entries: object) -> None:
        self.add(self._seconds)

    def add(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now


async def test_after_a_costly_delivery_the_next_group_gathers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For a multiple of what it took, however short the commit: a log in memory takes no time."""
    loop = asyncio.get_running_loop()
    deliver, storage = Delivering(seconds := 0.001), Storage()
    async with started(storage, deliver, clock=deliver.clock) as writer:
        with monkeypatch.context() as frozen:
            frozen.setattr(loop, "time", deliver.clock)
            writer.append(entry())
            await bounded(writer.flush())
            writer.append(entry())
            deliver.add(0.9 * group_commit.GATHER_FACTOR * seconds)
            await asyncio.sleep(0)
            assert writer.waiting == 1 == len(storage.groups)
            deliver.add(0.2 * group_commit.GATHER_FACTOR * seconds)
            await bounded(writer.flush())
    assert [len(group) for group in storage.groups] == [1, 1]


async def test_lone_message_to_a_few_makes_the_next_one_wait_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its delivery takes some time to a few clients as well, but no other follows it.

    What it takes is measured finely: the clock of uvloop, in milliseconds, would often say one.
    """
    loop = asyncio.get_running_loop()
    deliver, storage = Delivering(0.0004), Storage()
    async with started(storage, deliver, clock=deliver.clock) as writer:
        with monkeypatch.context() as frozen:
            frozen.setattr(loop, "time", lambda: float(int(deliver.now)))
            for count in range(1, 4):
                writer.append(entry())
                await bounded(writer.flush())
                assert len(storage.groups) == count


async def test_lone_message_makes_the_next_one_wait_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long its commit took, where nothing more has come meanwhile."""
    monkeypatch.setattr(group_commit, "GATHER_FACTOR", 1e9)
    monkeypatch.setattr(group_commit, "MAX_GATHER_SECONDS", 1e9)
    deliver, storage = Delivering(0.0), Storage()
    async with started(storage, deliver, clock=deliver.clock) as writer:
        for count in range(1, 4):
            writer.append(entry())
            await bounded(writer.flush())
            assert len(storage.groups) == count


async def test_tidying_goes_on_between_the_groups_until_it_wants_no_more() -> None:
    """It is called at once when it asks for it, and never again after None."""
    answers: list[float | None] = [0.0, 0.0, None]
    is_done = threading.Event()
    calls = 0

    def tidy() -> float | None:
        nonlocal calls
        calls += 1
        answer = answers.pop(0)
        if answer is None:
            is_done.set()
        return answer

    await tidied(tidy, is_done)
    assert calls == 3


async def test_tidying_that_fails_is_tried_again_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends neither the thread nor itself."""
    monkeypatch.setattr(writer_thread, "TRY_AGAIN_SECONDS", 0.0)
    is_done = threading.Event()
    calls = 0

    def tidy() -> float | None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ValueError("no")
        is_done.set()
        return None

    storage = await tidied(tidy, is_done)
    assert [len(group) for group in storage.groups if group] == [1]
    assert [record.getMessage() for record in caplog.records] == ["no"]


async def test_tidying_that_fails_does_not_come_between_the_next_groups() -> None:
    """On a disk that is full, each commit would otherwise be followed by one that fails."""
    calls: list[int] = []

    def tidy() -> float | None:
        calls.append(len(storage.groups))
        raise OSError("full")

    storage = Storage()
    async with started(storage, tidy=tidy) as writer:
        for _number in range(5):
            writer.append(entry())
            await bounded(writer.flush())
    assert len(calls) == 1 and len(storage.groups) == 5


async def test_closing_a_log_that_was_never_started() -> None:
    """There is no thread to wait for."""
    await bounded(GroupCommit(Storage().commit).close())


async def test_note_goes_with_the_next_group() -> None:
    """With no commit of its own; the latest one under a key counts."""
    storage = Storage()
    ana, bia = "ana", "bia"
    async with started(storage) as writer:
        writer.keep("name", "a", "anna")
        writer.keep("name", "a", ana)
        writer.keep("name", "b", bia)
        writer.append(entry())
        await bounded(writer.flush())
        assert storage.notes == [{("name", "a"): ana, ("name", "b"): bia}]
        writer.keep("name", "b", None)
        writer.append(entry())
        await bounded(writer.flush())
        assert storage.notes[1:] == [{("name", "b"): None}]


async def test_note_that_no_message_follows_is_written_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A moment later, or at the end."""
    monkeypatch.setattr(group_commit, "NOTE_SECONDS", 0.01)
    storage = Storage()
    async with started(storage) as writer:
        writer.keep("name", "a", "ana")
        while not storage.notes:
            await asyncio.sleep(0)
        assert storage.groups == [[]]
        writer.keep("name", "a", None)
    assert storage.notes == [{("name", "a"): "ana"}, {("name", "a"): None}]


async def test_note_of_a_lost_group_is_written_with_the_next() -> None:
    """Unless a later one has replaced it."""
    storage = Storage()
    async with started(storage) as writer:
        storage.error = OSError("full")
        writer.keep("name", "a", "ana")
        writer.keep("name", "b", "bia")
        writer.append(entry())
        await bounded(writer.flush())
        storage.error = None
        writer.keep("name", "b", None)
        writer.append(entry())
        await bounded(writer.flush())
    assert storage.notes[0] == {("name", "a"): "ana", ("name", "b"): None}


@pytest.mark.parametrize("error", [None, OSError("full")], ids=["written", "lost"])
async def test_note_that_came_during_a_commit_does_not_wait_for_another_message(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does one whose own group was lost: a moment later it is tried again."""
    monkeypatch.setattr(group_commit, "NOTE_SECONDS", 0.01)
    storage = Storage()
    storage.gate.clear()
    async with started(storage) as writer:
        writer.append(entry())
        writer.keep("name", "a", "ana")
        await asyncio.sleep(0)  # the group is handed over
        writer.keep("name", "b", "bia")
        storage.error = error
        storage.gate.set()
        await bounded(writer.flush())
        storage.error = None
        await bounded(noted(storage, {("name", "a"), ("name", "b")}))


async def noted(storage: Storage, keys: set[tuple[str, str]]) -> None:
    """Return when something has been written under each key."""
    while not keys <= {key for notes in storage.notes for key in notes}:
        await asyncio.sleep(0)


# What becomes of trouble.


class Reports:
    """What was said of the log's trouble, in order; None: its end."""

    def __init__(self) -> None:
        self.problems: list[Problem | None] = []

    def __call__(self, trouble: LogError | None) -> None:
        self.problems.append(trouble.problem if trouble else None)

    async def become(self, *problems: Problem | None) -> None:
        """Return when it was said what is expected."""

        async def poll() -> None:
            while self.problems != list(problems):
                await asyncio.sleep(0)

        await bounded(poll())


async def test_trouble_is_reported_once_and_its_end_too_though_nobody_writes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether writing works again is tried by itself."""
    monkeypatch.setattr(writer_thread, "TRY_AGAIN_SECONDS", 0.0)
    storage, reports = Storage(), Reports()
    writer = GroupCommit(storage.commit, lambda: 3600.0)
    writer.start(lambda entries: None, reports)
    storage.error = LogError(Problem.FULL, "chat.db")
    for _ in range(2):
        writer.append(entry())
        await bounded(writer.flush())
    await reports.become(Problem.FULL)
    storage.error = None
    await reports.become(Problem.FULL, None)
    storage.error = LogError(Problem.UNUSABLE, "chat.db")
    writer.append(entry())
    await reports.become(Problem.FULL, None, Problem.UNUSABLE)
    storage.error = None
    await bounded(writer.close())
    assert len(caplog.records) <= 2


async def test_trouble_that_tidying_finds_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was removed, say: there nothing comes back."""
    monkeypatch.setattr(writer_thread, "TRY_AGAIN_SECONDS", 0.0)
    storage, reports = Storage(), Reports()

    def tidy() -> float:
        raise LogError(Problem.REMOVED, "chat.db")

    writer = GroupCommit(storage.commit, tidy)
    writer.start(lambda entries: None, reports)
    await reports.become(Problem.REMOVED)
    writer.append(entry())
    await bounded(writer.flush())
    await bounded(writer.close())
    assert reports.problems == [Problem.REMOVED]


async def test_group_that_is_wrong_is_no_trouble_of_the_log() -> None:
    """Only its senders hear of it."""
    storage, reports = Storage(), Reports()
    writer = GroupCommit(storage.commit)
    writer.start(lambda entries: None, reports)
    storage.error = KeyError("bug")
    one = entry()
    writer.append(one)
    await bounded(writer.flush())
    storage.error = None
    await bounded(writer.close())
    assert one.is_lost and reports.problems == []


async def test_disk_that_does_not_answer_is_reported_and_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits for it once the log is in a hurry; it may answer yet."""
    monkeypatch.setattr(group_commit, "SILENT_SECONDS", 0.0)
    storage, reports = Storage(), Reports()
    writer = GroupCommit(storage.commit)
    storage.gate.clear()
    writer.start(lambda entries: None, reports)
    writer.append(entry())
    await reports.become(Problem.SILENT)
    writer.hurry(0.0)
    await bounded(writer.flush())
    with pytest.raises(LogError) as trouble:
        await bounded(writer.close())
    assert trouble.value.problem is Problem.SILENT
    storage.gate.set()
    await reports.become(Problem.SILENT, None)


def end_thread(group: Group) -> None:
    """Commit by ending the writer's thread, as only a bug could."""
    raise SystemExit


async def test_thread_that_ends_loses_what_waits_aloud() -> None:
    """And what comes later; it is reported, and closing says so."""
    reports = Reports()
    delivered: list[Entry] = []
    writer = GroupCommit(end_thread)
    writer.start(delivered.extend, reports)
    entries = [entry() for _ in range(group_commit.MAX_GROUP + 1)]
    for one in entries:
        writer.append(one)
    await reports.become(Problem.STOPPED)
    late = entry()
    writer.append(late)
    await bounded(writer.flush())
    assert delivered == [*entries, late]
    assert all(one.is_lost for one in delivered)
    with pytest.raises(LogError) as trouble:
        await bounded(writer.close())
    assert trouble.value.problem is Problem.STOPPED


async def test_what_is_done_at_the_end_has_its_time_though_the_log_is_in_a_hurry() -> None:
    """A large log that is saved, say: it is the disk that is given up, not this."""
    storage, is_finished = Storage(), threading.Event()

    def finish() -> None:
        assert given_up.wait(DEADLINE_SECONDS)
        is_finished.set()

    given_up = threading.Event()
    writer = GroupCommit(storage.commit, finish=finish)
    writer.start(lambda entries: None)
    writer.append(entry())
    await bounded(writer.flush())
    writer.hurry(0.0)
    asyncio.get_running_loop().call_later(2 * group_commit.LAST_SECONDS, given_up.set)
    await bounded(writer.close())
    assert is_finished.is_set()
