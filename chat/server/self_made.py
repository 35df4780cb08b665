"""The certificate that a server makes for itself, once, beside its log.

Signed by its own key (ECDSA P-256; gRPC takes no Ed25519), for the one name `chat`: nobody checks
the name, clients know such a certificate by its fingerprint (trust on first use). Each file comes
into being whole and at once, the key first: of two servers that start at the same time one makes
it and both use it, and after a crash the next start makes what is missing. Knows no gRPC.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chat.cli.i18n import _
from chat.cli.secret_files import publish, read_pem
from chat.cli.system_errors import words_of
from chat.protocol.errors import ConfigError, UsageError
from chat.server.log.files import IN_MEMORY
from chat.server.settings import DEFAULT_DB

NAME = "chat"
VALID_DAYS = 3653  # ten years
# Other machines' clocks may be a little behind.
EARLIER = datetime.timedelta(days=1)


def make_beside(log: str) -> tuple[str, str]:
    """Return the paths of certificate and key for the log at `log`, made if they are missing.

    `chat.db` has `chat-cert.pem` and `chat-key.pem`: servers with logs of their own in one folder
    have certificates of their own. A log in memory has those of the default log, so that clients
    know the server again. Raises `ConfigError`.
    """
    base = Path(os.path.realpath(DEFAULT_DB if log == IN_MEMORY else log)).with_suffix("")
    cert, key = base.with_name(f"{base.name}-cert.pem"), base.with_name(f"{base.name}-key.pem")
    try:
        _make_missing(cert, key)
    except OSError as error:
        text = _(
            "The certificate {path} cannot be made ({error}). Let the server write there, or give"
            " one by --tls-cert and --tls-key."
        )
        raise ConfigError(text.format(path=cert, error=words_of(error))) from error
    return str(cert), str(key)


def _make_missing(cert: Path, key: Path) -> None:
    if not key.exists():
        if cert.exists():
            text = _(
                "{key} is missing, and {cert} is of no use without it. Put it back; or remove"
                " {cert} too: a new certificate is made then, and clients will ask about it."
            )
            raise UsageError(text.format(key=key, cert=cert))
        publish(key, _new_key())
    if not cert.exists():
        publish(cert, _new_certificate(key))


def _new_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _new_certificate(key_path: Path) -> bytes:
    """Return a certificate (PEM) for the key in a file; raises `UsageError` where it is none."""
    try:
        key = load_pem_private_key(read_pem(str(key_path)), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError
    except (ValueError, TypeError) as error:
        text = _("{key} is damaged. Remove it: a new key and certificate will then be made.")
        raise UsageError(text.format(key=key_path)) from error
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.timezone.utc)
    server_auth = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(server_auth, critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)
