"""The package, as `pipx install .` brings it: built, installed and used far from its sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support import ROOT, Program, RunningServer, clean_environment

import chat

TIME_LIMIT_SECONDS = 300
NOT_SOURCES = shutil.ignore_patterns(
    ".*", "__pycache__", "node_modules", "build", "dist", "*.egg-info"
)
# What requirements.txt has for those who generate code and test.
NOT_TO_RUN = {"grpcio-tools", "pytest", "pytest-asyncio"}


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command that must succeed, without what this Python was told by its environment."""
    environment = {k: v for k, v in clean_environment().items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIME_LIMIT_SECONDS,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made from the source archive, and that from a copy of the tree."""
    folder = tmp_path_factory.mktemp("package")
    tree = shutil.copytree(ROOT, folder / "tree", ignore=NOT_SOURCES)
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist")
    run(*build, cwd=tree)
    [path] = (folder / "dist").glob("*.whl")
    return path


@dataclass(frozen=True)
class Installation:
    """An environment with the package in it; `programs` is the folder of its commands."""

    programs: Path
    elsewhere: Path

    def command(self, name: str, *arguments: str) -> list[str]:
        suffix = ".exe" if os.name == "nt" else ""
        return [str(self.programs / f"{name}{suffix}"), *arguments]

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator[Program]:
        """Run one of the installed programs, in another folder than that of the sources."""
        program = Program(self.command(name, *arguments), cwd=self.elsewhere)
        try:
            yield program
        finally:
            program.close()


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A new environment with the wheel; a path file brings what it depends on from ours."""
    folder = tmp_path_factory.mktemp("installation")
    builder = venv.EnvBuilder(symlinks=os.name != "nt", with_pip=False)
    builder.create(folder / "venv")
    context = builder.ensure_directories(folder / "venv")
    scheme = {"base": context.env_dir, "platbase": context.env_dir}
    packages = Path(sysconfig.get_path("purelib", vars=scheme))
    ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "dependencies.pth").write_text("\n".join(ours), encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "--python", context.env_exe, "install", "--no-deps")
    run(*pip, "--no-index", "--no-compile", wheel, cwd=folder)
    return Installation(Path(context.bin_path), folder)


def test_installed_programs_hold_a_conversation(installation: Installation) -> None:
    """A server and two clients, by their commands; the sources are nowhere near."""
    arguments = ("--host", "localhost", "--port", "0", "--db", ":memory:")
    server = RunningServer(installation.command("chat-server", *arguments))
    try:
        with (
            installation.running("chat-client", server.address, "--name", "ana") as ana,
            installation.running(
                "chat-client", server.address, "--name", "bia", "--history", "20"
            ) as bia,
        ):
            ana.type("oi")
            bia.wait_for_line("[ana]: oi")
            bia.type("olá")
            ana.wait_for_line("[bia]: olá")
            for person in (ana, bia):
                person.end_input()
                assert person.wait() == 0, person.report()
        assert server.stop() == 0, server.report()
    finally:
        server.close()


@pytest.mark.parametrize("name", ["chat-server", "chat-client"])
def test_catalogues_and_version_are_in_the_package(installation: Installation, name: str) -> None:
    """The programs speak Portuguese, and know which version they are."""
    with installation.running(name, "--lang", "pt_BR", "--help") as program:
        assert program.wait() == 0, program.report()
        assert program.stdout.startswith(f"uso: {name}"), program.report()
    with installation.running(name, "--version") as program:
        assert program.wait() == 0, program.report()
        assert program.lines == [f"{name} {chat.__version__}"]


def test_wheel_has_every_module_and_its_types(wheel: Path) -> None:
    """All of `chat`, the two scripts and the generated modules, and no test or tool."""
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "chat").rglob("*.py")}
    modules |= {"server.py", "client.py", "chat_pb2.py", "chat_pb2.pyi", "chat_pb2_grpc.py"}
    files = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    catalogues = {name for name in files if name.endswith(".mo")}
    assert files == modules | catalogues | {"chat/py.typed"}
    assert catalogues


def test_wheel_depends_on_what_running_needs(wheel: Path) -> None:
    """The lines of requirements.txt, without those for generating code and testing."""
    archive = zipfile.ZipFile(wheel)
    [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = Parser().parsestr(archive.read(name).decode())
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    bare = filter(None, (line.partition("#")[0].strip() for line in lines))
    wanted = {str(Requirement(line)) for line in bare}
    needed = {str(Requirement(line)) for line in metadata.get_all("Requires-Dist") or ()}
    assert {Requirement(line).name for line in wanted - needed} == NOT_TO_RUN
    assert needed < wanted
