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

from person import CTRL_C, TAB, person

COLUMNS = (40, 80, 200)
ROWS = 30
DUMB = {"TERM": "dumb"}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for all tests; each uses a room of its own."""
    with running_server("--rate", "0") as running:
        yield running


@pytest.mark.parametrize(
    ("lang", "people", "command", "other", "words"),
    [
        ("pt_BR", "3 pessoas", "/ignorar", "/salas", "mostra as salas que têm gente"),
        ("en", "3 people", "/ignore", "/rooms", "show the rooms that have people"),
    ],
)
def test_tab_completes_and_explains(
    server: RunningServer, lang: str, people: str, command: str, other: str, words: str
) -> None:
    """A command in one language, a menu of them with what each does, a name with its space."""
    i18n.use(lang)
    room = f"typing-{lang}"
    with (
        full_client(server.address, "Ana", room=room),
        full_client(server.address, "Ana Paula", room=room) as paula,
        person(server.address, "bia", "--room", room, "--lang", lang, rows=ROWS) as bia,
    ):
        bia.wait_for(people)
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
            bia.type(CTRL_C + "ana p" + TAB + f"oi de {columns} para @ana p" + TAB + "\r")
            paula.wait_for_text(f"Ana Paula: oi de {columns} para @Ana Paula ")
            bia.wait_for_line("[bia]:")
        bia.type("/msg ana p" + TAB + "psiu\r")
        assert paula.wait_for(lambda message: message.message == "psiu").to == "Ana Paula"
        assert paula.wait_for_kind(chat_pb2.KIND_JOINED).user == "bia"


@pytest.mark.parametrize(
    ("lang", "command", "hidden", "shown", "nobody"),
    [
        (
            "pt_BR",
            "/ignorar",
            "As mensagens de [Zoé]",
            "voltaram a ser mostradas",
            "Ninguém com o nome [zeo]",
        ),
        ("en", "/ignore", "Messages from [Zoé]", "are shown again", "Nobody called [zeu]"),
    ],
)
def test_ignored_by_the_name_without_its_accent(
    server: RunningServer, lang: str, command: str, hidden: str, shown: str, nobody: str
) -> None:
    """And told, where nobody is called so."""
    room = f"ignoring-{lang}"
    with (
        full_client(server.address, "Zoé", room=room) as zoe,
        person(server.address, "bia", "--room", room, "--lang", lang) as bia,
    ):
        bia.wait_for(f"#{room}")
        bia.wait_for("2 p")
        bia.type(f"{command} zoe\r")
        bia.wait_for(hidden)
        zoe.say("unseen", key=f"{room}1")
        zoe.wait_for_text("unseen")
        bia.type(f"{command} {nobody[-4:-1]}\r")
        bia.wait_for(nobody)
        bia.type(f"{command} [zoé]\r")
        bia.wait_for(shown)
        zoe.say("seen at last", key=f"{room}2")
        bia.wait_for("[Zoé]: seen at last")
        assert "unseen" not in bia.screen
        bia.type("/help /msg\r")
        bia.wait_for("* /msg ")


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


@pytest.mark.parametrize(("lang", "command"), [("pt_BR", "/limpar"), ("en", "/clear")])
def test_clearing_keeps_what_was_there(server: RunningServer, lang: str, command: str) -> None:
    """The screen is empty but for the line being typed; what was on it is scrolled up, once."""
    room = f"clear-{lang}"
    with (
        full_client(server.address, "ana", room=room) as ana,
        person(server.address, "bia", "--room", room, "--lang", lang, rows=ROWS) as bia,
        person(server.address, "caio", "--room", room, "--lang", lang, env=DUMB) as caio,
    ):
        bia.wait_for("3 p")
        for number, columns in enumerate(COLUMNS):
            bia.resize(columns, ROWS)
            ana.say(said := f"before number {number}", key=f"{room}{number}")
            for someone in (bia, caio):
                someone.wait_for(said)
                someone.type(f"{command}\r")
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
