"""SHA-256 fingerprints of certificates and keys: made, spelled for people, and read from them."""

from __future__ import annotations

import hashlib
import re

HEX_DIGITS = 64
# Four at a time can be read aloud, and compared, without losing the place.
GROUP_DIGITS = 4
# So that each fits a narrow terminal, with room to spare.
ROWS = 2
INDENT = "  "
_BETWEEN = re.compile(r"[\s:]+")
_FINGERPRINT = re.compile(f"(?:sha256:?)?([0-9a-f]{{{HEX_DIGITS}}})")


def fingerprint(content: bytes) -> str:
    """Return the SHA-256 of a certificate (DER) or a key, in small hex digits."""
    return hashlib.sha256(content).hexdigest()


def spelled(digits: str) -> str:
    """Return a fingerprint for people: `1A2B:3C4D:…`, one word, to be copied or read aloud."""
    return ":".join(_pieces(digits, GROUP_DIGITS)).upper()


def in_rows(digits: str) -> str:
    """Return a fingerprint as it is compared: two indented rows of eight groups each."""
    return "\n".join(INDENT + spelled(row) for row in _pieces(digits, HEX_DIGITS // ROWS))


def parsed(text: str) -> str:
    """Return the hex digits of a fingerprint that a person has typed; empty where it is none.

    In any case, with colons, spaces or line feeds anywhere or without, and with `SHA256:` before
    it, as other programs have it.
    """
    found = _FINGERPRINT.fullmatch(_BETWEEN.sub("", text).lower())
    return found[1] if found else ""


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
