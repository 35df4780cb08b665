"""Fingerprints as people see and type them."""

from __future__ import annotations

import pytest

from chat.protocol.fingerprints import fingerprint, parsed, spelled

DIGITS = fingerprint(b"a certificate")


def test_fingerprint_is_sha256() -> None:
    """As every other program has it (FIPS 180-4, the empty text)."""
    assert fingerprint(b"").startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_spelled_fingerprint_is_one_word_of_groups() -> None:
    """Sixteen of four digits, and what is shown can be typed."""
    groups = spelled(DIGITS).split(":")
    assert [len(group) for group in groups] == [4] * 16
    assert "".join(groups) == DIGITS.upper() and parsed(spelled(DIGITS)) == DIGITS


@pytest.mark.parametrize(
    "text",
    [
        DIGITS,
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
