"""Whose key is whose, as it was at first use: what no server can change unnoticed.

One small file for each server, in the user's state folder, with the keys of those to whom the user
has written, or whose key was accepted. Several clients may use it: each write takes in what the
others have written. Where there is no folder to write to, keys are known for as long as the client
runs; and so are those of strangers, who have only written to the user: nobody can fill the file, or
have it written, without the user's doing. Knows no gRPC, and not what a key is good for.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from chat.cli import secret_files
from chat.cli.folders import state_folder
from chat.cli.i18n import _
from chat.cli.regular_files import read_regular
from chat.cli.system_errors import words_of
from chat.client.identity import file_name
from chat.protocol.errors import ChatError, ConfigError
from chat.protocol.limits import MAX_RAW_NAME_CHARACTERS
from chat.protocol.names import name_key

# A server could make up names, each with a key, for as long as it likes. What is known is never
# forgotten for something new: else it would be a way to have a key forgotten.
MAX_PINS = 1000
# Of those who have only written to the user the last ones; each of them costs nothing to make up.
MAX_STRANGERS = 200
KEY_BYTES = 32
# More than the largest that is ever written.
MAX_FILE_BYTES = 1 << 20


class KnownKeys(Protocol):
    """The public keys (Ed25519) of the names in one chat. In any thread."""

    def find(self, name: str) -> bytes | None: ...
    def find_or_add(self, name: str, key: bytes) -> bytes: ...
    def find_or_meet(self, name: str, key: bytes) -> bytes: ...
    def replace(self, name: str, key: bytes | None) -> None: ...


def pins_of(addresses: Sequence[str], folder: Path | None = None) -> KnownKeys:
    """Return the keys of the names in a chat with these servers, kept for each of the servers.

    Whoever names one more, or one less, the next time trusts nobody anew. Raises as `Pins` does.
    """
    pins = [Pins(address, folder) for address in addresses]
    return pins[0] if len(pins) == 1 else SharedPins(pins)


class Pins:
    """The public keys (Ed25519) of the names on the server at `address` (`HOST:PORT`).

    Raises `ConfigError` where the file cannot be read: everybody would be trusted anew. `_lock`
    guards the rest: any thread may call anything.
    """

    def __init__(self, address: str, folder: Path | None = None) -> None:
        folder = folder or state_folder()
        name = file_name("keys-", address, ".json")
        self._path = folder / name if folder is not None else None
        self._address = address
        self._lock = threading.Lock()
        self._keys: dict[str, bytes] = {}
        self._strangers: OrderedDict[str, bytes] = OrderedDict()  # who wrote last is at the end
        self._read()

    def find(self, name: str) -> bytes | None:
        """Return the key that a name is known to have."""
        with self._lock:
            return self._known(name)

    def _known(self, name: str) -> bytes | None:
        return self._keys.get(name_key(name)) or self._strangers.get(name_key(name))

    def find_or_add(self, name: str, key: bytes) -> bytes:
        """Return the key that a name is known to have, `key` at first use; it is kept for good.

        For a name to which the user writes. Raises TOO_MANY_KEYS.
        """
        with self._lock:
            if name_key(name) not in self._keys:
                self._read_again()
            if self._known(name) in (None, key) and name_key(name) not in self._keys:
                if len(self._keys) >= MAX_PINS:
                    raise ChatError("TOO_MANY_KEYS")
                self._keys[name_key(name)] = key
                self._strangers.pop(name_key(name), None)
                self._write()
            return self._known(name) or key

    def find_or_meet(self, name: str, key: bytes) -> bytes:
        """Return the key that a name is known to have, `key` at first use.

        For a name that writes to the user: it is known for as long as the client runs, unless
        `MAX_STRANGERS` others have written since.
        """
        with self._lock:
            if self._known(name) is None:
                self._read_again()
            if name_key(name) not in self._keys:
                self._strangers.setdefault(name_key(name), key)
                self._strangers.move_to_end(name_key(name))
                if len(self._strangers) > MAX_STRANGERS:
                    self._strangers.popitem(last=False)
            return self._known(name) or key

    def replace(self, name: str, key: bytes | None) -> None:
        """Note that the user takes this for the name's key; None: that it has none."""
        with self._lock:
            self._read_again()
            self._keys.pop(name_key(name), None)
            self._strangers.pop(name_key(name), None)
            if key is not None:
                self._keys[name_key(name)] = key
            self._write()

    def _read(self) -> None:
        """Take in what the file has."""
        if self._path is None:
            return
        try:
            self._keys.update(_keys_in(read_regular(self._path, MAX_FILE_BYTES + 1)))
        except (FileNotFoundError, NotADirectoryError):  # there is none yet
            return
        except OSError as error:
            text = _("The file of known keys cannot be read: {path} ({error}).")
            raise ConfigError(text.format(path=self._path, error=words_of(error))) from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            text = _(
                "The file of known keys is damaged: {path}. Put it back from a copy; or remove"
                " it, and compare each key anew with /key NAME."
            )
            raise ConfigError(text.format(path=self._path)) from error

    def _read_again(self) -> None:
        with suppress(ConfigError):  # what was known at the beginning is put in its place
            self._read()

    def _write(self) -> None:
        """Put the file in place of the old one, whole."""
        if self._path is None:
            return
        keys = {name: key.hex() for name, key in sorted(self._keys.items())}
        content = json.dumps({"server": self._address, "keys": keys}, indent=1)
        with suppress(OSError):
            secret_files.replace(self._path, content.encode("ascii"))


class SharedPins:
    """The keys of the names on each of several servers, which are one chat: see `Pins`.

    Where two of them have had different keys for a name, the first one that is named counts.
    """

    def __init__(self, pins: Sequence[Pins]) -> None:
        self._pins = pins

    def find(self, name: str) -> bytes | None:
        """Return the key that a name is known to have."""
        return next(filter(None, (pins.find(name) for pins in self._pins)), None)

    def find_or_add(self, name: str, key: bytes) -> bytes:
        """Return the key that a name is known to have, `key` at first use; it is kept for good."""
        known = self.find(name) or key
        for pins in self._pins:
            pins.find_or_add(name, known)
        return known

    def find_or_meet(self, name: str, key: bytes) -> bytes:
        """Return the key that a name is known to have, `key` at first use, for this run."""
        return self.find(name) or self._pins[0].find_or_meet(name, key)

    def replace(self, name: str, key: bytes | None) -> None:
        """Note that the user takes this for the name's key; None: that it has none."""
        for pins in self._pins:
            pins.replace(name, key)


def _keys_in(raw: bytes) -> dict[str, bytes]:
    """Return the keys in a file; raises `ValueError` and others where it is none of ours."""
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError("too long")
    keys = {name: bytes.fromhex(text) for name, text in json.loads(raw)["keys"].items()}
    is_whole = all(len(key) == KEY_BYTES for key in keys.values())
    if not is_whole or any(len(name) > MAX_RAW_NAME_CHARACTERS * 4 for name in keys):
        raise ValueError("no keys")
    return keys
