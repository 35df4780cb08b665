"""README.md and LEIAME.md: what they tell people to type works, what they name is there."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import documents
import pytest
from support import (
    ROOT,
    clean_environment,
    full_client,
    running_client,
    running_program,
    running_server,
)

import chat_pb2

TIME_LIMIT_SECONDS = 120
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)]+)\)")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
FILE_NAME = re.compile(r"`([\w./-]+(?:\.(?:py|pyi|md|proto|js|txt|toml)|/))`")
# Files that the guides let the reader make.
READERS_OWN = ("token.txt",)
NEEDS_NO_TRY = (
    "pip install -r requirements.txt",
    "python3 -m venv .venv",
    "source .venv/bin/activate",
)
LIMITS = {
    "1 to {} characters": ("rules", "MAX_NAME_CHARACTERS"),
    "1 to {} bytes of UTF-8": ("rules", "MAX_MESSAGE_BYTES"),
    "| {} characters |": ("rules", "MAX_KEY_CHARACTERS"),
    "| {} messages, ": ("session", "DEFAULT_HISTORY"),
    "messages, {} at most": ("room", "MAX_HISTORY"),
    "{} messages or 1 MiB": ("room", "MAX_QUEUED_MESSAGES"),
    "let go after {} seconds": ("server", "STUCK_SECONDS"),
    "rooms of up to {} people": ("room", "MAX_PRESENCE_MEMBERS"),
    "acknowledged | {} |": ("session", "MAX_PENDING"),
    "port {} through": ("server", "DEFAULT_PORT"),
}


@dataclass(frozen=True)
class Fence:
    """A fenced block: `language`, the file it is from if it says so, and what is in it."""

    document: str
    language: str
    file: str
    body: str


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def fences(language: str) -> list[Fence]:
    """Return every fenced block of one language in the documents."""
    return [
        Fence(document, *found)
        for document in documents.DOCUMENTS
        for found in FENCE.findall(text_of(document))
        if found[0] == language
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
        assert command in (*NEEDS_NO_TRY, "python -m examples.eco_bot localhost:50051"), document


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
@pytest.mark.parametrize("document", documents.DOCUMENTS)
def test_tls_and_token_work_as_told(document: str, tmp_path: Path) -> None:
    """The certificate and the token that the document makes let a client talk to a server."""
    given = [command for name, command in commands() if name == document]
    for command in given:
        if command.startswith(("openssl ", "python -c")):
            run(command, tmp_path)
    server_flags = flags_of(given, "server.py", tmp_path)
    client_flags = flags_of(given, "client.py", tmp_path)
    with (
        running_server(*server_flags) as server,
        running_client(server, *client_flags, "--name", "ana") as client,
    ):
        client.type("oi")
        client.wait_for_line("oi")
        client.end_input()
        assert client.wait() == 0, client.report()


def flags_of(given: list[str], program: str, folder: Path) -> list[str]:
    """Return the flags of the command that runs `program` with a token, its files in `folder`."""
    [command] = [line for line in given if f" {program} " in line and "--token-file" in line]
    flags = command[command.index("--t") :].split()
    return [str(folder / flag) if "." in flag else flag for flag in flags]


def test_generated_parts_are_what_the_programs_say() -> None:
    """Flags, commands, refusals, the bot and the conversation stand in the documents as they are.

    The conversation is that of `tools/demo.py`, which is run for it and must end well.
    """
    for document, lang in documents.DOCUMENTS.items():
        text = text_of(document)
        assert {name for _head, name, _end in documents.PART.findall(text)} <= set(documents.PARTS)
        assert documents.renewed(text, lang) == text, f"{document}: run make documents"


def test_demo_fails_when_the_server_does(tmp_path: Path) -> None:
    """A demo in which something goes wrong says what, and does not end with exit code 0."""
    for name in ("tools", "locale"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    pass
    (tmp_path / "server.py").write_text("print('no')\n")
    with running_program("tools/demo.py", "--pace", "0", cwd=tmp_path) as demo:
        assert demo.wait() == 1
        assert "server" in demo.stderr
        assert "Traceback" not in demo.stderr


def test_plain_client_of_the_readme_talks() -> None:
    """The ten lines given as a whole client are one: it says its line, hears it, and ends."""
    [fence] = [fence for fence in fences("python") if "insecure_channel" in fence.body]
    with running_server() as server:
        program = fence.body.replace("localhost:50051", server.address)
        with running_program("-c", program) as client:
            assert client.wait() == 0, client.report()
            assert client.lines == ["[ana]: Hello!"]


def test_bot_of_the_readme_answers() -> None:
    """The bot says again what it is asked to, in the room and in private, and nothing else."""
    with running_server() as server, full_client(server.address, "ana") as ana:
        assert ana.epoch
        with running_program("-m", "examples.eco_bot", server.address):
            assert ana.wait_for_kind(chat_pb2.KIND_JOINED).user == "eco"
            ana.say("just talking")
            ana.say("!eco   ")
            ana.say("!eco !eco oi")
            assert ana.wait_for(lambda message: message.user == "eco" and bool(message.id))
            ana.say("!eco in private", to="eco", key="1")
            assert ana.wait_for_text("in private").to == "ana"
            said = [message.message for message in ana.messages if message.user == "eco"]
            assert said == ["", "!eco oi", "in private"]


@pytest.mark.parametrize("document", documents.DOCUMENTS)
def test_files_and_sections_that_are_named_exist(document: str) -> None:
    """Links lead somewhere, and so do the names of files."""
    text = FENCE.sub("", text_of(document))
    headings = {slug(line.lstrip("# ")) for line in text.splitlines() if line.startswith("#")}
    for target in LINK.findall(text) + PICTURE.findall(text):
        path, _hash, section = target.partition("#")
        if "://" not in path:
            assert not path or (ROOT / path).exists(), target
            assert not section or path or section in headings, target
    for name in FILE_NAME.findall(text):
        assert name in READERS_OWN or (ROOT / name).exists(), name


@pytest.mark.parametrize("document", documents.DOCUMENTS)
def test_every_module_is_explained(document: str) -> None:
    """The list of files has every program and module there is."""
    modules = {path.name for path in ROOT.glob("*.py")} - {"noxfile.py"}
    assert modules <= set(FILE_NAME.findall(text_of(document)))


@pytest.mark.parametrize("document", documents.DOCUMENTS)
def test_no_section_stands_twice(document: str) -> None:
    """A heading that comes again is a piece of text that was pasted twice."""
    headings = re.findall(r"^## .*$", text_of(document), re.MULTILINE)
    assert len(headings) == len(set(headings)) > 5


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("fence", fences("proto") + fences("python"), ids=lambda f: f.file)
def test_quoted_code_is_in_the_file(fence: Fence) -> None:
    """A fragment that names its file stands in it word for word."""
    assert not fence.file or fence.body in text_of(fence.file)


@pytest.mark.parametrize("sentence", re.findall(r"^- \*([^*]+)\*:", text_of("LEIAME.md"), re.M))
def test_quoted_sentences_are_said_by_the_programs(sentence: str) -> None:
    """What the guide quotes under common problems is what the programs really say."""
    catalogue = text_of("locale/pt_BR/LC_MESSAGES/chat.po").replace('"\n"', "")
    for part in sentence.replace("50051", "{port}").split("..."):
        assert part.strip() in catalogue


@pytest.mark.parametrize("phrase", LIMITS)
def test_limits_are_those_of_the_code(phrase: str) -> None:
    """The figures in the README are the constants of the modules."""
    module, constant = LIMITS[phrase]
    value = getattr(importlib.import_module(module), constant)
    assert phrase.format(int(value)) in text_of("README.md")


def test_exit_codes_are_those_of_the_code() -> None:
    """The README's table of exit codes has every one that the client may end with."""
    named = [
        value
        for module in ("client", "conversation")
        for name, value in vars(importlib.import_module(module)).items()
        if name.startswith("EXIT_")
    ]
    section = text_of("README.md").partition("\n## The client\n")[2].partition("\n## ")[0]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.M)}
    assert told == {code for code in named if code < 128}
