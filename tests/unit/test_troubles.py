"""What is wrong with a log that several things can be wrong with."""

from __future__ import annotations

from chat.server.log.base import LogError, Problem
from chat.server.log.troubles import Troubles


def told(*steps: tuple[str, Problem | None]) -> list[Problem | None]:
    """Return what is reported when these become known, one after the other."""
    found: list[Problem | None] = []
    troubles = Troubles()
    troubles.report = lambda error: found.append(error.problem if error is not None else None)
    for source, problem in steps:
        troubles.tell(source, LogError(problem, "path") if problem is not None else None)
    return found


def test_only_what_changes_is_told() -> None:
    """A trouble, another one, the end of all of them."""
    away, full = Problem.AWAY, Problem.FULL
    assert told(("nats", None), ("nats", away), ("nats", away), ("nats", None)) == [away, None]
    assert told(("nats", away), ("file", full), ("nats", None), ("file", None)) == [
        away,
        full,
        None,
    ]


def test_what_is_final_counts_and_stays() -> None:
    """Whatever else is wrong, or no longer is."""
    steps = [("nats", Problem.AWAY), ("file", Problem.REMOVED), ("nats", None), ("file", None)]
    assert told(*steps) == [Problem.AWAY, Problem.REMOVED]
