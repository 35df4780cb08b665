"""A connection of the load generators; what the socket does not take at once waits here."""

from __future__ import annotations

import contextlib
import socket
import ssl

RECEIVE_BYTES = 1 << 18  # of TLS one record at most: nothing of it is left behind


class Connection:
    """A connection to this machine that never blocks. `is_over`: the other side has ended it.

    `is_patient`: making it waits until there is a connection; else, what is sent before that waits.
    """

    def __init__(
        self, port: int, tls: ssl.SSLContext | None = None, is_patient: bool = True
    ) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(is_patient)
        with contextlib.suppress(BlockingIOError):
            self.socket.connect(("127.0.0.1", port))
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket)  # waits for the handshake
        self.socket.setblocking(False)
        self.is_over = False
        self.last_words = ""  # why, as far as it can be read
        self._unsent = b""

    def receive(self) -> bytes:
        """Return what the socket has; nothing, if that is nothing, or the end."""
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        self.is_over |= not data
        return data

    def send(self, data: bytes) -> None:
        """Send `data`, as soon as the socket takes it."""
        self._unsent += data
        self.flush()

    def flush(self) -> bool:
        """Send what the socket takes; say whether that was all."""
        if self._unsent:
            try:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                return False
        return not self._unsent

    def close(self) -> None:
        self.socket.close()
