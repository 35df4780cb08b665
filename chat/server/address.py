"""Which machine a call comes from, as far as that can be told. Knows no gRPC but how it spells it.

gRPC's peers (grpc.io's naming.md): `ipv4:192.0.2.1:5000`, `ipv6:%5B2001:db8::1%5D:5000`, `unix:…`.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import unquote

# Whoever has an address of IPv6 mostly has the other 2^64 of its network too (RFC 6177).
IPV6_PREFIX_BITS = 64
MAPPED_PREFIX_BITS = 96  # of an address of IPv4 within one of IPv6 (RFC 4291, 2.5.5.2)
LOOPBACK = "loopback"
# Hosts that are known as addresses: many streams come from few.
MAX_REMEMBERED = 1000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def address_of(peer: str) -> str:
    """Return what counts as one address: the host of IPv4, the network of IPv6, or `LOOPBACK`.

    `LOOPBACK` are this machine's own programs: proxies, and sockets without an address too. What is
    none of gRPC's spellings counts as it is.
    """
    scheme, _colon, rest = peer.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return LOOPBACK
    host = unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0]  # without a zone
    return _address_of_host(host) or peer


@lru_cache(MAX_REMEMBERED)
def _address_of_host(host: str) -> str:
    """Return what counts as one address; empty for what is none."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return ""
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return LOOPBACK
    if ip.version == 4:
        return str(ip)
    return str(ipaddress.ip_network((ip, IPV6_PREFIX_BITS), strict=False))


def network_of(text: str) -> Network | None:
    """Return the network that a text means, an address or one in CIDR form; None for any other.

    Of IPv6 no less than what counts as one address; IPv4 within IPv6 is IPv4.
    """
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None
    if network.version == 4:
        return network
    mapped = network.network_address.ipv4_mapped
    if mapped is not None and network.prefixlen >= MAPPED_PREFIX_BITS:
        bits = network.prefixlen - MAPPED_PREFIX_BITS
        return ipaddress.ip_network((mapped, bits), strict=False)
    return network.supernet(new_prefix=min(network.prefixlen, IPV6_PREFIX_BITS))


def is_within(network: Network, address: str) -> bool:
    """Say whether an address, as `address_of` has it, is in a network."""
    found = network_of(address) if address else None
    if found is None or found.version != network.version:
        return False
    return found.subnet_of(network)  # type: ignore[arg-type]  # of one version


def with_port(host: str, port: int) -> str:
    """Return an address to listen on, as gRPC takes it: that of IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
