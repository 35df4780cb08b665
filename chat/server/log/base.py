"""What a log is: the one ordered list that every client reads. `sqlite.py` keeps it in a file.

The interface between the rooms and the home of the log; neither side knows more of the other. All
methods of a `Log` are called in the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import chat_pb2


class Problem(Enum):
    """What is wrong with the log's home; the value says it in English, for the operator's log."""

    IN_USE = "another server has it open"
    FOREIGN = "it belongs to another program"
    NEWER = "it was written by a later version"
    FULL = "the disk is full"
    READ_ONLY = "it cannot be written"
    DAMAGED = "it is damaged, or not a database"
    UNUSABLE = "it cannot be used"


class LogError(Exception):
    """The log cannot be opened, read or written: `problem`, `path`, and the storage's own words."""

    def __init__(self, problem: Problem, path: str, detail: str = "") -> None:
        super().__init__(problem, path, detail)
        self.problem = problem
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"log {self.path}: {self.problem.value}{detail}"


@dataclass(slots=True)
class Entry:
    """One message on its way into the log, and afterwards what became of it.

    `message` gets its `id` and `sent_at` from the log; for a key that was appended before, it
    becomes the message of the first time and `is_repeated` is set. After a failure `is_lost` is.
    """

    room: str
    sender: str  # who the key belongs to: `names.name_key` of the user
    message: chat_pb2.Message
    origin: Any = None  # the member that waits for the answer; the log only hands it back
    is_repeated: bool = False
    is_lost: bool = False


# Called in the event loop with every group that was tried, in the order of the log.
Deliver = Callable[[Sequence[Entry]], None]


class Log(Protocol):
    """An ordered, durable list of messages, shared by all rooms; ids grow, with gaps allowed.

    What reads raises `LogError`.
    """

    epoch: str  # the identity of the log: when it changes, ids seen earlier mean nothing

    def start(self, deliver: Deliver) -> None:
        """Begin to commit; `deliver` gets each group. Call it inside the event loop, once."""

    def append(self, entry: Entry) -> None:
        """Take `entry` for the next group. Never blocks; `deliver` tells the outcome.

        Whoever appends awaits `wait_for_space()` between calls, which is what bounds the group.
        """

    async def wait_for_space(self) -> None:
        """Return when less is waiting to be committed than the log likes to hold."""

    async def flush(self) -> None:
        """Return when everything appended so far has been delivered."""

    async def read(self, room: str, after: int, limit: int) -> list[chat_pb2.Message]:
        """Return up to `limit` committed messages of `room` with an id above `after`, in order."""

    async def start_of_last(self, room: str, count: int) -> int:
        """Return the id after which the last `count` messages of `room` begin."""

    async def reaches_back_to(self, room: str, after: int) -> bool:
        """Say whether every message of `room` that came after id `after` is still kept."""

    async def last_id(self) -> int:
        """Return the id of the newest message of all rooms, 0 for an empty log."""

    async def close(self) -> None:
        """Commit what waits, end the threads and release the file."""
