"""What the bytes of a message hold, field by field, without anything being made of them.

A stranger's 64 KiB can be 32,000 fields; a message of ours has a dozen. So no more than a few are
looked at (protobuf.dev/programming-guides/encoding). Knows no messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, LEN, FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4 are groups, which proto3 has not
MAX_FIELDS = 64
MAX_VARINT_BYTES = 10


class WireError(Exception):
    """It is no message, or has groups, or more fields than any of ours."""


class Field(NamedTuple):
    """One field: `raw[start:end]` is all of it, `raw[value:end]` without its tag and length."""

    number: int
    wire_type: int
    start: int
    value: int
    end: int


def fields(raw: bytes) -> Iterator[Field]:
    """Yield the fields of a message, in order; raises `WireError` where they stop making sense."""
    start = count = 0
    while start < len(raw):
        count += 1
        if count > MAX_FIELDS:
            raise WireError
        tag, value = _varint(raw, start)
        value, end = _span(raw, tag & 7, value)
        if end > len(raw):
            raise WireError
        yield Field(tag >> 3, tag & 7, start, value, end)
        start = end


def _span(raw: bytes, wire_type: int, at: int) -> tuple[int, int]:
    """Return where the value of a field begins and ends, whose tag ends before `at`."""
    if wire_type == VARINT:
        return at, _varint(raw, at)[1]
    if wire_type == LEN:
        size, at = _varint(raw, at)
        return at, at + size
    if wire_type in (FIXED32, FIXED64):
        return at, at + (4 if wire_type == FIXED32 else 8)
    raise WireError


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, and where it ends."""
    number = 0
    for place, byte in enumerate(raw[at : at + MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise WireError
