"""Whose own a name is: whoever first proves a key under it owns it, until it is unused for a year.

An owner is a public key (`proof.Proof.owner`), or what a certificate authority says (`CERTIFIED`).
Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from chat.protocol.errors import ChatError
from chat.protocol.lookalikes import looks
from chat.protocol.names import name_key
from chat.server.log.base import Log, LogError
from chat.server.plain_json import read_object, record_of
from chat.server.rate_limit import Rate, RatesOfAddresses
from chat.server.records import FREED, OWNER
from chat.server.room import inbox_of

# The owner of every name that an authority has certified, whose word is above any key's.
CERTIFIED = "certificate"
DAY = 86_400.0
# A name that nobody has used for so long is free.
UNUSED_SECONDS = 365 * DAY
# A name that cannot be claimed may be used all the same, by anybody, as without a key: so a
# hoarder takes from the people behind the same address nothing but their right to own new ones.
# A person has some names, and some bots.
MAX_NAMES_OF_KEY = 20
# A class comes in for the first time at once; one address may claim as many again in a day.
CLAIMS = Rate(50 / DAY, 50.0)
# Some 70 MB, and some seconds of reading at the start.
MAX_OWNED = 100_000
# How soon a server that runs takes note of what `--free` has written.
FREED_LOOK_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owned:
    """A name that is somebody's own.

    `owner`: the public key, base64url. `used_at`: when it was last used, seconds since 1970.
    `inbox_seen_id`: the last private message that has certainly reached the owner, whatever came
    before it too. `seen_by`: the identity of the stream whose own cursor may be ahead of that;
    empty: none. `rewinds`: how often the log had been put back when that was; since then, what was
    seen means nothing.
    """

    name: str
    owner: str
    used_at: float
    inbox_seen_id: int = 0
    seen_by: str = ""
    rewinds: int = 0

    @property
    def inbox(self) -> str:
        """The key of the room where the private messages to this name come, whoever is there.

        Another owner of the name has another one.
        """
        return inbox_of(f"{name_key(self.name)}\n{self.owner}")

    def to_text(self) -> str:
        """Return it as a record, which earlier versions read too where nothing was put back."""
        fields = asdict(self)
        if not self.rewinds:
            del fields["rewinds"]
        return json.dumps(fields)

    @classmethod
    def from_text(cls, text: str) -> Owned:
        """Read it out of a record; raises `ValueError` where it is none."""
        return record_of(cls, read_object(text))


class Owners:
    """Every owned name. `is_enforced`: False, and nobody owns any.

    `clock`: seconds since 1970.
    """

    def __init__(
        self, log: Log, clock: Callable[[], float] = time.time, is_enforced: bool = True
    ) -> None:
        self._log = log
        self._clock = clock
        self.kept: frozenset[str] = frozenset()  # by their keys: never free, however unused
        self.is_enforced = is_enforced
        self._by_name: dict[str, Owned] = {}
        self._by_look: dict[str, set[str]] = {}  # the keys of the names that look so
        self._names_of: Counter[str] = Counter()  # by owner
        self._read_by: dict[str, str] = {}  # the key of the name, by the identity in `seen_by`
        self._claims = RatesOfAddresses(CLAIMS)
        # Called with the key of a name that `--free` has freed.
        self.on_freed: Callable[[str], None] = lambda key: None
        self.ignored = 0  # names that are somebody's own, where that is not enforced

    async def load(self) -> None:
        """Read whose names are owned, in place of what was known."""
        records = await self._log.records(OWNER)
        if not self.is_enforced:
            self.ignored = len(records)
            return
        for key in set(self._by_name) - set(records):
            self._drop(key)
        for key, text in records.items():
            try:
                self.take(key, text)
            except ValueError:  # by the rules of this version it is no record
                self._log.keep(OWNER, key, None)
        await self.take_freed()

    async def take_freed(self) -> None:
        """Free the names that `--free` has written down."""
        for key in await self._log.records(FREED) if self.is_enforced else ():
            self.free(key)
            self._log.keep(FREED, key, None)
            self.on_freed(key)

    async def watch_freed(self) -> None:
        """Look, for as long as the server runs, for names that are to be freed."""
        while self.is_enforced:
            await asyncio.sleep(FREED_LOOK_SECONDS)
            try:
                await self.take_freed()
            except LogError as error:
                _log.error("%s", str(error))

    def take(self, key: str, text: str | None) -> None:
        """Note what a record says of the name under `key`; raises `ValueError` where it is none."""
        if not self.is_enforced:
            return
        owned = None if text is None else Owned.from_text(text)
        known = self._by_name.get(key)
        if known is not None and (owned is None or owned.owner != known.owner):
            self._drop(key)
            known = None
        if owned is not None:
            if known is not None and known.rewinds == owned.rewinds:
                # Another server may have written before it knew how far this one had noted.
                seen_id = max(known.inbox_seen_id, owned.inbox_seen_id)
                owned = replace(owned, inbox_seen_id=seen_id)
            self._note(owned)

    def find(self, name: str) -> Owned | None:
        """Return what is known of a name, None where it is nobody's own."""
        return self._present(name_key(name))

    def _present(self, key: str) -> Owned | None:
        """Return the owned name under `key`, unless it is unused for so long that it is free."""
        owned = self._by_name.get(key)
        if owned is None or key in self.kept or self._clock() - owned.used_at <= UNUSED_SECONDS:
            return self._since_put_back(owned)
        self.free(key)
        return None

    def _since_put_back(self, owned: Owned | None) -> Owned | None:
        """Return what is known, but for what was seen in a log that was put back since."""
        if owned is None or owned.rewinds == self._log.rewinds:
            return owned
        owned = replace(owned, inbox_seen_id=0, seen_by="", rewinds=self._log.rewinds)
        self._note(owned)
        return owned

    def check(self, name: str, owner: str) -> None:
        """Raise NAME_OWNED if it is, or looks like, a name of somebody else than `owner`."""
        if owner == CERTIFIED or not self._by_look:
            return
        for look in looks(name):
            for key in list(self._by_look.get(look, ())):
                owned = self._present(key)
                if owned is not None and owned.owner != owner:
                    raise ChatError("NAME_OWNED")

    def has_inbox(self, name: str, inbox: str) -> bool:
        """Say whether this is where private messages to an owned name come."""
        owned = self.find(name)
        return owned is not None and owned.inbox == inbox

    def claim(self, name: str, owner: str, address: str, last_id: int) -> Owned | None:
        """Return the name as `owner`'s, who is the first or has it already; after `check`.

        None where it may own no more: then the name is nobody's. `address`: as `Hub.join` has it.
        `last_id`: the newest message of the log: what comes later is for this owner.
        """
        if not (self.is_enforced and owner):
            return None
        owned = self.find(name)
        if owned is not None and owned.owner != owner:  # an authority gives it to somebody else
            self.free(name_key(name))
            owned = None
        if owned is None:
            if not self._may_claim(owner, address):
                return None
            rewinds = self._log.rewinds
            owned = Owned(name, owner, self._clock(), last_id, rewinds=rewinds)
        return self._keep(replace(owned, name=name, used_at=self._clock()))

    def _may_claim(self, owner: str, address: str) -> bool:
        """Say whether one more name may be this owner's; if so, count it."""
        if len(self._by_name) >= MAX_OWNED:
            return False
        if owner == CERTIFIED:  # the authority has said so
            return True
        return self._names_of[owner] < MAX_NAMES_OF_KEY and self._claims.try_take(address)

    def note_seen(self, owned: Owned, inbox_seen_id: int, seen_by: str | None = None) -> None:
        """Note how far its owner has certainly read, unless it is not the owner's any more.

        `seen_by`: None for the same as before. A session has one cursor: where it counts for this
        name, it does for no other any more.
        """
        now = self._since_put_back(self._by_name.get(name_key(owned.name)))
        if now is None or now.owner != owned.owner:
            return
        seen_id = max(now.inbox_seen_id, inbox_seen_id)
        seen_by = now.seen_by if seen_by is None else seen_by
        other = self._by_name.get(self._read_by.get(seen_by, ""))
        if other is not None and other is not now:
            self._keep(replace(other, seen_by=""))
        if (seen_id, seen_by) != (now.inbox_seen_id, now.seen_by):
            noted = replace(now, inbox_seen_id=seen_id, seen_by=seen_by, used_at=self._clock())
            self._keep(noted)

    def free(self, key: str) -> None:
        """Let the name under `key` be nobody's; what waits for its owner is for nobody."""
        self._drop(key)
        self._log.keep(OWNER, key, None)

    def _drop(self, key: str) -> None:
        owned = self._by_name.pop(key, None)
        if owned is not None:
            self._forget_looks(owned)
            self._read_by.pop(owned.seen_by, None)
            self._names_of[owned.owner] -= 1
            if not self._names_of[owned.owner]:
                del self._names_of[owned.owner]

    def _keep(self, owned: Owned) -> Owned:
        self._note(owned)
        self._log.keep(OWNER, name_key(owned.name), owned.to_text())
        return owned

    def _note(self, owned: Owned) -> None:
        key = name_key(owned.name)
        known = self._by_name.get(key)
        if known is None:
            self._names_of[owned.owner] += 1
        elif known.name != owned.name:
            self._forget_looks(known)
        if known is None or known.name != owned.name:
            for look in looks(owned.name):
                self._by_look.setdefault(look, set()).add(key)
        if known is not None:
            self._read_by.pop(known.seen_by, None)
        if owned.seen_by:
            self._read_by[owned.seen_by] = key
        self._by_name[key] = owned

    def _forget_looks(self, owned: Owned) -> None:
        for look in looks(owned.name):
            keys = self._by_look.get(look, set())
            keys.discard(name_key(owned.name))
            if not keys:
                self._by_look.pop(look, None)
