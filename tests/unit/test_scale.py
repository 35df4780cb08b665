"""The arithmetic of docs/scale.md, on figures that can be reckoned in one's head."""

from __future__ import annotations

from dataclasses import replace

import pytest
import scale
from scale import Load, Units

UNITS = Units(
    delivery_us=10,
    join_us=500,
    client_kb=50,
    follow_us=30,
    message_bytes=200,
    name_us=0,
    name_bytes=1000,
    turns=1000,
    synced_turns=100,
)


def test_work_is_shared_and_following_is_not() -> None:
    """A thousand messages a second: a core for deliveries, 0.03 of one at each for following."""
    load = Load(UNITS, 60_000)
    assert load.messages == 1000 and load.joins == pytest.approx(33.3, abs=0.1)
    assert load.shared_cores == pytest.approx(1 + 33.333 * 2000e-6, rel=1e-3)
    assert load.following_cores == pytest.approx(0.03)
    assert load.servers == 2 and load.turn_ms == pytest.approx(20)
    assert load.memory_bytes == pytest.approx(30_000 * 51_200 + 60_000 * 1000)
    assert load.day_bytes == pytest.approx(1000 * 86_400 * 200)


def test_where_following_fills_a_core_no_number_of_servers_will_do() -> None:
    """Until the log is split."""
    people = 60 * 20_000
    alone = Load(UNITS, people)
    assert alone.servers is None and alone.memory_bytes is None and alone.turn_ms is None
    parts = Load(UNITS, people, streams=20)
    assert parts.following_cores == pytest.approx(0.03) and parts.servers == 40
    assert "none will do" in scale.populations(replace(UNITS, follow_us=1e6))


def test_figures_have_three_digits() -> None:
    """And counts have all of theirs."""
    assert [scale.shown(figure) for figure in (0.012345, 1.0, 1234.5, 166_666.6)] == [
        *("0.0123", "1.00", "1,230"),
        "167,000",
    ]
    assert scale.shown(3136) == "3,136" and scale.shown(0.0) == "0.0"
