"""What was being typed in each room, over runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chat.client.drafts import MAX_DRAFTS, Drafts
from chat.client.json_rows import MAX_LINE_CHARACTERS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "draft.jsonl"


def typed(path: Path, room: str, text: str) -> None:
    """Type something in a room in a run of its own."""
    drafts = Drafts(path)
    drafts.go_to(room)
    drafts.edit(text)
    drafts.save()


def test_each_room_has_its_own(path: Path) -> None:
    """However it is spelled; one that was sent, or is blank, waits nowhere."""
    typed(path, "Projetos", "a\nb")
    typed(path, "", "c")
    typed(path, "aula", "d")
    drafts = Drafts(path)
    assert drafts.waiting == ["Projetos", "aula"] and drafts.go_to("") == "c"
    assert drafts.go_to("PROJETOS") == "a\nb" and drafts.waiting == ["", "aula"]
    assert drafts.go_to("other") == ""
    typed(path, "projetos", "")
    typed(path, "aula", " ")
    assert Drafts(path).waiting == [] and Drafts(path).go_to("") == "c"
    typed(path, "", "")
    assert not path.exists()


def test_earlier_versions_see_only_what_is_for_the_common_room(path: Path) -> None:
    """They read the last row that is a string, and wrote no other one."""
    path.write_text('"old"\n', "utf-8")
    assert Drafts(path).go_to("") == "old"
    typed(path, "aula", "for aula")
    rows = [json.loads(row) for row in path.read_text("utf-8").splitlines()]
    assert rows == ["old", {"room": "aula", "draft": "for aula"}]


def test_two_clients_at_a_time_keep_each_others(path: Path) -> None:
    """And none brings back what the other one has sent."""
    typed(path, "a", "1")
    first, second = Drafts(path), Drafts(path)
    first.go_to("a")
    first.edit("")
    second.go_to("b")
    second.edit("2")
    first.save()
    second.save()
    assert Drafts(path).waiting == ["b"]


def test_no_more_are_kept_than_the_limit(path: Path) -> None:
    """The oldest are forgotten, and what is longer than anybody types."""
    for number in range(MAX_DRAFTS + 1):
        typed(path, f"room{number}", "x")
    typed(path, "long", "x" * (MAX_LINE_CHARACTERS + 1))
    assert Drafts(path).waiting == [f"room{number}" for number in range(1, MAX_DRAFTS + 1)]


def test_rows_that_make_no_sense_are_none(path: Path) -> None:
    """Nor does a room that nobody can enter hold one, or a text that could not be sent."""
    rows = [
        '{"room": "a"}',
        '{"room": 7, "draft": "x"}',
        '{"room": "a\\u001b[31m", "draft": "x"}',
        '{"room": "b", "draft": " "}',
        '{"room": "c", "draft": ["x"]}',
        '{"room": "d", "draft": "x\\ud83dy"}',
        '{"room": "e", "dr',
    ]
    path.write_text("\n".join(rows), "utf-8")
    drafts = Drafts(path)
    assert drafts.waiting == ["d"] and drafts.go_to("d") == "x\ufffdy"


def test_what_did_not_change_is_not_written_again(path: Path) -> None:
    drafts = Drafts(path)
    drafts.edit("x")
    drafts.save()
    path.unlink()
    drafts.edit("x")
    drafts.save()
    assert not path.exists()
