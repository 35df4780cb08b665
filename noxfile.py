"""The tests on every Python that we support and this machine has: `make test-all`."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nox

OLDEST_MINOR = 10
PYENV_ROOT = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()


def folders() -> list[Path]:
    """Return where interpreters may be: on the PATH, and among pyenv's."""
    on_path = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    return on_path + sorted(PYENV_ROOT.glob("versions/3.*/bin"), reverse=True)


def candidates() -> Iterator[tuple[int, str]]:
    """Yield each command `python3.N` that there is, with its N."""
    for folder in folders():
        for path in folder.glob("python3.*"):
            if found := re.fullmatch(r"python3\.(\d+)(\.exe)?", path.name):
                yield int(found[1]), str(path)


def runs(path: str) -> bool:
    """Say whether the interpreter starts: a shim of pyenv is there for what is not."""
    try:
        return subprocess.run([path, "-c", ""], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


def interpreters() -> list[str]:
    """Return one interpreter of each version from 3.10 on that is here, the oldest first."""
    found: dict[int, str] = {}
    for minor, path in candidates():
        if minor >= OLDEST_MINOR and minor not in found and runs(path):
            found[minor] = path
    return [path for _minor, path in sorted(found.items())]


@nox.session(python=interpreters(), venv_backend="venv")
def tests(session: nox.Session) -> None:
    """Install what requirements-dev.txt says, and run the tests."""
    session.install("-qq", "--disable-pip-version-check", "-r", "requirements-dev.txt")
    session.run("python", "-m", "pytest", *session.posargs)
