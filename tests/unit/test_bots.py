"""What ends a bot: a sentence and an exit code, and no traceback."""

from __future__ import annotations

import importlib
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chat.client import ChatError, ConfigError, bots
from chat.protocol.errors import UsageError


@pytest.fixture
def code_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int | str | None]:
    """Run a bot with some words and return its exit code; signals are as they were."""
    monkeypatch.setattr("chat.client.bots.exit_on_signals", lambda: None)
    monkeypatch.setenv("CHAT_LANG", "en")

    def code_of(main: Any, *words: str, errors: tuple[type[Exception], ...] = ()) -> Any:
        monkeypatch.setattr(sys, "argv", ["bot", *words])
        with pytest.raises(SystemExit) as ended:
            bots.run(main, *errors)
        return ended.value.code

    return code_of


@pytest.mark.parametrize(
    ("bot", "words"),
    [
        ("diario", ()),
        ("diario", ("diario.db",)),
        ("ponte", ("localhost:50051", "redes")),
        ("ponte", ("localhost:50051", "redes", "so", "sala")),
        ("eco", ("--help",)),
    ],
)
def test_wrong_words_are_answered_by_the_docstring(
    bot: str,
    words: tuple[str, ...],
    code_of: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, and the exit code of a wrong command line."""
    module = importlib.import_module(f"examples.{bot}_bot")
    assert code_of(module.main, *words) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"{module.__doc__}\n")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ChatError("SERVER_FULL"), 1, "The server is full; try again later.\n"),
        (ConfigError("no server there"), 1, "no server there\n"),
        (UsageError("'x:y' is no address"), 2, "'x:y' is no address\n"),
        (sqlite3.OperationalError("no such file"), 1, "no such file\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_ends_it_is_told_in_a_sentence(
    error: BaseException,
    code: int,
    sentence: str,
    code_of: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also an error of the bot's own, which it names; Ctrl-C needs no word."""

    def main() -> None:
        raise error

    assert code_of(main, errors=(sqlite3.Error,)) == code
    assert capsys.readouterr() == ("", sentence)


def test_words_are_handed_over(code_of: Callable[..., int]) -> None:
    """As many as `main` takes, and its own end is no error."""
    given: list[str] = []
    assert code_of(lambda *words: given.extend(words), "a", "b") == 0
    assert given == ["a", "b"]


def test_error_that_is_not_named_is_the_owners_to_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the bot itself keeps its traceback."""
    monkeypatch.setattr("chat.client.bots.exit_on_signals", lambda: None)
    monkeypatch.setattr(sys, "argv", ["bot"])
    with pytest.raises(ZeroDivisionError):
        bots.run(lambda: 1 / 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bot", "words", "code", "beginning"),
    [
        ("diario", ("nowhere/diario.db", "localhost:1"), 1, "unable to open database file"),
        ("diario", (":memory:", "host:port"), 2, "'host:port' is not a valid address"),
        ("eco", ("host:port",), 2, "'host:port' is not a valid address"),
        ("ponte", ("host:port", "redes", "so"), 2, "'host:port' is not a valid address"),
    ],
)
def test_examples_end_in_a_sentence(
    bot: str,
    words: tuple[str, ...],
    code: int,
    beginning: str,
    code_of: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a file or an address is wrong."""
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"examples.{bot}_bot")
    assert code_of(module.main, *words, errors=(sqlite3.Error,)) == code
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(beginning)
