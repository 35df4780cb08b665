"""Clients of servers with TLS, under names that they prove to be their own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import Client, RunningServer, full_metadata

from chat.cli.certificate_files import read_pair
from chat.protocol.proof import make_proof


class OwnedClients:
    """People with a key each, and a new session for each stream unless one is given.

    `cert`, `key`, `ca`: paths of the servers' certificate, its key, and who has signed it (PEM).
    """

    def __init__(self, cert: str, key: str, ca: str) -> None:
        self._fingerprint = read_pair(cert, key).fingerprint
        self._keys: dict[str, Ed25519PrivateKey] = {}
        self.trust = grpc.ssl_channel_credentials(Path(ca).read_bytes())

    @contextmanager
    def client(
        self, server: RunningServer, name: str, is_owner: bool = True, **wishes: Any
    ) -> Iterator[Client]:
        """Open a stream under an owned name, or under one that is nobody's."""
        session = wishes.pop("session", secrets.token_hex(16))
        metadata = full_metadata(name, session=session, **{"inbox": 0} | wishes)
        if is_owner:
            key = self._keys.setdefault(name, Ed25519PrivateKey.generate())
            proof = make_proof(key, name, self._fingerprint, session, time.time())
            metadata.append(("chat-proof", proof))
        client = Client(server.address, metadata, self.trust, user=name)
        try:
            client.wait_for_greeting()
            yield client
        finally:
            client.half_close()
            client.close()
