"""Every room of one server, and what of the log goes into which.

Knows no streams and no storage; everything runs in the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import chat_pb2
from chat.server.closed_rooms import tell_invitations
from chat.server.encoding import Backlog, Delivery, cut
from chat.server.log.base import Entry
from chat.server.room import Room


class Rooms(dict[str, Room]):
    """The rooms where somebody is, or is expected back, by key; inboxes are among them.

    `last_id`: the newest log message that was broadcast. `on_empty` is called with the key of a
    room that nobody is in any more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last_id = 0
        self.on_empty: Callable[[str], None] = lambda key: None
        self._backlog = Backlog()

    def of(self, key: str) -> Room:
        """Return the room with this key, made if nobody was there."""
        room = self.get(key)
        if room is None:
            room = self[key] = Room(key, self.last_id)
        return room

    def forget_if_empty(self, room: Room) -> None:
        """Forget a room that somebody has left, if that was the last one."""
        if room.is_empty and self.get(room.key) is room:
            self.on_empty(room.key)
            del self[room.key]

    def committed(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Room | None, Delivery]]:
        """Yield what is to be broadcast of a group, room by room, in the order of the log.

        The room is None where nobody is in it. Inboxes are among them.
        """
        by_room: dict[str, list[chat_pb2.Message]] = {}
        for entry in entries:
            if not (entry.is_lost or entry.is_repeated):
                self.last_id = entry.message.id
                by_room.setdefault(entry.room, []).append(entry.message)
        for key, messages in by_room.items():
            room = self.get(key)
            for delivery in cut(messages, self._backlog):
                if room is not None:
                    room.last_id = delivery.last_id
                yield key, room, delivery
        yield from tell_invitations(entries, self)
