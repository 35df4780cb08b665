"""Rows of the table `message`, and the messages that they are. Knows no SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import chat_pb2

COLUMNS = "id, sent_at, user, message, key, kind, addressee, sealed, room"
BY_KEY = f"SELECT {COLUMNS} FROM message WHERE sender = ? AND key = ?"
NEWEST_ID = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0)"

# No room is called so: what was trimmed before it was known of which room it was.
ALL_ROOMS = "\x00"


def stamp(message: chat_pb2.Message, message_id: int, sent_at: int) -> None:
    """Give the message its place in the log: `sent_at` in microseconds since 1970."""
    message.id = message_id
    message.sent_at.seconds, microseconds = divmod(sent_at, 1_000_000)
    message.sent_at.nanos = microseconds * 1000


def message_of(row: Sequence[Any]) -> chat_pb2.Message:
    """Return the message of a row of `COLUMNS`."""
    message_id, sent_at, user, text, key, kind, addressee, sealed, room = row
    message = chat_pb2.Message(
        user=user,
        message=text,
        key=key or "",
        kind=kind,
        to=addressee,
        sealed=sealed or b"",
        room=_room_of(room, kind, text, addressee),
    )
    stamp(message, message_id, sent_at)
    return message


def _room_of(room: str, kind: int, text: str, addressee: str) -> str:
    """Return what a message says of its room: an inbox is none; an invitation says which it is."""
    if kind == chat_pb2.KIND_INVITED:
        return text
    return "" if addressee else room
