"""Who may import whom: each rule of pyproject.toml finds the import that breaks it."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from support import ROOT

TIME_LIMIT_SECONDS = 60
LINT = "from importlinter.cli import lint_imports_command as run; run()"
# The rule, a module, and what it may not import.
FORBIDDEN = [
    ("wings", "chat/server/hub.py", "chat.client.session"),
    ("wings", "chat/client/session.py", "chat.server.log.base"),
    ("protocol", "chat/protocol/names.py", "chat.cli.flags"),
    ("protocol", "chat/protocol/errors.py", "chat.server.hub"),
    ("session", "chat/client/session.py", "chat.client.ui.render"),
    ("grpc", "chat/server/hub.py", "grpc"),
    ("grpc", "chat/client/app.py", "grpc_status"),
    ("sqlite3", "chat/server/log/base.py", "sqlite3"),
    ("nats", "chat/server/hub.py", "nats"),
    ("prometheus", "chat/server/hub.py", "prometheus_client"),
    ("zeroconf", "chat/client/app.py", "zeroconf"),
    ("prompt_toolkit", "chat/client/ui/render.py", "prompt_toolkit"),
]
# What the scripts at the root may not import, which the linter does not see.
RARE = ("sqlite3", "nats", "prompt_toolkit", "prometheus_client", "zeroconf")
SCRIPTS = {
    "server.py": ("client", "chat.client", *RARE),
    "client.py": ("server", "chat.server", *RARE),
}


def lint(folder: Path, contract: str) -> subprocess.CompletedProcess[str]:
    """Check one rule in `folder`."""
    command = [sys.executable, "-c", LINT, "--no-logo", "--no-cache", "--contract", contract]
    return subprocess.run(
        command, cwd=folder, capture_output=True, encoding="utf-8", timeout=TIME_LIMIT_SECONDS
    )


@pytest.mark.parametrize(("contract", "module", "imported"), FORBIDDEN)
def test_forbidden_import_is_found(
    contract: str, module: str, imported: str, tmp_path: Path
) -> None:
    """One line more in one module breaks the rule, which says where."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "chat", tmp_path / "chat")
    with (tmp_path / module).open("a", encoding="utf-8") as source:
        source.write(f"\nimport {imported}\n")
    line_number = len((tmp_path / module).read_text(encoding="utf-8").splitlines())
    importer = module.removesuffix(".py").replace("/", ".")
    done = lint(tmp_path, contract)
    said = " ".join(done.stdout.split())
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{importer} -> {imported} (l.{line_number})" in said, done.stdout


def parsed(source: str) -> ast.Module:
    """Return the tree of one of our files."""
    return ast.parse((ROOT / source).read_text(encoding="utf-8"))


def imports_of(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the modules that these statements import."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_keep_to_their_side(script: str) -> None:
    """Neither program knows the other one's wing, nor what only one module may know."""
    imported = imports_of(ast.walk(parsed(script)))
    assert imported
    for name in imported:
        assert not f"{name}.".startswith(tuple(f"{other}." for other in SCRIPTS[script]))


@pytest.mark.parametrize("script", SCRIPTS)
def test_next_to_nothing_is_imported_before_interrupts_are_quiet(script: str) -> None:
    """Nor by what makes them so: Ctrl-C meanwhile is a traceback of Python's own."""
    quick = {"__future__", "os", "sys", "signal"}
    startup = "chat.cli.startup"
    assert imports_of(parsed(script).body) <= {*quick, startup}
    assert imports_of(parsed("chat/cli/startup.py").body) <= quick
