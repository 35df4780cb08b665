"""Who somebody is, from one run of the client to the next."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chat.client import identity
from chat.client.cursor import Place
from chat.client.identity import FILE_BYTES, Identity

PLACE = Place({"redes": 4}, 7, "epoch", "generation")
KEPT = Place({}, 7, "epoch", "generation")

Open = Callable[..., Identity]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Open identities, in one folder unless it is said otherwise, and close them."""
    identities: list[Identity] = []

    def opened(
        name: str = "ana", address: str = "localhost:1", folder: Path = tmp_path / "state"
    ) -> Identity:
        identities.append(Identity(address, name, folder))
        return identities[-1]

    yield opened
    for one in identities:
        one.close()


def test_next_run_is_the_same_session(opened: Open) -> None:
    """And goes on where the inbox was seen; the name counts without case."""
    first = opened()
    assert first.place is None or first.place == Place()
    first.save(PLACE)
    first.close()
    second = opened("ANA")
    assert (second.session, second.place) == (first.session, KEPT)


def test_opening_of_the_log_is_kept_with_what_was_seen(opened: Open) -> None:
    """What came and was not seen is not; but of a log that was put back, or another, nothing is."""
    first = opened()
    for came, seen in ((9, 7), (0, 0)):
        first.save(PLACE)
        first.meet(Place({}, came, "epoch", "later"))
        first.close()
        first = opened()
        assert first.place == Place({}, seen, "epoch", "later")


def test_private_run_is_a_session_of_its_own(tmp_path: Path) -> None:
    """Nothing is written of it, whatever it is called."""
    private = Identity("localhost:1", "ana", tmp_path, is_kept=False)
    private.save(PLACE)
    private.follow("bia")
    private.close()
    assert len(private.session) == 32 and private.place is None
    assert not list(tmp_path.iterdir())


def test_other_name_or_server_is_another_session(opened: Open) -> None:
    """Each has its own file."""
    sessions = {opened().session, opened("bia").session, opened("ana", "localhost:2").session}
    assert len(sessions) == 3


def test_two_at_a_time_are_two_sessions(opened: Open) -> None:
    """The second one keeps nothing; the first is not disturbed."""
    first, second = opened(), opened()
    assert first.session != second.session and second.place is None
    second.save(PLACE)
    second.close()
    first.close()
    third = opened()
    assert third.session == first.session and third.place == Place()


def test_session_follows_a_rename(opened: Open) -> None:
    """Whoever takes the old name is somebody else."""
    first = opened()
    first.save(PLACE)
    first.follow("ANA")
    first.follow("bia")
    other = opened()
    assert other.session != first.session
    first.close()
    back = opened("bia")
    assert (back.session, back.place) == (first.session, KEPT)


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", b"{}", b"[]", b"\xff" * 600, b'{"session": 1, "inbox": 0}'],
)
def test_file_that_makes_no_sense_is_begun_anew(
    opened: Open, tmp_path: Path, content: bytes
) -> None:
    """And is whole again."""
    first = opened()
    first.close()
    [path] = (tmp_path / "state").iterdir()
    path.write_bytes(content)
    second = opened()
    second.save(PLACE)
    second.close()
    third = opened()
    assert third.session == second.session != first.session and third.place == KEPT


def test_server_cannot_blow_the_file_up(opened: Open) -> None:
    """Whatever it calls its log."""
    first = opened()
    first.save(PLACE)
    first.save(Place({}, 9, "x" * FILE_BYTES, ""))
    first.close()
    assert opened().place == KEPT


def test_works_without_a_folder_to_write_to(opened: Open, tmp_path: Path) -> None:
    """Each run is somebody else then."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    first = opened(folder=blocked / "state")
    first.save(PLACE)
    first.follow("bia")
    first.close()
    assert opened(folder=blocked / "state").session != first.session


@pytest.mark.parametrize(
    "wrong",
    [
        *({"inbox": number} for number in (-1, True, False, 1.0, 10**30, None)),
        *({"generation": word} for word in ("g\u00e9", "\ud800", "a\nb", 1)),
        *({"epoch": "\udc00"}, {"session": "F" * 32}),
    ],
    ids=ascii,
)
def test_what_no_stream_could_say_is_begun_anew(
    opened: Open, tmp_path: Path, wrong: dict[str, object]
) -> None:
    """Valid JSON that only its owner's editor, or a damaged disk, can have written."""
    first = opened()
    first.save(PLACE)
    first.close()
    [path] = (tmp_path / "state").iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | wrong))
    second = opened()
    assert second.session != first.session and second.place is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_nobody_else_can_read_it(opened: Open, tmp_path: Path) -> None:
    """Whoever has the session has the name and the inbox."""
    opened()
    [path] = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_user_without_a_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Everything else works."""
    monkeypatch.setattr(identity, "state_folder", lambda: None)
    with closing(Identity("localhost:1", "ana")) as nobody:
        assert len(nobody.session) == 32
    assert os.listdir(tmp_path) == []
