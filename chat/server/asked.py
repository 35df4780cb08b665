"""Which room a client's wish is about, and the word that it is fulfilled.

Runs in the event loop.
"""

from __future__ import annotations

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.names import check_room, name_key
from chat.server.encoding import Delivery
from chat.server.member import Member
from chat.server.subscription import Subscription

Message = chat_pb2.Message


def place_of(member: Member, room: str, is_exact: bool = False) -> Subscription:
    """Return the member's place in `room`; raises NOT_IN_ROOM.

    Empty: the only room that it is in, unless that `is_exact`; else the common room.
    """
    if not room and not is_exact and len(member.rooms) == 1:
        return next(iter(member.rooms.values()))
    place = member.rooms.get(name_key(check_room(room)))
    if place is None:
        raise ChatError("NOT_IN_ROOM")
    return place


def asked_room(member: Member, message: Message) -> str:
    """Return the key of the room that a message is about, any room; empty: as `place_of`."""
    return name_key(check_room(message.room)) or place_of(member, "").room.key


def echo(member: Member, wish: Message, room: str, message_id: int = 0) -> None:
    """Say that a wish is fulfilled."""
    said = Message(user=member.name, kind=wish.kind, key=wish.key, room=room, id=message_id)
    member.queue.put_answer(Delivery([said]))
