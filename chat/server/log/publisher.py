"""What is said at this server, on its way into the stream: one group at a time.

More than one under way could change the order of what one person says. The group that is under way
is published again, the same bytes under the same id, until it has come back out of the stream: that
alone says that it is stored. Knows neither NATS nor SQLite; everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from chat.server.cluster import tasks
from chat.server.cluster.bell import Bell
from chat.server.cluster.tasks import OnFailure
from chat.server.log.base import Entry
from chat.server.log.group_commit import (
    GATHER_FACTOR,
    MAX_GATHER_SECONDS,
    MAX_WAITING,
)
from chat.server.log.groups import GroupBuilder, OwnGroup, StreamGroup, new_instance
from chat.server.log.progress import Progress
from chat.server.log.writer_thread import Notes
from chat.server.tally import Commits

# How long a group may take to come back before it is published again.
AGAIN_SECONDS = 2.0
# How long what has never been published may wait for NATS; then it is certainly not stored.
MAX_AGE_SECONDS = 10.0
# Records that no message goes with wait no longer: other servers are to know whose a name is.
NOTE_SECONDS = 0.05
# How often it is looked for what is too old, while nothing can be published.
LOOK_SECONDS = 0.25


class Publisher:
    """Gathers what is said, and publishes it.

    `publish` sends a group, without an answer; `can_publish` says whether that makes sense now.
    `give_back` gets entries that have waited too long, and have never been sent. `commits`: what is
    counted of the groups, each from its first sending until it is back.
    """

    def __init__(
        self,
        publish: Callable[[OwnGroup], Awaitable[None]],
        can_publish: Callable[[], bool],
        give_back: Callable[[list[Entry]], None],
        on_failure: OnFailure,
    ) -> None:
        self.instance = new_instance()
        self.commits = Commits()
        self._publish = publish
        self._can_publish = can_publish
        self._give_back = give_back
        self._on_failure = on_failure
        self._number = 0
        self._under_way: OwnGroup | None = None
        self._sent_at = 0.0  # when it was published for the first time, by `perf_counter`
        # When each came; bounded by MAX_WAITING through `wait_for_space`.
        self._waiting: deque[tuple[float, Entry]] = deque()
        # Of each key that waits or is under way: those that came with it later, and share its fate.
        self._joined: dict[tuple[str, str], list[Entry]] = {}
        self._notes: Notes = {}
        self._note_timer: asyncio.TimerHandle | None = None
        self._has_notes_due = False
        self._rewinds = 0  # to be told to all
        self._open = 0  # entries of which it is not known yet what became of them
        self._is_given_up = False
        self._task: asyncio.Task[None] | None = None
        self._work = Bell()  # there may be something to publish
        self._news = Bell()  # of the group that is under way
        self._progress = Progress()

    def start(self) -> None:
        """Begin to publish. Call it in the event loop, once."""
        self._loop = asyncio.get_running_loop()
        self._task = tasks.start(self._run(), "publisher", self._on_failure)

    # What comes in.

    def append(self, entry: Entry) -> None:
        """Take an entry for the next group. One whose key is under way waits for that one."""
        self._open += 1
        key = (entry.sender, entry.message.key)
        if entry.message.key:
            if (others := self._joined.get(key)) is not None:
                others.append(entry)
                return
            self._joined[key] = []
        self._waiting.append((self._loop.time(), entry))
        self._work.ring()

    def keep(self, kind: str, key: str, text: str | None) -> None:
        """Have a record kept by all servers; a later one under the same key takes its place."""
        self._notes.pop((kind, key), None)  # what was kept between the two comes before the later
        self._notes[kind, key] = text
        if self._note_timer is None:
            self._note_timer = self._loop.call_later(NOTE_SECONDS, self._send_notes)

    def has_newer(self, kind: str, key: str) -> bool:
        """Say whether a record of this server's is on its way that the stream does not have yet."""
        under_way = self._under_way.notes if self._under_way is not None else {}
        return (kind, key) in self._notes or (kind, key) in under_way

    def tell_rewinds(self, rewinds: int) -> None:
        """Have all servers told, in the stream, that it was put back for that many times."""
        self._rewinds = rewinds
        self._work.ring()

    def _send_notes(self) -> None:
        self._note_timer = None
        self._has_notes_due = bool(self._notes)
        self._work.ring()

    def drop(self, sender: str) -> None:
        """Give back what a sender has said and was not published yet."""
        dropped = [entry for _at, entry in self._waiting if entry.sender == sender]
        self._waiting = deque(one for one in self._waiting if one[1].sender != sender)
        if dropped:
            self._give_back(dropped)

    # What is known of it.

    def take_back(self, group: StreamGroup) -> OwnGroup | None:
        """Return what a group of the stream was made of, if it is the one that is under way."""
        own = self._under_way
        if own is None or group.instance != self.instance or group.number != own.number:
            return None
        self._under_way = None
        self.commits.note(len(own.entries), time.perf_counter() - self._sent_at, is_lost=False)
        self._news.ring()
        self._progress.tell()
        return own

    def note_delivered(self, entries: list[Entry]) -> list[Entry]:
        """Return those that were joined to these entries, with what became of them."""
        joined: list[Entry] = []
        for entry in entries:
            if entry.said.key and (others := self._joined.pop(_key_of(entry), None)):
                for other in others:
                    other.is_lost = entry.is_lost
                    if not entry.is_lost:
                        other.room, other.message = entry.room, entry.message
                        other.is_repeated = True
                joined += others
        self._open -= len(entries) + len(joined)
        self._progress.tell()
        return joined

    def publish_again(self) -> None:
        """Publish what is under way once more, now: the connection is another one."""
        self._news.ring()
        self._work.ring()

    @property
    def has_sent(self) -> bool:
        """Whether a group is under way, of which it is not known yet what became."""
        return self._under_way is not None

    @property
    def waiting(self) -> int:
        """Of how many entries it is not known yet what became of them."""
        return self._open

    async def wait_for_space(self) -> None:
        """Return when fewer than `MAX_WAITING` entries are open."""
        while self._open >= MAX_WAITING:
            await self._progress.wait()

    async def flush(self) -> None:
        """Return when it is known of all that came in so far what became of it, or given up."""
        self._send_notes()
        while self._is_open and not self._is_given_up:
            await self._progress.wait()

    @property
    def _is_open(self) -> bool:
        return bool(self._open or self._has_notes_due or self._under_way is not None)

    def give_up(self) -> None:
        """Wait no more. What is open stays so: whoever said it says it again, elsewhere."""
        self._is_given_up = True
        self._progress.tell()

    async def close(self) -> None:
        """Publish no more."""
        if self._note_timer is not None:
            self._note_timer.cancel()
        await tasks.end(self._task)

    # What is published.

    async def _run(self) -> None:
        while True:
            await self._wait_for_work()
            self._sent_at = time.perf_counter()
            group = self._under_way = self._gather()
            self._news.silence()  # of an earlier group: this one would be sent twice at once
            while self._under_way is group:
                await self._send(group)
            if self._waiting:
                took_seconds = time.perf_counter() - self._sent_at
                await asyncio.sleep(min(GATHER_FACTOR * took_seconds, MAX_GATHER_SECONDS))

    async def _wait_for_work(self) -> None:
        """Return when there is something to publish, and it can be."""
        while True:
            self._refuse_old()
            is_work = self._waiting or self._has_notes_due or self._rewinds
            if is_work and self._can_publish():
                await asyncio.sleep(0)  # whatever else the loop reads in this turn comes with it
                return
            await self._work.wait(LOOK_SECONDS if is_work else None)

    async def _send(self, group: OwnGroup) -> None:
        """Publish the group once; return when it is back, or time to publish it again."""
        if self._can_publish():
            await self._publish(group)
        deadline = self._loop.time() + AGAIN_SECONDS
        while self._under_way is group and (left := deadline - self._loop.time()) > 0:
            if await self._news.wait(min(left, LOOK_SECONDS)):
                return
            self._refuse_old()

    def _gather(self) -> OwnGroup:
        builder = GroupBuilder()
        while self._waiting and builder.add(self._waiting[0][1]):
            self._waiting.popleft()
        self._notes = builder.add_notes(self._notes)
        self._has_notes_due = bool(self._notes)
        rewinds, self._rewinds = self._rewinds, 0
        self._number += 1
        return OwnGroup(self._number, builder.entries, builder.notes, builder.content(), rewinds)

    def _refuse_old(self) -> None:
        """Give back what has waited for too long: it was never sent, and so is not stored."""
        before = self._loop.time() - MAX_AGE_SECONDS
        old: list[Entry] = []
        while self._waiting and self._waiting[0][0] < before:
            old.append(self._waiting.popleft()[1])
        if old:
            self.commits.note(len(old), 0.0, is_lost=True)
            self._give_back(old)


def _key_of(entry: Entry) -> tuple[str, str]:
    return entry.sender, entry.said.key
