"""The words of a text, and whether a text has what is searched for."""

from __future__ import annotations

import pytest

from chat.protocol.limits import MAX_SEARCH_TERMS
from chat.protocol.words import Query, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Reunião às 15h", ["reuniao", "as", "15h"]),
        ("Reunia\u0303o", ["reuniao"]),
        ("ﬁm, STRASSE_straße", ["fim", "strasse", "strasse"]),
        ("e-mail: a@b.c", ["e", "mail", "a", "b", "c"]),
        ("東京へ", ["東", "京", "へ"]),
        ("bom 😀dia", ["bom", "😀", "dia"]),
        ("́ ... !?", []),
        ("", []),
    ],
)
def test_words_have_no_accents_and_no_case(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("reuniao", "A REUNIÃO é hoje"),
        ("REUNI hoje", "hoje há reunião"),
        ('"bom dia"', "Olá, bom  dia!"),
        ("“bom dia”", "Bom-dia"),
        ("e-mail", "mande E-mails"),
        ("a", "vou a pé"),
        ("京へ", "東京へ行く"),
        ('"bom', "bom dia"),
        ("o'brien OR", "or o’brien"),
    ],
)
def test_what_has_all_the_words_is_found(query: str, text: str) -> None:
    assert Query.of(query).is_in(text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("reuniao amanha", "a reunião é hoje"),
        ('"dia bom"', "bom dia"),
        ('"bom di"', "bom dia"),
        ("união", "reunião"),
        ("a", "agora"),
        ("e-mail", "mail e"),
    ],
)
def test_what_has_not_is_not(query: str, text: str) -> None:
    assert not Query.of(query).is_in(text)


def test_a_query_without_words_has_no_terms() -> None:
    for text in ("", "  ", '""', '"', "!?", "NEAR(".replace("NEAR", "")):
        assert Query.of(text).terms == ()


def test_a_query_is_bounded() -> None:
    """A word that is typed twice is one."""
    assert len(Query.of(" ".join(map(str, range(100)))).terms) == MAX_SEARCH_TERMS
    assert len(Query.of("bom Bom BOM").terms) == 1
