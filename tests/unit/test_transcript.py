"""The transcript: every message once, whatever happens to its file, its client and the disk."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from chat.client import transcript, transcript_position, transcript_queue
from chat.client.bookmarks import INBOX
from chat.client.cursor import Place
from chat.client.transcript import Transcript
from chat.client.transcript_position import BLOCK_BYTES
from chat.client.transcript_queue import MAX_TAIL_BYTES
from chat.client.ui.render import render_message
from chat.protocol.errors import UsageError
from chat_pb2 import KIND_JOINED, Message

HERE = "localhost:50051"
NOON = 1_795_694_400


class Disk:
    """What `os.write` meets: it takes so many bytes more, then is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free_bytes = 1 << 30
        self.writes = self.largest_bytes = 0
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, file: int, content: bytes) -> int:
        self.writes += 1
        self.largest_bytes = max(self.largest_bytes, len(content))
        if not self.free_bytes:
            raise OSError(errno.ENOSPC, "no space")
        written = self._write(file, content[: self.free_bytes])
        self.free_bytes -= written
        return written


class Writer:
    """A client with a transcript, and what it tells its user."""

    def __init__(self, folder: Path, name: str = "said.log", epoch: str = "log") -> None:
        self.transcript = Transcript(folder / name, folder / "state")
        self.told: list[str] = []
        self.transcript.on_trouble = self.transcript.on_mended = self.told.append
        self.transcript.meet(HERE, Place({}, 0, epoch, "g"), "ana")

    def say(self, number: int, text: str = "", room: str = "", to: str = "") -> None:
        self.add(number, text, room, to)
        self.transcript.write()

    def add(self, number: int, text: str = "", room: str = "", to: str = "") -> None:
        message = Message(user="bia", message=text or f"n{number}", id=number, room=room, to=to)
        message.sent_at.FromSeconds(NOON)
        rendered = render_message(message, "ana")
        assert rendered is not None
        self.transcript.add(message, rendered)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is tried again at once."""
    monkeypatch.setattr(transcript, "RETRY_SECONDS", 0.0)


def texts(folder: Path, name: str = "said.log") -> list[str]:
    """Return what was said in a transcript."""
    return [row.partition("]: ")[2] for row in (folder / name).read_text("utf-8").splitlines()]


def test_entry_has_date_time_and_what_the_screen_shows(tmp_path: Path) -> None:
    """Later lines are indented, so that none begins like somebody else's."""
    writer = Writer(tmp_path)
    writer.say(1, "olá\n[rui]: no")
    writer.say(2, "psst", to="ana")
    joined = Message(user="rui", kind=KIND_JOINED)
    rendered = render_message(joined)
    assert rendered is not None
    writer.transcript.add(joined, rendered)
    writer.transcript.write()
    rows = (tmp_path / "said.log").read_text("utf-8").splitlines()
    assert rows[0][4:5] == rows[0][7:8] == "-" and rows[0][19:] == " [bia]: olá"
    assert rows[1] == "    [rui]: no"
    assert rows[2][19:] == " [bia → ana, private]: psst"
    assert rows[3][19:] == " * [rui] joined"


def test_every_message_stands_there_once_over_runs(tmp_path: Path) -> None:
    """In each room and in private; what a page of history shows again is no exception."""
    for _run in range(3):
        writer = Writer(tmp_path)
        writer.say(1)
        writer.say(2, room="Aula")
        writer.say(3, to="ana")
        writer.say(4)
        writer.say(1)
        writer.transcript.close()
    writer = Writer(tmp_path)
    writer.say(5, room="aula")
    assert texts(tmp_path) == ["n1", "n2", "n3", "n4", "n5"]
    assert writer.transcript.bookmarks.place_at(HERE, Place()).left == {"": 4, "aula": 5}
    writer.transcript.close()


def test_what_came_together_is_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much that is, in few calls; who is killed in between has not noted its position."""
    writer = Writer(tmp_path)
    disk = Disk(monkeypatch)
    for number in range(1, 2001):
        writer.add(number, f"{number} " + "x" * 50)
    writer.transcript.write()
    assert disk.writes < 10
    assert texts(tmp_path) == [f"{number} " + "x" * 50 for number in range(1, 2001)]
    assert (tmp_path / "said.log").stat().st_size > 2 * MAX_TAIL_BYTES
    assert disk.largest_bytes <= MAX_TAIL_BYTES
    writer.transcript.close()


def test_killed_client_leaves_neither_a_hole_nor_a_double(tmp_path: Path) -> None:
    """Also where it was killed between the entry and the note of it."""
    first = Writer(tmp_path)
    first.say(1)
    (kept,) = (tmp_path / "state").glob("transcript-*.json")
    position = kept.read_bytes()
    first.say(2, "two\nlines")
    first.say(3)
    first.transcript.close()
    kept.write_bytes(position)
    second = Writer(tmp_path)
    for number, text in ((1, ""), (2, "two\nlines"), (3, ""), (4, ""), (5, "")):
        second.say(number, text)
    second.transcript.close()
    assert texts(tmp_path) == ["n1", "two", "", "n3", "n4", "n5"]


@pytest.mark.parametrize("later", [[2, 3, 4], [0, 2, 3, 4]])
def test_who_came_and_went_hides_no_double(tmp_path: Path, later: list[int]) -> None:
    """They have no id, and do not come again; nor does a line that another run writes otherwise."""
    first = Writer(tmp_path)
    first.say(1)
    (kept,) = (tmp_path / "state").glob("transcript-*.json")
    position = kept.read_bytes()
    for number in (0, 2, 0, 3):
        first.say(number)
    first.say(5, "otherwise")
    first.say(6)
    first.transcript.close()
    kept.write_bytes(position)
    second = Writer(tmp_path)
    for number in later[:-1]:
        second.add(number)
    second.transcript.write()
    second.add(5, "once more")
    second.say(6)
    second.say(7)
    second.transcript.close()
    said = ["n1", "n0", "n2", "n0", "n3", "otherwise", "n6"]
    assert texts(tmp_path) == said + ["n0"] * (0 in later) + ["once more", "n7"]
    third = Writer(tmp_path)
    assert third.transcript.bookmarks.place_at(HERE, Place()).left == {"": 7}
    third.transcript.close()


def test_what_others_append_is_theirs(tmp_path: Path) -> None:
    """A note of the user's own is not taken for an entry that was written already."""
    first = Writer(tmp_path)
    first.say(1)
    first.transcript.close()
    with (tmp_path / "said.log").open("a") as file:
        file.write("[x]: a note\n")
    second = Writer(tmp_path)
    second.say(2)
    second.transcript.close()
    assert texts(tmp_path) == ["n1", "a note", "n2"]


def test_file_that_was_moved_is_begun_anew(tmp_path: Path) -> None:
    """As logrotate does, by either of its ways; and one that is gone."""
    writer = Writer(tmp_path)
    writer.say(1)
    (tmp_path / "said.log").rename(tmp_path / "said.log.1")
    writer.say(2)
    assert texts(tmp_path, "said.log.1") == ["n1"] and texts(tmp_path) == ["n2"]
    os.truncate(tmp_path / "said.log", 0)
    writer.say(3)
    assert texts(tmp_path) == ["n3"]
    (tmp_path / "said.log").unlink()
    writer.say(4)
    assert texts(tmp_path) == ["n4"] and writer.told == []
    writer.transcript.close()


def test_folder_that_vanished_is_told_once_and_nothing_is_lost(tmp_path: Path) -> None:
    """What waits is written when it is back."""
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = Writer(tmp_path, "logs/said.log")
    writer.say(1)
    (folder / "said.log").unlink()
    folder.rmdir()
    for number in (2, 3, 3):
        writer.say(number)
    assert len(writer.told) == 1 and "the chat goes on" in writer.told[0]
    folder.mkdir()
    writer.say(4)
    assert texts(folder) == ["n2", "n3", "n4"]
    assert len(writer.told) == 2 and writer.told[1].endswith("is written again.")
    writer.transcript.close()


def test_full_disk_is_told_once_and_an_entry_is_never_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of one that was written in part follows it."""
    writer = Writer(tmp_path)
    disk = Disk(monkeypatch)
    disk.free_bytes = 10
    writer.say(1)
    writer.say(2)
    assert len(writer.told) == 1 and "the disk is full" in writer.told[0]
    disk.free_bytes = 1 << 30
    writer.say(3)
    assert texts(tmp_path) == ["n1", "n2", "n3"]
    writer.transcript.close()


def test_what_does_not_get_written_comes_again_in_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The position is never ahead of the file."""
    writer = Writer(tmp_path)
    writer.say(1)
    disk = Disk(monkeypatch)
    disk.free_bytes = 0
    writer.say(2)
    writer.transcript.close()
    disk.free_bytes = 1 << 30
    later = Writer(tmp_path)
    assert later.transcript.bookmarks.place_at(HERE, Place()).left == {"": 1}
    later.say(2)
    assert texts(tmp_path) == ["n1", "n2"]
    later.transcript.close()


def test_no_more_waits_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost by that is said where it is missing."""
    monkeypatch.setattr(transcript_queue, "MAX_WAITING", 20)
    writer = Writer(tmp_path)
    disk = Disk(monkeypatch)
    disk.free_bytes = 0
    for number in range(1, 24):
        writer.say(number)
    disk.free_bytes = 1 << 30
    writer.say(24)
    rows = (tmp_path / "said.log").read_text("utf-8").splitlines()
    assert rows[0].endswith("* 3 messages are missing here")
    assert texts(tmp_path)[1] == "n4" and len(rows) == 22
    writer.transcript.close()


def test_gap_is_not_glued_to_an_entry_that_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is an entry to a gap of which some was written; and nothing is counted twice."""
    monkeypatch.setattr(transcript_queue, "MAX_WAITING", 20)
    writer = Writer(tmp_path)
    disk = Disk(monkeypatch)
    disk.free_bytes = 25
    for number in range(1, 24):
        writer.say(number)
    disk.free_bytes = 32 - 25 + 5
    for number in range(24, 26):
        writer.say(number)
    disk.free_bytes = 1 << 30
    writer.say(26)
    rows = [row[20:] for row in (tmp_path / "said.log").read_text("utf-8").splitlines()]
    gaps = [int(row.split()[1]) for row in rows if row.endswith(" messages are missing here")]
    said = [row for row in rows if row.startswith("[bia]: n")]
    assert len(said) + len(gaps) == len(rows) and sum(gaps) + len(said) == 26
    assert said[0] == "[bia]: n1" and said[-1] == "[bia]: n26" and gaps
    writer.transcript.close()


def test_file_that_was_moved_while_the_disk_was_full_begins_with_a_whole_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The half of it stays with the file that was moved."""
    writer = Writer(tmp_path)
    disk = Disk(monkeypatch)
    disk.free_bytes = 25
    writer.say(1)
    (tmp_path / "said.log").rename(tmp_path / "said.log.1")
    disk.free_bytes = 1 << 30
    writer.say(2)
    assert texts(tmp_path) == ["n1", "n2"]
    assert (tmp_path / "said.log").read_bytes()[4:5] == b"-"
    writer.transcript.close()


def test_entry_that_was_cut_off_is_ended_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that ended while the disk was full has left a line without an end."""
    writer = Writer(tmp_path)
    writer.say(1)
    disk = Disk(monkeypatch)
    disk.free_bytes = 25
    writer.say(2)
    writer.transcript.close()
    disk.free_bytes = 1 << 30
    later = Writer(tmp_path)
    later.say(2)
    later.say(3)
    later.transcript.close()
    rows = (tmp_path / "said.log").read_text("utf-8").splitlines()
    assert [row[20:] for row in rows] == ["[bia]: n1", "[bia]", "[bia]: n2", "[bia]: n3"]


def test_log_that_was_put_back_is_written_rather_than_lost(tmp_path: Path) -> None:
    """Ids from before mean nothing; another log has its own."""
    writer = Writer(tmp_path)
    writer.say(50)
    writer.transcript.rewind()
    writer.say(7)
    writer.transcript.close()
    other = Writer(tmp_path, epoch="other")
    other.say(3)
    other.transcript.close()
    assert texts(tmp_path) == ["n50", "n7", "n3"]


def test_many_rooms_fit_into_the_position(tmp_path: Path) -> None:
    """However long their names are."""
    writer = Writer(tmp_path)
    for number in range(60):
        writer.say(number + 1, room=f"{number}" + "x" * 120)
    writer.transcript.close()
    (kept,) = (tmp_path / "state").glob("transcript-*.json")
    assert kept.stat().st_size > BLOCK_BYTES
    later = Writer(tmp_path)
    marks = later.transcript.bookmarks.logs["log"].rooms
    assert len([key for key in marks if not key.startswith(INBOX)]) == 60
    later.transcript.close()


def test_one_client_at_a_time_writes_it(tmp_path: Path) -> None:
    """Two would write everything twice."""
    first = Writer(tmp_path)
    with pytest.raises(UsageError, match="Another client"):
        Writer(tmp_path)
    other = Writer(tmp_path, "other.log")
    other.transcript.close()
    first.transcript.close()
    Writer(tmp_path).transcript.close()


@pytest.mark.parametrize("content", [b"", b"x", b"7", b"7\n{", b"9" * 50, b"-1\n{}"])
def test_position_that_makes_no_sense_is_none(tmp_path: Path, content: bytes) -> None:
    Writer(tmp_path).transcript.close()
    state = tmp_path / "state"
    (kept,) = state.iterdir()
    kept.write_bytes(content)
    writer = Writer(tmp_path)
    writer.say(1)
    writer.transcript.close()
    assert texts(tmp_path) == ["n1"]


def test_position_that_cannot_be_kept_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state folder's disk may be full while the transcript's is not."""
    writer = Writer(tmp_path)
    disk = Disk(monkeypatch)
    writer.say(1)
    assert writer.told == []
    monkeypatch.setattr(transcript_position, "BLOCK_BYTES", 1 << 20)
    for number in range(2, 5):
        disk.free_bytes = 1000
        writer.say(number)
    (line,) = writer.told
    assert "cannot be kept (the disk is full)" in line
    assert texts(tmp_path) == ["n1", "n2", "n3", "n4"]
    disk.free_bytes = 1 << 30
    writer.transcript.close()


def test_position_that_is_no_file_is_told(tmp_path: Path) -> None:
    """And is not taken for another client's."""
    Writer(tmp_path).transcript.close()
    (kept,) = (tmp_path / "state").iterdir()
    kept.unlink()
    kept.mkdir()
    writer = Writer(tmp_path)
    writer.say(1)
    writer.say(2)
    writer.transcript.close()
    assert texts(tmp_path) == ["n1", "n2"] and len(writer.told) == 1


def test_without_a_state_folder_it_is_written_all_the_same(tmp_path: Path) -> None:
    """Every run is the first one then."""
    one = Transcript(tmp_path / "said.log", None)
    told: list[str] = []
    one.on_trouble = told.append
    message = Message(user="bia", message="oi", id=1)
    rendered = render_message(message)
    assert rendered is not None
    one.add(message, rendered)
    one.add(message, rendered)
    one.close()
    assert texts(tmp_path) == ["oi"]
    assert len(told) == 1 and "cannot be kept" in told[0]


@pytest.mark.parametrize("name", [".", "nowhere/said.log"])
def test_file_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        Writer(tmp_path, name)


def test_folder_that_is_missing_is_named_as_such(tmp_path: Path) -> None:
    """The file itself would have been made."""
    with pytest.raises(UsageError, match="the folder is missing"):
        Writer(tmp_path, "nowhere/said.log")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither")
def test_pipe_is_no_transcript_and_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="cannot be written"):
        Writer(tmp_path, "pipe")
    Writer(tmp_path).transcript.close()
    assert stat.S_IMODE((tmp_path / "said.log").stat().st_mode) == 0o600
