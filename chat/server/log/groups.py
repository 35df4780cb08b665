"""Groups of messages as the servers of a cluster hand them to each other: bytes, and back.

A group is a `Message` of the contract, whose `batch` has a part for each entry and each record. An
entry's has its room in `room`, its sender in `user`, and the message itself alone in `batch`. A
record's has no `batch`: its kind in `user`, its key in `key`, its text in `message`, and 1 in `id`
where it is kept, 0 where it is kept no more; of the kind `base.TOLD` it is kept nowhere. Who
publishes, and the number of the group among that server's, are its id in JetStream:
`INSTANCE-NUMBER`. Knows neither NATS nor SQLite.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

import chat_pb2
from chat.server.log.base import Entry
from chat.server.log.writer_thread import Notes
from chat.server.plain_json import number_of

# One group: enough to share a turn of the stream among many, far below what NATS takes at once.
MAX_ENTRIES = 1024
MAX_BYTES = 256 << 10
# The place of an entry in its group is so many bits of its id.
PLACE_BITS = 10
# How often a stream was put back, as a header of the group that says so.
REWINDS_HEADER = "Chat-Rewinds"
# The name of a run of a server is shorter.
MAX_INSTANCE_CHARACTERS = 64

_log = logging.getLogger(__name__)


def new_instance() -> str:
    """Return the name of one run of one server."""
    return secrets.token_hex(8)


@dataclass(slots=True)
class OwnGroup:
    """What this server has published, or will: the same bytes under the same number each time."""

    number: int
    entries: list[Entry] = field(default_factory=list)
    notes: Notes = field(default_factory=dict)
    content: bytes = b""
    rewinds: int = 0  # where it says that the stream was put back


@dataclass(slots=True)
class StreamGroup:
    """What came out of the stream: by whom, which of theirs, when (microseconds since 1970).

    `own`: where it is this server's, what it was made of.
    """

    sequence: int
    sent_at: int
    instance: str
    number: int
    content: bytes
    rewinds: int = 0
    own: OwnGroup | None = None

    @property
    def message_id(self) -> str:
        """The id that it has in JetStream; empty where that is none of ours."""
        return message_id(self.instance, self.number) if self.number else ""

    def decode(self) -> tuple[list[Entry], Notes]:
        """Return what is in it; nothing, where it is nothing that a server of ours published."""
        if self.own is not None:
            return self.own.entries, self.own.notes
        try:
            parts = chat_pb2.Message.FromString(self.content).batch
        except DecodeError:
            _log.error("message %d of the stream is no group of messages", self.sequence)
            return [], {}
        entries = [Entry(part.room, part.user, part.batch[0]) for part in parts if part.batch]
        return entries[:MAX_ENTRIES], _notes_of(parts)


def notes_in(content: bytes) -> Notes:
    """Return the records in a group's bytes; none, where these are nothing of ours."""
    try:
        return _notes_of(chat_pb2.Message.FromString(content).batch)
    except DecodeError:
        return {}


def _notes_of(parts: Iterable[chat_pb2.Message]) -> Notes:
    return {
        (part.user, part.key): part.message if part.id else None for part in parts if not part.batch
    }


class GroupBuilder:
    """A group that grows until it is full. `content`: its bytes."""

    def __init__(self) -> None:
        self._group = chat_pb2.Message()
        self._size = 0
        self.entries: list[Entry] = []
        self.notes: Notes = {}

    def add(self, entry: Entry) -> bool:
        """Put an entry into the group; say whether there was room for it."""
        if len(self.entries) >= MAX_ENTRIES:
            return False
        part = chat_pb2.Message(room=entry.room, user=entry.sender, batch=[entry.message])
        if not self._append(part):
            return False
        self.entries.append(entry)
        return True

    def add_notes(self, notes: Notes) -> Notes:
        """Put records into the group, as many as there is room for; return the others."""
        rest = dict(notes)
        for (kind, key), text in notes.items():
            part = chat_pb2.Message(
                user=kind, key=key, message=text or "", id=int(text is not None)
            )
            if not self._append(part):
                break
            self.notes[kind, key] = rest.pop((kind, key))
        return rest

    def _append(self, part: chat_pb2.Message) -> bool:
        size = part.ByteSize()
        if self._size and self._size + size > MAX_BYTES:
            return False
        self._size += size
        self._group.batch.append(part)
        return True

    def content(self) -> bytes:
        """Return the group as bytes."""
        return self._group.SerializeToString()


def message_id(instance: str, number: int) -> str:
    """Return the id of a group in JetStream."""
    return f"{instance}-{number}"


def parse_message_id(text: str) -> tuple[str, int]:
    """Return the instance and the number in an id; empty and 0 where it is none of ours."""
    instance, _dash, number = text.rpartition("-")
    count = number_of(number) if 0 < len(instance) <= MAX_INSTANCE_CHARACTERS else None
    return (instance, count) if count else ("", 0)
