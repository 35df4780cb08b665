"""Exponential backoff with jitter."""

from __future__ import annotations

from chat.client.backoff import Backoff


def test_backoff_grows_to_its_bound_and_begins_anew() -> None:
    """Attempts are 0.5 s to 5 s apart, with jitter, and soon again after a success."""
    backoff = Backoff()
    assert 0.5 <= backoff.next() <= 1.0
    waits = [backoff.next() for _ in range(200)]
    assert 0.5 <= min(waits) < 1.5 and 4.0 < max(waits) <= 5.0
    assert len(set(waits)) > 100
    backoff.reset()
    assert 0.5 <= backoff.next() <= 1.0
