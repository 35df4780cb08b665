"""Messages as bytes: a delivery is encoded once for all who get it, what comes is decoded.

Serialized protobufs of a repeated field can be joined end to end, and the result is the batch
(protobuf.dev/programming-guides/encoding). Knows no queues and no gRPC; called in the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from google.protobuf.message import DecodeError

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_BATCH_BYTES, MAX_BROKEN_KEY_BYTES
from chat.server import wire
from chat.server.log.base import OVERHEAD_BYTES

# Of each message in a batch: its tag, and its length, of which more than three bytes are too many.
_MAX_HEAD_BYTES = 4
_BATCH_TAG = bytes([chat_pb2.Message.BATCH_FIELD_NUMBER << 3 | wire.LEN])
# Whatever so few bytes hold is made quickly.
MAX_SMALL_BYTES = 1 << 10
# What all queues of a server together hold of what the log has: it is not needed in memory.
MAX_BACKLOG_BYTES = 8 << 20


class Backlog:
    """How much of what the log has committed waits in the queues of all, each message once."""

    __slots__ = ("held_bytes",)

    def __init__(self) -> None:
        self.held_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether the slow should read from the log instead."""
        return self.held_bytes > MAX_BACKLOG_BYTES


class Delivery:
    """Consecutive messages for the members of one room, encoded once for each sort of client.

    `is_logged`: they come in the order of the log, and can be read from it. Otherwise they are
    presence, which comes now or never, or answers: notices, echoes to the sender alone.
    `backlog`: where it counts for as long as it exists. `first_id`, `last_id`: of its oldest and
    newest message.
    """

    # Each member looks at its ids, and asking a message for one is a call.
    __slots__ = (
        "_backlog",
        "_batch",
        "_full",
        "_plain",
        "first_id",
        "is_logged",
        "last_id",
        "messages",
        "size_bytes",
    )

    def __init__(
        self,
        messages: Sequence[chat_pb2.Message],
        is_logged: bool = False,
        backlog: Backlog | None = None,
    ) -> None:
        self._backlog = None
        self.messages = messages
        self.is_logged = is_logged
        self.first_id = messages[0].id if messages else 0
        self.last_id = messages[-1].id if messages else 0
        self.size_bytes = sum(map(size_of, messages))
        self._plain: list[bytes] | None = None
        self._full: list[bytes] | None = None
        self._batch: list[bytes] | None = None
        if backlog is not None:
            self._backlog = backlog
            backlog.held_bytes += self.size_bytes

    def __del__(self) -> None:
        if self._backlog is not None:
            self._backlog.held_bytes -= self.size_bytes

    @property
    def batch_bytes(self) -> int:
        """How many bytes it has in a batch, at the most."""
        return self.size_bytes - (OVERHEAD_BYTES - _MAX_HEAD_BYTES) * len(self.messages)

    @property
    def is_too_much(self) -> bool:
        """Whether there is so much in all queues that it should not wait in one more."""
        return self._backlog is not None and self._backlog.is_full

    def after(self, message_id: int) -> Delivery:
        """Return what comes after `message_id`: mostly this very object, for all to share."""
        if not self.is_logged or self.first_id > message_id:
            return self
        count = sum(message.id <= message_id for message in self.messages)
        return Delivery(self.messages[count:], is_logged=True)

    def until(self, message_id: int) -> Delivery:
        """Return what comes up to `message_id`."""
        return Delivery([one for one in self.messages if one.id <= message_id], is_logged=True)

    def without_ids(self) -> Delivery:
        """Return the same messages with no place in the log."""
        copies = []
        for message in self.messages:
            copies.append(chat_pb2.Message())
            copies[-1].CopyFrom(message)
            copies[-1].id = 0
        return Delivery(copies)

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
            self._batch = join(_BATCH_TAG + varint(len(raw)) + raw for raw in self.full())
        return self._batch


def cut(messages: Sequence[chat_pb2.Message], backlog: Backlog) -> Iterator[Delivery]:
    """Yield what the log has committed in one room in deliveries that are a batch at most."""
    start = size = 0
    for end, message in enumerate(messages):
        size += size_of(message)
        if size > MAX_BATCH_BYTES and end > start:
            yield Delivery(messages[start:end], True, backlog)
            start, size = end, size_of(message)
    yield Delivery(messages[start:], True, backlog)


def size_of(message: chat_pb2.Message) -> int:
    """Return about how many bytes a message takes, more than it has when it is encoded."""
    return message.ByteSize() + OVERHEAD_BYTES


def decode(raw: bytes) -> chat_pb2.Message:
    """Return the message without its batch; raises MESSAGE_INVALID for what is none in UTF-8.

    The server ignores the batch of what comes, of which 64 KiB would be 32,000 messages.
    """
    try:
        return chat_pb2.Message.FromString(_without_batch(raw))
    except (DecodeError, wire.WireError):
        raise ChatError("MESSAGE_INVALID") from None


def _without_batch(raw: bytes) -> bytes:
    if len(raw) <= MAX_SMALL_BYTES:
        return raw
    number = chat_pb2.Message.BATCH_FIELD_NUMBER
    fields = list(wire.fields(raw))
    if all(field.number != number for field in fields):
        return raw
    return b"".join(raw[field.start : field.end] for field in fields if field.number != number)


def key_of(raw: bytes) -> str:
    """Return the key of a message that cannot be decoded as a whole, as far as it has one."""
    with suppress(wire.WireError, UnicodeDecodeError):
        for field in wire.fields(raw):
            is_key = field.number == chat_pb2.Message.KEY_FIELD_NUMBER
            is_text = is_key and field.wire_type == wire.LEN
            if is_text and field.end - field.value <= MAX_BROKEN_KEY_BYTES:
                return raw[field.value : field.end].decode()
    return ""


def encode(message: chat_pb2.Message) -> bytes:
    """Return all fields of a message."""
    return message.SerializeToString()


def encode_plain(message: chat_pb2.Message) -> bytes:
    """Return `user` and `message` alone."""
    return chat_pb2.Message(user=message.user, message=said(message)).SerializeToString()


def said(message: chat_pb2.Message) -> str:
    """Return the text of a message for those who know no kinds: what is done is `*done*`."""
    is_action = message.kind == chat_pb2.KIND_ACTION
    return f"*{message.message}*" if is_action else message.message


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def join(parts: Iterable[bytes], most_bytes: int = MAX_BATCH_BYTES) -> list[bytes]:
    """Join `parts` end to end into few pieces, each of `most_bytes`, or a part that is longer."""
    parts = list(parts)
    if parts and sum(map(len, parts)) <= most_bytes:
        return [b"".join(parts)]
    pieces: list[bytes] = []
    piece: list[bytes] = []
    size = 0
    for part in parts:
        if size + len(part) > most_bytes and piece:
            pieces.append(b"".join(piece))
            piece, size = [], 0
        piece.append(part)
        size += len(part)
    if piece:
        pieces.append(b"".join(piece))
    return pieces
