"""The token bucket, and what persons and addresses have of it over all their streams."""

from __future__ import annotations

import pytest

from chat.server import rate_limit
from chat.server.rate_limit import ASKING, MOVING, Rate, RateLimits, RatesOfAddresses, TokenBucket


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_burst_at_once_and_then_the_rate_holds() -> None:
    """At 100 a second: a thousand at once, then one each hundredth of a second."""
    clock = Clock()
    bucket = TokenBucket(Rate(100, 1000), clock)
    assert all(bucket.take() < 1e-6 for _ in range(1000))
    assert bucket.take() == pytest.approx(0.01)
    assert bucket.take() == pytest.approx(0.02)
    clock.now += 0.02
    assert bucket.take() == pytest.approx(0.01)
    assert bucket.take(50) == pytest.approx(0.51)


def test_bucket_fills_again() -> None:
    """Ten quiet seconds give the whole burst back, and never more than that."""
    clock = Clock()
    bucket = TokenBucket(Rate(10, 100), clock)
    assert bucket.is_full
    for _ in range(100):
        bucket.take()
    clock.now += 9.9
    assert not bucket.is_full
    clock.now += 1000
    assert bucket.is_full
    waits = [bucket.take() for _ in range(101)]
    assert max(waits[:100]) < 1e-6 < waits[100]


def test_rate_zero_is_no_limit_for_what_is_said_alone() -> None:
    """Neither for messages nor for their bytes; questions and rooms keep theirs."""
    limit = RateLimits(0, Clock()).join("ana", "192.0.2.7")
    assert not any(limit.say(65_536) for _ in range(10_000))
    assert [limit.ask() for _ in range(11)][-1] == pytest.approx(1)
    assert [limit.move() for _ in range(31)][-1] == pytest.approx(1)


def test_long_messages_count_by_their_bytes() -> None:
    """At 100 a second also 200 kB a second, and ten seconds' worth at once."""
    limit = RateLimits(100, Clock()).join("ana", "")
    assert max(limit.say(8000) for _ in range(250)) < 1e-6
    assert limit.say(8000) == pytest.approx(0.04)


def test_two_streams_and_reconnects_of_one_person_are_one() -> None:
    """Whoever leaves and comes back after each burst gets no more for it; others have their own."""
    clock = Clock()
    limits = RateLimits(10, clock)
    first, second = limits.join("ana", ""), limits.join("ana", "")
    assert max(stream.say(1) for _ in range(50) for stream in (first, second)) < 1e-6
    assert first.say(1) == pytest.approx(0.1)
    limits.leave(first)
    limits.leave(second)
    del first, second
    assert limits.join("ana", "").say(1) == pytest.approx(0.2)
    assert limits.join("bia", "").say(1) == 0.0
    clock.now += 10.2
    assert limits.join("ana", "").say(1) < 1e-6


def test_address_has_ten_times_what_a_person_has() -> None:
    """Over all who come from there, whatever they are called; without one nobody shares."""
    limits = RateLimits(10, Clock())
    for kind, burst, wait in (("say", 1000, 0.01), ("ask", 100, 0.1), ("move", 300, 0.1)):
        takes = []
        for number in range(burst + 1):
            stream = limits.join(f"{kind}{number}", "192.0.2.7")
            takes.append(getattr(stream, kind)(*([1] if kind == "say" else [])))
            limits.leave(stream)
        assert max(takes[:-1]) < 1e-6, kind
        assert takes[-1] == pytest.approx(wait), kind
    assert limits.join("somebody", "192.0.2.8").ask() == 0.0
    assert limits.join("somebody", "").ask() == 0.0


def test_address_reads_the_log_at_a_rate() -> None:
    """All its clients together; where no address counts there is none."""
    limits = RateLimits(0, Clock())
    streams = [limits.join(name, "192.0.2.7") for name in "ab"]
    assert max(streams[n % 2].read(1_000_000) for n in range(20)) < 1e-6
    assert [stream.read(1_000_000) for stream in streams] == pytest.approx([0.1, 0.2])
    assert limits.join("c", "192.0.2.8").read(1_000_000) == 0.0
    assert not any(limits.join("c", "").read(1_000_000) for _ in range(100))


def test_idle_stream_finds_what_another_of_the_same_person_has_used_up() -> None:
    """Nothing is kept for it before it says something; then it shares what is left."""
    limits = RateLimits(10, Clock())
    idle, busy = limits.join("ana", ""), limits.join("ana", "")
    assert max(busy.say(1) for _ in range(100)) < 1e-6
    limits.leave(busy)
    del busy
    assert idle.say(1) == pytest.approx(0.1)


def test_each_sort_has_its_own() -> None:
    """Who has asked too much may speak; coming back to twenty rooms needs no wait."""
    limit = RateLimits(10, Clock()).join("ana", "")
    assert [limit.ask() for _ in range(int(ASKING.burst) + 1)][-1] > 0
    assert limit.say(1) == 0.0
    assert max(limit.move() for _ in range(20)) < 1e-6
    assert MOVING.burst >= 20


def test_memory_of_those_who_left_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten first; those with nothing used up, at once."""
    monkeypatch.setattr(rate_limit, "MAX_REMEMBERED", 3)
    limits = RateLimits(1, Clock())
    for name in "abcd":
        stream = limits.join(name, "")
        for _ in range(11):
            stream.say(1)
        limits.leave(stream)
    quiet = limits.join("e", "")
    limits.leave(quiet)
    del stream, quiet
    assert [name for name in "abcde" if limits.join(name, "").say(1)] == ["b", "c", "d"]


def test_rate_of_an_address_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused costs nothing; of very many addresses the first are forgotten."""
    monkeypatch.setattr(rate_limit, "MAX_REMEMBERED", 2)
    clock = Clock()
    rates = RatesOfAddresses(Rate(1.0, 2.0), clock)
    assert [rates.try_take("a") for _ in range(4)] == [True, True, False, False]
    assert rates.try_take("b") and all(rates.try_take("") for _ in range(4))
    clock.now += 1.0
    assert [rates.try_take("a") for _ in range(2)] == [True, False]
    assert rates.try_take("c") and rates.try_take("d")
    assert rates.try_take("a")
