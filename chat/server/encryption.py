"""What the flags say of TLS: whose certificate, whom it lets in, whose names are proved by it.

Runs in the event loop.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import grpc

from chat.cli import credentials
from chat.cli.dependencies import TLS_MODULES, check_installed
from chat.cli.i18n import _
from chat.protocol.errors import UsageError
from chat.server.certificate import ServerCertificate, given_certificate
from chat.server.certified_names import certified_name, no_certified_name
from chat.server.proofs import Proofs
from chat.server.reload import Reloader, Watched
from chat.server.settings import owns_names


class Encryption:
    """What a server listens with. `certificate`: None without TLS. Raises `ConfigError`.

    `owns_names`: whether a name can be somebody's own. `name_of`: returns what the client of a call
    must be called; empty: what it likes.
    """

    def __init__(self, flags: Namespace, reloader: Reloader) -> None:
        self._db: str = flags.db
        self._reloader = reloader
        self._makes_its_own: bool = flags.tls
        if flags.tls or flags.tls_cert or flags.tls_key or flags.tls_client_ca:
            check_installed(TLS_MODULES, "TLS")
        self._authorities = self._read_authorities(flags)
        self.certificate = given_certificate(flags.tls_cert, flags.tls_key, self._authorities)
        self.owns_names = owns_names(flags.own_names, flags.tls or self.certificate is not None)
        self.name_of: Callable[[Any], str] = (
            certified_name if self._authorities else no_certified_name
        )

    def _read_authorities(self, flags: Namespace) -> Watched[bytes] | None:
        """Return those that each client must have a certificate of; None: it needs none."""
        if flags.tls_client_ca is None:
            return None
        if not (flags.tls or flags.tls_cert):
            raise UsageError(
                _("--tls-client-ca needs TLS: add --tls, or --tls-cert and --tls-key.")
            )
        authorities = Watched(credentials.read_authorities, flags.tls_client_ca)
        self._reloader.add(authorities)
        return authorities

    def complete(self) -> None:
        """Make the certificate beside the log's file, if one is wanted and none was given.

        To be called when the log has its file. Raises `ConfigError`.
        """
        if self.certificate is None and self._makes_its_own:
            from chat.server.self_made import make_beside  # cryptography: only where there is TLS

            self.certificate = ServerCertificate(*make_beside(self._db), self._authorities)
        if self.certificate is not None:
            self._reloader.add(self.certificate.watched)

    def credentials(self) -> grpc.ServerCredentials | None:
        """Return what one gRPC server listens with; None: in the clear."""
        return self.certificate.credentials() if self.certificate else None

    def proofs(self) -> Proofs | None:
        """Return what takes proofs that a name is one's own; None where none can be."""
        if self.certificate is None or not self.owns_names:
            return None
        return Proofs(self.certificate.fingerprints)
