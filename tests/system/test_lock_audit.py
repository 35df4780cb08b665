"""The look at known holes: what it finds, and what it says where it cannot look."""

from __future__ import annotations

import json
import sys
from typing import Any

import audit
import pytest

HOLE = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.1", "3.0"]}
OPEN_HOLE = {"id": "PYSEC-2026-2", "fix_versions": []}


def report_of(*packages: dict[str, Any]) -> str:
    """Return a report as pip-audit writes it."""
    return json.dumps({"dependencies": packages, "fixes": []})


def package(name: str, *found: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "2.0", "vulns": found}


def run(program: str, seconds: float = 20.0) -> int:
    """Run the audit with a program of Python's in the place of pip-audit."""
    return audit.main([sys.executable, "-c", program], seconds)


def prints(report: str, exit_code: int = 0) -> str:
    """Return the program that prints a report and ends."""
    return f"print({report!r}); raise SystemExit({exit_code})"


def test_holes_are_named_and_fail(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with the versions that have it no more."""
    assert run(prints(report_of(package("grpc", HOLE, OPEN_HOLE), package("uv")), 1)) == 1
    assert capsys.readouterr().err.splitlines() == [
        "requirements.lock: grpc 2.0: PYSEC-2026-1 CVE-2026-1; mended in 2.1, 3.0",
        "requirements.lock: grpc 2.0: PYSEC-2026-2; mended in no version yet",
    ]


def test_none_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    """With how many were looked at."""
    assert run(prints(report_of(package("grpc"), package("uv")))) == 0
    assert capsys.readouterr().out == "Known holes: none in 2 packages.\n"


def test_package_that_is_not_known_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A mirror may know nothing of any."""
    skipped = {"name": "uv", "skip_reason": "not found on PyPI"}
    assert run(prints(report_of(package("grpc"), skipped))) == 0
    assert "1 of 2 packages could not be looked up" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "seconds"),
    [
        ("raise SystemExit('requests.exceptions.ProxyError: no way')", 20.0),
        ("raise SystemExit('ERROR:pip_audit._cli:Could not connect to PyPI')", 20.0),
        ("import threading; threading.Event().wait()", 0.5),
    ],
    ids=["no way", "no answer", "hangs"],
)
def test_without_a_network_it_is_skipped_with_a_word(
    program: str, seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """And soon."""
    assert run(program, seconds) == 0
    assert "not looked up, since PyPI" in capsys.readouterr().out


def test_whatever_else_goes_wrong_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """A lock that cannot be read must not look like one without holes."""
    assert run("raise SystemExit('invalid requirement')") == 1
    assert "invalid requirement" in capsys.readouterr().err
    assert run("") == 1
