"""The stream as it is followed: from where this server's file ends, for as long as it runs.

Looks at the stream before each new consumer, notices what is no longer in it and that it was put
back, and knows when this server has caught up. Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from chat.server.cluster import tasks
from chat.server.cluster.connection import Connection
from chat.server.cluster.consumer import Consumer, Delivered
from chat.server.cluster.stream import MESSAGE_ID, NAME, Stream, StreamState, parse_rewinds
from chat.server.cluster.tasks import OnFailure
from chat.server.log.base import LogError, Problem
from chat.server.log.follower import Follower
from chat.server.log.following_writer import FollowingWriter
from chat.server.log.groups import REWINDS_HEADER, OwnGroup, StreamGroup, parse_message_id
from chat.server.log.record_copies import RecordCopy
from chat.server.log.stream_check import StreamCheck, Taken
from chat.server.log.writer_thread import Notes

# How often it is looked whether all has been followed, while it has not.
LOOK_SECONDS = 0.02
# How long a reader who has seen more than this server has followed is kept waiting for it.
BEHIND_SECONDS = 5.0


class Following:
    """Takes all that is in the stream to the `follower`.

    `take_back` returns what one of this server's own groups was made of. `on_rewound`: the stream
    was put back, so many times in all; all of it is here again. The flag: this server found it out
    first, and has to tell the others. `has_caught_up`: set while all that the stream had, when it
    was last looked at, is in the file.
    """

    def __init__(
        self,
        connection: Connection,
        stream: Stream,
        writer: FollowingWriter,
        follower: Follower,
        take_back: Callable[[StreamGroup], OwnGroup | None],
        on_rewound: Callable[[int, bool], None],
        load_copy: Callable[[], Awaitable[RecordCopy | None]],
        on_failure: OnFailure,
    ) -> None:
        self._load_copy = load_copy
        self._stream = stream
        self._writer = writer
        self._follower = follower
        self._take_back = take_back
        self._on_rewound = on_rewound
        self._on_failure = on_failure
        self.consumer = Consumer(connection, NAME, self._begin, self._take, on_failure)
        self.has_caught_up = asyncio.Event()
        self._taken = Taken()
        self._restarting: asyncio.Task[None] | None = None

    @property
    def is_current(self) -> bool:
        """Whether what is published now comes back by itself, and in its place."""
        return self.consumer.is_live and self.has_caught_up.is_set()

    async def start(self, state: StreamState) -> None:
        """Begin to follow; return when this server has caught up."""
        followed = self._writer.followed
        self._taken = Taken(followed.sequence, followed.message_id)
        self._check = StreamCheck(self._stream, state.epoch)
        self._follower.start()
        self.consumer.start()
        await self._catch_up()

    async def close(self) -> None:
        """Follow no more."""
        await asyncio.gather(tasks.end(self._restarting), self.consumer.close())

    async def wait_for(self, sequence: int) -> None:
        """Return when the file has what the stream has up to `sequence`, or the stream has not.

        Raises `AwayError` and `ApiError` where that cannot be found out, and `LogError` where it
        takes too long.
        """
        await self.has_caught_up.wait()
        if sequence <= self._writer.followed.sequence:
            return
        if sequence > (await self._stream.look()).last:
            return
        clock = asyncio.get_running_loop().time
        deadline = clock() + BEHIND_SECONDS
        while sequence > self._writer.followed.sequence:
            if clock() > deadline:
                raise LogError(Problem.BEHIND, NAME)
            await asyncio.sleep(LOOK_SECONDS)

    async def _catch_up(self) -> None:
        while not (self.consumer.is_live and self.consumer.pending == 0):
            await asyncio.sleep(LOOK_SECONDS)
        await self._follower.wait_idle()
        self.has_caught_up.set()

    async def _begin(self) -> int:
        """Look at the stream, and return after which sequence the next consumer begins."""
        state, was_put_back = await self._check.look(self._taken)
        if was_put_back:
            self._restart(state)
        rewinds = self._writer.followed.rewinds
        if state.rewinds < rewinds:  # as where an older copy of it is in its place
            await self._stream.note_rewinds(rewinds)
        if state.first > self._taken.sequence + 1:
            self._follower.skip_to(state.first, await self._records_before(was_put_back))
            self._taken = Taken(state.first - 1)
        return self._taken.sequence

    async def _records_before(self, was_put_back: bool) -> Notes | None:
        """Return all records, as they were before the first group of the stream, if that is known.

        Not from a copy that this server's file is ahead of, or that may be of another past.
        """
        if was_put_back:
            return None
        copy = await self._load_copy()
        return copy.records if copy is not None and copy.sequence > self._taken.sequence else None

    def _restart(self, state: StreamState) -> None:
        """Forget all that came from the stream, and follow it from its beginning."""
        known = self._writer.followed.rewinds
        is_news = state.rewinds <= known
        rewinds = known + 1 if is_news else state.rewinds
        self.has_caught_up.clear()
        self._taken = Taken()
        self._follower.restart(rewinds)
        if self._restarting is not None:
            self._restarting.cancel()
        following_anew = self._follow_anew(rewinds, is_news)
        self._restarting = tasks.start(following_anew, "restart", self._on_failure)

    async def _follow_anew(self, rewinds: int, is_news: bool) -> None:
        await self._catch_up()
        self._on_rewound(rewinds, is_news)

    async def _take(self, delivered: Delivered) -> None:
        headers = delivered.headers
        instance, number = parse_message_id(headers.get(MESSAGE_ID, ""))
        group = StreamGroup(
            delivered.sequence,
            delivered.stamp // 1000,
            instance,
            number,
            delivered.content,
            parse_rewinds(headers.get(REWINDS_HEADER, "")),
        )
        group.own = self._take_back(group)
        self._taken = Taken(group.sequence, group.message_id)
        await self._follower.take(group)
