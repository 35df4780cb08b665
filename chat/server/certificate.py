"""The certificate that the server listens with, replaced without a restart when its files change.

gRPC asks in threads of its own, at each handshake, whether there is another one by now
(`grpc.dynamic_ssl_server_credentials`); open streams go on with the one that they began with. TLS
is 1.2 or 1.3: gRPC has no older ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from chat.cli.credentials import read_pair
from chat.cli.i18n import _
from chat.protocol.errors import UsageError
from chat.protocol.limits import PROOF_SECONDS
from chat.server.reload import Watched

if TYPE_CHECKING:
    from chat.cli.certificate_files import CertificatePair


class ServerCertificate:
    """A certificate chain and its key, in two files (PEM). Raises `UsageError`.

    `authorities`: those that each client must have a certificate of; None: it needs none.
    `watched`: for a `Reloader`. `clock`: seconds, monotonic. What there is now is replaced in the
    event loop, and may be read in any thread.
    """

    def __init__(
        self,
        cert: str,
        key: str,
        authorities: Watched[bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._authorities = authorities
        self.watched = Watched(read_pair, cert, key, on_change=self._take)
        self._pair = self.watched.value
        self._previous: tuple[str, float] | None = None  # its fingerprint, and when it was replaced

    def _take(self, pair: CertificatePair) -> None:
        if pair.fingerprint != self.fingerprint:
            self._previous = self.fingerprint, self._clock()
        self._pair = pair

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the present certificate, in hex digits."""
        return self._pair.fingerprint

    def fingerprints(self) -> list[str]:
        """Return those of the present certificate and, for as long as a proof that was made for it
        holds, of the one before.
        """
        previous = self._previous
        if previous is None or self._clock() - previous[1] > PROOF_SECONDS:
            return [self.fingerprint]
        return [self.fingerprint, previous[0]]

    def credentials(self) -> grpc.ServerCredentials:
        """Return what one gRPC server listens with; another one needs its own."""
        handed = self._present()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            """Return what is new since the last time, if anything is. In gRPC's threads."""
            nonlocal handed
            present = self._present()
            if present == handed:
                return None
            handed = present
            return _configuration(*present)

        fetcher: Any = fetch  # None is not in the stubs
        asks = self._authorities is not None
        return grpc.dynamic_ssl_server_credentials(_configuration(*handed), fetcher, asks)

    def _present(self) -> tuple[CertificatePair, bytes | None]:
        return self._pair, self._authorities.value if self._authorities else None


def given_certificate(
    cert: str | None, key: str | None, authorities: Watched[bytes] | None = None
) -> ServerCertificate | None:
    """Return the certificate in the files that flags name, None where they name none.

    Raises `UsageError` for one that is of no use, and for half of a pair.
    """
    if not cert and not key:
        return None
    if not cert or not key:
        raise UsageError(_("--tls-cert and --tls-key belong together: give both."))
    return ServerCertificate(cert, key, authorities)


def _configuration(
    pair: CertificatePair, authorities: bytes | None
) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.chain)], authorities)
