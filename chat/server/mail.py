"""The inboxes of owned names, which outlive streams, sessions and servers: what has been read.

A private message to an owned name waits in the log until its owner has certainly got it. What was
handed to a stream that was lost a moment later may not have arrived: so the place that is kept with
the name is behind, for as long as that is so, what was handed out. That it has arrived is known
after a moment where the connection still worked: the client has said something, or the server has
ended the stream (somebody came in elsewhere). The same session brings a cursor of its own, and gets
nothing twice; another one may, rather than not at all.

The hub says who comes and goes; everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from chat.protocol.errors import ChatError
from chat.protocol.limits import (
    KEEPALIVE_TIME_MS,
    KEEPALIVE_TIMEOUT_MS,
    MAX_WAITING_MESSAGES,
    PING_TIMEOUT_MS,
)
from chat.protocol.metadata import JoinRequest
from chat.server.begun import Begun
from chat.server.log.base import Log, Missing, Place
from chat.server.member import Member
from chat.server.ownership import DAY, Owned, Owners
from chat.server.replay import readable
from chat.server.shares import MAX_FROM_ONE, Shares, sender_of
from chat.server.subscription import Subscription

# What was written to a connection so long before its loss was noticed may not have arrived.
UNCERTAIN_SECONDS = (KEEPALIVE_TIME_MS + PING_TIMEOUT_MS) / 1000
# What was written so long before somebody was heard on the same connection has arrived: TCP would
# have ended it, or brought what was missing, some seconds sooner.
ARRIVAL_SECONDS = 1.5 * KEEPALIVE_TIMEOUT_MS / 1000
# Whether a connection that has not ended has brought what was written so long ago: TCP_USER_TIMEOUT
# ends it else, where there is one.
HAS_TCP_TIMEOUT = sys.platform == "linux"
# How long a message waits for the owner of the name.
WAIT_SECONDS = 30 * DAY
# How often it is noted how far somebody has got.
NOTE_SECONDS = 5.0
# Messages that are looked at for their age at a time.
LOOKED_AT = 100
# Names that one stream had before, whose inboxes are still looked after: more than anybody has
# within `UNCERTAIN_SECONDS`. Of the oldest ones what came last may be told once more.
MAX_EARLIER = 20


@dataclass
class _Reader:
    """How far one stream had got in the inbox of `name`, its `place`, and when that was seen.

    The first mark is certain: what was handed out by then has arrived.
    """

    name: str
    place: Subscription
    marks: deque[tuple[float, int]]

    def look(self, now: float) -> None:
        """Take note of how far it has got."""
        if self.place.seen_id > self.marks[-1][1]:
            self.marks.append((now, self.place.seen_id))

    @property
    def is_certain(self) -> bool:
        """Whether all that was handed out has arrived."""
        return self.marks[0][1] >= self.place.seen_id

    def certain_id(self, arrived_before: float) -> int:
        """Return the last id that has certainly arrived, if all that was written by then has."""
        while len(self.marks) > 1 and self.marks[1][0] <= arrived_before:
            self.marks.popleft()
        return self.marks[0][1]


class _Queue:
    """Those who write to one inbox of somebody who is away.

    `turn`: of whoever looks for room there. `coming`: messages of each sender that have it, and are
    on their way.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.coming: Counter[str] = Counter()
        self._is_empty = asyncio.Event()

    def leave(self, sender: str) -> None:
        """Note that a message has come to its end."""
        self.coming[sender] -= 1
        if not self.coming.total():
            self._is_empty.set()

    async def wait_empty(self) -> None:
        """Return when none is on its way. For whoever has the turn, so that none comes."""
        while self.coming.total():
            self._is_empty.clear()
            await self._is_empty.wait()


class Mail:
    """What waits for the owners of names, and how far each has read. `clock`: monotonic seconds.

    `wall_clock`: seconds since 1970.
    """

    def __init__(
        self,
        log: Log,
        owners: Owners,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._owners = owners
        self._clock = clock
        self._wall_clock = wall_clock
        # Those of one member: of the present name, and of earlier ones until all is certain.
        self._readers: dict[Member, list[_Reader]] = {}
        self._unnoted: dict[Member, None] = {}
        self._heard_at: dict[Member, float] = {}  # when one of those has said something last
        self._begun = Begun()
        self._timer: asyncio.TimerHandle | None = None
        self._shares = Shares(WAIT_SECONDS, wall_clock)
        self._queues: WeakValueDictionary[str, _Queue] = WeakValueDictionary()

    def __len__(self) -> int:
        """How many inboxes of streams are looked after just now, or were the present one's."""
        return sum(map(len, self._readers.values()))

    # One who comes, and goes.

    async def begin(self, member: Member, request: JoinRequest | None = None) -> Place | None:
        """Return where the inbox of an owner's stream begins; None where the name is nobody's.

        `request`: None where the name has just changed. Raises LOG_UNREADABLE.
        """
        person, inbox = member.person, member.inbox
        assert person is not None and inbox is not None
        owned = self._owners.find(person.name) if person.owns_name else None
        if owned is None:
            return None
        client_id = request.inbox if request is not None else None
        is_same = client_id is not None and owned.seen_by == person.identity
        handed_id = self._handed_id(member, owned)
        place = await self._place(owned, handed_id, self._log.generation)
        if request is not None and client_id is not None and client_id > place.start:
            its_own = await self._place(owned, client_id, request.generation)
            if its_own.missing is Missing.REWOUND:  # then it forgets its cursor
                place = replace(place, missing=Missing.REWOUND)
            elif is_same:
                place = its_own
            else:  # it would take for seen what comes below its cursor; so it sees no ids
                inbox.hides_ids = True
        elif is_same and client_id is not None:
            place = await self._unseen(owned, client_id, place)
        inbox.hides_ids |= client_id is None
        if person.member is member:
            # What the stream had under this name before may still be on its way.
            is_certain = handed_id == owned.inbox_seen_id
            certain_id = place.start if is_certain else owned.inbox_seen_id
            marks = deque([(self._clock(), certain_id)])
            self._watch(member, _Reader(person.name, inbox, marks))
            # A stream that shows no ids leaves its session with a cursor that means nothing here.
            is_known = bool(person.session) and not inbox.hides_ids
            self._owners.note_seen(owned, certain_id, person.identity if is_known else "")
            self._begun.note(owned.inbox, person.identity if is_known else "", place.start)
            if place.has_more or not is_certain:
                self.note_soon(member)
        return place

    def _watch(self, member: Member, reader: _Reader) -> None:
        """Look after one more inbox of a stream; after the oldest no more, if they are many."""
        readers = self._readers.setdefault(member, [])
        readers.append(reader)
        del readers[: -1 - MAX_EARLIER]

    def _handed_id(self, member: Member, owned: Owned) -> int:
        """Return the last id that is certain, or was handed to this very stream before."""
        earlier = (reader.place for reader in self._readers.get(member, ()))
        here = (place for place in earlier if place.room.key == owned.inbox)
        return max([owned.inbox_seen_id, *(max(p.seen_id, p.owed_id) for p in here)])

    async def _unseen(self, owned: Owned, client_id: int, place: Place) -> Place:
        """Return where a session goes on that may not have shown all that has arrived at it."""
        begun = self._begun.start(owned.inbox, owned.seen_by)
        if begun is None or max(client_id, begun) >= place.start:
            return place
        return await self._place(owned, max(client_id, begun), self._log.generation)

    async def _place(self, owned: Owned, after: int, generation: str) -> Place:
        """Return where a reader of an inbox begins after an id, or after what is too old."""
        wish = (owned.inbox, after)
        (place,) = await readable(self._log.find_places([wish], generation, 0))
        if place.missing is Missing.REWOUND or not place.has_more:
            return place
        start = await self._after_old(owned.inbox, place.start)
        return place if start == place.start else Place(start, Missing.TRIMMED)

    async def _after_old(self, inbox: str, after: int) -> int:
        """Return the id after which nothing in an inbox has waited for too long."""
        before = self._wall_clock() - WAIT_SECONDS
        count = 1  # mostly there is none, or it is not old
        while page := await readable(self._log.read(inbox, after, count)):
            for message in page:
                if message.sent_at.seconds >= before:
                    return after
                after = message.id
            count = LOOKED_AT
        return after

    def end(self, member: Member, is_lost: bool) -> None:
        """Note how far an owner has got by a stream that ends.

        `is_lost`: what was handed to it last may not have arrived.
        """
        before = self._arrived_before(member)
        for reader in self._readers.pop(member, ()):
            self._note(reader, reader.certain_id(before) if is_lost else reader.place.seen_id)
            if not is_lost:
                self._begun.forget(reader.place.room.key)
        self._unnoted.pop(member, None)
        self._heard_at.pop(member, None)

    def note_word(self, member: Member) -> None:
        """Note that the client has said something: its connection works."""
        if member in self._readers:
            self._heard_at[member] = self._clock()

    def _arrived_before(self, member: Member) -> float:
        """Return the moment before which what was written to a stream has certainly arrived."""
        now = self._clock()
        before = now - UNCERTAIN_SECONDS
        if member.writing_since is not None:  # what was handed out may not even be written
            return before
        if member.error is not None and HAS_TCP_TIMEOUT:  # the server ends it, not its connection
            return now - ARRIVAL_SECONDS
        return max(before, self._heard_at.get(member, 0.0) - ARRIVAL_SECONDS)

    def note_soon(self, member: Member) -> None:
        """Note from time to time how far the owner has got, until that is certain."""
        if member in self._readers:
            self._unnoted[member] = None
            self._note_later()

    def _note_later(self) -> None:
        if self._unnoted and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(NOTE_SECONDS, self.note_all)

    def note_all(self) -> None:
        """Note how far everybody has got by now."""
        self._timer = None
        now = self._clock()
        for member in list(self._unnoted):
            before = self._arrived_before(member)
            for reader in self._readers[member]:
                reader.look(now)
                self._note(reader, reader.certain_id(before))
            self._forget_certain(member)
        self._note_later()

    def _forget_certain(self, member: Member) -> None:
        """Look no more after what has all been handed out, and arrived."""
        *earlier, present = self._readers[member]
        uncertain = [reader for reader in earlier if not _is_over(member, reader)]
        self._readers[member] = [*uncertain, present]
        if not uncertain and _is_over(member, present):
            del self._unnoted[member]

    def _note(self, reader: _Reader, seen_id: int) -> None:
        owned = self._owners.find(reader.name)
        if owned is not None and owned.inbox == reader.place.room.key:
            self._owners.note_seen(owned, seen_id)

    # What is sent.

    @asynccontextmanager
    async def room_for(self, owned: Owned, member: Member) -> AsyncIterator[None]:
        """Have room for one more message of a member in the inbox of somebody who is away.

        For the length of the block, in which the message is to be committed, nobody else gets it.
        Raises INBOX_FULL, LOG_UNREADABLE.
        """
        queue = self._queues.get(owned.inbox)
        if queue is None:
            queue = self._queues[owned.inbox] = _Queue()
        sender = sender_of(member)
        async with queue.turn:
            await self._take_room(queue, owned, sender)
        try:
            yield
        finally:
            queue.leave(sender)

    def note_left(self, member: Member, name: str, message_id: int) -> None:
        """Note that a message of a member waits for the owner of a name."""
        owned = self._owners.find(name)
        if owned is not None:
            self._shares.note(owned, sender_of(member), message_id)

    async def _take_room(self, queue: _Queue, owned: Owned, sender: str) -> None:
        """Have one more on its way into an inbox; where it might be full, one after the other."""
        if await self._is_full(owned, sender, queue.coming):
            await queue.wait_empty()
            if await self._is_full(owned, sender, Counter()):
                raise ChatError("INBOX_FULL")
        queue.coming[sender] += 1

    async def _is_full(self, owned: Owned, sender: str, others: Counter[str]) -> bool:
        """Say whether a sender has no room in an inbox beside those that are on their way."""
        owned = self._owners.find(owned.name) or owned
        if self._shares.count(owned, sender) + others[sender] >= MAX_FROM_ONE:
            return True
        coming = others.total()
        inbox, seen_id, room = owned.inbox, owned.inbox_seen_id, MAX_WAITING_MESSAGES - coming
        if coming and room <= 1:
            return True
        # Of the last thousand the first: where it waits, they all do.
        first_id = await readable(self._log.start_of_last(inbox, room - 1))
        return first_id > seen_id and first_id > await self._after_old(inbox, seen_id)


def _is_over(member: Member, reader: _Reader) -> bool:
    """Say whether nothing is owed to a reader, and all that it was handed has arrived."""
    return reader.is_certain and not member.queue.owes(reader.place)
