"""The line in English: for whom it is due, and that it is told once."""

from __future__ import annotations

import pytest

from chat.cli import english
from chat.cli import i18n as language


@pytest.fixture(autouse=True)
def portuguese(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default language, and an environment that names none."""
    language.use("pt_BR")
    for name in english.VARIABLES:
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize(
    ("variables", "is_due"),
    [
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "de_DE@euro"}, True),
        ({"LC_ALL": "en_GB.UTF-8", "LANG": "pt_BR.UTF-8"}, True),
        ({"LC_MESSAGES": "en", "LANG": "pt_BR"}, True),
        ({"LC_ALL": "pt_BR.UTF-8", "LANG": "en_US.UTF-8"}, False),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, False),
        ({"LANG": "pt_PT.UTF-8"}, False),
        ({"LANG": "C.UTF-8"}, False),
        ({"LANG": "POSIX"}, False),
        ({}, False),
    ],
)
def test_line_is_for_who_reads_another_language(
    variables: dict[str, str], is_due: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as the environment tells; once."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    english.offer(is_chosen=False)
    assert bool(english.take()) is is_due
    assert english.take() == ""


def test_who_chose_a_language_is_not_told_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor who is spoken to in the language of the environment."""
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    english.offer(is_chosen=True)
    assert english.take() == ""
    language.use("en")
    english.offer(is_chosen=False)
    assert english.take() == ""


def test_who_chose_a_language_that_is_not_spoken_here_is_told() -> None:
    """Whatever the environment says: it reads the refusal in Portuguese, perhaps in vain."""
    english.offer(is_chosen=True, is_understood=False)
    assert english.take() == english.HINT


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        *(("pt", "pt_BR"), ("pt-BR", "pt_BR"), ("PT_br", "pt_BR"), ("pt_BR.UTF-8", "pt_BR")),
        *(("pt_PT", "pt_BR"), ("EN", "en"), ("en_US.UTF-8", "en"), ("en-GB", "en"), (" en ", "en")),
        *(("tlh", None), ("", None), ("C", None), ("p", None), ("english", None)),
    ],
)
def test_language_is_found_however_it_is_spelled(text: str, meant: str | None) -> None:
    """As locales are, or as browsers have it."""
    assert language.find(text) == meant
