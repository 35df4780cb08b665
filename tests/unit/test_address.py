"""Addresses of servers, as people write them."""

from __future__ import annotations

import pytest

from chat.client.address import MAX_SERVERS, chat_name, parse_address, parse_addresses
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


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("a", ["a:50051"]),
        ("a,b:7", ["a:50051", "b:7"]),
        (" a , [::1]:80,::1 ", ["a:50051", "[::1]:80", "[::1]:50051"]),
        ("a:1,a:2", ["a:1", "a:2"]),
    ],
)
def test_several_servers_have_commas_between_them(text: str, addresses: list[str]) -> None:
    """Each of them is written as one alone is."""
    assert list(parse_addresses(text)) == addresses


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a,", "before or after a comma in 'a,'"),
        (",a", "before or after a comma"),
        ("a, ,b", "before or after a comma"),
        (",", "before or after a comma"),
        ("a,b,A:50051", "A:50051 is in the list of servers twice"),
        ("::1,[0:0::1]", "twice"),
        ("a,b c,d", "'b c' is not a valid address"),
        ("a,http://b,c/d", "'http://b' is not"),
        ("", "'' is not a valid address"),
        (",".join(f"h{n}" for n in range(MAX_SERVERS + 1)), "There are 33 servers"),
        ("," * 5000, "There are 5001 servers"),
        ("a" * 5000 + ",", "comma"),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_wrong_list_is_one_sentence(text: str, part: str) -> None:
    """It is about the first thing that is wrong with it."""
    with pytest.raises(ConfigError) as error:
        parse_addresses(text)
    sentence = str(error.value)
    assert part in sentence and len(sentence) < 200 and sentence.isprintable()


def test_chat_is_called_the_same_in_whatever_order() -> None:
    """What is kept of it is found again; one server alone is called as ever."""
    assert chat_name(parse_addresses("B,a:7")) == chat_name(parse_addresses("a:7,b"))
    assert chat_name(["Host:1"]) == "Host:1"
