"""The trail of what operators do."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import DEADLINE_SECONDS, eventually

from chat.protocol.errors import UsageError
from chat.server.audit import Trail

IS_WINDOWS = sys.platform == "win32"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def trail(path: Path) -> Iterator[Trail]:
    opened = Trail(str(path))
    yield opened
    opened.close()


def records(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for(path: Path, count: int) -> None:
    eventually(lambda: path.exists() and len(path.read_text().splitlines()) == count)


def test_each_record_is_a_line_of_json(trail: Trail, path: Path) -> None:
    """In ASCII: no terminal obeys what somebody wrote. What was there stays."""
    trail.note({"words": "não\n\x1b[2J\u202e"})
    trail.close()
    again = Trail(str(path))
    again.note({"words": "2"})
    again.close()
    assert [record["words"] for record in records(path)] == ["não\n\x1b[2J\u202e", "2"]
    assert path.read_text().isascii() and "\x1b" not in path.read_text()


@pytest.mark.skipif(IS_WINDOWS, reason="Windows has no such bits")
def test_file_is_its_owners_alone(trail: Trail, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(IS_WINDOWS, reason="Windows moves no open file")
def test_moved_file_is_begun_anew(trail: Trail, path: Path) -> None:
    """As logrotate does it, also where it is removed."""
    trail.note({"n": "1"})
    wait_for(path, 1)
    moved = path.rename(path.with_suffix(".1"))
    trail.note({"n": "2"})
    wait_for(path, 1)
    path.unlink()
    trail.note({"n": "3"})
    wait_for(path, 1)
    assert records(moved) == [{"n": "1"}] and records(path) == [{"n": "3"}]


@pytest.mark.skipif(IS_WINDOWS, reason="Windows moves no open file")
def test_failure_is_told_once_and_goes_by(
    trail: Trail, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The chat goes on; so does the trail when it can."""
    folder = path.parent
    away = folder.rename(folder.with_name("away"))
    trail.note({"n": "1"})
    trail.note({"n": "2"})
    eventually(lambda: "cannot be written" in caplog.text)
    away.rename(folder)
    trail.note({"n": "3"})
    trail.close()
    assert records(path)[-1] == {"n": "3"}
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1


@pytest.mark.parametrize("name", ["", "absent/audit.jsonl", "\0"])
def test_file_that_cannot_be_written_is_a_sentence(tmp_path: Path, name: str) -> None:
    """At the start, where somebody sees it."""
    with pytest.raises(UsageError, match="cannot be written"):
        Trail(os.path.join(tmp_path, name))


@pytest.mark.skipif(IS_WINDOWS, reason="Windows has no such files")
def test_pipe_that_nobody_reads_is_not_waited_for(path: Path) -> None:
    """Else the server would not listen, and say nothing."""
    os.mkfifo(path)
    starting = threading.Thread(target=_start_refused, args=(path,))
    starting.start()
    starting.join(DEADLINE_SECONDS)
    is_waiting = starting.is_alive()
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))  # lets go of a thread that waits
    starting.join(DEADLINE_SECONDS)
    assert not is_waiting


def _start_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        Trail(str(path))
