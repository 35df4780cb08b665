"""What is installed: which command to type for what is missing, instead of a traceback.

`pip install grpcio grpcio-tools` is enough to run; `pip install -r requirements.txt` is better.
Imports what needs the standard library alone, so that both programs can use it before anything
else.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from chat.cli import i18n
from chat.cli.i18n import _
from chat.protocol.errors import UsageError

GENERATED = ("chat_pb2", "chat_pb2_grpc")
LIBRARIES = ("grpc", "google")
# What TLS needs beside gRPC: certificates, and proofs that a name is one's own.
TLS_MODULES = ("cryptography", "jwt")

INSTALL = "-m pip install grpcio grpcio-tools"
GENERATE = "-m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. chat.proto"


def explain_import_error(error: Exception) -> str:
    """Return a sentence on why the program cannot start, in the language that is asked for.

    `error`: what importing gRPC, protobuf or the generated modules raised. Raises it again where
    it has another cause, which only a programmer can mend.
    """
    i18n.use(i18n.wanted(sys.argv[1:]))
    module = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if module in GENERATED:
        text = _("{module}.py is missing. Type, beside chat.proto: {command}")
        return text.format(module=module, command=python(GENERATE))
    if isinstance(error, ModuleNotFoundError) and module in LIBRARIES:
        text = _("gRPC is not installed. Type: {command}")
        return text.format(command=python(INSTALL))
    # The generated modules refuse an older gRPC or protobuf than the one that made them.
    if module in LIBRARIES or type(error).__name__ in ("RuntimeError", "VersionError"):
        text = _("gRPC or protobuf is too old. Type: {command}")
        return text.format(command=python(f"{INSTALL} --upgrade"))
    raise error


def check_installed(modules: Sequence[str], what: str) -> None:
    """Raise `UsageError` where something is asked for that needs packages which are not here."""
    if any(find_spec(module) is None for module in modules):
        text = _("{what} needs more packages. Type: {command}")
        command = python("-m pip install -r requirements.txt")
        raise UsageError(text.format(what=what, command=command))


def missing_line(features: Mapping[str, str]) -> str:
    """Return one line that says what is done without, empty where nothing is.

    `features`: for each module, what it brings, in the user's language.
    """
    missing = [feature for module, feature in features.items() if find_spec(module) is None]
    if not missing:
        return ""
    text = _("Running without {features}; `pip install -r requirements.txt` brings them.")
    return text.format(features=", ".join(dict.fromkeys(missing)))


def python(arguments: str) -> str:
    """Return a command for this very Python, as it is typed."""
    return f"{Path(sys.executable).name or 'python'} {arguments}"
