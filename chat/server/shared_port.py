"""--share-port: one port for several servers of a cluster on one machine, one for each core.

Linux spreads new connections among all that listen on a port with SO_REUSEPORT (socket(7)), and
lets in whoever is the same user: the servers of another cluster too, and any program of gRPC's,
which asks for it unless told not to. Then the chat would be two, in silence. So each server leaves
a mark that others can see: an abstract Unix socket (unix(7)) whose name has the port and the
cluster, and which is gone with the process. Such names belong to a network namespace, as ports do.
"""

from __future__ import annotations

import secrets
import socket
import sys
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

from chat.cli.i18n import _
from chat.protocol.errors import ConfigError, UsageError
from chat.server.runtime import explain_bind_error

# All Unix sockets of this network namespace, an abstract one's name after an @ (proc_net_unix(5)).
UNIX_SOCKETS = Path("/proc/net/unix")
MARK = "grpc-chat-port"


def check_flags(flags: Namespace) -> None:
    """Raise `UsageError` where a port cannot be shared, or people would see that it is."""
    if not flags.share_port:
        return
    if sys.platform != "linux":  # elsewhere one of them gets all connections
        raise UsageError(_("--share-port needs Linux."))
    if not flags.cluster:
        raise UsageError(_("--share-port needs --cluster: without it each server is another chat."))
    if not flags.port:
        raise UsageError(_("--share-port needs a --port that is the same for all servers, not 0."))
    if flags.tls and not flags.tls_cert:
        text = _(
            "With --share-port all servers must show one certificate: give --tls-cert and"
            " --tls-key instead of --tls."
        )
        raise UsageError(text)


class SharedPort:
    """The mark of one server that shares `port` on `host`, from `claim` to `close`."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._mark: socket.socket | None = None

    def claim(self, cluster: str) -> None:
        """Leave the mark; raises `ConfigError` where others than this cluster's have the port.

        Of two servers that begin at once at least one sees the other's mark. `cluster`: its
        identity, the same for all servers of it, in letters and digits.
        """
        prefix = f"{MARK}-{self._port}-"
        ours = f"{prefix}{cluster}-"
        own = f"{ours}{secrets.token_hex(8)}"
        self._mark = socket.socket(socket.AF_UNIX)
        self._mark.bind(f"\0{own}")
        others = [name for name in _marks(prefix) if name != own]
        is_foreign = any(not name.startswith(ours) for name in others)
        if is_foreign or (not others and self._is_taken()):
            self.close()
            raise ConfigError(explain_bind_error(self._host, self._port, is_shared=True))

    def _is_taken(self) -> bool:
        """Say whether anybody at all listens on the port, however they do."""
        plain_host = self._host.strip("[]")
        family = socket.AF_INET6 if ":" in plain_host else socket.AF_INET
        with socket.socket(family) as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((plain_host, self._port))
            return False
        return True

    def close(self) -> None:
        """Take the mark away."""
        if self._mark is not None:
            self._mark.close()
            self._mark = None


def _marks(prefix: str) -> list[str]:
    """Return the names of those who are there; none where the system does not say."""
    try:
        lines = UNIX_SOCKETS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    names = [line.rpartition(" @")[2] for line in lines if " @" in line]
    return [name for name in names if name.startswith(prefix)]
