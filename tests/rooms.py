"""What the unit tests of the rooms share: an honest log in memory, a chat on it, its readers.

Without gRPC and without SQL: `ChatService` is there for its broadcast alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import Any

import grpc
import pytest
from support import DEADLINE_SECONDS

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.metadata import REASON, JoinRequest
from chat.protocol.words import Query
from chat.server.hub import Hub
from chat.server.log.base import (
    MAX_PAGE_BYTES,
    OVERHEAD_BYTES,
    ClusterState,
    Deliver,
    Entry,
    Found,
    Log,
    LogError,
    Missing,
    OnRecord,
    Place,
    Problem,
    Report,
    ignore,
)
from chat.server.mail import Mail
from chat.server.member import Member
from chat.server.neighbours import Neighbours
from chat.server.ownership import Owners
from chat.server.posting import Posting
from chat.server.rate_limit import Rate, RateLimits
from chat.server.records import HOLDER, Holder
from chat.server.room import is_inbox
from chat.server.tally import Commits
from server import EOF, ChatService

Message = chat_pb2.Message
SESSION = "0123456789abcdef" * 2
UNLIMITED = RateLimits(0, asking=Rate(0, 0), moving=Rate(0, 0))
TURNS = 10_000  # of the loop: more than anything in memory takes


class FakeLog:
    """An honest log in memory: ids grow, a key is kept once, a read sees what is committed.

    As in the real one, a commit is seen by a read before it is delivered, and a read takes its
    time. `is_automatic`: each message is committed and delivered in the loop's next turn; otherwise
    by `commit()` and `deliver_next()`. `is_failing`: every group is lost. `is_unreadable`: every
    read fails. `space`: whoever appends waits for it.
    """

    epoch = "fake"
    generation = "first"
    is_shared = False
    is_silent = False
    rewinds = 0
    cluster: ClusterState | None = None

    def __init__(self, is_automatic: bool = True) -> None:
        self.is_automatic = is_automatic
        self.is_failing = False
        self.is_unreadable = False
        self.space = asyncio.Event()
        self.space.set()
        self._trimmed: dict[str, int] = {}
        self._last_id = 0
        self.read_turns = 1
        self.reads = 0
        self.searches: list[tuple[int, int, int]] = []  # between which ids, how many at the most
        self.found_at_once = 1000
        self.asked_bytes: list[int] = []  # how large each page might be
        self.rows: list[tuple[str, Message]] = []
        self._keys: dict[tuple[str, str], tuple[str, Message]] = {}
        self._waiting: list[Entry] = []
        self._committed: list[list[Entry]] = []
        self._deliver: Deliver = lambda entries: None
        self.kept: dict[tuple[str, str], str] = {}
        self.commits = Commits()

    async def open(self, report: Report = ignore) -> None:
        pass

    def listen(self, on_record: OnRecord, on_rewound: Callable[[], None]) -> None:
        self.on_record = on_record
        self.on_rewound = on_rewound

    def start(self, deliver: Deliver, report: Report = ignore) -> None:
        self._deliver = deliver

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def append(self, entry: Entry) -> None:
        self._waiting.append(entry)
        if self.is_automatic:
            asyncio.get_running_loop().call_soon(self.commit_and_deliver)

    def commit(self) -> None:
        """Commit everything that waits as one group."""
        group, self._waiting = self._waiting, []
        for entry in group:
            if self.is_failing:
                entry.is_lost = True
            else:
                self._insert(entry)
        if group:
            self._committed.append(group)

    def _insert(self, entry: Entry) -> None:
        place = (entry.sender, entry.message.key)
        if entry.message.key and place in self._keys:
            entry.room, entry.message = self._keys[place]
            entry.is_repeated = True
            return
        self._last_id += 1
        entry.message.id = self._last_id
        entry.message.sent_at.FromSeconds(entry.message.id)
        self.rows.append((entry.room, entry.message))
        self._keys[place] = (entry.room, entry.message)

    def deliver_next(self) -> None:
        """Hand one committed group to the rooms."""
        if self._committed:
            self._deliver(self._committed.pop(0))

    def commit_and_deliver(self) -> None:
        """Commit and deliver everything."""
        self.commit()
        while self._committed:
            self.deliver_next()

    async def wait_for_space(self) -> None:
        await self.space.wait()

    async def flush(self) -> None:
        self.commit_and_deliver()

    def hurry(self, seconds: float) -> None:
        pass

    async def read(
        self, room: str, after: int, limit: int, before: int = 0, max_bytes: int = MAX_PAGE_BYTES
    ) -> list[Message]:
        self.reads += 1
        self.asked_bytes.append(max_bytes)
        end = before or self._last_id + 1
        found = [m for place, m in self.rows if place == room and after < m.id < end][:limit]
        sizes = accumulate(message.ByteSize() + OVERHEAD_BYTES for message in found)
        found = found[: max(1, sum(size <= max_bytes for size in sizes))]
        await self._take_turns()
        return found

    async def _take_turns(self) -> None:
        for _ in range(self.read_turns):
            await asyncio.sleep(0)
        if self.is_unreadable:
            raise LogError(Problem.UNUSABLE, "memory")

    async def find_places(
        self, wishes: Sequence[tuple[str, int | None]], generation: str, count: int
    ) -> list[Place]:
        return [await self._find_place(room, after, count) for room, after in wishes]

    async def _find_place(self, room: str, after: int | None, count: int) -> Place:
        await self._take_turns()
        if after is None:
            return Place(await self.start_of_last(room, count))
        if after > self._last_id:
            return Place(await self.start_of_last(room, count), Missing.REWOUND)
        is_whole = self._trimmed.get(room, 0) <= after
        has_more = any(place == room and m.id > after for place, m in self.rows)
        return Place(after, Missing.NOTHING if is_whole else Missing.TRIMMED, has_more)

    async def search(self, room: str, query: Query, after: int, before: int, limit: int) -> Found:
        await self._take_turns()
        self.searches.append((after, before, limit))
        found = [m for place, m in self.rows if place == room and after < m.id < before]
        found = [m for m in reversed(found) if query.is_in(m.message)]
        count = min(limit, self.found_at_once)
        is_over, found = len(found) <= count, found[:count]
        return Found(found, 0 if is_over else found[-1].id)

    async def find_key(self, sender: str, key: str) -> tuple[str, Message] | None:
        return self._keys.get((sender, key))

    async def start_of_last(self, room: str, count: int, before: int = 0) -> int:
        await self._take_turns()
        end = before or self._last_id + 1
        ids = [m.id for place, m in self.rows if place == room and m.id < end]
        if not count:
            return self._last_id
        return ids[-count - 1] if len(ids) > count else 0

    async def count(self, room: str, after: int, until: int, limit: int) -> int:
        await self._take_turns()
        ids = [m.id for place, m in self.rows if place == room and after < m.id <= until]
        return min(len(ids), limit)

    async def records(self, kind: str) -> dict[str, str]:
        return {key: text for (of, key), text in self.kept.items() if of == kind}

    def keep(self, kind: str, key: str, text: str | None) -> None:
        self.kept.pop((kind, key), None)
        if text is not None:
            self.kept[kind, key] = text

    def tell(self, text: str) -> None:
        pass

    @property
    def held(self) -> dict[str, Holder]:
        """Who holds a name, by identity."""
        held = {key: text for (kind, key), text in self.kept.items() if kind == HOLDER}
        return {key: Holder.from_text(text) for key, text in held.items()}

    async def last_id(self) -> int:
        return self._last_id

    def trim(self, room: str, last: int) -> None:
        """Forget the messages of `room` up to the id `last`."""
        self.rows = [(place, m) for place, m in self.rows if place != room or m.id > last]
        self._trimmed[room] = last

    async def close(self) -> None:
        pass


class SlowInboxes(FakeLog):
    """A log that says what is in an inbox only while it `may_look`."""

    def __init__(self) -> None:
        super().__init__()
        self.may_look = asyncio.Event()
        self.may_look.set()

    async def start_of_last(self, room: str, count: int, before: int = 0) -> int:
        if is_inbox(room):
            await self.may_look.wait()
        return await super().start_of_last(room, count, before)


def _mail_of_1970(log: Log, owners: Owners) -> Mail:
    """Return mail for a log whose messages are of that year."""
    return Mail(log, owners, wall_clock=lambda: 0.0)


class Chat:
    """A hub on a fake log, and readers for those who join."""

    def __init__(
        self,
        log: FakeLog | None = None,
        max_clients: int = 1000,
        limits: RateLimits | None = None,
        max_per_address: int = 0,
        make_mail: Callable[[Log, Owners], Mail] = _mail_of_1970,
        neighbours: Neighbours | None = None,
    ) -> None:
        self.log = log or FakeLog()
        self.shown: list[tuple[str, str]] = []
        self.hub = Hub(
            self.log,
            max_clients,
            0,
            limits or UNLIMITED,
            max_per_address,
            neighbours=neighbours,
            make_mail=make_mail,
        )
        self.posting = Posting(self.hub)
        self.service = ChatService(self.hub, self._show)

    async def start(self) -> Chat:
        await self.hub.start()
        self.log.start(self.service.broadcast)
        return self

    def _show(self, room: str, messages: Sequence[Message]) -> None:
        self.shown.extend((room, message.message) for message in messages)

    async def join(self, user: str | None = None, **wishes: Any) -> Reader:
        """Join as a full client, or as a plain one without a name."""
        return Reader(self, await self.hub.join(JoinRequest(user=user, **wishes)))

    async def join_asleep(self, user: str | None = None, **wishes: Any) -> Reader:
        """Join, and read nothing until `read()`."""
        member = await self.hub.join(JoinRequest(user=user, **wishes))
        return Reader(self, member, is_reading=False)

    async def full(self, *users: str) -> list[Reader]:
        return [await self.join(user) for user in users]


class Reader:
    """A member and what it is sent: a task that takes, as the server's writer does."""

    def __init__(self, chat: Chat, member: Member, is_reading: bool = True) -> None:
        self.chat = chat
        self.member = member
        self.messages: list[Message] = []
        self.frames: list[bytes] = []
        self.has_ended = False
        self.task = asyncio.get_running_loop().create_task(self._read()) if is_reading else None

    async def _read(self) -> None:
        while frames := await self.next_frames():
            self.member.queue.mark_written()
            self.frames += frames
            for frame in frames:
                message = Message.FromString(frame)
                self.messages.extend(message.batch or (message,))
        self.has_ended = True

    async def next_frames(self) -> list[bytes]:
        """Wait for what is to be written next, and return it; empty: the end."""
        return self.member.encode(await self.member.replay.next())

    def read(self) -> None:
        """Begin to read, if it did not."""
        self.task = asyncio.get_running_loop().create_task(self._read())

    async def say(self, text: str, user: str = "", key: str = "", to: str = "") -> None:
        """Say something; raises the refusal."""
        await self.post(Message(user=user, message=text, key=key, to=to))

    async def post(self, message: Message) -> None:
        """Say whatever message; raises the refusal."""
        await self.chat.posting.post(self.member, message)

    async def rename(self, name: str, key: str = "") -> None:
        await self.post(Message(message=name, kind=chat_pb2.KIND_RENAMED, key=key))

    async def ask_who(self, key: str = "") -> None:
        await self.post(Message(kind=chat_pb2.KIND_WHO, key=key))

    def leave(self, is_lost: bool = False) -> None:
        """Leave as by a half-close, or because the connection `is_lost`."""
        self.chat.hub.leave(self.member, is_lost)

    async def hears(self, count: int) -> list[Message]:
        """Return the first `count` messages once they are there; nothing more may have come."""
        for _ in range(TURNS):
            if len(self.messages) >= count:
                break
            await asyncio.sleep(0)
        await quiet()
        assert len(self.messages) == count, self.messages
        return self.messages

    async def ends(self) -> ChatError | None:
        """Return how the stream ended."""
        for _ in range(TURNS):
            if self.has_ended:
                return self.member.error
            await asyncio.sleep(0)
        raise AssertionError(f"it did not end: {self.messages}")

    @property
    def texts(self) -> list[str]:
        return [m.message for m in self.messages if m.kind == chat_pb2.KIND_UNSPECIFIED]

    @property
    def ids(self) -> list[int]:
        return [m.id for m in self.messages if m.id]

    @property
    def events(self) -> list[tuple[str, str]]:
        """Everything but common messages: its kind and its user."""
        return [
            (chat_pb2.Kind.Name(m.kind).removeprefix("KIND_"), m.user)
            for m in self.messages
            if m.kind != chat_pb2.KIND_UNSPECIFIED
        ]


class FakeContext:
    """gRPC's end of a stream: counts what is written, and holds writes while the gate is closed.

    `takes_end`: the client takes the status. `said`: what the client says, as bytes; an exception
    is what reading raises. `status`: how the handler ended the stream, the status and the reason.
    """

    def __init__(self, request: JoinRequest, peer: str = "ipv4:127.0.0.1:5") -> None:
        self._peer = peer
        self._metadata = request.to_metadata() if request.is_full else None
        self.is_greeted = asyncio.Event()
        self.said: asyncio.Queue[Any] = asyncio.Queue()
        self.writes: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.takes_end = asyncio.Event()
        self.takes_end.set()
        self.status: tuple[grpc.StatusCode, str] | None = None

    def invocation_metadata(self) -> list[Any] | None:
        return self._metadata

    def peer(self) -> str:
        return self._peer

    async def send_initial_metadata(self, metadata: object) -> None:
        self.is_greeted.set()

    async def read(self) -> Any:
        raw = await self.said.get()
        if isinstance(raw, Exception):
            raise raw
        return raw

    async def write(self, raw: bytes) -> None:
        self.writes.append(raw)
        await self.gate.wait()

    async def abort(self, code: grpc.StatusCode, details: str, trailing: Any = ()) -> None:
        self.status = (code, dict(trailing).get(REASON, ""))
        await self.takes_end.wait()
        raise grpc.aio.AbortError

    def say(self, message: Message) -> None:
        """Let the client say something."""
        self.said.put_nowait(message.SerializeToString())

    def half_close(self) -> None:
        """Let the client say nothing more."""
        self.said.put_nowait(EOF)

    @property
    def messages(self) -> list[Message]:
        """What was written so far, batches taken apart."""
        written = [Message.FromString(raw) for raw in self.writes]
        return [message for one in written for message in one.batch or (one,)]


async def bounded(awaitable: Any) -> Any:
    """Return what is awaited; fail after the deadline."""
    return await asyncio.wait_for(awaitable, DEADLINE_SECONDS)


async def come_true(predicate: Callable[[], bool]) -> None:
    """Return when `predicate` holds; fail after the deadline."""

    async def poll() -> None:
        while not predicate():
            await asyncio.sleep(0)

    await bounded(poll())


async def stubborn(swallowed: asyncio.Event) -> None:
    """Swallow one cancellation, say so, and go on until the next one."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    swallowed.set()
    await asyncio.Event().wait()


async def quiet() -> None:
    """Let everything that is on its way arrive."""
    for _ in range(50):
        await asyncio.sleep(0)


async def refusal_of(awaitable: Any) -> str:
    """Return the reason by which something is refused."""
    with pytest.raises(ChatError) as refusal:
        await awaitable
    return refusal.value.reason
