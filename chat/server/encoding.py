"""Messages as bytes: a delivery is encoded once for all who get it, what comes is decoded.

Serialized protobufs of a repeated field can be joined end to end, and the result is the batch
(protobuf.dev/programming-guides/encoding). Knows no queues and no gRPC; called in the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from google.protobuf import empty_pb2, unknown_fields
from google.protobuf.message import DecodeError

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_BATCH_BYTES, MAX_BROKEN_KEY_BYTES

WIRE_TYPE_LEN = 2
_BATCH_TAG = bytes([chat_pb2.Message.BATCH_FIELD_NUMBER << 3 | WIRE_TYPE_LEN])
# Names and ids beside the text, in round figures: a bound on memory, no protocol.
OVERHEAD_BYTES = 64


class Delivery:
    """Consecutive messages for the members of one room, encoded once for each sort of client.

    `is_logged`: they come in the order of the log, and can be read from it. Otherwise they are
    presence, which comes now or never, or answers: notices, echoes to the sender alone.
    """

    __slots__ = ("_batch", "_full", "_plain", "is_logged", "messages", "size_bytes")

    def __init__(self, messages: Sequence[chat_pb2.Message], is_logged: bool = False) -> None:
        self.messages = messages
        self.is_logged = is_logged
        texts = sum(len(message.message) for message in messages)
        self.size_bytes = texts + OVERHEAD_BYTES * len(messages)
        self._plain: list[bytes] | None = None
        self._full: list[bytes] | None = None
        self._batch: list[bytes] | None = None

    @property
    def last_id(self) -> int:
        """The id of the newest message."""
        return self.messages[-1].id

    def after(self, message_id: int) -> Delivery:
        """Return what comes after `message_id`: mostly this very object, for all to share."""
        if not self.is_logged or self.messages[0].id > message_id:
            return self
        rest = [message for message in self.messages if message.id > message_id]
        return Delivery(rest, is_logged=True)

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


def decode(raw: bytes) -> chat_pb2.Message:
    """Return the message; raises MESSAGE_INVALID for what is not one, or not UTF-8."""
    try:
        return chat_pb2.Message.FromString(raw)
    except DecodeError:
        raise ChatError("MESSAGE_INVALID") from None


def key_of(raw: bytes) -> str:
    """Return the key of a message that cannot be decoded as a whole, as far as it has one."""
    with suppress(DecodeError, UnicodeDecodeError):
        fields: Any = unknown_fields.UnknownFieldSet(empty_pb2.Empty.FromString(raw))
        for field in fields:
            is_key = field.field_number == chat_pb2.Message.KEY_FIELD_NUMBER
            # Of another wire type the data is a number, of which bytes() would make so many zeros.
            is_text = is_key and field.wire_type == WIRE_TYPE_LEN
            if is_text and len(field.data) <= MAX_BROKEN_KEY_BYTES:
                return str(field.data.decode())
    return ""


def encode(message: chat_pb2.Message) -> bytes:
    """Return all fields of a message."""
    return message.SerializeToString()


def encode_plain(message: chat_pb2.Message) -> bytes:
    """Return `user` and `message` alone."""
    is_action = message.kind == chat_pb2.KIND_ACTION
    text = f"*{message.message}*" if is_action else message.message
    return chat_pb2.Message(user=message.user, message=text).SerializeToString()


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def join(parts: Iterable[bytes]) -> list[bytes]:
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
