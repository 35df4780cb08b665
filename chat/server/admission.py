"""Who may come in, before it is anybody: how many from one address, and how fast; who gives way.

Knows no gRPC and no rooms. `server.py` asks it for a place for each stream, and for a turn for each
call that gets none; all in the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from chat.protocol.errors import ChatError
from chat.server.address import LOOPBACK
from chat.server.member import Member
from chat.server.rate_limit import Rate, TokenBucket

# Of one address, unless a flag says otherwise: this share of all places, and not fewer than that,
# since a class, an office or a family often has one address.
SHARE = 10
MIN_PER_ADDRESS = 50
# Joins of one address: so many a second, and so many at once. Those above wait. As many calls again
# that are no joins: those beside the chat, and those that are refused.
CALLS = Rate(10.0, 100.0)
# Of those, so many wait, of all addresses; more are refused at once. What they sent is kept for
# them, which takes up to 100 kB each.
MAX_WAITING_CALLS = 200
# How long a plain client keeps its place in a full server without having said its name.
UNNAMED_SECONDS = 60.0
# Addresses without a stream are forgotten when there are so many, and their joins long ago.
MAX_IDLE_ADDRESSES = 1000
# The place of somebody who goes on nobody's account.
UNCOUNTED = nullcontext()


def places_of_address(max_clients: int, max_per_address: int = 0) -> int:
    """Return how many places one address has; `max_per_address` 0: its share of all of them."""
    return max_per_address or max(max_clients // SHARE, MIN_PER_ADDRESS)


@dataclass
class _Address(AbstractContextManager["_Address"]):
    """One address: its streams, waiting ones among them; how fast it joins, and calls beside.

    At the end of a block it has one stream less.
    """

    joins: TokenBucket
    calls: TokenBucket
    streams: int = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost by forgetting it."""
        return not self.streams and self.joins.is_full and self.calls.is_full

    def __exit__(self, *_exception: object) -> None:
        self.streams -= 1


class Admission:
    """The places of each address. `max_per_address` 0: a share of `max_clients`.

    Then this machine's own programs are not counted: they may be proxies, with everybody behind
    them. `clock`: seconds.
    """

    def __init__(
        self,
        max_clients: int,
        max_per_address: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_clients = max_clients
        self._max_per_address = places_of_address(max_clients, max_per_address)
        self._counts_loopback = bool(max_per_address)
        self._clock = clock
        self._addresses: dict[str, _Address] = {}
        self._waiting = 0
        self._waiting_calls = 0
        self._closed = asyncio.Event()

    def account_of(self, address: str) -> str:
        """Return whose account a stream goes on: the address's, or nobody's (empty)."""
        return "" if address == LOOPBACK and not self._counts_loopback else address

    async def place(self, address: str) -> AbstractContextManager[object]:
        """Return a place, for the length of a `with` block, when it is this address's turn.

        Raises `ChatError`: ADDRESS_FULL; SERVER_FULL, where as many wait as there are places;
        SHUTTING_DOWN, also to those who wait.
        """
        if not self.account_of(address):
            return UNCOUNTED
        entry = self._entry(address)
        if entry.streams >= self._max_per_address:
            await self.take_turn(address)
        if entry.streams >= self._max_per_address:
            raise ChatError("ADDRESS_FULL")
        entry.streams += 1
        try:
            await self._wait_to_join(entry)
        except BaseException:
            entry.streams -= 1
            raise
        return entry

    async def take_turn(self, address: str) -> None:
        """Return when it is this address's turn for a call that has no place, or is to be refused.

        Raises `ChatError`: ADDRESS_FULL, where too many wait already; SHUTTING_DOWN.
        """
        if not self.account_of(address):
            return
        calls = self._entry(address).calls
        seconds = calls.take()
        if not seconds:
            return
        if self._waiting_calls >= MAX_WAITING_CALLS:
            calls.give_back()
            raise ChatError("ADDRESS_FULL")
        self._waiting_calls += 1
        try:
            await self._wait(seconds)
        except asyncio.CancelledError:
            calls.give_back()
            raise
        finally:
            self._waiting_calls -= 1

    def _entry(self, address: str) -> _Address:
        """Return what is known of an address."""
        if len(self._addresses) >= MAX_IDLE_ADDRESSES and address not in self._addresses:
            used = [(a, entry) for a, entry in self._addresses.items() if not entry.is_idle]
            if len(used) < len(self._addresses):
                self._addresses = dict(used)
        entry = self._addresses.get(address)
        if entry is None:
            entry = _Address(TokenBucket(CALLS, self._clock), TokenBucket(CALLS, self._clock))
            self._addresses[address] = entry
        return entry

    async def _wait_to_join(self, entry: _Address) -> None:
        """Count one join, unless it comes to nothing, and return when it may go on."""
        seconds = entry.joins.take()
        if not seconds:
            return
        if self._waiting >= self._max_clients:
            entry.joins.give_back()
            raise ChatError("SERVER_FULL")
        self._waiting += 1
        try:
            await self._wait(seconds)
        except BaseException:
            entry.joins.give_back()
            raise
        finally:
            self._waiting -= 1

    async def _wait(self, seconds: float) -> None:
        """Wait for so long; raises SHUTTING_DOWN where the server stops meanwhile."""
        try:
            await asyncio.wait_for(self._closed.wait(), seconds)
        except asyncio.TimeoutError:
            return
        raise ChatError("SHUTTING_DOWN")

    def close(self) -> None:
        """Let nobody wait any more: the server stops."""
        self._closed.set()


class UnnamedMembers:
    """The plain members that have not said their name, the longest here first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[Member, float] = {}

    def add(self, member: Member) -> None:
        """Note that it is here, if it is one."""
        if member.person is None:
            self._since[member] = self._clock()

    def discard(self, member: Member) -> None:
        """Forget it: it is gone."""
        self._since.pop(member, None)

    def take_longest(self) -> Member | None:
        """Return, and forget, the one that is here the longest, if that is long enough."""
        for member, since in list(self._since.items()):
            if member.person is None and self._clock() - since < UNNAMED_SECONDS:
                break
            del self._since[member]
            if member.person is None:
                return member
        return None
