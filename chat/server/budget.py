"""What all clients of one server together may be lent, beyond the little that each has anyway.

Everything runs in the event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# For pages of the log that are larger than the first, and for larger batches. Who reads quickly
# gives back soon; who takes nothing any more does when its stream ends.
MAX_PAGES_BYTES = 32 << 20
MAX_BATCHES_BYTES = 64 << 20


class Budget:
    """So many bytes, of which `lent_bytes` are lent."""

    __slots__ = ("_most_bytes", "lent_bytes")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.lent_bytes = 0

    def lend(self, wanted_bytes: int) -> int:
        """Return how many bytes are lent: as many as there are. They are to be given back."""
        lent_bytes = min(wanted_bytes, self._most_bytes - self.lent_bytes)
        self.lent_bytes += lent_bytes
        return lent_bytes

    def give_back(self, lent_bytes: int) -> None:
        """Take back what was lent."""
        self.lent_bytes -= lent_bytes


@dataclass(slots=True)
class Budgets:
    """Those of one server."""

    pages: Budget = field(default_factory=lambda: Budget(MAX_PAGES_BYTES))
    batches: Budget = field(default_factory=lambda: Budget(MAX_BATCHES_BYTES))
