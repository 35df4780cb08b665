"""The log in real SQLite: what is committed, what survives, and what a failing disk does."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support import DEADLINE_SECONDS

import chat_pb2
from chat.server.log import (
    checking,
    checkpoints,
    files,
    group_commit,
    maintenance,
    sqlite_file,
    sqlite_writer,
)
from chat.server.log.base import MAX_PAGE_BYTES, Entry, LogError, Missing, Problem
from chat.server.log.files import IN_MEMORY
from chat.server.log.log_clock import DAY as DAY_MICROSECONDS
from chat.server.log.log_clock import LEAP_LASTS_SECONDS, Clocks
from chat.server.log.migrations import APPLICATION_ID, SCHEMA_VERSION
from chat.server.log.sqlite import SqliteLog

ROOM = ""
NOBODY = 65534  # the user without rights of Linux; on other systems any that owns nothing
# How long a test waits for what must not happen.
HELD_SECONDS = 0.2


class Deliveries:
    """What the log has delivered: the groups, and the entries in them."""

    def __init__(self) -> None:
        self.groups: list[list[Entry]] = []

    def __call__(self, entries: Sequence[Entry]) -> None:
        self.groups.append(list(entries))

    @property
    def entries(self) -> list[Entry]:
        return [entry for group in self.groups for entry in group]

    @property
    def ids(self) -> list[int]:
        return [entry.message.id for entry in self.entries if not entry.is_lost]


class OpenLog:
    """A log that is started, and what it delivered."""

    def __init__(self, log: SqliteLog) -> None:
        self.log = log
        self.delivered = Deliveries()

    def say(self, text: str, user: str = "ana", key: str = "", room: str = ROOM) -> Entry:
        """Append a message, and return its entry."""
        message = chat_pb2.Message(user=user, message=text, key=key)
        entry = Entry(room, user, message)
        self.log.append(entry)
        return entry

    async def said(self, text: str, **options: str) -> Entry:
        """Append a message and wait for what became of it."""
        entry = self.say(text, **options)
        await self.log.flush()
        return entry

    async def texts(self, room: str = ROOM, after: int = 0, limit: int = 10_000) -> list[str]:
        """Read from the log."""
        return [m.message for m in await self.log.read(room, after, limit)]


@asynccontextmanager
async def opened(path: str | Path, **options: Any) -> AsyncIterator[OpenLog]:
    """Open and start the log in `path`, and close it afterwards."""
    log = OpenLog(SqliteLog(str(path), **options))
    log.log.start(log.delivered)
    try:
        yield log
    finally:
        await log.log.close()


@pytest.fixture(params=["file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The two homes of the log."""
    return IN_MEMORY if request.param == "memory" else str(tmp_path / "chat.db")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "chat.db"


async def missing_at(log: OpenLog, room: str, after: int, generation: str = "") -> Missing:
    """Return what somebody who has seen the id `after` of `room` will not get."""
    (place,) = await log.log.find_places([(room, after)], generation, 0)
    return place.missing


def rows_of(db: Path) -> list[str]:
    """Return the texts in a log file, read by another connection."""
    connection = sqlite3.connect(db)
    try:
        return [row[0] for row in connection.execute("SELECT message FROM message ORDER BY id")]
    finally:
        connection.close()


def problem_of(path: str | Path, **options: Any) -> Problem:
    """Return why the log refuses to open."""
    with pytest.raises(LogError) as refusal:
        SqliteLog(str(path), **options).abandon()
    assert str(path) in str(refusal.value)
    return refusal.value.problem


# What is appended.


async def test_ids_and_times_grow(place: str) -> None:
    """Each message gets an id above all before it, and the time of its commit in UTC."""
    before = time.time_ns()
    async with opened(place) as log:
        for number in range(100):
            log.say(str(number))
        await log.log.flush()
        ids = log.delivered.ids
        times = [entry.message.sent_at.ToNanoseconds() for entry in log.delivered.entries]
    assert ids == sorted(set(ids)) and len(ids) == 100 and ids[0] > 0
    assert times == sorted(times)
    assert before - 1000 <= times[0] and times[-1] <= time.time_ns()


async def test_what_is_read_is_what_was_said(place: str) -> None:
    """With its id, its time and its key."""
    async with opened(place) as log:
        entry = await log.said("çã 😀\n\tzwei", user="Ana Maria", key="k")
        await log.said("no key")
        read = await log.log.read(ROOM, 0, 10)
        assert read[0] == entry.message
        assert [m.key for m in read] == ["k", ""]


async def test_messages_without_a_key_are_never_repeats(place: str) -> None:
    """No key is not the same key."""
    async with opened(place) as log:
        await log.said("oi")
        await log.said("oi")
        assert await log.texts() == ["oi", "oi"]


async def test_key_is_appended_once(place: str) -> None:
    """The second time, also within one group, gives the first result and adds nothing."""
    async with opened(place) as log:
        first, second = log.say("oi", key="k"), log.say("changed", key="k")
        third = await log.said("later", key="k", room="sala")
        other = await log.said("bia's", user="bia", key="k")
        assert not first.is_repeated and second.is_repeated and third.is_repeated
        assert first.message == second.message == third.message
        assert third.room == ROOM
        assert not other.is_repeated
        assert await log.texts() == ["oi", "bia's"]


@pytest.mark.parametrize(
    "repeats", [{0: -1}, {6: 0}, {63: 0}, {72: 66, 71: -1, 69: 3}, {0: -1, 2: -1, 5: 3, 60: 6}]
)
async def test_repeats_among_many_are_told_apart(place: str, repeats: dict[int, int]) -> None:
    """Of many that are written at once, some without a key; -1 was there long before."""
    keys = ["" if n % 3 == 1 else f"k{repeats.get(n, n)}" for n in range(73)]
    async with opened(place) as log:
        old = await log.said("old", key="k-1")
        entries = [log.say(str(n), key=key) for n, key in enumerate(keys)]
        await log.log.flush()
        for n, entry in enumerate(entries):
            original = ([*entries, old][repeats[n]]) if n in repeats else entry
            assert entry.is_repeated == (n in repeats)
            assert entry.message == original.message
        said = [str(n) for n in range(73) if n not in repeats]
        assert await log.texts() == ["old", *said]
        assert [entry.message.message for entry in entries if not entry.is_repeated] == said
        read = await log.log.read(ROOM, 0, 100)
        new = [entry.message for entry in entries if not entry.is_repeated]
        assert read == [old.message, *new]


async def test_key_is_appended_once_after_a_restart(db: Path) -> None:
    """For ever means: also when the file is opened again."""
    async with opened(db) as log:
        first = await log.said("oi", key="k")
    async with opened(db) as log:
        again = await log.said("oi", key="k")
        assert again.is_repeated and again.message == first.message
        new = await log.said("tchau")
        assert new.message.id > first.message.id
        assert await log.texts() == ["oi", "tchau"]


async def test_time_never_runs_backwards(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was put back, even before a restart, gives no earlier time."""
    async with opened(db) as log:
        first = await log.said("um")
    an_hour_ago = time.time_ns() - 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: an_hour_ago)
    async with opened(db) as log:
        second = await log.said("dois")
    assert second.message.sent_at.ToNanoseconds() >= first.message.sent_at.ToNanoseconds()


async def test_ids_are_never_given_twice(db: Path) -> None:
    """Not even when the newest message was removed from the file."""
    async with opened(db) as log:
        last = (await log.said("oi")).message.id
    connection = sqlite3.connect(db)
    with connection:
        connection.execute("DELETE FROM message")
    connection.close()
    async with opened(db) as log:
        assert await log.log.last_id() == last
        assert (await log.said("oi")).message.id > last


async def test_delivery_is_in_the_order_of_the_log_and_of_the_senders(place: str) -> None:
    """Groups come one after the other, each in the order in which it was appended."""
    async with opened(place) as log:
        for number in range(5000):
            log.say(str(number))
        await log.log.flush()
        assert [entry.message.message for entry in log.delivered.entries] == [
            str(number) for number in range(5000)
        ]
        assert log.delivered.ids == sorted(log.delivered.ids)
        texts: list[str] = []
        while page := await log.texts(after=len(texts)):
            texts += page
        assert texts == [str(number) for number in range(5000)]


# Group commit.


class Traced(sqlite3.Connection):
    """A connection that counts its commits and notes what it is told."""

    statements: list[str]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.statements = []
        self.set_trace_callback(self.statements.append)

    @property
    def commits(self) -> int:
        return self.statements.count("COMMIT")


_Connection = TypeVar("_Connection", bound=sqlite3.Connection)


def connections(factory: type[_Connection]) -> tuple[list[_Connection], Callable[..., Any]]:
    """Return a `connect` and the list of the connections it will have made; the first writes."""
    made: list[_Connection] = []

    def connect(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection = sqlite3.connect(*arguments, factory=factory, **named)
        assert isinstance(connection, factory)
        made.append(connection)
        return connection

    return made, connect


async def test_many_messages_share_a_commit(db: Path) -> None:
    """What waits while a group is on its way to the disk is one group."""
    made, connect = connections(Traced)
    async with opened(db, connect=connect) as log:
        writer = made[0]
        before = writer.commits
        for number in range(5000):
            log.say(str(number))
        await log.log.flush()
        commits = writer.commits - before
        assert commits == len(log.delivered.groups)
        # Five full groups, and some small ones while the first messages are being appended.
        assert commits <= 20
        assert max(map(len, log.delivered.groups)) <= group_commit.MAX_GROUP


async def test_single_message_does_not_wait_for_others(db: Path) -> None:
    """When idle, each is a group of its own."""
    made, connect = connections(Traced)
    async with opened(db, connect=connect) as log:
        before = made[0].commits
        for number in range(5):
            await log.said(str(number))
        assert made[0].commits - before == 5


async def test_every_commit_is_on_disk(db: Path) -> None:
    """The connection that writes has WAL and synchronous=FULL (2), which fsyncs each commit."""
    made, connect = connections(Traced)
    async with opened(db, connect=connect):
        assert made[0].execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert made[0].execute("PRAGMA synchronous").fetchone() == (2,)
        # On macOS a plain fsync leaves it to the disk when to write.
        assert made[0].execute("PRAGMA fullfsync").fetchone() == (1,)
        assert made[0].execute("PRAGMA checkpoint_fullfsync").fetchone() == (1,)


async def test_closing_commits_what_waits(db: Path) -> None:
    """And ends the threads."""
    before = threading.active_count()
    async with opened(db) as log:
        for number in range(1000):
            log.say(str(number))
    assert len(rows_of(db)) == 1000
    assert threading.active_count() <= before + 1  # the loop's own executor


# Reading.


async def test_pages_follow_each_other(place: str) -> None:
    """Up to `limit` messages above an id, in order, of one room."""
    async with opened(place) as log:
        for number in range(10):
            log.say(f"{number}", room="sala")
            log.say("elsewhere", room="outra")
        await log.log.flush()
        heard: list[str] = []
        after = 0
        while page := await log.log.read("sala", after, 3):
            assert len(page) <= 3
            heard += [m.message for m in page]
            after = page[-1].id
        assert heard == [str(number) for number in range(10)]


async def test_last_messages_begin_where_they_should(place: str) -> None:
    """The id after which the last `count` of a room begin, however many others lie between."""
    async with opened(place) as log:
        assert await log.log.start_of_last("sala", 3) == 0
        assert await log.log.last_id() == 0
        for number in range(10):
            log.say(f"{number}", room="sala")
            log.say("elsewhere", room="outra")
        await log.log.flush()
        for count in (1, 3, 9, 10, 11, 1000):
            start = await log.log.start_of_last("sala", count)
            expected = [str(number) for number in range(max(0, 10 - count), 10)]
            assert await log.texts("sala", start) == expected
        start = await log.log.start_of_last("sala", 0)
        assert await log.texts("sala", start) == []


async def test_messages_of_a_room_between_two_ids_are_counted(place: str) -> None:
    """Above the first, up to the second, and no more than asked for."""
    async with opened(place) as log:
        for number in range(10):
            log.say(f"{number}", room="sala")
            log.say("elsewhere", room="outra")
        await log.log.flush()
        ids = [message.id for message in await log.log.read("sala", 0, 100)]
        assert await log.log.count("sala", 0, ids[-1], 100) == 10
        assert await log.log.count("sala", ids[1], ids[4], 100) == 3
        assert await log.log.count("sala", ids[1], ids[4], 2) == 2
        assert await log.log.count("nowhere", 0, ids[-1], 100) == 0


async def test_epoch_is_the_identity_of_the_file(tmp_path: Path) -> None:
    """The same over reopening, another for another log."""
    epochs = []
    for name in ("a.db", "a.db", "b.db"):
        async with opened(tmp_path / name) as log:
            epochs.append(log.log.epoch)
    assert epochs[0] == epochs[1] != epochs[2]
    assert len(epochs[0]) == 32


async def test_memory_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`:memory:` keeps the history only while running, and makes no file."""
    monkeypatch.chdir(tmp_path)
    async with opened(IN_MEMORY) as log, opened(IN_MEMORY) as other:
        await log.said("oi")
        assert await other.texts() == []
    async with opened(IN_MEMORY) as log:
        assert await log.texts() == []
    assert not list(tmp_path.iterdir())


# Trimming.


def age(db: Path, days: float, below: int) -> None:
    """Make the messages up to the id `below` older."""
    connection = sqlite3.connect(db)
    with connection:
        connection.execute(
            "UPDATE message SET sent_at = sent_at - ? WHERE id <= ?",
            (int(days * DAY_MICROSECONDS), below),
        )
    connection.close()


async def test_old_messages_are_trimmed_and_the_gap_is_known(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--retain` days are kept; each room knows from where it still has everything."""
    monkeypatch.setattr(sqlite_writer, "TRIM_ROWS", 4)  # several portions
    async with opened(db) as log:
        for number in range(10):
            log.say(f"{number}")
        log.say("quiet room", room="sala")
        for number in range(10, 15):
            log.say(f"{number}")
        await log.log.flush()
    age(db, days=3, below=10)
    async with opened(db, retain_days=2) as log:
        await log.said("now")  # trimming goes on between the groups
        await trimmed(log, 10)
        assert await log.texts() == [*map(str, range(10, 15)), "now"]
        assert await log.texts("sala") == ["quiet room"]
        assert await missing_at(log, ROOM, 9) is Missing.TRIMMED
        assert await missing_at(log, ROOM, 10) is Missing.NOTHING
        assert await missing_at(log, ROOM, 12) is Missing.NOTHING
        assert await missing_at(log, "sala", 0) is Missing.NOTHING
        assert await missing_at(log, "never seen", 0) is Missing.NOTHING


NEWEST_ROW = (
    "INSERT INTO message (sent_at, room, user, message, sender) VALUES (?, '', 'u', 'newest', 'u')"
)


class FakeClocks:
    """A clock on the wall (microseconds), as a test says, while no time passes."""

    def __init__(self, wall: int) -> None:
        self.wall = wall
        self.clocks = Clocks(lambda: self.wall, lambda: 0.0)


async def test_messages_are_kept_for_their_days_to_the_microsecond(db: Path) -> None:
    """What is just as old as is kept stays."""
    now = time.time_ns() // 1000
    clock = FakeClocks(now - 1)
    async with opened(db, clocks=clock.clocks) as log:
        await log.said("old")
        clock.wall = now
        await log.said("young")
        clock.wall = now + int(1.5 * DAY_MICROSECONDS)
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute(NEWEST_ROW, (clock.wall,))
    async with opened(db, retain_days=1.5, clocks=clock.clocks) as log:
        await trimmed(log, 1)
        assert await log.texts() == ["young", "newest"]


class FailingTrim(sqlite3.Connection):
    """A connection on which looking for old messages fails, the first time."""

    has_failed = False

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql.startswith("SELECT id, room, sent_at") and not self.has_failed:
            self.has_failed = True
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *parameters)


async def test_trimming_that_fails_does_not_end_the_writer(
    db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is said afterwards is still committed, and the failure is logged in a line."""

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return sqlite3.connect(*arguments, **options, factory=FailingTrim)

    async with opened(db, retain_days=1, connect=connect) as log:
        await log.said("first")
        await eventually_async(lambda: bool(caplog.records))
        entry = await asyncio.wait_for(log.said("second"), 10)
        assert not entry.is_lost
    assert [record.exc_info for record in caplog.records] == [None]


async def test_exception_of_any_sort_does_not_end_the_writer(db: Path) -> None:
    """The group is lost and says so; the next one is committed."""
    async with opened(db) as log:
        entry = Entry(ROOM, "\ud800", chat_pb2.Message(user="ana", message="no text for SQLite"))
        log.log.append(entry)
        await log.log.flush()
        assert entry.is_lost
        assert not (await log.said("fine")).is_lost


async def eventually_async(predicate: Callable[[], bool]) -> None:
    """Return when `predicate()` is true; fail after ten seconds."""
    for _ in range(1000):
        if predicate():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


async def trimmed(log: OpenLog, count: int) -> None:
    """Wait until the log has removed its first `count` messages."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while min((m.id for m in await log.log.read(ROOM, 0, 1)), default=0) <= count:
        assert time.monotonic() < deadline, await log.texts()
        await asyncio.sleep(0)


async def test_without_retain_nothing_is_ever_removed(db: Path) -> None:
    """0 days is for ever."""
    async with opened(db) as log:
        await log.said("um")
    age(db, days=10_000, below=1)
    async with opened(db) as log:
        await log.said("dois")
        assert await log.texts() == ["um", "dois"]
        assert await missing_at(log, ROOM, 0) is Missing.NOTHING


async def test_trimming_keeps_the_ids_growing(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when nothing at all was left, and over a restart."""
    monkeypatch.setattr(sqlite_writer, "TRIM_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(sqlite_writer, "WATCH_SECONDS", 0.0)
    async with opened(db) as log:
        last = (await log.said("um")).message.id
    age(db, days=3, below=last)
    # Three days have passed since the last message, by a clock that has said so for a day.
    now = time.time_ns() // 1000
    passing = itertools.count(0.0, LEAP_LASTS_SECONDS / 10)
    clocks = Clocks(lambda: now, lambda: next(passing))
    async with opened(db, retain_days=1, clocks=clocks) as log:
        await emptied(log)
        assert await log.log.last_id() == last
        assert await missing_at(log, ROOM, 0) is Missing.TRIMMED
    async with opened(db, retain_days=1) as log:
        assert (await log.said("dois")).message.id > last
        assert await missing_at(log, ROOM, 0) is Missing.TRIMMED


async def emptied(log: OpenLog) -> None:
    """Wait until the log has removed everything."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while await log.texts():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


# Files that are no log.


async def test_second_server_on_the_same_file_is_refused(db: Path) -> None:
    """It says so; and once the first is gone, it may."""
    async with opened(db):
        assert problem_of(db) is Problem.IN_USE
    async with opened(db) as log:
        await log.said("oi")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links here")
async def test_second_server_is_refused_through_another_path(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link, or another way to write the same path, leads to the same file."""
    link = db.with_name("link.db")
    link.symlink_to(db)
    monkeypatch.chdir(db.parent)
    async with opened(db):
        assert problem_of(link) is Problem.IN_USE
        assert problem_of("./chat.db") is Problem.IN_USE


@pytest.mark.parametrize("where", ["nowhere/chat.db", "file/chat.db"])
def test_folder_that_cannot_hold_the_file_is_one_sentence(tmp_path: Path, where: str) -> None:
    """A folder that is not there, or is none."""
    (tmp_path / "file").write_text("")
    assert problem_of(tmp_path / where) is Problem.NO_FOLDER
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folder_as_the_file_is_one_sentence(tmp_path: Path) -> None:
    """A path that is a folder is not a database, and gets no lock beside it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    assert problem_of(folder) is Problem.FOLDER
    assert list(tmp_path.iterdir()) == [folder]


@contextmanager
def no_superuser() -> Iterator[None]:
    """Be nobody for the length of the block, if we are root, who may write in any folder."""
    if is_root := os.geteuid() == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="folders have no such rights there")
def test_read_only_folder_is_one_sentence() -> None:
    """The rights of the folder decide, since WAL makes files beside the log."""
    # Not pytest's own folder, which others may not enter.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        with no_superuser():
            assert os.listdir(folder) == []
            assert problem_of(Path(folder, "chat.db")) is Problem.READ_ONLY
        os.chmod(folder, 0o700)


def test_read_only_file_is_one_sentence(db: Path) -> None:
    """It is found on opening, not by the first message that cannot be kept."""
    SqliteLog(str(db)).abandon()

    assert problem_of(db, connect=read_only) is Problem.READ_ONLY


def read_only(path: str, **options: Any) -> sqlite3.Connection:
    """Connect as to a file on a read-only disk."""
    connection: sqlite3.Connection = sqlite3.connect(
        f"{Path(path).as_uri()}?mode=ro", uri=True, **options
    )
    return connection


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"\0" * 4096, b"x" * 100])
def test_file_that_is_no_database_is_one_sentence(db: Path, content: bytes) -> None:
    """And it stays as it was, without a lock beside it."""
    db.write_bytes(content)
    assert problem_of(db) is Problem.FOREIGN
    assert db.read_bytes() == content and list(db.parent.iterdir()) == [db]


async def test_damaged_log_is_one_sentence(db: Path) -> None:
    """Pages overwritten in the middle of the file are found on opening."""
    async with opened(db) as log:
        for _ in range(500):
            log.say("x" * 100)
        await log.log.flush()
    size = db.stat().st_size
    with db.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    assert problem_of(db) is Problem.DAMAGED


def test_schema_that_is_no_text_is_a_damaged_log(db: Path) -> None:
    """SQLite quotes it in its words, which then are no UTF-8 either."""
    SqliteLog(str(db)).abandon()
    content = db.read_bytes()
    assert content.count(b"CREATE TABLE record") == 1
    db.write_bytes(content.replace(b"CREATE TABLE record", b"CREATE T\xc8BLE record"))
    assert problem_of(db) is Problem.DAMAGED
    with pytest.raises(LogError) as trouble:
        maintenance.check(str(db))
    assert trouble.value.problem is Problem.DAMAGED


def test_connection_to_a_damaged_log_is_closed(db: Path) -> None:
    """Also where its first statement already fails: nobody else could."""
    SqliteLog(str(db)).abandon()
    os.truncate(db, db.stat().st_size - 4096)
    made, connect = connections(Traced)
    assert problem_of(db, connect=connect) is Problem.DAMAGED
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    assert made


def test_truncated_log_is_one_sentence(db: Path) -> None:
    """Half a file is a damaged one."""
    SqliteLog(str(db)).abandon()
    with db.open("r+b") as file:
        file.truncate(db.stat().st_size - 4096)
    assert problem_of(db) is Problem.DAMAGED


def test_database_of_another_program_is_left_alone(db: Path) -> None:
    """Somebody's contacts are no log."""
    connection = sqlite3.connect(db)
    with connection:
        connection.execute("CREATE TABLE contact (name TEXT)")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    before = db.read_bytes()
    assert problem_of(db) is Problem.FOREIGN
    assert db.read_bytes() == before


def test_log_of_a_later_version_is_left_alone(db: Path) -> None:
    """Its tables may mean something else."""
    SqliteLog(str(db)).abandon()
    connection = sqlite3.connect(db)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    assert problem_of(db) is Problem.NEWER


def test_file_says_whose_it_is(db: Path) -> None:
    """`file chat.db` and other tools see it by the application id."""
    SqliteLog(str(db)).abandon()
    connection = sqlite3.connect(db)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    connection.close()


def test_empty_file_becomes_a_log(db: Path) -> None:
    """As from `touch`, or from a first start that was killed at once."""
    db.touch()
    SqliteLog(str(db)).abandon()
    SqliteLog(str(db)).abandon()


# Disks that fail.


async def test_full_disk_loses_nothing_that_was_accepted(db: Path) -> None:
    """What does not fit is answered as lost and is not in the log; with room it goes on."""
    made, connect = connections(Traced)
    async with opened(db, connect=connect) as log:
        writer = made[0]
        await log.said("before")
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages}")
        lost = [await log.said("x" * 8000) for _ in range(5)]
        assert all(entry.is_lost for entry in lost)
        assert not any(entry.message.id for entry in lost)
        assert await log.texts() == ["before"]  # readers are served
        writer.execute("PRAGMA max_page_count = 100000")
        assert not (await log.said("after")).is_lost
        assert await log.texts() == ["before", "after"]
    assert rows_of(db) == ["before", "after"]


class Faulty(Traced):
    """A connection whose next statement that begins with `fault` fails; `is_dead`: all do."""

    fault: str = ""
    skip = 0
    is_dead = False

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if self.is_dead:
            raise sqlite3.OperationalError("disk I/O error")
        if self.fault and sql.lstrip().startswith(self.fault):
            if self.skip == 0:
                self.fault = ""
                raise sqlite3.OperationalError("disk I/O error")
            self.skip -= 1
        return super().execute(sql, *arguments)


@pytest.mark.parametrize(
    ("fault", "skip"),
    [("BEGIN", 0), *(("INSERT", skip) for skip in range(5)), ("SELECT", 0), ("COMMIT", 0)],
)
async def test_fault_at_any_statement_never_delivers_what_is_not_committed(
    db: Path, fault: str, skip: int
) -> None:
    """The whole group is lost and says so, nothing of it is in the file, and the next one goes."""
    made, connect = connections(Faulty)
    async with opened(db, connect=connect) as log:
        await log.said("before", key="k")
        writer = made[0]
        log.say("first")
        group = [log.say("twice", key="k"), *(log.say(str(number)) for number in range(4))]
        writer.fault, writer.skip = fault, skip
        await log.log.flush()
        committed = rows_of(db)
        for entry in log.delivered.entries:
            is_stored = entry.message.message in committed
            assert is_stored != entry.is_lost or entry.is_repeated
        assert any(entry.is_lost for entry in [*group, *log.delivered.entries])
        again = await log.said("after", key="again")
        assert not again.is_lost
        assert rows_of(db) == [*committed, "after"]
        assert writer.in_transaction is False


async def test_fault_that_also_breaks_the_rollback_delivers_nothing(db: Path) -> None:
    """A disk that is gone altogether: everything is lost aloud, until it is back."""
    made, connect = connections(Faulty)
    async with opened(db, connect=connect) as log:
        await log.said("before")
        writer = made[0]
        writer.is_dead = True
        lost = [await log.said(str(number)) for number in range(3)]
        assert all(entry.is_lost for entry in lost)
        writer.is_dead = False
        assert not (await log.said("after")).is_lost
    assert rows_of(db) == ["before", "after"]


@pytest.mark.parametrize("statement", ["COMMIT", "INSERT"])
async def test_fault_whose_rollback_fails_once_does_not_lose_the_next_group(
    db: Path, statement: str
) -> None:
    """A transaction that could not be rolled back must not swallow what comes after it."""
    made, connect = connections(Faulty)
    async with opened(db, connect=connect) as log:
        writer = made[0]
        fail_rollback_too(writer, statement)
        assert (await log.said("lost")).is_lost
        results = [await log.said(str(number)) for number in range(3)]
        assert not results[-1].is_lost
        stored = rows_of(db)
    for number, entry in enumerate(results):
        assert entry.is_lost == (str(number) not in stored)
    assert "lost" not in stored


def fail_rollback_too(writer: Faulty, statement: str) -> None:
    """Let `statement` fail, and the ROLLBACK after it."""
    writer.fault = statement
    real = Faulty.execute

    def execute(sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql == "ROLLBACK":
            writer.execute = real.__get__(writer)  # type: ignore[method-assign]
            raise sqlite3.OperationalError("disk I/O error")
        return real(writer, sql, *arguments)

    writer.execute = execute  # type: ignore[method-assign]


async def test_reader_that_fails_is_refused_with_its_reason(db: Path) -> None:
    """The writer goes on."""
    made, connect = connections(Faulty)
    async with opened(db, connect=connect) as log:
        await log.said("um")
        made[1].is_dead = True
        with pytest.raises(LogError):
            await log.texts()
        assert not (await log.said("dois")).is_lost
        made[1].is_dead = False
        assert await log.texts() == ["um", "dois"]


async def test_failure_is_told_once_until_it_is_over(
    db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk does not fill the log of the system as well."""
    made, connect = connections(Faulty)
    async with opened(db, connect=connect) as log:
        for _ in range(2):
            made[0].is_dead = True
            for _ in range(5):
                await log.said("lost")
            made[0].is_dead = False
            await log.said("kept")
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "lost" not in caplog.text


class HeldCommit(sqlite3.Connection):
    """Holds a COMMIT until somebody reads, or cannot read for a moment; then the COMMIT fails.

    Once it `is_armed`.
    """

    is_armed = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.is_holding = threading.Event()
        self.is_read = threading.Event()

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if self.is_holding.is_set() and sql.startswith("SELECT"):
            rows = super().execute(sql, *arguments)
            self.is_read.set()
            return rows
        if sql == "COMMIT" and self.is_armed:
            self.is_holding.set()
            self.is_read.wait(HELD_SECONDS)
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *arguments)


async def test_in_memory_nothing_is_read_before_it_is_committed() -> None:
    """Its one connection sees its own transaction: reading waits until that is over."""
    made: list[HeldCommit] = []

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        made.append(sqlite3.connect(*arguments, **options, factory=HeldCommit))
        return made[-1]

    async with opened(IN_MEMORY, connect=connect) as log:
        made[0].is_armed = True
        entry = log.say("never committed")
        await eventually_async(made[0].is_holding.is_set)
        assert await log.texts() == []
        await log.log.flush()
        assert entry.is_lost


async def test_writing_waits_for_other_programs(db: Path) -> None:
    """What is said while somebody else writes is committed when that is over."""
    async with opened(db) as log:
        other = sqlite3.connect(db, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        entry = log.say("waits")
        asyncio.get_running_loop().call_later(HELD_SECONDS, other.execute, "ROLLBACK")
        await log.log.flush()
        assert not entry.is_lost
        other.close()


async def test_writing_that_is_in_a_hurry_does_not_wait_for_other_programs(db: Path) -> None:
    """The server stops: what cannot be written is lost aloud, and the file is released."""
    with closing(sqlite3.connect(db, isolation_level=None)) as other:
        async with opened(db) as log:
            other.execute("BEGIN IMMEDIATE")
            entry = log.say("waits")
            log.log.hurry(1.0)
            await log.log.flush()
            assert entry.is_lost
        other.execute("ROLLBACK")
    assert rows_of(db) == []


async def test_other_programs_may_read_the_file(db: Path) -> None:
    """A reader that holds a snapshot does not keep the log from committing."""
    async with opened(db) as log:
        await log.said("um")
        other = sqlite3.connect(db)
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM message").fetchone() == (1,)
        assert not (await log.said("dois")).is_lost
        other.close()


# Pages, places, generations, and who holds a name.


async def test_page_is_bounded_in_bytes(place: str) -> None:
    """Long messages make it short; one that is longer than a page still comes."""
    async with opened(place) as log:
        for number in range(100):
            log.say(f"{number} " + "\N{GRINNING FACE}" * 2000)
        await log.log.flush()
        page = await log.log.read(ROOM, 0, 1000)
        size = sum(len(message.message.encode()) for message in page)
        assert 0 < size <= MAX_PAGE_BYTES < size + 8100


async def test_page_ends_before_an_id(place: str) -> None:
    """For a history: what came before a message, and nothing of what came after."""
    async with opened(place) as log:
        for number in range(10):
            log.say(str(number))
        await log.log.flush()
        page = await log.log.read(ROOM, 3, 100, before=6)
        assert [message.id for message in page] == [4, 5]
        assert await log.log.start_of_last(ROOM, 2, before=6) == 3
        assert await log.log.start_of_last(ROOM, 100, before=6) == 0


async def test_kind_addressee_and_room_come_back(place: str) -> None:
    """What is read is what was said; an inbox is no room to show."""
    async with opened(place) as log:
        action = chat_pb2.Message(user="ana", message="waves", kind=chat_pb2.KIND_ACTION)
        private = chat_pb2.Message(user="ana", message="psst", to="bia")
        log.log.append(Entry("sala", "ana", action))
        log.log.append(Entry("\x01bia", "ana", private))
        await log.log.flush()
        (read,) = await log.log.read("sala", 0, 10)
        assert (read.kind, read.room, read.to) == (chat_pb2.KIND_ACTION, "sala", "")
        (read,) = await log.log.read("\x01bia", 0, 10)
        assert (read.kind, read.room, read.to) == (chat_pb2.KIND_UNSPECIFIED, "", "bia")


async def test_invitation_comes_back_with_the_room_that_it_is_for(place: str) -> None:
    """It lies in an inbox, and its text says which room that is."""
    async with opened(place) as log:
        kind = chat_pb2.KIND_INVITED
        said = chat_pb2.Message(user="ana", message="sala", to="bia", room="sala", kind=kind)
        log.log.append(Entry("\x01bia", "ana", said))
        await log.log.flush()
        (read,) = await log.log.read("\x01bia", 0, 10)
        assert read == said


async def test_key_is_found_with_its_message(place: str) -> None:
    """Whose it is counts."""
    async with opened(place) as log:
        await log.said("oi", key="k", room="sala")
        found = await log.log.find_key("ana", "k")
        assert found is not None and (found[0], found[1].message) == ("sala", "oi")
        assert await log.log.find_key("bia", "k") is None


async def test_older_copy_of_the_log_is_noticed_by_its_generations(
    db: Path, tmp_path: Path
) -> None:
    """Also when it has grown past the id that somebody saw in what is no more."""
    copy = tmp_path / "copy.db"
    async with opened(db) as log:
        first = log.log.generation
        for number in range(5):
            await log.said(str(number))
        with closing(sqlite3.connect(copy)) as target, closing(sqlite3.connect(db)) as source:
            source.backup(target)
        await log.said("seen, and then no more")
    async with opened(db) as log:
        second = log.log.generation
        await log.said("seen in the second")
    async with opened(copy) as log:
        assert log.log.generation not in (first, second)
        for number in range(10):
            await log.said(f"other {number}")
        assert await missing_at(log, ROOM, 5, first) is Missing.NOTHING
        assert await missing_at(log, ROOM, 6, first) is Missing.REWOUND
        assert await missing_at(log, ROOM, 7, second) is Missing.REWOUND
        assert await missing_at(log, ROOM, 1, second) is Missing.REWOUND
        assert await missing_at(log, ROOM, 15, log.log.generation) is Missing.NOTHING
        assert await missing_at(log, ROOM, 16, log.log.generation) is Missing.REWOUND
        assert await missing_at(log, ROOM, 16) is Missing.REWOUND
        assert await missing_at(log, ROOM, 15) is Missing.NOTHING


async def test_who_holds_a_name_is_known_over_a_restart(db: Path) -> None:
    """What was noted last counts, with its rooms."""
    async with opened(db) as log:
        log.log.keep("holder", "a", "ana")
        log.log.keep("holder", "b", "bia")
        await log.said("oi")
        log.log.keep("holder", "a", None)
    async with opened(db) as log:
        assert await log.log.records("holder") == {"b": "bia"}
        assert await log.log.records("owner") == {}


V1_SCHEMA = """
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sent_at INTEGER NOT NULL, room TEXT NOT NULL,
    user TEXT NOT NULL, message TEXT NOT NULL, sender TEXT NOT NULL, key TEXT
);
CREATE INDEX message_by_room ON message (room, id);
CREATE UNIQUE INDEX message_by_key ON message (sender, key) WHERE key IS NOT NULL;
CREATE TABLE trimmed (room TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log (epoch TEXT NOT NULL);
INSERT INTO log VALUES ('0123456789abcdef0123456789abcdef');
INSERT INTO message (sent_at, room, user, message, sender, key) VALUES
    (1, '', 'ana', 'from version 1', 'ana', 'k'), (2, 'sala', 'Bia', 'there too', 'bia', NULL);
INSERT INTO trimmed VALUES ('gone', 1);
PRAGMA application_id = 0x63686174;
PRAGMA user_version = 1;
"""


def write_version_1(db: Path) -> None:
    """Write the file that version 1 of the layout would have left."""
    with closing(sqlite3.connect(db)) as connection:
        connection.executescript(V1_SCHEMA)


async def test_file_of_version_1_is_read_on_and_kept_aside(db: Path, tmp_path: Path) -> None:
    """Its messages, epoch, keys and gaps are what they were; the copy is what was there."""
    write_version_1(db)
    async with opened(db) as log:
        assert log.log.epoch == "0123456789abcdef0123456789abcdef"
        assert await log.texts() == ["from version 1"]
        assert await log.texts("sala") == ["there too"]
        assert (await log.said("again", key="k")).is_repeated
        assert await missing_at(log, "gone", 0) is Missing.TRIMMED
        assert (await log.said("new")).message.id > 2
    assert rows_of(tmp_path / "chat.db-v1") == ["from version 1", "there too"]
    async with opened(db) as log:
        assert await log.texts() == ["from version 1", "new"]


async def test_file_of_version_1_is_read_on_where_there_is_no_room_for_a_copy(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is no reason to refuse."""
    write_version_1(db)
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    async with opened(db) as log:
        assert await log.texts() == ["from version 1"]
    assert not (tmp_path / "chat.db-v1").exists()


# Large logs.


def fill(db: Path, rows: int) -> None:
    """Append so many messages to a log, faster than by saying them."""
    SqliteLog(str(db)).abandon()
    text = "message number {} with some words"
    values = ((n + 1, f"user{n % 7}", text.format(n), f"s{n % 7}", f"k{n}") for n in range(rows))
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.executemany(
            "INSERT INTO message (sent_at, room, user, message, sender, key)"
            " VALUES (?, '', ?, ?, ?, ?)",
            values,
        )
        connection.execute("DELETE FROM opening")  # as after a clean end


class Counted(sqlite3.Connection):
    """Counts the instructions of SQLite's machine, in hundreds."""

    steps = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.set_progress_handler(self._count, 100)

    def _count(self) -> int:
        self.steps += 1
        return 0


def test_opening_costs_the_same_whatever_the_size(tmp_path: Path) -> None:
    """Nothing in it goes through the rows; neither a clean end nor a kill before changes that."""
    cost = {}
    for rows in (10, 10_000):
        db = tmp_path / f"{rows}.db"
        fill(db, rows)
        for is_clean in (True, False):  # the first opening is abandoned, as if killed
            made, connect = connections(Counted)
            log = SqliteLog(str(db), connect=connect)
            cost[rows, is_clean] = sum(connection.steps for connection in made)
            assert log.is_clean is is_clean
            log.abandon()
    for is_clean in (True, False):
        assert cost[10_000, is_clean] <= cost[10, is_clean] + 5


async def test_joining_does_not_wait_for_those_who_read_the_whole_log(db: Path) -> None:
    """However many they are: only what is being read already comes first."""
    fill(db, 2000)
    async with opened(db) as log:
        await log.log.read(ROOM, 0, 500)
        readers = [asyncio.ensure_future(log.log.read(ROOM, 500, 500)) for _ in range(100)]
        await asyncio.sleep(0)
        await log.log.find_places([(ROOM, None)], "", 20)
        await log.log.read(ROOM, 1980, 500)
        done = sum(reader.done() for reader in readers)
        assert done <= 3 * sqlite_file.MAX_NEXT_PAGES
        pages = await asyncio.gather(*readers)
        assert {len(page) for page in pages} == {500}


async def test_wal_stays_small_though_somebody_always_reads(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite alone finds no moment to begin it anew."""
    monkeypatch.setattr(checkpoints, "LARGE_WAL_BYTES", 1 << 18)
    wal = db.with_name("chat.db-wal")
    async with opened(db) as log:
        await log.said("first")
        is_over = False

        async def read_on() -> None:
            while not is_over:
                await log.log.read(ROOM, 0, 500)

        readers = [asyncio.ensure_future(read_on()) for _ in range(3)]
        largest = 0
        for _ in range(40):
            for _ in range(10):
                log.say("x" * 4000)
            await log.log.flush()
            largest = max(largest, wal.stat().st_size)
        is_over = True
        await asyncio.gather(*readers)
    # 1.6 MB of text, and some more in pages and indexes.
    assert largest < 1 << 20


async def test_wal_is_emptied_when_nothing_is_written(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file alone is the log then."""
    monkeypatch.setattr(checkpoints, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(sqlite_writer, "WATCH_SECONDS", 0.0)
    wal = db.with_name("chat.db-wal")
    async with opened(db) as log:
        await log.said("oi")
        await eventually_async(lambda: wal.stat().st_size == 0)
        assert not (await log.said("goes on")).is_lost


async def test_time_in_the_log_is_that_of_its_clocks(db: Path) -> None:
    """One that leaps for a moment is not believed, nor makes it anything older."""
    clock = FakeClocks(10**15)
    async with opened(db, retain_days=30, clocks=clock.clocks) as log:
        await log.said("um")
        clock.wall += 40 * DAY_MICROSECONDS
        dois = await log.said("dois")
        assert dois.message.sent_at.ToMicroseconds() == 10**15
        assert await log.texts() == ["um", "dois"]
    async with opened(db, retain_days=30, clocks=clock.clocks) as log:
        await log.said("três")
        assert await log.texts() == ["um", "dois", "três"]


# What is wrong with it, and copies.


async def test_whole_log_is_checked_in_steps(db: Path) -> None:
    """A sound one has no fault; what an index would not find is one."""
    fill(db, 1200)
    async with opened(db) as log:
        assert await log.log.check() == []
    break_index(db, 700)
    async with opened(db) as log:
        (fault,) = await log.log.check()
        assert fault == "messages 501 to 1000: 1 not indexed"
    assert any("missing from index" in fault for fault in maintenance.check(str(db)))


async def test_after_a_kill_what_was_written_last_is_checked(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the log is; an operator may have all of it checked."""
    monkeypatch.setattr(checking, "LAST_MESSAGES", 600)
    fill(db, 1200)
    break_index(db, 700)
    async with opened(db) as log:
        assert await log.log.check() == ["messages 601 to 1100: 1 not indexed"]
    break_index(db, 600)
    async with opened(db) as log:
        assert await log.log.check() == []
    assert any("missing from index" in fault for fault in maintenance.check(str(db)))


def break_index(db: Path, message_id: int) -> None:
    """Take one message out of the index of rooms, as a disk might."""
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        (sql,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'message_by_room'"
        ).fetchone()
        partial = f"{sql} WHERE id <> {message_id}"
        connection.execute("DROP INDEX message_by_room")
        connection.execute(partial)
        update = "UPDATE sqlite_master SET sql = ? WHERE name = 'message_by_room'"
        connection.execute(update, (sql,))


async def test_check_says_what_sqlite_finds(db: Path) -> None:
    """Pages that are no longer what they were, in the middle of the file."""
    fill(db, 3000)
    with db.open("r+b") as file:
        file.seek(db.stat().st_size // 2)
        file.write(b"\xff" * 3 * 4096)
    async with opened(db) as log:
        assert await log.log.check()
    assert maintenance.check(str(db))


async def test_backup_ends_while_much_is_written(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the log of one moment; each page that is written meanwhile would begin it anew."""
    monkeypatch.setattr(maintenance, "BACKUP_PAGES", 1)
    copy = db.with_name("copy.db")
    fill(db, 2000)
    loop = asyncio.get_running_loop()
    async with opened(db) as log:
        seen: list[tuple[int, int]] = []

        def progress(done: int, total: int) -> None:
            seen.append((done, total))
            if len(seen) < 20:
                asyncio.run_coroutine_threadsafe(log.said("meanwhile"), loop).result(
                    DEADLINE_SECONDS
                )

        await loop.run_in_executor(None, maintenance.backup, str(db), str(copy), progress)
    assert len(rows_of(copy)) == 2000 and len(rows_of(db)) == 2019
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1] == len(seen)
    assert maintenance.check(str(copy)) == []
    names = {path.name for path in db.parent.iterdir()}
    assert names - {"chat.db-search"} == {"chat.db", "copy.db"}


@pytest.mark.parametrize(
    ("source", "target", "problem"),
    [
        ("absent.db", "copy.db", Problem.ABSENT),
        ("chat.db", "chat.db", Problem.EXISTS),
        ("chat.db", "no/copy.db", Problem.NO_FOLDER),
        ("chat.db", "", Problem.NO_NAME),
        ("chat.db", ":memory:", Problem.NO_FILE),
        (":memory:", "copy.db", Problem.NO_FILE),
        ("chat.db", "file:copy.db", Problem.URI),
        ("chat.db", "x" * 251, Problem.TOO_LONG),
        ("chat.db", "chat.db-wal", Problem.RESERVED),
        ("link.db", "./chat.db-shm", Problem.RESERVED),
        ("chat.db", "chat.db-journal", Problem.RESERVED),
        ("chat.db", "chat.db-lock", Problem.RESERVED),
        ("chat.db", "older.db", Problem.EXISTS),
        ("contacts.db", "copy.db", Problem.FOREIGN),
    ],
)
def test_backup_that_cannot_be_leaves_nothing(
    source: str, target: str, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says why."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "chat.db", 10)
    with closing(sqlite3.connect("contacts.db")) as connection, connection:
        connection.execute("CREATE TABLE contact (name TEXT)")
    Path("older.db-wal").touch()
    if source == "link.db":
        try:
            Path("link.db").symlink_to("chat.db")
        except OSError:
            pytest.skip("no links for this user")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(LogError) as refusal:
        maintenance.backup(source, target)
    assert refusal.value.problem is problem
    is_about_source = source in ("absent.db", "contacts.db", ":memory:")
    assert refusal.value.is_of_copy is not is_about_source
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.name == "nt", reason="an open file can be removed on POSIX")
async def test_log_whose_file_is_gone_is_saved_when_it_is_closed(db: Path) -> None:
    """All that was committed; what is said after it was noticed is lost aloud."""
    log = OpenLog(SqliteLog(str(db)))
    log.log.start(log.delivered)
    await log.said("kept")
    db.unlink()
    assert (await log.said("lost")).is_lost
    with pytest.raises(LogError) as trouble:
        await log.log.close()
    log.log.abandon()
    assert trouble.value.problem is Problem.SAVED
    assert rows_of(Path(trouble.value.detail)) == ["kept"]
    assert sorted(db.parent.iterdir()) == [Path(trouble.value.detail)]


@pytest.mark.skipif(os.name == "nt", reason="an open file can be removed on POSIX")
async def test_log_whose_folder_is_gone_is_saved_where_the_server_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was beside it cannot be reached any more."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    log = OpenLog(SqliteLog(str(folder / "chat.db")))
    log.log.start(log.delivered)
    await log.said("kept")
    folder.rename("elsewhere")
    with pytest.raises(LogError) as trouble:
        await log.log.close()
    log.log.abandon()
    saved = Path(trouble.value.detail)
    assert saved.parent == tmp_path and rows_of(saved) == ["kept"]


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
async def test_files_are_their_owners_alone(db: Path) -> None:
    """The log's, what SQLite puts beside it, and copies."""
    before = os.umask(0)
    try:
        async with opened(db) as log:
            await log.said("oi")
            maintenance.backup(str(db), str(db.with_name("copy.db")))
            await eventually_async(lambda: db.with_name("chat.db-search-shm").exists())
            modes = {path.name: path.stat().st_mode & 0o777 for path in db.parent.iterdir()}
    finally:
        os.umask(before)
    names = {f"chat.db{end}{suffix}" for end in ("", "-search") for suffix in ("", "-wal", "-shm")}
    assert set(modes) == {*names, "copy.db"}
    assert set(modes.values()) == {0o600}


async def test_second_server_is_refused_where_files_have_no_locks(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a lock on another file beside it, as on Windows; none is made for others' files."""
    monkeypatch.setattr(files, "HAS_FILE_LOCKS", False)
    monkeypatch.setattr(sqlite_file, "HAS_FILE_LOCKS", False)
    async with opened(db):
        assert problem_of(db) is Problem.IN_USE
    contacts = db.with_name("contacts.db")
    with closing(sqlite3.connect(contacts)) as connection, connection:
        connection.execute("CREATE TABLE contact (name TEXT)")
    assert problem_of(contacts) is Problem.FOREIGN
    assert not db.with_name("contacts.db-lock").exists()


@pytest.mark.skipif(os.name == "nt", reason="an open file can be removed on POSIX")
async def test_log_that_cannot_be_saved_says_so(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no folder takes it."""
    log = OpenLog(SqliteLog(str(db)))
    log.log.start(log.delivered)
    await log.said("gone")
    db.unlink()
    monkeypatch.setattr(time, "strftime", lambda form: "no/such/folder")
    with pytest.raises(LogError) as trouble:
        await log.log.close()
    log.log.abandon()
    assert trouble.value.problem is Problem.REMOVED


async def test_places_that_are_asked_for_together_are_those_of_each_alone(db: Path) -> None:
    """Whatever they know, in which generation, and of which rooms."""
    fill(db, 50)
    async with opened(db) as log:
        await log.said("more", room="other")
        ids = (None, 0, 7, 50, 51, 10_000)
        asked = [
            ([(room, after), ("nowhere", after)], generation, count)
            for room in (ROOM, "other")
            for after in ids
            for generation in ("", log.log.generation, "unknown")
            for count in (0, 5)
        ]
        find = log.log.find_places
        together = await asyncio.gather(*(find(*wishes) for wishes in asked))
        assert together == [await find(*wishes) for wishes in asked]
        assert len({(place.missing, place.has_more) for (place, _) in together}) == 3
