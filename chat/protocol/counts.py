"""How many messages a wish is for, as it says in its text."""

from __future__ import annotations

from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_HISTORY

# More than that is no number of messages; `int` takes time for it, and raises beyond some.
MAX_DIGITS = 20


def count_in(text: str) -> int:
    """Return a number of messages, cut down to `MAX_HISTORY`; raises REQUEST_INVALID."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise ChatError("REQUEST_INVALID")
    return min(int(text), MAX_HISTORY)


def counts_in(text: str, message_id: int) -> tuple[int, int]:
    """Return how many messages HISTORY is to have before an id, and from it on.

    `5`, or, with an id, `5+5`. Raises REQUEST_INVALID, also where it asks for none.
    """
    before, plus, after = text.partition("+")
    counts = (count_in(before), count_in(after) if plus else 0)
    if not any(counts) or (plus and not message_id):
        raise ChatError("REQUEST_INVALID")
    return counts
