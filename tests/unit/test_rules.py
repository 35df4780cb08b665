"""Names and messages: what is accepted, what is cleaned, and why something is refused."""

from __future__ import annotations

import unicodedata

import pytest

from chat.cli import i18n as language
from chat.protocol.errors import REASONS, ChatError, ConfigError, explain, is_final
from chat.protocol.limits import MAX_MESSAGE_BYTES
from chat.protocol.names import check_name, check_not_reserved, name_key
from chat.protocol.text import REPLACEMENT, check_message, clean_message

GOOD_NAMES = [
    "a",
    "ana",
    "Ana Maria",
    "João",
    "O'Brien",
    "ana_maria-2",
    "مريم",
    "दीपक",
    "李小龙",
    "김민수",
    "ｓｏｆｉａ",
    "x" * 32,
    "é" * 32,
    "[bia]:",
    "1",
    "...",
]

BAD_NAMES = {
    "empty": "",
    "blank": " ",
    "33 characters": "x" * 33,
    "ten million characters": "x" * 10_000_000,
    "33 characters that stay two each": "q\N{COMBINING DOT BELOW}" * 17,
    "space before": " ana",
    "space after": "ana ",
    "two spaces inside": "ana  maria",
    "line feed": "ana\nbia",
    "carriage return": "ana\rbia",
    "tab": "ana\tbia",
    "null": "ana\0",
    "escape": "\x1b[31mana",
    "C1 control": "ana\x9b31m",
    "delete": "ana\x7f",
    "right-to-left override": "ana\N{RIGHT-TO-LEFT OVERRIDE}",
    "right-to-left mark": "ana\N{RIGHT-TO-LEFT MARK}",
    "isolate": "\N{FIRST STRONG ISOLATE}ana",
    "zero width space": "a\N{ZERO WIDTH SPACE}na",
    "zero width joiner": "a\N{ZERO WIDTH JOINER}na",
    "zero width non-joiner": "a\N{ZERO WIDTH NON-JOINER}na",
    "byte order mark": "\N{ZERO WIDTH NO-BREAK SPACE}ana",
    "soft hyphen": "a\N{SOFT HYPHEN}na",
    "Hangul filler": "\N{HANGUL FILLER}",
    "Hangul choseong filler": "ana\N{HANGUL CHOSEONG FILLER}",
    "halfwidth Hangul filler": "ana\N{HALFWIDTH HANGUL FILLER}",
    "combining grapheme joiner": "a\N{COMBINING GRAPHEME JOINER}na",
    "variation selector": "ana\N{VARIATION SELECTOR-16}",
    "variation selector supplement": "ana\N{VARIATION SELECTOR-17}",
    "tag character": "ana\N{TAG LATIN SMALL LETTER A}",
    "mark first": "\N{COMBINING ACUTE ACCENT}ana",
    "enclosing mark first": "\N{COMBINING ENCLOSING CIRCLE}ana",
    "no-break space": "ana\N{NO-BREAK SPACE}maria",
    "ideographic space": "ana\N{IDEOGRAPHIC SPACE}maria",
    "em space": "ana\N{EM SPACE}maria",
    "braille blank": "\N{BRAILLE PATTERN BLANK}",
    "line separator": "ana\N{LINE SEPARATOR}bia",
    "paragraph separator": "ana\N{PARAGRAPH SEPARATOR}bia",
    "private use": "ana\ue000",
    "unassigned": "ana\u0378",
    "lone surrogate": "ana\ud800",
    "symbol": "ana+bia",
}


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_good_name_is_kept(name: str) -> None:
    """Letters, digits, marks, punctuation and inner single spaces, of any script."""
    assert check_name(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_bad_name_is_refused(name: str) -> None:
    """Nothing invisible, nothing that steers a terminal, nothing too long."""
    with pytest.raises(ChatError) as refusal:
        check_name(name)
    assert refusal.value.reason == "NAME_INVALID"


def test_room_name_is_refused_with_its_own_reason() -> None:
    """Rooms follow the rules of names."""
    with pytest.raises(ChatError) as refusal:
        check_name("a\x1b", "ROOM_INVALID")
    assert refusal.value.reason == "ROOM_INVALID"


def test_name_is_composed_before_it_is_counted() -> None:
    """64 code points that NFC makes 32 of are 32 characters."""
    decomposed = unicodedata.normalize("NFD", "é" * 32)
    assert len(decomposed) == 64
    assert check_name(decomposed) == "é" * 32


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ana", "ANA"),
        ("ana", "ａｎａ"),
        ("straße", "STRASSE"),
        ("É", unicodedata.normalize("NFD", "é")),
        ("ﬁm", "FIM"),
        ("σας", "ΣΑΣ"),
        ("K", "\N{KELVIN SIGN}"),
        ("①", "1"),
    ],
)
def test_names_that_look_alike_count_as_the_same(one: str, other: str) -> None:
    """Case, width and compatibility forms make no difference."""
    assert name_key(one) == name_key(other)


def test_different_names_stay_different() -> None:
    """An accent is no matter of case."""
    assert name_key("ana") != name_key("aná")


def test_name_key_is_stable() -> None:
    """The key of a key is the key itself, for every character that a name may have."""
    letters = [chr(code) for code in range(0x20, 0x30000) if chr(code).isalnum()]
    unstable = [letter for letter in letters if name_key(name_key(letter)) != name_key(letter)]
    assert not unstable


@pytest.mark.parametrize(
    "name", ["servidor", "Servidor", "SERVER", "ｓｅｒｖｉｄｏｒ", "ＳＥＲＶＥＲ"]
)
def test_names_of_the_server_are_reserved(name: str) -> None:
    """In any case and width."""
    with pytest.raises(ChatError) as refusal:
        check_not_reserved(check_name(name))
    assert refusal.value.reason == "NAME_TAKEN"


def test_other_names_are_free() -> None:
    """Only the very names are reserved."""
    check_not_reserved("servidora")


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
    cleaned.encode()  # nothing is left that is no text


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


def test_every_reason_has_a_sentence() -> None:
    """A refusal says what it means, in the user's language; an unknown reason what it was given."""
    for reason, row in REASONS.items():
        assert str(ChatError(reason)) == row.text == explain(reason, "")
    assert explain("TEAPOT", "a word of the server") == "a word of the server"
    assert str(ChatError("TEAPOT")) == "TEAPOT"


def test_only_what_cannot_get_better_is_final() -> None:
    """A client ends on these, and tries again after every other one; none is found out by both."""
    assert {reason for reason in REASONS if is_final(reason)} == {
        "NAME_TAKEN",
        "NAME_INVALID",
        "ROOM_INVALID",
        "MESSAGE_INVALID",
        "MESSAGE_TOO_LONG",
        "REQUEST_INVALID",
        "TOKEN_INVALID",
        "SESSION_REPLACED",
        "NOT_A_CHAT",
    }
    assert not is_final("TEAPOT")
    local = {reason for reason, row in REASONS.items() if row.is_local}
    assert local == {"NOT_A_CHAT", "PLAIN_SERVER", "CLOSED", "TOO_MUCH_WAITING"}
    assert not any(REASONS[reason].status for reason in local)


def test_setup_error_is_its_sentence() -> None:
    """Programs print it as it is."""
    error = ConfigError("Do this.")
    assert str(error) == "Do this."
    assert not isinstance(error, ChatError)


def test_unknown_language_is_english() -> None:
    """A catalogue that is not there is no reason to fail."""
    language.use("tlh")
    assert str(ChatError("SERVER_FULL")) == REASONS["SERVER_FULL"].text


def test_text_too_long_for_a_name_costs_nothing() -> None:
    """Normalising is quadratic in marks: a megabyte of them would take an hour."""
    marks = "a" + "\N{COMBINING ACUTE ACCENT}\N{COMBINING DOT BELOW}" * 500_000
    assert name_key(marks) == name_key(marks[:128])
    with pytest.raises(ChatError):
        check_name(marks)
    with pytest.raises(ChatError):
        check_name("x" * 129)
