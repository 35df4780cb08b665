"""What is counted where the work is done: an addition each time, and nothing more.

Knows nothing of who asks for the numbers (`snapshot.py`). Everything runs in the event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# Of the largest bucket but the open one: 2^16 messages, or 6.6 s in tenths of a millisecond.
BUCKETS = 17
SLOT_SECONDS = 0.0001


class Histogram:
    """How many numbers were at most 1, 2, 4, 8 and so on; and their sum.

    `counts`: one for each bucket, the last for all that is larger; not added up.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (BUCKETS + 1)
        self.total = 0

    def add(self, number: int) -> None:
        """Count one whole number."""
        slot = (number - 1).bit_length() if number > 0 else 0
        self.counts[slot if slot < BUCKETS else BUCKETS] += 1
        self.total += number

    def bounds(self, unit: float = 1.0) -> list[tuple[float, int]]:
        """Return the bounds of the buckets, each with how many were at most that, in order."""
        below, found = 0, []
        for slot, count in enumerate(self.counts):
            below += count
            found.append(((1 << slot) * unit if slot < BUCKETS else float("inf"), below))
        return found


@dataclass(slots=True)
class Commits:
    """What became of the groups of one log. `seconds`: in slots of `SLOT_SECONDS`, rounded up.

    `took_seconds`: their sum. `failed`: groups.
    """

    messages: Histogram = field(default_factory=Histogram)
    seconds: Histogram = field(default_factory=Histogram)
    took_seconds: float = 0.0
    failed: int = 0
    lost_messages: int = 0

    def note(self, messages: int, took_seconds: float, is_lost: bool) -> None:
        """Count one group that was tried."""
        if is_lost:
            self.failed += 1
            self.lost_messages += messages
            return
        if messages:
            self.messages.add(messages)
        self.took_seconds += took_seconds
        self.seconds.add(-int(-took_seconds // SLOT_SECONDS))


@dataclass(slots=True)
class Traffic:
    """What one stream has brought and taken: messages, and their bytes before compression."""

    received_messages: int = 0
    received_bytes: int = 0
    sent_messages: int = 0
    sent_bytes: int = 0

    def add(self, other: Traffic) -> None:
        """Add what another one has."""
        self.received_messages += other.received_messages
        self.received_bytes += other.received_bytes
        self.sent_messages += other.sent_messages
        self.sent_bytes += other.sent_bytes
