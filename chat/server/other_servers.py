"""What other servers bring about, where several share a log: their records, and a log put back.

Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from chat.protocol.errors import ChatError
from chat.server.banning import Banning
from chat.server.done_wishes import DoneWish
from chat.server.facts import Fact, Facts
from chat.server.hub import Hub
from chat.server.log.base import TOLD
from chat.server.moderation import Sanction
from chat.server.moderator import Show
from chat.server.other_rooms import OtherRooms
from chat.server.plain_json import read_object
from chat.server.records import BAN, BUNDLE, GUEST, MUTE, OWNER, ROOM, USED_ROOM
from chat.server.unread import NOT_READ

# Takes what is kept under a key, or no more.
Take = Callable[[str, "str | None"], None]

_log = logging.getLogger(__name__)


class OtherServers:
    """Takes over into a hub what its log says of the other servers (`Log.listen`).

    `show`: called with what operators of other servers did. What comes before the hub has first
    read what is kept is not taken over: it is read.
    """

    def __init__(self, hub: Hub, show: Show = lambda room, messages: None) -> None:
        self._hub = hub
        self._show = show
        self._facts = Facts(hub)
        self._banning = Banning(hub)
        self._reading = asyncio.Lock()
        self._has_read = False
        hub.owners.on_freed = self._disown
        rooms = OtherRooms(hub)
        # What has come while it is read; it may be newer, or older, than what is read.
        self._meanwhile: list[tuple[str, str, str | None]] | None = None
        self._takes: dict[str, Take] = {
            OWNER: self._take_owner,
            BAN: self._take_ban,
            MUTE: self._take_mute,
            BUNDLE: hub.bundles.take,
            ROOM: rooms.take_room,
            GUEST: rooms.take_guest,
            USED_ROOM: rooms.take_use,
            TOLD: self._take_told,
        }

    def take_record(self, kind: str, key: str, text: str | None) -> None:
        """Note what another server keeps, as if it had been kept here; do what it tells."""
        if self._meanwhile is not None:
            self._meanwhile.append((kind, key, text))
        elif self._has_read and kind in self._takes:
            try:
                self._takes[kind](key, text)
            except ValueError:  # by the rules of this version it is none
                _log.error("what another server keeps as %s is not understood", kind)

    async def read(self, read: Callable[[], Awaitable[None]]) -> None:
        """Have the hub read what is kept; what comes meanwhile is taken over afterwards."""
        async with self._reading:
            self._meanwhile = []
            try:
                await read()
            finally:
                meanwhile, self._meanwhile = self._meanwhile, None
            self._has_read = True
            for record in meanwhile:
                self.take_record(*record)

    # The kinds.

    def _take_owner(self, key: str, text: str | None) -> None:
        self._hub.owners.take(key, text)
        self._disown(key)

    def _disown(self, key: str) -> None:
        """Let whoever is here under a name have it no longer as its owner, who is none by now."""
        person = self._hub.directory.find(key)
        if person is not None and person.owns_name:
            owned = self._hub.owners.find(person.name)
            person.owns_name = owned is not None and owned.owner == person.owner

    def _take_ban(self, key: str, text: str | None) -> None:
        ban = self._hub.moderation.bans.take(key, text)
        if ban is not None:  # what is told of it comes first
            asyncio.get_running_loop().call_soon(self._apply, ban)

    def _apply(self, ban: Sanction) -> None:
        if self._hub.moderation.bans.holds(ban):
            self._banning.apply(ban)

    def _take_mute(self, key: str, text: str | None) -> None:
        self._hub.moderation.mutes.take(key, text)

    def _take_told(self, key: str, text: str | None) -> None:
        """Tell what an operator did, note a wish of one that was done, or what nobody has read."""
        fields = read_object(text or "")
        if "echo" in fields:
            done = DoneWish.from_fields(fields)
            self._hub.moderation.done.note(done)
            self._show("", [done.fact])
        elif NOT_READ in fields:
            self._hub.unread.hear(fields[NOT_READ])
        else:
            self._facts.hear(Fact.from_fields(fields))

    # The log put back.

    async def begin_anew(self) -> None:
        """The log was put back: end every stream, and forget all places in the log.

        Clients come back by themselves, and are told what the generation in which they saw their
        ids means: nothing.
        """
        hub = self._hub
        hub.rooms.last_id = await hub.log.last_id()
        await self.read(self._read_again)
        for room in hub.rooms.values():
            room.last_id = hub.rooms.last_id
        for member in list(hub.members):
            member.close(ChatError("LOG_REWOUND"))
            if member.inbox is not None:
                member.inbox.seen_id = 0  # rather twice than not at all
        for person in hub.directory.people:
            person.inbox_seen_id = 0

    async def _read_again(self) -> None:
        await self._hub.owners.load()
        await self._hub.bundles.load()
        await self._hub.moderation.load()
        await self._hub.load_closed()
