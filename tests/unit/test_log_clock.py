"""The log's own time, on clocks that go wrong."""

from __future__ import annotations

from chat.server.log.log_clock import DAY, LEAP_LASTS_SECONDS, SECOND, Clocks, LogClock

NOW = 1_800_000_000 * SECOND
HOUR = 3600 * SECOND


class FakeTime:
    """What the clock on the wall says, and how much time has really passed."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.error = 0  # of the clock on the wall, in microseconds
        self.clocks = Clocks(lambda: NOW + int(self.elapsed * SECOND) + self.error, self._elapsed)

    def _elapsed(self) -> float:
        return self.elapsed

    @property
    def right(self) -> int:
        """What the time really is."""
        return NOW + int(self.elapsed * SECOND)


def test_time_is_that_on_the_wall() -> None:
    """While nothing is wrong, to the microsecond, after weeks too."""
    time = FakeTime()
    clock = LogClock(0, time.clocks)
    for passed in (0.0, 0.000001, 5.0, 30 * 86_400.0):
        time.elapsed = passed
        assert clock.stamp() == time.right


def test_clock_that_is_ten_days_ahead_for_a_moment_changes_nothing() -> None:
    """Neither what is said in that moment nor what comes after is of the future."""
    time = FakeTime()
    clock = LogClock(0, time.clocks)
    clock.stamp()
    time.elapsed, time.error = 60.0, 10 * DAY
    assert clock.stamp() == time.right
    time.elapsed, time.error = 120.0, 0
    assert clock.stamp() == time.right


def test_time_never_runs_back_and_goes_on_within_a_day() -> None:
    """A clock that was ahead by less than a day is waited for; by more, it was not believed."""
    time = FakeTime()
    clock = LogClock(0, time.clocks)
    time.error = 23 * HOUR
    ahead = clock.stamp()
    time.error = 0
    time.elapsed = 60.0
    assert clock.stamp() == ahead
    time.elapsed = 23 * 3600.0 + 1
    assert clock.stamp() == time.right > ahead


def test_clock_that_stays_ahead_is_believed_after_a_day() -> None:
    """It was this machine that was wrong when it started."""
    time = FakeTime()
    clock = LogClock(0, time.clocks)
    time.error = 400 * DAY
    assert clock.stamp() == time.right
    time.elapsed = LEAP_LASTS_SECONDS - 1
    assert clock.stamp() == time.right
    time.elapsed = LEAP_LASTS_SECONDS
    assert clock.stamp() == time.right + 400 * DAY
    time.elapsed += 1.0
    assert clock.stamp() == time.right + 400 * DAY


def test_two_moments_ahead_are_not_a_day() -> None:
    """It has to be ahead all the time."""
    time = FakeTime()
    clock = LogClock(0, time.clocks)
    for hours in range(0, 48, 2):
        time.elapsed, time.error = hours * 3600.0, 10 * DAY
        assert clock.stamp() == time.right
        time.elapsed, time.error = (hours + 1) * 3600.0, 0
        assert clock.stamp() == time.right


def test_log_that_is_ahead_of_a_clock_stands_still() -> None:
    """As after a restart of a machine whose clock was put back."""
    time = FakeTime()
    clock = LogClock(NOW + DAY, time.clocks)
    assert clock.stamp() == NOW + DAY
    time.elapsed = 2 * 86_400.0
    assert clock.stamp() == time.right


def test_age_is_counted_from_the_newest_message() -> None:
    """A machine that starts forty days ahead makes nothing in the log older, for a day."""
    time = FakeTime()
    time.error = 40 * DAY
    clock = LogClock(NOW - HOUR, time.clocks)
    assert clock.now_for_trimming() == NOW - HOUR
    clock.stamp()  # forty days ahead: nothing else is known of the time
    time.elapsed = 3600.0
    assert clock.now_for_trimming() == NOW
    time.elapsed, time.error = 7200.0, 0
    assert clock.now_for_trimming() == time.right


def test_age_grows_in_a_log_that_was_left_alone() -> None:
    """When the clock has said so for a day."""
    time = FakeTime()
    clock = LogClock(NOW - 40 * DAY, time.clocks)
    assert clock.now_for_trimming() == NOW - 40 * DAY
    time.elapsed = LEAP_LASTS_SECONDS
    assert clock.now_for_trimming() == time.right


def test_empty_log_has_the_time_of_the_wall() -> None:
    """There is nothing in it that could say more."""
    time = FakeTime()
    assert LogClock(0, time.clocks).now_for_trimming() == time.right


def test_clocks_of_the_machine_go() -> None:
    """The one in microseconds since 1970, the other one only ahead."""
    clocks = Clocks()
    before = clocks.elapsed_seconds()
    assert clocks.wall_microseconds() > 1_700_000_000 * SECOND
    assert clocks.elapsed_seconds() >= before
