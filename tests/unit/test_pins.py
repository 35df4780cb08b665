"""Whose key is whose: kept for each server, never replaced by itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from chat.client import pins as pins_module
from chat.client.pins import Pins, pins_of
from chat.protocol.errors import ChatError, ConfigError

ADDRESS = "localhost:50051"
KEY, OTHER = b"k" * 32, b"o" * 32


def test_first_key_is_kept_and_later_ones_are_not(tmp_path: Path) -> None:
    """By the form in which names are compared, and over restarts."""
    pins = Pins(ADDRESS, tmp_path)
    assert pins.find("Bia") is None
    assert pins.find_or_add("Bia", KEY) == KEY
    assert pins.find_or_add("bia", OTHER) == KEY
    assert Pins(ADDRESS, tmp_path).find("BIA") == KEY


def test_each_server_has_its_own(tmp_path: Path) -> None:
    """Another server's bia is somebody else."""
    Pins(ADDRESS, tmp_path).find_or_add("bia", KEY)
    assert Pins("localhost:50052", tmp_path).find("bia") is None


def test_user_replaces_and_forgets(tmp_path: Path) -> None:
    """What was accepted."""
    pins = Pins(ADDRESS, tmp_path)
    pins.find_or_add("bia", KEY)
    pins.replace("bia", OTHER)
    assert Pins(ADDRESS, tmp_path).find("bia") == OTHER
    pins.replace("bia", None)
    assert Pins(ADDRESS, tmp_path).find("bia") is None


def test_two_clients_lose_nothing_of_each_other(tmp_path: Path) -> None:
    """The second one learns what the first has written, before it writes."""
    one, two = Pins(ADDRESS, tmp_path), Pins(ADDRESS, tmp_path)
    one.find_or_add("bia", KEY)
    two.find_or_add("caio", OTHER)
    assert two.find_or_add("bia", OTHER) == KEY
    third = Pins(ADDRESS, tmp_path)
    assert (third.find("bia"), third.find("caio")) == (KEY, OTHER)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_file_is_for_its_owner(tmp_path: Path) -> None:
    """Whom somebody talks to is nobody else's business."""
    Pins(ADDRESS, tmp_path / "new").find_or_add("bia", KEY)
    (file,) = (tmp_path / "new").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["keys"] == {"bia": KEY.hex()}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[" * 100_000,
        "[]",
        "{}",
        '{"keys": []}',
        '{"keys": {"bia": 1}}',
        '{"keys": {"bia": "00"}}',
    ],
)
def test_damaged_file_is_told(content: str, tmp_path: Path) -> None:
    """Taken for an empty one it would have every key trusted anew."""
    Pins(ADDRESS, tmp_path).find_or_add("bia", KEY)
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"keys-.*\.json"):
        Pins(ADDRESS, tmp_path)


def test_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A folder in its place, or no right to it."""
    Pins(ADDRESS, tmp_path).find_or_add("bia", KEY)
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        Pins(ADDRESS, tmp_path)


def test_file_that_is_damaged_meanwhile_is_mended(tmp_path: Path) -> None:
    """By what was known at the beginning."""
    pins = Pins(ADDRESS, tmp_path)
    pins.find_or_add("bia", KEY)
    (file,) = tmp_path.iterdir()
    file.write_text("{")
    pins.find_or_add("caio", OTHER)
    assert Pins(ADDRESS, tmp_path).find("bia") == KEY


def test_names_that_a_server_makes_up_push_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no place for one more, it is not trusted."""
    monkeypatch.setattr(pins_module, "MAX_PINS", 2)
    pins = Pins(ADDRESS, tmp_path)
    pins.find_or_add("bia", KEY)
    pins.find_or_add("caio", KEY)
    with pytest.raises(ChatError, match="keys"):
        pins.find_or_add("duda", KEY)
    assert pins.find_or_add("bia", OTHER) == KEY and pins.find("duda") is None


def test_strangers_neither_fill_the_file_nor_push_anybody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes to the user costs no write; of them the last are known, for this run."""
    monkeypatch.setattr(pins_module, "MAX_PINS", 1)
    monkeypatch.setattr(pins_module, "MAX_STRANGERS", 2)
    pins = Pins(ADDRESS, tmp_path)
    for name in ("troll1", "caio", "Troll2", "caio", "troll3"):
        assert pins.find_or_meet(name, KEY) == KEY
    assert pins.find("troll1") is None and pins.find_or_meet("Caio", OTHER) == KEY
    assert list(tmp_path.iterdir()) == []
    assert pins.find_or_add("bia", KEY) == KEY == pins.find_or_meet("bia", OTHER)
    assert [Pins(ADDRESS, tmp_path).find(name) for name in ("bia", "caio")] == [KEY, None]


def test_stranger_to_whom_the_user_writes_is_one_no_longer(tmp_path: Path) -> None:
    """With the key by which the stranger wrote; another one has to be accepted."""
    pins = Pins(ADDRESS, tmp_path)
    pins.find_or_meet("bia", KEY)
    assert pins.find_or_add("Bia", OTHER) == KEY
    assert Pins(ADDRESS, tmp_path).find("bia") is None
    assert pins.find_or_add("bia", KEY) == KEY == Pins(ADDRESS, tmp_path).find("bia")
    pins.find_or_meet("caio", KEY)
    pins.replace("caio", OTHER)
    assert pins.find("caio") == OTHER == Pins(ADDRESS, tmp_path).find("caio")


def test_stranger_is_known_by_what_another_client_has_kept(tmp_path: Path) -> None:
    """The same user's, on the same machine."""
    one, two = Pins(ADDRESS, tmp_path), Pins(ADDRESS, tmp_path)
    one.find_or_add("bia", KEY)
    assert two.find_or_meet("bia", OTHER) == KEY


def test_without_a_folder_keys_are_known_for_now(tmp_path: Path) -> None:
    """A file where the folder should be is none."""
    (tmp_path / "file").write_text("")
    pins = Pins(ADDRESS, tmp_path / "file")
    assert pins.find_or_add("bia", KEY) == KEY and pins.find("bia") == KEY


def test_servers_of_one_chat_share_what_is_known(tmp_path: Path) -> None:
    """Who names another one as well the next time trusts nobody anew, and so on each alone."""
    Pins("a:1", tmp_path).find_or_add("bia", KEY)
    both = pins_of(["b:1", "a:1"], tmp_path)
    assert both.find("bia") == KEY and both.find_or_add("bia", OTHER) == KEY
    assert both.find_or_meet("bia", OTHER) == KEY
    assert Pins("b:1", tmp_path).find("bia") == KEY
    both.replace("bia", OTHER)
    assert Pins("a:1", tmp_path).find("bia") == Pins("b:1", tmp_path).find("bia") == OTHER
    assert both.find_or_meet("rui", KEY) == KEY and both.find("rui") == KEY
    assert pins_of(["a:1", "b:1"], tmp_path).find("rui") is None


def test_first_server_counts_where_two_disagree(tmp_path: Path) -> None:
    """They were not one chat before; nothing else is taken for the key, whoever hands it out."""
    Pins("a:1", tmp_path).find_or_add("bia", KEY)
    Pins("b:1", tmp_path).find_or_add("bia", OTHER)
    both = pins_of(["a:1", "b:1"], tmp_path)
    assert both.find_or_add("bia", OTHER) == KEY
    assert Pins("b:1", tmp_path).find("bia") == OTHER
