"""What Tab offers: one language's commands, names with spaces, what belongs where."""

from __future__ import annotations

import pytest

from chat.cli import i18n as language
from chat.client import commands
from chat.client.completion import completions

CHOICES = {
    "names": ["Ana", "Ana Paula", "Zé", "ze ramos"],
    "rooms": ["redes", "redes de dados"],
    "bells": ["all", "off"],
}


def offered(before: str) -> tuple[str, list[str]]:
    """Return the end of `before` that is completed, and by what."""
    length, candidates = completions(before, CHOICES)
    return before[len(before) - length :], [candidate.text for candidate in candidates]


@pytest.mark.parametrize(
    ("lang", "typed", "words"),
    [
        ("pt_BR", "/ig", ["/ignorar"]),
        ("en", "/ig", ["/ignore"]),
        ("pt_BR", "/sa", ["/sair", "/sala", "/salas"]),
        ("en", "/q", ["/quit"]),
        ("en", "/HIST", ["/history"]),
        ("pt_BR", "/histó", ["/histórico"]),
        # Names of the other language, or of another chat, where it has none of its own.
        ("pt_BR", "/jo", ["/join"]),
        ("en", "/que", ["/quem", "/query"]),
        ("en", "/xyz", []),
    ],
)
def test_command_is_completed_in_one_language(lang: str, typed: str, words: list[str]) -> None:
    """The user's; case and accents make no difference."""
    language.use(lang)
    assert offered(typed) == (typed, words)


def test_every_command_is_offered_once_with_what_it_does() -> None:
    """In either language, by its own name there."""
    for lang in ("en", "pt_BR"):
        language.use(lang)
        _length, candidates = completions("/", CHOICES)
        assert [candidate.text for candidate in candidates] == [c.typed for c in commands.COMMANDS]
        assert all(candidate.help for candidate in candidates)
        assert "/msg " in next(c.shown for c in candidates if c.text == "/msg")


@pytest.mark.parametrize(
    ("before", "completed", "words"),
    [
        ("z", "z", ["Zé:", "ze ramos:"]),
        ("oi z", "z", ["Zé", "ze ramos"]),
        ("ana", "ana", ["Ana:", "Ana Paula:"]),
        ("oi ana p", "ana p", ["Ana Paula"]),
        ("oi ana ", "ana ", ["Ana Paula"]),
        ("ana ", "ana ", ["Ana Paula:"]),
        ("oi ZE R", "ZE R", ["ze ramos"]),
        ("@an", "@an", ["@Ana", "@Ana Paula"]),
        ("oi @ana p", "@ana p", ["@Ana Paula"]),
        ("oi ", "", ["Ana", "Ana Paula", "Zé", "ze ramos"]),
        ("oi x", "", []),
        ("oi (ana p", "ana p", ["Ana Paula"]),
        ("oi,ze", "ze", ["Zé", "ze ramos"]),
        ('diga "@an', "@an", ["@Ana", "@Ana Paula"]),
        ("eu@an", "", []),
        ("rouze", "", []),
    ],
)
def test_name_is_completed_whole(before: str, completed: str, words: list[str]) -> None:
    """Also after a space in it; at the beginning of a line it is spoken to."""
    assert offered(before) == (completed, words)


@pytest.mark.parametrize(
    ("before", "completed", "words"),
    [
        ("/msg ana", "ana", ["Ana", "[Ana Paula]"]),
        ("/msg ana p", "ana p", ["[Ana Paula]"]),
        ("/msg [ana p", "[ana p", ["[Ana Paula]"]),
        ("/msg Zé oi an", "an", ["Ana", "Ana Paula"]),
        ("/ignorar ", "", ["Ana", "[Ana Paula]", "Zé", "[ze ramos]"]),
        ("/sala re", "re", ["redes", "redes de dados"]),
        ("/sala #re", "re", ["redes", "redes de dados"]),
        ("/sala redes ", "redes ", ["redes de dados"]),
        ("/deixar r", "r", ["redes", "redes de dados"]),
        ("/sino o", "o", ["off"]),
        ("/eu acena para z", "z", ["Zé", "ze ramos"]),
        ("/help /m", "/m", ["/msg", "/me", "/mute"]),
        ("/help ms", "ms", ["/msg"]),
    ],
)
def test_argument_is_completed_as_its_command_takes_it(
    before: str, completed: str, words: list[str]
) -> None:
    """A name with spaces in brackets, so that it is clear where it ends; a room as it is."""
    assert offered(before) == (completed, words)


def test_end_of_a_long_line_is_found() -> None:
    """However much was typed before."""
    assert offered("word " * 2000 + "ana p") == ("ana p", ["Ana Paula"])
