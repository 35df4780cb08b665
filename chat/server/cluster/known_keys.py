"""What is known of a bucket's keys: read anew by each consumer, whatever became of the bucket.

A bucket that was put back to an older copy says nothing of the keys that are no longer in it: what
a consumer has not brought by the time that it has brought all is forgotten. Everything runs in the
event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class KnownKeys(Generic[T]):
    """The value of each key that has one. `revisions`: of each of these.

    `on_change`: called with a key's value before and now; None: none. `on_complete`: called each
    time that all has been read.
    """

    def __init__(self) -> None:
        self.values: dict[str, T] = {}
        self.revisions: dict[str, int] = {}
        self.on_change: Callable[[T | None, T | None], None] = lambda old, new: None
        self.on_complete: Callable[[], None] = lambda: None
        self.is_reading = False  # whether a consumer brings all of it, and has not yet
        self._unseen: set[str] = set()

    def begin(self) -> None:
        """All of it is about to come anew."""
        self.is_reading = True
        self._unseen = set(self.values)

    def take(self, key: str, value: T | None, revision: int, pending: int) -> None:
        """Note a key's value; `pending`: how many more are known to come."""
        self._unseen.discard(key)
        self._set(key, value, revision)
        if not pending:
            self.complete()

    def complete(self) -> None:
        """All has come: forget what has not. Does nothing the second time."""
        if not self.is_reading:
            return
        for key in self._unseen:
            self._set(key, None, 0)
        self._unseen = set()
        self.is_reading = False
        self.on_complete()

    def _set(self, key: str, new: T | None, revision: int) -> None:
        old = self.values.pop(key, None)
        self.revisions.pop(key, None)
        if new is not None:
            self.values[key] = new
            self.revisions[key] = revision
        self.on_change(old, new)
