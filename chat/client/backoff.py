"""How long to wait before the next attempt to connect. Knows no network."""

from __future__ import annotations

import random

MIN_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 5.0


class Backoff:
    """Exponential backoff with jitter, from 0.5 s to 5 s. Belongs to the thread that connects."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew: the connection worked."""
        self._highest = 2 * MIN_BACKOFF_SECONDS

    def next(self) -> float:
        """Return the seconds to wait now.

        Clients that lost one server must not come back all at once.
        """
        seconds = random.uniform(MIN_BACKOFF_SECONDS, self._highest)  # noqa: S311  # no secret
        self._highest = min(MAX_BACKOFF_SECONDS, self._highest * 2)
        return seconds
