"""What a message may be, and how it is cleaned of what could deceive.

The server judges by it what comes in; the client cleans by it what it shows, trusting no server.
"""

from __future__ import annotations

import re

from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_MESSAGE_BYTES

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Controls but line feed and tab, what reorders a line (bidi marks, embeddings, isolates, UAX #9),
# and the line and paragraph separators, which some terminals take for a new line.
_BIDI = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{_BIDI}]")


def clean_message(text: str) -> str:
    """Return `text` with U+FFFD for everything that could steer a terminal or reorder a line."""
    return _UNSAFE.sub(REPLACEMENT, text)


def check_message(text: str) -> str:
    """Return the message cleaned, or raise `ChatError`: blank, or over 8192 bytes of UTF-8."""
    if not text or text.isspace():
        raise ChatError("MESSAGE_INVALID")
    # Characters are never more than bytes: ten megabytes are refused before they are cleaned.
    if len(text) > MAX_MESSAGE_BYTES:
        raise ChatError("MESSAGE_TOO_LONG")
    text = clean_message(text)
    if len(text) * 4 > MAX_MESSAGE_BYTES and len(text.encode()) > MAX_MESSAGE_BYTES:
        raise ChatError("MESSAGE_TOO_LONG")
    return text
