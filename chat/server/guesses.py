"""How fast wrong tokens of one address are found to be wrong, and whom that keeps waiting.

What costs is a wrong token; right ones are compared as they come. An address that has used up its
guesses has its tokens compared one after the other, a random one of those that wait whenever it may
guess again: however many connections and streams it opens, the rate is the same. Others there, with
the right token, wait among them; but whoever was in before, by the same secret session, does not
(as with the "device cookies" of OWASP's "Slow Down Online Guessing Attacks"). Knows no gRPC;
everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from chat.protocol.errors import ChatError
from chat.server.address import LOOPBACK
from chat.server.rate_limit import Rate, TokenBucket

# Wrong tokens of one address: one a second, ten at once.
GUESSES = Rate(1.0, 10.0)
# This machine's own programs may be proxies, with everybody behind them.
LOOPBACK_GUESSES = GUESSES.times(10.0)
# How many of one address wait, and of all; each keeps what it sent, up to 100 kB. For one more
# another one is refused, chosen at random: who comes once finds room beside one who always comes.
MAX_WAITING = 20
MAX_ALL_WAITING = 200
# A session that was in may guess once beyond that; the others there wait no longer for it.
MAX_DEBT_SECONDS = 20.0
# Addresses that owe, beyond which the one that guessed longest ago is forgotten.
MAX_ADDRESSES = 20_000
# Sessions that were in by a right token; the longest away are forgotten first.
MAX_SESSIONS = 20_000

IsRight = Callable[[], bool]


@dataclass(eq=False)
class _Waiting:
    """One call whose token is not compared yet."""

    session: str
    is_right: IsRight
    answer: asyncio.Future[bool]


@dataclass(eq=False)
class _Address:
    """What one address may still guess, and its calls that wait for it."""

    guesses: TokenBucket
    waiting: list[_Waiting] = field(default_factory=list)
    is_scheduled: bool = False


class Guesses:
    """What every address has guessed lately.

    `clock`: seconds. `call_later(seconds, call, *arguments)`: the loop's, unless it is a test's.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[..., object] | None = None,
    ) -> None:
        self._clock = clock
        self._call_later = call_later
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._sessions: OrderedDict[bytes, None] = OrderedDict()
        self._crowded: set[_Address] = set()  # those where somebody waits

    async def judge(self, address: str, session: str, is_right: IsRight) -> bool:
        """Return what `is_right()` says, which is asked when it is the turn of this address.

        `session`: the client's own secret, or empty. Raises TOO_MANY_GUESSES.
        """
        entry = self._addresses.get(address)
        if entry is None or self._may_ask(entry, session):
            return self._ask(address, session, is_right)
        self._make_room(entry)
        waiting = _Waiting(session, is_right, asyncio.get_running_loop().create_future())
        entry.waiting.append(waiting)
        self._crowded.add(entry)
        self._schedule(address, entry)
        try:
            return await waiting.answer
        finally:
            if waiting in entry.waiting:
                entry.waiting.remove(waiting)
            if not entry.waiting:
                self._crowded.discard(entry)

    def _may_ask(self, entry: _Address, session: str) -> bool:
        if session and _key(session) in self._sessions:
            return True
        return not entry.waiting and not entry.guesses.seconds_to_next

    def _ask(self, address: str, session: str, is_right: IsRight) -> bool:
        """Ask, and note what came of it for the address and the session."""
        if is_right():
            if session:
                self._trust(_key(session))
            return True
        self._sessions.pop(_key(session), None)
        self._charge(address)
        return False

    def _trust(self, key: bytes) -> None:
        self._sessions[key] = None
        self._sessions.move_to_end(key)
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)

    def _charge(self, address: str) -> None:
        """Count one wrong token."""
        entry = self._addresses.get(address)
        if entry is None:
            rate = LOOPBACK_GUESSES if address == LOOPBACK else GUESSES
            entry = self._addresses[address] = _Address(TokenBucket(rate, self._clock))
        self._addresses.move_to_end(address)
        if entry.guesses.seconds_to_next < MAX_DEBT_SECONDS:
            entry.guesses.take()
        self._forget()

    def _forget(self) -> None:
        """Forget those who owe nothing any more, and who guessed longest ago of very many."""
        while self._addresses:
            address, oldest = next(iter(self._addresses.items()))
            is_done = oldest.guesses.is_full and not oldest.waiting
            if not is_done and len(self._addresses) <= MAX_ADDRESSES:
                break
            del self._addresses[address]
            self._refuse_all(oldest)

    def _schedule(self, address: str, entry: _Address) -> None:
        if entry.waiting and not entry.is_scheduled:
            call_later = self._call_later or asyncio.get_running_loop().call_later
            call_later(entry.guesses.seconds_to_next, self._serve, address, entry)
            entry.is_scheduled = True

    def _serve(self, address: str, entry: _Address) -> None:
        """Compare what waits, until one is wrong and the address has to wait again."""
        entry.is_scheduled = False
        while entry.waiting and not entry.guesses.seconds_to_next:
            one = _take_random(entry.waiting)
            if not one.answer.done():
                one.answer.set_result(self._ask(address, one.session, one.is_right))
        self._schedule(address, entry)

    def _make_room(self, entry: _Address) -> None:
        """Refuse one that waits, where there are as many as there may be: else a newcomer."""
        if len(entry.waiting) >= MAX_WAITING:
            _refuse(_take_random(entry.waiting))
        elif sum(len(one.waiting) for one in self._crowded) >= MAX_ALL_WAITING:
            _refuse(_take_random(max(self._crowded, key=lambda one: len(one.waiting)).waiting))

    def _refuse_all(self, entry: _Address) -> None:
        while entry.waiting:
            _refuse(entry.waiting.pop())


def _take_random(waiting: list[_Waiting]) -> _Waiting:
    return waiting.pop(secrets.randbelow(len(waiting)))


def _refuse(one: _Waiting) -> None:
    if not one.answer.done():
        one.answer.set_exception(ChatError("TOO_MANY_GUESSES"))


def _key(session: str) -> bytes:
    """Return by what a session is remembered: it is a secret."""
    return hashlib.sha256(session.lower().encode()).digest()
