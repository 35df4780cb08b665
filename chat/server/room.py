"""A room and its members: who hears each other. Everything runs in the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import chat_pb2
from chat.protocol.limits import MAX_PRESENCE_MEMBERS
from chat.server.encoding import Delivery

if TYPE_CHECKING:
    from chat.server.member import Member


class Room:
    """Members who hear each other. `key`: its name without regard to case, empty: the common one.

    `last_id`: the newest log message that was broadcast here, or anywhere when it was made.
    """

    __slots__ = ("key", "last_id", "members")

    def __init__(self, key: str, last_id: int) -> None:
        self.key = key
        self.members: dict[Member, None] = {}  # in the order of their coming
        self.last_id = last_id

    def announce(self, event: chat_pb2.Message, exclude: Member | None = None) -> None:
        """Tell an event outside the log to every full client but `exclude`."""
        delivery = Delivery([event])
        for member in self.members:
            if member.is_full and member is not exclude:
                member.queue.put(delivery)

    def announce_presence(self, kind: chat_pb2.Kind, member: Member) -> None:
        """Tell the others that `member` came or left, unless the room is too large for that."""
        if len(self.members) <= MAX_PRESENCE_MEMBERS:
            self.announce(chat_pb2.Message(user=member.name, kind=kind), exclude=member)

    def present(self) -> list[chat_pb2.Message]:
        """Return one PRESENT for each member who has a name."""
        return [
            chat_pb2.Message(user=member.name, kind=chat_pb2.KIND_PRESENT)
            for member in self.members
            if member.name
        ]
