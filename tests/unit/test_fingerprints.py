"""Fingerprints as people see and type them."""

from __future__ import annotations

import pytest

from chat.protocol.fingerprints import fingerprint, in_rows, parsed, spelled

DIGITS = fingerprint(b"a certificate")


def test_fingerprint_is_sha256() -> None:
    """As every other program has it (FIPS 180-4, the empty text)."""
    assert fingerprint(b"").startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_spelled_fingerprint_is_one_word_of_groups() -> None:
    """Sixteen of four digits, and what is shown can be typed."""
    groups = spelled(DIGITS).split(":")
    assert [len(group) for group in groups] == [4] * 16
    assert "".join(groups) == DIGITS.upper() and parsed(spelled(DIGITS)) == DIGITS


def test_fingerprint_to_compare_fits_a_narrow_terminal() -> None:
    """Two rows of eight groups, with nothing else on them."""
    rows = in_rows(DIGITS).split("\n")
    assert [len(row.split(":")) for row in rows] == [8, 8]
    assert all(len(row) == 41 and row.startswith("  ") for row in rows)
    assert ":".join(row.strip() for row in rows) == spelled(DIGITS)


@pytest.mark.parametrize(
    "text",
    [
        DIGITS,
        in_rows(DIGITS),
        in_rows(DIGITS).replace("\n", "\r\n"),
        in_rows(DIGITS).replace("\n", ""),
        DIGITS.upper(),
        ":".join(DIGITS[i : i + 2] for i in range(0, 64, 2)),
        " ".join(DIGITS[i : i + 8] for i in range(0, 64, 8)),
        f"SHA256:{DIGITS}",
        f"  sha256: {spelled(DIGITS)}\n",
    ],
)
def test_fingerprint_in_any_spelling(text: str) -> None:
    """As other programs show them."""
    assert parsed(text) == DIGITS


@pytest.mark.parametrize(
    "text", ["", "ab:cd", DIGITS[1:], DIGITS + "0", "g" + DIGITS[1:], "SHA256:"]
)
def test_anything_else_is_no_fingerprint(text: str) -> None:
    """Above all not one of SHA-1, or a part of one."""
    assert parsed(text) == ""
