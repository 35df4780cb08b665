"""Certificates with their keys, as files (PEM): read, and checked, so that what is wrong is said.

gRPC would only fail later, as if nobody answered. For server and client; knows no gRPC.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from chat.cli.i18n import _
from chat.cli.secret_files import read_pem, warn_if_others_can_read
from chat.protocol.errors import UsageError
from chat.protocol.fingerprints import fingerprint


@dataclass(frozen=True)
class CertificatePair:
    """A chain of certificates and the key of the first of them (both PEM); they fit."""

    chain: bytes
    key: bytes
    leaf: x509.Certificate

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the first certificate."""
        return fingerprint(self.leaf.public_bytes(Encoding.DER))


def read_pair(cert: str, key: str) -> CertificatePair:
    """Return what is in two files; raises `UsageError` where nobody could use it now.

    Says so where others can read the key.
    """
    chain, key_content = read_pem(cert), read_pem(key)
    pair = CertificatePair(chain, key_content, _check_pair(cert, chain, key, key_content))
    _check_dates(cert, pair.leaf)
    warn_if_others_can_read(key)
    return pair


def _check_pair(cert: str, chain: bytes, key: str, key_content: bytes) -> x509.Certificate:
    """Return the first certificate; raises `UsageError` for a pair that gRPC would refuse."""
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
        private = load_pem_private_key(key_content, password=None)
        is_fit = _spki(private.public_key()) == _spki(leaf.public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key is encrypted
        is_fit = False
    if not is_fit:
        text = _("The key {key} does not fit the certificate {cert}, or one of them is damaged.")
        raise UsageError(text.format(key=key, cert=cert))
    if not isinstance(private, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        text = _("gRPC does not accept a key like {key}. Make one for ECDSA (P-256) or RSA.")
        raise UsageError(text.format(key=key))
    return leaf


def _spki(public: object) -> bytes:
    """Return a public key as certificates have it (SubjectPublicKeyInfo); raises TypeError."""
    encode = getattr(public, "public_bytes", None)
    if encode is None:
        raise TypeError
    content: bytes = encode(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return content


def _check_dates(path: str, leaf: x509.Certificate) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    if now > leaf.not_valid_after_utc:
        text = _("The certificate {path} expired on {date}. Get another one.")
        raise UsageError(text.format(path=path, date=leaf.not_valid_after_utc.date()))
    if now < leaf.not_valid_before_utc:
        text = _("The certificate {path} is not valid before {date}. Check this machine's clock.")
        raise UsageError(text.format(path=path, date=leaf.not_valid_before_utc.date()))
