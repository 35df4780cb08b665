"""Who comes, goes and is refused: counted in any case, told where that is asked for.

Knows no gRPC, and neither who reads the numbers nor how a line of it looks. `watching.py` makes a
visit of each call; the service says of those to the chat who it is. All in the event loop.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chat.server.tally import Histogram, Traffic

if TYPE_CHECKING:
    from chat.server.member import Member

# What ended a stream, beside the reasons of `errors.py`: its client did, or the line was cut.
LEFT, LOST = "LEFT", "LOST"
# Anything that has no reason in that table.
OTHER = "OTHER"


@dataclass(frozen=True)
class Event:
    """Somebody came, went or was refused. `reason`: why, a word of a short list.

    `peer`: the address, as gRPC spells it. `name`: as it was claimed, where nobody has that name.
    `seconds`: how long it was there.
    """

    what: str  # came, went, refused
    peer: str
    name: str
    is_full: bool = False
    reason: str = ""
    seconds: float = 0.0
    traffic: Traffic | None = None


class Visit:
    """One call, from its beginning to its end. `member`: who it is, once the hub knows."""

    __slots__ = ("began_at", "member", "peer")

    def __init__(self, peer: str, began_at: float) -> None:
        self.peer = peer
        self.began_at = began_at
        self.member: Member | None = None


_current: ContextVar[Visit | None] = ContextVar("visit", default=None)


class Visits:
    """All calls of one server: those that are open, and what became of the others.

    `tell` is called with each event. `came`: streams that were let in. `ended`, `refused_calls`,
    `refused_messages`: how many for each reason. `write_sizes`: messages that were taken for one
    turn of writing. `clock`: seconds.
    """

    def __init__(
        self,
        tell: Callable[[Event], None] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._ended_traffic = Traffic()
        self.open: set[Visit] = set()
        self.came = 0
        self.ended: Counter[str] = Counter()
        self.refused_calls: Counter[str] = Counter()
        self.refused_messages: Counter[str] = Counter()
        self.write_sizes = Histogram()

    def begin(self, peer: str) -> Visit:
        """Note that a call has come; what runs in this task belongs to it."""
        visit = Visit(peer, self._clock())
        _current.set(visit)
        self.open.add(visit)
        return visit

    def come(self, member: Member) -> None:
        """Note that the call of this task is somebody's stream, who was let in."""
        visit = _current.get()
        if visit is None:  # a stream that nobody watches
            return
        visit.member = member
        self.came += 1
        self._tell(Event("came", visit.peer, member.name, member.is_full))

    def end(self, visit: Visit, reason: str, claimed_name: str) -> None:
        """Note that a call is over; `reason`: one of `errors.py`, or of those above.

        `claimed_name`: who the caller said to be; of no account where it was let in.
        """
        self.open.discard(visit)
        member = visit.member
        seconds = self._clock() - visit.began_at
        if member is not None:
            self._ended_traffic.add(member.traffic)
            self.ended[reason] += 1
            who = (visit.peer, member.name, member.is_full)
            self._tell(Event("went", *who, reason, seconds, member.traffic))
            # Timers that were set in its task keep the visit, but need not keep all of that.
            visit.member = None
        elif reason not in (LEFT, LOST):
            self._refuse(reason, visit.peer, claimed_name)

    def refuse_message(self, reason: str) -> None:
        """Count a message that was refused, while its stream goes on."""
        self.refused_messages[reason] += 1

    def _refuse(self, reason: str, peer: str, name: str) -> None:
        self.refused_calls[reason] += 1
        self._tell(Event("refused", peer, name, reason=reason))

    def traffic(self) -> list[Traffic]:
        """Return what each open stream has brought and taken so far, and the others together."""
        open_now = [visit.member.traffic for visit in self.open if visit.member is not None]
        return [replace(self._ended_traffic), *open_now]
