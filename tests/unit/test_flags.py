"""Command lines and their variables: every flag has one, and both are judged alike."""

from __future__ import annotations

import os
import re
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import pytest

import chat
import client
from chat.cli import english, flags
from chat.cli import i18n as language
from chat.client import settings as client_settings
from chat.server import settings as server_settings

Read = Callable[[list[str]], Namespace]
# A file that is there, and says nothing.
NO_SETTINGS = os.devnull


def read_client_flags(arguments: list[str]) -> Namespace:
    """Return the client's settings, as `client.main` reads them."""
    return client_settings.read_flags(arguments, client.SERVER_ADDRESS)


# Flag, what the command line or the variable says, what the program gets, what it gets otherwise.
SERVER_FLAGS: list[tuple[str, str, Any, Any]] = [
    ("--lang", "en", "en", "pt_BR"),
    ("--config", NO_SETTINGS, NO_SETTINGS, None),
    ("--host", "127.0.0.1", "127.0.0.1", "[::]"),
    ("--port", "0", 0, 50051),
    ("--db", "other.db", "other.db", "chat.db"),
    ("--retain", "1.5", 1.5, 0),
    ("--max-clients", "7", 7, 10_000),
    ("--max-per-address", "7", 7, 0),
    ("--rate", "0", 0, 100),
    ("--operators", "operators.txt", "operators.txt", None),
    ("--audit", "audit.jsonl", "audit.jsonl", None),
    ("--backup", "copy.db", "copy.db", None),
    ("--check", "", True, False),
    ("--names", "", True, False),
    ("--free", "ana", "ana", None),
    ("--own-names", "", True, None),
    ("--announce", "turma", "turma", None),
    ("--metrics-port", "[::1]:9100", ("::1", 9100), None),
    ("--quiet", "", True, False),
    ("--tls", "", True, False),
    ("--verbose", "", True, False),
    ("--log-format", "json", "json", "text"),
    ("--cluster", "nats://a:4222, tls://b", "nats://a:4222,tls://b", None),
    ("--share-port", "", True, False),
    ("--replicas", "3", 3, 1),
    ("--cluster-ca", "ca.pem", "ca.pem", None),
    ("--cluster-cert", "cert.pem", "cert.pem", None),
    ("--cluster-key", "key.pem", "key.pem", None),
    ("--cluster-creds", "chat.creds", "chat.creds", None),
    ("--cluster-any-nats", "", True, False),
    ("--tls-cert", "cert.pem", "cert.pem", None),
    ("--tls-key", "key.pem", "key.pem", None),
    ("--tls-client-ca", "ca.pem", "ca.pem", None),
    ("--token-file", "token", "token", None),
]
CLIENT_FLAGS: list[tuple[str, str, Any, Any]] = [
    ("--lang", "en", "en", "pt_BR"),
    ("--config", NO_SETTINGS, NO_SETTINGS, None),
    ("--name", "ana", "ana", None),
    ("--discover", "", True, False),
    ("--room", "sala", "sala", ""),
    ("--history", "5", 5, None),
    ("--transcript", "said.log", "said.log", None),
    ("--private", "", True, False),
    ("--notify", "", True, False),
    ("--forget", "", True, False),
    ("--bell", "off", "off", "mentions"),
    ("--json", "", True, False),
    ("--listen", "", True, False),
    ("--send-only", "", True, False),
    ("--time", "", True, False),
    ("--plain", "", True, False),
    ("--search", "bom dia", "bom dia", None),
    ("--tls", "", True, False),
    ("--fingerprint", "ab:cd", "ab:cd", None),
    ("--tls-ca", "ca.pem", "ca.pem", None),
    ("--tls-cert", "cert.pem", "cert.pem", None),
    ("--tls-key", "key.pem", "key.pem", None),
    ("--forget-certificate", "", True, False),
    ("--key-file", "key.pem", "key.pem", None),
    ("--token-file", "token", "token", None),
]
PROGRAMS: list[tuple[str, Read, list[tuple[str, str, Any, Any]]]] = [
    ("server.py", server_settings.read_flags, SERVER_FLAGS),
    ("client.py", read_client_flags, CLIENT_FLAGS),
]
EVERY_FLAG = [
    pytest.param(read, *flag, id=f"{name} {flag[0]}")
    for name, read, known in PROGRAMS
    for flag in known
]


def variable_of(flag: str) -> str:
    return "CHAT_" + flag.removeprefix("--").replace("-", "_").upper()


def destination_of(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


@pytest.mark.parametrize(("read", "flag", "text", "value", "default"), EVERY_FLAG)
def test_flag_and_variable_say_the_same(
    read: Read, flag: str, text: str, value: Any, default: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default, the variable and the flag; the flag wins where both are given."""
    monkeypatch.delenv("CHAT_LANG")  # which all other tests need
    destination = destination_of(flag)
    assert getattr(read([]), destination) == default
    arguments = [flag, text] if text else [flag]
    assert getattr(read(arguments), destination) == value
    monkeypatch.setenv(variable_of(flag), text or "1")
    assert getattr(read([]), destination) == value
    monkeypatch.setenv(variable_of(flag), "")
    assert getattr(read([]), destination) == default
    if text:
        monkeypatch.setenv(variable_of(flag), text)
        others = {"--lang": "pt_BR", "--bell": "all", "--log-format": "text"}
        others |= {"--config": NO_SETTINGS, "--replicas": "2", "--cluster": "nats://c"}
        other = others.get(flag, "9")
        shown = (other, f"{other}.0", f"('127.0.0.1', {other})")
        assert str(getattr(read([flag, other]), destination)) in shown


@pytest.mark.parametrize(("name", "read", "known"), PROGRAMS, ids=["server", "client"])
def test_help_shows_every_flag_with_its_variable(
    name: str,
    read: Read,
    known: list[tuple[str, str, Any, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And every flag that it shows is one of those tested here."""
    with pytest.raises(SystemExit) as end:
        read(["--help", "--lang", "en"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    for flag, *_ in known:
        assert flag in shown and f"[{variable_of(flag)}" in shown
    found = set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", shown, re.MULTILINE))
    assert found == {"--help", "--version", "--print-config", *(flag for flag, *_ in known)}


@pytest.mark.parametrize("read", [server_settings.read_flags, read_client_flags])
def test_language_is_understood_however_it_is_spelled(
    read: Read, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By flag and variable; a wrong one lists what there is."""
    for text, lang in (("pt", "pt_BR"), ("pt-BR", "pt_BR"), ("EN", "en"), ("en_US.UTF-8", "en")):
        assert read(["--lang", text]).lang == language.current() == lang
        monkeypatch.setenv("CHAT_LANG", text)
        assert read([]).lang == language.current() == lang
    with pytest.raises(SystemExit):
        read(["--lang", "tlh"])
    assert "'tlh'" in (said := capsys.readouterr().err) and "en, pt_BR" in said


@pytest.mark.parametrize("read", [server_settings.read_flags, read_client_flags])
def test_help_offers_english_to_who_may_not_read_it(
    read: Read, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below how it is called; not where a language was chosen."""
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.delenv("CHAT_LANG")
    for arguments, is_offered in (([], True), (["--lang", "pt"], False), (["--lang", "en"], False)):
        with pytest.raises(SystemExit):
            read([*arguments, "--help"])
        assert ("For English: --lang en" in capsys.readouterr().out) is is_offered


def test_address_comes_from_argument_variable_or_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order; the constant is what the guide tells people to edit."""
    assert read_client_flags([]).address == client.SERVER_ADDRESS == "localhost:50051"
    monkeypatch.setattr(client, "SERVER_ADDRESS", "192.168.1.10:50051")
    assert read_client_flags([]).address == "192.168.1.10:50051"
    monkeypatch.setenv("CHAT_SERVER", "10.0.0.1")
    assert read_client_flags([]).address == "10.0.0.1"
    assert read_client_flags(["10.0.0.2:1"]).address == "10.0.0.2:1"


@pytest.mark.parametrize(
    ("read", "arguments"),
    [
        (server_settings.read_flags, ["--port", "-1"]),
        (server_settings.read_flags, ["--port", "65536"]),
        (server_settings.read_flags, ["--metrics-port", "[]:9100"]),
        (server_settings.read_flags, ["--metrics-port", "127.0.0.1:"]),
        (server_settings.read_flags, ["--port", "http"]),
        (server_settings.read_flags, ["--port", "9" * 5000]),
        (server_settings.read_flags, ["--max-clients", "0"]),
        (server_settings.read_flags, ["--max-clients", "many"]),
        (server_settings.read_flags, ["--rate", "-1"]),
        (server_settings.read_flags, ["--rate", "nan"]),
        (server_settings.read_flags, ["--rate", "inf"]),
        (server_settings.read_flags, ["--rate", "1e-320"]),
        (server_settings.read_flags, ["--rate", "1e300"]),
        (server_settings.read_flags, ["--rate", "9" * 5000]),
        (server_settings.read_flags, ["--rate", "\u0661"]),
        (server_settings.read_flags, ["--max-clients", "1" + "0" * 24]),
        (server_settings.read_flags, ["--max-clients", "1_000"]),
        (server_settings.read_flags, ["--max-clients", " 7"]),
        (server_settings.read_flags, ["--port", "\u0661"]),
        (server_settings.read_flags, ["--retain", "1e300"]),
        (server_settings.read_flags, ["--lang", "x" * 5000]),
        (server_settings.read_flags, ["--host", "\udcff"]),
        (server_settings.read_flags, ["two\nlines"]),
        (server_settings.read_flags, ["--retain", "-1"]),
        (server_settings.read_flags, ["--lang", "tlh"]),
        (server_settings.read_flags, ["--por", "1"]),
        (server_settings.read_flags, ["stray"]),
        (server_settings.read_flags, ["--unknown"]),
        (read_client_flags, ["--history", "-1"]),
        (read_client_flags, ["--history", "1.5"]),
        (read_client_flags, ["--history", "1" + "0" * 24]),
        (read_client_flags, ["--history", "9" * 5000]),
        (read_client_flags, ["--history", "\u0661"]),
        (read_client_flags, ["--bell", "loud"]),
        (read_client_flags, ["--name", "\udcff"]),
        (read_client_flags, ["--name", "a[b"]),
        (read_client_flags, ["--name", ""]),
        (read_client_flags, ["bad:port"]),
        (read_client_flags, ["--room", "a", "--room", "b\udcff"]),
        (read_client_flags, ["\udcff:50051"]),
        (read_client_flags, ["a", "b"]),
        (read_client_flags, ["--token", "secret"]),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else value.__module__,
)
def test_wrong_command_line_is_one_sentence(
    read: Read, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and what is wrong with it."""
    with pytest.raises(SystemExit) as end:
        read(arguments)
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1 and "--help" in said.err
    assert len(said.err) < 500


@pytest.mark.parametrize(
    ("read", "variable", "text"),
    [
        (read_client_flags, "CHAT_SERVER", "\udcff"),
        (read_client_flags, "CHAT_SERVER", "bad:port"),
        (read_client_flags, "CHAT_NAME", "\udcff"),
        (read_client_flags, "CHAT_NAME", "a[b"),
        (read_client_flags, "CHAT_HISTORY", "1001"),
        (server_settings.read_flags, "CHAT_PORT", "65536"),
        (server_settings.read_flags, "CHAT_PORT", "x"),
        (server_settings.read_flags, "CHAT_MAX_CLIENTS", "0"),
        (server_settings.read_flags, "CHAT_QUIET", "perhaps"),
        (server_settings.read_flags, "CHAT_RATE", "fast"),
        (server_settings.read_flags, "CHAT_RATE", "1e-320"),
        (server_settings.read_flags, "CHAT_LANG", "tlh"),
    ],
)
def test_wrong_variable_is_one_sentence_that_names_it(
    read: Read,
    variable: str,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Judged as the flag itself would be."""
    monkeypatch.setenv(variable, text)
    with pytest.raises(SystemExit) as end:
        read([])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert variable in said and said.count("\n") == 1


def test_hint_stands_before_the_full_stop(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a sentence that has one."""
    with pytest.raises(SystemExit):
        read_client_flags(["bad:port"])
    assert capsys.readouterr().err.endswith("192.168.1.10:50051 (see --help).\n")


@pytest.mark.parametrize("arguments", [["--lang", "fr"], ["--lang=fr"]])
def test_language_that_is_not_spoken_is_told_in_english_too(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one case in which a foreigner reads Portuguese without having been able to choose."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(SystemExit):
        read_client_flags(arguments)
    refusal, hint = capsys.readouterr().err.splitlines()
    assert "'fr'" in refusal and hint == english.HINT


def test_sentence_says_what_would_be_right(capsys: pytest.CaptureFixture[str]) -> None:
    """The bounds of a number, where 0 means something else too."""
    for flag, words in (("--max-clients", "from 1 to 1000000"), ("--rate", "0, or a number from")):
        with pytest.raises(SystemExit):
            server_settings.read_flags([flag, "-1"])
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(("text", "value"), [(".5", 0.5), ("1e2", 100.0), ("+3.", 3.0)])
def test_fractions_are_written_as_people_write_them(text: str, value: float) -> None:
    """Where a number may have one."""
    assert server_settings.read_flags(["--rate", text]).rate == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("yes", True), ("SIM", True), ("on", True), ("0", False), ("não", False)],
)
def test_switch_by_variable(text: str, value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On and off, as people write it."""
    monkeypatch.setenv("CHAT_QUIET", text)
    assert server_settings.read_flags([]).quiet is value


def test_help_speaks_the_language_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the language stands behind `--help`, or in the variable."""
    for arguments in (["--help", "--lang=en"], ["--help"]):
        with pytest.raises(SystemExit):
            server_settings.read_flags(arguments)
        assert "A chat server" in capsys.readouterr().out


HELP_VALUES = [
    ("pt_BR", read_client_flags, ["[--history NÚMERO]", "[--tls-ca ARQUIVO]", "\n  ENDEREÇO "]),
    ("pt_BR", read_client_flags, ["[--search TEXTO]", "[--name NOME]", "[--room SALA]"]),
    ("pt_BR", server_settings.read_flags, ["[--port PORTA]", "[--metrics-port [HOST:]PORTA]"]),
    ("en", read_client_flags, ["[--history NUMBER]", "[--tls-ca FILE]", "\n  ADDRESS "]),
    ("en", server_settings.read_flags, ["[--retain DAYS]", "[--free NAME]"]),
]


@pytest.mark.parametrize(("lang", "read", "values"), HELP_VALUES)
def test_help_names_values_in_the_language_asked_for(
    lang: str, read: Read, values: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As it names everything else."""
    with pytest.raises(SystemExit):
        read(["--help", "--lang", lang])
    shown = capsys.readouterr().out
    assert [value for value in values if value not in shown] == []


def test_percent_sign_in_a_default_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """argparse formats its help texts: a file called 100%.db must not break them."""
    parser = flags.Parser([], "x")
    parser.flag("--file", default="100%.db", help="a file")
    parser.print_help()
    assert "100%.db" in capsys.readouterr().out


@pytest.mark.parametrize("read", [server_settings.read_flags, read_client_flags])
def test_version_is_that_of_the_package(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    """Both programs say the one version that there is, and end well."""
    with pytest.raises(SystemExit) as ended:
        read(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.split()[-1] == chat.__version__


@pytest.mark.parametrize(
    "value", ["", "host:4222", "http://a", "nats://", "nats://a:x", "nats://a,"]
)
def test_what_is_no_address_of_nats_is_refused(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is connected."""
    with pytest.raises(SystemExit) as end:
        server_settings.read_flags(["--cluster", value, "--lang", "en"])
    assert end.value.code == 2
    assert "nats://HOST:PORT" in capsys.readouterr().err
