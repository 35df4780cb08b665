"""SECURITY.md and docs/security.md: each threat has what is done about it, where, and tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROW = re.compile(r"^\| (?!attack \||threat \||---)(.+::.+) \|$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
DOCUMENTS = ("SECURITY.md", "docs/security.md")
TEXTS = [(ROOT / name).read_text("utf-8") for name in DOCUMENTS]
ROWS = [row.split(" | ") for text in TEXTS for row in ROW.findall(text)]


def test_there_are_rows() -> None:
    """Else nothing below would look at anything."""
    assert all(len(ROW.findall(text)) > 20 for text in TEXTS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_row_names_modules_and_tests(row: list[str]) -> None:
    """Each of them is there."""
    _attack, limit, modules, tests = row
    assert limit and CODE.findall(modules) and CODE.findall(tests)
    for module in CODE.findall(modules):
        assert (ROOT / module).is_file(), module
    for test in CODE.findall(tests):
        check_test(test)


def check_test(test: str) -> None:
    """Fail unless there is the test `path::name`, or `path::name[attack]`."""
    path, name, attack = re.fullmatch(r"(\S+)::(\w+)(?:\[(.+)\])?", test).groups()  # type: ignore[union-attr]
    text = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), test
    if attack is not None:
        attacks = (ROOT / "tests/attacks.py").read_text(encoding="utf-8")
        assert f'"{attack}": Attack(' in attacks, test
