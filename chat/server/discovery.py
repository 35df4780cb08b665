"""The server on the local network: `--announce` tells of it by multicast DNS (RFC 6762).

Needs the package zeroconf, and is the only module of the server that imports it. What it hears and
says runs in threads of its own, so that nobody on the network reaches the chat's loop by it.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from chat.cli.dependencies import python
from chat.cli.i18n import _
from chat.protocol.announcement import SERVICE_TYPE, TTL_SECONDS, Properties, check_server_name
from chat.protocol.errors import ConfigError
from chat.server import runtime
from chat.server.settings import ANY_HOST

INSTALL = "-m pip install zeroconf"
# How often it is looked whether as many people are here as was said.
UPDATE_SECONDS = 10.0
# Whatever others say on the network is kept for a while; more than that is forgotten as a whole.
MAX_HEARD_RECORDS = 10_000
# The network's last word takes half a second; nobody waits longer for it.
CLOSE_SECONDS = 1.5

_log = logging.getLogger(__name__)


class Announcement:
    """Tells the local network of a server, from `start` until `close`; both in the event loop.

    `name`: None: nothing of it happens. `people`: how many are here; called in the thread. Raises
    `ConfigError` where the package is missing, and where the name will not do.
    """

    def __init__(self, name: str | None, people: Callable[[], int]) -> None:
        self._name = None if name is None else check_server_name(name)
        self._people = people
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None
        if self._name is not None:
            self._zeroconf = _zeroconf()

    def start(self, host: str, port: int, has_tls: bool) -> None:
        """Announce from now on that the server listens on `host` and `port`."""
        if self._name is None:
            return
        addresses = announced_addresses(host)
        if not addresses:
            _log.warning("%s", _("Nothing is announced: no other machine can reach this server."))
            return
        arguments = (self._name, addresses, port, has_tls)
        self._thread = threading.Thread(
            target=self._run, args=arguments, name="announcement", daemon=True
        )
        self._thread.start()

    def begin_close(self) -> None:
        """Say goodbye to the network, beside all else."""
        self._is_over.set()

    def close(self) -> None:
        """Return when that is said, or has had its time."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            self._thread = None

    # In the thread.

    def _run(self, name: str, addresses: Sequence[str], port: int, has_tls: bool) -> None:
        """Announce until the end; anew where too much was heard."""
        try:
            while not self._is_over.is_set():
                self._announce(name, addresses, port, has_tls)
        except (OSError, self._zeroconf.Error) as error:
            text = _("The server cannot be announced on the local network ({error}).")
            _log.warning("%s", text.format(error=str(error) or type(error).__name__))

    def _announce(self, name: str, addresses: Sequence[str], port: int, has_tls: bool) -> None:
        heard = self._zeroconf.Zeroconf()
        try:
            info = self._make_info(name, addresses, port, has_tls)
            heard.register_service(info, allow_name_change=True)
            said = info.properties
            while not self._is_over.wait(UPDATE_SECONDS) and not _has_heard_too_much(heard):
                fresh = self._make_info(info.name, addresses, port, has_tls, info.server)
                if fresh.properties != said:
                    said = fresh.properties
                    heard.update_service(fresh)
        finally:
            heard.close()  # says goodbye for what was announced

    def _make_info(
        self, name: str, addresses: Sequence[str], port: int, has_tls: bool, server: str = ""
    ) -> Any:
        """Return the records, under a host name of its own: the machine's is others' to say."""
        instance = name if name.endswith(SERVICE_TYPE) else f"{name}.{SERVICE_TYPE}"
        return self._zeroconf.ServiceInfo(
            SERVICE_TYPE,
            instance,
            port,
            properties=Properties(self._people(), has_tls).to_txt(),
            server=server or f"grpc-chat-{secrets.token_hex(4)}.local.",
            parsed_addresses=list(addresses),
            host_ttl=TTL_SECONDS,
            other_ttl=TTL_SECONDS,
        )


def announced_addresses(host: str) -> list[str]:
    """Return by which addresses others reach a server that listens on `host`."""
    if host in ANY_HOST:
        return runtime.addresses()
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return []
    addresses = {str(address[0]): None for *_kind, address in found}
    return [address for address in addresses if not address.startswith("127.")]


def _has_heard_too_much(heard: Any) -> bool:
    return sum(len(heard.cache.entries_with_name(n)) for n in heard.cache.names()) > (
        MAX_HEARD_RECORDS
    )


def _zeroconf() -> Any:
    """Return the package; raises `ConfigError` where it is not installed."""
    try:
        import zeroconf
    except ModuleNotFoundError as error:
        text = _("--announce needs a package that is not installed. Type: {command}")
        raise ConfigError(text.format(command=python(INSTALL))) from error
    return zeroconf
