"""Who is ignored on a server, over runs."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from chat.client.ignored import MAX_IGNORED, Ignored, SharedIgnored

SERVER, OTHER = "localhost:50051", "localhost:50052"


def test_remembered_for_the_server(tmp_path: Path) -> None:
    """Until it is undone, in whatever case it is typed."""
    assert Ignored(SERVER, tmp_path).toggle("Bia")
    again = Ignored(SERVER, tmp_path)
    assert "BIA" in again and again.names == ["Bia"] and "bia" not in Ignored(OTHER, tmp_path)
    assert not again.toggle("bia")
    assert Ignored(SERVER, tmp_path).names == []


def test_two_clients_at_a_time_lose_nothing(tmp_path: Path) -> None:
    """Each changes what the other one has written."""
    first, second = Ignored(SERVER, tmp_path), Ignored(SERVER, tmp_path)
    first.toggle("bia")
    second.toggle("caio")
    first.toggle("rui")
    assert Ignored(SERVER, tmp_path).names == ["bia", "caio", "rui"]


def test_other_name_of_an_ignored_one_is_ignored_for_the_run(tmp_path: Path) -> None:
    """Not for good: whoever has it the next time may be somebody else."""
    ignored = Ignored(SERVER, tmp_path)
    ignored.toggle("bia")
    ignored.rename("bia", "bea")
    ignored.rename("bea", "professor")
    ignored.rename("caio", "zoe")
    assert ignored.names == ["professor"] and "bia" not in ignored
    assert Ignored(SERVER, tmp_path).names == ["bia"]
    assert not ignored.toggle("professor")
    assert ignored.names == [] == Ignored(SERVER, tmp_path).names


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such bits")
def test_file_is_its_owners_alone(tmp_path: Path) -> None:
    Ignored(SERVER, tmp_path / "new").toggle("bia")
    (file,) = (tmp_path / "new").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"[7]", b'[""]', b"\xff", b"[" * 100_000, b'["' + b"x" * 129]
)
def test_file_that_makes_no_sense_is_none(tmp_path: Path, content: bytes) -> None:
    """Nothing is ignored by it, and the next change is written."""
    Ignored(SERVER, tmp_path).toggle("bia")
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    ignored = Ignored(SERVER, tmp_path)
    assert ignored.names == []
    ignored.toggle("caio")
    assert json.loads(file.read_text()) == ["caio"]


def test_there_is_a_limit(tmp_path: Path) -> None:
    """The oldest go first."""
    ignored = Ignored()
    for number in range(MAX_IGNORED + 2):
        ignored.toggle(f"n{number}")
    assert len(ignored.names) == MAX_IGNORED and "n0" not in ignored and "n2" in ignored


def test_private_run_reads_the_list_and_keeps_no_change(tmp_path: Path) -> None:
    """Whoever is ignored still is; what is changed holds for the run."""
    Ignored(SERVER, tmp_path).toggle("bia")
    private = SharedIgnored([SERVER, OTHER], tmp_path, is_kept=False)
    assert "bia" in private and private.toggle("caio") and not private.toggle("bia")
    assert private.names == ["caio"]
    assert Ignored(SERVER, tmp_path).names == ["bia"]
    assert len(list(tmp_path.iterdir())) == 1


def test_without_a_folder_it_holds_for_the_run(tmp_path: Path) -> None:
    """Or where nothing can be written."""
    (tmp_path / "file").write_text("")
    for ignored in (Ignored(), Ignored(SERVER, None), Ignored(SERVER, tmp_path / "file")):
        assert ignored.toggle("bia") and "bia" in ignored


def test_servers_of_one_chat_share_who_is_ignored(tmp_path: Path) -> None:
    """Whoever is ignored on one of them is, and is forgiven on all of them."""
    Ignored(OTHER, tmp_path).toggle("bia")
    both = SharedIgnored((SERVER, OTHER), tmp_path)
    assert "bia" in both and both.names == ["bia"]
    assert not both.toggle("bia") and both.names == []
    assert both.toggle("rui")
    assert Ignored(SERVER, tmp_path).names == Ignored(OTHER, tmp_path).names == ["rui"]
    both.rename("rui", "ruy")
    assert both.names == ["ruy"] and "rui" not in both
