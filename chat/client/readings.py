"""What can be an answer to HISTORY or SEARCH: of what a server sends, all else is left out."""

from __future__ import annotations

from collections.abc import Iterator

from chat.protocol.kinds import SAID
from chat.protocol.names import name_key
from chat_pb2 import KIND_CLOSED, KIND_HISTORY, KIND_OPENED, Message

# Ids are those of a log, which has no larger ones.
MAX_ID = (1 << 63) - 1
# What stands in a room's log, beside what is said there.
LOGGED = (*SAID, KIND_CLOSED, KIND_OPENED)


def answers(part: Message, room: str, before: int = 0) -> Iterator[Message]:
    """Yield what in a part of an answer was said in `room`, before the id `before` (0: any)."""
    kinds = LOGGED if part.kind == KIND_HISTORY else SAID
    key, end = name_key(room), before or MAX_ID + 1
    for one in part.batch:
        is_said_there = one.kind in kinds and not one.to and name_key(one.room) == key
        if is_said_there and 0 < one.id < end:
            yield one


def goes_on_before(end: Message, before: int) -> int:
    """Return before which id a search goes on, 0 where it does not.

    `end`: the last part of an answer, to a search that began before the id `before` (0: the
    newest). Where it has not come nearer to the beginning, another question would not either.
    """
    return end.id if end.id < (before or MAX_ID + 1) else 0
