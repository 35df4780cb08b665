"""The rooms: who is in them under which name, and the broadcast of what the log has committed.

Knows no gRPC and no SQL. The server makes a `Member` for each stream, posts for it what it says and
writes to it what `Hub.take` hands out; the log (any `log.Log`) calls `Hub.deliver` with each group
that it has committed.

A member's queue is bounded. What does not fit any more is not kept for it: the member then reads
the log, page by page, until the end of a page meets what has been queued meanwhile. Joining with
history and coming back after a lost connection are that same reading, begun at another id.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import chat_pb2
from chat.protocol.errors import ChatError, explain
from chat.protocol.limits import MAX_KEY_CHARACTERS, MAX_RAW_NAME_CHARACTERS
from chat.protocol.names import COMMON_ROOM, check_name, check_not_reserved, name_key
from chat.protocol.text import check_message
from chat.server.log.base import Entry, Log

# What a member's queue holds at most; a single larger delivery still goes into an empty queue.
MAX_QUEUED_MESSAGES = 4096
MAX_QUEUED_BYTES = 1 << 20
# Messages that a reader behind the others gets from the log at a time.
PAGE_MESSAGES = 500
# A batch stays far below the 4 MiB that a gRPC client takes unless told otherwise.
MAX_BATCH_BYTES = 512 << 10
# In a larger room comings and goings would drown the conversation.
MAX_PRESENCE_MEMBERS = 200
# A client above its rate may still send this many seconds' worth at once.
BURST_SECONDS = 10.0
# Messages of one member that may wait to be committed before it is read from again.
MAX_UNSETTLED = 1024
DEFAULT_HISTORY = 20
MAX_HISTORY = 1000
# Private messages are in no log: their keys are remembered for as long as a sender may come back.
MAX_PRIVATE_KEYS = 10_000

_BATCH_TAG = bytes(
    [chat_pb2.Message.BATCH_FIELD_NUMBER << 3 | 2]
)  # protobuf.dev/programming-guides/encoding


class Delivery:
    """Consecutive messages for the members of one room, encoded once for each sort of reader.

    `is_logged`: they come in the order of the log, and can be read from it. Otherwise they are
    events that come now or never: presence, private messages, notices, repeated echoes.
    """

    __slots__ = ("_batch", "_full", "_plain", "is_logged", "messages", "size_bytes")

    def __init__(self, messages: Sequence[chat_pb2.Message], is_logged: bool = False) -> None:
        self.messages = messages
        self.is_logged = is_logged
        # Names and ids beside the text, in round figures: a bound on memory, no protocol.
        self.size_bytes = sum(len(message.message) for message in messages) + 64 * len(messages)
        self._plain: list[bytes] | None = None
        self._full: list[bytes] | None = None
        self._batch: list[bytes] | None = None

    @property
    def last_id(self) -> int:
        return self.messages[-1].id

    def after(self, message_id: int) -> Delivery:
        """Return what comes after `message_id`: mostly this very object, for all to share."""
        if not self.is_logged or self.messages[0].id > message_id:
            return self
        rest = [message for message in self.messages if message.id > message_id]
        return Delivery(rest, is_logged=True)

    def plain(self) -> list[bytes]:
        """Return each message as the small contract has it: fields 1 and 2, nothing else."""
        if self._plain is None:
            self._plain = [encode_plain(message) for message in self.messages]
        return self._plain

    def full(self) -> list[bytes]:
        """Return each message with all its fields."""
        if self._full is None:
            self._full = [encode(message) for message in self.messages]
        return self._full

    def batch(self) -> list[bytes]:
        """Return the messages as items of field 8; joined end to end they are one `Message`."""
        if self._batch is None:
            self._batch = _join(_BATCH_TAG + _varint(len(raw)) + raw for raw in self.full())
        return self._batch


def encode(message: chat_pb2.Message) -> bytes:
    return message.SerializeToString()


def encode_plain(message: chat_pb2.Message) -> bytes:
    return chat_pb2.Message(user=message.user, message=message.message).SerializeToString()


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _join(parts: Iterable[bytes]) -> list[bytes]:
    """Join `parts` end to end into as few pieces as `MAX_BATCH_BYTES` allows."""
    pieces: list[bytes] = []
    piece: list[bytes] = []
    size = 0
    for part in parts:
        if size + len(part) > MAX_BATCH_BYTES and piece:
            pieces.append(b"".join(piece))
            piece, size = [], 0
        piece.append(part)
        size += len(part)
    if piece:
        pieces.append(b"".join(piece))
    return pieces


class Bucket:
    """A token bucket: `rate` a second, bursts of `BURST_SECONDS` times that; 0 is no limit."""

    __slots__ = ("_clock", "_full_at", "_rate")

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._full_at = 0.0  # when the bucket is, or was, full again

    def take(self) -> float:
        """Take one token and return the seconds to wait before the next may be taken."""
        if not self._rate:
            return 0.0
        now = self._clock()
        self._full_at = max(self._full_at, now) + 1 / self._rate
        return max(0.0, self._full_at - now - BURST_SECONDS)


@dataclass(frozen=True)
class Request:
    """What a client says of itself when it opens its stream; a plain one says nothing.

    `after`: the id of the last message seen, None for a newcomer, who gets the last `history`.
    `session`: 32 hex digits, or empty.
    """

    user: str | None = None
    room: str = COMMON_ROOM
    session: str = ""
    after: int | None = None
    history: int = DEFAULT_HISTORY
    wants_batches: bool = False

    @property
    def is_full(self) -> bool:
        return self.user is not None


class Member:
    """One client: its name, its room and its queue. The server owns it for as long as the stream.

    The queue is bounded (`MAX_QUEUED_MESSAGES`, `MAX_QUEUED_BYTES`). When it is full, log messages
    are left to be read from the log, and other events are dropped.
    """

    # Ten thousand of them are visited for each message: the smaller the faster.
    __slots__ = (
        "_queue",
        "_queued_bytes",
        "_queued_messages",
        "_settling",
        "_waiting",
        "bucket",
        "error",
        "has_gap",
        "is_closing",
        "is_full",
        "name",
        "name_key",
        "owed_id",
        "room",
        "seen_id",
        "session",
        "unsettled",
        "wants_batches",
    )

    def __init__(self, request: Request, rate: float) -> None:
        self.is_full = request.is_full
        self.session = request.session
        self.wants_batches = request.wants_batches
        self.name = ""
        self.name_key = ""
        self.room: Room | None = None
        self.bucket = Bucket(rate)
        # The last log message handed to the writer.
        self.seen_id = 0
        # Between `seen_id` and the queue there are messages that only the log has.
        self.has_gap = False
        self.is_closing = False
        self.error: ChatError | None = None
        # When closing: the last message that is still owed to this member.
        self.owed_id = 0
        # Own messages that are not committed yet.
        self.unsettled = 0
        self._queue: list[Delivery] = []
        self._queued_messages = 0
        self._queued_bytes = 0
        # Of the writer, who waits for something to take, and of the reader, in `settle`.
        self._waiting: asyncio.Future[None] | None = None
        self._settling: asyncio.Future[None] | None = None

    def put(self, delivery: Delivery) -> bool:
        """Queue `delivery`, or leave it to the log; say whether it will come by this stream."""
        if self.is_closing:
            return False
        if delivery.is_logged and self.has_gap:
            _wake(self._waiting)
            return True
        if self._queue and not self._fits(delivery):
            if delivery.is_logged:
                self._leave_to_log()
            return delivery.is_logged
        self._queue.append(delivery)
        self._queued_messages += len(delivery.messages)
        self._queued_bytes += delivery.size_bytes
        _wake(self._waiting)
        return True

    def close(self, error: ChatError | None = None) -> None:
        """Take nothing more; hand out what is owed, then the stream ends with `error`."""
        if self.is_closing:
            return
        self.is_closing = True
        self.error = error
        self.owed_id = self.room.last_id if self.room else 0
        _wake(self._waiting)

    def drain(self) -> list[bytes]:
        """Return everything in the queue, encoded for this member, and empty the queue."""
        deliveries = [delivery.after(self.seen_id) for delivery in self._queue]
        self._clear()
        logged = [delivery for delivery in deliveries if delivery.messages and delivery.is_logged]
        if logged:
            self.seen_id = logged[-1].last_id
        return self.encode(deliveries)

    def encode(self, deliveries: Iterable[Delivery]) -> list[bytes]:
        """Return the messages to write, in order: shared bytes, or batches joined from them."""
        if self.wants_batches:
            pieces = [piece for delivery in deliveries for piece in delivery.batch()]
            return _join(pieces) if len(pieces) > 1 else pieces
        if self.is_full:
            return [raw for delivery in deliveries for raw in delivery.full()]
        return [raw for delivery in deliveries for raw in delivery.plain()]

    def expect_gap_end(self) -> None:
        """Queue again from now on: the next page from the log may be the last."""
        self.has_gap = False

    def still_has_gap(self) -> None:
        """Leave what was queued meanwhile to the log: there is more before it."""
        self._leave_to_log()

    @property
    def has_queued(self) -> bool:
        return bool(self._queue)

    def change(self) -> asyncio.Future[None]:
        """Return what is done when there is something to take, or the member is closing.

        For the one writer, who calls it when neither is so; a second call takes it from the first.
        """
        self._waiting = asyncio.get_running_loop().create_future()
        return self._waiting

    async def settle(self, at_most: int = 0) -> None:
        """Return when no more than `at_most` of its messages wait to be committed or refused.

        For the one reader of the stream: a second one who waits is not woken.
        """
        while self.unsettled > at_most:
            self._settling = asyncio.get_running_loop().create_future()
            await self._settling

    def settled(self) -> None:
        """Count one of its messages as committed or refused."""
        self.unsettled -= 1
        _wake(self._settling)

    def _fits(self, delivery: Delivery) -> bool:
        return (
            self._queued_messages + len(delivery.messages) <= MAX_QUEUED_MESSAGES
            and self._queued_bytes + delivery.size_bytes <= MAX_QUEUED_BYTES
        )

    def _leave_to_log(self) -> None:
        events = [delivery for delivery in self._queue if not delivery.is_logged]
        self._clear()
        self._queue.extend(events)
        self._queued_messages = sum(len(event.messages) for event in events)
        self._queued_bytes = sum(event.size_bytes for event in events)
        self.has_gap = True

    def _clear(self) -> None:
        self._queue.clear()
        self._queued_messages = self._queued_bytes = 0


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


class Room:
    """Members who hear each other. `key` is the room's name without regard to case."""

    def __init__(self, key: str, last_id: int) -> None:
        self.key = key
        self.members: dict[Member, None] = {}  # in the order of their coming
        self.last_id = last_id  # the newest log message that was broadcast here

    def deliver(self, messages: Sequence[chat_pb2.Message]) -> None:
        """Broadcast committed messages of this room, in order, to the queue of every member."""
        delivery = Delivery(messages, is_logged=True)
        self.last_id = delivery.last_id
        for member in self.members:
            member.put(delivery)

    def announce(self, event: chat_pb2.Message, but: Member | None = None) -> None:
        """Tell an event outside the log to every full client but `but`."""
        delivery = Delivery([event])
        for member in self.members:
            if member.is_full and member is not but:
                member.put(delivery)

    def announce_presence(self, kind: chat_pb2.Kind, member: Member) -> None:
        """Tell the others that `member` came or left, unless the room is too large for that."""
        if len(self.members) <= MAX_PRESENCE_MEMBERS:
            self.announce(chat_pb2.Message(user=member.name, kind=kind), but=member)

    def present(self) -> list[chat_pb2.Message]:
        """Return one PRESENT for each member who has a name."""
        return [
            chat_pb2.Message(user=member.name, kind=chat_pb2.KIND_PRESENT)
            for member in self.members
            if member.name
        ]


class Hub:
    """Every room of one server: who holds which name, and what is appended to the log for whom.

    All methods run in the event loop. `rate` is messages a second for each client, 0 for no limit.
    `show` is called with a room's key and the messages that have been broadcast there.
    """

    def __init__(
        self,
        log: Log,
        max_clients: int,
        rate: float,
        show: Callable[[str, Sequence[chat_pb2.Message]], None] = lambda room, messages: None,
    ) -> None:
        self.log = log
        self.members: set[Member] = set()
        self._max_clients = max_clients
        self._rate = rate
        self._show = show
        self._rooms: dict[str, Room] = {}
        self._names: dict[str, Member] = {}
        self._sessions: dict[str, Member] = {}
        self._private_keys: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._last_id = 0  # the newest log message that was broadcast
        self._is_stopping = False

    async def start(self) -> None:
        """Begin to take what the log commits."""
        self._last_id = await self.log.last_id()
        self.log.start(self.deliver)

    # Coming and going.

    async def join(self, request: Request) -> Member:
        """Return a new member, in its room and with its name if it is a full one, or raise.

        Raises `ChatError`: SHUTTING_DOWN, SERVER_FULL, NAME_INVALID, NAME_TAKEN, ROOM_INVALID. The
        caller must `leave()` with the member, whatever happens to the stream.
        """
        if self._is_stopping:
            raise ChatError("SHUTTING_DOWN")
        room_key = (
            name_key(check_name(request.room, "ROOM_INVALID")) if request.room else COMMON_ROOM
        )
        member = Member(request, self._rate)
        ghost = self._sessions.get(request.session) if request.session else None
        if len(self.members) - (ghost is not None) >= self._max_clients:
            raise ChatError("SERVER_FULL")
        name = None
        if request.user is not None:
            name = check_name(request.user)
            check_not_reserved(name)
            holder = self._names.get(name_key(name))
            if holder is not None and holder is not ghost:
                raise ChatError("NAME_TAKEN")
        self._enter(member, room_key, name, ghost)
        try:
            await self._find_place(member, request)
        except BaseException:
            self.leave(member)
            raise
        return member

    def _enter(self, member: Member, room_key: str, name: str | None, ghost: Member | None) -> None:
        """Put the member into its room; its own ghost goes, unnoticed where nothing changed."""
        room = self._rooms.get(room_key)
        if room is None:
            room = self._rooms[room_key] = Room(room_key, self._last_id)
        is_return = ghost is not None and ghost.room is room and ghost.name == name
        if ghost is not None:
            ghost.close(ChatError("SESSION_REPLACED"))
            self.leave(ghost, is_silent=is_return)
            self._rooms[room_key] = room  # it was empty for a moment, if the ghost was alone
        member.room = room
        room.members[member] = None
        self.members.add(member)
        member.seen_id = room.last_id
        if member.session:
            self._sessions[member.session] = member
        if name is not None:
            member.name = name
            member.name_key = name_key(name)
            self._names[member.name_key] = member
            if not is_return:
                room.announce_presence(chat_pb2.KIND_JOINED, member)

    async def _find_place(self, member: Member, request: Request) -> None:
        """Say where in the log a full member begins, and tell it what is missing before that."""
        if not member.is_full or member.room is None:
            return
        member.still_has_gap()  # nothing is queued before the beginning is known
        room_key, missing, start = member.room.key, "", request.after
        if start is not None and start > await self.log.last_id():
            start, missing = None, "LOG_REWOUND"
        elif start is not None and not await self.log.reaches_back_to(room_key, start):
            missing = "HISTORY_GONE"
        if start is None:
            count = min(max(request.history, 0), MAX_HISTORY)
            start = await self.log.start_of_last(room_key, count)
        member.seen_id = start
        if missing:
            self.notice(member, missing)

    def leave(self, member: Member, is_silent: bool = False) -> None:
        """Take the member out of its room and free its name. Does nothing the second time."""
        if member not in self.members:
            return
        self.members.remove(member)
        member.close()
        if self._sessions.get(member.session) is member:
            del self._sessions[member.session]
        room = member.room
        assert room is not None
        del room.members[member]
        if member.name:
            del self._names[member.name_key]
            if not is_silent:
                room.announce_presence(chat_pb2.KIND_LEFT, member)
        if not room.members:
            del self._rooms[room.key]

    def _call(self, member: Member, name: str) -> bool:
        """Give the member `name`; say whether that changed anything. Raises NAME_TAKEN."""
        check_not_reserved(name)
        key = name_key(name)
        if self._names.get(key, member) is not member:
            raise ChatError("NAME_TAKEN")
        if member.name == name:
            return False
        if member.name:
            del self._names[member.name_key]
        self._names[key] = member
        member.name = name
        member.name_key = key
        return True

    # What a member says.

    async def post(self, member: Member, message: chat_pb2.Message) -> None:
        """Do what a message of `member` asks, or raise `ChatError`. Waits while the log is full."""
        if self._is_stopping or member.is_closing:
            raise ChatError("SHUTTING_DOWN")
        if len(message.key) > MAX_KEY_CHARACTERS:
            raise ChatError("REQUEST_INVALID")
        if not member.is_full:
            await self._post_plain(member, message)
        elif message.kind == chat_pb2.KIND_RENAMED:
            await self._rename(member, check_name(message.message), message.key)
        elif message.kind == chat_pb2.KIND_WHO:
            self._tell_who(member, message.key)
        elif message.kind != chat_pb2.KIND_UNSPECIFIED:
            raise ChatError("REQUEST_INVALID")
        elif message.to:
            self._tell(member, message)
        else:
            await self._append(member, check_message(message.message), message.key)

    async def _post_plain(self, member: Member, message: chat_pb2.Message) -> None:
        if message.to or message.kind != chat_pb2.KIND_UNSPECIFIED:
            # Taken for a common message, a private one would be told to everybody.
            raise ChatError("REQUEST_INVALID")
        if not message.message or message.message.isspace():
            return
        text = check_message(message.message)
        name = check_name(message.user)
        if not member.name:
            self._call(member, name)
            assert member.room is not None
            member.room.announce_presence(chat_pb2.KIND_JOINED, member)
        elif name != member.name:
            await self._rename(member, name, "")
        await self._append(member, text, message.key)

    async def _append(self, member: Member, text: str, key: str) -> None:
        assert member.room is not None
        accepted = chat_pb2.Message(user=member.name, message=text, key=key)
        member.unsettled += 1
        self.log.append(Entry(member.room.key, member.name_key, accepted, member))
        # Else one who sends all it can fills the log's queue, and everybody waits behind it.
        await member.settle(MAX_UNSETTLED)
        await self.log.has_space()

    async def _rename(self, member: Member, name: str, key: str) -> None:
        await member.settle()  # what was said under the old name is heard before it changes
        old = member.name
        is_changed = self._call(member, name)
        event = chat_pb2.Message(user=old, message=name, kind=chat_pb2.KIND_RENAMED)
        if is_changed and member.room is not None:
            member.room.announce(event, but=member)
        if member.is_full:
            # A message of its own: what is queued for the others is encoded later.
            echo = chat_pb2.Message(user=old, message=name, kind=chat_pb2.KIND_RENAMED, key=key)
            member.put(Delivery([echo]))

    def _tell_who(self, member: Member, key: str) -> None:
        assert member.room is not None
        answer = member.room.present()
        if key:  # the echo is the acknowledgement, and the end of the list
            answer.append(chat_pb2.Message(user=member.name, kind=chat_pb2.KIND_WHO, key=key))
        if not member.put(Delivery(answer)):
            raise ChatError("ANSWER_DROPPED")

    def _tell(self, member: Member, message: chat_pb2.Message) -> None:
        """Deliver a private message, now or never, and echo it to its sender."""
        text = check_message(message.message)
        if len(message.to) > MAX_RAW_NAME_CHARACTERS:
            raise ChatError("USER_UNKNOWN")
        private = chat_pb2.Message(user=member.name, message=text, key=message.key, to=message.to)
        private.sent_at.GetCurrentTime()
        key = (member.name_key, message.key)
        if not message.key or key not in self._private_keys:
            other = self._names.get(name_key(message.to))
            if other is None:
                raise ChatError("USER_UNKNOWN")
            private.to = other.name
            is_told = other is member or (other.is_full and other.put(Delivery([private])))
            if not is_told:
                raise ChatError("USER_UNREACHABLE")
            self._remember(key)
        member.put(Delivery([private]))

    def _remember(self, key: tuple[str, str]) -> None:
        if key[1]:
            self._private_keys[key] = None
            if len(self._private_keys) > MAX_PRIVATE_KEYS:
                self._private_keys.popitem(last=False)

    def notice(self, member: Member, reason: str, key: str = "") -> None:
        """Tell a full member why something is not as it wished; a plain one is never told."""
        if member.is_full:
            text = explain(reason, reason)
            notice = chat_pb2.Message(user=reason, message=text, kind=chat_pb2.KIND_NOTICE, key=key)
            member.put(Delivery([notice]))

    # What a member hears.

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Broadcast a committed group, room by room, and answer each sender what became of it."""
        loop = asyncio.get_running_loop()
        by_room: dict[str, list[chat_pb2.Message]] = {}
        for entry in entries:
            if entry.is_lost or entry.is_repeated:
                continue
            self._last_id = entry.message.id
            by_room.setdefault(entry.room, []).append(entry.message)
        for key, messages in by_room.items():
            if room := self._rooms.get(key):
                room.deliver(messages)
            loop.call_soon(self._show, key, messages)  # after the writers, who are awake by now
        for entry in entries:
            self._answer(entry)

    def _answer(self, entry: Entry) -> None:
        member: Member = entry.origin
        if entry.is_lost:
            if member.is_full:
                self.notice(member, "NOT_STORED", entry.message.key)
            else:
                member.close(ChatError("NOT_STORED"))
        elif entry.is_repeated:
            self._echo_again(member, entry)
        member.settled()

    def _echo_again(self, member: Member, entry: Entry) -> None:
        """Answer a key that was appended before with its first result, for the sender alone.

        What still lies before the sender in the log comes by itself: an echo ahead of it would make
        a client take everything between for seen.
        """
        message = entry.message
        assert member.room is not None
        if entry.room != member.room.key:
            elsewhere = chat_pb2.Message()
            elsewhere.CopyFrom(message)
            elsewhere.id = 0
            member.put(Delivery([elsewhere]))
        elif message.id <= member.seen_id:
            member.put(Delivery([message]))

    async def take(self, member: Member) -> list[bytes]:
        """Wait for something to write to the member and return it; empty: the stream is over."""
        while True:
            if member.has_queued:
                if frames := member.drain():
                    return frames
            elif member.has_gap:
                if frames := await self._read_page(member):
                    return frames
            elif member.is_closing:
                return []
            else:
                await member.change()

    async def _read_page(self, member: Member) -> list[bytes]:
        """Read on in the log. A page that is not full meets what was queued meanwhile."""
        assert member.room is not None
        member.expect_gap_end()
        page = await self.log.read(member.room.key, member.seen_id, PAGE_MESSAGES)
        if not page:
            return []
        delivery = Delivery(page, is_logged=True)
        member.seen_id = delivery.last_id
        is_owed_more = not member.is_closing or member.seen_id < member.owed_id
        if len(page) == PAGE_MESSAGES and is_owed_more:
            member.still_has_gap()
        return member.encode([delivery])

    # The end.

    async def stop(self) -> None:
        """Accept nothing more, and return when all that was accepted is committed and queued.

        Every member is told, and its stream ends with SHUTTING_DOWN when it has been handed all.
        """
        self._is_stopping = True
        for member in self.members:
            self.notice(member, "SHUTTING_DOWN")
        await self.log.flush()
        for member in self.members:
            member.close(ChatError("SHUTTING_DOWN"))
