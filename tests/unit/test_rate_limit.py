"""The token bucket: bursts, the rate, and how it fills again."""

from __future__ import annotations

import pytest

from chat.server.rate_limit import TokenBucket


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_burst_is_ten_seconds_worth_and_then_the_rate_holds() -> None:
    """At 100 a second: a thousand at once, then one each hundredth of a second."""
    clock = Clock()
    bucket = TokenBucket(100, clock)
    assert all(bucket.take() < 1e-6 for _ in range(1000))
    assert bucket.take() == pytest.approx(0.01)
    assert bucket.take() == pytest.approx(0.02)
    clock.now += 0.02
    assert bucket.take() == pytest.approx(0.01)


def test_bucket_fills_again() -> None:
    """Ten quiet seconds give the whole burst back, and never more than that."""
    clock = Clock()
    bucket = TokenBucket(10, clock)
    for _ in range(100):
        bucket.take()
    clock.now += 1000
    waits = [bucket.take() for _ in range(101)]
    assert max(waits[:100]) < 1e-6 < waits[100]


def test_rate_zero_is_no_limit() -> None:
    """Nobody waits."""
    bucket = TokenBucket(0, Clock())
    assert not any(bucket.take() for _ in range(10_000))
