"""The line editor in a real pseudo-terminal: what is asserted is the screen that a person sees."""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from slow_proxy import slow_proxy
from support import (
    ROOT,
    RunningServer,
    clean_environment,
    eventually,
    full_client,
    running_server,
    serving,
    stable_port,
)

import chat_pb2
import chat_pb2_grpc
from chat.client import app

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

from person import CTRL_C, CTRL_D, CTRL_R, LEFT, RIGHT, TAB, UP, Person, person

Message = chat_pb2.Message
BURST = 5000
MAX_KEYS = 60  # what fits into the row
# How much of the burst may be printed between a key press and what it shows, half of the times.
MAX_MEDIAN_LINES = BURST // 10
DELETE, ALT_B, ALT_D, CTRL_W = "\x1b[3~", "\x1bb", "\x1bd", "\x17"
RESIZES = 20
WIDTHS = (100, 60, 90, 35, 120, 50, 70)
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for all tests that do no harm to it; each uses a room of its own."""
    with running_server("--rate", "0") as running:
        yield running


@contextmanager
def seated(
    server: RunningServer | str, name: str, *flags: str, room: str = "", **options: Any
) -> Iterator[Person]:
    """Let `name` sit at a terminal, connected."""
    address = server if isinstance(server, str) else server.address
    room_flags = ("--room", room) if room else ()
    with person(address, name, *room_flags, *flags, **options) as someone:
        someone.wait_for("connected")
        yield someone


def is_sane(someone: Person) -> bool:
    """Say whether the terminal is as programs leave it: echo on, cursor shown, no paste mode."""
    pasting = (someone.bytes.rfind(b"\x1b[?2004h"), someone.bytes.rfind(b"\x1b[?2004l"))
    return someone.echoes and someone.is_cursor_shown and pasting[0] < pasting[1]


# The line being typed.


def test_draft_survives_messages_and_a_resize(server: RunningServer) -> None:
    """A draft of 60 characters is as it was, cursor included, after 200 messages and a resize."""
    draft = "".join(chr(ord("a") + index % 26) for index in range(60))
    with (
        seated(server, "ana", room="draft") as ana,
        full_client(server.address, "b", room="draft") as b,
    ):
        ana.type(draft + LEFT * 30)
        column = len("[ana]: ") + 30
        ana.wait_for_line(f"[ana]: {draft}", column)
        for number in range(200):
            b.say(f"number {number}", key=f"draft{number}")
        ana.wait_for("number 199")
        ana.wait_for_line(f"[ana]: {draft}", column)
        ana.resize(100, 30)
        b.say("after the resize", key="resized")
        ana.wait_for("after the resize")
        ana.wait_for_line(f"[ana]: {draft}", column)
        ana.type("X\r")
        ana.wait_for("X" + draft[30:])
        b.wait_for_text(draft[:30] + "X" + draft[30:])
        shown = [row for row in ana.scrollback if "]: number " in row]
        assert [int(row.split()[-1]) for row in shown] == list(range(200))


def test_typed_line_becomes_the_message_once(server: RunningServer) -> None:
    """What was typed stands on the screen once, as everybody sees it, and the line is empty."""
    with seated(server, "ana", room="once") as ana:
        ana.type("bom dia\r")
        ana.wait_for("[ana]: bom dia")
        ana.wait_until_gone("not confirmed")
        assert re.fullmatch(r"\d\d:\d\d \[ana\]: bom dia", ana.row_with("bom dia"))
        ana.wait_for_line("[ana]:")


def test_arrow_and_search_find_earlier_lines(server: RunningServer) -> None:
    """The arrow up brings the last line back, Ctrl-R one that contains what is typed."""
    with seated(server, "ana", room="history-keys") as ana:
        ana.type("the first line\r")
        ana.wait_for("]: the first line")
        ana.type("another\r")
        ana.wait_for("]: another")
        ana.type(UP)
        ana.wait_for_line("[ana]: another")
        ana.type(CTRL_C)
        ana.wait_for_line("[ana]:")
        ana.type(CTRL_R)
        ana.wait_for("Earlier line with:")
        ana.type("first")
        eventually(lambda: ana.screen.count("the first line") == 2, what=lambda: ana.screen)


def test_paste_is_one_message(server: RunningServer) -> None:
    """Pasted lines stay in the line being typed until Enter, and are one message."""
    with (
        seated(server, "ana", room="paste") as ana,
        full_client(server.address, "b", room="paste") as b,
    ):
        ana.paste("one\ntwo\nthree")
        ana.wait_for("three")
        assert b.texts == []
        ana.type("\r")
        b.wait_for_text("one\ntwo\nthree")


def test_last_line_feed_of_a_paste_is_no_line(server: RunningServer) -> None:
    """A copied line has one; without bracketed paste it is Enter, and sends the line once."""
    with (
        seated(server, "ana", room="line-feed") as ana,
        full_client(server.address, "b", room="line-feed") as b,
    ):
        ana.paste("one\r\ntwo\n")
        ana.wait_for("two")
        ana.type("!\r")
        b.wait_for_text("one\ntwo!")
        ana.type("three\nfour\r\n")
        b.wait_for_text("four")
        ana.wait_for_line("[ana]:")
        assert b.texts == ["one\ntwo!", "three", "four"]


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
BRAZIL = "\U0001f1e7\U0001f1f7"


def test_keys_go_by_what_a_person_sees(server: RunningServer) -> None:
    """Backspace, Delete, the arrows, the keys for words; what is left arrives as it was typed."""
    with (
        seated(server, "ana", room="graphemes") as ana,
        full_client(server.address, "b", room="graphemes") as b,
    ):
        ana.type(f"{FAMILY}a{FAMILY}\x7f{BRAZIL}{LEFT}{LEFT}{DELETE}\r")
        b.wait_for_text(FAMILY + BRAZIL)
        ana.type(f"e\u0301\u2764\ufe0f{LEFT}{LEFT}x{RIGHT}y\r")
        b.wait_for_text("xe\u0301y\u2764\ufe0f")
        ana.type(f"ação e cafe\u0301{ALT_B}{ALT_B}um {CTRL_W}{ALT_D}\r")
        b.wait_for_text("ação  cafe\u0301")
        said = f"{FAMILY}\u2764\ufe0f{BRAZIL}"
        b.say(said, key="graphemes")
        eventually(lambda: f"]: {said}".encode() in ana.bytes, what=lambda: ana.bytes)


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_byte_that_is_not_utf8_is_a_sign(server: RunningServer, term: str) -> None:
    """Typed or pasted, under a locale without UTF-8 too; there is no traceback."""
    environment = {"TERM": term, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    room = f"bytes-{term}"
    with (
        full_client(server.address, "b", room=room) as b,
        person(server.address, "ana", "--room", room, env=environment) as ana,
    ):
        b.wait_for_kind(chat_pb2.KIND_JOINED)
        ana.type("a\udcffb\udce9\r")
        b.wait_for_text("a\ufffdb\ufffd")
        ana.paste("ação\udcff")
        ana.type("\r")
        assert b.wait_for(lambda message: "ação\ufffd" in message.message)
        ana.type("/sair\r")
        assert ana.wait() == 0
        assert "Traceback" not in "\n".join(ana.scrollback)


def test_long_paste_is_asked_about(server: RunningServer) -> None:
    """More than 20 pasted lines are sent by the second Enter, and not at all after Ctrl-C."""
    text = "\n".join(f"line {number}" for number in range(25))
    with (
        seated(server, "ana", room="long-paste") as ana,
        full_client(server.address, "b", room="long-paste") as b,
    ):
        for answer in (CTRL_C, "\r"):
            ana.paste(text)
            ana.wait_for("line 24")
            ana.type("\r")
            ana.wait_for("Send these 25 lines")
            ana.type(answer)
            ana.wait_until_gone("Send these")
        b.wait_for_text(text)
        assert b.texts == [text]


def test_tab_completes_commands_names_and_rooms(server: RunningServer) -> None:
    """Tab completes what is a command, somebody present, or a room that was visited."""
    with (
        seated(server, "ana", room="tab") as ana,
        full_client(server.address, "Bernardo", room="tab") as b,
    ):
        assert b.epoch
        ana.wait_for("2 people")
        ana.type("/que" + TAB)
        ana.wait_for("/quem")
        ana.type(CTRL_C + "oi ber" + TAB)
        ana.wait_for("oi Bernardo")
        ana.type(CTRL_C + "/sala t" + TAB)
        ana.wait_for("/sala tab")


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux, which breaks rows anew, is not here")
def test_no_rest_is_left_where_the_terminal_breaks_rows_anew(server: RunningServer) -> None:
    """Made narrower, a terminal like tmux breaks what is drawn; all of it is found and redrawn."""
    draft = "draft " * 12
    name = f"chat-test-{os.getpid()}"
    tmux = ["tmux", "-f", "/dev/null", "-L", name]
    command = f"{sys.executable} client.py {server.address} --name kim --room tmux"
    start = [*tmux, "new-session", "-d", "-s", "chat", "-x", "90", "-y", "24", command]
    subprocess.run(start, check=True, cwd=ROOT, env=clean_environment({"TERM": "xterm"}))

    def rows(*flags: str) -> list[str]:
        show = [*tmux, "capture-pane", "-p", "-t", "chat", *flags]
        done = subprocess.run(show, check=True, capture_output=True, encoding="utf-8")
        return done.stdout.splitlines()

    def screen() -> str:
        return "\n".join(rows())

    def wait_for(text: str) -> None:
        eventually(lambda: text in screen().replace("\n", ""), what=screen)

    def resize(columns: int) -> None:
        size = ("-x", str(columns), "-y", "24")
        subprocess.run([*tmux, "resize-window", "-t", "chat", *size], check=True)

    try:
        wait_for("connected")
        with full_client(server.address, "b", room="tmux") as b:
            for number in range(30):
                b.say(f"number {number}", key=f"tmux{number}")
            wait_for("number 29")
            subprocess.run([*tmux, "send-keys", "-t", "chat", draft.strip()], check=True)
            wait_for(draft.strip())
            resize(40)
            wait_for("[kim]: " + draft.strip())
            b.say("said in between", key="tmux-between")
            wait_for("said in between")
        wait_for("* [b] left")
        for number in range(RESIZES):
            resize(WIDTHS[number % len(WIDTHS)])
        wait_for("[kim]: " + draft.strip())
        # Nothing is left in the scrollback either.
        kept = "\n".join(rows("-S", "-"))
        assert kept.count("[kim]:") == kept.count("connected \N{MIDDLE DOT}") == 1, kept
        assert [kept.count(f"number {number}\n") for number in range(30)] == [1] * 30, kept
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)


def test_no_rest_is_left_after_many_resizes(server: RunningServer) -> None:
    """Where the terminal cuts rows rather than breaking them."""
    draft = "draft " * 40 + "end"
    with seated(server, "ana", room="resizes") as ana:
        ana.type(draft)
        ana.wait_for("end")
        for number in range(RESIZES):
            ana.resize(WIDTHS[number % len(WIDTHS)], 24)
        eventually(lambda: draft in ana.screen.replace("\n", ""), what=lambda: ana.screen)
        assert "\n".join(ana.scrollback).count("[ana]:") == 1, ana.scrollback
        assert ana.screen.count("connected") == 1, ana.screen
        ana.type(CTRL_C + "oi\r")
        ana.wait_for("[ana]: oi")


# Ways out.


def test_ctrl_c_clears_then_tells_then_leaves(server: RunningServer) -> None:
    """Ctrl-C clears a draft; on an empty line it says how to leave, and then leaves."""
    with seated(server, "ana", room="ctrl-c") as ana:
        ana.type("never mind")
        ana.wait_for("never mind")
        ana.type(CTRL_C)
        ana.wait_until_gone("never mind")
        ana.type(CTRL_C)
        ana.wait_for("Press Ctrl-C again")
        ana.type("x")
        ana.wait_until_gone("Press Ctrl-C")
        ana.type("\x7f" + CTRL_C)
        ana.wait_for("Press Ctrl-C")
        ana.type(CTRL_C)
        assert ana.wait() == 0
        assert is_sane(ana)


@pytest.mark.parametrize("keys", [CTRL_D, "/sair\r", "  /SAIR \r", "/quit\r"])
def test_leaving_leaves_a_sane_terminal(server: RunningServer, keys: str) -> None:
    """Ctrl-D on an empty line and the command end the program, with 0."""
    with seated(server, "ana", room="leave") as ana:
        ana.type("x" + CTRL_D + "\x7f")  # not on an empty line: nothing happens
        ana.type(keys)
        assert ana.wait() == 0
        assert is_sane(ana)
        assert "Traceback" not in ana.screen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_leaves_a_sane_terminal(server: RunningServer, number: int) -> None:
    """A signal ends the program with 128 and its number; echo is on and the cursor shown."""
    with seated(server, "ana", room=f"signal{number}") as ana:
        ana.type("a draft")
        ana.wait_for("a draft")
        ana.send_signal(number)
        assert ana.wait() == 128 + number
        assert is_sane(ana)
        assert "Traceback" not in ana.screen


def test_dead_server_freezes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """While the server is away people type on; what was sent then arrives once, when it is back."""
    database, port = tmp_path / "chat.db", stable_port()
    with running_server(db=database, port=port) as first, seated(first, "ana") as ana:
        first.process.kill()
        ana.wait_for("Connection lost")
        ana.wait_for("reconnecting")
        ana.type("said into the void\r")
        ana.wait_for("1 not confirmed")
        assert ana.row_with("said into") == "… said into the void"
        assert ana.style_of("said into").fg == "default"
        ana.type("a draft")
        ana.wait_for("[ana]: a draft")
        with running_server(db=database, port=port) as second:
            ana.wait_for("Reconnected")
            ana.wait_for("[ana]: said into the void")
            ana.wait_until_gone("not confirmed")
            assert ana.screen.count("said into the void") == 1
            assert ana.row_with("a draft") == "[ana]: a draft"
            second.process.kill()
            ana.wait_for("reconnecting")
        ana.type(CTRL_C + CTRL_D)
        assert ana.wait() == 0
        assert is_sane(ana)


def test_final_refusal_ends_it_with_a_sentence(tmp_path: Path) -> None:
    """A server that asks for a token by now ends the program with 1, and what is lost is shown."""
    port, token = stable_port(), tmp_path / "token"
    token.write_text("secret-secret-secret")
    token.chmod(0o600)
    with running_server(port=port) as first, seated(first, "ana") as ana:
        first.process.kill()
        ana.wait_for("reconnecting")
        ana.type("said too late\ra draft")
        ana.wait_for("1 not confirmed")
        first.process.wait()
        ana.send_signal(signal.SIGSTOP)
        with running_server("--token-file", str(token), port=port):
            ana.send_signal(signal.SIGCONT)
            assert ana.wait() == 1
        assert "The server asks for a token" in ana.screen
        assert "1 message was not confirmed:" in ana.screen
        assert ana.row_with("said too late") == "  said too late"
        assert is_sane(ana)


# What nobody expects of our own code, in each of the things that run in the editor's loop.
FAILING = """
import sys, client
from chat.client import app
from chat.client.ui import output_queue
def fail(*arguments): raise RuntimeError("odd")
setattr(*{{
    "key": (app.App, "handle_line", fail),
    "tick": (app.App, "tick", fail),
    "output": (output_queue, "wrapped", fail),
    "receive": (app.App, "receive", fail),
}}["{part}"])
sys.exit(client.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("part", ["key", "tick", "output", "receive"])
def test_failure_of_any_part_ends_it_with_a_sentence(server: RunningServer, part: str) -> None:
    """No traceback over the screen, and no editor that goes on without that part."""
    program = ["-c", FAILING.format(part=part), server.address, "--name", "ana"]
    with closing(Person([*program, "--room", f"failing-{part}"], 80, 24, None)) as ana:
        ana.type("oi\r")
        assert ana.wait() == 1
        assert "Something unexpected ended the conversation" in ana.screen
        assert "Traceback" not in ana.screen and "Press ENTER" not in ana.screen
        assert ana.echoes and ana.is_cursor_shown


# As long as a test can wait, instead of a minute.
IMPATIENT = """
import sys, client
from chat.client import app
app.LOST_NAME_SECONDS = 0.2
sys.exit(client.main(sys.argv[1:]))
"""


def test_lost_name_is_waited_for_and_another_one_asked_for() -> None:
    """What is typed stays in the line, and what is not acknowledged is said under the new name."""
    port = stable_port()
    with running_server(port=port) as first:
        ana = Person(["-c", IMPATIENT, first.address, "--name", "ana"], 80, 24, None)
        with closing(ana):
            ana.wait_for("connected")
            first.process.kill()
            ana.wait_for("reconnecting")
            ana.type("said meanwhile\ra draft")
            ana.wait_for("1 not confirmed")
            first.process.wait()
            ana.send_signal(signal.SIGSTOP)
            with running_server(port=port) as second, full_client(second.address, "ana") as other:
                assert other.epoch
                ana.send_signal(signal.SIGCONT)
                ana.wait_for("Somebody else is called [ana] now")
                ana.wait_for("name taken, trying again")
                ana.wait_for("Choose another one with /nick NAME")
                ana.wait_for_line("[ana]: a draft")
                ana.type(CTRL_C + "/nome bea\r")
                assert other.wait_for_text("said meanwhile").user == "bea"
                ana.wait_for_line("[bea]:")
                ana.wait_for("[bea]: said meanwhile")
                ana.wait_until_gone("1 not confirmed")
                ana.type(CTRL_D)
                assert ana.wait() == 0


def test_name_that_is_found_taken_late_is_asked_for_anew(server: RunningServer) -> None:
    """Over a long line typing has begun by then; what was typed is said under the next name."""
    with (
        full_client(server.address, "tarde") as other,
        slow_proxy(server.address, delay_seconds=app.GREETING_SECONDS) as line,
        person(line.address, "tarde") as ana,
    ):
        assert other.epoch
        ana.wait_for("connecting")
        ana.type("typed early\r")
        ana.wait_for("The name [tarde] is taken. Choose another one with /nick NAME")
        ana.wait_for("1 not confirmed")
        ana.type("/nome bea\r")
        assert other.wait_for_text("typed early").user == "bea"
        ana.wait_for("[bea]: typed early")
        ana.type(CTRL_D)
        assert ana.wait() == 0


def test_killed_client_is_back_at_once(server: RunningServer) -> None:
    """With its name, and with what was said to it in private meanwhile."""
    with full_client(server.address, "bia", room="killed") as bia:
        with seated(server, "morta", room="killed") as first:
            first.send_signal(signal.SIGKILL)
            assert first.wait() == 128 + signal.SIGKILL
        bia.say("are you there?", to="morta", key="terminal-killed")
        bia.wait_for_key("terminal-killed")
        with seated(server, "morta", room="killed") as second:
            second.wait_for("private]: are you there?")
            second.wait_for("2 people")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_name_is_free_at_once_after_a_signal(server: RunningServer, number: int) -> None:
    """The editor leaves the chat before it ends the program."""
    name = f"livre{number}"
    with seated(server, name, room="free") as ana:
        ana.send_signal(number)
        assert ana.wait() == 128 + number
        with full_client(server.address, name, room="free") as other:
            assert other.epoch


# A flood.


def test_keys_show_at_once_in_a_burst(server: RunningServer) -> None:
    """While 5,000 messages arrive a key press does not wait for the rest of them; none is lost."""
    last = f"burst {BURST - 1}"
    with seated(server, "ana", room="b") as ana, full_client(server.address, "b", room="b") as b:
        assert b.epoch
        for number in range(BURST):
            b.say(f"burst {number}", key=str(number))
        waits: list[int] = []
        while len(waits) < MAX_KEYS and last.encode() not in ana.bytes:
            waits.append(press(ana, len(waits)))
        ana.wait_for(last)
        assert statistics.median(waits) < MAX_MEDIAN_LINES, waits
        shown = [row.split()[-1] for row in ana.scrollback if "]: burst " in row]
        assert shown == [str(number) for number in range(BURST)]


def press(someone: Person, number: int) -> int:
    """Press the key after `number` others; how many messages were printed until it showed."""
    key = ALPHABET[number % len(ALPHABET)]
    line = re.escape((ALPHABET * 3)[:number] + key)
    # The whole line anew, or its last letter alone with what moves the cursor.
    drawn = re.compile(rf"({line}|(^|[a-zA-Z]){key}(\x1b\[[0-9;?]*[a-zA-Z])*$)".encode())
    seen = len(someone.raw)
    someone.type(key)

    def chunks_until_drawn() -> list[bytes]:
        chunks = [chunk for _moment, chunk in someone.raw[seen:]]
        return next((chunks[: n + 1] for n, chunk in enumerate(chunks) if drawn.search(chunk)), [])

    return b"".join(eventually(chunks_until_drawn, what=lambda: someone.screen)).count(b"]: burst ")


# What people say and do.


def test_private_messages_stand_apart_and_are_answered(server: RunningServer) -> None:
    """A private message is marked as one, in both directions, and `/r` answers it."""
    with (
        seated(server, "ana", room="private") as ana,
        full_client(server.address, "bia", room="private") as bia,
    ):
        assert bia.epoch
        bia.say("hush", to="ana", key="private1")
        ana.wait_for("[bia → ana, private]: hush")
        assert ana.style_of("hush").fg != ana.style_of("connected").fg
        ana.type("/r quite\r")
        ana.wait_for("[ana → bia, private]: quite")
        bia.wait_for_text("quite")
        ana.type("/msg nobody hello\r")
        ana.wait_for("nobody with this name is here")
        # Nothing stands before what is typed next; Up brings the line back, to be corrected.
        ana.wait_for_line("[ana]:")
        ana.type(UP)
        ana.wait_for_line("[ana]: /msg nobody hello")


def test_comings_and_goings_are_dim_and_counted(server: RunningServer) -> None:
    """Who comes, goes and changes names is shown in dim lines, counted, and listed by /quem."""
    with seated(server, "ana", room="people") as ana:
        ana.wait_for("1 person")
        with full_client(server.address, "bia", room="people") as bia:
            ana.wait_for("* [bia] joined")
            ana.wait_for("2 people")
            bia.rename("bea", key="people1")
            ana.wait_for("* [bia] is now [bea]")
            ana.type("/quem\r")
            ana.wait_for("2 people in #people: [ana], [bea]")
        ana.wait_for("* [bea] left")
        ana.wait_for("1 person")
        assert b"\x1b[0;2m" in ana.bytes


def test_unknown_command_is_never_sent(server: RunningServer) -> None:
    """A mistyped command is answered with the nearest one; two slashes send a message with one."""
    with (
        seated(server, "ana", room="commands") as ana,
        full_client(server.address, "b", room="commands") as b,
    ):
        ana.type("/qeum\r")
        ana.wait_for("There is no command /qeum. Did you mean /who?")
        ana.type("//etc/passwd\r")
        ana.wait_for("[ana]: /etc/passwd")
        b.wait_for_text("/etc/passwd")
        assert b.texts == ["/etc/passwd"]
        ana.type("/Ajuda\r")
        for name in ("/history", "/ignore", "/bell", "/clear", "For operators: /kick"):
            ana.wait_for(name)


def test_refused_line_comes_back_by_the_arrow(server: RunningServer) -> None:
    """The reason is shown, what is typed next stands alone, and Up brings the line to correct."""
    with seated(server, "ana", room="refused") as ana:
        ana.type("/nome Servidor\r")
        ana.wait_for("this name is taken or reserved")
        ana.type("next")
        ana.wait_for_line("[ana]: next")
        ana.type(CTRL_C)
        ana.wait_for_line("[ana]:")
        ana.type(UP)
        ana.wait_for_line("[ana]: next")
        ana.type(UP)
        ana.wait_for_line("[ana]: /nome Servidor")
        ana.type(CTRL_C + "/nome Ana Maria\r")
        ana.wait_for_line("[Ana Maria]:")
        ana.wait_for("* [ana] is now [Ana Maria]")


def test_two_rooms_at_a_time(server: RunningServer) -> None:
    """What is said in the other one has its sign before it, and is counted until one looks."""
    with (
        seated(server, "ana", room="first") as ana,
        full_client(server.address, "bia", room="second") as bia,
    ):
        bia.say("said before", key="rooms0")
        bia.wait_for_text("said before")
        ana.type("/sala second\r")
        ana.wait_for("You entered #second")
        ana.wait_for("[bia]: said before")
        ana.wait_for("#second · 2 people")
        ana.type("hello, second\r/sala first\r")
        ana.wait_for("You are in #first.")
        for number in range(3):
            bia.say(f"news {number}", key=f"rooms-news{number}")
        ana.wait_for("#second [bia]: news 2")
        ana.wait_for("#first · #second 3")
        ana.type("hello, first\r")
        ana.wait_for("[ana]: hello, first")
        ana.type("/sala second\r/eu waves\r")
        ana.wait_for("[ana] *waves*")
        ana.wait_for("connected · #second · 2 people")
        bia.wait_for_kind(chat_pb2.KIND_ACTION)
        assert bia.texts[:2] == ["said before", "hello, second"]
        # Coming back has shown nothing twice.
        assert [sum(f"news {n}" in row for row in ana.scrollback) for n in range(3)] == [1, 1, 1]
        ana.type("/salas\r")
        ana.wait_for("#second (2)")
        ana.type("/deixar\r")
        ana.wait_for("You left #second")
        bia.wait_for_kind(chat_pb2.KIND_LEFT)
        ana.wait_for("connected · #first")


def test_line_goes_to_the_room_on_the_screen_after_a_lost_line(tmp_path: Path) -> None:
    """Whatever was typed while there was no server, and where."""
    database, port = tmp_path / "chat.db", stable_port()
    with running_server(db=database, port=port) as first, seated(first, "ana") as ana:
        first.process.kill()
        ana.wait_for("reconnecting")
        ana.type("/sala family\rfor the family\r/sala\rfor all\r/sala family\r/quem\r")
        ana.wait_for("no connection to the server now")
        ana.wait_for("#common for all")
        ana.type(CTRL_C)
        with (
            running_server(db=database, port=port) as second,
            full_client(second.address, "bia", room="family") as bia,
            full_client(second.address, "caio") as caio,
        ):
            bia.wait_for_text("for the family")
            caio.wait_for_text("for all")
            ana.type("family again\r")
            bia.wait_for_text("family again")
            assert caio.texts == ["for all"]
            assert bia.texts == ["for the family", "family again"]


def test_pages_of_history_go_back(server: RunningServer) -> None:
    """Each older than the one before, and nothing twice."""
    with full_client(server.address, "bia", room="pages") as bia:
        for number in range(10):
            bia.say(f"number {number}.", key=f"pages{number}")
        bia.wait_for_text("number 9.")
        with seated(server, "ana", "--history", "4", room="pages", rows=40) as ana:
            ana.wait_for("number 9.")
            ana.type("/historico 3\r")
            ana.wait_for("─── back to the present ───")
            ana.type("/historico 20\r")
            ana.wait_for("number 0.")
            ana.type("/historico\r")
            ana.wait_for("There are no earlier messages in #pages")
            shown = [int(found) for found in re.findall(r"number (\d)\.", ana.screen)]
            assert shown == [6, 7, 8, 9, 3, 4, 5, 0, 1, 2]


def test_ignored_one_is_hidden(server: RunningServer) -> None:
    """Until the same command is typed once more."""
    with (
        seated(server, "ana", room="ignored") as ana,
        full_client(server.address, "bia", room="ignored") as bia,
    ):
        ana.type("/ignorar bia\r")
        ana.wait_for("Messages from [bia] are hidden")
        bia.say("unseen", key="rooms-unseen")
        bia.wait_for_text("unseen")
        ana.type("after it\r")
        ana.wait_for("[ana]: after it")
        ana.type("/ignorar BIA\r")
        ana.wait_for("are shown again")
        bia.say("seen", key="rooms-seen")
        ana.wait_for("[bia]: seen")
        assert "unseen" not in ana.screen


@pytest.mark.parametrize(
    ("mode", "rings"), [("all", (1, 1, 1)), ("mentions", (0, 1, 1)), ("off", (0, 0, 0))]
)
def test_bell_rings_as_asked(server: RunningServer, mode: str, rings: tuple[int, int, int]) -> None:
    """`--bell`: at every message of others, at those that mention or address one, or never."""
    room = f"bell-{mode}"
    with (
        seated(server, "ana", "--bell", mode, room=room) as ana,
        full_client(server.address, "bia", room=room) as bia,
    ):
        assert bia.epoch
        for number, text in enumerate(("banana", "oi, Ana!", "psiu")):
            bia.say(text, key=f"{mode}{number}", to="ana" if text == "psiu" else "")
            ana.wait_for(text)
            wait_for_bells(ana, sum(rings[: number + 1]))
        ana.type("my own\r")
        ana.wait_for("[ana]: my own")
        assert ana.bytes.count(b"\a") == sum(rings)
        assert ana.style_of("Ana!").reverse
        assert not ana.style_of("banana").reverse


def wait_for_bells(someone: Person, count: int) -> None:
    """Return when the bell has rung `count` times."""
    eventually(lambda: someone.bytes.count(b"\a") == count, what=lambda: someone.bytes)


# Deceit.

FAKES = [
    "oi\n[bia]: sim",
    "oi\n08:00 [bia]: sim",
    "oi\r[bia]: sim",
    "\x1b[2K\x1b[1G[bia]: sim",
    "\x1b]52;c;aGFja2Vk\x07",
    "\x9b2J\x9d52;c;aGFja2Vk\x9c",
    "oi\u2028[bia]: sim",
    "oi\x85[bia]: sim\x0b[bia]: sim\x0c[bia]: sim",
    "\u202e:]aib[ mis",
    "\u2066\u200f[bia]: sim\u2069",
    "oi\u200b\u2060\ufeff\U000e0041x",
    "a" + "\u0301" * 50,
    "x" * 59 + " 08:00 [bia]: sim",
    "x" * 60 + "08:00 [bia]: sim",
    "\u2764\ufe0f" * 40 + "[bia]: sim",
    "* [bia] joined\n* server: sim",
    "\t" * 20 + "[bia]: sim",
]
FAKE_NAMES = ["bia]: sim [x", "bia", "\x1b[2Jbia", "mal\n[bia]", "mal\u202e", "m → ana, private"]


def honest_rows(someone: Person, rows: list[str]) -> None:
    """Fail if a row begins as a line of the conversation may, and no message of `mal` does that."""
    for row in rows:
        assert not re.match(r"(\d\d:\d\d )?\[bia\]", row), (row, someone.screen)
        assert not re.match(r"(\d\d:\d\d )?\* (\[?bia|server)", row), (row, someone.screen)
        assert "\u202e" not in row and "\x1b" not in row and "\u200b" not in row


def test_hostile_client_speaks_for_nobody_else(server: RunningServer) -> None:
    """Whatever a client sends, no row of the screen looks like another person's or the server's."""
    with (
        seated(server, "ana", room="hostile", rows=60) as ana,
        full_client(server.address, "mal", room="hostile") as mal,
    ):
        for number, text in enumerate(FAKES):
            mal.say(text, key=f"hostile{number}")
        mal.say("the end", key="hostile-end")
        ana.wait_for("the end")
        rows = ana.scrollback
        honest_rows(ana, rows)
        assert sum("[mal]:" in row for row in rows) == len(FAKES) + 1
        assert b"\x1b]" not in ana.bytes


class HostileServer(chat_pb2_grpc.ChatServiceServicer):
    """A full server that keeps no rule: it sends what it was made with, then holds the stream."""

    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages
        self._requests: list[Any] = []

    def Chat(self, request_iterator: Any, context: Any) -> Iterator[Message]:
        """Send everything, and the end."""
        context.send_initial_metadata((("chat-epoch", "e"),))
        yield from self._messages
        yield Message(user="mal", message="the end")
        for number, request in enumerate(request_iterator):
            request.id = 10**9 + number
            yield request


def test_hostile_server_shows_nothing_false() -> None:
    """Names and notices that a server made up cannot look like somebody else's line either."""
    messages = [Message(user=name, message="hello") for name in FAKE_NAMES if name != "bia"]
    messages += [Message(user="mal", message=text) for text in FAKES]
    unknown: Any = 77
    for kind in (chat_pb2.KIND_JOINED, chat_pb2.KIND_LEFT, chat_pb2.KIND_RENAMED, unknown):
        messages.append(Message(user="mal\n[bia]: sim", message="x\n[bia]: sim", kind=kind))
    messages.append(
        Message(user="WHATEVER", message="gone\n[bia]: sim\x1b[2J", kind=chat_pb2.KIND_NOTICE)
    )
    messages.append(Message(user="m" * 5000, message="long"))
    with serving(HostileServer(messages)) as address, seated(address, "ana", rows=60) as ana:
        ana.wait_for("the end")
        rows = [row for row in ana.scrollback if "* server: gone [bia]: sim�[2J" not in row]
        honest_rows(ana, rows)
        assert not any("→" in row for row in rows)
        ana.type("still alive\r")
        ana.wait_for("[ana]: still alive")


def test_new_day_has_a_line() -> None:
    """Between messages of different days stands the day; hours are local."""
    old = Message(user="bia", message="long ago", id=1)
    old.sent_at.FromJsonString("2024-02-29T12:00:00Z")
    with (
        serving(HostileServer([old])) as address,
        seated(address, "ana", env={"TZ": "America/Sao_Paulo"}) as ana,
    ):
        ana.wait_for("the end")
        first = ana.rows.index("─── Thursday, 2024-02-29 ───")
        assert ana.rows[first + 1] == "09:00 [bia]: long ago"
        assert ana.rows[first + 2].startswith("─── ")


# Terminals.


def test_no_color_is_kept(server: RunningServer) -> None:
    """With NO_COLOR nothing has a colour, and all else is as ever."""
    with seated(server, "ana", room="no-color", env={"NO_COLOR": "1"}) as ana:
        ana.type("bom dia\r")
        ana.wait_for("[ana]: bom dia")
        assert not re.search(rb"\x1b\[[0-9;]*(3[0-8]|4[0-8]|9[0-7])[;m]", ana.bytes)


def test_name_has_its_colour(server: RunningServer) -> None:
    """Without it a name has a colour of its own, the same at every time."""
    colours = []
    for room in ("color1", "color2"):
        with seated(server, "ana", room=room) as ana:
            ana.type("bom dia\r")
            ana.wait_for("[ana]: bom dia")
            colours.append(ana.style_of("ana]: bom").fg)
    assert colours[0] == colours[1] != "default"


def test_dumb_terminal_gets_the_plain_look(server: RunningServer) -> None:
    """TERM=dumb: lines in the look of the first version, without one escape sequence."""
    with (
        full_client(server.address, "bia", room="dumb") as bia,
        person(server.address, "ana", "--room", "dumb", env={"TERM": "dumb"}) as ana,
    ):
        bia.wait_for_kind(chat_pb2.KIND_JOINED)
        bia.say("oi\n[ana]: sim", key="dumb1")
        ana.wait_for("[bia]: oi")
        ana.wait_for("    [ana]: sim")
        ana.type("oi, bia\r/quem\r")
        bia.wait_for_text("oi, bia")
        ana.wait_for("2 people in #dumb: [ana], [bia]")
        ana.type("/sair\r")
        assert ana.wait() == 0
        assert b"\x1b" not in ana.bytes
        notices = [row for row in ana.screen.splitlines() if "* " in row]
        assert len(notices) >= 3 and all(re.match(r"\d\d:\d\d \* ", row) for row in notices)
        assert "Tab" not in ana.screen
        assert ana.screen.count("oi, bia") == 1


def test_dumb_terminal_cuts_no_line(server: RunningServer) -> None:
    """Neither at a NUL, nor where Ctrl-D sends what was typed so far."""
    with (
        full_client(server.address, "bia", room="whole") as bia,
        person(server.address, "ana", "--room", "whole", env={"TERM": "dumb"}) as ana,
    ):
        bia.wait_for_kind(chat_pb2.KIND_JOINED)
        ana.type("abc\x16\x00def\r")
        bia.wait_for_text("abc\ufffddef")
        ana.type("no line feed\x04\x04")
        bia.wait_for_text("no line feed")
        ana.type("\x04")
        assert ana.wait() == 0


@pytest.mark.parametrize("flag", ["--plain", "--listen"])
def test_shell_goes_on_below_what_was_interrupted(server: RunningServer, flag: str) -> None:
    """Ctrl-C at a terminal without a line editor, which shows ^C itself, and no line feed."""
    room = flag.strip("-")
    with (
        full_client(server.address, "bia", room=room) as bia,
        person(server.address, "ana", "--room", room, flag) as ana,
    ):
        bia.wait_for_kind(chat_pb2.KIND_JOINED)
        bia.say("oi")
        ana.wait_for("[bia]: oi")
        ana.type(CTRL_C)
        assert ana.wait() == 130
        assert ana.row_with("^C") == "^C" and ana.cursor[0] == 0


def test_without_prompt_toolkit_it_is_plain(server: RunningServer, tmp_path: Path) -> None:
    """Where the line editor is not installed the client says so, and works all the same."""
    hide = "import sys; sys.modules['prompt_toolkit'] = None"
    (tmp_path / "sitecustomize.py").write_text(hide)
    with person(server.address, "ana", env={"PYTHONPATH": str(tmp_path)}) as ana:
        ana.wait_for("Running without the line editor; `pip install -r requirements.txt`")
        ana.type("oi\r/sair\r")
        assert ana.wait() == 0
        assert "\x1b" not in ana.screen and b"\x1b[" not in ana.bytes


@pytest.mark.parametrize("columns", [20, 40, 200])
def test_every_width_has_room_for_all(server: RunningServer, columns: int) -> None:
    """Wide, combining and right-to-left text is broken by us; a long word by the terminal."""
    room = f"width{columns}"
    texts = ["word " * 30, "漢字" * 60, "e\u0301" * 100, "x" * 250, "שלום 123 עולם", "é" * 100]
    with (
        seated(server, "ana", room=room, columns=columns, rows=100) as ana,
        full_client(server.address, "Bia Ça", room=room) as bia,
        full_client(server.address, "דנה", room=room) as dana,
    ):
        assert dana.epoch
        for number, text in enumerate(texts):
            bia.say(text, key=f"{room}{number}")
        # Two people's messages come in any order, and the last of these must be the last.
        bia.wait_for_key(f"{room}{len(texts) - 1}")
        dana.say("fim", key=f"{room}-end")
        ana.wait_for("fim")
        for row in [row for row in ana.rows if row]:
            is_rest = set(row) in ({"x"}, {"é"})
            assert is_rest or row.startswith(("0", "1", "2", " ", "[ana]:", ">", "*")), ana.screen
        joined = "".join(row.strip() for row in ana.rows).replace(" ", "")
        assert "漢字" * 60 in joined.replace("\n", "") and "x" * 250 in joined


def test_it_speaks_portuguese_unless_told_otherwise(server: RunningServer) -> None:
    """Without a language it asks `Digite seu nome: ` and goes on in Portuguese."""
    arguments = ["client.py", server.address, "--room", "pt"]
    ana = Person(arguments, 80, 24, {"CHAT_LANG": "pt_BR"})
    try:
        ana.wait_for_line("Digite seu nome:", len("Digite seu nome: "))
        ana.type("ana\r")
        ana.wait_for("[ana]:")
        ana.type("/sair\r")
        assert ana.wait() == 0
    finally:
        ana.close()
