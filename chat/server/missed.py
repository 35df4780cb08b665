"""What somebody missed who was away for long: the newest of it, and how much more there is.

Knows no gRPC and no SQL; everything runs in the event loop.
"""

from __future__ import annotations

from dataclasses import replace

from chat.protocol.limits import MAX_HISTORY
from chat.server.log.base import Log, Missing, Place
from chat.server.replay import readable
from chat.server.subscription import Subscription

# Of more that is left out nobody needs to know how many it is: counting takes time.
MAX_COUNTED = 100_000


async def limited(log: Log, subscription: Subscription, place: Place, at_most: int | None) -> Place:
    """Return where a reader begins who wants no more than the newest `at_most` of what it missed.

    None: all of it. What was said since it came it has not missed. Where the log was put back, what
    comes is no more than a history anyway. Raises LOG_UNREADABLE.
    """
    if at_most is None or not place.has_more or place.missing is Missing.REWOUND:
        return place
    room = subscription.room.key
    start = await readable(log.start_of_last(room, min(at_most, MAX_HISTORY)))
    start = min(start, subscription.entered_id)
    if start <= place.start:
        return place
    left_out = await readable(log.count(room, place.start, start, MAX_COUNTED))
    return replace(place, start=start, left_out=left_out)
