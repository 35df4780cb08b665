"""Hard links to the log's file: only the name beside which the newest lies will do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support import DEADLINE_SECONDS, ROOT

from chat.server.log import maintenance
from chat.server.log.base import LogError, Problem
from chat.server.log.sqlite import SqliteLog

KILLED = """
import os, sys
from chat.server.log.sqlite import SqliteLog
log = SqliteLog(sys.argv[1])
os._exit(0)
"""


def end_without_closing(db: Path) -> None:
    """Open a log in another process, which ends as if it was killed."""
    command = [sys.executable, "-c", KILLED, str(db)]
    subprocess.run(command, cwd=ROOT, timeout=DEADLINE_SECONDS, check=True)
    assert db.with_name(f"{db.name}-wal").exists()


def open_and_close(db: Path) -> bool:
    """Open a log and close it; return whether the server before had closed it."""
    log = SqliteLog(str(db))
    log.abandon()
    return log.is_clean


def back_up(db: Path) -> None:
    maintenance.backup(str(db), str(db.with_name("copy.db")))


def check(db: Path) -> None:
    assert maintenance.check(str(db)) == []


@pytest.mark.parametrize("use", [open_and_close, back_up, check])
@pytest.mark.parametrize("is_moved", [False, True])
def test_only_the_name_beside_which_the_newest_lies_will_do(
    use: Callable[[Path], object], is_moved: bool, tmp_path: Path
) -> None:
    """After an end without a close; nothing is made beside the other name, and it is said why."""
    db, other = tmp_path / "chat.db", tmp_path / "other.db"
    end_without_closing(db)
    os.link(db, other)
    if is_moved:
        db.unlink()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(LogError) as refusal:
        use(other)
    assert refusal.value.problem is Problem.OTHER_NAME and refusal.value.detail == str(db)
    assert sorted(tmp_path.iterdir()) == before
    if is_moved:
        other.rename(db)
    use(db)


def test_file_that_is_whole_may_be_used_by_any_name(tmp_path: Path) -> None:
    """One whose WAL is no more, since another program closed it; or that is a plain copy."""
    db, other, copy = (tmp_path / f"{name}.db" for name in ("chat", "other", "copy"))
    end_without_closing(db)
    copy.write_bytes(db.read_bytes())
    assert not open_and_close(copy)
    check(db)  # the last to close it empties the WAL
    os.link(db, other)
    assert not open_and_close(other)


def test_folder_may_be_reached_by_several_paths(tmp_path: Path) -> None:
    """What counts is which WAL is found there, not how it is written."""
    db, folder = tmp_path / "folder" / "chat.db", tmp_path / "other"
    db.parent.mkdir()
    with suppress(OSError, NotImplementedError):  # not everybody may make links on Windows
        folder.symlink_to(db.parent)
    end_without_closing(db)
    assert not open_and_close(folder / "chat.db" if folder.exists() else db)


def test_copy_of_an_open_log_is_a_closed_one(tmp_path: Path) -> None:
    """It is whole by itself: its names are all the same."""
    db, copy, other = (tmp_path / f"{name}.db" for name in ("chat", "copy", "other"))
    log = SqliteLog(str(db))
    back_up(db)
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]
    os.link(copy, other)
    assert open_and_close(other)
    log.abandon()
