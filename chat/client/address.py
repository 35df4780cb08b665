"""The address of a server as a person writes it. Knows no network: nothing is looked up."""

from __future__ import annotations

import ipaddress
import re

from chat.cli.i18n import _
from chat.protocol.errors import ConfigError
from chat.protocol.limits import DEFAULT_PORT

MAX_PORT = 65535
# RFC 1035, 2.3.4.
MAX_HOST_CHARACTERS = 255
# Of a wrong address so much is shown again.
SHOWN_CHARACTERS = 60
EXAMPLE = "192.168.1.10:50051"

# A port of thousands of digits is none, and Python refuses to read it.
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>.*)\]|(?P<name>[^:\[\]/@\s]+))(?::(?P<port>[0-9]{1,5}))?")


def parse_address(text: str) -> str:
    """Return `HOST[:PORT]` with its port, an IPv6 address in brackets.

    Raises `ConfigError` that says what is wrong with it.
    """
    text = text.strip()
    address = _parse(f"[{text}]" if _is_ipv6(text) else text)
    if address is None:
        shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
        wrong = _("{text!r} is not a valid address. Write HOST or HOST:PORT, such as {example}.")
        raise ConfigError(wrong.format(text=shown, example=EXAMPLE))
    return address


def _parse(text: str) -> str | None:
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    ipv6, name, port = found["ipv6"], found["name"], int(found["port"] or DEFAULT_PORT)
    is_host = _is_name(name) if ipv6 is None else _is_ipv6(ipv6)
    if not is_host or not 1 <= port <= MAX_PORT:
        return None
    return f"{name}:{port}" if ipv6 is None else f"[{ipv6}]:{port}"


def _is_ipv6(text: str) -> bool:
    """Say whether it is an address such as ::1 or fe80::1%eth0."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return text.isascii() and text.isprintable() and " " not in text


def _is_name(text: str) -> bool:
    """Say whether it may be a name or an IPv4 address; bytes that are not UTF-8 are neither."""
    return text.isprintable() and len(text) <= MAX_HOST_CHARACTERS
