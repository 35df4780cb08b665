"""The addresses of servers as a person writes them. Knows no network: nothing is looked up."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from chat.cli.i18n import _
from chat.protocol.errors import UsageError
from chat.protocol.limits import DEFAULT_PORT

MAX_PORT = 65535
# RFC 1035, 2.3.4.
MAX_HOST_CHARACTERS = 255
# Of a wrong address so much is shown again.
SHOWN_CHARACTERS = 60
EXAMPLE = "192.168.1.10:50051"
# More than share one log (docs/design.md).
MAX_SERVERS = 32

# A port of thousands of digits is none, and Python refuses to read it.
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>.*)\]|(?P<name>[^:\[\]/@\s]+))(?::(?P<port>[0-9]{1,5}))?")


def parse_addresses(text: str) -> tuple[str, ...]:
    """Return the servers of one chat, `HOST[:PORT]` with commas between them, as `parse_address`.

    Raises `UsageError` that says what is wrong with the list, or with one of them.
    """
    words = text.split(",")
    if len(words) > MAX_SERVERS:
        wrong = _("There are {count} servers in the list. Name {most} of them at most.")
        raise UsageError(wrong.format(count=len(words), most=MAX_SERVERS))
    if len(words) > 1 and not all(word.strip() for word in words):
        wrong = _("A server is missing before or after a comma in {text!r}. Write HOST1,HOST2.")
        raise UsageError(wrong.format(text=_shown(text)))
    addresses: dict[str, str] = {}
    for address in map(parse_address, words):
        if (key := _key(address)) in addresses:
            wrong = _("{address} is in the list of servers twice. Name each of them once.")
            raise UsageError(wrong.format(address=address))
        addresses[key] = address
    return tuple(addresses.values())


def chat_name(addresses: Sequence[str]) -> str:
    """Return what a chat is called where something is kept of it: the same in whatever order."""
    return addresses[0] if len(addresses) == 1 else ",".join(sorted(map(_key, addresses)))


def _key(address: str) -> str:
    """Return an address as it is compared."""
    host, _colon, port = address.rpartition(":")
    try:
        return f"{ipaddress.ip_address(host.strip('[]'))}:{port}"
    except ValueError:
        return address.lower()


def parse_address(text: str) -> str:
    """Return `HOST[:PORT]` with its port, an IPv6 address in brackets.

    Raises `UsageError` that says what is wrong with it.
    """
    text = text.strip()
    address = _parse(f"[{text}]" if _is_ipv6(text) else text)
    if address is None:
        wrong = _("{text!r} is not a valid address. Write HOST or HOST:PORT, such as {example}.")
        raise UsageError(wrong.format(text=_shown(text), example=EXAMPLE))
    return address


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


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
