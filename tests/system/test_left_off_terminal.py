"""What a person sees who comes back: what was missed, the draft and earlier lines."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support import (
    RunningServer,
    eventually,
    full_client,
    running_client,
    running_program,
    running_server,
    stable_port,
)

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

from person import CTRL_C, CTRL_D, UP, Person, person

REMEMBERING = {"CHAT_PRIVATE": "0"}
# More than what a terminal holds by itself, and the test has read.
FLOOD_MESSAGES, FLOOD_BYTES = 60, 3000
LANGUAGES = {
    "en": ("connected", "─── new since ", "/history"),
    "pt_BR": ("conectado", "─── novidades desde ", "/histórico"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for all tests; each uses a room and names of its own."""
    with running_server("--rate", "0") as running:
        yield running


@contextmanager
def seated(server: RunningServer, name: str, room: str, *flags: str) -> Iterator[Person]:
    """Let `name` sit at a terminal that remembers, connected; leave by Ctrl-D."""
    lang = flags[flags.index("--lang") + 1] if "--lang" in flags else "en"
    with person(server.address, name, "--room", room, *flags, env=REMEMBERING) as someone:
        someone.wait_for(LANGUAGES[lang][0])
        yield someone


def leave(someone: Person) -> None:
    someone.type(CTRL_D)
    assert someone.wait() == 0


def say(server: RunningServer, room: str, *texts: str) -> None:
    """Say something while the person is away."""
    with full_client(server.address, "bia", room=room) as bia:
        for number, text in enumerate(texts):
            bia.say(text, key=f"{room}{text}{number}")
        bia.wait_for_text(texts[-1])


def wait_for_text(path: Path, text: str) -> None:
    """Return when `text` stands in a file."""
    eventually(lambda: path.exists() and text in path.read_text("utf-8"))


def said_rows(someone: Person) -> list[str]:
    """Return what the person was shown of bia's words, scrollback and all."""
    return [row.partition("]: ")[2] for row in someone.scrollback if "[bia]: " in row]


def test_what_was_missed_stands_below_a_line_that_says_since_when(server: RunningServer) -> None:
    """All of it, also where that is more than a first history, and nothing that was seen before.

    For two people in one room, with a narrow and with a wide terminal.
    """
    seats = {"pt_BR": 40, "en": 200}
    texts = [f"missed {number}" for number in range(30)]
    with ExitStack() as stack:
        say(server, "since", "seen")
        for ana in at_once(stack, server, seats):
            ana.wait_for("[bia]: seen")
            assert "novidades" not in ana.screen and "new since" not in ana.screen
            leave(ana)
        say(server, "since", *texts)
        people = at_once(stack, server, seats)
        for ana, lang in zip(people, seats, strict=True):
            ana.wait_for("missed 29")
            rows, since = ana.scrollback, LANGUAGES[lang][1]
            (place,) = (number for number, row in enumerate(rows) if since in row)
            assert re.fullmatch(rf"{since}\d\d:\d\d ───", rows[place])
            assert rows[place + 1].endswith("[bia]: missed 0") and said_rows(ana) == texts
        say(server, "since", "now")
        for ana, lang in zip(people, seats, strict=True):
            ana.wait_for("[bia]: now")
            assert sum(LANGUAGES[lang][1] in row for row in ana.scrollback) == 1


def at_once(stack: ExitStack, server: RunningServer, seats: Mapping[str, int]) -> list[Person]:
    """Let people come in at the same time, each in a language and at so many columns."""
    people = [
        stack.enter_context(
            person(
                server.address,
                f"ana{lang[:2]}",
                *("--room", "since", "--lang", lang),
                env=REMEMBERING,
                columns=columns,
            )
        )
        for lang, columns in seats.items()
    ]
    for someone, lang in zip(people, seats, strict=True):
        someone.wait_for(LANGUAGES[lang][0])
    return people


def test_more_than_a_thousand_are_counted_and_not_shown(server: RunningServer) -> None:
    """How many, and how to see them, is said where it is seen; and so they can be."""
    lang, room, name = "pt_BR", "many", "many"
    with seated(server, name, room, "--lang", lang) as ana:
        leave(ana)
    say(server, room, *(f"missed {number}" for number in range(1025)))
    with seated(server, name, room, "--lang", lang) as ana:
        ana.wait_for(LANGUAGES[lang][2])
        assert said_rows(ana)[0] == "missed 25" and len(said_rows(ana)) == 1000
        assert re.search(rf"\* 25 .*{LANGUAGES[lang][2]}", " ".join(ana.rows))
        ana.type("/history 100\r")
        eventually(lambda: "missed 0" in said_rows(ana), what=lambda: ana.screen)


def test_killed_client_shows_some_of_it_twice_and_skips_nothing(server: RunningServer) -> None:
    """Whatever of it was on the screen."""
    say(server, "killed", "one")
    with seated(server, "kill", "killed") as ana:
        ana.wait_for("[bia]: one")
        say(server, "killed", "two", "three")
        ana.wait_for("[bia]: three")
        ana.send_signal(signal.SIGKILL)
        ana.wait()
    say(server, "killed", "four", "five")
    with seated(server, "kill", "killed") as ana:
        ana.wait_for("[bia]: five")
        assert said_rows(ana)[-2:] == ["four", "five"]
        assert said_rows(ana) == ["one", "two", "three", "four", "five"][-len(said_rows(ana)) :]


def test_what_a_killed_client_had_not_shown_comes_again_and_nothing_else(
    server: RunningServer, tmp_path: Path
) -> None:
    """Of the inbox as of the room, where the terminal takes nothing; it is written down once."""
    path, name = tmp_path / "said.log", "stalled"
    flags = ("--transcript", str(path))
    with (
        seated(server, name, name, *flags) as ana,
        full_client(server.address, "bia", room=name) as bia,
    ):
        bia.say("shown", to=name, key="1")
        ana.wait_for("shown")
        ana.stall()
        for number in range(FLOOD_MESSAGES):
            bia.say("x" * FLOOD_BYTES, key=f"flood {number}")
        bia.say("secret", to=name, key="2")
        bia.say("the end", key="3")
        wait_for_text(path, "secret")
        wait_for_text(path, "the end")
        ana.send_signal(signal.SIGKILL)
        ana.wait()
    for is_news in (True, False):
        with seated(server, name, name, *flags) as ana:
            say(server, name, f"now {is_news}")
            ana.wait_for(f"now {is_news}")
            said = "\n".join(ana.scrollback)
            assert said.count("secret") == said.count("the end") == int(is_news)
            assert "shown" not in said
            leave(ana)
    assert path.read_text("utf-8").count("secret") == 1


def test_room_that_is_entered_later_goes_on_where_it_was_left(server: RunningServer) -> None:
    """It is remembered although the next run does not begin there."""
    say(server, "later", "seen")
    with seated(server, "later", "lobby") as ana:
        ana.type("/join later\r")
        ana.wait_for("[bia]: seen")
        leave(ana)
    say(server, "later", *(f"missed {number}" for number in range(25)))
    with seated(server, "later", "lobby") as ana:
        ana.type("/join later\r")
        ana.wait_for("missed 24")
        assert said_rows(ana) == [f"missed {number}" for number in range(25)]
        assert sum("new since" in row for row in ana.scrollback) == 1


def test_history_overrides_and_forget_clears(server: RunningServer) -> None:
    """The line stands where it belongs, among what was asked for."""
    say(server, "override", "old", "seen")
    with seated(server, "over", "override") as ana:
        ana.wait_for("[bia]: seen")
        leave(ana)
    say(server, "override", "missed")
    with seated(server, "over", "override", "--history", "2") as ana:
        ana.wait_for("[bia]: missed")
        rows = [row for row in ana.rows if "seen" in row or "new since" in row or "missed" in row]
        assert [row.split()[-1] for row in rows] == ["seen", "───", "missed"]
        leave(ana)
    with running_client(server, "--forget", "--name", "over") as forgetting:
        assert forgetting.wait() == 0
        assert "are forgotten" in forgetting.stderr
    with seated(server, "over", "override") as ana:
        ana.wait_for("[bia]: missed")
        assert said_rows(ana) == ["old", "seen", "missed"] and "new since" not in ana.screen


def test_draft_lines_and_what_was_cleared_come_back(server: RunningServer) -> None:
    """After a hang-up too; nothing of a private run does."""
    with seated(server, "draft", "draft") as ana:
        ana.type("said\r")
        ana.wait_for("[draft]: said")
        ana.type("cleared")
        ana.wait_for_line("[draft]: cleared")
        ana.type(CTRL_C)
        ana.wait_for_line("[draft]:")
        ana.type(UP)
        ana.wait_for_line("[draft]: cleared")
        ana.type(CTRL_C + "half a line")
        ana.wait_for_line("[draft]: half a line")
        ana.send_signal(signal.SIGHUP)
        assert ana.wait() == 128 + signal.SIGHUP
    with person(server.address, "draft", "--room", "draft", env={"CHAT_PRIVATE": "1"}) as private:
        private.wait_for("connected")
        private.type("a secret")
        private.wait_for_line("[draft]: a secret")
        private.type(CTRL_C)
        private.wait_for_line("[draft]:")
        leave(private)
    with seated(server, "draft", "draft") as ana:
        ana.wait_for_line("[draft]: half a line")
        ana.type(CTRL_C)
        ana.wait_for_line("[draft]:")
        ana.type(UP + UP)
        ana.wait_for_line("[draft]: cleared")
        ana.type(UP)
        ana.wait_for_line("[draft]: said")


def test_draft_waits_in_the_room_where_it_was_typed(server: RunningServer) -> None:
    """Who begins in another room finds nothing in the prompt that one Enter would tell others."""
    with seated(server, "leo", "hall") as leo:
        leo.type("/join projetos\r")
        leo.wait_for("You entered #projetos")
        leo.type("half a line")
        leo.wait_for_line("[leo]: half a line")
        leo.send_signal(signal.SIGHUP)
        assert leo.wait() == 128 + signal.SIGHUP
    with seated(server, "leo", "hall") as leo:
        leo.wait_for("You have a draft in #projetos; /join projetos brings it back.")
        assert any("you were also in #projetos: /join projetos" in row for row in leo.scrollback)
        leo.wait_for_line("[leo]:")
        leo.type("/join projetos\r")
        leo.wait_for_line("[leo]: half a line")


def test_transcript_has_everything_once_over_runs_kills_and_restarts(
    server: RunningServer, tmp_path: Path
) -> None:
    """In the order in which it was said; also what was missed beyond what a screen shows first."""
    path = tmp_path / "said.log"
    flags = ("--transcript", str(path))
    say(server, "log", "one")
    with seated(server, "log", "log", *flags) as ana:
        ana.wait_for("[bia]: one")
        ana.type("mine\r")
        ana.wait_for("[log]: mine")
        ana.send_signal(signal.SIGKILL)
        ana.wait()
    say(server, "log", *(f"missed {number}" for number in range(30)))
    with seated(server, "log", "log") as ana:
        ana.wait_for("missed 29")
        leave(ana)
    with seated(server, "log", "log", *flags) as ana:
        wait_for_text(path, "missed 29")
        ana.type("/history\r")
        ana.wait_for("back to the present")
        leave(ana)
    rows = path.read_text("utf-8").splitlines()
    said = [row.partition("]: ")[2] for row in rows if "]: " in row]
    assert said == ["one", "mine", *(f"missed {number}" for number in range(30))]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", row) for row in rows)


def test_transcript_catches_up_and_the_screen_shows_what_is_new(
    server: RunningServer, tmp_path: Path
) -> None:
    """What a run without it has shown does not come again on the screen."""
    path = tmp_path / "said.log"
    say(server, "both", "one")
    for flags, texts in ((True, ["two"]), (False, ["three", "four"]), (True, ["five"])):
        transcript = ("--transcript", str(path)) if flags else ()
        with seated(server, "both", "both", *transcript) as ana:
            if texts == ["five"]:
                ana.wait_for("[bia]: away")
                assert said_rows(ana) == ["away"]
                assert sum("new since" in row for row in ana.scrollback) == 1
            say(server, "both", *texts)
            ana.wait_for(f"[bia]: {texts[-1]}")
            leave(ana)
        if not flags:
            say(server, "both", "away")
    rows = path.read_text("utf-8").splitlines()
    said = [row.partition("[bia]: ")[2] for row in rows if "[bia]: " in row]
    assert said == ["one", "two", "three", "four", "away", "five"]


def test_transcript_has_what_was_said_in_private_without_it(tmp_path: Path) -> None:
    """Once, as the screen has; and nothing of that looks like a log that was put back."""
    path, port = tmp_path / "said.log", stable_port()
    for number, flags in enumerate([("--transcript", str(path)), (), ("--transcript", str(path))]):
        with (
            running_server("--rate", "0", db=tmp_path / "chat.db", port=port) as server,
            seated(server, "ana", "", *flags) as ana,
            full_client(server.address, "bia") as bia,
        ):
            bia.say(f"psst {number}", to="ana", key=f"private {number}")
            bia.say(f"aloud {number}", key=f"aloud {number}")
            ana.wait_for(f"psst {number}")
            ana.wait_for(f"aloud {number}")
            leave(ana)
            said = "\n".join(ana.scrollback)
            assert said.count("psst") == said.count("aloud") == 1
            assert "copy" not in said
    rows = path.read_text("utf-8").splitlines()
    written = sorted(row.rpartition("]: ")[2] for row in rows if "[bia" in row and "]: " in row)
    assert written == [f"{how} {number}" for how in ("aloud", "psst") for number in range(3)]


def test_transcript_of_a_pipe_misses_nothing(server: RunningServer, tmp_path: Path) -> None:
    """A logger that is started again goes on where it was."""
    path = tmp_path / "said.log"
    arguments = ("--name", "logger", "--room", "pipe", "--listen", "--transcript", str(path))
    for texts, flags in ((["one"], ("--history", "1")), (["two", "three"], ())):
        say(server, "pipe", *texts)
        with running_program("client.py", server.address, *arguments, *flags) as logger:
            wait_for_text(path, texts[-1])
            logger.process.send_signal(signal.SIGTERM)
            assert logger.wait() == 128 + signal.SIGTERM
    rows = path.read_text("utf-8").splitlines()
    assert [row.partition("[bia]: ")[2] for row in rows if "[bia]: " in row] == [
        "one",
        "two",
        "three",
    ]


def test_terminal_notifies_where_it_is_wished_for(server: RunningServer) -> None:
    """Without anything to be seen of it on the screen."""
    env = {"TERM_PROGRAM": "WezTerm"}
    with (
        person(server.address, "ana", "--room", "notify", "--notify", env=env) as ana,
        person(server.address, "caio", "--room", "notify", env=env) as caio,
    ):
        for someone in (ana, caio):
            someone.wait_for("connected")
        say(server, "notify", "hello ana and caio", "the end")
        for someone, is_wished in ((ana, True), (caio, False)):
            someone.wait_for("[bia]: the end")
            sequence = b"\x1b]777;notify;bia;hello ana and caio\x1b\\"
            assert (sequence in someone.bytes) is is_wished
            assert "777" not in someone.screen
