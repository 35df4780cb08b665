"""What a log is: the one ordered list that every client reads. `sqlite.py` keeps it in a file.

The interface between the rooms and the home of the log; neither side knows more of the other. All
methods of a `Log` are called in the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol

import chat_pb2
from chat.protocol.words import Query
from chat.server.tally import Commits


class Problem(Enum):
    """What is wrong with the log's home; the value says it in English, for the operator's log."""

    IN_USE = "another server has it open"
    NO_NAME = "it has no name"
    FOLDER = "it is a folder"
    NO_FOLDER = "its folder does not exist"
    TOO_LONG = "its name is too long"
    URI = "it is a URI"
    NO_FILE = "it is no file"
    RESERVED = "the log itself uses this name"
    OTHER_NAME = "it was opened by another name, and not closed"
    FOREIGN = "it belongs to another program"
    NEWER = "it was written by a later version"
    FULL = "the disk is full"
    READ_ONLY = "it cannot be written"
    DAMAGED = "it is damaged"
    REMOVED = "it was removed or replaced"
    SAVED = "it was removed or replaced; all that it held is saved"
    ABSENT = "there is no such file"
    EXISTS = "it exists already"
    SILENT = "the disk does not answer"
    STOPPED = "its writer ended"
    UNUSABLE = "it cannot be used"
    FOLLOWING = "it belongs to a server of a cluster"
    OTHER_LOG = "it is another log than the cluster's"
    AWAY = "the cluster does not answer"
    REFUSED = "the cluster refuses"
    BEHIND = "it has not followed the cluster so far"

    @property
    def is_final(self) -> bool:
        """Whether the log cannot come back while this server runs."""
        return self.has_taken_log or self is Problem.STOPPED

    @property
    def has_taken_log(self) -> bool:
        """Whether it was taken away: what clients have of it is in no log any more, maybe."""
        return self in (Problem.REMOVED, Problem.SAVED)


class LogError(Exception):
    """The log cannot be opened, read or written: `problem`, `path`, and the storage's own words.

    `is_of_copy`: the path is that of a copy that was to be made.
    """

    def __init__(
        self, problem: Problem, path: str, detail: str = "", is_of_copy: bool = False
    ) -> None:
        super().__init__(problem, path, detail, is_of_copy)
        self.problem = problem
        self.path = path
        self.detail = detail
        self.is_of_copy = is_of_copy

    def without_frames(self) -> LogError:
        """Return the same error, to be kept: a raised one keeps all that its frames hold."""
        return LogError(self.problem, self.path, self.detail, self.is_of_copy)

    def of_copy(self) -> LogError:
        """Return the same error, of the path of a copy."""
        return LogError(self.problem, self.path, self.detail, is_of_copy=True)

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"log {self.path}: {self.problem.value}{detail}"


class Missing(Enum):
    """What a reader who comes back at an id will not get."""

    NOTHING = ""
    TRIMMED = "HISTORY_GONE"  # some of what came after it is no longer kept
    REWOUND = "LOG_REWOUND"  # the log was put back to an older copy: the id means nothing


@dataclass(frozen=True)
class Place:
    """Where a reader begins: after the id `start`; `has_more`: there was something after it.

    `left_out`: how many messages that it has not seen are before that, since they are too many.
    """

    start: int
    missing: Missing = Missing.NOTHING
    has_more: bool = True
    left_out: int = 0

    def no_later(self, last_id: int) -> Place:
        """Return the place, or where it is after `last_id`, that one."""
        return replace(self, start=last_id) if self.start > last_id else self


@dataclass(slots=True)
class Entry:
    """One message on its way into the log, and afterwards what became of it.

    `room`: the key of a room, or of an inbox, which no room's name can be.

    `message` gets its `id` and `sent_at` from the log; for a key that was appended before, it
    becomes the message of the first time and `is_repeated` is set. After a failure `is_lost` is.
    `said` stays what it was at first, with nothing of the log's where it is repeated.
    """

    room: str
    sender: str  # who the key belongs to: the session's identity, else the `name_key` of the user
    message: chat_pb2.Message
    origin: Any = None  # the member that waits for the answer; the log only hands it back
    is_repeated: bool = False
    is_lost: bool = False
    said: chat_pb2.Message = field(init=False)

    def __post_init__(self) -> None:
        self.said = self.message


@dataclass(frozen=True)
class Found:
    """What a search has found, newest first; `reached`: nothing below this id was looked at.

    0: all that it was to look at was.
    """

    messages: Sequence[chat_pb2.Message]
    reached: int = 0


# What one page read from the log may take in memory.
MAX_PAGE_BYTES = 256 << 10
# What a message in memory takes beside its own bytes, in round figures.
OVERHEAD_BYTES = 64

# Called in the event loop with every group that was tried, in the order of the log.
Deliver = Callable[[Sequence[Entry]], None]
# Called in the event loop when the log can no longer be written, and with None when it can again.
Report = Callable[["LogError | None"], None]


# The kind of what another server tells (`Log.tell`), which is heard like a record and kept nowhere.
TOLD = "told"
# Called in the event loop with a record that was kept: its kind, its key, its text or None.
OnRecord = Callable[[str, str, "str | None"], None]


def ignore(error: LogError | None) -> None:
    """Be told of the log's trouble by somebody else: each message that is lost says so."""


@dataclass(frozen=True)
class ClusterState:
    """How far a server is with a log that several share.

    `lag_groups`: so many groups are known to be in the stream, and not in this server's file yet.
    `is_followed`: NATS answers, and what others say comes in by itself.
    """

    lag_groups: int
    is_followed: bool


class Log(Protocol):
    """An ordered, durable list of messages, shared by all rooms; ids grow, with gaps allowed.

    What reads raises `LogError`. Of several reads that wait, those that go on where another page
    ended come last, so that whoever reads the whole log keeps nobody from joining.
    """

    commits: Commits  # what became of the groups so far
    is_shared: bool  # with other servers, whether or not any is there

    @property
    def epoch(self) -> str:
        """The identity of the log: when it changes, ids seen earlier mean nothing."""

    @property
    def generation(self) -> str:
        """The identity of this opening of it; where servers share it, the same at all of them."""

    @property
    def is_silent(self) -> bool:
        """Whether the disk has not answered a read for some seconds."""

    @property
    def rewinds(self) -> int:
        """How often it was put back to an older copy, which is known only where servers share it.

        Ids that were seen before mean nothing.
        """

    @property
    def cluster(self) -> ClusterState | None:
        """How far this server is with what others have said; None where there are no others."""

    @property
    def waiting(self) -> int:
        """How many messages wait to be committed."""

    async def open(self, report: Report = ignore) -> None:
        """Return when all that the log has can be read here. Comes before all else, once.

        Where that takes long, since the log is elsewhere, `report` hears why. Raises `LogError`.
        """

    def listen(self, on_record: OnRecord, on_rewound: Callable[[], None]) -> None:
        """Have it told here what a log that several servers share brings from the others.

        `on_record`: each record, in the order of the log, before the messages of its group; this
        server's own are among them, unless it has kept a newer one meanwhile, so that all end up
        with the same; and what the others tell (`tell`). `on_rewound`: the log was put back to an
        older copy, all of which is here again; the ids and records that are known mean nothing any
        more. Comes before `start`.
        """

    def start(self, deliver: Deliver, report: Report = ignore) -> None:
        """Begin to commit; `deliver` gets each group. Call it inside the event loop, once.

        What another server appended is among them, with None for its `origin`.

        `report` hears when nothing can be written, even if nobody writes, and when that is over.
        """

    def append(self, entry: Entry) -> None:
        """Take `entry` for the next group. Never blocks; `deliver` tells the outcome.

        Whoever appends awaits `wait_for_space()` between calls, which is what bounds the group.
        """

    async def wait_for_space(self) -> None:
        """Return when less is waiting to be committed than the log likes to hold."""

    async def flush(self) -> None:
        """Return when everything appended so far has been delivered.

        After `hurry()`, in any case when the time for it is over.
        """

    def hurry(self, seconds: float) -> None:
        """Have what waits for the disk, or for other programs, given up after so long."""

    async def read(
        self, room: str, after: int, limit: int, before: int = 0, max_bytes: int = MAX_PAGE_BYTES
    ) -> list[chat_pb2.Message]:
        """Return committed messages of `room` with an id above `after`, in order.

        Up to `limit` of them, and no more than `max_bytes`, names and keys counted, unless the
        first is longer; where `before` is given, with ids below it.
        """

    async def find_places(
        self, wishes: Sequence[tuple[str, int | None]], generation: str, count: int
    ) -> list[Place]:
        """Return, for each room and the id seen there in `generation`, where its reader begins.

        None, or an id that means nothing any more: where the last `count` messages begin. An empty
        generation is not asked about. Raises `LogError` with SILENT rather than wait for a disk
        that does not answer.
        """

    async def search(self, room: str, query: Query, after: int, before: int, limit: int) -> Found:
        """Find what was said and done in `room` between two ids, `limit` of it at the most.

        It ends after a short while, wherever it has come by then: whoever goes on asks again, for
        what is below the id that was `reached`.
        """

    async def find_key(self, sender: str, key: str) -> tuple[str, chat_pb2.Message] | None:
        """Return the room and the message that were appended under a key, None if none was."""

    async def start_of_last(self, room: str, count: int, before: int = 0) -> int:
        """Return the id after which the last `count` messages of `room` begin.

        Where `before` is given, the last of those with ids below it.
        """

    async def count(self, room: str, after: int, until: int, limit: int) -> int:
        """Return how many messages of `room` have ids above `after` and up to `until`.

        No more than `limit` are counted.
        """

    async def last_id(self) -> int:
        """Return the id of the newest message of all rooms, 0 for an empty log."""

    async def records(self, kind: str) -> dict[str, str]:
        """Return all that is kept of one kind beside the messages: texts, by their keys."""

    def keep(self, kind: str, key: str, text: str | None) -> None:
        """Keep a text under its kind and key, in place of an earlier one; None: no more.

        All servers that share the log keep it, but for the kinds that each has for itself
        (`records.LOCAL_KINDS`). Never blocks. Written with the next group of messages; alone only
        if none comes in a second.
        """

    def tell(self, text: str) -> None:
        """Have a text told once to each of the other servers that share the log, if there are any.

        In its place among the records that are kept here. A server that is not there then is not
        told; one that was only cut off is told later. Never blocks.
        """

    async def close(self) -> None:
        """Commit what waits, end the threads and release the file. Raises `LogError`."""


class ServedLog(Log, Protocol):
    """A log as a server has it open, in a file of its own or in memory."""

    path: str
    is_clean: bool  # the server before this one closed it

    @property
    def is_saving(self) -> bool:
        """Whether what a removed file held is being saved just now. In any thread."""

    async def check(self) -> list[str]:
        """Look through what was written last beside all else; return what is wrong, in English."""

    def abandon(self) -> None:
        """Release the file of a log that was never started, or has come to its end."""
