"""The check of the contract itself: what it finds, and that it says what it could not try."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import check_proto
import pytest
from check_proto import GENERATED, PROTO, SkippedError, breaking, lint, previous_version, stale
from support import IS_CI, ROOT

CONTRACT = (ROOT / PROTO).read_text(encoding="utf-8")
# What no change of chat.proto may do: in place of the first text, the second.
BREAKING_CHANGES = {
    "a field's number": ("string key = 6;", "string key = 99;"),
    "a kind's number": ("KIND_NOTICE = 6;", "KIND_NOTICE = 7;"),
    "a package": ('syntax = "proto3";', 'syntax = "proto3"; package chat;'),
    "no stream": ("rpc Chat(stream Message)", "rpc Chat(Message)"),
}


def git(folder: Path, *arguments: str) -> None:
    """Run git in `folder`, as somebody without settings of their own."""
    me = ("-c", "user.name=ana", "-c", "user.email=ana@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *me, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, name: str, text: str) -> None:
    """Write the file `name` and commit it."""
    (folder / name).write_text(text, encoding="utf-8")
    git(folder, "add", name)
    git(folder, "commit", "-m", name)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where git finds no repository above, and none by the environment."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


@pytest.fixture
def repository(empty_folder: Path) -> Path:
    """A repository with the contract and its rules, committed once."""
    if shutil.which("git") is None:
        pytest.skip("no git here: nothing to compare with")
    git(empty_folder, "init")
    shutil.copy(ROOT / "buf.yaml", empty_folder)
    commit(empty_folder, PROTO, CONTRACT)
    return empty_folder


@pytest.fixture(scope="module")
def buf() -> None:
    """Nothing, where buf runs; the test is skipped where npm cannot bring it."""
    try:
        assert lint(ROOT) == []
    except SkippedError as why:
        assert not IS_CI, why
        pytest.skip(f"buf was not tried: {why}")


@pytest.mark.parametrize("what", BREAKING_CHANGES)
def test_breaking_change_is_found(repository: Path, buf: None, what: str) -> None:
    """Each, before it is committed, is a line that names the file."""
    before, after = BREAKING_CHANGES[what]
    assert before in CONTRACT
    (repository / PROTO).write_text(CONTRACT.replace(before, after), encoding="utf-8")
    found = breaking(repository)
    assert found and all(PROTO in line for line in found)


def test_breaking_change_is_found_after_its_commit(repository: Path, buf: None) -> None:
    """In CI the working tree is what was committed."""
    commit(repository, PROTO, CONTRACT.replace("string key = 6;", "string key = 99;"))
    commit(repository, "other.txt", "a commit that leaves the contract alone")
    assert breaking(repository)


def test_new_field_and_kind_break_nobody(repository: Path, buf: None) -> None:
    """The contract grows."""
    grown = CONTRACT.replace("string key = 6;", "string key = 6;\n  string more = 100;")
    grown = grown.replace("KIND_NOTICE = 6;", "KIND_NOTICE = 6;\n  KIND_MORE = 100;")
    assert grown.count("100;") == 2
    (repository / PROTO).write_text(grown, encoding="utf-8")
    assert breaking(repository) == []


def test_undocumented_field_is_found(repository: Path, buf: None) -> None:
    """Whatever is added says what it is."""
    grown = CONTRACT.replace("string key = 6;", "string key = 6;\n  string more = 100;")
    (repository / PROTO).write_text(grown, encoding="utf-8")
    (fault,) = lint(repository)
    assert '"more"' in fault and "comment" in fault


def test_contract_under_change_is_held_against_the_commit(repository: Path) -> None:
    """HEAD has the version that others have."""
    (repository / PROTO).write_text(CONTRACT + "// more\n", encoding="utf-8")
    assert previous_version(repository) == CONTRACT


def test_committed_contract_is_held_against_the_version_before(repository: Path) -> None:
    """Also when later commits left it alone."""
    commit(repository, PROTO, CONTRACT + "// more\n")
    commit(repository, "other.txt", "text")
    assert previous_version(repository) == CONTRACT


def test_first_version_has_nothing_to_be_held_against(repository: Path) -> None:
    """The same in a shallow clone."""
    with pytest.raises(SkippedError, match="no earlier version"):
        previous_version(repository)


def test_folder_without_repository_is_said(empty_folder: Path) -> None:
    """A downloaded archive has no git."""
    shutil.copy(ROOT / PROTO, empty_folder)
    with pytest.raises(SkippedError, match="git"):
        previous_version(empty_folder)


def test_stale_code_is_found(tmp_path: Path) -> None:
    """One file that is not what protoc makes is named."""
    for name in (PROTO, *GENERATED):
        shutil.copy(ROOT / name, tmp_path)
    assert stale(tmp_path) == []
    with (tmp_path / "chat_pb2.pyi").open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    assert stale(tmp_path) == ["chat_pb2.pyi is not what chat.proto says; run make proto"]


def test_machine_without_git_and_npm_is_told_what_was_skipped(tmp_path: Path) -> None:
    """The generated code is checked; the rest is a line, and no failure."""
    command = [sys.executable, str(Path(check_proto.__file__))]
    done = subprocess.run(
        command, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "The generated code: no faults.",
        "The rest of the contract's checks was skipped: npm is not installed.",
    ]
    assert done.returncode == 0
