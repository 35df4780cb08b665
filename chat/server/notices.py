"""What the server tells one client alone: why something is not as it wished, or what has changed.

Runs in the event loop.
"""

from __future__ import annotations

import chat_pb2
from chat.protocol.errors import explain
from chat.server.encoding import Delivery
from chat.server.member import Member
from chat.server.room import Room


def notice(
    member: Member,
    reason: str,
    key: str = "",
    room: Room | None = None,
    is_answer: bool = True,
    to: str = "",
    until: float | None = None,
    words: str = "",
) -> None:
    """Tell a full member why something is not as it wished; a plain one is never told.

    `is_answer`: it has asked just now; else, where its queue is full, it is not told. `until`:
    when that ends, seconds since 1970, where that is known. `words`: instead of the reason's.
    """
    if not member.is_full:
        return
    said = chat_pb2.Message(user=reason, kind=chat_pb2.KIND_NOTICE, key=key, to=to)
    said.message = words or explain(reason, reason)
    if until is not None:
        said.sent_at.FromNanoseconds(int(until * 1e9))
    if room is not None and room.is_inbox:
        said.to = member.name
    elif room is not None:
        said.room = room.key
    put = member.queue.put_answer if is_answer else member.queue.put_event
    put(Delivery([said]))
