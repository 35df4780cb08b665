"""The log of many servers: a stream in NATS JetStream decides, each server's file follows it.

The stream is a journal of groups of messages. What is said here is put into it by the `Publisher`;
what comes out of it, whoever said it, goes by the `Follower` into this server's file, and from
there to the rooms. So all servers have the same messages with the same ids, in the same order; and
reading is SQLite's, also while NATS is away.

Everything here runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count

from chat.server.cluster import tasks
from chat.server.cluster.connection import ApiError, AwayError, ClusterSettings
from chat.server.log.base import (
    TOLD,
    ClusterState,
    Deliver,
    Entry,
    LogError,
    OnRecord,
    Place,
    Problem,
    Report,
    ignore,
)
from chat.server.log.follower import Follower
from chat.server.log.following import Following
from chat.server.log.following_writer import Arrivals, FollowingWriter, generation_of
from chat.server.log.groups import PLACE_BITS, OwnGroup, StreamGroup
from chat.server.log.log_clock import Clocks
from chat.server.log.publisher import Publisher
from chat.server.log.record_copies import RecordCopies, RecordCopy
from chat.server.log.sqlite_file import SqliteFile
from chat.server.log.stream_link import StreamLink
from chat.server.log.troubles import Troubles

CLOSE_SECONDS = 0.3
CLUSTER, FILE = "cluster", "file"

_log = logging.getLogger(__name__)


class JetStreamLog(SqliteFile):
    """The log of the servers of one cluster; `path` is this server's own file of it, or memory.

    `retain_days`: see `SqliteLog`; the stream is made with the same. `local_kinds`: of the records
    that are this server's alone.
    """

    is_shared = True

    def __init__(
        self,
        path: str,
        retain_days: float,
        settings: ClusterSettings,
        local_kinds: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(path)
        self._writer = FollowingWriter(
            self._writing,
            self._write_lock,
            path,
            self._file,
            self._checkpoints,
            retain_days,
            Clocks(),
        )
        self._writer.local_kinds = local_kinds
        self._troubles = Troubles()
        self._publisher = Publisher(self._publish, self._can_publish, self._give_back, self.fail)
        self._link = StreamLink(
            settings,
            retain_days,
            lambda error: self._troubles.tell(CLUSTER, error),
            self._publisher.publish_again,
            lambda: self._publisher.has_sent,
        )
        self._follower = Follower(
            self._writer,
            path,
            self._deliver_arrivals,
            lambda error: self._troubles.tell(FILE, error),
        )
        self._copies = RecordCopies(
            self._link.connection, settings.replicas, retain_days, self._copy_records, self.fail
        )
        self._following = Following(
            self._link.connection,
            self._link.stream,
            self._writer,
            self._follower,
            self._take_back,
            self._see_rewound,
            self._copies.load,
            self.fail,
        )
        self._following.consumer.on_live = self._link.see_live
        self.connection = self._link.connection
        self.connection.listeners.append(lambda is_there: self._following.consumer.renew())
        # Whether what is said here may be said: not while others may have the names of those here.
        self.may_speak: Callable[[], bool] = lambda: True
        self._deliver: Deliver = lambda entries: None
        self._on_record: OnRecord = lambda kind, key, text: None
        self._on_rewound: Callable[[], None] = lambda: None
        self._told = count()
        self.commits = self._publisher.commits
        self._refusing: set[asyncio.Task[None]] = set()
        self.append = self._publisher.append
        self.wait_for_space = self._publisher.wait_for_space
        self.flush = self._publisher.flush

    @property
    def instance(self) -> str:
        """The name of this run of this server."""
        return self._publisher.instance

    @property
    def epoch(self) -> str:
        """The identity of the stream."""
        return self._writer.epoch

    @property
    def generation(self) -> str:
        """The same at all servers, until the stream is put back to an older copy."""
        return generation_of(self._writer.epoch, self._writer.followed.rewinds)

    @property
    def rewinds(self) -> int:
        """How often the stream was put back, as far as this server has followed it."""
        return self._writer.followed.rewinds

    @property
    def cluster(self) -> ClusterState:
        """How far this server is with what others have said."""
        groups = self._following.consumer.pending + self._follower.waiting_groups
        return ClusterState(groups, self._following.is_current)

    @property
    def waiting(self) -> int:
        """How many messages wait to be stored, or to be known as such."""
        return self._publisher.waiting

    @property
    def is_saving(self) -> bool:
        """Whether what a removed file held is being saved just now. In any thread."""
        return self._writer.is_saving

    # The beginning and the end.

    async def open(self, report: Report = ignore) -> None:
        """Wait for NATS, and follow the stream up to its end. Raises `LogError`."""
        self._troubles.report = report
        state = await self._link.open()
        self._writer.begin(state.epoch, state.rewinds)
        self._publisher.start()
        await self._following.start(state)
        self._copies.start()

    def listen(self, on_record: OnRecord, on_rewound: Callable[[], None]) -> None:
        """Have told what other servers bring: see `Log.listen`."""
        self._on_record = on_record
        self._on_rewound = on_rewound

    def start(self, deliver: Deliver, report: Report = ignore) -> None:
        """Begin to deliver; `report` hears what is wrong with the file, or with NATS."""
        self._deliver = deliver
        self._troubles.report = report
        self._searching.start()

    def hurry(self, seconds: float) -> None:
        """Have what waits for NATS, or for other programs, given up after so long."""
        self._writer.hurry(seconds / 2)
        asyncio.get_running_loop().call_later(seconds, self._publisher.give_up)

    async def close(self) -> None:
        """Publish what waits, write what came, end the threads, and release the file.

        Raises `LogError`: the file was not in its place any more, or the disk does not answer.
        """
        if self._writer.epoch:
            await self.flush()
        self._following.consumer.on_live = lambda is_live: None  # it is nobody's trouble any more
        closing = (self._copies, self._publisher, self._following)
        await asyncio.gather(*(one.close() for one in closing))
        try:
            await self._follower.close(CLOSE_SECONDS)
        finally:
            self._close_search()
            await self._link.close()
        self.abandon()

    # What is said here.

    def keep(self, kind: str, key: str, text: str | None) -> None:
        """Have a record kept: by all servers, or by this one alone where it is of a local kind."""
        keeper = self._follower if kind in self._writer.local_kinds else self._publisher
        keeper.keep(kind, key, text)

    async def _copy_records(self) -> RecordCopy:
        """Return what all servers keep. What is newer than its sequence may be among it."""
        sequence = self._writer.followed.sequence
        rows = await self._look_up(self._reader.all_records)
        kept = {
            (kind, key): text for kind, key, text in rows if kind not in self._writer.local_kinds
        }
        return RecordCopy(sequence, dict(kept))

    def tell(self, text: str) -> None:
        """Have all servers but this one told something."""
        self._publisher.keep(TOLD, f"{self.instance} {next(self._told)}", text)

    def _can_publish(self) -> bool:
        is_there = self.connection.is_connected and self._following.is_current
        return is_there and self.may_speak()

    async def _publish(self, group: OwnGroup) -> None:
        await self._link.publish(group, self._publisher.instance)

    def _give_back(self, entries: list[Entry]) -> None:
        """Say of entries that were never sent that they are not stored, once that is certain."""
        task = tasks.start(self._refuse(entries), "refuse", self.fail)
        self._refusing.add(task)
        task.add_done_callback(self._refusing.discard)

    async def _refuse(self, entries: list[Entry]) -> None:
        """What somebody says once more, since its echo was lost, is stored all the same."""
        for entry in entries:
            found = None
            if entry.said.key:
                with suppress(LogError):  # this server's disk and NATS have both failed
                    found = await self.find_key(entry.sender, entry.said.key)
            if found is not None:
                entry.room, entry.message = found
            entry.is_repeated, entry.is_lost = found is not None, found is None
        self._deliver([*entries, *self._publisher.note_delivered(entries)])

    # What comes back, from whichever server.

    def _take_back(self, group: StreamGroup) -> OwnGroup | None:
        own = self._publisher.take_back(group)
        if own is not None:  # whatever it holds, NATS has stored it
            self._troubles.tell(CLUSTER, None)
        return own

    def _deliver_arrivals(self, arrivals: Arrivals) -> None:
        # While it is followed anew, what has been delivered comes again.
        is_news = self._following.has_caught_up.is_set()
        for kind, key, text in arrivals.records:
            is_told = kind == TOLD
            is_heard = is_news and not key.startswith(self.instance)
            if is_heard if is_told else not self._publisher.has_newer(kind, key):
                self._hear(kind, key, text)
        joined = self._publisher.note_delivered(arrivals.own)
        entries = [*(arrivals.entries if is_news else arrivals.own), *joined]
        if entries:
            self._deliver(entries)

    def _hear(self, kind: str, key: str, text: str | None) -> None:
        """Tell of a record; what comes with it is delivered whatever is wrong with that."""
        try:
            self._on_record(kind, key, text)
        except Exception as error:
            _log.error("a record of the kind %.32r cannot be taken over", kind, exc_info=error)

    async def find_places(
        self, wishes: Sequence[tuple[str, int | None]], generation: str, count: int
    ) -> list[Place]:
        """Return where the readers of rooms begin.

        Who comes from another server may have seen more than this one has followed; that is waited
        for. Raises `LogError` where it does not come.
        """
        seen = max((after or 0 for _room, after in wishes), default=0)
        is_known = generation in ("", self.generation)
        try:
            await self._following.wait_for(seen >> PLACE_BITS if is_known else 0)
        except (AwayError, ApiError) as error:
            raise LogError(Problem.BEHIND, self.path, str(error)) from error
        return await super().find_places(wishes, generation, count)

    # What goes wrong.

    def drop(self, sender: str) -> None:
        """Have nothing stored of what waits, and somebody has said who has lost the name since."""
        self._publisher.drop(sender)

    def fail(self, error: BaseException) -> None:
        """An error in this program: nothing more can be said, or heard, at this server."""
        _log.error("the log of the cluster failed", exc_info=error)
        self._publisher.give_up()
        self._troubles.tell(FILE, LogError(Problem.STOPPED, self.path, repr(error)))

    def _see_rewound(self, rewinds: int, is_news: bool) -> None:
        """The stream was put back, and all that it has is here: nothing known before counts."""
        _log.error(
            "the stream was put back to an older copy; what was here is beside %s", self.path
        )
        if is_news:
            self._publisher.tell_rewinds(rewinds)
        self._publisher.publish_again()
        self._on_rewound()
