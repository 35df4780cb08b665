"""How much a full server has been sent that it has not echoed yet."""

from __future__ import annotations

# More would only wait on a slow line, with the answers to the server's pings behind it; less would
# slow down a long one.
MAX_IN_FLIGHT_BYTES = 32 << 10


class SendWindow:
    """Sizes in bytes, by the keys of what was sent. Whoever owns it has a lock."""

    def __init__(self) -> None:
        self._bytes: dict[str, int] = {}
        self._total_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be sent before an echo comes."""
        return self._total_bytes >= MAX_IN_FLIGHT_BYTES

    def __contains__(self, key: str) -> bool:
        return key in self._bytes

    def add(self, key: str, size_bytes: int) -> None:
        """Note what is sent under a key, in place of what was: a program may use it again."""
        self.remove(key)
        self._bytes[key] = size_bytes
        self._total_bytes += size_bytes

    def remove(self, key: str) -> None:
        """Note the echo of what was sent under a key, if there was anything."""
        self._total_bytes -= self._bytes.pop(key, 0)

    def clear(self) -> None:
        """Note that another server is to be sent all of it."""
        self._bytes.clear()
        self._total_bytes = 0
