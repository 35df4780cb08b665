"""Files of the program's own: what else stands in their place is refused, and never waited for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chat.cli.locked_files import open_locked
from chat.cli.regular_files import open_regular, read_regular
from chat.cli.settings_file import SettingsFile
from chat.client.ignored import Ignored
from chat.client.known_servers import Damaged, KnownServers
from chat.client.left_off import read_bookmarks
from chat.client.typed_lines import TypedLines
from chat.protocol.errors import UsageError

SERVER = "localhost:50051"
needs_devices = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def full(path: Path) -> None:
    path.symlink_to("/dev/full")


STRANGERS = pytest.mark.parametrize("make", [pipe, endless, full])


def test_so_much_is_read_from_either_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert read_regular(path, 4) == b"0123" and read_regular(path, 4, 8) == b"89"
    assert read_regular(path, 4, -2) == b"89" and read_regular(path, 4, -20) == b"0123"
    assert read_regular(path, 4, 20) == b""


@needs_devices
@STRANGERS
def test_nothing_but_a_file_is_opened(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "file")
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(tmp_path / "file", 10)
    with pytest.raises(OSError):
        open_regular(tmp_path / "file", os.O_WRONLY | os.O_APPEND)
    assert open_locked(tmp_path / "file") is None
    assert read_bookmarks(tmp_path / "file").logs == {}


def test_impossible_name_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="called so"):
        read_regular(Path("a\0b"), 10)


@needs_devices
@STRANGERS
def test_kept_files_are_replaced_or_left(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Whoever is ignored, what was typed and whom one trusts; a draft and a name take its place."""
    kept = TypedLines(SERVER, "ana", tmp_path)
    kept.add("a")
    kept.drafts.edit("b")
    kept.drafts.save()
    Ignored(SERVER, tmp_path).toggle("bia")
    servers = KnownServers(tmp_path)
    paths = list(tmp_path.iterdir())
    assert len(paths) == 3
    for path in paths:
        path.unlink()
        make(path)
    again = TypedLines(SERVER, "ana", tmp_path)
    assert again.earlier == [] and again.drafts.go_to("") == ""
    assert Ignored(SERVER, tmp_path).names == []
    again.add("c")
    again.drafts.edit("d")
    again.drafts.save()
    Ignored(SERVER, tmp_path).toggle("rui")
    assert TypedLines(SERVER, "ana", tmp_path).drafts.go_to("") == "d"
    assert Ignored(SERVER, tmp_path).names == ["rui"]
    assert servers.remember(SERVER, b"certificate")
    (known,) = (path for path in tmp_path.iterdir() if path not in paths)
    known.unlink()
    make(known)
    with pytest.raises(Damaged):
        servers.find(SERVER)


@needs_devices
@STRANGERS
def test_settings_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    """The usual one; one that is named may be a pipe that somebody writes to."""
    monkeypatch.setattr("chat.cli.settings_file.config_folder", lambda: tmp_path)
    make(tmp_path / "config.toml")
    with pytest.raises(UsageError, match="not a regular file"):
        SettingsFile.read("", "client")
