"""What a server says of itself on the local network: DNS-Based Service Discovery (RFC 6763).

Knows no network. Every key may be missing, and what a stranger says is bounded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chat.protocol.errors import ChatError, UsageError
from chat.protocol.names import check_name

SERVICE_TYPE = "_grpc-chat._tcp.local."
MAX_INSTANCE_BYTES = 63  # RFC 6763, 4.1.1
# How long others may believe it, in seconds, if it is not said again.
TTL_SECONDS = 60
VERSION, PEOPLE, TLS = "txtvers", "people", "tls"
MAX_PEOPLE_DIGITS = 7


@dataclass(frozen=True)
class Properties:
    """What stands in the TXT record. `people`: names here or held; None: not said."""

    people: int | None = None
    has_tls: bool = False

    def to_txt(self) -> dict[str, str]:
        """Return the keys and values of the record."""
        people = {} if self.people is None else {PEOPLE: str(self.people)}
        return {VERSION: "1", TLS: str(int(self.has_tls)), **people}

    @staticmethod
    def from_txt(record: Mapping[bytes, bytes | None]) -> Properties:
        """Return what a record says, whoever wrote it."""
        number = record.get(PEOPLE.encode()) or b""
        is_number = number.isdigit() and len(number) <= MAX_PEOPLE_DIGITS
        return Properties(int(number) if is_number else None, record.get(TLS.encode()) == b"1")


def check_server_name(text: str) -> str:
    """Return a server's name by the rules of all names; raises `UsageError`."""
    try:
        name = check_name(text)
    except ChatError as error:
        raise UsageError(f"--announce: {error}") from error
    if len(name.encode()) > MAX_INSTANCE_BYTES:
        raise UsageError(f"--announce: {ChatError('NAME_INVALID')}")
    return name
