"""What every test has around it: no settings from outside, and no thread left behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from support import leftover_threads

from chat.cli import i18n as language

# What gRPC itself has to say of lost connections would drown what the tests say.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the variables of the programs, and speak English."""
    for name in [name for name in os.environ if name.startswith("CHAT_")]:
        monkeypatch.delenv(name)
    # `use()` writes it, and `argparse` reads it.
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
