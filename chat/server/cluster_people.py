"""The people of all servers of a cluster: `neighbours.Neighbours` on the names in NATS.

What changes at other servers is told to this one's rooms. Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from chat.protocol.errors import ChatError
from chat.server.cluster import tasks
from chat.server.cluster.bell import Bell
from chat.server.cluster.bucket import ConflictError
from chat.server.cluster.connection import ApiError, AwayError, Connection
from chat.server.cluster.leases import Leases
from chat.server.cluster.names import Claim, Holding, Names, NameTakenError
from chat.server.cluster.tasks import OnFailure
from chat.server.elsewhere import Elsewhere, Seen, changes
from chat.server.neighbours import Neighbour, Reservation, Whereabouts

if TYPE_CHECKING:
    from chat.server.hub import Hub
    from chat.server.room import Room

RETRY_SECONDS = 0.5

_log = logging.getLogger(__name__)


class ClusterPeople:
    """Holds the names of this server's people for them, and knows those of the others.

    `me`: this run of this server. `drop` is called with the identity of whoever has lost the name
    while this server slept, or was cut off: nothing that still waits may be said under it.
    """

    def __init__(
        self,
        connection: Connection,
        me: str,
        replicas: int,
        on_failure: OnFailure,
        drop: Callable[[str], None] = lambda identity: None,
    ) -> None:
        self.run = me
        self._drop = drop
        connection.listeners.append(self._renew)
        self._leases = Leases(connection, me, replicas, on_failure)
        self._names = Names(connection, self._leases, replicas, on_failure)
        self._names.on_change = self._see_change
        self._names.on_complete = self._see_all
        self._names.is_wanted = self._is_wanted
        self._leases.on_lapse = self._doubt
        self._is_doubted = False  # whether what this server holds is still its own
        self._on_failure = on_failure
        self._claims: dict[str, Claim] = {}  # by identity
        self._reserving: set[str] = set()  # whose claim is about to be one of them
        self._elsewhere = Elsewhere(me, self._is_here)
        self._moved: dict[str, Whereabouts] = {}  # where somebody is, not told yet
        self._bell = Bell()
        self._hub: Hub | None = None
        self._task: asyncio.Task[None] | None = None

    def attach(self, hub: Hub) -> None:
        """Tell the rooms of this hub what changes elsewhere."""
        self._hub = hub

    async def open(self) -> None:
        """Begin to hold names, when all servers' are known, however long NATS takes for that."""
        for opening in (self._leases.open, self._names.open):
            await _until_done(opening)
        self._task = tasks.start(self._tell_moves(), "people", self._on_failure)

    def _renew(self, is_connected: bool) -> None:
        """Ask anew who is where: the connection is another one."""
        self._names.consumer.renew()
        self._leases.renew()

    async def close(self) -> None:
        """Hold no more names than are held; those of this server are so until its lease ends."""
        await asyncio.gather(tasks.end(self._task), self._names.close(), self._leases.close())

    # What the hub asks.

    @asynccontextmanager
    async def reserving(
        self, name: str, identity: str, before: str = "", owner: str = ""
    ) -> AsyncIterator[Reservation]:
        """Hold a name: see `Neighbours`. What this server holds already needs no NATS."""
        old = self._claims.get(identity) or self._claims.get(before)
        if old is not None and (old.holding.name, old.holding.identity) == (name, identity):
            yield Reservation()
            return
        rooms, inbox = (old.holding.rooms, old.holding.inbox) if old is not None else ((), "")
        holding = Holding(name, self.run, identity, inbox, rooms, before=before, owner=owner)
        claim = await self._claim(holding)
        async with self._taking(claim, old) as still_seen:
            yield Reservation(has_waited=True, rooms=still_seen)
        self._claims.pop(before, None)
        self._claims[identity] = claim
        if old is not None:
            self._names.release(old.without(claim))

    @asynccontextmanager
    async def restoring(self, name: str, identity: str, run: str) -> AsyncIterator[None]:
        """Hold a name as an earlier run of this server did: see `Neighbours`."""
        holding = Holding(name, self.run, identity, is_here=False)
        claim = await self._claim(holding, (run, self.run))
        async with self._taking(claim, None):
            yield
        self._claims[identity] = claim

    async def _claim(self, holding: Holding, giving_way: tuple[str, ...] | None = None) -> Claim:
        try:
            return await self._names.claim(holding, giving_way)
        except NameTakenError as error:
            raise ChatError("NAME_TAKEN") from error
        except AwayError as error:
            raise ChatError("CLUSTER_AWAY") from error

    @asynccontextmanager
    async def _taking(self, claim: Claim, old: Claim | None) -> AsyncIterator[frozenset[str]]:
        """Let go of what was claimed where the block fails; `old`: what the same one had before.

        The block gets the rooms where it is still seen, as it was at another server until now;
        those there are told when it has another name since.
        """
        identity, name = claim.holding.identity, claim.holding.name
        self._reserving.add(identity)
        taken = map(self._elsewhere.take, (identity, claim.taken_from))
        seen = [one for one in taken if one is not None]
        try:
            yield frozenset().union(*(one.rooms for one in seen))
        except BaseException:
            self._give_up(claim, old)
            raise
        else:
            for one in seen:
                self._tell_rename(one, name)
        finally:
            self._reserving.discard(identity)

    def _give_up(self, claim: Claim, old: Claim | None) -> None:
        """Let go of a name that was not taken after all, but for what the old one has of it."""
        if old is not None:
            shared = {key: claim.revisions[key] for key in claim.revisions if key in old.revisions}
            claim = claim.without(old)
            old.revisions.update(shared)
            held = old.holding
            place = Whereabouts(held.rooms, held.inbox, held.owner, held.is_here)
            self.move(held.identity, place)
        self._names.release(claim)

    def move(self, identity: str, place: Whereabouts) -> None:
        """Let the others know where somebody is now."""
        if identity in self._claims or identity in self._reserving:
            self._moved[identity] = place
            self._bell.ring()

    def release(self, identity: str) -> None:
        """Let go of the name that somebody has."""
        self._moved.pop(identity, None)
        if (claim := self._claims.pop(identity, None)) is not None:
            self._names.release(claim)

    def find(self, name: str) -> Neighbour | None:
        """Return who is called so at another server."""
        holding = self._names.find(name)
        if holding is None or holding.server == self.run:
            return None
        return Neighbour(
            holding.name,
            holding.identity,
            holding.inbox,
            holding.rooms,
            holding.owner,
            holding.is_here,
        )

    def has(self, identity: str) -> bool:
        """Say whether somebody at another server has this identity."""
        return self._elsewhere.has(identity)

    def names_in(self, room: str) -> list[str]:
        """Return who is in a room at other servers."""
        return self._elsewhere.names_in(room)

    def counts(self) -> dict[str, int]:
        """Return, for each room that has people at other servers, how many."""
        return self._elsewhere.counts()

    def _is_here(self, identity: str) -> bool:
        return identity in self._claims or identity in self._reserving

    # What is told, and heard.

    async def _tell_moves(self) -> None:
        """Write down where people are, one after the other: the last word of each counts."""
        while True:
            if self._is_doubted:
                await self._look_again()
                continue
            if not self._moved:
                await self._bell.wait(None)
                continue
            identity, place = next(iter(self._moved.items()))
            try:
                if (claim := self._claims.get(identity)) is not None:
                    await self._names.move(claim, **vars(place))
            except ConflictError:  # it is another server's by now, or the bucket was put back
                self._doubt()
                continue
            except (AwayError, ApiError):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if self._moved.get(identity) == place:
                del self._moved[identity]

    def may_speak(self) -> bool:
        """Say whether the names of those here are theirs, as far as can be known."""
        return self._leases.is_held and not self._is_doubted

    def _doubt(self) -> None:
        self._is_doubted = bool(self._claims)
        self._bell.ring()

    async def _look_again(self) -> None:
        """Find out which names were lost while nobody renewed the lease."""
        try:
            await self._names.refresh()
            for identity, claim in list(self._claims.items()):
                if not self._names.is_held(claim) and self._claims.get(identity) is claim:
                    await self._claim_again(identity, claim)
            self._is_doubted = False
        except (AwayError, ApiError):
            await asyncio.sleep(RETRY_SECONDS)

    async def _claim_again(self, identity: str, claim: Claim) -> None:
        """Hold a name again that others have let go of, if nobody has it by now."""
        try:
            # What is older than the claim was put back: whoever held it then does no more.
            giving_way = None if self._names.is_put_back(claim) else (self.run,)
            again = await self._names.claim(claim.holding, giving_way)
        except NameTakenError:
            self._lose(identity)
        else:
            if self._claims.get(identity) is claim:
                self._claims[identity] = again
            else:  # it was given up meanwhile
                self._names.release(again)

    def _lose(self, identity: str) -> None:
        """Somebody else has the name of somebody here, or the same one at another server."""
        self._moved.pop(identity, None)
        if (claim := self._claims.pop(identity, None)) is not None:
            self._names.release(claim)  # what of it was not taken
            self._drop(identity)
            left = self._hub.hand_over(identity) if self._hub is not None else None
            self._tell(identity, Seen(left[0], frozenset(left[1])) if left is not None else None)

    def _see_all(self) -> None:
        """All names were read anew: see whether those of this server are among them."""
        if not all(self._names.is_held(claim) for claim in self._claims.values()):
            self._doubt()

    def _is_wanted(self, key: str, holding: Holding) -> bool:
        claim = self._claims.get(holding.identity)
        return holding.identity in self._reserving or (claim is not None and key in claim.revisions)

    def _see_change(self, old: Holding | None, new: Holding | None) -> None:
        """Somebody has come, gone, moved, or has gone on at another server."""
        self._elsewhere.note(old, new)
        if old is not None and old.server == self.run:
            claim = self._claims.get(old.identity)
            if claim is not None and claim.holding.name == old.name:
                if new is None or self._names.is_reading:
                    self._doubt()  # others took this server for dead, or the bucket was put back
                elif new.server != self.run:
                    self._lose(old.identity)
        if new is not None and self._has_gone_on(new):
            self._lose(new.identity)
        for holding in filter(None, (old, new)):
            self._tell(holding.identity)

    def _has_gone_on(self, new: Holding) -> bool:
        """Say whether somebody here is at another server by now, under whatever name."""
        claim = self._claims.get(new.identity)
        if claim is None or new.server == self.run or not new.is_here:
            return False
        return self._names.is_held(claim)  # what is seen after that has come after it

    def _tell(self, identity: str, was: Seen | None = None) -> None:
        """Tell the rooms here what has changed of somebody elsewhere; `was`: as it was here."""
        for event in self._elsewhere.update(identity, was):
            room = self._room(event.room)
            if room is not None and not self._is_seen_here(event.user, event.room):
                room.announce(event)

    def _tell_rename(self, seen: Seen, name: str) -> None:
        """Tell the rooms where somebody who is here from now on is seen what it is called now."""
        for event in changes(seen, Seen(name, seen.rooms)):
            if (room := self._room(event.room)) is not None:
                room.announce(event)

    def _room(self, key: str) -> Room | None:
        return self._hub.rooms.get(key) if self._hub is not None else None

    def _is_seen_here(self, name: str, room: str) -> bool:
        """Say whether somebody of this name is in a room at this very server."""
        person = self._hub.directory.find(name) if self._hub is not None else None
        return person is not None and room in person.seen_in


async def _until_done(opening: Callable[[], Awaitable[None]]) -> None:
    """Call this until NATS does what it asks: a bucket may have no leader yet."""
    while True:
        try:
            await opening()
            return
        except (AwayError, ApiError) as error:
            _log.info("names: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
