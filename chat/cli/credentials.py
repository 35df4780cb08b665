"""Who may read along and who may come in: the authorities that a client trusts, and the token.

For server and client; knows nothing of rooms or messages.
"""

from __future__ import annotations

import codecs
import ipaddress
import os
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

from chat.cli.i18n import _
from chat.cli.secret_files import read_file, read_pem, warn_if_others_can_read
from chat.protocol.errors import UsageError

if TYPE_CHECKING:
    from chat.cli.certificate_files import CertificatePair

TOKEN_VARIABLE = "CHAT_TOKEN"  # noqa: S105  # its name, no token
MIN_TOKEN_CHARACTERS = 8


def read_token(path: str | None) -> str:
    """Return the token in the file `path`, else in `CHAT_TOKEN`; empty where there is none.

    Raises `UsageError` for a file that cannot be read or has several, and for a token that no
    header can carry.
    """
    text = text_in(path) if path else os.environ.get(TOKEN_VARIABLE, "")
    tokens = [line for _number, line in lines_in(text)]
    if path and not tokens:
        raise UsageError(_("{path} is empty: write the token into it.").format(path=path))
    if len(tokens) > 1:
        sentence = _("{path} has several tokens, but a client shows one: keep only its line.")
        raise UsageError(sentence.format(path=path or TOKEN_VARIABLE))
    token = tokens[0] if tokens else ""
    if token and not is_token(token):
        raise UsageError(token_rule())
    if path:
        warn_if_others_can_read(path)
    return token


def lines_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file of tokens, without empty ones and comments, and their numbers."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def is_token(text: str) -> bool:
    """Say whether it is long enough for a token, and a header can carry it."""
    is_sendable = text.isascii() and text.isprintable() and " " not in text
    return is_sendable and len(text) >= MIN_TOKEN_CHARACTERS


def token_rule() -> str:
    """Return what is said of anything else."""
    return _("A token has 8 or more ASCII characters, without spaces. Choose another one.")


def text_in(path: str) -> str:
    """Return a file's text, in UTF-8 or, as PowerShell writes it, in UTF-16; both with marks."""
    content = read_file(path)
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig", "replace")


def read_authorities(path: str) -> bytes:
    """Return the certificates in a file (PEM); raises `UsageError` where there are none."""
    content = read_pem(path)
    _check_certificates(path, content)
    return content


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


def vouched_for(authorities: str | None = None) -> ssl.SSLContext:
    """Return a context that talks to whom one of the authorities vouches for, as gRPC judges it.

    `authorities`: the path of their certificates (PEM); None: the machine's own. By itself `ssl`
    refuses some of them, and which ones depends on the version of Python: before 3.13 those that
    another one has signed, where that one is not there; from 3.13 on those without an extension
    that RFC 5280 asks for (`create_default_context`, "Changed in version 3.13"). Raises OSError.
    """
    context = ssl.create_default_context(cafile=authorities)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _check_certificates(path: str, content: bytes) -> None:
    """Raise `UsageError` for authorities with which gRPC would fail as if nobody answered."""
    # Around the certificates there may be text, in whatever encoding; here it must be ASCII.
    text = content.decode("latin-1").encode("ascii", "replace").decode()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except ssl.SSLError as error:
        sentence = _(
            "No certificate can be read in {path}: it is damaged, or something else."
            " Ask whoever gave it to you for it again."
        )
        raise UsageError(sentence.format(path=path)) from error


def read_pair(cert: str, key: str) -> CertificatePair:
    """Read a certificate and its key as `certificate_files` does, which is loaded only then.

    It needs cryptography, which is there only where there is TLS.
    """
    from chat.cli import certificate_files

    return certificate_files.read_pair(cert, key)
