"""A mutation run, `make mutants`: the source is changed in a hundred places, one at a time.

Each change is made in a copy of the tree, and the tests are run on it: the module's own, the other
unit tests, then the integration tests that belong to it. A mutant whose tests fail, or take too
long, has died; one that survives is a fault that no test would see, or a change that makes no
difference. `--seed` chooses the places, and the same seed chooses the same ones.

What is changed is in `mutations.py`. Needs a POSIX system.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from mutations import Mutant, mutants_of

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("server.py", "client.py", "chat/**/*.py")
NOT_COPIED = (".git", ".venv", ".nox", "node_modules", "__pycache__", ".*_cache", "*.db*")
CONTRACT = "chat/protocol/"
# The integration tests that belong to what a path begins with.
INTEGRATION = {
    "server.py": ("test_server.py", "test_security.py"),
    "client.py": ("test_client.py", "test_session.py"),
    "chat/server/": ("test_server.py", "test_security.py"),
    "chat/client/": ("test_session.py", "test_client.py"),
    "chat/cli/": ("test_security.py", "test_client.py"),
    CONTRACT: ("test_server.py", "test_session.py"),
}
MINIMUM_PERCENT = 90
# A run may take so many times as long as unchanged, and this much more: the machine may be busy.
LIMIT_FACTOR = 3.0
LIMIT_EXTRA_SECONDS = 10.0
# A change may make a loop that never ends and always remembers.
MEMORY_BYTES = 4 << 30


def chosen(root: Path, patterns: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """Return `count` changes of the files that match one of `patterns`, by the seed's dice."""
    paths = [path for source in SOURCES for path in files_of(root, source)]
    paths = [path for path in paths if any(fnmatch(path, pattern) for pattern in patterns)]
    every = [
        mutant
        for path in paths
        for mutant in mutants_of(path, (root / path).read_bytes(), path.startswith(CONTRACT))
    ]
    picked = random.Random(seed).sample(every, min(count, len(every)))
    return sorted(picked, key=lambda mutant: (mutant.path, mutant.start, mutant.after))


def files_of(root: Path, pattern: str) -> list[str]:
    """Return the files that match, sorted, as paths inside `root`."""
    return sorted(file.relative_to(root).as_posix() for file in root.glob(pattern))


def suites(root: Path, path: str) -> tuple[list[str], list[str]]:
    """Return the unit tests and the integration tests of a module, in the order to run them.

    Its own unit tests come first, those that start programs last.
    """
    unit = files_of(root, "tests/unit/test_*.py")
    unit.sort(key=lambda file: "running_" in (root / file).read_text(encoding="utf-8"))
    unit.sort(key=lambda file: not file.endswith(f"/test_{Path(path).stem}.py"))
    names = next(names for start, names in INTEGRATION.items() if path.startswith(start))
    return unit, [f"tests/integration/{name}" for name in names]


async def failure_of(folder: Path, tests: Iterable[str], limit_seconds: float | None) -> str:
    """Run tests in `folder`; return by which of them they failed, empty where they did not.

    Whatever a mutant has started ends with its process group.
    """
    with tempfile.TemporaryFile("w+") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", "-x", "-q", *tests),
            cwd=folder,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = await asyncio.wait_for(process.wait(), limit_seconds)
        except asyncio.TimeoutError:
            return "time"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        output.seek(0)
        text = output.read()
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
    return "" if code == 0 else failed[-1] if failed else f"exit code {code}"


class Run:
    """The run of some mutants: each is tried in one of the copies of the tree."""

    def __init__(self, mutants: Sequence[Mutant], folders: Sequence[Path]) -> None:
        self.survivors: list[Mutant] = []
        self._mutants = mutants
        self._folders = folders
        self._suites = {mutant.path: suites(folders[0], mutant.path) for mutant in mutants}
        self._limits: dict[frozenset[str], float] = {}
        self._done = 0

    async def baseline(self) -> str:
        """Run the tests unchanged, and note how long they take; return which of them failed."""
        for suite in (suite for both in self._suites.values() for suite in both):
            if frozenset(suite) not in self._limits:
                started = time.monotonic()
                if failure := await failure_of(self._folders[0], suite, None):
                    return failure
                took_seconds = time.monotonic() - started
                limit_seconds = LIMIT_FACTOR * took_seconds + LIMIT_EXTRA_SECONDS
                self._limits[frozenset(suite)] = limit_seconds
        return ""

    async def try_all(self) -> None:
        """Try every mutant, as many at a time as there are folders."""
        waiting = iter(self._mutants)

        async def work(folder: Path) -> None:
            for mutant in waiting:
                self._tell(mutant, await self._killer_of(mutant, folder))

        await asyncio.gather(*(work(folder) for folder in self._folders))

    async def _killer_of(self, mutant: Mutant, folder: Path) -> str:
        """Return what a mutant died by, empty for one that survives."""
        file = folder / mutant.path
        source = file.read_bytes()
        file.write_bytes(mutant.apply(source))
        try:
            for suite in self._suites[mutant.path]:
                if killer := await failure_of(folder, suite, self._limits[frozenset(suite)]):
                    return killer
            return ""
        finally:
            file.write_bytes(source)

    def _tell(self, mutant: Mutant, killer: str) -> None:
        self._done += 1
        if not killer:
            self.survivors.append(mutant)
        fate = f"died by {killer}" if killer else "SURVIVED"
        print(f"{self._done}/{len(self._mutants)} {mutant}: {fate}", flush=True)


def limit_memory() -> None:
    """Bound the memory of the tests, which inherit it, where the system has such a bound."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))


async def run(folders: Sequence[Path], mutants: Sequence[Mutant]) -> int | None:
    """Try the mutants in the folders; return how many died, None where the tests fail anyhow."""
    trial = Run(mutants, folders)
    print("The tests unchanged...", flush=True)
    if failure := await trial.baseline():
        print(f"They fail already: {failure}. Nothing was changed.")
        return None
    await trial.try_all()
    for survivor in sorted(trial.survivors, key=lambda mutant: (mutant.path, mutant.start)):
        print(f"survived: {survivor}")
    return len(mutants) - len(trial.survivors)


def main() -> int:
    """Make the run; return 0 where enough mutants died."""
    parser = argparse.ArgumentParser(description="Change the source, and see the tests fail.")
    parser.add_argument("--seed", type=int, default=1, help="which places (default: 1)")
    parser.add_argument("--count", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--only", action="append", metavar="GLOB", help="files, such as 'chat/*'")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=2, help="at a time")
    options = parser.parse_args()
    # Either way out ends what runs, and removes the copies.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    limit_memory()
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folders = [Path(name) / str(number) for number in range(options.jobs)]
        shutil.copytree(ROOT, folders[0], ignore=shutil.ignore_patterns(*NOT_COPIED))
        for folder in folders[1:]:
            shutil.copytree(folders[0], folder)
        mutants = chosen(folders[0], options.only or ["*"], options.count, options.seed)
        if not mutants:
            parser.error("no file matches --only")
        died = asyncio.run(run(folders, mutants))
    if died is None:
        return 1
    print(f"{died} of {len(mutants)} mutants died (seed {options.seed}).")
    return 0 if 100 * died >= MINIMUM_PERCENT * len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
