"""What is wrong with a log that several things can be wrong with: told when it changes.

Everything runs in the event loop.
"""

from __future__ import annotations

from chat.server.log.base import LogError, Report, ignore


class Troubles:
    """The trouble of each source; `report` hears of the one that counts, and with None of none."""

    def __init__(self) -> None:
        self.report: Report = ignore
        self._known: dict[str, LogError] = {}
        self._told: LogError | None = None

    def tell(self, source: str, trouble: LogError | None) -> None:
        """Note what is wrong with a source now, None: nothing. What is final stays."""
        if trouble is None:
            if source not in self._known:
                return
            del self._known[source]
        else:
            self._known[source] = trouble
        if self._told is not None and self._told.problem.is_final:
            return
        worst = max(self._known.values(), key=lambda one: one.problem.is_final, default=None)
        was = self._told.problem if self._told is not None else None
        self._told = worst
        if was is not (worst.problem if worst is not None else None):
            self.report(worst)
