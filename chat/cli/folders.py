"""Where programs of a user keep their files: settings, and what they remember between runs.

XDG Base Directory Specification on Linux and its like; on macOS and Windows where their own
documentation has it ("Application Support", `%APPDATA%`, `%LOCALAPPDATA%`).
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

FOLDER = "chat-grpc"
# By the system: the variable that says where, and the folder in the user's home without it.
XDG_VARIABLES = {"config": "XDG_CONFIG_HOME", "state": "XDG_STATE_HOME"}
XDG_FOLDERS = {"config": ".config", "state": ".local/state"}
WINDOWS_VARIABLES = {"config": "APPDATA", "state": "LOCALAPPDATA"}
WINDOWS_FOLDERS = {"config": "AppData/Roaming", "state": "AppData/Local"}
MACOS_FOLDER = "Library/Application Support"


def config_folder() -> Path | None:
    """Return where the settings of this user are looked for; None for nowhere."""
    return _folder("config")


def state_folder() -> Path | None:
    """Return where programs keep what they remember from one run to the next; None for nowhere."""
    return _folder("state")


def _folder(purpose: str) -> Path | None:
    is_windows = sys.platform == "win32"
    variable = (WINDOWS_VARIABLES if is_windows else XDG_VARIABLES)[purpose]
    chosen = Path(os.environ.get(variable, ""))
    if chosen.is_absolute():
        return chosen / FOLDER
    usual = (WINDOWS_FOLDERS if is_windows else XDG_FOLDERS)[purpose]
    with suppress(RuntimeError):  # a user without a home
        return Path.home() / (MACOS_FOLDER if sys.platform == "darwin" else usual) / FOLDER
    return None
