"""Names that look alike: which of them nobody else may take."""

from __future__ import annotations

import re
import string
import unicodedata

import pytest

from chat.protocol.confusables import CONFUSABLES
from chat.protocol.errors import ChatError
from chat.protocol.lookalikes import looks, looks_reserved, skeleton
from chat.protocol.names import check_name, name_key

CONFUSED = [*filter(str.isprintable, map(chr, range(0x3000))), *"".join(CONFUSABLES.values())]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("ana", "\u0430na"),
        ("ana", "an\u0430"),
        ("ana", "\u0430n\u0430"),
        ("ana", "\u0391NA"),
        ("ana", "ana."),
        ("ana", ".ana"),
        ("ana", "ana\N{MIDDLE DOT}"),
        ("ana", "ana\N{MODIFIER LETTER PRIME}"),
        ("ana", "ana..."),
        ("Ana Maria", "ana_maria"),
        ("Ana Maria", "ana - maria"),
        ("Ian", "lan"),
        ("Ian", "1an"),
        ("ian", "i\u0430n"),
        ("Ian", "i\u0430n"),
        ("ian", "I\u0410N"),
        ("maria", "M\u0410RIA"),
        ("maria", "\u041c\u0410R\u0406A"),
        ("Maria", "m\u0430ria"),
        ("maria", "rnaria"),
        ("Bob", "B0b"),
        ("\u0432\u0430\u0441\u044f", "Bac\u044f"),
        ("foo", "\N{LATIN SMALL LETTER LONG S}oo"),
        ("ana", "\uff41na"),
        ("caf\u00e9", "cafe\N{HEBREW ACCENT GERESH}"),
        ("ana", "\u1d00\u0274\u1d00"),
        ("Ian", "\u026a\u1d00\u0274"),
        ("mark", "\u1d0d\u1d00\u0280\u1d0b"),
        ("paul", "\N{GREEK LETTER SMALL CAPITAL RHO}aul"),
        ("ana", "ana\u0640"),
        ("ana", "\u0640ana\u0640\u0640"),
        ("ana maria", "ana\u0640maria"),
        ("\u0645\u062d\u0645\u062f", "\u0645\u062d\u0640\u0640\u0645\u062f"),
        ("\u0645\u062d\u0645\u062f", "\u0645\u0640\u062d\u0645\u062f\u0640"),
    ],
)
def test_names_look_alike(name: str, other: str) -> None:
    """In other scripts, in any case, in small capitals, stretched, with other marks or none."""
    assert looks(name) & looks(other)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("ana", "an\u00e1"),
        ("ana", "anna"),
        ("ana-b", "anab"),
        ("bot-1-11", "bot-11-1"),
        ("ian", "lan"),
        ("Lia", "Ila"),
        ("ana", "ana1"),
        ("...", "!!!"),
        (".", "ana"),
        ("\u05de\u05e8\u05d9", "\u05de\u05e8"),
        ("\u0645\u062d\u0645\u062f", "\u0645\u062d\u0645"),
        ("\u1d00\u0274\u1d00", "anna"),
    ],
)
def test_names_that_differ_do_not_look_alike(name: str, other: str) -> None:
    """An accent, a letter more, parts that are not the same; Hebrew's yod is no apostrophe."""
    assert not looks(name) & looks(other)


def test_names_that_are_the_same_look_alike() -> None:
    """For every letter: whoever is refused for the name is refused for its look too."""
    letters = (chr(code) for code in range(0x3000) if chr(code).isalnum())
    keys: dict[str, list[str]] = {}
    for letter in letters:
        keys.setdefault(name_key(letter), []).append(letter)
    for same in keys.values():
        assert frozenset.intersection(*map(looks, same)), same


def test_small_capitals_look_like_their_letters() -> None:
    """All that this Python's Unicode has; there is none of X."""
    pattern = re.compile("(?:LATIN|MODIFIER) LETTER SMALL CAPITAL ([A-Z])")
    letters = set()
    for small in map(chr, range(0x20000)):
        if match := pattern.fullmatch(unicodedata.name(small, "")):
            letters.add(match[1])
            assert looks(small) & looks(match[1]), small
    assert letters == set(string.ascii_uppercase) - {"X"}


@pytest.mark.parametrize(
    "name",
    [
        "servidor",
        "SERVER",
        "\uff33\uff25\uff32\uff36\uff25\uff32",
        "s.e.r.v.e.r",
        "s\u0435rver",
        "SERVIDOR.",
        "servidor!",
        "ser vidor",
        "servIdor",
        "serv1dor",
        "servldor",
        "S\u0415RV\u0406D\u041eR",
        "s\u00e9rver",
        "\ua731\u1d07\u0280\u1d20\u1d07\u0280",
        "\ua731\u1d07\u0280\u1d20\u026a\u1d05\u1d0f\u0280",
        "server\u0640",
        "ser\u0640\u0640ver",
    ],
)
def test_what_looks_like_the_server_is_reserved(name: str) -> None:
    """In any case, width and script, and whatever stands between the letters."""
    assert looks_reserved(check_name(name))


@pytest.mark.parametrize("name", ["servidora", "servi", "observer", "servidor 2"])
def test_other_names_are_not_reserved(name: str) -> None:
    """Only what is the whole name."""
    assert not looks_reserved(name)


def test_skeletons_are_those_of_unicode() -> None:
    """The examples of UTS 39, section 4; a skeleton's skeleton is itself."""
    assert skeleton("p\u0430ypal") == skeleton("paypal") == "paypal"
    assert skeleton("\u0455\u0441\u043e\u0440\u0435") == "scope"
    assert not [c for c in CONFUSED if skeleton(skeleton(c)) != skeleton(c)]


def test_nothing_in_a_name_looks_like_its_end() -> None:
    """Of all that is accepted only the marks of scripts do, such as Devanagari's visarga."""
    accepted = set()
    for character in CONFUSED:
        if set("[]:,*") & set(skeleton(character)):
            try:
                accepted.add(check_name("a" + character)[-1])
            except ChatError:
                continue
    assert {unicodedata.category(character) for character in accepted} == {"Mc"}


def test_longest_name_costs_little() -> None:
    """What a stranger may send is at most 32 characters, whose look has a few times as many."""
    for character in ("x", "\u0439", "\ufdfa"):
        assert all(len(look) < 2000 for look in looks(character * 32))
