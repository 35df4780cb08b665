"""Which peers count as one."""

from __future__ import annotations

import pytest

from chat.server.address import LOOPBACK, address_of


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:50051", "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:50051", "2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2:ffff::1]:1", "2001:db8:1:2::/64"),
        ("ipv6:%5B2001:db8:1:3::1%5D:1", "2001:db8:1:3::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::/64"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:1", "192.0.2.7"),
        ("ipv4:127.0.0.1:1", LOOPBACK),
        ("ipv4:127.1.2.3:1", LOOPBACK),
        ("ipv6:%5B::1%5D:1", LOOPBACK),
        ("ipv6:%5B::ffff:127.0.0.1%5D:1", LOOPBACK),
        ("unix:/tmp/socket", LOOPBACK),
        ("unix:", LOOPBACK),
        ("unix-abstract:name", LOOPBACK),
        ("whatever", "whatever"),
        ("ipv4:nowhere:1", "ipv4:nowhere:1"),
        ("", ""),
    ],
)
def test_address_is_a_host_or_a_network(peer: str, address: str) -> None:
    """A port says nothing of who it is; nor does the half of an address that its owner makes up."""
    assert address_of(peer) == address
