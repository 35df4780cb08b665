"""What this session is called, and was: a server may answer what was said under an earlier name."""

from __future__ import annotations

import threading

from chat.protocol.names import name_key


class OwnName:
    """The name, and all earlier ones. Any thread may call anything; `_lock` guards all of it."""

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self._present = name
        self._keys = {name_key(name)}

    @property
    def present(self) -> str:
        """The name, as far as the server has agreed to it."""
        with self._lock:
            return self._present

    def take(self, name: str) -> None:
        """Be called so from now on."""
        with self._lock:
            self._present = name
            self._keys.add(name_key(name))

    def __contains__(self, name: str) -> bool:
        with self._lock:
            return name_key(name) in self._keys
