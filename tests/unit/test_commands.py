"""The table of commands: what is typed, what is meant, and what is made from the table."""

from __future__ import annotations

import pytest

from chat.cli import i18n as language
from chat.client import commands


def test_commands_are_found_whatever_their_case_and_accents() -> None:
    """Each name finds its command, and nothing else does."""
    for command in commands.COMMANDS:
        for name in command.names:
            assert commands.parse(f"/{name.upper()} x y")[0] is command
    assert commands.parse("/Histórico 5") == (commands.HISTORY, "5")
    assert commands.parse("/sala\tsul x") == (commands.MOVE, "sul x")
    assert commands.parse("/sair\n/ajuda") == (commands.LEAVE, "/ajuda")
    assert commands.parse("/nada")[0] is None and commands.parse("/ sair")[0] is None
    assert not commands.is_command("//sair") and not commands.is_command("sair")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/qem", "/who"),
        ("/hlep", "/help"),
        ("/quitt", "/quit"),
        ("/sala1", "/join"),
        ("/histroy 5", "/history"),
        ("/xyz", ""),
        ("/nada", ""),
        ("/save", ""),
        ("/quote", ""),
        ("/zzz", ""),
        ("/etc/passwd", ""),
        ("/", ""),
        ("/" + "q" * 8000, ""),
    ],
)
def test_nearest_command(typed: str, meant: str) -> None:
    """A mistyped command is taken for the nearest one, and for none if none is near."""
    assert commands.nearest(typed) == meant


def test_guess_is_in_the_language_of_the_user() -> None:
    """Whichever name was mistyped."""
    language.use("pt_BR")
    assert [commands.nearest(typed) for typed in ("/qem", "/hlep", "/whoo")] == [
        "/quem",
        "/ajuda",
        "/quem",
    ]


def test_sentences_name_a_command_in_the_language_of_the_user() -> None:
    """The help has the other names beside it; some commands have one name only."""
    for lang, typed, other in (("en", "/rooms", ["/salas"]), ("pt_BR", "/salas", ["/rooms"])):
        language.use(lang)
        assert (commands.ROOMS.typed, commands.ROOMS.aliases) == (typed, other)
        assert commands.ROOMS.usage == typed and commands.TELL.typed == "/msg"


def test_help_and_guide_list_every_command() -> None:
    """Both are made from the one table, in the user's language."""
    for lang in ("en", "pt_BR"):
        language.use(lang)
        text = "\n".join(commands.help_lines())
        for command in commands.COMMANDS:
            assert all(f"/{name}" in commands.markdown() for name in command.names)
            if command.is_for_operators:
                assert command.typed in text and command.usage not in text
            else:
                assert all(f"/{name}" in text for name in command.names)


def test_help_of_one_command() -> None:
    """By either name, with its sign before it or without."""
    for word in ("ban", "/ban", "banir", "/Banir"):
        assert commands.named(word) is commands.BAN
    assert commands.help_line(commands.BAN).startswith("/ban NAME|ADDRESS [TIME] [REASON] (/banir)")
    assert commands.named("") is None and commands.named("teapot") is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/q", commands.LEAVE),
        ("/exit", commands.LEAVE),
        ("/names", commands.WHO),
        ("/w", commands.WHO),
        ("/list", commands.ROOMS),
        ("/part", commands.PART),
        ("/leave", commands.PART),
        ("/j", commands.MOVE),
        ("/me", commands.ME),
        ("/tell", commands.TELL),
        ("/query", commands.TELL),
    ],
)
def test_names_of_other_chats_are_understood(typed: str, meant: commands.Command) -> None:
    """And stand beside the name in its help."""
    assert commands.parse(typed)[0] is meant
    assert typed in commands.help_line(meant)


@pytest.mark.parametrize(
    ("line", "leaves"),
    [("/sair", True), (" /SAIR ", True), ("/quit", True), ("//sair", False), ("sair", False)],
)
def test_leaving_is_a_command(line: str, leaves: bool) -> None:
    """In any case, with spaces around it."""
    assert commands.is_leaving(line) is leaves


def test_help_of_one_command_says_how_names_with_spaces_are_typed() -> None:
    """The list of all of them has no room for that."""
    bracketed = "a name with spaces in brackets: /msg [ana paula] hello"
    assert commands.help_line(commands.TELL).endswith(bracketed)
    assert bracketed not in "\n".join(commands.help_lines())
