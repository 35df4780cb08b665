"""Where in its inbox a session began that may be behind what has arrived at it.

What has arrived was not always seen: its user's screen takes nothing, and the client is killed. In
memory alone: after a restart of the server, as after an orderly end, what has arrived counts as
seen. Everything runs in the event loop.
"""

from __future__ import annotations

from collections import OrderedDict

# Of more sessions the oldest are forgotten; some 3 MB.
MAX_BEGUN = 10_000


class Begun:
    """For each inbox the identity that reads it by a cursor of its own, and where that began."""

    def __init__(self) -> None:
        self._begun: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._begun)

    def note(self, inbox: str, identity: str, start: int) -> None:
        """Note that a session reads an inbox from after the id `start`, unless it did before.

        `identity`: empty for one that has no cursor.
        """
        if not identity:
            self.forget(inbox)
        elif self.start(inbox, identity) is None:
            self._begun[inbox] = identity, start
            if len(self._begun) > MAX_BEGUN:
                self._begun.popitem(last=False)

    def start(self, inbox: str, identity: str) -> int | None:
        """Return after which id a session began; None where another one reads it, or nobody."""
        reader, start = self._begun.get(inbox, ("", 0))
        return start if reader == identity else None

    def forget(self, inbox: str) -> None:
        """Note that whoever reads it has seen all that it got."""
        self._begun.pop(inbox, None)
