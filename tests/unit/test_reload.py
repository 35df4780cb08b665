"""Files that are read again: when, what of them counts, and what becomes of a broken one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rooms import bounded
from support import DEADLINE_SECONDS

from chat.protocol.errors import UsageError
from chat.server import reload
from chat.server.reload import Reloader, Watched


def load(*paths: str) -> str:
    """Return what is in the files; raises for a file that says so."""
    text = "".join(Path(path).read_text() for path in paths)
    if "broken" in text:
        raise UsageError("It is broken.")
    return text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that says one."""
    file = tmp_path / "file"
    file.write_text("one")
    return file


async def test_change_is_taken_once_it_has_come_to_rest(path: Path) -> None:
    """Not at the first look, which may fall into the middle of it; and only once."""
    values: list[str] = []
    watched = Watched(load, str(path), on_change=values.append)
    assert watched.value == "one"
    await watched.check()
    path.write_text("three")
    await watched.check()
    assert watched.value == "one"
    path.write_text("seven, at last")
    await watched.check()
    assert watched.value == "one"
    for _look in range(3):
        await watched.check()
    assert watched.value == "seven, at last" and values == ["seven, at last"]


async def test_broken_file_is_a_line_and_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, not at each look; the next one that is sound is taken."""
    watched = Watched(load, str(path))
    path.write_text("broken")
    for _look in range(4):
        await watched.check()
    assert watched.value == "one"
    told = [record.getMessage() for record in caplog.records]
    assert told == ["It is broken. What was read before stays in force."]
    path.write_text("sound")
    for _look in range(2):
        await watched.check()
    assert watched.value == "sound"


@pytest.mark.parametrize("what", ["gone", "no text"])
async def test_file_that_cannot_be_read_does_not_end_the_server(path: Path, what: str) -> None:
    """What the one who loads it did not foresee neither."""
    watched = Watched(load, str(path))
    path.unlink() if what == "gone" else path.write_bytes(b"\xff\xfe\xff")
    for _look in range(2):
        await watched.check()
    assert watched.value == "one"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
async def test_pipe_in_place_of_the_file_is_not_waited_for(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the thread that reads it would keep the server from ending."""
    watched = Watched(load, str(path))
    path.unlink()
    os.mkfifo(path)
    try:
        for _look in range(2):
            await asyncio.wait_for(watched.check(), DEADLINE_SECONDS)
    finally:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))  # lets go of a thread that waits
    assert watched.value == "one" and "it is no regular file" in caplog.text


def test_first_value_must_be_sound(path: Path) -> None:
    """Else the server does not start."""
    path.write_text("broken")
    with pytest.raises(UsageError, match="broken"):
        Watched(load, str(path))


async def test_any_of_several_files(path: Path, tmp_path: Path) -> None:
    """They are read together."""
    other = tmp_path / "other"
    other.write_text("!")
    watched = Watched(load, str(path), str(other))
    other.write_text("?!")
    for _look in range(2):
        await watched.check()
    assert watched.value == "one?!"


async def test_files_are_looked_at_by_themselves(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it runs."""
    monkeypatch.setattr(reload, "CHECK_SECONDS", 0.01)
    changed = asyncio.Event()
    reloader = Reloader()
    reloader.add(Watched(load, str(path), on_change=lambda value: changed.set()))
    running = asyncio.create_task(reloader.run())
    path.write_text("another one")
    await bounded(changed.wait())
    running.cancel()


async def test_nothing_to_look_at() -> None:
    """Then there is nothing to do, and SIGHUP is what it was."""
    before = signal.getsignal(signal.SIGTERM)
    reloader = Reloader()
    reloader.watch_signal()
    await bounded(reloader.run())
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def hangup() -> Iterator[None]:
    """Put back what SIGHUP does."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
@pytest.mark.usefixtures("hangup")
async def test_hangup_reads_all_again_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed or not."""
    monkeypatch.setattr(reload, "CHECK_SECONDS", 3600)
    values: asyncio.Queue[str] = asyncio.Queue()
    reloader = Reloader()
    reloader.add(Watched(load, str(path), on_change=values.put_nowait))
    reloader.watch_signal()
    running = asyncio.create_task(reloader.run())
    for text in ("one", "two"):
        path.write_text(text)
        signal.raise_signal(signal.SIGHUP)
        assert await bounded(values.get()) == text
    running.cancel()
