"""The study of what grows with the log, on one that is small."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the bench reads /proc", allow_module_level=True)

import growth_study
import long_log
from growth_study import KINDS, Growth, Taken, Visitor, retain_days, serving, visits

from chat.server.log import maintenance
from chat.server.log.files import INDEX_SUFFIX

SIZE = 1000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of the study's."""
    path = tmp_path_factory.mktemp("growth") / "chat.db"
    long_log.make(path, SIZE)
    return path


def test_log_is_sound_and_made_once(log: Path) -> None:
    """As one in which all of that was said; and so is its index."""
    assert maintenance.check(str(log)) == [] and long_log.length(log) == SIZE
    made = log.stat()
    long_log.make(log, SIZE)
    assert log.stat().st_ino == made.st_ino
    names = sorted(each.name for each in log.parent.iterdir())
    assert names == [log.name, f"{log.name}{INDEX_SUFFIX}"]


def test_log_of_another_length_is_made_anew(log: Path) -> None:
    """It has been used since."""
    other = log.with_name("other.db")
    long_log.make(other, 60)
    long_log.make(other, 100)
    assert long_log.length(other) == 100
    long_log.remove(other)


def test_so_many_messages_are_too_old(log: Path) -> None:
    """They are a minute apart."""
    assert retain_days(log, 500) == pytest.approx((SIZE - 500 - 0.5) / 1440, abs=0.002)


def test_all_that_visitors_do_is_measured(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real server; each hears what it waits for, or the study fails."""
    for name in ("VISITS", "SEARCHES"):
        monkeypatch.setattr(growth_study, name, 2)
    monkeypatch.setattr(growth_study, "SAID", 20)
    with serving(log) as (plan, start), closing(Visitor(plan)) as visitor:
        taken = {what: visit() for what, visit in visits(visitor).items()}
    assert start.ms and start.cpu_ms > 0
    assert set(taken) | {"start", "start after a kill", "trim"} == set(KINDS)
    assert all(one.ms for one in taken.values())


def test_table_and_plot_have_a_place_for_each() -> None:
    """A row, and a line."""
    taken = {what: Taken([1.0, 2.0, 30.0], 0.5) for what in KINDS}
    growths = [Growth(size, taken, 50.0, 1.0, 0.5) for size in (1000, 10_000_000)]
    table, plot = growth_study.table(growths), growth_study.plot(growths)
    assert all(f"| {what} | 2.0 | 0.50 | 2.0 | 0.50 |" in table for what in KINDS)
    assert all(f">{what}</text>" in plot for what in KINDS) and ">10,000,000</text>" in plot
