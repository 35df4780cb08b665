"""What pyproject.toml cannot say of the package: dependencies in one place, and the stub file."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
STUBS = "chat_pb2.pyi"
# What stands below it in requirements.txt is not needed to run the programs.
HEADING = "# To generate code"


def dependencies() -> list[str]:
    """Return the requirements of running, which come first in requirements.txt."""
    running, heading, _rest = (ROOT / "requirements.txt").read_text("utf-8").partition(HEADING)
    assert heading, f"requirements.txt has no line {HEADING!r}"
    lines = (line.partition("#")[0].strip() for line in running.splitlines())
    return [line for line in lines if line]


class BuildWithStubs(build_py):  # type: ignore[misc]  # setuptools has no types
    """Copies the types of the generated module too, since `py-modules` takes only `.py` files."""

    def run(self) -> None:
        # Modules that an earlier build left there, and that are gone, would be packed as well.
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            shutil.copy(ROOT / STUBS, self.build_lib)


setup(install_requires=dependencies(), cmdclass={"build_py": BuildWithStubs})
