"""Who may read along and who may come in: the authorities that a client trusts, and the token.

For server and client; knows nothing of rooms or messages.
"""

from __future__ import annotations

import codecs
import hmac
import ipaddress
import os
import ssl

import grpc

from chat.cli.certificate_files import read_file, read_pem, warn_if_others_can_read
from chat.cli.i18n import _
from chat.protocol.errors import UsageError
from chat.protocol.metadata import bearer

TOKEN_VARIABLE = "CHAT_TOKEN"
MIN_TOKEN_CHARACTERS = 8


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
        warn_if_others_can_read(path)
    return token


def _text_in(path: str) -> str:
    """Return a file's text, in UTF-8 or, as PowerShell writes it, in UTF-16; both with marks."""
    content = read_file(path)
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig", "replace")


def is_authorized(authorization: str | bytes, token: str) -> bool:
    """Say whether the header carries `token`; takes the same time however much of it is right."""
    if isinstance(authorization, str):
        authorization = authorization.encode()
    return hmac.compare_digest(authorization, bearer(token).encode())


def channel_credentials(ca: str | None) -> grpc.ChannelCredentials:
    """Return what the client trusts: the authorities in `ca` (PEM), or the well-known ones."""
    if ca is None:
        return grpc.ssl_channel_credentials()
    content = read_pem(ca)
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
