"""A room and those who hear each other there. Everything runs in the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import chat_pb2
from chat.protocol.limits import MAX_PRESENCE_MEMBERS
from chat.server.encoding import Delivery
from chat.server.subscription import Subscription

if TYPE_CHECKING:
    from chat.server.directory import Person
    from chat.server.member import Member

# No room's name can begin so: what an inbox is called is out of everybody's reach.
INBOX_MARK = "\x01"


def is_inbox(key: str) -> bool:
    """Say whether a room's key is that of an inbox: where somebody's private messages come."""
    return key.startswith(INBOX_MARK)


class Room:
    """Members who hear each other, each with its place in the log; or the inbox of one.

    `key`: its name without regard to case, empty: the common one. `last_id`: the newest log message
    that was broadcast here, or anywhere when it was made. `absent`: those whose connection was lost
    and who are still expected back.
    """

    __slots__ = ("absent", "key", "last_id", "members")

    def __init__(self, key: str, last_id: int) -> None:
        self.key = key
        self.last_id = last_id
        self.members: dict[Member, Subscription] = {}  # in the order of their coming
        self.absent: dict[Person, None] = {}

    @property
    def is_inbox(self) -> bool:
        """Whether this is no room, but where somebody's private messages come."""
        return is_inbox(self.key)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is here, or expected back."""
        return not self.members and not self.absent

    def names(self) -> list[str]:
        """Return who is here: everybody who has a name, those expected back included."""
        here = [member.name for member in self.members if member.name]
        return here + [person.name for person in self.absent]

    def announce(self, event: chat_pb2.Message, exclude: Member | None = None) -> None:
        """Tell an event outside the log to every full client but `exclude`.

        Not in a room that is so large that comings and goings would drown the conversation.
        """
        if len(self.members) + len(self.absent) > MAX_PRESENCE_MEMBERS:
            return
        event.room = self.key
        delivery = Delivery([event])
        for member in self.members:
            if member.is_full and member is not exclude:
                member.queue.put_event(delivery)
