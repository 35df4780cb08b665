"""The tests on every Python that we support and this machine has: `make test-all`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nox

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
PYENV_ROOT = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()


def candidates(version: str) -> Iterator[str]:
    """Yield where an interpreter of `version` may be: on the PATH, or among pyenv's."""
    if path := shutil.which(f"python{version}"):
        yield path
    for folder in sorted(PYENV_ROOT.glob(f"versions/{version}.*/bin"), reverse=True):
        yield str(folder / f"python{version}")


def runs(path: str) -> bool:
    """Say whether the interpreter starts: a shim of pyenv is there for what is not."""
    try:
        return subprocess.run([path, "-c", ""], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


def interpreters() -> list[str]:
    """Return one interpreter of each version that is here."""
    found = (next(filter(runs, candidates(version)), None) for version in VERSIONS)
    return [path for path in found if path is not None]


@nox.session(python=interpreters(), venv_backend="venv")
def tests(session: nox.Session) -> None:
    """Install what requirements.txt says, and run the tests."""
    session.install("-qq", "--disable-pip-version-check", "-r", "requirements.txt")
    session.run("python", "-m", "pytest", *session.posargs)
