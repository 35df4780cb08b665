"""How fast somebody may speak and ask, over all streams and reconnects, and a machine's as well.

Knows nothing of clients; called in the event loop.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

# Who is above a rate of messages may still send this many seconds' worth at once.
BURST_SECONDS = 10.0
# So many bytes for each message of the rate: 200 kB/s at the usual 100.
BYTES_PER_MESSAGE = 2000.0
# One address may do so many times what one person may: a class, an office, a family.
ADDRESS_FACTOR = 10.0
# Of those who are gone, so many are remembered until they could send everything again.
MAX_REMEMBERED = 20_000


PERSON, ADDRESS = "person", "address"
Key = tuple[str, str]  # of an allowance: one of these two, and whose it is


@dataclass(frozen=True)
class Rate:
    """So many a second in the long run, and `burst` at once. `per_second` 0: no limit."""

    per_second: float
    burst: float

    def times(self, factor: float) -> Rate:
        """Return this rate for so many people."""
        return Rate(self.per_second * factor, self.burst * factor)


# Renames and questions (WHO, HISTORY, ROOMS): each costs the server more than a message does.
ASKING = Rate(1.0, 10.0)
# Coming into rooms and leaving them: who comes back to twenty of them must not wait.
MOVING = Rate(1.0, 30.0)
# Bytes of the log that one address reads, all its clients together. Sending ten times that would
# take all of the server's time, and 80 Mbit/s is a line's worth.
READING = Rate(10e6, 20e6)
# What an allowance is of, as its rates are in order; a person's is of no pages.
MESSAGES, BYTES, QUESTIONS, MOVES, PAGES = range(5)


class TokenBucket:
    """A token bucket: it holds `rate.burst` tokens, and gets `rate.per_second` of them back."""

    __slots__ = ("_clock", "_full_at", "_rate")

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._full_at = 0.0  # when the bucket is, or was, full again

    def take(self, tokens: float = 1.0) -> float:
        """Take tokens and return the seconds to wait before doing what they are for."""
        rate = self._rate
        if not rate.per_second:
            return 0.0
        now = self._clock()
        self._full_at = max(self._full_at, now) + tokens / rate.per_second
        return max(0.0, self._full_at - now - rate.burst / rate.per_second)

    @property
    def seconds_to_next(self) -> float:
        """The seconds until one may be taken without waiting."""
        missing = (self._full_at - self._clock()) - (self._rate.burst - 1) / self._rate.per_second
        return max(0.0, missing)

    def give_back(self) -> None:
        """Put one token back: what it was taken for is not done."""
        self._full_at -= 1 / self._rate.per_second

    @property
    def is_full(self) -> bool:
        """Whether nothing is missing."""
        return self._full_at <= self._clock()


class Allowance:
    """What one person, or one address, may still say, ask, enter and read.

    `rates`: of `MESSAGES` and so on. There is no bucket before something is taken from it: most of
    those who are here say nothing.
    """

    __slots__ = ("__weakref__", "_buckets", "_clock", "_rates")

    def __init__(self, rates: Sequence[Rate], clock: Callable[[], float]) -> None:
        self._rates = rates
        self._clock = clock
        self._buckets: dict[int, TokenBucket] = {}

    def _take(self, what: int, tokens: float) -> float:
        bucket = self._buckets.get(what)
        if bucket is None:
            bucket = self._buckets[what] = TokenBucket(self._rates[what], self._clock)
        return bucket.take(tokens)

    def say(self, size_bytes: int) -> float:
        """Take one message; return the seconds to wait before it."""
        return max(self._take(MESSAGES, 1.0), self._take(BYTES, size_bytes))

    def ask(self, questions: float = 1.0) -> float:
        """Take so many renames or questions; return the seconds to wait before them."""
        return self._take(QUESTIONS, questions)

    def move(self) -> float:
        """Take one coming into a room or leaving it; return the seconds to wait before it."""
        return self._take(MOVES, 1.0)

    def read(self, size_bytes: int) -> float:
        """Take a page of the log; return the seconds to wait before the next one."""
        return self._take(PAGES, size_bytes)

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it is used up just now."""
        return all(bucket.is_full for bucket in self._buckets.values())


class RateLimit:
    """The allowances that one stream uses up together: its person's, and its address's.

    `find`: returns the one under a key. None is looked for before something is taken from it: most
    of those who are here read what they are sent, which is their address's alone.
    """

    __slots__ = ("_all", "_find", "_of_address", "keys")

    def __init__(self, person: str, address: str, find: Callable[[Key], Allowance]) -> None:
        of_person, of_address = (PERSON, person), (ADDRESS, address)
        self.keys = (of_person, of_address) if address else (of_person,)
        self._find = find
        self._of_address = find(of_address) if address else None
        self._all: tuple[Allowance, ...] = ()

    @property
    def _allowances(self) -> tuple[Allowance, ...]:
        if not self._all:
            self._all = tuple(map(self._find, self.keys))
        return self._all

    def say(self, size_bytes: int) -> float:
        """Take one message; return the seconds to wait before it."""
        return max([allowance.say(size_bytes) for allowance in self._allowances])

    def ask(self, questions: float = 1.0) -> float:
        """Take so many renames or questions; return the seconds to wait before them."""
        return max([allowance.ask(questions) for allowance in self._allowances])

    def move(self) -> float:
        """Take one coming into a room or leaving it; return the seconds to wait before it."""
        return max([allowance.move() for allowance in self._allowances])

    def read(self, size_bytes: int) -> float:
        """Take a page of the log; return the seconds to wait before the next one."""
        return self._of_address.read(size_bytes) if self._of_address is not None else 0.0


class RateLimits:
    """Every allowance of one server: of those who are here, and of those who left used-up ones.

    `rate`: messages a second for each person, 0: neither messages nor their bytes are limited.
    Whoever reconnects finds the allowance that was left. `MAX_REMEMBERED` of those who are gone are
    kept, the oldest go first.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        asking: Rate = ASKING,
        moving: Rate = MOVING,
    ) -> None:
        messages = Rate(rate, rate * BURST_SECONDS)
        rates = [messages, messages.times(BYTES_PER_MESSAGE), asking, moving]
        of_address = [*(each.times(ADDRESS_FACTOR) for each in rates), READING]
        self._rates = {PERSON: rates, ADDRESS: of_address}
        self._clock = clock
        self._used: WeakValueDictionary[Key, Allowance] = WeakValueDictionary()
        self._owing: OrderedDict[Key, Allowance] = OrderedDict()

    def join(self, person: str, address: str) -> RateLimit:
        """Return the limit of one stream: of `person`, and of `address` unless that is empty."""
        return RateLimit(person, address, self._find)

    def leave(self, limit: RateLimit) -> None:
        """Remember what a stream that has ended has used up."""
        for key in limit.keys:
            allowance = self._used.get(key)
            if allowance is not None and not allowance.is_whole:
                self._owing[key] = allowance
                self._owing.move_to_end(key)
        self._forget()

    def _find(self, key: Key) -> Allowance:
        allowance = self._used.get(key)
        if allowance is None:
            sort, _whose = key
            allowance = self._used[key] = Allowance(self._rates[sort], self._clock)
        return allowance

    def _forget(self) -> None:
        while self._owing:
            oldest = next(iter(self._owing.values()))
            if len(self._owing) <= MAX_REMEMBERED and not oldest.is_whole:
                break
            self._owing.popitem(last=False)


class RatesOfAddresses:
    """The same rate for each address, which an empty one is not held to. `clock`: seconds.

    Of those who have used nothing up nothing is remembered; `MAX_REMEMBERED` of the others are, the
    oldest go first.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def try_take(self, address: str) -> bool:
        """Take one for an address, and say so; False where it has none left."""
        if not address:
            return True
        bucket = self._buckets.setdefault(address, TokenBucket(self._rate, self._clock))
        self._buckets.move_to_end(address)
        while len(self._buckets) > MAX_REMEMBERED:
            self._buckets.popitem(last=False)
        if bucket.take() > 0:
            bucket.give_back()
            return False
        return True
