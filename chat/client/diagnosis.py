"""Why a stream to a server failed, found out by another look at it.

Knows gRPC by what its errors say.

TLS against clear text, a certificate that has changed, a server that asks for one of the client's
own: gRPC says the same of some of these, that the connection was closed.
"""

from __future__ import annotations

import re
from typing import Any

from chat.cli.i18n import _
from chat.client.preflight import IsCancelled
from chat.client.tls_only import speaks_tls, tls_only
from chat.client.trust import Trust
from chat.client.unreachable import Unreachable, explain_unreachable
from chat.protocol.errors import ConfigError

# What gRPC (1.85) says where somebody took the connection and closed it, or spoke otherwise.
_CLOSED = re.compile(
    r"socket closed|connection reset|broken pipe|end of tcp|failed parsing http|http1\.x"
    r"|http2 header with status",
    re.IGNORECASE,
)
_UNTRUSTED = re.compile(r"certificate_verify_failed|hostname verification", re.IGNORECASE)


def explain_failure(
    address: str,
    error: Any,
    trust: Trust | None,
    is_cancelled: IsCancelled,
) -> ConfigError:
    """Return why the first stream to `address` failed: a sentence with what to do.

    `trust`: None in clear. Looks at the server again, for some seconds at most.
    """
    if trust is None:
        found = _explain_clear(address, error, is_cancelled)
    else:
        found = explain_untrusted(address, error, trust, is_cancelled)
        found = found or _explain_refused(address, error, trust, is_cancelled)
    return found or Unreachable(explain_unreachable(address, error))


def explain_untrusted(
    address: str, error: Any, trust: Trust, is_cancelled: IsCancelled
) -> ConfigError | None:
    """Return what to say of another certificate than was trusted; None if that was not why."""
    if not _UNTRUSTED.search(str(error.details())):
        return None
    return trust.explain_mismatch(address, is_cancelled)


def _explain_clear(address: str, error: Any, is_cancelled: IsCancelled) -> ConfigError | None:
    """Say so if the server speaks TLS, which this client does not."""
    if not _CLOSED.search(str(error.details())):
        return None
    return tls_only(address) if speaks_tls(address, is_cancelled) else None


def _explain_refused(
    address: str, error: Any, trust: Trust, is_cancelled: IsCancelled
) -> ConfigError | None:
    """Say so if the server closes the connection over the client's own certificate."""
    is_closed = _CLOSED.search(str(error.details()))
    if not is_closed or not trust.is_refused(address, is_cancelled):
        return None
    text = _(
        "{address} asks for a certificate of your own. Pass the one that its owner gave you by"
        " --tls-cert and --tls-key."
    )
    if trust.own is not None:
        text = _(
            "{address} does not accept your certificate (--tls-cert): it has expired, or another"
            " authority signed it. Ask the server's owner for one."
        )
    return ConfigError(text.format(address=address))
