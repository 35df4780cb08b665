"""The log's file as the system sees it."""

from __future__ import annotations

import errno
import logging
import os
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support import DEADLINE_SECONDS, ROOT

from chat.server.log import files
from chat.server.log.base import LogError, Problem
from chat.server.log.files import LogFile

needs_posix = pytest.mark.skipif(os.name == "nt", reason="modes and removed files of POSIX")
LOCK = "import sys; from chat.server.log.files import LogFile; LogFile(sys.argv[1])"


def problem_of(path: str | Path) -> Problem:
    """Return why no log can be there."""
    with pytest.raises(LogError) as refusal:
        LogFile(str(path)).close()
    return refusal.value.problem


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@needs_posix
def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    """As what cannot be opened, in the last part of the path or before."""
    (tmp_path / "loop").symlink_to("loop")
    assert problem_of(tmp_path / "loop") is Problem.UNUSABLE
    assert problem_of(tmp_path / "loop" / "chat.db") is Problem.NO_FOLDER


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", Problem.NO_NAME),
        (":memory:", Problem.NO_FILE),
        ("folder", Problem.FOLDER),
        ("no/chat.db", Problem.NO_FOLDER),
        ("text/chat.db", Problem.NO_FOLDER),
        ("file:chat.db", Problem.URI),
        ("file:chat.db?mode=memory", Problem.URI),
        ("x" * 251, Problem.TOO_LONG),
        ("folder/" * 80 + "chat.db", Problem.TOO_LONG),
        ("text", Problem.FOREIGN),
        ("pipe", Problem.FOREIGN),
    ],
)
def test_path_that_no_log_can_have_is_named(
    path: str, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is made there, or changed."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("text").write_text("no database, but longer than its header")
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe")
    elif path == "pipe":
        pytest.skip("no named pipes here")
    before = {(p.name, p.stat().st_mode, p.stat().st_size) for p in tmp_path.iterdir()}
    assert problem_of(path) is problem
    assert {(p.name, p.stat().st_mode, p.stat().st_size) for p in tmp_path.iterdir()} == before


@needs_posix
def test_new_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    """From the first moment."""
    before = os.umask(0)
    try:
        LogFile(str(tmp_path / "chat.db")).close()
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "chat.db") == 0o600


@needs_posix
def test_older_file_that_others_can_read_is_closed_to_them_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With what lies beside it; once."""
    db, wal = tmp_path / "chat.db", tmp_path / "chat.db-wal"
    for path in (db, wal):
        path.touch()
        path.chmod(0o644)
    for _ in range(2):
        with closing(LogFile(str(db))) as file:
            file.make_private()
    assert mode_of(db) == mode_of(wal) == 0o600
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@needs_posix
def test_file_is_locked_whatever_its_name(tmp_path: Path) -> None:
    """For another process; and by what is closed meanwhile the lock is not dropped."""
    db, link = tmp_path / "chat.db", tmp_path / "link.db"
    command = [sys.executable, "-c", LOCK, str(link)]
    with closing(LogFile(str(db))):
        os.link(db, link)
        if sys.platform == "linux":
            with db.open("rb"):
                pass
        other = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
        )
    assert "IN_USE" in other.stderr
    with closing(LogFile(str(link))):
        pass


@needs_posix
@pytest.mark.parametrize("how", ["removed", "replaced", "moved"])
def test_file_that_is_not_in_its_place_any_more_is_noticed(how: str, tmp_path: Path) -> None:
    """One that is only written to is."""
    db, other = tmp_path / "chat.db", tmp_path / "other.db"
    with closing(LogFile(str(db))) as file:
        db.write_bytes(b"written to")
        file.check()
        if how == "removed":
            db.unlink()
        elif how == "moved":
            db.rename(other)
        else:
            other.touch()
            other.replace(db)
        with pytest.raises(LogError) as trouble:
            file.check()
    assert trouble.value.problem is Problem.REMOVED and trouble.value.problem.is_final


@needs_posix
@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_companion_that_is_not_in_its_place_any_more_is_noticed(
    suffix: str, is_replaced: bool, tmp_path: Path
) -> None:
    """One that is emptied, as SQLite does, is in its place."""
    db, companion, other = (tmp_path / f"chat.db{end}" for end in ("", suffix, "-other"))
    companion.write_text("something")
    with closing(LogFile(str(db))) as file:
        file.note_companions()
        os.truncate(companion, 0)
        file.check()
        companion.unlink()
        if is_replaced:
            # Not at once, or it might get the number that the other had.
            other.touch()
            (tmp_path / "third").touch()
            (tmp_path / "third").replace(companion)
        with pytest.raises(LogError) as trouble:
            file.check()
        # Over what another WAL is played over, nothing newer may be written.
        assert file.can_be_completed() is not (is_replaced and suffix == "-wal")
    assert trouble.value.problem is Problem.REMOVED and trouble.value.path == str(companion)


@needs_posix
def test_link_that_leads_elsewhere_is_noticed_and_what_it_left_is_kept(tmp_path: Path) -> None:
    """Also where it leads to the same file by another name; what is beside a file is its own."""
    real, other, link = (tmp_path / f"{name}.db" for name in ("real", "other", "link"))
    link.symlink_to(real)
    with closing(LogFile(str(link))) as file:
        wal = tmp_path / "real.db-wal"
        wal.touch()
        file.note_companions()
        file.check()
        other.touch()
        link.unlink()
        link.symlink_to(other)
        with pytest.raises(LogError) as trouble:
            file.check()
        file.remove_companions()
        assert trouble.value.problem is Problem.REMOVED and wal.exists()
        real.replace(other)
        with pytest.raises(LogError):
            file.check()
        file.remove_companions()
        assert not wal.exists()


@needs_posix
def test_disk_that_fails_for_a_moment_has_not_lost_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written meanwhile, and then it goes on."""
    db = tmp_path / "chat.db"
    with closing(LogFile(str(db))) as file:
        with monkeypatch.context() as patch, pytest.raises(LogError) as trouble:
            patch.setattr(os, "stat", fail_to_read)
            file.check()
        file.check()
    assert trouble.value.problem is Problem.UNUSABLE and not trouble.value.problem.is_final


def fail_to_read(path: str) -> os.stat_result:
    raise OSError(errno.EIO, "Input/output error")


@needs_posix
def test_only_its_own_companions_are_removed(tmp_path: Path) -> None:
    """Not those that came with the file that replaced it."""
    db, wal, shm = (tmp_path / f"chat.db{suffix}" for suffix in ("", "-wal", "-shm"))
    with closing(LogFile(str(db))) as file:
        wal.touch()
        shm.touch()
        file.note_companions()
        db.unlink()
        (tmp_path / "new").write_text("another WAL")
        (tmp_path / "new").replace(wal)
        file.remove_companions()
    assert wal.read_text() == "another WAL" and not shm.exists()


def test_without_locks_of_files_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where another file is locked instead."""
    monkeypatch.setattr(files, "HAS_FILE_LOCKS", False)
    with closing(LogFile(str(tmp_path / "chat.db"))), closing(LogFile(str(tmp_path / "chat.db"))):
        pass
