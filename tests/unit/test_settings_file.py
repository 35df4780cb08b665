"""The settings file: flag, variable, file, default; what is wrong with it, in one sentence."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from test_flags import CLIENT_FLAGS, SERVER_FLAGS, read_client_flags

from chat.cli import i18n as language
from chat.cli import settings_file
from chat.cli.folders import config_folder
from chat.server.settings import read_flags as read_server_flags

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Read = Callable[[list[str]], Namespace]
READERS: dict[str, Read] = {"client": read_client_flags, "server": read_server_flags}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The usual place of the file, where there is none yet."""
    for variable in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.delenv("CHAT_LANG")
    folder = config_folder()
    assert folder is not None
    folder.mkdir(parents=True)
    return folder / "config.toml"


def as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f'"{value[0]}:{value[1]}"'
    return f'"{value}"' if isinstance(value, str) else str(value)


EVERY_SETTING = [
    pytest.param(table, flag, value, default, id=f"{table} {flag}")
    for table, known in (("client", CLIENT_FLAGS), ("server", SERVER_FLAGS))
    for flag, _text, value, default in known
    if flag != "--config"
]


@pytest.mark.parametrize(("table", "flag", "value", "default"), EVERY_SETTING)
def test_every_flag_can_be_set_in_the_file(
    table: str, flag: str, value: Any, default: Any, path: Path
) -> None:
    """By its name without the dashes before it, in the table of its program."""
    key, name = flag.removeprefix("--"), flag.removeprefix("--").replace("-", "_")
    path.write_text(f"[{table}]\n{key} = {as_toml(value)}\n", encoding="utf-8")
    assert getattr(READERS[table]([]), name) == value
    other = "server" if table == "client" else "client"
    path.write_text(f"[{other}]\n{key} = {as_toml(value)}\n", encoding="utf-8")
    assert getattr(READERS[table]([]), name) == default


def test_flag_then_variable_then_file_then_default(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first that says something counts; an empty text says nothing."""
    assert read_client_flags([]).history is None
    path.write_text('[client]\nhistory = 1\nname = ""\n', encoding="utf-8")
    assert read_client_flags([]).history == 1
    assert read_client_flags([]).name is None
    monkeypatch.setenv("CHAT_HISTORY", "2")
    assert read_client_flags([]).history == 2
    assert read_client_flags(["--history", "3"]).history == 3


def test_switch_that_is_off_in_the_file(path: Path) -> None:
    """Also one whose default is neither on nor off."""
    path.write_text("[server]\nquiet = false\nown-names = false\n", encoding="utf-8")
    assert read_server_flags([]).quiet is False
    assert read_server_flags([]).own_names is False
    assert read_server_flags(["--own-names"]).own_names is True


def test_address_and_rooms(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rooms are a list, or one text with commas; a flag takes the place of all."""
    path.write_text('[client]\naddress = "a:1"\nroom = ["redes", "aula"]\n', encoding="utf-8")
    settings = read_client_flags([])
    assert (settings.address, settings.room) == ("a:1", "redes,aula")
    assert read_client_flags(["b:2", "--room", "x", "--room", "y"]).room == "x,y"
    assert read_client_flags(["b:2"]).address == "b:2"
    monkeypatch.setenv("CHAT_SERVER", "c:3")
    assert read_client_flags([]).address == "c:3"


def test_language_may_stand_before_the_tables(path: Path) -> None:
    """For both programs; what is in a table counts more. The program speaks it from the start."""
    path.write_text('lang = "EN"\n[server]\nlang = "pt"\n', encoding="utf-8")
    assert read_client_flags([]).lang == language.current() == "en"
    assert read_server_flags([]).lang == language.current() == "pt_BR"
    assert read_server_flags(["--lang", "en"]).lang == language.current() == "en"


def test_other_file_by_flag_or_variable(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of the usual one, which is not read; it must be there."""
    path.write_text("this is no TOML", encoding="utf-8")
    for number in (1, 2):
        text = f"[client]\nhistory = {number}\n"
        (tmp_path / f"{number}.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("CHAT_CONFIG", str(tmp_path / "1.toml"))
    assert read_client_flags([]).history == 1
    assert read_client_flags(["--config", str(tmp_path / "2.toml")]).history == 2
    assert read_client_flags([f"--config={tmp_path / '2.toml'}"]).history == 2


def test_tilde_is_the_home_in_a_path(path: Path, tmp_path: Path) -> None:
    """No shell sees it; in what is no path it is a letter like others."""
    path.write_text('[client]\ntoken-file = "~/token"\nroom = "~ana"\n', encoding="utf-8")
    settings = read_client_flags([])
    assert Path(settings.token_file) == Path("~/token").expanduser()
    assert settings.room == "~ana"


@pytest.mark.parametrize("value", ["a\\u0000b", "~\\u0000"])
@pytest.mark.parametrize(
    ("table", "key"),
    [
        (table, flag.removeprefix("--"))
        for table, known in (("client", CLIENT_FLAGS), ("server", SERVER_FLAGS))
        for flag, _text, value, _default in known
        if flag != "--config" and isinstance(value, str)
    ],
)
def test_no_text_has_a_nul(
    path: Path, capsys: pytest.CaptureFixture[str], table: str, key: str, value: str
) -> None:
    """Which no path can have, whether the file is opened by the program or another one's code."""
    path.write_text(f'lang = "pt"\n[{table}]\n{key} = "{value}"\n', encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        READERS[table]([])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and f"[{table}] {key}: " in said and "Traceback" not in said
    assert "NUL" in said and len(said.splitlines()) == 1


def test_mark_of_notepad_is_no_fault(path: Path) -> None:
    """It writes UTF-8 with a mark before it."""
    path.write_text("[client]\nhistory = 7\n", encoding="utf-8-sig")
    assert read_client_flags([]).history == 7


WRONG = [
    # What is in the file, and words of the sentence: where it is, what is wrong, what was meant.
    ("[client]\nhistroy = 5", ("[client] histroy", "did you mean history?")),
    ("[client]\ntoken = 'hidden-secret'", ("[client] token", "did you mean token-file?")),
    ("[client]\nmax_clients = 5", ("[client] max_clients", "is not a setting")),
    ("[client]\ntls_ca = 'x'", ("[client] tls_ca", "did you mean tls-ca?")),
    ("[client]\nzzz = 5", ("[client] zzz", "is not a setting")),
    ("[client]\nconfig = 'other.toml'", ("[client] config", "is not a setting")),
    ("[clinet]\nhistory = 5", ("[clinet]", "did you mean client?")),
    ("name = 'ana'", ("name", "belongs below a line [client]")),
    ("nmae = 'ana'", ("nmae", "did you mean name?")),
    ("client = 5", ("client is a table",)),
    ("server = 5", ("server is a table",)),
    ("[client]\nhistory = 'many'", ("[client] history", "a number is expected")),
    ("[client]\nhistory = true", ("[client] history", "a number is expected")),
    ("[client]\nhistory = 5000", ("[client] history", "from 0 to 1000")),
    ("[client]\nhistory = nan", ("[client] history", "from 0 to 1000")),
    ("[client]\nhistory = 1979-05-27", ("[client] history", "a number is expected")),
    ("[client]\nname = 'a[b'", ("[client] name", "a name has 1 to 32")),
    ("[client]\naddress = 'bad:port'", ("[client] address", "is not a valid address")),
    ("[client]\nname = 5", ("[client] name", "a text in quotation marks is expected")),
    ("[client]\nroom = ['a', 5]", ("[client] room", "or a list of them")),
    ("[client]\ntls = 'yes'", ("[client] tls", "true or false is expected")),
    ("[client]\ntls = 1", ("[client] tls", "true or false is expected")),
    ("[client]\nbell = 'loud'", ("[client] bell", "'loud'", "mentions")),
    ("lang = 'tlh'", ("lang", "'tlh'", "choose from en, pt_BR")),
    ("lang = 5", ("lang", "a text in quotation marks is expected")),
    ("[client]\n\nhistory 5", ("line 3", "not TOML")),
    ("[client]\nname = ana", ("line 2", "not TOML")),
    ("[client]\nhistory = 5\nhistory = 6", ("line", "not TOML")),
    ("[client]\nhistory = " + "9" * 5000, ("line", "not TOML")),
    ("x = " + "[" * 20_000, ("not TOML",)),
    ("# " + "x" * (65 << 10), ("too long",)),
    ('[client]\n"a\\nb\\u001b[31m" = 5', ("[client] a b", "is not a setting")),
    (f'[client]\n"{"k" * 5000}" = 5', ("kkk…", "is not a setting")),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text[:30] for text, _words in WRONG])
def test_wrong_file_is_one_sentence(
    text: str, words: tuple[str, ...], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the file, the place in it and the nearest guess; exit code 2. Values are not shown."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        read_client_flags(["--lang", "en"])
    said = capsys.readouterr()
    assert end.value.code == 2 and said.out == ""
    assert said.err.count("\n") == 1 and str(path) in said.err and "\x1b" not in said.err
    assert all(word in said.err for word in words), said.err
    assert "hidden-secret" not in said.err


def test_file_that_cannot_be_read(
    tmp_path: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing where it was named, a folder, or no text."""
    (tmp_path / "bytes.toml").write_bytes(b"name = '\xff'")
    texts = {"no.toml": "no such file", ".": "", "bytes.toml": "not text in UTF-8"}
    for name, words in texts.items():
        with pytest.raises(SystemExit) as end:
            read_client_flags(["--lang", "en", "--config", str(tmp_path / name)])
        assert end.value.code == 2
        said = capsys.readouterr().err
        assert words in said and str(tmp_path / name) in said and said.count("\n") == 1


def test_help_works_whatever_is_in_the_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is what a person types next."""
    path.write_text("[client]\nhistory = 'many'\nhistroy 5", encoding="utf-8")
    for flag in ("--help", "--version"):
        with pytest.raises(SystemExit) as end:
            read_client_flags([flag])
        assert end.value.code == 0
        assert capsys.readouterr().out


def test_python_without_a_parser_is_a_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before 3.11, where `tomli` is not installed; without a file nothing is missing."""

    def absent(name: str) -> ModuleType:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(settings_file, "import_module", absent)
    assert read_client_flags([]).history is None
    path.write_text("[client]\nhistory = 5\n", encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        read_client_flags([])
    assert end.value.code == 2
    assert "pip install tomli" in capsys.readouterr().err


@pytest.mark.parametrize("table", ["client", "server"])
def test_printed_settings_are_a_file_that_says_the_same(
    table: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where texts have quotation marks in them."""
    odd = 'a "b" \\ é'
    read = READERS[table]
    own = {"client": f"room = ['{odd}', 'x']", "server": f"db = '{odd}'"}[table]
    path.write_text(f"lang = 'en'\n[{table}]\ntls = true\n{own}\n", encoding="utf-8")
    before = vars(read([]))
    with pytest.raises(SystemExit) as end:
        read(["--print-config"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert tomllib.loads(printed).keys() == {table}
    path.write_text(printed, encoding="utf-8")
    assert vars(read([])) == before


@pytest.mark.parametrize(
    ("odd", "shown"),
    [
        ("a\u202eb\u2066", "a\\u202Eb\\u2066"),
        ("\x9b31m\x7f", "\\u009B31m\\u007F"),
        ("\x1b]0;x\x07", "\\u001b]0;x\\u0007"),
        ("\u2028\ufeff\u200b", "\\u2028\\uFEFF\\u200B"),
        ("\U000e0041\U0001f600", "\\U000E0041\U0001f600"),
        ("\udcff", "\ufffd"),
    ],
)
def test_printed_settings_steer_no_terminal(
    odd: str, shown: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be seen stands there as TOML escapes it, and means the same."""
    path = path.with_name("a\u202eb.toml")
    path.touch()
    with pytest.raises(SystemExit):
        read_server_flags(["--print-config", "--db", f"é {odd}", "--config", str(path)])
    printed = capsys.readouterr().out
    assert f'db = "é {shown}"' in printed
    assert all(c.isprintable() or c == "\n" for c in printed)
    expected = odd.replace("\udcff", "\ufffd")
    assert tomllib.loads(printed)["server"]["db"] == f"é {expected}"


def test_printed_settings_say_where_each_comes_from(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And those that are not set are comments."""
    path.write_text("[client]\nhistory = 5\n", encoding="utf-8")
    monkeypatch.setenv("CHAT_BELL", "off")
    with pytest.raises(SystemExit):
        read_client_flags(["--print-config", "--lang", "en", "a:1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"# settings file: {path}"
    for line in (
        "history = 5  # config.toml",
        'bell = "off"  # CHAT_BELL',
        'lang = "en"  # command line',
        'address = "a:1"  # command line',
        "tls = false  # default",
        "# name =  # default",
    ):
        assert line in lines
    path.unlink()
    with pytest.raises(SystemExit):
        read_server_flags(["--print-config", "--lang", "en", "--metrics-port", "9000"])
    said = capsys.readouterr().out
    assert said.startswith(f"# settings file: {path} (not there)\n[server]\n")
    assert 'metrics-port = "127.0.0.1:9000"  # command line' in said
