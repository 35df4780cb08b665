"""Servers on the local network: `--discover` asks for them by multicast DNS (RFC 6762).

Needs the package zeroconf, and is the only module of the client that imports it. Whoever is on the
network may answer, with anything: names are cleaned, servers are bounded in number, and an address
that is not on one of this machine's own networks is none.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chat.cli.dependencies import python
from chat.cli.display import isolated, shown_name
from chat.cli.i18n import _, _n
from chat.protocol.announcement import SERVICE_TYPE, Properties
from chat.protocol.errors import ConfigError

INSTALL = "-m pip install zeroconf"
# How long answers are waited for: questions are asked at once and after a second (RFC 6762, 5.2),
# and whoever knows may take 0.12 s to say it. Longer, where nobody has answered by then.
LISTEN_SECONDS = 1.3
LONGER_SECONDS = 1.5
# More names are not even noted; and of those behind which there is a server, so many are shown.
MAX_NAMES = 500
MAX_SERVERS = 50
MAX_PORT = 65535

Network = ipaddress.IPv4Network


@dataclass(frozen=True)
class FoundServer:
    """One that was found. `name`: cleaned; `people`: None where it does not say."""

    name: str
    address: str  # HOST:PORT
    people: int | None
    has_tls: bool

    def line(self) -> str:
        """Return what a person is told of it."""
        is_safe = _("encrypted") if self.has_tls else _("not encrypted")
        parts = [isolated(self.name), self.address, is_safe]
        if self.people is not None:
            parts.append(_n("{} person", "{} people", self.people).format(self.people))
        return "  ".join(parts)


class Listener:
    """Names that were announced, `MAX_NAMES` of them; zeroconf calls it in its own thread.

    `_lock` guards `_names`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[str, None] = {}

    @property
    def names(self) -> list[str]:
        """Those that are there now, the first heard first."""
        with self._lock:
            return list(self._names)

    def add_service(self, _zeroconf: Any, _type: str, name: str) -> None:
        """Note a name, while there is room."""
        with self._lock:
            if len(self._names) < MAX_NAMES:
                self._names[name] = None

    def update_service(self, _zeroconf: Any, _type: str, name: str) -> None:
        """Do nothing: what is said of it is read at the end."""

    def remove_service(self, _zeroconf: Any, _type: str, name: str) -> None:
        """Forget a name: its server said goodbye."""
        with self._lock:
            self._names.pop(name, None)


def discover(wait: Callable[[float], None] = time.sleep) -> list[FoundServer]:
    """Return the servers that answer, by name. Blocks for three seconds at the most.

    Raises `ConfigError` where the package is missing, and where there is no network to ask.
    """
    zeroconf = _zeroconf()
    listener = Listener()
    try:
        with zeroconf.Zeroconf() as heard:
            zeroconf.ServiceBrowser(heard, SERVICE_TYPE, listener=listener)
            for seconds in (LISTEN_SECONDS, LONGER_SECONDS):
                wait(seconds)
                if found := _servers(zeroconf, heard, listener.names):
                    break
    except (OSError, zeroconf.Error) as error:
        text = _("Servers cannot be looked for: this machine is on no network that can be asked.")
        raise ConfigError(text) from error
    return sorted(found, key=lambda one: (one.name, one.address))[:MAX_SERVERS]


def _servers(zeroconf: Any, heard: Any, names: Iterable[str]) -> set[FoundServer]:
    """Return those of the announced names that are servers."""
    networks = own_networks()
    described = (_described(zeroconf, heard, name) for name in names)
    servers = (server_of(info, networks) for info in described if info is not None)
    return {server for server in servers if server is not None}


def _described(zeroconf: Any, heard: Any, name: str) -> Any:
    """Return what was said of a name with the answer; None where that is not all, or no name."""
    try:
        info = zeroconf.ServiceInfo(SERVICE_TYPE, name)
    except zeroconf.Error:  # control characters, say: whoever announces them keeps no others out
        return None
    return info if info.load_from_cache(heard) else None


def server_of(info: Any, networks: Sequence[Network]) -> FoundServer | None:
    """Return the server of an announcement; None where there is nothing to connect to."""
    address = _address_on(networks, info.parsed_addresses())
    if address is None or not 1 <= (info.port or 0) <= MAX_PORT:
        return None
    name = shown_name(info.name.removesuffix(f".{SERVICE_TYPE}"))
    said = Properties.from_txt(info.properties)
    return FoundServer(name, f"{address}:{info.port}", said.people, said.has_tls)


def _address_on(networks: Sequence[Network], addresses: Iterable[str]) -> str | None:
    """Return the first address that is on one of the networks."""
    for text in addresses:
        try:
            address = ipaddress.IPv4Address(text)
        except ValueError:
            continue
        if any(address in network for network in networks):
            return text
    return None


def own_networks() -> list[Network]:
    """Return the IPv4 networks that this machine is on, but loopback."""
    import ifaddr  # zeroconf needs it, too

    ips = [ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    networks = [Network((str(ip.ip), ip.network_prefix), strict=False) for ip in ips]
    return [network for network in networks if not network.is_loopback]


def _zeroconf() -> Any:
    """Return the package; raises `ConfigError` where it is not installed."""
    try:
        import zeroconf
    except ModuleNotFoundError as error:
        text = _("--discover needs a package that is not installed. Type: {command}")
        raise ConfigError(text.format(command=python(INSTALL))) from error
    return zeroconf
