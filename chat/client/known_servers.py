"""The certificates of servers that somebody has trusted, kept over runs: one small file for each.

In the user's state folder, beside the sessions (`identity.py`): PEM, for its owner alone, by the
address that was typed. Each file comes into being whole, so that any number of clients may read and
write at a time. Knows no network.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from chat.cli import secret_files
from chat.cli.folders import state_folder
from chat.cli.regular_files import read_regular
from chat.client.identity import file_name

PREFIX, SUFFIX = "server-", ".pem"
# Far more than a certificate takes.
MAX_FILE_BYTES = 1 << 20


class Damaged(Exception):
    """What is kept of a server is no certificate."""


class KnownServers:
    """Certificates by address (`HOST:PORT`); none where there is no folder. In any thread."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or state_folder()

    def find(self, address: str) -> bytes | None:
        """Return the certificate (DER) of a server, None for an unknown one; raises `Damaged`."""
        path = self._path(address)
        if path is None:
            return None
        from chat.protocol.certified import der_of  # cryptography: only where there is TLS

        try:
            return der_of(read_regular(path, MAX_FILE_BYTES))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise Damaged from error

    def knows(self, address: str) -> bool:
        """Say whether anything is kept of a server; reads nothing, and needs no cryptography."""
        path = self._path(address)
        return path is not None and os.path.lexists(path)

    def remember(self, address: str, certificate: bytes) -> bool:
        """Keep a certificate (DER) in place of any other; say whether that was possible."""
        path = self._path(address)
        if path is None:
            return False
        title = f"# {address}\n".encode("ascii", "backslashreplace")
        content = title + ssl.DER_cert_to_PEM_cert(certificate).encode()
        try:
            secret_files.replace(path, content)
        except OSError:
            return False
        return True

    def forget(self, address: str) -> bool:
        """Keep it no more; say whether there was any. Raises `OSError` where that cannot be."""
        path = self._path(address)
        if path is None:
            return False
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _path(self, address: str) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / file_name(PREFIX, address.lower(), SUFFIX)
