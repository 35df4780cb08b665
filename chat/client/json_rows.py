"""Rows of JSON in a small file of the user's own, and what of them a server would take."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from chat.cli.regular_files import read_regular
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_MESSAGE_BYTES
from chat.protocol.names import check_room
from chat.protocol.text import clean_message

# Of a longer file the end is read.
MAX_FILE_BYTES = 1 << 20
# More than anybody types: a paste that could never be sent is not kept.
MAX_LINE_CHARACTERS = 4 * MAX_MESSAGE_BYTES


def as_row(value: object) -> bytes:
    """Return a value as a row (ASCII), with its line feed."""
    return json.dumps(value).encode("ascii") + b"\n"


def rows_in(path: Path | None) -> list[object]:
    """Return what the rows of a file hold, but for those that make no sense; without one, nothing.

    Blocks for a moment.
    """
    rows: list[object] = []
    if path is None:
        return rows
    with suppress(OSError):
        for row in read_regular(path, MAX_FILE_BYTES, -MAX_FILE_BYTES).split(b"\n"):
            with suppress(ValueError, RecursionError):
                rows.append(json.loads(row))
    return rows


def line_in(value: object) -> str:
    """Return the line that a row holds; empty where it holds none.

    As a server would take it: half of a pair of surrogates could not even be sent.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_LINE_CHARACTERS:
        return ""
    return clean_message(value)


def room_in(value: object) -> str | None:
    """Return the room that a value names, empty for the common one; None where it names none."""
    if not isinstance(value, str):
        return None
    try:
        return check_room(value)
    except ChatError:
        return None
