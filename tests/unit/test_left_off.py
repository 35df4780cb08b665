"""Where one user left off, over runs, in a file that several clients write."""

from __future__ import annotations

import stat
import sys
import threading
from pathlib import Path

import pytest

from chat.cli.locked_files import open_locked
from chat.client import left_off
from chat.client.bookmarks import Mark
from chat.client.cursor import Place
from chat.client.left_off import LOCK_FILE, LeftOff, forget

HERE, THERE = "localhost:50051", "other:50051"


def at(seen: int, epoch: str = "log", **left: int) -> Place:
    return Place({"": seen}, 0, epoch, "g", left)


def ids(marks: dict[str, Mark]) -> dict[str, int]:
    return {key: mark.id for key, mark in marks.items()}


def test_next_run_goes_on_there(tmp_path: Path) -> None:
    """Whatever the case of the name; another name is somebody else."""
    first = LeftOff(HERE, "Ana", tmp_path)
    assert first.place(Place()) == Place()
    first.note(at(7, aula=3))
    first.save()
    assert LeftOff(HERE, "ana", tmp_path).place(Place()).left == {"": 7, "aula": 3}
    assert ids(LeftOff(HERE, "ANA", tmp_path).marks("log")) == {"": 7, "aula": 3}
    assert LeftOff(HERE, "bia", tmp_path).place(Place()) == Place()


def test_nothing_is_written_where_nothing_was_seen(tmp_path: Path) -> None:
    """Nor again where nothing has changed; nor with a server that has no log."""
    one = LeftOff(HERE, "ana", tmp_path)
    one.save()
    one.note(Place({"": 0}))
    one.save()
    assert list(tmp_path.iterdir()) == []
    one.note(at(1))
    one.save()
    (path,) = tmp_path.glob("left-*.json")
    path.unlink()
    one.save()
    assert not path.exists()
    one.stay()
    one.save()
    assert path.exists()


def test_nothing_is_kept_without_a_folder() -> None:
    one = LeftOff(HERE, "ana", None)
    one.note(at(1))
    one.save()
    assert one.marks("log") == {}


def test_clients_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """Of several servers, or of several names that were one: each keeps what others wrote."""
    clients = [LeftOff(f"host{number}:1", "ana", tmp_path) for number in range(4)]

    def leave_off(number: int) -> None:
        for seen in range(1, 21):
            clients[number].note(at(seen, f"log{number}"))
            clients[number].save()

    threads = [threading.Thread(target=leave_off, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    later = LeftOff(HERE, "ana", tmp_path)
    assert [ids(later.marks(f"log{number}")) for number in range(4)] == [{"": 20}] * 4


def test_lock_that_is_never_given_back_does_not_keep_it_from_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped client may hold it."""
    monkeypatch.setattr(left_off, "LOCK_SECONDS", 0.01)
    holder = open_locked(tmp_path / LOCK_FILE)
    one = LeftOff(HERE, "ana", tmp_path)
    one.note(at(7))
    one.save()
    assert holder is not None and ids(LeftOff(HERE, "ana", tmp_path).marks("log")) == {"": 7}


def test_marks_of_a_log_that_was_put_back_are_gone(tmp_path: Path) -> None:
    """Only what was seen since counts; other logs are as they were."""
    first = LeftOff(HERE, "ana", tmp_path)
    first.note(at(70, aula=60))
    first.save()
    elsewhere = LeftOff(THERE, "ana", tmp_path)
    elsewhere.note(at(5, "other"))
    elsewhere.save()
    second = LeftOff(HERE, "ana", tmp_path)
    second.rewind()
    second.note(at(4))
    second.save()
    second.note(at(6))
    second.save()
    later = LeftOff(HERE, "ana", tmp_path)
    assert ids(later.marks("log")) == {"": 6} and ids(later.marks("other")) == {"": 5}


def test_other_name_goes_on_from_where_it_was_taken(tmp_path: Path) -> None:
    """And the old one stays where it was then."""
    one = LeftOff(HERE, "ana", tmp_path)
    one.note(at(7))
    one.rename("anna")
    one.note(at(9))
    one.save()
    assert ids(LeftOff(HERE, "ana", tmp_path).marks("log")) == {"": 7}
    assert ids(LeftOff(HERE, "anna", tmp_path).marks("log")) == {"": 9}


def test_forgotten_for_one_name_or_for_all(tmp_path: Path) -> None:
    """On that server alone."""
    for name in ("ana", "bia", "caio"):
        for address, epoch in ((HERE, "log"), (THERE, "other")):
            one = LeftOff(address, name, tmp_path)
            one.note(at(7, epoch))
            one.save()
    assert forget(tmp_path, HERE, "Ana") and not forget(tmp_path, HERE, "ana")
    assert LeftOff(HERE, "bia", tmp_path).marks("log") and not LeftOff(HERE, "ana", tmp_path).marks(
        "log"
    )
    assert forget(tmp_path, HERE, None) and not forget(tmp_path, HERE, None)
    assert not LeftOff(HERE, "bia", tmp_path).marks("log")
    assert LeftOff(THERE, "ana", tmp_path).marks("other")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such bits")
def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    one = LeftOff(HERE, "ana", tmp_path / "new")
    one.note(at(7))
    one.save()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()} == {0o600}


def test_folder_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    """It is known for the run, and that is all."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    one = LeftOff(HERE, "ana", blocked)
    one.note(at(7))
    one.save()
    assert LeftOff(HERE, "ana", blocked).marks("log") == {}
