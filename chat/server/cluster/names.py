"""Who is called what at which server: a name is held by one person at a time, over all servers.

What a name looks like (`lookalikes.looks`) is a key in a bucket each, in one order: the first of
them says who is there. Of two who take a key at once one gets it. A name stays held until it is
released, or the server that holds it is dead (`leases.py`). Knows no rooms' messages and no gRPC;
everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from chat.protocol.lookalikes import looks
from chat.protocol.names import name_key
from chat.server.cluster import tasks
from chat.server.cluster.bucket import Bucket, ConflictError, Value
from chat.server.cluster.connection import ApiError, AwayError, Connection
from chat.server.cluster.consumer import Delivered
from chat.server.cluster.known_keys import KnownKeys
from chat.server.cluster.leases import Leases
from chat.server.cluster.tasks import OnFailure
from chat.server.plain_json import read_object, record_of
from chat.server.waiting import within

BUCKET = "chat-names"
# How long a claim may take; then NATS counts as away.
CLAIM_SECONDS = 3.0
# Somebody else may be faster so often in a row.
MAX_ATTEMPTS = 5
RETRY_SECONDS = 0.5
LOOK_SECONDS = 0.02
SWEEP_SECONDS = 2.0
# How long a key that this server holds for nobody is taken for a claim that is still being made.
STRAY_SECONDS = CLAIM_SECONDS + 2.0

_log = logging.getLogger(__name__)


class NameTakenError(Exception):
    """Somebody else holds the name, or one that looks like it."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Somebody with a name. `identity`: who that is for the log; `inbox`, `rooms`: keys of rooms.

    `of`: the first key of the name, where this is another one. `before`: the identity that the same
    person had until now. `attempt`: tells one claim from the next of the same person. `owner`:
    whose own the name is; empty: nobody's. `is_here`: it has a stream, which was lost else.
    """

    name: str
    server: str
    identity: str
    inbox: str = ""
    rooms: tuple[str, ...] = ()
    of: str = ""
    before: str = ""
    attempt: str = ""
    owner: str = ""
    is_here: bool = True

    def to_content(self) -> bytes:
        """Return it as the value of a key."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_content(cls, content: bytes) -> Holding:
        """Read it out of a value; raises `ValueError` where it is none."""
        return record_of(cls, read_object(content))


@dataclass
class Claim:
    """What this server holds of a name: its keys, in their order, each with its revision.

    `doubtful`: a key, and the value that it may have been given: NATS did not answer. `taken_from`:
    the identity of the same person, who has had the name until now; empty: nobody.
    """

    holding: Holding
    revisions: dict[str, int] = field(default_factory=dict)
    doubtful: tuple[str, bytes] | None = None
    taken_from: str = ""

    def without(self, other: Claim) -> Claim:
        """Return what is held of it, but for the keys that another claim has too."""
        rest = {key: at for key, at in self.revisions.items() if key not in other.revisions}
        return Claim(self.holding, rest)


def keys_of(name: str) -> list[str]:
    """Return the keys of a name, in their order: any text, as a bucket takes it."""
    return sorted(hashlib.sha256(look.encode()).hexdigest()[:32] for look in looks(name))


def _holding_in(content: bytes | None) -> Holding | None:
    """Return who holds a key with this value; None: nobody of ours."""
    try:
        return Holding.from_content(content) if content is not None else None
    except ValueError:
        _log.error("what a key of %s holds is not understood", BUCKET)
        return None


def _is_owners(held: Holding, wanted: Holding) -> bool:
    """Say whether a name is held by its owner, who wants it in another session."""
    is_name = name_key(held.name) == name_key(wanted.name)
    return is_name and bool(held.owner) and held.owner == wanted.owner


def _take_over(claim: Claim, other: Holding) -> None:
    """Let somebody still be seen, and reached, where it was at another server.

    It is on its way into the same rooms, and reads the same inbox.
    """
    if not other.of:
        claim.taken_from = other.identity
        rooms = claim.holding.rooms or other.rooms
        inbox = claim.holding.inbox or other.inbox
        claim.holding = replace(claim.holding, rooms=rooms, inbox=inbox)


class Names:
    """The names of all servers. `on_change`: who held a name, and who does now; None: nobody.

    `on_complete`: all that the bucket has was read anew. `is_wanted`: whether this server holds a
    key, which is under its name, for somebody.
    """

    def __init__(
        self,
        connection: Connection,
        leases: Leases,
        replicas: int,
        on_failure: OnFailure,
    ) -> None:
        self._leases = leases
        self._bucket = Bucket(connection, BUCKET, replicas)
        self._known: KnownKeys[Holding] = KnownKeys()
        self._known.on_change = self._see_change
        self.consumer = self._bucket.follow(self._take, on_failure, self._known.begin)
        self.consumer.on_live = self._see_live
        self._on_failure = on_failure
        self.is_wanted: Callable[[str, Holding], bool] = lambda key, holding: True
        self._strays: dict[str, tuple[int, float]] = {}  # their revision, and since when
        self.on_change: Callable[[Holding | None, Holding | None], None] = lambda old, new: None
        self.on_complete: Callable[[], None] = lambda: None
        self._known.on_complete = lambda: self.on_complete()
        self._releasing: dict[str, asyncio.Task[None]] = {}
        self._sweeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to follow, and know all there are. Raises as `Bucket`, before anything begins."""
        await self._bucket.prepare()
        self.consumer.start()
        self._sweeper = tasks.start(self._sweep_now_and_then(), "sweep-names", self._on_failure)
        await self._catch_up()

    async def close(self) -> None:
        """Follow no more; what is being released is given up."""
        running = (self._sweeper, *self._releasing.values())
        await asyncio.gather(tasks.end(*running), self.consumer.close())

    # What is known of all.

    def find(self, name: str) -> Holding | None:
        """Return who is called so, as far as is known here."""
        for key in keys_of(name):
            holding = self._known.values.get(key)
            if holding is not None and name_key(holding.name) == name_key(name):
                return self._known.values.get(holding.of or key)
        return None

    def people(self) -> list[Holding]:
        """Return everybody, at all servers."""
        return [holding for holding in self._known.values.values() if not holding.of]

    # What this server holds.

    async def claim(self, holding: Holding, giving_way: Collection[str] | None = None) -> Claim:
        """Take a name for somebody, or take it over: from the same one elsewhere, or the dead.

        `giving_way`: the only servers that the same one may be at for that; None: any. Raises
        `NameTakenError`, and `AwayError` after `CLAIM_SECONDS`.
        """
        claim = Claim(replace(holding, attempt=secrets.token_hex(4)))
        try:
            await within(CLAIM_SECONDS, self._claim(claim, giving_way))
        except BaseException as error:
            self.release(claim)
            if isinstance(error, (asyncio.TimeoutError, ApiError)):
                raise AwayError(str(error)) from error
            raise
        return claim

    async def _claim(self, claim: Claim, giving_way: Collection[str] | None) -> None:
        # In one order for all: of two with keys in common, who has the first gets all of his.
        keys = keys_of(claim.holding.name)
        same = {claim.holding.identity, claim.holding.before}
        for key in keys:
            if (releasing := self._releasing.get(key)) is not None:
                await asyncio.wait({releasing})  # by this very server, a moment ago
            of = "" if key == keys[0] else keys[0]
            claim.revisions[key] = await self._take_key(claim, key, of, same, giving_way)

    async def _take_key(
        self,
        claim: Claim,
        key: str,
        of: str,
        same: set[str],
        giving_way: Collection[str] | None,
    ) -> int:
        """Take one key of a name; return its revision. `same`: identities of the same person."""
        for _attempt in range(MAX_ATTEMPTS):
            held = await self._bucket.get(key)
            other = _holding_in(held.content)
            if other is not None:
                is_same = other.identity in same or _is_owners(other, claim.holding)
                is_giving_way = giving_way is None or other.server in giving_way
                if not (is_same and is_giving_way) and self._leases.is_alive(other.server):
                    raise NameTakenError(claim.holding.name)
                if is_same:
                    same.add(other.identity)  # the other keys do not say whose own the name is
                    _take_over(claim, other)
            content = replace(claim.holding, of=of).to_content()
            claim.doubtful = (key, content)
            with suppress(ConflictError):  # somebody was faster: look again who
                revision = await self._bucket.put(key, content, held.revision)
                claim.doubtful = None
                return revision
            claim.doubtful = None
        raise NameTakenError(claim.holding.name)

    async def move(self, claim: Claim, **place: Any) -> None:
        """Say where somebody is now, in fields of `Holding`.

        Raises `ConflictError`: the name was taken over.
        """
        holding = replace(claim.holding, **place)
        key = next(iter(claim.revisions))
        content = holding.to_content()
        claim.revisions[key] = await self._bucket.put(key, content, claim.revisions[key])
        claim.holding = holding

    async def refresh(self) -> None:
        """Return when all that the bucket has is known anew, whatever was missed."""
        self.consumer.renew()
        await self._catch_up()

    async def _catch_up(self) -> None:
        while not (self.consumer.is_live and self.consumer.pending == 0):
            await asyncio.sleep(LOOK_SECONDS)

    def is_held(self, claim: Claim) -> bool:
        """Say whether all of a claim is this server's, and as it left it, as far as is known."""
        return all(
            (one := self._known.values.get(key)) is not None
            and one.attempt == claim.holding.attempt
            and self._known.revisions[key] == revision
            for key, revision in claim.revisions.items()
        )

    def is_put_back(self, claim: Claim) -> bool:
        """Say whether what is known is older than a claim: only a bucket put back has that."""
        known = self._known.revisions
        return any(0 < known.get(key, 0) < revision for key, revision in claim.revisions.items())

    @property
    def is_reading(self) -> bool:
        """Whether what comes now may be older than what is known."""
        return self._known.is_reading

    def release(self, claim: Claim) -> None:
        """Let go of a name; done later where NATS is away, unless the name was taken over."""
        for key, revision in claim.revisions.items():
            self._release_later(key, self._bucket.delete, revision)
        if claim.doubtful is not None:
            key, content = claim.doubtful
            self._release_later(key, self._delete_if, content)

    def _release_later(
        self, key: str, delete: Callable[[str, Any], Awaitable[None]], what: object
    ) -> None:
        task = tasks.start(self._release(key, delete, what), "release", self._on_failure)
        self._releasing[key] = task

    async def _delete_if(self, key: str, content: bytes) -> None:
        """Take a key's value away if it is this one."""
        held = await self._bucket.get(key)
        if held.content == content:
            await self._bucket.delete(key, held.revision)

    async def _release(
        self, key: str, delete: Callable[[str, Any], Awaitable[None]], what: object
    ) -> None:
        is_done = False
        while not is_done:
            try:
                with suppress(ConflictError):  # it is not ours any more
                    await delete(key, what)
                is_done = True
            except (AwayError, ApiError) as error:
                _log.info("releasing a name: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
        if self._releasing.get(key) is asyncio.current_task():
            del self._releasing[key]

    # What comes in.

    async def _take(self, key: str, value: Value, delivered: Delivered) -> None:
        self._known.take(key, _holding_in(value.content), value.revision, delivered.pending)

    def _see_live(self, is_live: bool) -> None:
        if is_live and not self.consumer.pending:  # where the bucket is empty
            self._known.complete()

    def _see_change(self, old: Holding | None, new: Holding | None) -> None:
        was, now = (one if one is not None and not one.of else None for one in (old, new))
        if was != now:
            self.on_change(was, now)

    async def _sweep_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            with suppress(AwayError, ApiError):
                await self._sweep_own()
                if self._leases.is_first():
                    await self._sweep()

    async def _sweep(self) -> None:
        """Release what dead servers hold. What is known of them may be old: it is asked again."""
        for key, holding in list(self._known.values.items()):
            if self._leases.is_alive(holding.server):
                continue
            with suppress(ConflictError):
                await self._delete_if(key, holding.to_content())

    async def _sweep_own(self) -> None:
        """Release what this server holds for nobody, as where the bucket was put back."""
        now = time.monotonic()
        before, self._strays = self._strays, {}
        for key, holding in list(self._known.values.items()):
            if holding.server != self._leases.me or self.is_wanted(key, holding):
                continue
            revision = self._known.revisions[key]
            since = before.get(key, (0, now))
            self._strays[key] = since if since[0] == revision else (revision, now)
        for key, (revision, at) in list(self._strays.items()):
            if now - at >= STRAY_SECONDS:
                with suppress(ConflictError):
                    await self._bucket.delete(key, revision)
