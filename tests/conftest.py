"""What every test has around it: no settings from outside, and no thread left behind.

In CI nothing is skipped: what the tests need is installed there, and a skip is a failure.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import IS_CI, leftover_threads

from chat.cli import i18n as language

# What gRPC itself has to say of lost connections would drown what the tests say.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# Most processor time first. Begun last, one would leave the other worker nothing to do.
LONG_FILES = (
    "system/test_newcomer.py",
    "system/test_rooms_ledger.py",
    "system/test_terminal.py",
    "system/test_faults.py",
    "integration/test_server.py",
    "integration/test_client.py",
    "system/test_ledger.py",
    "system/test_load.py",
    "system/test_held_names.py",
    "integration/test_answers.py",
)

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")


def let_children_be_told() -> None:
    """Give signals that this process ignores (`trap "" INT`, nohup) their default in its children.

    A child inherits what is ignored, but not what is handled (POSIX, `execve`): a handler that does
    nothing goes on ignoring the signal here alone.
    """
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)


let_children_be_told()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several workers share the tests (pytest-xdist), begin with the files that take long.

    It keeps that order by `--no-loadscope-reorder`; its own puts files of few tests last.
    """
    if hasattr(config, "workerinput"):
        places = {Path(__file__).parent / name: place for place, name in enumerate(LONG_FILES)}
        items.sort(key=lambda item: places.get(item.path, len(places)))


def refuse_skip(report: Any) -> Any:
    """Make a failure of a skip, in CI."""
    if IS_CI and report.skipped and not hasattr(report, "wasxfail"):
        where, line, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{where}:{line}: skipped in CI, where everything must run: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Refuse a test that skips itself."""
    return refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """Refuse a module that skips itself."""
    return refuse_skip((yield))


@pytest.fixture(autouse=True, scope="session")
def user_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the settings, and what clients remember between runs, out of the user's own folders."""
    for variables in (("XDG_STATE_HOME", "LOCALAPPDATA"), ("XDG_CONFIG_HOME", "APPDATA")):
        folder = str(tmp_path_factory.mktemp(variables[0].lower()))
        os.environ.update(dict.fromkeys(variables, folder))


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the variables of the programs, and speak English."""
    for name in [name for name in os.environ if name.startswith("CHAT_")]:
        monkeypatch.delenv(name)
    # `use_for_argparse()` writes it, and `argparse` reads it.
    monkeypatch.setenv("LANGUAGE", "en")
    monkeypatch.setenv("CHAT_LANG", "en")
    language.use("en")


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Fail a test that leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    left = leftover_threads(before)
    assert not left, f"threads left over: {left}"
