"""The client without a terminal: pipes, JSON, addresses, and every way out."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from hostile_server import hostile_server
from support import (
    DEADLINE_SECONDS,
    ROOT,
    Program,
    RunningServer,
    clean_environment,
    full_client,
    running_client,
    running_program,
    running_server,
    serving,
    stable_port,
)

import chat_pb2
import chat_pb2_grpc
import client
from chat.client import app, ending
from chat.client.ending import EXIT_BROKEN_PIPE
from chat.client.ui.standard_input import MAX_LINE_BYTES

OLD_SERVER = str(Path("tests", "peers", "old_server.py"))


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for all tests that do no harm to it; each uses a room or a name of its own."""
    with running_server() as running:
        yield running


def talk(
    *arguments: str, typed: str | bytes = "", **env: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the client with `typed` as its whole input, and return what became of it."""
    return subprocess.run(
        [sys.executable, "client.py", *arguments],
        input=typed.encode() if isinstance(typed, str) else typed,
        capture_output=True,
        cwd=ROOT,
        env=clean_environment(env),
        timeout=60,
    )


# Pipes.


def test_pipe_has_one_line_for_each_message_and_nothing_else(server: RunningServer) -> None:
    """Without a terminal: no prompt, no colour, and 0 once what was said is acknowledged."""
    room = ("--room", "pipe")
    done = talk(server.address, "--name", "robo", *room, typed="um\n\ndois\n/etc/passwd\n")
    assert done.returncode == 0
    assert done.stdout.decode() == "[robo]: um\n[robo]: dois\n[robo]: /etc/passwd\n"
    assert done.stderr == b""


def test_message_of_several_lines_is_one_line_out(server: RunningServer) -> None:
    """Programs that read line by line never take half a message for somebody else's."""
    with (
        full_client(server.address, "bia", room="lines") as bia,
        running_client(server, "--name", "olho", "--room", "lines", "--listen") as olho,
    ):
        bia.wait_for_kind(chat_pb2.KIND_JOINED)
        bia.say("oi\n[ana]: sim", key="lines1")
        assert olho.wait_for_line("[bia]") == "[bia]: oi ⏎ [ana]: sim"


def test_listening_reads_no_input(server: RunningServer) -> None:
    """`--listen` goes on after the end of input, shows what comes at once, and ends by a signal."""
    with (
        full_client(server.address, "bia", room="listen") as bia,
        running_client(server, "--name", "olho", "--room", "listen", "--listen") as olho,
    ):
        olho.end_input()
        bia.wait_for_kind(chat_pb2.KIND_JOINED)
        bia.say("bom dia", key="listen1")
        olho.wait_for_line("[bia]: bom dia")
        assert olho.stop(signal.SIGTERM) == 128 + signal.SIGTERM
        assert olho.stderr == ""


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"x" * 9000, "at most 8192 bytes"),
        (b"x" * 10_000_000, "at most 8192 bytes"),
        (b"x" * (MAX_LINE_BYTES - 1) + b"\xc3\xa9", "at most 8192 bytes"),  # cut in a character
        (b"hello".ljust(MAX_LINE_BYTES, b"\r") + b"rest", "at most 8192 bytes"),
        (b"\xff\xfe", "not text in UTF-8"),
        (b"\xe2\x80", "not text in UTF-8"),
    ],
)
def test_unacceptable_line_is_told_and_the_others_go(
    server: RunningServer, line: bytes, reason: str
) -> None:
    """One line that cannot be sent costs the exit code, and nothing of the rest."""
    arguments = (server.address, "--name", "robo", "--room", "unacceptable", "--history", "0")
    done = talk(*arguments, typed=b"before\n" + line + b"\nafter\n")
    assert done.returncode == ending.EXIT_NOT_ACKNOWLEDGED
    assert done.stdout.decode() == "[robo]: before\n[robo]: after\n"
    assert done.stderr.decode().startswith("Not sent: ") and reason in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_what_is_not_acknowledged_costs_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server dies before the end of input: a sentence on standard error, and not 0."""
    monkeypatch.setattr(ending, "PIPE_END_SECONDS", 1.0)
    with running_server() as dying:

        class Dying(io.BytesIO):
            """Input whose second line comes when there is no server any more."""

            def readline(self, limit: int | None = -1) -> bytes:
                line = super().readline(limit)
                if line.startswith(b"second"):
                    dying.process.kill()
                    dying.process.wait()
                return line

        class Input:
            buffer = Dying(b"first\nsecond\n")

            @staticmethod
            def isatty() -> bool:
                return False

        monkeypatch.setattr(sys, "stdin", Input())
        code = client.main([dying.address, "--name", "robo", "--lang", "en"])
    assert code == ending.EXIT_NOT_ACKNOWLEDGED
    told = capfd.readouterr().err
    assert "not confirmed:\n" in told and told.endswith("\n  second\n")


@pytest.mark.parametrize("typed", [b"", b"oi\n"])
def test_server_that_never_says_a_word_is_given_up_soon(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], typed: bytes
) -> None:
    """It ends every stream politely: one time of waiting is for all of them, and not a minute."""
    monkeypatch.setattr(ending, "SILENT_END_SECONDS", 1.0)

    class Input:
        buffer = io.BytesIO(typed)

        @staticmethod
        def isatty() -> bool:
            return False

    monkeypatch.setattr(sys, "stdin", Input)
    begun = time.monotonic()
    with hostile_server([]) as server:
        code = client.main([server.address, "--name", "robo", "--lang", "en"])
    assert time.monotonic() - begun < ending.PIPE_END_SECONDS / 2
    assert code == (ending.EXIT_NOT_ACKNOWLEDGED if typed else ending.EXIT_OK)
    assert ("1 message was not confirmed:\n  oi\n" in capfd.readouterr().err) == bool(typed)


# JSON.


def test_json_has_every_field_both_ways(server: RunningServer) -> None:
    """One object a line in and out; the sender's key is kept, and a key is appended once."""
    said = [{"message": "oi\nlá", "key": "json-1"}] * 2
    asked = [{"kind": "KIND_WHO", "key": "json-2"}, {"message": "psiu", "to": "robo"}]
    lines = "".join(json.dumps(fields) + "\n" for fields in [*said, *asked])
    done = talk(server.address, "--name", "robo", "--room", "json", "--json", typed=lines)
    assert (done.returncode, done.stderr) == (0, b"")
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    fields = {field.name for field in chat_pb2.Message.DESCRIPTOR.fields} - {"batch"}
    assert all(set(message) == fields for message in messages)
    # Who is here is told at once, what is said after its commit.
    first = next(message for message in messages if message["id"])
    assert (first["user"], first["message"], first["key"]) == ("robo", "oi\nlá", "json-1")
    assert isinstance(first["id"], int) and first["id"] and first["sent_at"].endswith("Z")
    kinds = [message["kind"] for message in messages]
    assert "KIND_PRESENT" in kinds and "KIND_WHO" in kinds
    private = next(message for message in messages if message["to"])
    assert private["message"] == "psiu" and private["id"]  # it is one's own inbox
    assert done.stdout.count(b'"json-1"') == 1


def test_json_that_is_none_is_refused(server: RunningServer) -> None:
    """What is not a message is reported on standard error; the server's refusals are objects."""
    lines = ['{"message": "ok"}', "nonsense", '{"kind": "KIND_JOINED"}', "[" * 5000]
    lines += ['{"to": "nobody", "message": "x", "key": "k"}', '{"message": "other", "key": "k"}']
    lines += ['{"message": "cut"}'.ljust(MAX_LINE_BYTES) + "not JSON"]
    lines += [json.dumps({"message": "never answered", "key": "k" * 257})]
    arguments = (server.address, "--name", "robo", "--room", "no-json", "--json")
    done = talk(*arguments, typed="\n".join(lines))
    assert done.returncode == ending.EXIT_NOT_ACKNOWLEDGED
    assert done.stderr.count(b"Not sent: ") == 6
    notices = [json.loads(line) for line in done.stdout.splitlines() if b"KIND_NOTICE" in line]
    assert [(n["user"], n["key"]) for n in notices] == [("USER_UNKNOWN", "k")]


def test_json_has_rooms_and_pages_of_history(server: RunningServer) -> None:
    """A program is in several rooms by one stream, and asks for what was said before."""
    with (
        full_client(server.address, "bia", room="json-b") as bia,
        full_client(server.address, "caio", room="json-d") as caio,
        full_client(server.address, "davi", room="json-e"),
    ):
        for number in range(5):
            bia.say(str(number), key=f"json-b{number}")
            caio.say(f"d{number}", key=f"json-d{number}")
        last = bia.wait_for_text("4")
        first = caio.wait_for_key("json-d0")
        caio.wait_for_key("json-d4")
        wishes: list[dict[str, object]] = [
            {"kind": "KIND_ENTERED", "room": "json-b", "message": "1", "key": "e"},
            {"kind": "KIND_HISTORY", "room": "json-b", "message": "2", "id": last.id, "key": "h"},
            {"kind": "KIND_ACTION", "room": "json-b", "message": "waves", "key": "a"},
            {"kind": "KIND_ENTERED", "room": "json-c", "key": "c"},
            {"kind": "KIND_EXITED", "room": "json-c", "key": "x"},
            {"kind": "KIND_ROOMS", "key": "r"},
            {"kind": "KIND_ENTERED", "room": "json-d", "message": "2", "id": first.id, "key": "d"},
            {"kind": "KIND_HISTORY", "room": "json-b", "message": "1+2", "id": last.id, "key": "p"},
            {"kind": "KIND_SEARCH", "room": "json-b", "message": '"3"', "key": "s"},
            {"kind": "KIND_WHO", "room": "json-e", "key": "w"},
        ]
        typed = "".join(json.dumps(wish) + "\n" for wish in wishes)
        done = talk(server.address, "--name", "robo", "--room", "json-a", "--json", typed=typed)
    assert (done.returncode, done.stderr) == (0, b"")
    came = [json.loads(line) for line in done.stdout.splitlines()]
    keys = [message["key"] for message in came if message["key"]]
    came_by_themselves = {"json-b4", "json-d3", "json-d4"}
    assert set(keys) == {*"ehacxrdpsw", *came_by_themselves} and keys[0] == "e"
    answers = {m["key"]: [one["message"] for one in m["batch"]] for m in came if m.get("batch")}
    assert answers == {"h": ["2", "3"], "p": ["3", "4", "waves"], "s": ["3"]}
    present = [(m["user"], m["room"]) for m in came if m["kind"] == "KIND_PRESENT"]
    assert present == [("davi", "json-e")]
    rooms = {m["room"]: m["message"] for m in came if m["kind"] == "KIND_ROOMS" and m["message"]}
    assert (rooms["json-a"], rooms["json-b"]) == ("1", "2") and "json-c" not in rooms


def test_search_prints_what_it_finds_and_ends(server: RunningServer, tmp_path: Path) -> None:
    """The newest first, under a name of its own, which leaves no file behind; an exit code of its
    own for nothing found.
    """
    home = tmp_path / "state"
    arguments = (server.address, "--room", "search", "--lang", "en")
    with full_client(server.address, "bia", room="search") as bia:
        for text in ("Reunião às 15h", "bom dia", "a REUNIAO mudou"):
            bia.say(text, key=text)
        bia.wait_for_key("a REUNIAO mudou")
        env = {"XDG_STATE_HOME": str(home), "LOCALAPPDATA": str(home)}
        done = talk(*arguments, "--search", "reuni", **env)
        nothing = talk(*arguments, "--search", "nada")
        wrong = talk(*arguments, "--search", "!?")
        taken = talk(*arguments, "--name", "bia", "--search", "reuni")
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (0, b"") and not home.exists()
    assert [line.split("[bia]: ")[1] for line in lines] == ["a REUNIAO mudou", "Reunião às 15h"]
    assert all(line.startswith("@") for line in lines)
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (4, b"", b"")
    assert wrong.returncode == 2
    assert taken.returncode == 1 and b"leave out --name" in taken.stderr


def test_several_rooms_are_heard_by_one_client(server: RunningServer) -> None:
    """What is said in another one than the first has the room before it."""
    rooms = ("--room", "Several", "--room", "other")
    with (
        full_client(server.address, "bia", room="several") as bia,
        full_client(server.address, "caio", room="other") as caio,
        running_client(server, "--name", "olho", *rooms, "--listen") as olho,
    ):
        for number, someone in enumerate((bia, caio)):
            someone.wait_for_kind(chat_pb2.KIND_JOINED)
            someone.say(f"said {number}", key=f"several{number}")
        olho.wait_for_line("said 0")
        olho.wait_for_line("said 1")
        said = [line for line in olho.lines if "said" in line]
        assert sorted(said) == ["#other [caio]: said 1", "[bia]: said 0"]


# Who is killed, and who is taken for whom.


def test_killed_client_is_back_at_once_with_its_inbox(server: RunningServer) -> None:
    """Its name is held for its session, which is kept; nothing private comes twice."""
    flags = ("--name", "morta", "--room", "killed", "--json")
    with full_client(server.address, "bia", room="killed") as bia:
        with running_client(server, *flags) as first:
            bia.wait_for_kind(chat_pb2.KIND_JOINED)
            bia.say("before", to="morta", key="killed0")
            first.wait_for_line('"message": "before"')
            first.send_signal(signal.SIGKILL)
            first.wait()
        bia.say("meanwhile", to="morta", key="killed1")
        bia.wait_for_key("killed1")
        with running_client(server, *flags) as second:
            second.wait_for_line('"message": "meanwhile"')
            second.end_input()
            assert second.wait() == 0
            private = [m for m in map(json.loads, second.lines) if m["to"]]
            assert [message["message"] for message in private] == ["meanwhile"]


def test_two_clients_with_one_name_are_two(server: RunningServer) -> None:
    """The second one is told that the name is taken, and the first goes on."""
    flags = ("--name", "duas", "--room", "two")
    with running_client(server, *flags) as first:
        first.type("one")
        first.wait_for_line("one")
        second = talk(server.address, *flags)
        assert second.returncode == ending.EXIT_REFUSED and b"name is taken" in second.stderr
        first.type("two")
        first.wait_for_line("[duas]: two")


# Names and addresses.


def test_name_is_asked_for(server: RunningServer) -> None:
    """Without `--name` the first line of input is the name; the question is `Digite seu nome: `."""
    done = talk(server.address, "--lang", "pt_BR", "--room", "asked", typed="ana\noi\n/sair\n")
    assert done.returncode == 0
    assert done.stdout.decode() == "[ana]: oi\n"
    assert done.stderr.decode() == "Digite seu nome: "


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE to be like")
@pytest.mark.parametrize("mode", [(), ("--listen",), ("--json",)])
def test_closed_pipe_ends_it_quietly(server: RunningServer, mode: tuple[str, ...]) -> None:
    """As `| head -1` does: 128 and the number of SIGPIPE, and no word."""
    room = f"closed-{len(mode)}-{''.join(mode).strip('-')}"
    command = [sys.executable, "client.py", server.address, "--name", "olho", "--room", room]
    with (
        full_client(server.address, "ana", room=room) as ana,
        subprocess.Popen(
            [*command, *mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=clean_environment(),
        ) as reader,
    ):
        assert reader.stdout is not None and reader.stderr is not None
        ana.wait_for_kind(chat_pb2.KIND_JOINED)
        ana.say("first", key=f"{room}-1")
        assert any(b"first" in line for line in reader.stdout)
        reader.stdout.close()
        ana.say("second", key=f"{room}-2")
        assert reader.wait(DEADLINE_SECONDS) == EXIT_BROKEN_PIPE
        assert reader.stderr.read() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends programs otherwise")
def test_reader_who_takes_nothing_keeps_nobody_from_leaving(server: RunningServer) -> None:
    """One signal ends it, and says what was not confirmed, though the pipe of its output is full.

    Within ten times what it should take.
    """
    room = "stuck"
    said = "".join(f"{number} {'x' * 8000}\n" for number in range(20))
    assert talk(server.address, "--name", "ana", "--room", room, typed=said).returncode == 0
    command = [sys.executable, "client.py", server.address, "--name", "bia", "--room", room]
    command += ["--history", "20"]
    with (
        full_client(server.address, "caio", room=room) as caio,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=clean_environment(),
        ) as stuck,
    ):
        assert stuck.stdin is not None and stuck.stderr is not None
        stuck.stdin.write(b"unheard\n")
        stuck.stdin.flush()
        caio.wait_for_text("unheard")
        stuck.send_signal(signal.SIGTERM)
        try:
            assert stuck.wait(10 * app.LEAVE_SECONDS) == 128 + signal.SIGTERM
        finally:
            stuck.kill()
        assert stuck.stderr.read() == b"1 message was not confirmed:\n  unheard\n"


def test_no_name_at_all_is_a_sentence(server: RunningServer) -> None:
    """The end of input instead of a name: a sentence and the exit code of a wrong command line."""
    done = talk(server.address)
    assert done.returncode == client.EXIT_USAGE
    assert "No name was given." in done.stderr.decode()


@pytest.mark.parametrize("name", ["Servidor", "x" * 33, "", "a\u202eb"])
def test_refused_name_is_a_sentence(server: RunningServer, name: str) -> None:
    """It says what to do, and ends the program: with 2 where no server would take the name."""
    done = talk(server.address, "--name", name)
    assert done.returncode == (ending.EXIT_REFUSED if name == "Servidor" else client.EXIT_USAGE)
    assert "choose another one" in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["host:x"], "is not a valid address"),
        (["host:x", "--listen"], "is not a valid address"),
        (["localhost:99999", "--send-only"], "is not a valid address"),
        (["--listen", "--send-only"], "exclude each other"),
        (["--token-file", "no-such-file"], "no-such-file cannot be read"),
        (["--room", "a  b"], "This cannot be a room's name"),
    ],
)
def test_wrong_command_line_is_a_sentence(arguments: list[str], words: str) -> None:
    """Said before a name is asked for."""
    done = talk(*arguments, typed="ana\n")
    assert done.returncode == client.EXIT_USAGE
    assert words in done.stderr.decode() and done.stderr.count(b"\n") == 1


def test_no_server_there_is_a_sentence() -> None:
    """Nobody listens: one sentence on standard error, and 1, within seconds."""
    done = talk(f"localhost:{stable_port()}", "--name", "ana", typed="oi\n")
    assert done.returncode == ending.EXIT_REFUSED
    assert done.stdout == b"" and done.stderr.count(b"\n") == 1
    assert "No chat server answers at" in done.stderr.decode()


def test_address_comes_from_the_environment(server: RunningServer) -> None:
    """`CHAT_SERVER` and the variable of each flag stand in for the command line."""
    done = talk(typed="oi\n", CHAT_SERVER=server.address, CHAT_NAME="eva", CHAT_ROOM="env")
    assert (done.returncode, done.stdout) == (0, b"[eva]: oi\n")


# Ways out.


@pytest.mark.parametrize("word", ["/sair", " /SAIR ", "/Quit"])
def test_leaving_word_ends_it(server: RunningServer, word: str) -> None:
    """`/sair` in any case, with spaces around it, ends the client although its input goes on."""
    with running_client(server, "--name", "ana", "--room", "leave", "--history", "0") as ana:
        ana.type("oi")
        ana.type(word)
        assert ana.wait() == 0
        assert ana.lines == ["[ana]: oi"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_quietly(server: RunningServer, number: int) -> None:
    """Ctrl-C and SIGTERM end it with 128 and their number, without a traceback."""
    with running_client(server, "--name", "ana", "--room", f"out{number}") as ana:
        ana.type("oi")
        ana.wait_for_line("[ana]: oi")
        assert ana.stop(number) == 128 + number
        assert ana.stderr == ""


def test_name_is_free_at_once_after_a_signal(server: RunningServer) -> None:
    """The client half-closes: what was typed is said, and nobody has to wait for the name."""
    with (
        full_client(server.address, "freia", room="freed") as bia,
        running_client(server, "--name", "livre", "--room", "freed") as livre,
    ):
        bia.wait_for_kind(chat_pb2.KIND_JOINED)
        livre.type("last words")
        livre.wait_for_line("last words")
        assert livre.stop(signal.SIGTERM) == 128 + signal.SIGTERM
        bia.wait_for_kind(chat_pb2.KIND_LEFT)
        with full_client(server.address, "livre", room="freed") as other:
            assert other.epoch


def test_killed_server_is_told_once_and_waited_for(tmp_path: Path) -> None:
    """The server is killed and comes back: two lines say so, and the conversation goes on."""
    database, port = tmp_path / "chat.db", stable_port()
    with running_server(db=database, port=port) as first:
        ana: Program
        with running_client(first, "--name", "ana") as ana:
            ana.type("before")
            ana.wait_for_line("[ana]: before")
            first.process.kill()
            ana.wait_for_error("Connection lost")
            ana.type("meanwhile")
            with running_server(db=database, port=port):
                ana.wait_for_line("[ana]: meanwhile")
                ana.end_input()
                assert ana.wait() == 0
            assert ana.lines == ["[ana]: before", "[ana]: meanwhile"]
            assert len(ana.errors) == 2


def test_final_refusal_ends_a_pipe_that_says_nothing(tmp_path: Path) -> None:
    """Refused for good while its input is silent, the client ends by itself, with 1."""
    port, token = stable_port(), tmp_path / "token"
    token.write_text("secret-secret-secret")
    token.chmod(0o600)
    token.chmod(0o600)
    with (
        running_server(port=port) as first,
        running_client(first, "--name", "ana", "--room", "x") as ana,
    ):
        ana.type("oi")
        ana.wait_for_line("[ana]: oi")
        ana.send_signal(signal.SIGSTOP)
        first.process.kill()
        first.process.wait()
        with running_server("--token-file", str(token), port=port):
            ana.send_signal(signal.SIGCONT)
            assert ana.wait() == ending.EXIT_REFUSED
        assert "The server asks for a token" in ana.stderr
        assert "Traceback" not in ana.stderr


# As long as a test can wait, instead of a minute.
IMPATIENT = """
import sys, client
from chat.client import app
app.LOST_NAME_SECONDS = 0.2
sys.exit(client.main(sys.argv[1:]))
"""


def test_program_whose_name_was_lost_ends_with_what_it_could_not_say() -> None:
    """It tries on for a while; then 3, and on standard error each line."""
    port = stable_port()
    with (
        running_server(port=port) as first,
        running_program("-c", IMPATIENT, first.address, "--name", "ana") as ana,
    ):
        ana.type("oi")
        ana.wait_for_line("[ana]: oi")
        ana.send_signal(signal.SIGSTOP)
        first.process.kill()
        first.process.wait()
        with running_server(port=port) as second, full_client(second.address, "ana") as other:
            assert other.epoch
            ana.send_signal(signal.SIGCONT)
            ana.type("never heard")
            assert ana.wait() == ending.EXIT_NOT_ACKNOWLEDGED
            assert other.texts == []
        assert "Somebody else is called [ana] now" in ana.stderr
        assert "1 message was not confirmed:\n  never heard\n" in ana.stderr


# Plain servers.


@contextmanager
def old_server(port: int = 0, max_workers: int = 10) -> Iterator[str]:
    """Run a server of the first version and return its address."""
    with running_program(OLD_SERVER, str(port), str(max_workers)) as old:
        yield f"localhost:{old.wait_for_line('...').rstrip('.').split()[-1]}"


def test_plain_server_is_enough() -> None:
    """With a server of the first version it talks, says once what is missing, and leaves."""
    with old_server() as address, running_client(address, "--name", "ana") as ana:
        ana.type("oi")
        ana.wait_for_line("[ana]: oi")
        ana.wait_for_error("This server keeps no history")
        ana.type("/sair")
        assert ana.wait() == 0
        assert ana.lines == ["[ana]: oi"] and len(ana.errors) == 1


def test_plain_server_that_comes_back_is_talked_to_again() -> None:
    """Nothing is promised of what was said meanwhile."""
    port = stable_port()
    with ExitStack() as servers:
        address = servers.enter_context(old_server(port))
        with running_client(address, "--name", "ana") as ana:
            ana.type("before")
            ana.wait_for_line("[ana]: before")
            servers.close()
            ana.wait_for_error("Connection lost")
            servers.enter_context(old_server(port))
            ana.type("after")
            ana.wait_for_line("[ana]: after")
            ana.wait_for_error("* Reconnected.")
            ana.end_input()
            assert ana.wait() == 0
            assert "you missed" not in ana.stderr


def test_plain_server_is_told_nothing_private() -> None:
    """What it does not understand is refused aloud, and the rest goes."""
    lines = [{"message": "psiu", "to": "bia", "key": "p"}, {"message": "oi"}]
    with old_server() as address:
        typed = "".join(json.dumps(fields) + "\n" for fields in lines)
        done = talk(address, "--name", "robo", "--json", typed=typed)
    assert done.returncode == ending.EXIT_NOT_ACKNOWLEDGED
    came = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(m["user"], m["key"]) for m in came if m["kind"] == "KIND_NOTICE"] == [
        ("PLAIN_SERVER", "p")
    ]
    assert [m["message"] for m in came if m["kind"] == "KIND_UNSPECIFIED"] == ["oi"]


def test_server_without_a_place_is_told_of() -> None:
    """A pool of threads that are all taken leaves the next client hanging without a word."""
    with (
        old_server(max_workers=1) as address,
        running_client(address, "--name", "ana") as ana,
    ):
        ana.type("oi")
        ana.wait_for_line("[ana]: oi")
        with running_client(address, "--name", "bia") as bia:
            bia.type("is anybody here?")
            bia.wait_for_error("The server has not answered yet; it may be full")


def test_help_names_the_variable_of_every_flag() -> None:
    """`--help` shows each flag with its variable, in the language that is asked for."""
    english, portuguese = talk("--help", "--lang", "en"), talk("--help", "--lang", "pt_BR")
    assert english.returncode == portuguese.returncode == 0
    text = english.stdout.decode()
    for flag in ("name", "room", "history", "bell", "json", "listen", "tls", "token-file", "lang"):
        assert f"--{flag}" in text and f"CHAT_{flag.upper().replace('-', '_')}" in text
    assert english.stdout != portuguese.stdout


# Servers that do not keep to the contract.


class OddServer(chat_pb2_grpc.ChatServiceServicer):
    """A server whose Chat is `chat(requests, context)`."""

    def __init__(self, chat: Callable[[Any, Any], Iterator[chat_pb2.Message]]) -> None:
        self._chat = chat

    def Chat(self, request_iterator: Any, context: Any) -> Iterator[chat_pb2.Message]:
        """Serve one client."""
        return self._chat(request_iterator, context)


@pytest.mark.parametrize("is_in_background", [False, True])
def test_refusal_that_comes_late_ends_the_client(is_in_background: bool) -> None:
    """On a slow network the answer comes when typing has long begun.

    What a shell started in the background ignores SIGINT.
    """
    is_due = threading.Event()

    def chat(requests: Any, context: Any) -> Iterator[chat_pb2.Message]:
        is_due.wait(60)
        context.abort(grpc.StatusCode.ALREADY_EXISTS, "taken")
        yield chat_pb2.Message()

    command = [sys.executable, "client.py"]
    if is_in_background:
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with (
        serving(OddServer(chat)) as address,
        closing(Program([*command, address, "--name", "ana"])) as ana,
    ):
        ana.type("is anybody here?")
        # Twice as long as the client waits for an answer before it lets the user type.
        is_due.wait(2 * app.GREETING_SECONDS)
        is_due.set()
        assert ana.wait() == ending.EXIT_REFUSED
        assert "This name is taken" in ana.stderr and "Traceback" not in ana.stderr


# What nobody expects of our own code.
FAILING = """
import sys, client
from chat.client.app import App
def receive(self, message): raise RuntimeError("odd")
App.receive = receive
sys.exit(client.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("mode", [(), ("--listen",), ("--json",)], ids=repr)
def test_receive_thread_that_fails_ends_the_client_with_a_sentence(
    server: RunningServer, mode: tuple[str, ...]
) -> None:
    """Without it the client would read lines for ever, and send none."""
    room = f"failing-{''.join(mode).strip('-')}"
    with (
        full_client(server.address, "ana", room=room) as ana,
        running_program(
            "-c", FAILING, server.address, "--name", "robo", "--room", room, *mode
        ) as robo,
    ):
        ana.wait_for_kind(chat_pb2.KIND_JOINED)
        ana.say("oi")
        assert robo.wait() == ending.EXIT_REFUSED
        assert "Something unexpected" in robo.stderr and "Traceback" not in robo.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("mode", [(), ("--listen",), ("--json",)], ids=repr)
def test_output_that_cannot_be_written_is_told(
    server: RunningServer, mode: tuple[str, ...]
) -> None:
    """The disk is full: a sentence, and 1, whoever it is that writes."""
    room = f"full-{''.join(mode).strip('-')}"
    command = [sys.executable, "client.py", server.address, "--name", "robo", "--room", room]
    command += ["--history", "1"]
    with open("/dev/full", "wb") as full, full_client(server.address, "ana", room=room) as ana:
        ana.say("oi", key=room)
        ana.wait_for_text("oi")
        done = subprocess.run(
            [*command, *mode],
            input=b'{"message": "oi"}\n',
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=clean_environment(),
            timeout=DEADLINE_SECONDS,
        )
    assert done.returncode == ending.EXIT_REFUSED
    assert b"could be written to standard output: the disk is full" in done.stderr
    assert b"Traceback" not in done.stderr and b"unexpected" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_sentences_that_cannot_be_written_stop_nothing(server: RunningServer) -> None:
    """Standard error is full: the conversation is not about that."""
    command = [sys.executable, "client.py", server.address, "--room", "mute"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command,
            input=b"robo\noi\n",  # the question for the name goes to standard error too
            stdout=subprocess.PIPE,
            stderr=full,
            cwd=ROOT,
            env=clean_environment(),
            timeout=DEADLINE_SECONDS,
        )
    assert (done.returncode, done.stdout) == (0, b"[robo]: oi\n")
