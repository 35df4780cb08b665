"""Certificates and authorities, made for one test."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(PEM)

    @property
    def der(self) -> bytes:
        """The certificate, as it crosses the wire."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The key, in clear."""
        style, clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(PEM, style, clear)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, in hex digits."""
        return hashlib.sha256(self.der).hexdigest()

    def write(self, folder: Path, name: str = "") -> tuple[str, str]:
        """Write both; return the paths of certificate and key."""
        folder.mkdir(exist_ok=True)
        cert, key = folder / f"{name}cert.pem", folder / f"{name}key.pem"
        cert.write_bytes(self.pem)
        key.touch(0o600)
        key.write_bytes(self.key_pem)
        return str(cert), str(key)


def make_pair(
    common_name: str = "localhost",
    names: Sequence[x509.GeneralName] | None = None,
    *,
    issuer: Pair | None = None,
    is_authority: bool = False,
    begins: datetime.timedelta = -DAY,
    ends: datetime.timedelta = DAY,
) -> Pair:
    """Return a certificate on P-256, signed by `issuer` or by itself.

    `names`: None for the common name and 127.0.0.1. `begins`, `ends`: from now on.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    called = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    subject = x509.Name(called)
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if names is None:
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        names = [] if is_authority else [x509.DNSName(common_name), loopback]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def make_chat_pair() -> Pair:
    """Return a certificate for the name `chat`, as servers make it for themselves."""
    return make_pair("chat", [x509.DNSName("chat")])


def make_authority() -> Pair:
    """Return an authority."""
    return make_pair("chat test authority", is_authority=True)
