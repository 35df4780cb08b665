"""Typing, in a real pseudo-terminal, at 40, 80 and 200 columns, and in both languages."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support import RunningServer, full_client, running_server

import chat_pb2
from chat.cli import i18n
from chat.client import commands
from chat.client.ui.colours import NAME_COLOURS

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

from person import ALT_B, CTRL_C, CTRL_L, CTRL_R, ESCAPE, LEFT, TAB, UP, person

COLUMNS = (40, 80, 200)
ROWS = 30
DUMB = {"TERM": "dumb"}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for all tests; each uses a room of its own."""
    with running_server("--rate", "0") as running:
        yield running


MENUS = {
    # Language: what Tab makes of /ig, another command, and what that does.
    "pt_BR": ("/ignorar", "/salas", "mostra as salas que têm gente"),
    "en": ("/ignore", "/rooms", "show the rooms that have people"),
}


@pytest.mark.parametrize("rows", [3, 10])
def test_menu_fits_a_low_screen(server: RunningServer, rows: int) -> None:
    """Below the line that is completed; how many more there are is said."""
    flags = ("--room", f"low{rows}", "--lang", "en")
    with person(server.address, "bia", *flags, columns=60, rows=rows) as bia:
        bia.wait_for("[bia]:")
        bia.type("/" + TAB)
        bia.wait_for(" more; Tab goes on")
        typed, first, *others = bia.rows[bia.cursor[1] :]
        assert typed == "[bia]: /" and first.startswith(f" {commands.LEAVE.typed} ")
        assert len(others) == rows - 2


def test_tab_completes_and_explains(server: RunningServer) -> None:
    """A command in one language, a menu of them with what each does, a name with its space."""
    with (
        full_client(server.address, "Ana", room="typing"),
        full_client(server.address, "Ana Paula", room="typing") as paula,
        person(server.address, "bia", "--room", "typing", "--lang", "pt_BR", rows=ROWS) as bia,
    ):
        bia.wait_for("3 pessoas")
        for lang, (command, other, words) in MENUS.items():
            i18n.use(lang)
            bia.type(f"/idioma {lang}\r")
            for columns in COLUMNS:
                bia.resize(columns, ROWS)
                bia.type("/ig" + TAB)
                bia.wait_for_line(f"[bia]: {command}", len(f"[bia]: {command} "))
                bia.type(CTRL_C + "/" + TAB)
                bia.wait_for(f" {other} ")
                assert words[: columns // 3] in bia.row_with(f" {other} ")
                bia.type(TAB)
                bia.wait_for_line(f"[bia]: {commands.LEAVE.typed}")
                assert all(len(row) < columns for row in bia.rows[bia.cursor[1] :])
                said = f"oi de {columns} em {lang}"
                bia.type(CTRL_C + f"ana p{TAB}{said} para @ana p{TAB}\r")
                paula.wait_for_text(f"Ana Paula: {said} para @Ana Paula ")
                bia.wait_for_line("[bia]:")
        bia.type("/msg ana p" + TAB + "psiu\r")
        assert paula.wait_for(lambda message: message.message == "psiu").to == "Ana Paula"
        assert paula.wait_for_kind(chat_pb2.KIND_JOINED).user == "bia"


def test_escape_closes_the_menu_at_once(server: RunningServer) -> None:
    """Keys that begin with it, Alt's and the arrows, do what they do; Esc, Enter begins a line."""
    with person(server.address, "bia", "--room", "escape", "--lang", "en", rows=ROWS) as bia:
        bia.wait_for("1 person")
        bia.type("/" + TAB)
        bia.wait_for(" /rooms ")
        bia.type(ESCAPE)
        bia.wait_until_gone(" /rooms ")
        bia.wait_for_line("[bia]: /")
        for keys in (LEFT, ALT_B):
            bia.type(CTRL_C + "/" + TAB)
            bia.wait_for(" /rooms ")
            bia.type(keys)
            bia.wait_for_line("[bia]: /", len("[bia]: "))
        bia.type(CTRL_C + "one" + ESCAPE + "\rtwo")
        bia.wait_for_line("two")
        assert "[bia]: one" in bia.rows


IGNORING = {
    "pt_BR": ("/ignorar", "As mensagens de [Zoé]", "voltaram a ser", "Ninguém com o nome [xico]"),
    "en": ("/ignore", "Messages from [Zoé]", "are shown again", "Nobody called [rui]"),
}


def test_no_key_drops_the_line(server: RunningServer) -> None:
    """Ctrl-O accepts it, as Enter does; Alt-#, which makes a comment of it in a shell, does not."""
    with (
        full_client(server.address, "Ana", room="keys") as ana,
        person(server.address, "bia", "--room", "keys", "--lang", "en", rows=ROWS) as bia,
    ):
        bia.wait_for("2 people")
        bia.type("um\x0f")
        ana.wait_for_text("um")
        bia.type(f"do{ESCAPE}#is\r")
        ana.wait_for_text("dois")


def test_pasted_lines_are_searched_for_as_one(server: RunningServer) -> None:
    """Below the line that is found, behind what says so, or that there is none."""
    with person(server.address, "bia", "--room", "search", "--lang", "en", rows=ROWS) as bia:
        bia.wait_for("1 person")
        bia.type(CTRL_R)
        bia.wait_for_line("Earlier line with:")
        bia.paste("two\nlines\n")
        bia.wait_for_line("No earlier line with: two lines")
        bia.type("\x17" * 2)
        bia.wait_for_line("Earlier line with:")


def test_ignored_by_the_name_without_its_accent(server: RunningServer) -> None:
    """And told, where nobody is called so."""
    with (
        full_client(server.address, "Zoé", room="ignoring") as zoe,
        person(server.address, "bia", "--room", "ignoring", "--lang", "pt_BR") as bia,
    ):
        bia.wait_for("2 pessoas")
        for lang, (command, hidden, shown, nobody) in IGNORING.items():
            bia.type(f"/idioma {lang}\r{command} zoe\r")
            bia.wait_for(hidden)
            zoe.say(f"unseen in {lang}", key=f"{lang}1")
            zoe.wait_for_text(f"unseen in {lang}")
            bia.type(f"{command} {nobody.partition('[')[2][:-1]}\r")
            bia.wait_for(nobody)
            bia.type(f"{command} [zoé]\r")
            bia.wait_for(shown)
            zoe.say(f"seen in {lang}", key=f"{lang}2")
            bia.wait_for(f"[Zoé]: seen in {lang}")
            assert "unseen" not in bia.screen
        bia.type("/help /msg\r")
        bia.wait_for("* /msg ")


def test_refused_line_comes_back_into_the_draft(server: RunningServer) -> None:
    """Whoever refuses it; not over what was typed since, where the arrow brings it."""
    with person(server.address, "bia", "--room", "refused", "--lang", "en", rows=ROWS) as bia:
        bia.wait_for("1 person")
        for columns in COLUMNS:
            bia.resize(columns, ROWS)
            for line in ("/hlep", "/msg xico oi", "/nick", "/part nowhere"):
                bia.type(f"{line}\r")
                bia.wait_for_line(f"[bia]: {line}", len(f"[bia]: {line}"))
            bia.type(CTRL_C + "x" * 9000 + "\r")
            bia.wait_for("\n".join(["x" * columns] * 2))
            bia.type(CTRL_C + "/hlep\rand on")
            bia.wait_for_line("[bia]: and on")
            bia.type(CTRL_C + "/clear\r")
            bia.wait_until_gone("bytes")
            bia.wait_for_line("[bia]:")
            bia.type(UP * 3)
            bia.wait_for_line("[bia]: /hlep")
            bia.type(CTRL_C)


URL = "https://chat.example/" + "a-long-way/" * 30 + "end?to=be&copied=whole"


def test_long_address_is_copied_in_one_piece(server: RunningServer) -> None:
    """The terminal breaks it, not we; what follows it stands on a row of its own."""
    with (
        full_client(server.address, "ana", room="url") as ana,
        person(server.address, "bia", "--room", "url", "--lang", "en", rows=ROWS) as bia,
        person(server.address, "caio", "--room", "url", "--lang", "en", env=DUMB) as caio,
    ):
        bia.wait_for("3 people")
        for columns in COLUMNS:
            for someone in (bia, caio):
                someone.resize(columns, ROWS)
            ana.say(f"look at {URL} or {columns}", key=f"url{columns}")
            for someone in (bia, caio):
                someone.wait_for(f"      or {columns}")
                seen = "".join(row.ljust(columns) for row in someone.rows)
                assert f"{URL} " in seen
        assert bia.bytes.count(URL.encode()) == caio.bytes.count(URL.encode()) == len(COLUMNS)


def test_clearing_keeps_what_was_there(server: RunningServer) -> None:
    """The screen is empty but for the line being typed; what was on it is scrolled up, once.

    By either name of the command, with a line editor, where Ctrl-L does it too, and without.
    """
    with (
        full_client(server.address, "ana", room="clear") as ana,
        person(server.address, "bia", "--room", "clear", "--lang", "pt_BR", rows=ROWS) as bia,
        person(
            server.address, "caio", "--room", "clear", "--lang", "en", rows=ROWS, env=DUMB
        ) as caio,
    ):
        bia.wait_for("3 pessoas")
        for number, columns in enumerate(COLUMNS):
            bia.resize(columns, ROWS)
            ana.say(said := f"before number {number}", key=f"clear{number}")
            for someone, keys in ((bia, "/limpar\r" if number else CTRL_L), (caio, "/clear\r")):
                someone.wait_for(said)
                someone.type(keys)
                someone.wait_until_gone(said)
            bia.wait_for_line("[bia]:")
            assert bia.cursor[1] == 0
        for someone in (bia, caio):
            kept = [row for row in someone.scrollback if "before number" in row]
            assert [row[-1] for row in kept] == ["0", "1", "2"]


def test_everybody_here_has_a_colour_of_their_own(server: RunningServer) -> None:
    """Of as many people as there are colours no two look alike."""
    names = [f"person {number}" for number in range(len(NAME_COLOURS) - 1)]
    with (
        ExitStack() as stack,
        person(server.address, "bia", "--room", "colours", "--lang", "en", rows=ROWS) as bia,
    ):
        bia.wait_for("1 person")
        people = [full_client(server.address, name, room="colours") for name in names]
        talkers = [stack.enter_context(talker) for talker in people]
        bia.wait_for(f"{len(NAME_COLOURS)} people")
        for name, talker in zip(names, talkers, strict=True):
            talker.say("bom dia", key=f"colours-{name}")
        bia.wait_for_line("[bia]:")
        for name in names:
            bia.wait_for(f"[{name}]: bom dia")
        colours = {bia.style_of(f"{name}]: bom").fg for name in names}
        assert len(colours | {bia.style_of("bia]:").fg}) == len(NAME_COLOURS)


@pytest.mark.parametrize(
    ("lang", "who", "here", "earlier", "left"),
    [
        ("pt_BR", "/quem", "2 pessoas em #", "mensagens anteriores de #", "até logo"),
        ("en", "/who", "2 people in #", "earlier messages of #", "see you"),
    ],
)
def test_plain_terminal_is_complete(
    server: RunningServer, lang: str, who: str, here: str, earlier: str, left: str
) -> None:
    """`--plain`, for screen readers: times, and every command, without one escape sequence."""
    i18n.use(lang)
    room = f"plain-{lang}"
    flags = ("--room", room, "--lang", lang, "--plain", "--history", "0")
    with full_client(server.address, "ana", room=room) as ana:
        ana.say("long ago", key=f"{room}0")
        ana.wait_for_text("long ago")
        with person(server.address, "bia", *flags, rows=ROWS) as bia:
            ana.wait_for_kind(chat_pb2.KIND_JOINED)
            for columns in COLUMNS:
                bia.resize(columns, ROWS)
                ana.say(said := f"oi em {columns}", key=f"{room}{columns}")
                bia.wait_for(said)
                assert re.fullmatch(rf"\d\d:\d\d \[ana\]: {said}", bia.row_with(said))
                bia.type(f"{who}\r")
                bia.wait_for(here)
            for command in commands.COMMANDS:
                if command not in (commands.LEAVE, commands.CLEAR):
                    bia.type(f"/help {command.typed}\r")
            bia.wait_for(f"* {commands.ANNOUNCE.typed} ")
            bia.type(f"{commands.HISTORY.typed}\r")
            bia.wait_for(earlier)
            bia.type(f"/msg ana {left}\r")
            assert ana.wait_for_text(left).to == "ana"
            bia.type(f"{commands.LEAVE.typed}\r")
            assert bia.wait() == 0
            assert b"\x1b" not in bia.bytes


def test_who_listens_at_a_terminal_sees_the_time(server: RunningServer) -> None:
    """And what was said before."""
    with full_client(server.address, "ana", room="listen") as ana:
        ana.say("said before", key="listen")
        ana.wait_for_text("said before")
        with person(server.address, "olho", "--room", "listen", "--listen", columns=40) as olho:
            olho.wait_for("[ana]: said before")
            assert re.fullmatch(r"\d\d:\d\d \[ana\]: said before", olho.row_with("said before"))
