"""README.md, LEIAME.md and docs/: what they tell people to type works, what they name is there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import documents
import pytest
from support import (
    ROOT,
    Client,
    Program,
    RunningServer,
    clean_environment,
    eventually,
    full_client,
    running_client,
    running_program,
    running_server,
)

import chat_pb2
import client
import server
from chat.client import app, outbox
from chat.client.ui import search_lines
from chat.protocol import limits
from chat.server import send_queue

# What the documents say of limits, and the constants behind it.
LIMITS = {
    "1 to {} characters": limits.MAX_NAME_CHARACTERS,
    "1 to {} bytes of UTF-8": limits.MAX_MESSAGE_BYTES,
    "| {} messages, ": limits.DEFAULT_HISTORY,
    "messages, {} at most": limits.MAX_HISTORY,
    "{} messages or 1 MiB": send_queue.MAX_QUEUED_MESSAGES,
    "disconnected after {} seconds": server.STUCK_SECONDS,
    "rooms of up to {} people": limits.MAX_PRESENCE_MEMBERS,
    "rooms of one client at a time | {} |": limits.MAX_ROOMS,
    "is held for {} seconds": limits.HELD_SECONDS,
    "confirmed | {} |": outbox.MAX_PENDING,
}
MODULES_WITH_EXIT_CODES = (client, app, search_lines)
# The four ideas of LEIAME.md's third section, each where it says that it is.
IDEAS = {
    "server.py": ("ChatService", "Chat", "broadcast", "serve"),
    "client.py": ("request_messages", "receive_messages"),
}

TIME_LIMIT_SECONDS = 120
# "One page in all", before the map.
README_WORDS = 520
# A fence may stand in a list item, indented.
FENCE = re.compile(r"^( *)```(\w+)(?: (\S+))?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FILE_NAME = re.compile(r"`([\w./-]+(?:\.(?:py|pyi|md|proto|js|txt|toml|json)|/))`")
FLAG = re.compile(r"`(--[a-z-]+)")
TARGET = re.compile(r"`make ([a-z][a-z-]*)")
MAP = re.compile(r"<!-- the map -->\n```text\n(.*?)```", re.DOTALL)
QUOTED_SENTENCE = re.compile(r"^- \*([^*]+)\*:", re.MULTILINE)
# Files that the documents let the reader make.
READERS_OWN = ("token.txt", "config.toml")
FLAGS_WITHOUT_VARIABLE = ("--help", "--version", "--print-config", "--no-own-names")
# What would change the machine, is a program that may not be here, or is tried elsewhere.
NEEDS_NO_TRY = (
    "pip install -r requirements.txt",
    "pip install -r requirements-dev.txt",
    "pip install grpcio grpcio-tools",
    "python3 -m venv .venv",
    "source .venv/bin/activate",
    "grpcurl -plaintext localhost:50051 grpc.health.v1.Health/Check",
    "sudo python3 -m venv /opt/grpc-chat",
    "sudo /opt/grpc-chat/bin/pip install .",
    "sudo cp deploy/grpc-chat.service /etc/systemd/system/",
    "sudo systemctl enable --now grpc-chat",
    "sudo cp deploy/grpc-chat@.service /etc/systemd/system/",
    "sudo systemctl enable --now grpc-chat@1 grpc-chat@2 grpc-chat@3",
    "journalctl -u grpc-chat",
    "docker build -f deploy/Containerfile -t grpc-chat .",
    "docker run -d --name chat -p 50051:50051 -v chat:/data --read-only --tmpfs /tmp --cap-drop ALL"
    " grpc-chat",
    "docker compose -f deploy/compose.yaml up --build --detach",
    "nats-server -c nats.conf",
    "python -m pytest tests/unit",
    "python -m examples.eco_bot localhost:50051",
    "python -m examples.diario_bot diario.db localhost:50051",
    "python -m examples.ponte_bot localhost:50051 redes so",
)
PORTUGUESE = {"CHAT_LANG": "pt_BR"}


@dataclass(frozen=True)
class Fence:
    """A fenced block: `language`, the file it is from if it says so, and what is in it."""

    document: str
    language: str
    file: str
    body: str


@cache
def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def fences(language: str) -> list[Fence]:
    """Return every fenced block of one language in the documents."""
    return [
        Fence(document, found, file, textwrap.dedent(body))
        for document in documents.DOCUMENTS
        for _indent, found, file, body in FENCE.findall(text_of(document))
        if found == language
    ]


def commands() -> Iterator[tuple[str, str]]:
    """Yield each command that the documents give, with its document, once."""
    seen = {
        (fence.document, line): None for fence in fences("bash") for line in fence.body.splitlines()
    }
    yield from seen


def run(command: str, folder: Path) -> None:
    """Run a command of the documents, with this Python; it must succeed."""
    python = shlex.quote(sys.executable)
    result = subprocess.run(
        re.sub(r"^python ", f"{python} ", command),
        shell=True,
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIME_LIMIT_SECONDS,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"


# What people are told to type.


def test_every_document_is_tested() -> None:
    """A new document must be in the list, or nothing here would look at it."""
    there = {"README.md", "LEIAME.md", "SECURITY.md"} | {
        f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")
    }
    assert set(documents.DOCUMENTS) == there


@pytest.mark.parametrize(("document", "command"), list(commands()))
def test_command_works(document: str, command: str, tmp_path: Path) -> None:
    """Each command of the documents can be run as it stands; none is of a sort not tried here."""
    last = command.rpartition("| ")[2]
    if last.startswith(("python server.py", "python client.py")):
        # With --help at the end every flag before it is still judged.
        run(f"{last} --help", ROOT)
    elif command.startswith("make "):
        run(f"{command} -n PYTHON={shlex.quote(sys.executable)}", ROOT)
    elif command.startswith("python -m grpc_tools.protoc"):
        shutil.copy(ROOT / "chat.proto", tmp_path)
        run(command, tmp_path)
        assert {"chat_pb2.py", "chat_pb2_grpc.py"} <= set(os.listdir(tmp_path))
    elif command.startswith("openssl ") and shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    elif command.startswith(("python -c", "openssl ")):
        run(command, tmp_path)
        assert os.listdir(tmp_path)
    else:
        assert command in NEEDS_NO_TRY, document


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_tls_and_token_work_as_told(tmp_path: Path) -> None:
    """What docs/operating.md makes, and the fingerprint that is said, let a client talk."""
    for document, command in commands():
        if document == "docs/operating.md" and command.startswith(("openssl ", "python -c")):
            run(command, tmp_path)
    server_flags = flags_with_token("docs/operating.md", "server.py", tmp_path)
    client_flags = flags_with_token("docs/using.md", "client.py", tmp_path)
    own = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    for log, more_flags in (("a.db", ()), ("b.db", own)):
        with running_server(*server_flags, *more_flags, db=tmp_path / log) as server:
            client_flags += ["--fingerprint", "\n".join(server.fingerprint_rows())]
            talk(server, *client_flags, "--name", "ana")


def talk(server: RunningServer, *flags: str) -> None:
    """Say a word, hear it, and leave."""
    with running_client(server, *flags) as client:
        client.type("oi")
        client.wait_for_line("oi")
        client.end_input()
        assert client.wait() == 0, client.report()


def flags_with_token(document: str, program: str, folder: Path) -> list[str]:
    """Return the flags of the command that runs `program` with a token, its files in `folder`."""
    [command] = [
        line
        for name, line in commands()
        if name == document and f" {program} " in line and "--token-file" in line
    ]
    flags = command[command.index("--t") :].split()
    return [str(folder / flag) if "." in flag else flag for flag in flags]


def test_copy_of_the_log_is_whole(tmp_path: Path) -> None:
    """The copy that docs/operating.md makes while the server runs has what was said until then."""
    copying = [
        line.replace("server.py", shlex.quote(str(ROOT / "server.py")))
        for document, line in commands()
        if document == "docs/operating.md" and ("--backup" in line or "--check" in line)
    ]
    assert len(copying) == 2
    with (
        running_server(db=tmp_path / "chat.db") as server,
        full_client(server.address, "ana") as ana,
    ):
        ana.say("before the copy", key="1")
        ana.wait_for_text("before the copy")
        for command in copying:
            run(command, tmp_path)
    with (
        running_server(db=tmp_path / "backup.db") as server,
        full_client(server.address, "bia") as bia,
    ):
        assert bia.wait_for_text("before the copy").user == "ana"


def test_demo_ends_well() -> None:
    """`make demo` shows everything that it should."""
    with running_program("tools/demo.py", "--pace", "0") as demo:
        assert demo.wait(TIME_LIMIT_SECONDS) == 0, demo.report()


def test_demo_fails_when_the_server_does(tmp_path: Path) -> None:
    """A demo in which something goes wrong says what, and does not end with exit code 0."""
    for name in ("tools", "chat"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "server.py").write_text("print('no')\n")
    with running_program("tools/demo.py", "--pace", "0", cwd=tmp_path) as demo:
        assert demo.wait() == 1
        assert "server" in demo.stderr
        assert "Traceback" not in demo.stderr


def test_plain_client_of_the_document_talks() -> None:
    """The ten lines given as a whole client are one: it says its line, hears it, and ends."""
    with running_server() as server, document_client(server.address, "iter([") as client:
        assert client.wait() == 0, client.report()
        assert client.lines == ["[ana]: Hello!"]


def test_full_client_of_the_document_talks() -> None:
    """It shows what was said before, what it says itself when that is confirmed, and refusals."""
    with running_server() as server, full_client(server.address, "bia") as bia:
        bia.say("Hi!", key="1")
        bia.wait_for_text("Hi!")
        with document_client(server.address, "chat-user-bin") as client:
            client.wait_for_line("1 [bia]: Hi!")
            client.type("Hello!")
            client.wait_for_line("2 [ana]: Hello!")
            client.type("")
            client.wait_for_line("! MESSAGE_INVALID: ")
            client.end_input()
            assert client.wait() == 0, client.report()


@contextmanager
def document_client(address: str, mark: str, folder: Path = ROOT) -> Iterator[Program]:
    """Run the program of docs/protocol.md in which `mark` stands, as a client of `address`."""
    [fence] = [fence for fence in fences("python") if mark in fence.body]
    program = fence.body.replace("localhost:50051", address)
    env = {"PYTHONPATH": str(ROOT)}
    with running_program("-u", "-c", program, env=env, cwd=folder) as client:
        yield client


def test_diary_of_the_document_misses_nothing_whatever_is_killed(tmp_path: Path) -> None:
    """The bot, and then the server: all of both rooms, and its inbox, stands there once."""
    path, log = tmp_path / "diario.db", tmp_path / "chat.db"
    numbers = [f"{number}" for number in range(30)]
    said = {"": ["before", *numbers, "psst", "after"], "kitchen": ["before", *numbers, "after"]}

    def wait_for(last: str) -> None:
        eventually(lambda: all(texts[-1:] == [last] for texts in written(path, *said).values()))

    with ExitStack() as stack:
        with running_server(db=log) as server, talkers(server.address) as (ana, bia):
            command = ("-m", "examples.diario_bot", str(path), server.address, *said)
            with running_program(*command) as diary:
                assert bia.wait_for_kind(chat_pb2.KIND_JOINED).user == "diario"
                say_in_both(ana, bia, "before")
                wait_for("before")
                diary.process.kill()
            for number in numbers:
                say_in_both(ana, bia, number)
            ana.say("psst", to="diario", key="psst")
            ana.wait_for_text("psst")
            stack.enter_context(running_program(*command))
            eventually(lambda: "psst" in written(path, *said)[""])
        with running_server(db=log, port=server.port), talkers(server.address) as (ana, bia):
            say_in_both(ana, bia, "after")
            wait_for("after")
        found = written(path, *said)
        assert {room: sorted(texts) for room, texts in found.items()} == {
            room: sorted(texts) for room, texts in said.items()
        }
        found[""].remove("psst")
        assert list(found.values()) == [["before", *numbers, "after"]] * 2


@contextmanager
def talkers(address: str) -> Iterator[tuple[Client, Client]]:
    """Let ana be in the common room, and bia in another one."""
    with full_client(address, "ana") as ana, full_client(address, "bia", room="kitchen") as bia:
        yield ana, bia


def say_in_both(ana: Client, bia: Client, text: str) -> None:
    for someone in (ana, bia):
        someone.say(text, key=text)
        someone.wait_for_text(text)


def written(path: Path, *rooms: str) -> dict[str, list[str]]:
    """Return what a diary holds of each room, in its order; of none, before it has begun."""
    with closing(sqlite3.connect(path)) as diary, suppress(sqlite3.OperationalError):
        rows = diary.execute("SELECT room, text FROM said ORDER BY rowid").fetchall()
        return {room: [text for where, text in rows if where == room] for room in rooms}
    return dict.fromkeys(rooms, [])


def test_bridge_of_the_document_joins_two_rooms() -> None:
    """What is said in one is heard in the other, once, and nothing that is private."""
    with (
        running_server() as server,
        full_client(server.address, "ana", room="Redes") as ana,
        full_client(server.address, "bia", room="so") as bia,
        running_program("-m", "examples.ponte_bot", server.address, "Redes", "so"),
    ):
        for someone in (ana, bia):
            assert someone.wait_for_kind(chat_pb2.KIND_JOINED).user == "ponte"
        ana.say("psst", to="ponte", key="1")
        ana.say("oi", key="2")
        assert bia.wait_for_text("ana: oi").user == "ponte"
        bia.say(long := "x" * 3000, key="3")
        ana.wait_for_text(f"{long}"[:1005])
        parts = [message.message for message in ana.messages if message.user == "ponte"][1:]
        assert "".join(parts) == f"bia: {long}"
        assert not any("psst" in message.message for message in bia.messages)


def test_bot_of_the_document_answers() -> None:
    """It says again what it is asked to, where it was asked or in private, and nothing else."""
    with (
        running_server() as server,
        full_client(server.address, "ana", room="sala") as ana,
        full_client(server.address, "bia", room="Cozinha") as bia,
        running_program("-m", "examples.eco_bot", server.address, "sala", "Cozinha"),
    ):
        assert ana.wait_for_kind(chat_pb2.KIND_JOINED).user == "eco"
        assert bia.wait_for_kind(chat_pb2.KIND_JOINED).user == "eco"
        ana.say("just talking")
        ana.say("!eco   ")
        ana.say("!eco !eco oi")
        ana.wait_for_text("!eco oi")
        bia.say("!eco there")
        assert bia.wait_for(lambda message: message.user == "eco" and message.message == "there")
        ana.say("!eco in private", to="eco", key="1")
        assert ana.wait_for_text("in private").to == "ana"
        said = [message.message for message in ana.messages if message.user == "eco"]
        assert said == ["", "!eco oi", "in private"]


# What they say of the programs.


@pytest.mark.parametrize("document", documents.DOCUMENTS)
def test_generated_parts_are_what_the_programs_say(document: str) -> None:
    """Flags, commands, refusals and the bot stand in the documents as they are."""
    text = text_of(document)
    assert documents.renewed(text) == text, "run make documents"


@pytest.mark.parametrize("program", ["server.py", "client.py"])
def test_table_has_every_flag(program: str) -> None:
    """Whatever form it has in the help: a variable there is a row here."""
    variables = re.findall(r"\[(CHAT_\w+)[];]", documents.output_of(program, "--help"))
    rows = [row.split(" | ") for row in documents.flags_of(program).splitlines()[2:]]
    from_table = {variable for row in rows for variable in re.findall("CHAT_[A-Z_]+", row[1])}
    assert from_table == set(variables) - {"CHAT_SERVER"}  # of the address, which is no flag


def test_every_generated_part_has_its_place() -> None:
    """No table is made that no document shows, and none stands in two of them."""
    found = [name for d in documents.DOCUMENTS for _, name, _ in documents.PART.findall(text_of(d))]
    assert sorted(found) == sorted(documents.PARTS)


@pytest.mark.parametrize("fence", fences("proto") + fences("python"), ids=lambda f: f.file)
def test_quoted_code_is_in_the_file(fence: Fence) -> None:
    """A fragment that names its file stands in it word for word."""
    assert not fence.file or fence.body in text_of(fence.file)


@pytest.mark.parametrize("file", IDEAS)
def test_ideas_of_the_guide_are_where_it_says(file: str) -> None:
    """What LEIAME.md says that the two programs are made of is defined in them, by that name."""
    for name in IDEAS[file]:
        assert name in text_of("LEIAME.md")
        assert re.search(rf"^ *(async def|def|class) {name}\b", text_of(file), re.MULTILINE), name


def test_sentences_of_the_guide_are_what_the_programs_print(tmp_path: Path) -> None:
    """Each common problem of LEIAME.md, brought about, gives the sentence that it is listed by."""
    quotes = QUOTED_SENTENCE.findall(text_of("LEIAME.md"))
    with running_server(db=tmp_path / "chat.db", env=PORTUGUESE) as server:
        again = ("server.py", "--host", "localhost", "--port", str(server.port), "--db")
        ana = ("client.py", server.address, "--name", "ana")
        said = [
            complaint(*again, str(tmp_path / "chat.db")),
            complaint(*again, ":memory:"),
            complaint("client.py", server.address, "--name", "servidor"),
            complaint(*ana, "--tls"),
        ]
        server.stop()
        said.append(complaint(*ana))
    patterns = [".*".join(map(re.escape, quote.split("..."))) for quote in quotes]
    met = {pattern for pattern in patterns for text in said if re.match(pattern, text)}
    assert met == set(patterns), said
    assert all(any(re.match(pattern, text) for pattern in patterns) for text in said)


def complaint(*arguments: str) -> str:
    """Return what a program of ours that cannot run says on standard error, in Portuguese."""
    with running_program(*arguments, env=PORTUGUESE) as program:
        program.end_input()
        assert program.wait() == 1, program.report()
        return program.stderr


@pytest.mark.parametrize("phrase", LIMITS)
def test_limits_are_those_of_the_code(phrase: str) -> None:
    """The figures are the constants of the modules."""
    assert phrase.format(int(LIMITS[phrase])) in text_of("docs/operating.md")


def test_exit_codes_are_those_of_the_code() -> None:
    """The table of exit codes has every one that the client may end with."""
    named = {
        value
        for module in MODULES_WITH_EXIT_CODES
        for name, value in vars(module).items()
        if name.startswith("EXIT_") and value < 128
    }
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", text_of("docs/using.md"), re.M)}
    assert told == named


@pytest.mark.parametrize("document", documents.DOCUMENTS)
def test_flags_and_targets_that_are_named_exist(document: str) -> None:
    """What the text calls `--flag` is one of a program's, what it calls `make x` a target."""
    tables = "".join(map(text_of, documents.DOCUMENTS))
    there = set(re.findall(r"^\| `(--\S+)`", tables, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    assert set(FLAG.findall(text_of(document))) <= there | set(FLAGS_WITHOUT_VARIABLE)
    assert set(TARGET.findall(text_of(document))) <= targets


# What they are.


@pytest.mark.parametrize("document", documents.DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    """Files that are linked are there, and so are the sections in them."""
    folder = (ROOT / document).parent
    for target in LINK.findall(FENCE.sub("", text_of(document))):
        path, _hash, section = target.partition("#")
        if "://" in path:
            continue
        linked = (folder / path).resolve() if path else ROOT / document
        assert linked.exists(), target
        assert not section or section in anchors(linked.read_text(encoding="utf-8")), target


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    headings = HEADING.findall(FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", documents.DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    """A file or folder that the text names, by its path from the root, is there."""
    for name in FILE_NAME.findall(FENCE.sub("", text_of(document))):
        assert name in READERS_OWN or (ROOT / name).exists(), name


def test_map_is_the_house() -> None:
    """What the README's map shows is there, and no folder of code and no program is missing."""
    shown = set(paths_of_map())
    assert [path for path in shown if not (ROOT / path).exists()] == []
    code = [path.relative_to(ROOT) for path in (ROOT / "chat").rglob("*.py")]
    folders = {folder.as_posix() for file in code for folder in file.parents} - {"."}
    assert folders | {"server.py", "client.py"} <= {path.rstrip("/") for path in shown}


def paths_of_map() -> Iterator[str]:
    """Yield the path of each line of the map, whose indentation says what is in what."""
    found = MAP.search(text_of("README.md"))
    assert found
    folders: list[str] = []
    for line in found[1].splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        del folders[depth:]
        yield "".join(folders) + name
        folders.append(name)


@pytest.mark.parametrize("document", documents.DOCUMENTS)
def test_no_section_stands_twice(document: str) -> None:
    """A heading that comes again is a piece of text that was pasted twice."""
    headings = HEADING.findall(FENCE.sub("", text_of(document)))
    assert len(headings) == len(set(headings)) > 2


def test_readme_is_a_page() -> None:
    """What a newcomer reads first can be read in two minutes."""
    before_map = text_of("README.md").partition("<!-- the map -->")[0]
    assert len(before_map.split()) <= README_WORDS
