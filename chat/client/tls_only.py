"""Whether a server speaks TLS that is talked to in the clear, and what is said then. Blocks."""

from __future__ import annotations

from chat.cli.i18n import _
from chat.client.preflight import IsCancelled, anybody
from chat.client.trust import DIAGNOSIS_SECONDS, see
from chat.client.unreachable import Unreachable
from chat.protocol.errors import ConfigError


def speaks_tls(
    address: str,
    is_cancelled: IsCancelled = lambda: False,
    *,
    seconds: float = DIAGNOSIS_SECONDS,
) -> bool:
    """Say whether the server at `HOST:PORT` speaks TLS; False where that was not seen in time."""
    try:
        see(address, anybody(), is_cancelled, seconds=seconds)
    except Unreachable:
        return False
    return True


def tls_only(address: str) -> ConfigError:
    """Return what to say of a server that speaks TLS, and nothing else."""
    return ConfigError(_("{address} speaks TLS only. Add --tls.").format(address=address))
