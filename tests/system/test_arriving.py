"""Coming in, and the language of what is shown: the screen as people see it, narrow and wide."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import RunningServer, eventually, full_client, running_program, running_server

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

from person import CTRL_C, CTRL_R, TAB, Person, person

WIDTHS = (40, 80, 200)
LANGUAGES = ("pt_BR", "en")
# Where people read English, and nobody has chosen a language.
ENGLISH_READER = {"CHAT_LANG": "", "LC_ALL": "en_US.UTF-8"}
SIZES = [(columns, lang) for columns in WIDTHS for lang in LANGUAGES]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for all; each test uses a room of its own."""
    with running_server("--rate", "0") as running:
        yield running


def text_of(someone: Person) -> str:
    """Return what is on the screen, as if no row of it had been wrapped."""
    return " ".join(" ".join(someone.scrollback).split())


def wait_for_text(someone: Person, *texts: str) -> None:
    """Return when all of them are on the screen, in this order."""

    def are_there() -> bool:
        shown, place = text_of(someone), 0
        for text in texts:
            place = shown.find(text, place)
            if place < 0:
                return False
            place += len(text)
        return True

    eventually(are_there, what=lambda: f"not {texts} in\n{someone.screen}")


ARRIVALS = {
    "pt_BR": (
        "* Você está em #{room}, em {address}. Há mais 1 pessoa aqui.",
        "* /ajuda mostra os comandos, e Tab os completa.",
    ),
    "en": (
        "* You are in #{room} at {address}. 1 other person is here.",
        "* /help shows the commands, and Tab completes them.",
    ),
}


def test_two_lines_say_where_one_is_and_then_comes_what_was_said(server: RunningServer) -> None:
    """With how many are there; whatever the width, and nothing of it is cut off."""
    with ExitStack() as stack:
        seats = []
        for columns, lang in SIZES:
            room = f"{lang.casefold()[:2]}{columns}"
            bia = stack.enter_context(full_client(server.address, f"bia{room}", room=room))
            bia.say("said before", key=room)
            bia.wait_for_text("said before")
            flags, env = ("--room", room), {"CHAT_LANG": lang}
            ana = person(server.address, f"ana{room}", *flags, columns=columns, env=env)
            lines = [line.format(room=room, address=server.address) for line in ARRIVALS[lang]]
            seats.append((columns, stack.enter_context(ana), lines))
        for columns, someone, lines in seats:
            wait_for_text(someone, *lines, "]: said before")
            assert lines[0][:20] in someone.rows[0]
            assert all(len(row) <= columns for row in someone.rows)


def test_english_is_offered_to_who_reads_it(server: RunningServer) -> None:
    """In one line behind the program's first, which is the question for the name here."""
    offer = "For English: /idioma en; for good --lang en, CHAT_LANG=en or the settings file."
    with ExitStack() as stack:
        seats = [
            Person(["client.py", server.address], width, 24, ENGLISH_READER) for width in WIDTHS
        ]
        for someone in seats:
            stack.callback(someone.close)
        for width, someone in zip(WIDTHS, seats, strict=True):
            someone.wait_for_line("Digite seu nome:")
            assert "English" not in someone.screen
            name = f"ana{width}"
            someone.type(f"{name}\r")
            wait_for_text(someone, f"Digite seu nome: {name}", offer, "* Você está na sala comum")
        someone.type("/idioma en\r")
        wait_for_text(someone, "* In English from now on.", "--lang en")
        someone.wait_for("connected")
        assert text_of(someone).count("For English") == 1


def test_english_is_offered_behind_the_first_line_where_no_name_is_asked(
    server: RunningServer,
) -> None:
    """And not at all where the language was chosen."""
    with person(server.address, "ana", "--room", "offer", env=ENGLISH_READER) as ana:
        wait_for_text(ana, "* Você está em #offer", "* For English: /idioma en;", "* /ajuda mostra")
    chosen = {"CHAT_LANG": "pt", "LC_ALL": "en_US.UTF-8"}
    with person(server.address, "ana", "--room", "offer", env=chosen) as ana:
        ana.wait_for("/ajuda mostra")
        ana.wait_for("conectado")
        assert "English" not in ana.screen


def test_english_is_offered_below_a_failure() -> None:
    """The first thing that many see is that no server is there."""
    with person("localhost:1", "ana", env=ENGLISH_READER) as ana:
        assert ana.wait() == 1
        wait_for_text(ana, "Nenhum servidor de chat responde em localhost:1", "For English: --lang")


def test_server_offers_english_behind_its_first_line() -> None:
    """In the words of the guide, and then how to have it in English."""
    with running_server(env=ENGLISH_READER) as running:
        running.wait_for_line("For English: --lang en, CHAT_LANG=en")
        assert running.lines[0] == f"Servidor gRPC rodando em porta {running.port}..."
        assert running.lines[1].startswith("For English")
    with running_server(env={"CHAT_LANG": "pt", "LC_ALL": "en_US.UTF-8"}) as running:
        assert not any("English" in line for line in running.lines)


COMMANDS = {
    # Language: what Tab makes of /ig, the guess for /hlep, how an error of usage begins.
    "pt_BR": ("/ignorar", "Você quis dizer /ajuda?", "Uso: /nome NOME", "Linha anterior com:"),
    "en": ("/ignore", "Did you mean /help?", "Usage: /nick NAME", "Earlier line with:"),
}


def test_language_changes_at_once(server: RunningServer) -> None:
    """Completion, guesses, hints and the status line; the names of both languages work."""
    with person(server.address, "ana", "--room", "languages", columns=200) as ana:
        for columns in WIDTHS:
            ana.resize(columns, 24)
            for command, lang in (("/idioma pt-BR", "pt_BR"), ("/language EN", "en")):
                ana.type(f"/clear\r{command}\r")
                look_at_commands(ana, lang)


def look_at_commands(ana: Person, lang: str) -> None:
    """See which names of commands the screen shows in a language."""
    completed, guess, usage, search = COMMANDS[lang]
    ana.wait_for({"pt_BR": "conectado", "en": "connected"}[lang])
    ana.type("/ig" + TAB)
    ana.wait_for_line(f"[ana]: {completed}")
    ana.type(CTRL_C + "/hlep\r")
    wait_for_text(ana, guess)
    ana.type("/nome\r/nick\r")
    wait_for_text(ana, usage, usage)
    ana.type(CTRL_R)
    ana.wait_for(search)
    ana.type(CTRL_C)
    ana.wait_until_gone(search)


def test_settings_file_seats_a_person(server: RunningServer, tmp_path: Path) -> None:
    """Without a flag: language, name and room; the flag wins where one is given."""
    folder = tmp_path / "chat-grpc"
    folder.mkdir()
    settings = '[client]\nlang = "pt"\nname = "Zé"\nroom = ["arquivo"]\n'
    (folder / "config.toml").write_text(settings, encoding="utf-8")
    # On macOS the folder goes by the home alone, unless the variable says otherwise.
    env = {"CHAT_LANG": "", "XDG_CONFIG_HOME": str(tmp_path)}
    for flags, shown in (((), "Você está em #arquivo"), (("--lang", "en"), "You are in #arquivo")):
        someone = Person(["client.py", server.address, *flags], 80, 24, env)
        try:
            someone.wait_for(shown)
            someone.wait_for("[Zé]:")
        finally:
            someone.close()


def test_wrong_settings_file_ends_both_programs(tmp_path: Path) -> None:
    """With one sentence, in the language that was asked for, and 2."""
    path = tmp_path / "mine.toml"
    path.write_text("[client]\nhistroy = 5\n[server]\nport = 'x'\n", encoding="utf-8")
    for program, words in (
        ("client.py", "[client] histroy não é uma configuração; você quis dizer history?"),
        ("server.py", "[server] port: espera um número, sem aspas"),
    ):
        with running_program(program, "--config", str(path), env={"CHAT_LANG": "pt"}) as running:
            assert running.wait() == 2
            assert running.errors == [f"{program}: {path}: {words} (veja --help)"]
