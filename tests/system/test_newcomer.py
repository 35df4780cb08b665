"""A newcomer's first ten minutes: a clone, a bare Python, and the lines of README.md.

What is installed comes from a package index; without one these tests are skipped. Where that can be
(root, on Linux) the programs run where nothing but the clone is to be seen: in a network of their
own, without the tree that is tested, in which the developers' environment may lie.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import ROOT, Program, RunningServer

if sys.platform == "win32":
    pytest.skip("the lines for Linux and macOS", allow_module_level=True)

TIME_LIMIT_SECONDS = 600
# Three of them give Python 3.10 what 3.11 has: tomli, exceptiongroup, backports.asyncio.runner.
MAX_PACKAGES = 28 if sys.version_info >= (3, 11) else 31
MAX_MEGABYTES = 125  # cryptography, PyNaCl and what they need have 23
PROMPT = "Digite seu nome: "
SEEDS_LINE = "pip install grpcio grpcio-tools"
FENCE = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# How this machine reaches the index. Settings of pip's in a home are not seen by a newcomer.
WAY_TO_THE_INDEX = re.compile(
    r"PIP_|SSL_CERT_|REQUESTS_CA_BUNDLE$|(HTTPS?|NO)_PROXY$", re.IGNORECASE
)
# Takes the tree that is tested away, in a mount namespace, and goes on as the command that follows.
HIDE_THE_TREE = 'mount -t tmpfs none "$0" && exec "$@"'
CAN_SEPARATE = sys.platform == "linux" and os.geteuid() == 0 and shutil.which("ip") is not None


def clone(folder: Path) -> Path:
    """Make what a clone of the tree as it stands would have, and return its folder."""
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def lines_to_install() -> list[str]:
    """Return the lines of README.md that make the environment, on Linux and macOS."""
    blocks = FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    [lines] = [str(block).splitlines() for block in blocks if "-m venv" in block]
    assert lines[-1] == "pip install -r requirements.txt"
    return lines


@contextmanager
def separate_network() -> Iterator[list[str]]:
    """Yield what runs a command in a network of its own, without the tree; or nothing."""
    if not CAN_SEPARATE:
        yield []
        return
    name = f"chat{os.getpid()}n"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        # `ip netns exec` makes a mount namespace too, so that what is hidden is hidden there alone.
        yield ["ip", "netns", "exec", name, "sh", "-c", HIDE_THE_TREE, str(ROOT)]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command, which must succeed."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIME_LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@dataclass(frozen=True)
class Newcomer:
    """Somebody with a clone, a home of their own, and nothing else."""

    clone: Path
    variables: Mapping[str, str]

    def shell(self, line: str, more: Mapping[str, str]) -> list[str]:
        """Return the command of a line typed in the clone, in an environment of nothing else."""
        settings = [f"{name}={value}" for name, value in {**self.variables, **more}.items()]
        folder = shlex.quote(str(self.clone))
        return ["env", "-i", *settings, "bash", "-c", f"cd {folder} && {line}"]

    def activated(self, line: str, more: Mapping[str, str]) -> list[str]:
        """Return the command of a line typed there, once the environment is activated."""
        return self.shell(f"source .venv/bin/activate && {line}", more)

    def install(self, lines: list[str]) -> None:
        """Type the lines that make the environment; they must succeed."""
        way = {name: value for name, value in os.environ.items() if WAY_TO_THE_INDEX.match(name)}
        cache = run([sys.executable, "-m", "pip", "cache", "dir"]).stdout.strip()
        run(self.shell(" && ".join(lines), way | {"PIP_CACHE_DIR": cache, "PIP_NO_COMPILE": "1"}))


def newcomer(folder: Path) -> Newcomer:
    """Return a newcomer whose `python3` is a bare one of the version that runs the tests."""
    for name in ("clone", "home", "bin"):
        (folder / name).mkdir()
    bare = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    (folder / "bin" / "python3").symlink_to(bare)
    variables = {"HOME": str(folder / "home"), "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
    return Newcomer(clone(folder / "clone"), variables)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip what needs a package index, where there is none."""
    folder = str(tmp_path_factory.mktemp("index"))
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir")
    done = subprocess.run([*pip, "-d", folder, "ifaddr"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no package index can be reached: {done.stderr.strip()[-300:]}")


@pytest.fixture(scope="module")
def by_the_readme(index: None, tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """One who installed what README.md says."""
    somebody = newcomer(tmp_path_factory.mktemp("readme"))
    somebody.install(lines_to_install())
    return somebody


@pytest.fixture(scope="module")
def by_the_first_guide(index: None, tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """One who installed what the project's first guide said, and README.md says is enough."""
    assert SEEDS_LINE in (ROOT / "README.md").read_text(encoding="utf-8")
    somebody = newcomer(tmp_path_factory.mktemp("guide"))
    somebody.install([*lines_to_install()[:-1], SEEDS_LINE])
    return somebody


def converse(somebody: Newcomer) -> list[str]:
    """Run a server and two clients that hear each other; return what went to standard error."""
    with ExitStack() as stack:
        prefix = stack.enter_context(separate_network())
        place = {} if prefix else {"CHAT_HOST": "localhost", "CHAT_PORT": "0"}
        server = RunningServer([*prefix, *somebody.activated("exec python server.py", place)])
        stack.callback(server.close)
        # A terminal shows by itself what was said before, a pipe where it is asked to.
        place = {"CHAT_HISTORY": "20"} | ({} if prefix else {"CHAT_SERVER": server.address})
        ana, bia = (
            Program([*prefix, *somebody.activated("exec python client.py", place)])
            for _ in range(2)
        )
        stack.callback(ana.close)
        stack.callback(bia.close)
        ana.type("ana")
        ana.type("Alguém aí?")
        ana.wait_for_line("[ana]: Alguém aí?")
        server.wait_for_line("[ana]: Alguém aí?")
        bia.type("bia")
        bia.wait_for_line("[ana]: Alguém aí?")
        bia.type("Sim!")
        ana.wait_for_line("[bia]: Sim!")
        for person in (ana, bia):
            person.type("/sair")
            assert person.wait() == 0, person.report()
        assert server.stop() == 0, server.report()
        said = server.errors + ana.errors + bia.errors
    return [rest for line in said if (rest := line.removeprefix(PROMPT))]


def test_lines_of_the_readme_end_in_a_conversation(by_the_readme: Newcomer) -> None:
    """As it stands there, and with nothing to complain of."""
    assert converse(by_the_readme) == []


def test_line_of_the_first_guide_is_enough(by_the_first_guide: Newcomer) -> None:
    """Each program says in one line what would bring the rest, and does without it."""
    said = converse(by_the_first_guide)
    assert said and all("pip install -r requirements.txt" in line for line in said), said
    assert len(said) <= 3


def test_requirements_are_small_and_enough_for_the_unit_tests(by_the_readme: Newcomer) -> None:
    """What a newcomer installs is bounded; with it alone protoc works, and so do the unit tests."""
    protoc = "python -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. chat.proto"
    count = "python -m pip list --format=freeze --disable-pip-version-check | wc -l"
    # The ordinary run explains a failure; here the asserts need not be rewritten for it.
    unit_tests = "python -m pytest --assert=plain tests/unit"
    line = f"{count} && du -sm .venv && {protoc} && {unit_tests}"
    done = run(by_the_readme.activated(line, {}))
    packages, megabytes = map(int, done.stdout.split()[:2])
    assert packages <= MAX_PACKAGES and megabytes <= MAX_MEGABYTES, done.stdout
