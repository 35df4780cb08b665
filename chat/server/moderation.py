"""Who is banned or muted, until when, and whom that holds for; who may say so.

A ban or a mute holds for a name and what looks like it, for whoever owned it, whatever name that
one takes, and for the session that was here. A ban may hold for a network instead. Kept in the
log's file. Knows no rooms and no streams: `moderator.py` does what operators wish. Everything runs
in the event loop.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from chat.protocol.details import MAX_SECONDS, Details
from chat.protocol.errors import ChatError
from chat.protocol.lookalikes import looks
from chat.protocol.names import name_key
from chat.server.address import Network, network_of
from chat.server.directory import Person
from chat.server.done_wishes import DoneWishes
from chat.server.log.base import Log
from chat.server.ownership import CERTIFIED, Owners
from chat.server.plain_json import read_object, record_of
from chat.server.records import BAN, MUTE

# Bans in force at a time, and mutes.
MAX_IN_FORCE = 1000

# What a name looks like costs some 50 microseconds, and is asked with each message while anybody is
# muted.
_looks = lru_cache(maxsize=4096)(looks)


@dataclass(frozen=True)
class Who:
    """Somebody who comes in, or speaks.

    `name`: empty where it was not said yet. `owner`: as in `Person`. `identity`: the session's,
    empty where there is none. `address`: as `address.address_of` has it, empty where it is of no
    account.
    """

    name: str = ""
    owner: str = ""
    identity: str = ""
    address: str = ""


@dataclass(frozen=True)
class Sanction:
    """A ban or a mute. `name`: whose, or the `network` itself (CIDR) in its place.

    `owner`, `identity`: who that was, as far as is known. `until`: seconds since 1970, None: for
    good. `words`: the reason. `by`: the operator.
    """

    name: str
    owner: str = ""
    identity: str = ""
    network: str = ""
    until: float | None = None
    words: str = ""
    by: str = ""

    @property
    def key(self) -> str:
        """The key of its record."""
        return f"net {self.network}" if self.network else f"name {name_key(self.name)}"

    @property
    def details(self) -> Details:
        """What those are told for whom it holds."""
        return Details(self.until, self.by, self.words, has_end=True)

    def marks(self) -> Iterator[str]:
        """Yield by what those are known for whom it holds."""
        if self.network:
            yield f"net {self.network}"
        else:
            yield from _marks_of_person(self.name, self.owner, self.identity)

    @classmethod
    def from_text(cls, text: str) -> Sanction:
        """Read it out of a record; raises `ValueError` where it is none."""
        sanction = record_of(cls, read_object(text))
        if sanction.until is not None:
            until = min(max(0.0, sanction.until), float(MAX_SECONDS))
            sanction = replace(sanction, until=until)
        if sanction.network:
            ipaddress.ip_network(sanction.network)
        return sanction


def _marks_of_person(name: str, owner: str, identity: str) -> Iterator[str]:
    for look in _looks(name) if name else ():
        yield f"look {look}"
    if owner and owner != CERTIFIED:  # which many are: their names tell them apart
        yield f"owner {owner}"
    if identity:
        yield f"identity {identity}"


class Sanctions:
    """All bans of a server, or all mutes. `clock`: seconds since 1970.

    At most `MAX_IN_FORCE`; those that are over go first.
    """

    def __init__(self, log: Log, kind: str, clock: Callable[[], float]) -> None:
        self._log = log
        self._kind = kind
        self._clock = clock
        self._by_key: dict[str, Sanction] = {}
        self._keys_of: dict[str, set[str]] = {}  # by the mark
        self._prefixes: set[tuple[int, int]] = set()  # of networks: version and length in bits

    async def load(self) -> None:
        """Read what is kept, in place of what was known."""
        records = await self._log.records(self._kind)
        for key in set(self._by_key) - set(records):
            self._forget(key)
        for key, text in records.items():
            try:
                self.take(key, text)
            except ValueError:
                self._log.keep(self._kind, key, None)
        self._forget_ended()

    def take(self, key: str, text: str | None) -> Sanction | None:
        """Note what the record under `key` says; return what holds by it, and did not before.

        Raises `ValueError` where it is no record.
        """
        sanction = Sanction.from_text(text) if text is not None else None
        if sanction == self._by_key.get(key):
            return None
        self._forget(key)
        if sanction is not None:
            self._note(sanction)
        return sanction

    @property
    def is_empty(self) -> bool:
        """Whether there is none at all, so that nobody need be looked for."""
        return not self._by_key

    def find(self, who: Who) -> Sanction | None:
        """Return what holds for somebody now, of several the longest."""
        if self.is_empty:
            return None
        now = self._clock()
        found = {key for mark in self._marks_of(who) for key in self._keys_of.get(mark, ())}
        in_force = [s for s in map(self._by_key.__getitem__, found) if not _is_over(s, now)]
        return max(in_force, key=lambda s: (s.until is None, s.until or 0.0), default=None)

    def holds(self, sanction: Sanction) -> bool:
        """Say whether this very one is in force."""
        is_known = self._by_key.get(sanction.key) == sanction
        return is_known and not _is_over(sanction, self._clock())

    def add(self, sanction: Sanction) -> None:
        """Let it hold from now on, in place of an earlier one. Raises TOO_MANY_IN_FORCE."""
        if len(self._by_key) >= MAX_IN_FORCE:
            self._forget_ended()
        if len(self._by_key) >= MAX_IN_FORCE and sanction.key not in self._by_key:
            raise ChatError("TOO_MANY_IN_FORCE")
        self._forget(sanction.key)
        self._note(sanction)
        self._log.keep(self._kind, sanction.key, json.dumps(asdict(sanction)))

    def end(self, sanction: Sanction) -> bool:
        """End all that hold for the same as this one; say whether there were any."""
        keys = {key for mark in sanction.marks() for key in self._keys_of.get(mark, ())}
        now = self._clock()
        was_in_force = any(not _is_over(self._by_key[key], now) for key in keys)
        for key in keys:
            self._forget(key)
            self._log.keep(self._kind, key, None)
        return was_in_force

    def _marks_of(self, who: Who) -> Iterator[str]:
        yield from _marks_of_person(who.name, who.owner, who.identity)
        network = network_of(who.address) if self._prefixes and who.address else None
        if network is not None:
            for version, bits in self._prefixes:
                if version == network.version and bits <= network.prefixlen:
                    yield f"net {network.supernet(new_prefix=bits)}"

    def _note(self, sanction: Sanction) -> None:
        self._by_key[sanction.key] = sanction
        for mark in sanction.marks():
            self._keys_of.setdefault(mark, set()).add(sanction.key)
        if sanction.network:
            network = ipaddress.ip_network(sanction.network)
            self._prefixes.add((network.version, network.prefixlen))

    def _forget(self, key: str) -> None:
        sanction = self._by_key.pop(key, None)
        for mark in sanction.marks() if sanction is not None else ():
            keys = self._keys_of[mark]
            keys.discard(key)
            if not keys:
                del self._keys_of[mark]

    def _forget_ended(self) -> None:
        now = self._clock()
        for key in [key for key, sanction in self._by_key.items() if _is_over(sanction, now)]:
            self._forget(key)
            self._log.keep(self._kind, key, None)


def _is_over(sanction: Sanction, now: float) -> bool:
    return sanction.until is not None and sanction.until <= now


class Moderation:
    """The bans, the mutes, and the operators: `operators` are the keys of their names.

    `owners`: whose own those are. `done`: what operators have wished. `trail`: called with
    each thing that an operator did, or that somebody tried.
    """

    def __init__(self, log: Log, owners: Owners, clock: Callable[[], float] = time.time) -> None:
        self._owners = owners
        self.clock = clock
        self.bans = Sanctions(log, BAN, clock)
        self.mutes = Sanctions(log, MUTE, clock)
        self.done = DoneWishes()
        self.operators: frozenset[str] = frozenset()
        self.trail: Callable[[dict[str, Any]], None] = lambda record: None

    async def load(self) -> None:
        """Read what is kept, in place of what was known."""
        await self.bans.load()
        await self.mutes.load()

    def is_operator(self, name: str, owner: str) -> bool:
        """Say whether somebody is one, who has proved to be `owner`: the name is theirs by now.

        Who is banned does not become one by being the first under a name of the list.
        """
        if not owner or name_key(name) not in self.operators:
            return False
        owned = self._owners.find(name)
        return owned is not None and owned.owner == owner

    def check_in(self, who: Who) -> None:
        """Raise BANNED for somebody who may not come in, or take that name."""
        ban = self.bans.find(who)
        if ban is not None and not self.is_operator(who.name, who.owner):
            raise ChatError("BANNED", ban.details)

    def check_may_speak(self, who: Who) -> None:
        """Raise MUTED for somebody who may not be heard."""
        mute = self.mutes.find(who)
        if mute is not None and not self.is_operator(who.name, who.owner):
            raise ChatError("MUTED", mute.details)


def who_is(person: Person, name: str = "") -> Who:
    """Return who a person is; with `name`, who it would be by that."""
    identity = person.identity if person.session else ""
    return Who(name or person.name, person.owner, identity, person.address)


def network_in(text: str) -> Network | None:
    """Return the network, or the address, that an operator names; None where it is none.

    Of IPv6 no less than what counts as one address. Raises ADDRESS_PROTECTED for this machine.
    """
    network = network_of(text)
    if network is not None and network.overlaps(_loopback_of(network)):
        raise ChatError("ADDRESS_PROTECTED")
    return network


def _loopback_of(network: Network) -> Any:
    return ipaddress.ip_network("127.0.0.0/8" if network.version == 4 else "::1/128")
