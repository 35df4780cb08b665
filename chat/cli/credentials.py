"""Who may read along and who may come in: TLS with given certificates, and the shared token.

For server and client; knows nothing of rooms or messages.
"""

from __future__ import annotations

import codecs
import hashlib
import hmac
import ipaddress
import logging
import os
import ssl
import stat
import sys
from contextlib import suppress
from pathlib import Path

import grpc

from chat.cli.i18n import _
from chat.protocol.errors import UsageError
from chat.protocol.metadata import bearer

TOKEN_VARIABLE = "CHAT_TOKEN"
MIN_TOKEN_CHARACTERS = 8

_log = logging.getLogger(__name__)


def read_token(path: str | None) -> str:
    """Return the token in the file `path`, else in `CHAT_TOKEN`; empty where there is none.

    Raises `UsageError` for a file that cannot be read and for a token that no header can carry.
    """
    token = _text_in(path) if path else os.environ.get(TOKEN_VARIABLE, "")
    token = token.strip()
    if path and not token:
        raise UsageError(_("{path} is empty: write the token into it.").format(path=path))
    is_sendable = token.isascii() and token.isprintable() and " " not in token
    if token and (len(token) < MIN_TOKEN_CHARACTERS or not is_sendable):
        raise UsageError(
            _("A token has 8 or more ASCII characters, without spaces. Choose another one.")
        )
    if path:
        _warn_if_others_can_read(path)
    return token


def _text_in(path: str) -> str:
    """Return a file's text, in UTF-8 or, as PowerShell writes it, in UTF-16; both with marks."""
    content = _read(path)
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig", "replace")


def _warn_if_others_can_read(path: str) -> None:
    """Say so of a secret that more than its owner can read.

    The group of a file that root owns may, as PostgreSQL allows it for keys ("Secure TCP/IP
    Connections with SSL"). Windows has no such bits.
    """
    if sys.platform == "win32":
        return
    with suppress(OSError):
        found = os.stat(path)
        allowed = stat.S_IRWXU | (stat.S_IRGRP if found.st_uid == 0 else 0)
        if found.st_mode & (stat.S_IRGRP | stat.S_IROTH) & ~allowed:
            text = _("Other users of this machine can read {path}. Type: chmod 600 {path}")
            _log.warning(text.format(path=path))


def is_authorized(authorization: str | bytes, token: str) -> bool:
    """Say whether the header carries `token`; takes the same time however much of it is right."""
    if isinstance(authorization, str):
        authorization = authorization.encode()
    return hmac.compare_digest(authorization, bearer(token).encode())


def server_credentials(cert: str | None, key: str | None) -> grpc.ServerCredentials | None:
    """Return what the server listens with: the certificate chain and key (PEM), or None."""
    if not cert and not key:
        return None
    if not cert or not key:
        raise UsageError(_("--tls-cert and --tls-key belong together: give both."))
    pair = (_read(key), _read(cert))
    for path, content in zip((key, cert), pair, strict=True):
        _check_pem(path, content)
    _check_pair(cert, key)
    _warn_if_others_can_read(key)
    return grpc.ssl_server_credentials([pair])


def fingerprints(cert: str | None) -> list[str]:
    """Return the SHA-256 of the certificate in a file (PEM), in hex digits; none without a file."""
    if not cert:
        return []
    pem = _read(cert).decode("latin-1")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    first = pem[pem.index(begin) : pem.index(end) + len(end)]
    return [hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()]


def channel_credentials(ca: str | None) -> grpc.ChannelCredentials:
    """Return what the client trusts: the authorities in `ca` (PEM), or the well-known ones."""
    if ca is None:
        return grpc.ssl_channel_credentials()
    content = _read(ca)
    _check_pem(ca, content)
    _check_certificates(ca, content)
    return grpc.ssl_channel_credentials(content)


def check_token_stays_safe(host: str, token: str, is_encrypted: bool) -> None:
    """Raise `UsageError` if the token would cross a network that others can read."""
    if token and not is_encrypted and not is_loopback(host):
        raise UsageError(
            _(
                "The token would be sent in the clear. Use --tls,"
                " or leave the token out if the server asks for none."
            )
        )


def is_loopback(host: str) -> bool:
    """Say whether `host`, a name or an address, is this very machine, without asking DNS."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        text = _("{path} cannot be read ({error}). Give the path of a file that can.")
        raise UsageError(text.format(path=path, error=error.strerror)) from error


def _check_pair(cert: str, key: str) -> None:
    """Raise `UsageError` for a pair that gRPC would refuse without a word about it."""
    try:
        # An encrypted key, which gRPC cannot read either, must not make OpenSSL ask for a password.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        text = _("The key {key} does not fit the certificate {cert}, or one of them is damaged.")
        raise UsageError(text.format(key=key, cert=cert)) from error


def _check_certificates(path: str, content: bytes) -> None:
    """Raise `UsageError` for authorities with which gRPC would fail as if nobody answered."""
    # Around the certificates there may be text, in whatever encoding; here it must be ASCII.
    text = content.decode("latin-1").encode("ascii", "replace").decode()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except ssl.SSLError as error:
        sentence = _(
            "No certificate can be read in {path}: it is damaged, or something else."
            " Ask the owner of the server for the file again."
        )
        raise UsageError(sentence.format(path=path)) from error


def _check_pem(path: str, content: bytes) -> None:
    if b"-----BEGIN " not in content:
        raise UsageError(
            _("{path} is not a PEM file: it has no line that starts with -----BEGIN.").format(
                path=path
            )
        )
