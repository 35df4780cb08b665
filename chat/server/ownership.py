"""Whose own a name is: whoever first proves a key under it owns it.

An owner is a public key (`proof.Proof.owner`), or what a certificate authority says. Everything
runs in the event loop.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from chat.protocol.errors import ChatError
from chat.protocol.lookalikes import looks
from chat.protocol.names import name_key
from chat.server.log.base import Log
from chat.server.records import OWNER
from chat.server.room import INBOX_MARK


@dataclass(frozen=True)
class Owned:
    """A name that is somebody's own.

    `owner`: the public key, base64url. `used_at`: when it was last used, seconds since 1970.
    `inbox_seen_id`: the last private message that was handed to a stream of the owner's, whose
    identity was `seen_by`.
    """

    name: str
    owner: str
    used_at: float
    inbox_seen_id: int = 0
    seen_by: str = ""

    @property
    def inbox(self) -> str:
        """The key of the room where the private messages to this name come, whoever is there."""
        said = f"{name_key(self.name)}\n{self.owner}"
        return INBOX_MARK + hashlib.sha256(said.encode()).hexdigest()[:32]


class Owners:
    """Every owned name. `clock`: seconds since 1970."""

    def __init__(self, log: Log, clock: Callable[[], float] = time.time) -> None:
        self._log = log
        self._clock = clock
        self._by_name: dict[str, Owned] = {}
        self._by_look: dict[str, Owned] = {}

    async def load(self) -> None:
        """Read whose names are owned; before anybody joins."""
        for text in (await self._log.records(OWNER)).values():
            self._note(Owned(**json.loads(text)))

    def find(self, name: str) -> Owned | None:
        """Return what is known of a name, None where it is nobody's own."""
        return self._by_name.get(name_key(name))

    def check(self, name: str, owner: str) -> None:
        """Raise NAME_OWNED if it is, or looks like, a name of somebody else than `owner`."""
        for look in looks(name):
            owned = self._by_look.get(look)
            if owned is not None and owned.owner != owner:
                raise ChatError("NAME_OWNED")

    def claim(self, name: str, owner: str) -> Owned:
        """Return the name as `owner`'s, who is the first or has it already; after `check`."""
        owned = self.find(name)
        if owned is None:
            owned = Owned(name, owner, self._clock())
        return self._keep(replace(owned, name=name, used_at=self._clock()))

    def note_seen(self, owned: Owned, inbox_seen_id: int, identity: str) -> None:
        """Note how far its owner has read in the inbox, in the stream of `identity`."""
        self._keep(replace(owned, inbox_seen_id=inbox_seen_id, seen_by=identity))

    def _keep(self, owned: Owned) -> Owned:
        self._note(owned)
        self._log.keep(OWNER, name_key(owned.name), json.dumps(asdict(owned)))
        return owned

    def _note(self, owned: Owned) -> None:
        self._by_name[name_key(owned.name)] = owned
        self._by_look.update(dict.fromkeys(looks(owned.name), owned))
