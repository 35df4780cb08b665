"""The contract's checks, one of `make check`: `python tools/check_proto.py`.

The generated code is what protoc makes of chat.proto now; chat.proto keeps the rules of buf.yaml,
and breaks no program that was built with its last committed version. The last two need buf, which
npm fetches once and keeps; where that cannot be, or git has no earlier version, one line says so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = "chat.proto"
GENERATED = ("chat_pb2.py", "chat_pb2.pyi", "chat_pb2_grpc.py")
BUF = "@bufbuild/buf@1.75.0"
# What npm has fetched once it does not ask for again; no minutes are waited for a
# registry that does not answer.
NPX_OPTIONS = (
    "--yes",
    "--prefer-offline",
    "--ignore-scripts",
    "--no-update-notifier",
    "--fetch-retries=0",
    "--fetch-timeout=30000",
)
# How npm's own failures begin: "npm error", before version 10.8 "npm ERR!".
NPM_ERROR = "npm err"


class SkippedError(Exception):
    """A check that cannot be made here; `str()` says why."""


def main() -> int:
    """Make every check, and say what each has found; return the exit code."""
    faults = told("The generated code", stale(ROOT))
    try:
        faults += told("The style of the contract", lint(ROOT))
        faults += told("Its compatibility", breaking(ROOT))
    except SkippedError as why:
        print(f"The rest of the contract's checks was skipped: {why}.")
    return 1 if faults else 0


def told(what: str, faults: list[str]) -> list[str]:
    """Print what was found, and return it."""
    print("\n".join(faults) or f"{what}: no faults.")
    return faults


def stale(folder: Path) -> list[str]:
    """Return which generated files of `folder` are not what protoc makes of its chat.proto."""
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        options = (f"--{kind}_out={fresh}" for kind in ("python", "grpc_python", "pyi"))
        command = [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *options, PROTO]
        done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
        if done.returncode:
            return done.stderr.splitlines() or [f"protoc ended with {done.returncode}"]
        return [
            f"{file} is not what {PROTO} says; run make proto"
            for file in GENERATED
            if _text(fresh / file) != _text(folder / file)
        ]


def lint(folder: Path) -> list[str]:
    """Return what buf has against chat.proto in `folder`, by the rules of its buf.yaml."""
    return _buf(folder, "lint")


def breaking(folder: Path) -> list[str]:
    """Return what in chat.proto of `folder` breaks those who have its last committed version."""
    before = previous_version(folder)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / PROTO).write_text(before, encoding="utf-8")
        return _buf(folder, "breaking", "--against", name)


def previous_version(folder: Path) -> str:
    """Return the chat.proto that was committed before the one in `folder`.

    That is HEAD's while chat.proto is being changed. Once the change is committed, as always in CI,
    it is the version before that commit, however many others came after it.
    """
    commits = _git(folder, "log", "-2", "--format=%H", "--", PROTO).split()
    for commit in commits:
        version = _git(folder, "show", f"{commit}:./{PROTO}")
        if version != _text(folder / PROTO):
            return version
    raise SkippedError(f"git has no earlier version of {PROTO} here")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, check=True, capture_output=True, encoding="utf-8"
        )
    except FileNotFoundError:
        raise SkippedError("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise SkippedError(f"git says: {_last_line(error.stderr)}") from error
    return str(done.stdout).replace("\r\n", "\n")


def _buf(folder: Path, *arguments: str) -> list[str]:
    """Run buf in `folder` and return its findings."""
    npx = shutil.which("npx")
    if npx is None:
        raise SkippedError("npm is not installed")
    command = [npx, *NPX_OPTIONS, BUF, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    if not done.returncode:
        return []
    if NPM_ERROR in done.stderr.lower():
        raise SkippedError(f"npm could not fetch buf ({done.stderr.splitlines()[0]})")
    return (done.stdout + done.stderr).splitlines() or [f"buf ended with {done.returncode}"]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
