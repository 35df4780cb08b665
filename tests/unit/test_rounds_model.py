"""What the model of the server's turns says of the server's own constants (`bench/`)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rounds_model import APART, FEW, MANY, ONE, Case, Changes, run, slow, table


@pytest.mark.parametrize(
    ("case", "seconds"),
    [(ONE, 1.0), (slow(ONE), 3.0), (slow(ONE, 3), 4.0), (slow(MANY), 3.0)],
    ids=["quick clients", "slow clients", "slower clients", "many senders"],
)
def test_a_hundred_messages_share_a_write_where_five_hundred_wait(
    case: Case, seconds: float
) -> None:
    """However fast a thousand clients read."""
    assert run(case, seconds).messages_a_write >= 100


def test_without_rests_few_messages_share_a_write() -> None:
    """So the model would tell."""
    assert run(replace(ONE, rest_factor=0.0), 1.0).messages_a_write < 10


def test_rests_together_cost_no_time() -> None:
    """Of twenty messages to a hundred clients the latest come sooner than if each rested alone."""
    together, apart = run(FEW, 1.0), run(replace(FEW, **APART), 1.0)
    assert together.took_ms(0.99) < apart.took_ms(0.99) and together.cost < apart.cost


def test_log_in_memory_gathers_as_much_as_one_on_disk() -> None:
    """Though its commits take no time: a group costs more than its commit."""
    on_disk, in_memory = run(slow(MANY), 2.0), run(replace(slow(MANY), disk=0.0), 2.0)
    assert in_memory.messages_a_group >= 0.7 * on_disk.messages_a_group
    assert in_memory.cost <= 1.1 * on_disk.cost


def test_table_has_a_row_for_each_case_and_a_column_for_each_change() -> None:
    """The changes in the order in which they are given."""
    changes: Changes = {"once": {}, "again": {"rest_factor": 0.0}}
    lines = table("a group", {"two": Case(2, 1, 1)}, changes, lambda o: f"{o.messages_a_group:.0f}")
    assert lines.splitlines() == [
        "| a group | once | again |",
        "| --- | --- | --- |",
        "| two | 1 | 1 |",
    ]
