"""Where a user's files are: by the system, and by what the user says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chat.cli.folders import config_folder, state_folder

Find = Callable[[], "Path | None"]


@pytest.mark.parametrize(
    ("system", "find", "variable", "usual"),
    [
        ("linux", config_folder, "XDG_CONFIG_HOME", ".config"),
        ("linux", state_folder, "XDG_STATE_HOME", ".local/state"),
        ("darwin", config_folder, "XDG_CONFIG_HOME", "Library/Application Support"),
        ("darwin", state_folder, "XDG_STATE_HOME", "Library/Application Support"),
        ("win32", config_folder, "APPDATA", "AppData/Roaming"),
        ("win32", state_folder, "LOCALAPPDATA", "AppData/Local"),
    ],
)
def test_folder_is_the_one_of_the_system(
    system: str,
    find: Find,
    variable: str,
    usual: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The variable counts if it is absolute; else it is in the home, and without one nowhere."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv(variable, str(tmp_path / "chosen"))
    assert find() == tmp_path / "chosen" / "chat-grpc"
    for value in ("relative", ""):
        monkeypatch.setenv(variable, value)
        assert find() == tmp_path / usual / "chat-grpc"

    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", no_home)
    assert find() is None
