"""The check of requirements.lock: what does not agree is found, without a network."""

from __future__ import annotations

from pathlib import Path

import check_lock
import pytest

PIN = "--hash=sha256:00"
PINS = f"""
# made by a tool
grpcio==1.85.3 \\
    {PIN} \\
    {PIN}
old==1.0 ; python_full_version < '3.11' \\
    {PIN}
old==2.0 ; python_full_version >= '3.11' \\
    {PIN}
uvloop==0.23.0 ; sys_platform != 'win32' \\
    {PIN}
"""


def faults(folder: Path, wanted: str, lock: str = PINS) -> list[str]:
    """Return what is wrong with a lock for what is wanted, partly by another file."""
    (folder / "base.txt").write_text("grpcio>=1.85,<2  # the RPC itself\n")
    (folder / "wanted.txt").write_text(f"-r base.txt\n{wanted}\n")
    (folder / "lock").write_text(lock)
    return check_lock.faults_of(folder / "wanted.txt", folder / "lock")


@pytest.mark.parametrize("wanted", ["", "Old>=1", 'uvloop; sys_platform != "win32"'])
def test_satisfied_requirements_have_no_fault(tmp_path: Path, wanted: str) -> None:
    """Names are the same whatever their case, and markers decide where one counts."""
    assert faults(tmp_path, wanted) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("new>=1", "new>=1: nothing is locked"),
        ("old>=2", "old>=2: 1.0 is locked"),
        ("uvloop", "uvloop: nothing is locked"),
        ("grpcio<1.85.3", "grpcio<1.85.3: 1.85.3 is locked"),
    ],
)
def test_requirement_that_is_not_satisfied_somewhere_is_named(
    tmp_path: Path, wanted: str, said: str
) -> None:
    """A pin too few, or one that is not allowed, on any platform or Python."""
    assert faults(tmp_path, wanted) == [said]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lost==1.0", "no hash: lost==1.0"),
        ("--index-url https://pypi.example/simple", "not a pin: --index-url"),
        (f"a @ https://pypi.example/a.whl {PIN}", "not a pin: a @"),
    ],
)
def test_line_that_is_no_hashed_pin_is_named(tmp_path: Path, line: str, said: str) -> None:
    """Neither an index nor an address belongs in it, nor what could be anything."""
    [fault] = faults(tmp_path, "", f"{PINS}{line}\n")
    assert fault.startswith(said)


def test_lock_of_the_project_satisfies_it(capsys: pytest.CaptureFixture[str]) -> None:
    """As `make check` says."""
    assert check_lock.main() == 0
    assert "satisfies" in capsys.readouterr().out
