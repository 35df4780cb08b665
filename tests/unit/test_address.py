"""Addresses of servers, as people write them."""

from __future__ import annotations

import pytest

from chat.client.address import parse_address
from chat.protocol.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.1.10", "192.168.1.10:50051"),
        (" example.org:7 ", "example.org:7"),
        ("máquina:65535", "máquina:65535"),
        ("_chat.my_net:1", "_chat.my_net:1"),
        ("::1", "[::1]:50051"),
        ("::", "[::]:50051"),
        ("[::1]:80", "[::1]:80"),
        ("[::1]", "[::1]:50051"),
        ("::ffff:192.0.2.1", "[::ffff:192.0.2.1]:50051"),
        ("fe80::1%eth0", "[fe80::1%eth0]:50051"),
        ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
    ],
)
def test_address_has_a_port(text: str, address: str) -> None:
    """A port that is not given is the usual one; IPv6 addresses have brackets."""
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "host:", "host:0", "host:99999", "host:x", "host:-1", "host:+1", "host: 1"),
        *("a/b", "a b", "a@b", "http://host:1", "a:b:c", "a:1:2", "1:2:3", "::1:50051:x"),
        *("[::1", "::1]", "[[::1]]", "[::1]80", "[::1]:", "[::1]:x", "[host]:1", "[]:1", "[]"),
        *("fe80::1%a b", "fe80::1%\udcff", "\udcff", "a\x1b[2J", "a\u202eb", "host:\u0661"),
        *("localhost:" + "5" * 5000, "localhost:" + "0" * 5000 + "1", "a" * 256, "[" * 5000),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_wrong_address_is_a_sentence(text: str) -> None:
    """What is not an address is refused with an example of one, on a line that can be read."""
    with pytest.raises(ConfigError, match="192.168.1.10:50051") as error:
        parse_address(text)
    assert str(error.value).isprintable() and len(str(error.value)) < 200
