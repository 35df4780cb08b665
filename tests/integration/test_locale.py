"""The catalogues: complete, faithful to their placeholders, and what the programs then say."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import catalogue
import pytest
from babel.messages.catalog import Message
from support import ROOT, running_program, running_server

from chat.cli import i18n as language

PORTUGUESE = {"CHAT_LANG": "pt_BR", "COLUMNS": "1000"}
ENGLISH = {"CHAT_LANG": "en", "COLUMNS": "1000"}
ENGLISH_WORDS = {
    "argument",
    "invalid",
    "expected",
    "unrecognized",
    "choose",
    "ignored",
    "port",
    "see",
    "number",
}
CATALOGUES = catalogue.catalogue_paths()
WRONG_COMMAND_LINES = [
    ["--port", "abc"],
    ["--port", "65536"],
    ["--port"],
    ["--rate", "fast"],
    ["--lang", "tlh"],
    ["--quiet=1"],
    ["--no-such-flag"],
]


def placeholders(text: str) -> list[str]:
    """Return what is filled in: `{fields}` and `%(fields)s`, sorted."""
    fields = [field or "" for _text, field, *_rest in string.Formatter().parse(text) if field]
    return sorted(fields + re.findall(r"%\(?\w*\)?[srd]", text) + re.findall(r"\{\}", text))


def pairs(message: Message) -> list[tuple[str, str]]:
    """Return each translation with the sentence that it stands for; the many one for a plural."""
    if isinstance(message.id, str):
        return [(message.id, str(message.string))]
    return [(str(message.id[-1]), string) for string in message.string or ()]


def output_of(program: str, *flags: str, env: dict[str, str], code: int) -> str:
    """Return all that a program says before it ends with exit code `code`."""
    with running_program(program, *flags, env=env) as running:
        running.end_input()
        assert running.wait() == code, running.report()
        return running.stdout + running.stderr


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: str(path.parts[-3]))
def test_catalogue_is_complete_and_compiled(path: Path) -> None:
    """Every sentence of the sources is translated, nothing else is there, the .mo is the .po."""
    assert catalogue.faults(path) == []


def test_plurals_have_as_many_forms_as_the_header_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ours count otherwise, the forms that Babel's own data have for them do not matter."""
    monkeypatch.setitem(catalogue.PLURAL_FORMS, "cy", (1, "0"))
    catalog = catalogue.PlainCatalog(locale="cy")
    catalog.add(("{} person", "{} people"))
    text = catalogue.text_of(catalog).decode()
    assert '"Plural-Forms: nplurals=1; plural=0;"' in text
    assert re.findall(r"msgstr\[\d\]", text) == ["msgstr[0]"]


def test_nobody_is_counted_as_brazilians_do() -> None:
    """In the plural, as none is in English."""
    language.use("pt_BR")
    counted = [language._n("{} person", "{} people", count) for count in (0, 1, 2)]
    assert counted == ["{} pessoas", "{} pessoa", "{} pessoas"]


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: str(path.parts[-3]))
def test_translations_keep_placeholders(path: Path) -> None:
    """A translation fills in exactly what its sentence fills in."""
    for message in catalogue.read(path):
        for sentence, translation in pairs(message) if message.id else []:
            assert placeholders(sentence) == placeholders(translation), translation


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: str(path.parts[-3]))
def test_translations_keep_edges(path: Path) -> None:
    """A translation begins and ends as its sentence does: spaces, full stops, colons, stars."""
    for message in catalogue.read(path):
        for sentence, translation in pairs(message) if message.id else []:
            for edge in (0, -1):
                if not sentence[edge].isalnum() and sentence[edge] not in "{}'-)":
                    assert sentence[edge] == translation[edge], translation


@pytest.mark.parametrize("path", catalogue.sources(), ids=lambda path: str(path.name))
def test_sentences_are_not_put_together_before_translation(path: Path) -> None:
    """What is translated is a whole sentence of the sources, or a name for one: never made up."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if is_call and node.func.id in catalogue.KEYWORDS:  # type: ignore[attr-defined]
            made = [part for part in node.args if isinstance(part, (ast.JoinedStr, ast.BinOp))]  # type: ignore[attr-defined]
            assert not made, ast.unparse(node)


@pytest.mark.parametrize("program", ["server.py", "client.py"])
def test_help_is_translated_throughout(program: str) -> None:
    """No line of the English help is left in the Portuguese one, argparse's own included."""
    english = output_of(program, "--help", env=ENGLISH, code=0)
    portuguese = output_of(program, "--help", env=PORTUGUESE, code=0)
    left = set(english.splitlines()) & set(portuguese.splitlines())
    # A long flag stands on a line of its own.
    assert not [line for line in left if line and not re.fullmatch(r"  --[\w-]+,? \S+", line)]
    assert portuguese.startswith("uso: ")
    # Values have names of their own in each language, so that their rows are not the same number.
    flags = [re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.M) for text in (english, portuguese)]
    assert flags[0] == flags[1] and len(flags[0]) > 20


@pytest.mark.parametrize("flags", WRONG_COMMAND_LINES, ids=lambda flags: " ".join(flags))
def test_wrong_command_line_is_told_in_portuguese(flags: list[str]) -> None:
    """What is wrong with a command line is said in the user's language, in one line."""
    said = output_of("server.py", *flags, env=PORTUGUESE, code=2)
    assert len(said.splitlines()) == 1
    assert not ENGLISH_WORDS & set(re.findall(r"(?<!-)\b\w+\b", said)), said


def test_fixed_phrases_are_what_the_guide_says() -> None:
    """The prompt and the server's first line read in Portuguese as they always did."""
    language.use("pt_BR")
    assert language._("Type your name: ") == "Digite seu nome: "
    with running_server(env=PORTUGUESE) as server:
        assert server.lines[0] == f"Servidor gRPC rodando em porta {server.port}..."


def test_programs_speak_portuguese_unless_told_otherwise() -> None:
    """Without any setting the language is Brazilian Portuguese; `--lang` beats the variable."""
    unset = {"CHAT_LANG": ""}
    assert output_of("server.py", "--help", env=unset, code=0).startswith("uso: ")
    assert output_of("server.py", "--lang", "en", "--help", env=PORTUGUESE, code=0).startswith(
        "usage: "
    )


def test_new_language_is_a_new_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make locale NEW=es` begins a catalogue; what is translated there is what is said."""
    monkeypatch.setattr(catalogue, "LOCALE_DIR", tmp_path)
    monkeypatch.setattr(language, "LOCALE_DIR", tmp_path)
    assert catalogue.main(["es"]) == 0
    assert "Type your name: " in capsys.readouterr().out
    assert catalogue.main(["--check"]) == 1

    [path] = catalogue.catalogue_paths()
    begun = path.read_text(encoding="utf-8")
    asked = 'msgid "Type your name: "\nmsgstr "'
    path.write_text(begun.replace(asked, asked + "Escriba su nombre: "), encoding="utf-8")
    assert catalogue.main([]) == 0

    assert language.available() == ["en", "es"]
    language.use("es")
    assert language._("Type your name: ") == "Escriba su nombre: "
    assert language._("the server is full; try again later").startswith("the server")


def test_sentence_that_is_gone_leaves_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update keeps no translation of what nobody says any more."""
    monkeypatch.setattr(catalogue, "LOCALE_DIR", tmp_path)
    path = tmp_path / "es" / "LC_MESSAGES" / "chat.po"
    path.parent.mkdir(parents=True)
    path.write_text('msgid "nobody says this"\nmsgstr "nadie dice esto"\n', encoding="utf-8")
    catalogue.update(path)
    assert "nobody says this" not in path.read_text(encoding="utf-8")


def test_sources_include_every_program() -> None:
    """A new module is read for sentences without anybody thinking of it."""
    modules = {ROOT / "server.py", ROOT / "client.py", *(ROOT / "chat").rglob("*.py")}
    assert modules <= set(catalogue.sources())
