"""A place in the log: how far one client has been handed what is said in one room, or its inbox.

Everything runs in the event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chat.server.room import Room


class Subscription:
    """One client's cursor in one room. `seen_id`: the last log message that was handed out.

    `has_gap`: between `seen_id` and the send queue there are messages that only the log has.
    `entered_id`: the newest message of all rooms when the client came; the others see it no sooner.
    `owed_id`: once it is leaving, or the queue is closed, the last message that is still owed.
    `hides_ids`: the client takes every id for one of its only room's, so an inbox must not show its
    own.
    `is_behind`: it has a gap, or a page that may end it is being read. `is_leaving`: the client has
    left the room, and hears what was said there before. `has_ended`: its stream is over.
    """

    __slots__ = (
        "entered_id",
        "has_ended",
        "has_gap",
        "hides_ids",
        "is_behind",
        "is_leaving",
        "owed_id",
        "room",
        "seen_id",
    )

    def __init__(self, room: Room, hides_ids: bool = False) -> None:
        self.room = room
        self.seen_id = self.entered_id = room.last_id
        self.hides_ids = hides_ids
        self.has_gap = False
        self.is_behind = False
        self.is_leaving = False
        self.has_ended = False
        self.owed_id = 0
