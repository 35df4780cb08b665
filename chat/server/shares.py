"""Whose the messages are that wait for the owners of names, so that nobody fills an inbox alone.

In memory: after a restart of the server everybody has a whole share again. Everything runs in the
event loop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from chat.protocol.limits import MAX_WAITING_MESSAGES
from chat.server.closed_rooms import own_id
from chat.server.member import Member
from chat.server.ownership import Owned

# Of what can wait in one inbox, so much is from one sender.
MAX_FROM_ONE = MAX_WAITING_MESSAGES // 10
# Senders are remembered for each inbox, so many in all; the oldest go first.
MAX_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class _Left:
    """So many messages, the last one with this id, and when that was (seconds since 1970)."""

    count: int
    last_id: int
    at: float


class Shares:
    """What each sender has left in each inbox since its owner had it all.

    `wait_seconds`: how long a message waits. `clock`: seconds since 1970.
    """

    def __init__(self, wait_seconds: float, clock: Callable[[], float]) -> None:
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._left: OrderedDict[tuple[str, str], _Left] = OrderedDict()

    def count(self, owned: Owned, sender: str) -> int:
        """Return how many messages from a sender wait for an owner."""
        left = self._left.get((owned.inbox, sender))
        if left is None or left.last_id <= owned.inbox_seen_id:
            return 0
        return left.count if self._clock() - left.at <= self._wait_seconds else 0

    def note(self, owned: Owned, sender: str, message_id: int) -> None:
        """Note one message more."""
        key = (owned.inbox, sender)
        self._left[key] = _Left(self.count(owned, sender) + 1, message_id, self._clock())
        self._left.move_to_end(key)
        if len(self._left) > MAX_REMEMBERED:
            self._left.popitem(last=False)


def sender_of(member: Member) -> str:
    """Return whose share it is: an owner's own, else that of the address, as far as it counts."""
    person = member.person
    assert person is not None
    return own_id(person) if person.owns_name else member.address or person.identity
