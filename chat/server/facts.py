"""What operators did, as it is told to rooms: those of this server, and of all that share its log.

It is outside the log of messages: who is not there is not told. Everything runs in the event loop.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import chat_pb2
from chat.protocol.details import MAX_SECONDS, Details
from chat.protocol.errors import ChatError
from chat.server.encoding import Delivery
from chat.server.expulsion import Expulsion
from chat.server.hub import Hub
from chat.server.member import Member
from chat.server.plain_json import checked
from chat.server.records import packed, unpacked

Message = chat_pb2.Message


@dataclass(frozen=True)
class Fact:
    """One thing that an operator did.

    `message`: as the rooms hear it. `rooms`: the keys of those where it is told; None: everybody
    hears it. `leaving`: the identity of somebody at another server who leaves by it.
    """

    message: Message
    rooms: tuple[str, ...] | None
    leaving: str = ""

    def to_text(self) -> str:
        """Return it as other servers are told of it."""
        return json.dumps(
            {"message": packed(self.message), "rooms": self.rooms, "leaving": self.leaving}
        )

    @classmethod
    def from_fields(cls, fields: dict[str, object]) -> Fact:
        """Read it out of what another server tells; raises `ValueError` where it is none."""
        rooms, leaving = fields.get("rooms"), checked(fields.get("leaving"), str)
        keys = None if rooms is None else checked(rooms, tuple[str, ...])
        return cls(unpacked(fields.get("message")), keys, leaving)


class Facts:
    """Tells facts. `hear` is for those of other servers."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._expulsion = Expulsion(hub)

    def tell(self, fact: Fact, exclude: Sequence[Member | None]) -> None:
        """Tell it at all servers; here, to everybody but some."""
        self._tell_here(fact, exclude)
        self._hub.log.tell(fact.to_text())

    def hear(self, fact: Fact) -> None:
        """Tell what was done at another server, and have who leaves by it leave.

        The operator, who may be here where that server told it of its own people, knows it.
        """
        operator = self._hub.directory.find(fact.message.user) if fact.rooms is not None else None
        person = self._hub.directory.of_identity(fact.leaving)
        self._tell_here(fact, [one.member for one in (operator, person) if one is not None])
        if person is not None:
            self._expulsion.expel([person], error_of(fact.message))

    def _tell_here(self, fact: Fact, exclude: Sequence[Member | None]) -> None:
        told = set(exclude)
        for message, members in self._listeners(fact):
            delivery = Delivery([message])
            for member in members:
                if member.is_full and not member.is_closing and member not in told:
                    told.add(member)  # it may be in several of the rooms
                    member.queue.put_event(delivery)

    def _listeners(self, fact: Fact) -> Iterable[tuple[Message, Iterable[Member]]]:
        """Yield the message as it is told in each place, and who is there."""
        if fact.rooms is None:
            yield fact.message, self._hub.members
        for key in fact.rooms or ():
            if (room := self._hub.rooms.get(key)) is not None:
                in_room = Message(room=key)
                in_room.MergeFrom(fact.message)
                yield in_room, room.members


def error_of(fact: Message) -> ChatError:
    """Return what those are told who leave by a fact."""
    if fact.kind == chat_pb2.KIND_REMOVED:
        return ChatError("REMOVED", Details(by=fact.user, words=fact.message))
    return ChatError("BANNED", Details(end_of(fact), fact.user, fact.message, has_end=True))


def end_of(message: Message) -> float | None:
    """Return until when a message says that something holds, seconds since 1970; None: for good."""
    if not message.HasField("sent_at"):
        return None
    seconds = message.sent_at.seconds + message.sent_at.nanos / 1e9
    return min(seconds, float(MAX_SECONDS))  # a float rounds up
