"""The name in a client's certificate."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
from certificates import make_pair
from cryptography import x509

from chat.protocol.certified import name_in

DNS, MAIL = x509.DNSName("ana.example"), x509.RFC822Name("ana@example.org")
IP, URI = x509.IPAddress(ipaddress.ip_address("::1")), x509.UniformResourceIdentifier("chat:ana")
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


def text(name: str, head: bytes = b"\x0c") -> x509.OtherName:
    """Return an alternative name that is text, or what `head` makes of it."""
    content = name.encode()
    return x509.OtherName(UPN, head + bytes([len(content)]) + content)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([DNS], "ana.example"),
        ([MAIL], "ana@example.org"),
        ([MAIL, DNS], "ana@example.org"),
        ([IP, URI, DNS, MAIL], "ana.example"),
        ([text("joão")], "joão"),
        ([text("joão", b"\x04"), text("")], "Ana"),
        ([text("x" * 200, b"\x0c\x81")], "Ana"),
        ([IP, URI], "Ana"),
        ([], "Ana"),
    ],
)
def test_name_of_a_certificate(names: Sequence[x509.GeneralName], expected: str) -> None:
    """An alternative name before the common one, the first of several."""
    pair = make_pair("Ana", names)
    assert name_in(pair.pem) == name_in(pair.der) == expected


def test_chain_is_its_first_certificate() -> None:
    """What the others are called is of no matter."""
    assert name_in(make_pair("ana", []).pem + make_pair("bia", []).pem) == "ana"


def test_certificate_without_a_name() -> None:
    """There is none then."""
    assert name_in(make_pair("", []).pem) == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\x30\x80"],
)
def test_what_is_no_certificate_has_no_name(content: bytes) -> None:
    """It is no error: whoever asks has a sentence for both."""
    assert name_in(content) == ""
