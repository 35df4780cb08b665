"""Both programs where packages are missing, and where Python does not look beside the script."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack

import pytest
from support import Program, RunningServer

SCRIPTS = ("server.py", "client.py")
# All that `pip install grpcio grpcio-tools` does not bring.
COMFORTS = (
    "cryptography",
    "google.rpc",
    "grpc_health",
    "grpc_reflection",
    "grpc_status",
    "ifaddr",
    "prometheus_client",
    "jwt",
    "nacl",
    "prompt_toolkit",
    "tomli",
    "uvloop",
    "wcwidth",
    "zeroconf",
)
SERVER_FLAGS = ("--host", "localhost", "--port", "0", "--db", ":memory:")
# A module that is None is neither found nor imported, as one that is not installed.
HIDE = """
import runpy, sys
sys.modules.update(dict.fromkeys({modules!r}))
sys.argv[0] = {script!r}
runpy.run_path({script!r}, run_name="__main__")
"""


def without(modules: tuple[str, ...], script: str) -> list[str]:
    """Return the command that runs a script where these modules are not installed."""
    return [sys.executable, "-c", HIDE.format(modules=modules, script=script)]


def converse(server_command: list[str], client_command: list[str]) -> list[list[str]]:
    """Have a client say something to a server; what each of them wrote to standard error."""
    with ExitStack() as stack:
        server = RunningServer([*server_command, *SERVER_FLAGS])
        stack.callback(server.close)
        robot = Program([*client_command, server.address, "--name", "robo"])
        stack.callback(robot.close)
        robot.type("oi")
        robot.end_input()
        assert (robot.wait(), robot.stdout) == (0, "[robo]: oi"), robot.report()
        server.wait_for_line("[robo]: oi")
        if sys.platform != "win32":
            assert server.stop(signal.SIGTERM) == 0, server.report()
        return [server.errors, robot.errors]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("grpc", "gRPC is not installed. Type: python"),
        ("chat_pb2", "chat_pb2.py is missing. Type, beside chat.proto: python"),
    ],
)
def test_missing_grpc_is_a_sentence(script: str, module: str, words: str) -> None:
    """Before any pip install: which command to type, and no traceback."""
    bare = Program(without((module,), script))
    try:
        assert bare.wait() == 1
    finally:
        bare.close()
    assert bare.lines == [] and len(bare.errors) == 1 and bare.errors[0].startswith(words)


def test_grpc_alone_suffices() -> None:
    """The server says in one line what it does without; a client in a pipe needs none of it."""
    server, client = converse(without(COMFORTS, "server.py"), without(COMFORTS, "client.py"))
    [line] = server
    assert line.startswith("Running without ") and "pip install -r requirements.txt" in line
    assert client == []


@pytest.mark.parametrize("flag", ["-I", "-P"])
def test_isolated_python_finds_the_rest(flag: str) -> None:
    """Told not to look beside the script (-P is PYTHONSAFEPATH), Python finds the package."""
    if flag == "-P" and sys.version_info < (3, 11):
        pytest.skip("-P came with Python 3.11")
    commands = [[sys.executable, flag, script] for script in SCRIPTS]
    assert converse(*commands) == [[], []]
