"""What other servers bring about, where several share a log: their records, and a log put back.

Everything runs in the event loop.
"""

from __future__ import annotations

from chat.protocol.errors import ChatError
from chat.server.hub import Hub
from chat.server.records import OWNER


class OtherServers:
    """Takes over into a hub what its log says of the other servers (`Log.listen`)."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def take_record(self, kind: str, key: str, text: str | None) -> None:
        """Note what another server keeps, as if it had been kept here."""
        if kind == OWNER:
            self._hub.owners.take(key, text)

    async def begin_anew(self) -> None:
        """The log was put back: end every stream, and forget all places in the log.

        Clients come back by themselves, and are told what the generation in which they saw their
        ids means: nothing.
        """
        hub = self._hub
        hub.rooms.last_id = await hub.log.last_id()
        await hub.owners.load()
        for room in hub.rooms.values():
            room.last_id = hub.rooms.last_id
        for member in list(hub.members):
            member.close(ChatError("LOG_REWOUND"))
            if member.inbox is not None:
                member.inbox.seen_id = 0  # rather twice than not at all
        for person in hub.directory.people:
            person.inbox_seen_id = 0
