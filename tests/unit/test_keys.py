"""The user's key: made once, whole, for its owner alone; and what is said of one that is not."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from chat.cli import folders
from chat.client import keys
from chat.client.keys import KEY_FILE, user_key
from chat.protocol.errors import UsageError

HAS_MODES = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
HAS_NO_RIGHTS = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a user who has no key yet."""
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME"
    monkeypatch.setenv(variable, str(tmp_path))
    return tmp_path / folders.FOLDER


def public(key: Ed25519PrivateKey | None) -> bytes:
    assert key is not None
    return key.public_key().public_bytes_raw()


def test_key_is_made_once(folder: Path) -> None:
    """And the same from then on; a copy of the file is the same person elsewhere."""
    first = public(user_key())
    assert public(user_key()) == first
    copy = folder.parent / "copy.pem"
    copy.write_bytes((folder / KEY_FILE).read_bytes())
    copy.chmod(0o600)
    assert public(user_key(str(copy))) == first
    assert [file.name for file in folder.iterdir()] == [KEY_FILE]


@HAS_MODES
def test_key_is_its_owners_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the umask; one that others can read is told of, and used."""
    before = os.umask(0)
    try:
        first = public(user_key())
    finally:
        os.umask(before)
    path = folder / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and not caplog.records
    path.chmod(0o644)
    assert public(user_key()) == first
    assert "Other users of this machine can read" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_pipe_in_place_of_ones_own_key_is_not_waited_for(folder: Path) -> None:
    folder.mkdir(parents=True)
    os.mkfifo(folder / KEY_FILE)
    with pytest.raises(UsageError, match="not a regular file"):
        user_key()


def test_clients_that_start_together_make_one_key(folder: Path) -> None:
    """Of many that find none, all get the same, also where the disk knows no hard links."""
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _number: public(user_key()), range(64)))
    assert len(found) == 1 and [file.name for file in folder.iterdir()] == [KEY_FILE]


def test_key_is_made_where_there_are_no_hard_links(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is renamed instead."""

    def link(*_paths: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", link)
    assert public(user_key()) == public(user_key())
    assert [file.name for file in folder.iterdir()] == [KEY_FILE]


def test_openssl_reads_the_key(folder: Path) -> None:
    """It is plain PEM."""
    assert user_key() is not None
    command = ["openssl", "pkey", "-in", str(folder / KEY_FILE), "-noout", "-text"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except FileNotFoundError:
        pytest.skip("no openssl here")
    assert "ED25519" in done.stdout


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
        Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        ),
    ],
    ids=["empty", "damaged", "another sort", "encrypted"],
)
def test_what_is_no_key_is_never_replaced(folder: Path, content: bytes) -> None:
    """It may be the only copy: a sentence says what to do."""
    folder.mkdir()
    (folder / KEY_FILE).write_bytes(content)
    with pytest.raises(UsageError, match=r"key\.pem is not a key of this program\."):
        user_key()
    assert (folder / KEY_FILE).read_bytes() == content


def test_given_key_must_be_there(folder: Path) -> None:
    """A slip in the path must not make another person of somebody."""
    with pytest.raises(UsageError, match="There is no key"):
        user_key(str(folder / "none.pem"))
    assert not folder.exists()


def test_where_no_key_can_be_kept_there_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Talking works all the same; it is said once."""
    folder.parent.joinpath(folder.name).write_text("in the way")
    assert user_key() is None
    assert "no name here will be your own" in caplog.text
    monkeypatch.setattr(keys, "state_folder", lambda: None)
    assert user_key() is None
