"""The lines that a user typed, and the draft, over runs."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from chat.client.json_rows import MAX_FILE_BYTES, MAX_LINE_CHARACTERS
from chat.client.typed_lines import MAX_LINES, TypedLines, forget

HERE, THERE = "localhost:50051", "other:50051"


def lines(folder: Path | None, name: str = "ana", address: str = HERE) -> TypedLines:
    return TypedLines(address, name, folder)


def test_lines_come_back(tmp_path: Path) -> None:
    """In order, with line feeds and accents, the same one after itself once; to nobody else."""
    typed = lines(tmp_path)
    for line in ("olá\nmundo", "b", "b", " ", "", "olá\nmundo"):
        typed.add(line)
    assert lines(tmp_path, "ANA").earlier == ["olá\nmundo", "b", "olá\nmundo"] == typed.earlier
    assert lines(tmp_path, "bia").earlier == [] == lines(tmp_path, address=THERE).earlier


def test_draft_comes_back(tmp_path: Path) -> None:
    """Until it is sent; what did not change is not written again."""
    typed = lines(tmp_path)
    typed.drafts.edit("half a\nline")
    typed.drafts.save()
    (path,) = tmp_path.iterdir()
    path.chmod(0o400)
    written = path.stat().st_mtime_ns
    typed.drafts.save()
    assert path.stat().st_mtime_ns == written
    later = lines(tmp_path)
    assert later.drafts.go_to("") == "half a\nline"
    later.drafts.edit("")
    later.drafts.save()
    assert list(tmp_path.iterdir()) == [] and lines(tmp_path).drafts.go_to("") == ""


def test_nothing_is_written_without_a_folder() -> None:
    """It is known in this run."""
    typed = lines(None)
    typed.add("a")
    typed.drafts.edit("b")
    typed.drafts.save()
    assert typed.earlier == ["a"] and lines(None).earlier == []


def test_two_clients_at_a_time_lose_nothing(tmp_path: Path) -> None:
    first, second = lines(tmp_path), lines(tmp_path)
    first.add("1")
    second.add("2")
    first.add("3")
    assert lines(tmp_path).earlier == ["1", "2", "3"]


def test_no_more_lines_are_kept_than_the_limit(tmp_path: Path) -> None:
    """The file is made short when it has twice as many."""
    typed = lines(tmp_path)
    for number in range(2 * MAX_LINES + 5):
        typed.add(str(number))
    assert typed.earlier[0] == str(MAX_LINES + 5)
    assert lines(tmp_path).earlier == typed.earlier
    (path,) = tmp_path.iterdir()
    assert len(path.read_bytes().splitlines()) == MAX_LINES


def test_what_is_longer_than_anybody_types_is_not_kept(tmp_path: Path) -> None:
    """Neither a line nor a draft."""
    typed = lines(tmp_path)
    typed.add("x" * (MAX_LINE_CHARACTERS + 1))
    typed.drafts.edit("x" * (MAX_LINE_CHARACTERS + 1))
    typed.drafts.save()
    assert typed.earlier == [] and list(tmp_path.iterdir()) == []


def test_rows_that_make_no_sense_are_none(tmp_path: Path) -> None:
    """A file that is cut off, damaged, or longer than any of ours, is read as far as it goes."""
    lines(tmp_path).add("a")
    (path,) = tmp_path.iterdir()
    rows = [b"\xff", b"7", b"[]", b'"', b"[" * 50_000, b'" "', b'"good"', b'"cut of']
    path.write_bytes(b"\n".join([b"x" * MAX_FILE_BYTES, *rows]))
    typed = lines(tmp_path)
    assert typed.earlier == ["good"]
    path.unlink()
    path.mkdir()
    assert lines(tmp_path).earlier == []
    lines(tmp_path).add("a")


def test_rows_hold_nothing_that_could_not_be_sent(tmp_path: Path) -> None:
    """Half of a pair of surrogates would end the conversation, an escape steer the terminal."""
    typed = lines(tmp_path)
    typed.add("a")
    typed.drafts.edit("b")
    typed.drafts.save()
    for path in tmp_path.iterdir():
        path.write_bytes(b'"x\\ud83dy\\u001b[31m\\nz"\n')
    again = lines(tmp_path)
    assert again.earlier == [again.drafts.go_to("")] == ["x\ufffdy\ufffd[31m\nz"]


def test_forgotten_for_one_name_or_for_all(tmp_path: Path) -> None:
    """On that server alone."""
    for name in ("ana", "bia"):
        for address in (HERE, THERE):
            lines(tmp_path, name, address).add("a")
    assert forget(tmp_path, HERE, "Ana") and not forget(tmp_path, HERE, "ana")
    assert lines(tmp_path, "bia").earlier and not lines(tmp_path).earlier
    assert forget(tmp_path, HERE, None) and not lines(tmp_path, "bia").earlier
    assert lines(tmp_path, "bia", THERE).earlier == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such bits")
def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    typed = lines(tmp_path / "new")
    typed.add("a")
    typed.drafts.edit("b")
    typed.drafts.save()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()]
    assert modes == [0o600, 0o600]
    for path in (tmp_path / "new").iterdir():
        assert json.loads(path.read_text("utf-8")) in ("a", "b")
