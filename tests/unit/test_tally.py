"""What is counted where the work is done."""

from __future__ import annotations

from math import inf

import pytest

from chat.server.tally import BUCKETS, SLOT_SECONDS, Commits, Histogram, Traffic


@pytest.mark.parametrize(
    ("number", "bound"),
    [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1 << 16, 1 << 16), ((1 << 16) + 1, inf)],
)
def test_number_is_in_the_first_bucket_that_holds_it(number: int, bound: float) -> None:
    """And in all above."""
    histogram = Histogram()
    histogram.add(number)
    found = histogram.bounds()
    assert [(edge, count) for edge, count in found if count] == [
        (edge, 1) for edge, _count in found if edge >= bound
    ]
    assert len(found) == BUCKETS + 1 and histogram.total == number


def test_commit_is_counted_with_its_messages_and_its_time() -> None:
    """One that was lost, and one of notes alone, add no messages."""
    commits = Commits()
    commits.note(3, 2.5 * SLOT_SECONDS, is_lost=False)
    commits.note(0, 0.0, is_lost=False)
    commits.note(5, 1.0, is_lost=True)
    assert commits.messages.total == 3 and sum(commits.messages.counts) == 1
    assert commits.seconds.counts[:3] == [1, 0, 1] and commits.seconds.total == 3
    assert commits.took_seconds == 2.5 * SLOT_SECONDS
    assert (commits.failed, commits.lost_messages) == (1, 5)


def test_traffic_adds_up() -> None:
    """Each number by itself."""
    total = Traffic(1, 2, 3, 4)
    total.add(Traffic(10, 20, 30, 40))
    assert total == Traffic(11, 22, 33, 44)
