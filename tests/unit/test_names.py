"""Names of people and rooms: what is accepted, and when two count as the same."""

from __future__ import annotations

import unicodedata

import pytest

from chat.protocol.errors import ChatError
from chat.protocol.names import MAX_MARKS, check_name, check_room, name_key

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
    "Zé (celular)",
    "José 2.0; o retorno!",
    "Thầy Đặng",
    "1",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.4 (casa)",
    "...",
    "e" + "\N{COMBINING DOT BELOW}" * MAX_MARKS,
]

BAD_NAMES = {
    "empty": "",
    "address": "192.0.2.7",
    "address in another width": "１９２.0.2.7",
    "network": "192.0.2.0/24",
    "network by its mask": "10.0.0.0/255.0.0.0",
    "what is almost an address": "999.0.2.7",
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
    "Khitan filler": "ana\U00016fe4",
    "Egyptian blank": "ana\U00013441",
    "pile of marks": "e" + "\N{COMBINING DOT BELOW}" * (MAX_MARKS + 1),
    "speaker": "ana]: oi [x",
    "room and speaker": "#x]: [ana",
    "server's notice": "servidor: reinicie agora",
    "two events": "Bia saiu. * Caio",
    "three people": "ana, bia, caio",
    "full-width bracket": "ana\N{FULLWIDTH RIGHT SQUARE BRACKET}",
    "full-width colon": "servidor\N{FULLWIDTH COLON} oi",
    "small colon": "servidor\N{SMALL COLON} oi",
    "ratio": "servidor\N{RATIO} oi",
    "modifier letter colon": "servidor\N{MODIFIER LETTER TRIANGULAR COLON} oi",
    "Hebrew colon": "servidor\N{HEBREW PUNCTUATION SOF PASUQ} oi",
    "two dots": "servidor\N{PRESENTATION FORM FOR VERTICAL TWO DOT LEADER} oi",
    "full-width comma": "ana\N{FULLWIDTH COMMA} bia",
    "low quotation mark": "ana\N{SINGLE LOW-9 QUOTATION MARK} bia",
    "digit with a comma": "\N{DIGIT ONE COMMA}",
    "full-width asterisk": "\N{FULLWIDTH ASTERISK} ana",
    "low asterisk": "\N{LOW ASTERISK} ana",
    "Arabic star": "\N{ARABIC FIVE POINTED STAR} ana",
    "lenticular bracket": "\N{LEFT BLACK LENTICULAR BRACKET}ana\N{RIGHT BLACK LENTICULAR BRACKET}",
    "tortoise shell bracket": "\N{LEFT TORTOISE SHELL BRACKET}ana\N{RIGHT TORTOISE SHELL BRACKET}",
}


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_good_name_is_kept(name: str) -> None:
    """Letters, digits, marks, punctuation and inner single spaces, of any script."""
    assert check_name(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_bad_name_is_refused(name: str) -> None:
    """Nothing invisible, nothing that steers a terminal or ends a name, nothing too long."""
    with pytest.raises(ChatError) as refusal:
        check_name(name)
    assert refusal.value.reason == "NAME_INVALID"


def test_room_name_is_refused_with_its_own_reason() -> None:
    """Rooms follow the rules of names, but that nobody bans a room by its address."""
    assert check_room("192.0.2.7") == "192.0.2.7"
    with pytest.raises(ChatError) as refusal:
        check_room("a\x1b")
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
    """An accent is not a difference of case."""
    assert name_key("ana") != name_key("aná")


def test_name_key_is_stable() -> None:
    """The key of a key is the key itself, for every character that a name may have."""
    letters = [chr(code) for code in range(0x20, 0x30000) if chr(code).isalnum()]
    unstable = [letter for letter in letters if name_key(name_key(letter)) != name_key(letter)]
    assert not unstable


def test_room_without_a_name_is_the_common_one() -> None:
    """Any other follows the rules of names."""
    assert check_room("") == ""
    assert check_room("redes") == "redes"
    with pytest.raises(ChatError, match="room"):
        check_room("a  b")


def test_text_too_long_for_a_name_costs_nothing() -> None:
    """Normalising is quadratic in marks: a megabyte of them would take an hour."""
    marks = "a" + "\N{COMBINING ACUTE ACCENT}\N{COMBINING DOT BELOW}" * 500_000
    assert name_key(marks) == name_key(marks[:128])
    with pytest.raises(ChatError):
        check_name(marks)
    with pytest.raises(ChatError):
        check_name("x" * 129)


@pytest.mark.parametrize("room", ["\uff9ex", "\ufdfa" * 10])
def test_room_can_be_named_by_what_the_server_answers(room: str) -> None:
    """Folded, the first begins with a mark and the second has 180 characters."""
    assert check_name(room) == room
    with pytest.raises(ChatError, match="room"):
        check_room(room)
