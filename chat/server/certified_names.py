"""Names that an authority gives: the name in the certificate of a client is the user's.

Knows of gRPC how it tells a certificate. Called in the event loop.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from chat.protocol.errors import ChatError
from chat.protocol.lookalikes import looks_reserved
from chat.protocol.metadata import JoinRequest
from chat.protocol.names import check_name, name_key
from chat.server.ownership import CERTIFIED

# gRPC's own key of what the TLS handshake has brought (grpc_security_constants.h).
PEM = "x509_pem_cert"
# The same few people open streams again and again.
MAX_REMEMBERED = 1000


def no_certified_name(_context: Any) -> str:
    """Return that nobody's name is certified: for servers that ask for no certificates."""
    return ""


def certified_name(context: Any) -> str:
    """Return the name in the certificate by which a call was made.

    The authority's signature was checked in the handshake. Raises CERTIFICATE_INVALID.
    """
    found = context.auth_context().get(PEM) or [b""]
    name = _name_of(bytes(found[0]))
    if not name:
        raise ChatError("CERTIFICATE_INVALID")
    return name


@lru_cache(MAX_REMEMBERED)
def _name_of(certificate: bytes) -> str:
    """Return the name, empty where there is none that anybody may have."""
    from chat.protocol.certified import name_in  # cryptography: only where there is TLS

    try:
        name = check_name(name_in(certificate))
    except ChatError:
        return ""
    return "" if looks_reserved(name) else name


def certified_owner(request: JoinRequest, certified: str) -> str:
    """Return who a full client is by its certificate, empty where names are not certified.

    Raises NAME_CERTIFIED where it wants another name, and what `check_name` raises.
    """
    if request.user is not None:
        check_certified(check_name(request.user), certified)
    return CERTIFIED if certified else ""


def check_certified(name: str, certified: str) -> None:
    """Raise NAME_CERTIFIED if somebody whose name is `certified`, if it is, may not have `name`."""
    if certified and name_key(name) != name_key(certified):
        raise ChatError("NAME_CERTIFIED")
