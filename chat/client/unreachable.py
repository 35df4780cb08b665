"""Why nobody can be talked to at an address, in a sentence. Knows gRPC by what its errors say.

gRPC gives no codes for it, only a text in English, which is never shown to anybody. A text that is
not known, of a later version, still gets the sentence that is true of all of them.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from typing import Any

from chat.cli.i18n import N_, _
from chat.protocol.errors import ConfigError

# The first pattern that is found counts; each was seen (grpcio 1.85), and most have a test that
# brings it about.
_SENTENCES = (
    (
        r"timeout while contacting dns|dns query cancelled|could not contact dns"
        r"|temporary failure in name resolution",
        N_(
            "The address of {host} could not be looked up: no name server answers."
            " Check the network."
        ),
    ),
    (r"\bresol|\bdns\b", N_("No machine is called {host}. Check the spelling.")),
    (
        r"failed parsing http|http1\.x|http2 header with status",
        N_(
            "Something other than a chat server answers at {address}."
            " Check the address, and whether the server asks for --tls."
        ),
    ),
    (
        r"certificate has expired",
        N_("The certificate of {address} has expired. Tell the server's owner."),
    ),
    (
        r"certificate is not yet valid",
        N_("The certificate of {address} is not valid yet. Check this machine's clock."),
    ),
    (
        r"certificate_verify_failed",
        N_("The certificate of {address} is not trusted. Check --tls-ca."),
    ),
    (
        r"hostname verification",
        N_("The certificate of {address} is for another name. Connect to the name that is in it."),
    ),
    (
        r"wrong_version_number",
        N_("{address} does not speak TLS. Connect without {flags}, or check the port."),
    ),
    (
        r"tls handshake failed|\bssl_error",
        N_(
            "{address} does not speak TLS, or its certificate is not trusted."
            " Check --tls and --tls-ca."
        ),
    ),
    (
        r"network is unreachable|no route to host",
        N_("There is no way to {address} from here. Check the network, and the address."),
    ),
)
_NOBODY = N_(
    "No chat server answers at {address}. Check the address, that the server is"
    " running, that a firewall lets its port through, and whether it asks for --tls."
)
_FAILED = N_("{address} answers with an error ({code}). Check the address, or try again later.")
# Statuses that gRPC makes up where nobody answers, or that we bring about ourselves.
_STATUSES_OF_NOBODY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")
# What turns TLS on, where it is not known which flag did.
USUAL_FLAGS = "--tls"
# Where a network, or a host in it, cannot be reached; Windows has numbers of its own.
_NO_WAY = {
    getattr(errno, name, 0)
    for name in ("ENETUNREACH", "EHOSTUNREACH", "WSAENETUNREACH", "WSAEHOSTUNREACH")
}


class Unreachable(ConfigError):
    """Nobody could be talked to; another attempt may succeed."""


def explain_unreachable(address: str, error: Any) -> str:
    """Return a sentence on why no server can be talked to at `address`, and what to do.

    `error`: the `grpc.RpcError` of a call without a reason.
    """
    code = error.code().name
    host = address.rpartition(":")[0].strip("[]")
    text = _(_text_for(code, str(error.details()).lower()))
    return text.format(address=address, host=host, code=code, flags=USUAL_FLAGS)


def explain_failed_look(address: str, error: Exception, flags: str = USUAL_FLAGS) -> Unreachable:
    """Return why no certificate could be seen at `address`; `error`: of `preflight.look`.

    `flags`: those that have turned TLS on.
    """
    host = address.rpartition(":")[0].strip("[]")
    text = _(_text_for("UNAVAILABLE", _words_for(error)))
    return Unreachable(text.format(address=address, host=host, code="", flags=flags))


def _words_for(error: Exception) -> str:
    """Return what gRPC would have said of an error of Python's, in words that are known here."""
    if isinstance(error, socket.gaierror):
        has_no_answer = error.errno == socket.EAI_AGAIN
        return "could not contact dns" if has_no_answer else "dns"
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return "dns"  # no machine can have such a name
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):  # by Python's version
        return ""  # it hung up
    if isinstance(error, ssl.SSLError):
        return f"ssl_error {error.reason}".lower()
    is_off = isinstance(error, OSError) and error.errno in _NO_WAY
    return "network is unreachable" if is_off else ""


def _text_for(code: str, details: str) -> str:
    if code not in _STATUSES_OF_NOBODY:
        return _FAILED
    if code != "UNAVAILABLE":
        return (
            _NOBODY  # gRPC has no words for it that say why; those of a server are not to be read
        )
    return next((text for pattern, text in _SENTENCES if re.search(pattern, details)), _NOBODY)
