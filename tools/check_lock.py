"""Checks that requirements.lock satisfies requirements-dev.txt, without a network.

    python tools/check_lock.py      say what does not agree, and fail if anything does not

On each platform and Python that the project is for, every requirement must have one pinned version
that it allows, and every pin its hashes. The lock names no index: whoever installs from it has one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = "requirements-dev.txt"
LOCK = "requirements.lock"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PLATFORMS = (("linux", "posix"), ("darwin", "posix"), ("win32", "nt"))


def lines_of(path: Path) -> Iterator[str]:
    """Yield the logical lines of a requirements file: no comments, continued lines joined."""
    text = re.sub(r"(^|\s)#.*", "", path.read_text(encoding="utf-8")).replace("\\\n", " ")
    yield from filter(None, map(str.strip, text.splitlines()))


def requirements(path: Path) -> Iterator[Requirement]:
    """Yield what a requirements file asks for, and what those ask for that it includes."""
    for line in lines_of(path):
        if line.startswith("-r "):
            yield from requirements(path.parent / line.removeprefix("-r ").strip())
        else:
            yield Requirement(line)


def environments() -> Iterator[dict[str, str]]:
    """Yield the environment markers of each platform and Python that the project is for."""
    for python, (platform, system) in product(PYTHONS, PLATFORMS):
        yield {
            "python_version": python,
            "python_full_version": f"{python}.99",
            "sys_platform": platform,
            "os_name": system,
        }


def applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    """Say whether a requirement is one in this environment."""
    return requirement.marker is None or requirement.marker.evaluate(environment)


def read_pins(path: Path) -> tuple[list[Requirement], list[str]]:
    """Return the pins of a lock, and what is wrong with its lines."""
    pins: list[Requirement] = []
    faults: list[str] = []
    for line in lines_of(path):
        pin, *hashes = line.split(" --hash=")
        if line.startswith("-") or "://" in line:
            faults.append(f"not a pin: {line}")
            continue
        pins.append(Requirement(pin))
        if not hashes:
            faults.append(f"no hash: {pin}")
    return pins, faults


def disagreements(wanted: list[Requirement], pins: list[Requirement]) -> Iterator[str]:
    """Yield each requirement that has no pin, or another than it allows, in some environment."""
    for environment, requirement in product(list(environments()), wanted):
        if not applies(requirement, environment):
            continue
        name = canonicalize_name(requirement.name)
        versions = [
            next(iter(pin.specifier)).version
            for pin in pins
            if canonicalize_name(pin.name) == name and applies(pin, environment)
        ]
        if len(versions) != 1 or not requirement.specifier.contains(versions[0]):
            yield f"{requirement}: {', '.join(versions) or 'nothing'} is locked"


def faults_of(requirements_path: Path, lock_path: Path) -> list[str]:
    """Return all that is wrong with a lock."""
    pins, faults = read_pins(lock_path)
    return faults + list(dict.fromkeys(disagreements(list(requirements(requirements_path)), pins)))


def main(arguments: Sequence[str] = ()) -> int:
    """Check the files of this project, or `REQUIREMENTS LOCK`; return the exit code."""
    names = list(arguments) or [REQUIREMENTS, LOCK]
    faults = faults_of(*(ROOT / name for name in names))
    for fault in faults:
        print(f"{names[1]}: {fault}; run make lock", file=sys.stderr)
    if not faults:
        print("The lock satisfies the requirements.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
