"""Messages: what is accepted, and what is cleaned."""

from __future__ import annotations

import unicodedata

import pytest

from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_MESSAGE_BYTES
from chat.protocol.text import REPLACEMENT, check_message, clean_message


@pytest.mark.parametrize(
    "text",
    ["oi", "uma\nduas\n\tlinhas", "👩‍👩‍👧 emoji joined", "مرحبا", " spaces kept ", "می‌خواهم"],
)
def test_good_message_is_kept_as_it_is(text: str) -> None:
    """Line feeds, tabs, and the joiners that emoji and Persian need."""
    assert check_message(text) == text


@pytest.mark.parametrize(
    "character",
    [
        *"\0\a\b\v\f\r\x0e\x1b\x1f\x7f\x80\x85\x9b\x9d\x9f",
        "\N{ARABIC LETTER MARK}",
        "\N{LEFT-TO-RIGHT MARK}",
        "\N{RIGHT-TO-LEFT MARK}",
        "\N{LEFT-TO-RIGHT EMBEDDING}",
        "\N{RIGHT-TO-LEFT OVERRIDE}",
        "\N{POP DIRECTIONAL FORMATTING}",
        "\N{LEFT-TO-RIGHT ISOLATE}",
        "\N{POP DIRECTIONAL ISOLATE}",
        "\N{LINE SEPARATOR}",
        "\N{PARAGRAPH SEPARATOR}",
        "\ud800",
    ],
    ids=lambda character: f"U+{ord(character):04X}",
)
def test_unsafe_character_is_replaced(character: str) -> None:
    """What could steer a terminal or reorder a line becomes U+FFFD, one for one."""
    assert check_message(f"a{character}b") == f"a{REPLACEMENT}b"
    assert clean_message(f"a{character}b") == f"a{REPLACEMENT}b"


def test_no_control_character_survives() -> None:
    """Of all of Unicode, only line feed and tab are left of the controls and bidi characters."""
    everything = "".join(map(chr, range(0x110000)))
    cleaned = clean_message(everything)
    controls = {character for character in cleaned if unicodedata.category(character) == "Cc"}
    assert controls == {"\n", "\t"}
    bidi = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not {c for c in set(cleaned) if unicodedata.bidirectional(c) in bidi}
    cleaned.encode()  # nothing is left that is not text


def test_cleaning_twice_changes_nothing() -> None:
    """The client cleans once more what the server has cleaned."""
    once = clean_message("a\x1b[2J\r\nb")
    assert clean_message(once) == once == f"a{REPLACEMENT}[2J{REPLACEMENT}\nb"


@pytest.mark.parametrize("text", ["", " ", "\n", "\t \n", "\N{NO-BREAK SPACE}\N{EM SPACE}"])
def test_blank_message_is_refused(text: str) -> None:
    """A message must say something."""
    with pytest.raises(ChatError) as refusal:
        check_message(text)
    assert refusal.value.reason == "MESSAGE_INVALID"


@pytest.mark.parametrize("letter", ["x", "é", "€", "😀"])
def test_longest_message_is_8192_bytes(letter: str) -> None:
    """Bytes of UTF-8 count, not characters."""
    size = len(letter.encode())
    text = letter * (MAX_MESSAGE_BYTES // size)
    text += "x" * (MAX_MESSAGE_BYTES - len(text.encode()))
    assert check_message(text) == text
    with pytest.raises(ChatError) as refusal:
        check_message(text + "x")
    assert refusal.value.reason == "MESSAGE_TOO_LONG"


@pytest.mark.parametrize("character", ["x", "\x1b", "😀"])
def test_ten_megabytes_are_refused(character: str) -> None:
    """Whatever they are made of."""
    with pytest.raises(ChatError) as refusal:
        check_message(character * 10_000_000)
    assert refusal.value.reason == "MESSAGE_TOO_LONG"


def test_replacements_count_as_what_they_become() -> None:
    """3,000 control characters become 9,000 bytes, which no reader would be sent."""
    with pytest.raises(ChatError) as refusal:
        check_message("a" + "\x01" * 3000)
    assert refusal.value.reason == "MESSAGE_TOO_LONG"
