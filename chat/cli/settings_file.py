"""The settings file: the values of a program's flags in TOML, `[client]` and `[server]` each.

Reads the file, says what is wrong with it, and writes settings in its form. Which flags there are,
and what their values may be, is for `flags.py`. In the main thread, before anything else begins.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Collection, Mapping
from contextlib import suppress
from enum import Enum, auto
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from chat.cli.dependencies import python
from chat.cli.display import one_line
from chat.cli.folders import config_folder
from chat.cli.i18n import N_, _
from chat.cli.regular_files import read_regular
from chat.cli.system_errors import words_of
from chat.protocol.errors import UsageError
from chat.protocol.text import REPLACEMENT

FILE_NAME = "config.toml"
# Far more than all settings take; of what else it may be (a disk, /dev/zero) not all is read.
MAX_FILE_BYTES = 64 << 10
PROGRAMS = ("client", "server")
# What both programs have, and may be said once, before the first table.
SHARED = ("lang",)
# To what a mistyped key may have been meant for (`difflib`).
MIN_LIKENESS = 0.6
# Of a key, which may be of any length, so much is enough to find it.
MAX_SHOWN_CHARACTERS = 60
_LINE = re.compile(r"\(at line (\d+),")


class Kind(Enum):
    """What a value is written as."""

    SWITCH = auto()  # true or false
    NUMBER = auto()
    TEXT = auto()
    PORT = auto()  # a number or a text
    TEXTS = auto()  # one text, or a list of them


EXPECTED = {
    Kind.SWITCH: N_("true or false is expected"),
    Kind.NUMBER: N_("a number is expected, without quotation marks"),
    Kind.TEXT: N_("a text in quotation marks is expected"),
    Kind.PORT: N_("a number, or a text in quotation marks, is expected"),
    Kind.TEXTS: N_('a text in quotation marks, or a list of them (["a", "b"]), is expected'),
}


class SettingsFile:
    """What a file says to the program called `table`; nothing where there is no file.

    `path`: for the sentences. `shared`, `own`: what stands before the tables, and in the program's.
    """

    def __init__(
        self, path: Path | None, table: str, shared: Mapping[str, Any], own: Mapping[str, Any]
    ) -> None:
        self.path = path
        self._table = table
        self._shared = shared
        self._own = own

    @classmethod
    def read(cls, given: str, table: str) -> SettingsFile:
        """Read the file `given`, or, where that is empty, the usual one, if it is there.

        Raises `UsageError`, also where what it holds is no TOML or not arranged as settings are.
        """
        folder = config_folder()
        path = Path(given) if given else folder / FILE_NAME if folder else None
        if path is None or not (given or path.exists()):
            return cls(path, table, {}, {})
        content = _parsed(path, bool(given))
        shared = {key: value for key, value in content.items() if key not in PROGRAMS}
        for name in PROGRAMS:
            if not isinstance(content.get(name, {}), dict):
                text = _("{path}: {key} is a table; write [{key}] on a line of its own, above it.")
                raise UsageError(text.format(path=path, key=name))
        return cls(path, table, shared, content.get(table, {}))

    @property
    def name(self) -> str:
        """The last part of the path, empty where there is none."""
        return self.path.name if self.path else ""

    def find(self, key: str) -> Any:
        """Return the value of a setting, None where the file does not say."""
        shared = self._shared.get(key) if key in SHARED else None
        return self._own.get(key, shared)

    def check_keys(self, known: Collection[str]) -> None:
        """Raise `UsageError` for a key that is no setting; `known`: those of the program."""
        for key in self._own:
            if key not in known:
                raise UsageError(self._unknown(f"[{self._table}] {_shown(key)}", key, known))
        for key in self._shared:
            if key not in SHARED:
                raise UsageError(self._misplaced(key, known))

    def _unknown(self, place: str, key: str, known: Collection[str]) -> str:
        guess = _nearest(key, known)
        text = _("{path}: {place} is not a setting.")
        if guess:
            text = _("{path}: {place} is not a setting; did you mean {guess}?")
        return text.format(path=self.path, place=place, guess=guess)

    def _misplaced(self, key: str, known: Collection[str]) -> str:
        """Say what is wrong with a key before the first table."""
        if key not in known:
            is_table = isinstance(self._shared[key], dict)
            place = f"[{_shown(key)}]" if is_table else _shown(key)
            return self._unknown(place, key, PROGRAMS if is_table else [*SHARED, *known])
        text = _("{path}: {key} belongs below a line [{table}].")
        return text.format(path=self.path, key=key, table=self._table)

    def text_of(self, key: str, kind: Kind) -> str | bool | None:
        """Return the value of a setting as a flag would have it, None where the file does not say.

        A text, but for a SWITCH. Raises `UsageError` where it is of another kind.
        """
        value = self.find(key)
        if value is None:
            return None
        text = _as_text(value, kind)
        if text is None:
            raise self.complaint(key, _(EXPECTED[kind]))
        return text

    def complaint(self, key: str, what: str) -> UsageError:
        """Return what is wrong with the value of a setting."""
        place = f"[{self._table}] {key}" if key in self._own else key
        return UsageError(f"{self.path}: {place}: {what}")


def _as_text(value: Any, kind: Kind) -> str | bool | None:
    """Return a value as it would be typed on the command line; None where it is of another kind."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is Kind.SWITCH:
        return value if isinstance(value, bool) else None
    if kind in (Kind.NUMBER, Kind.PORT) and is_number:
        return str(value)
    if kind is not Kind.NUMBER and isinstance(value, str):
        return value
    is_list = isinstance(value, list) and all(isinstance(text, str) for text in value)
    return ",".join(value) if kind is Kind.TEXTS and is_list else None


def _parsed(path: Path, is_given: bool) -> dict[str, Any]:
    """Return what a file holds; raises `UsageError`."""
    text = _text_in(path, is_given)
    try:
        return dict(_toml().loads(text))
    except (ValueError, RecursionError) as error:
        # Its own words are in English.
        line = _LINE.search(str(error))
        number = int(line[1]) if line else text.count("\n") + 1
        sentence = _('{path}, line {line}: this is not TOML; write KEY = "TEXT", 5 or true.')
        raise UsageError(sentence.format(path=path, line=number)) from error


def _text_in(path: Path, is_given: bool) -> str:
    """Return what a file holds, which may be a pipe where the user has named it."""
    try:
        if is_given:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        else:
            content = read_regular(path, MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(_("it is too long"))
        return content.decode("utf-8-sig")  # Notepad's mark
    except (OSError, ValueError) as error:
        is_garbled = isinstance(error, UnicodeError)
        reason = _("it is not text in UTF-8") if is_garbled else words_of(error)
        text = _("{path} cannot be read ({error}). Give the path of a file that can.")
        raise UsageError(text.format(path=path, error=reason)) from error


def _toml() -> ModuleType:
    """Return the parser, Python's own from 3.11 on; raises `UsageError` where there is none."""
    for name in ("tomllib", "tomli"):
        with suppress(ImportError):
            return import_module(name)
    text = _("A settings file takes one more package with this Python. Type: {command}")
    raise UsageError(text.format(command=python("-m pip install tomli")))


def _nearest(key: str, known: Collection[str]) -> str:
    word = key[:MAX_SHOWN_CHARACTERS].replace("_", "-").casefold()
    return next(iter(difflib.get_close_matches(word, known, 1, MIN_LIKENESS)), "")


def _shown(key: str) -> str:
    shown = one_line(key[: MAX_SHOWN_CHARACTERS + 1])
    return shown if len(key) <= MAX_SHOWN_CHARACTERS else shown[:-1] + "…"


def toml_line(key: str, value: Any, kind: Kind, origin: str) -> str:
    """Return a setting as it stands in the file, with where it comes from behind it.

    One without a value is a comment.
    """
    if value is None:
        return f"# {key} =  # {origin}"
    if isinstance(value, tuple):  # HOST:PORT
        host, port = value
        value = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if kind is Kind.TEXTS:
        shown = f"[{', '.join(map(_quoted, value.split(',')))}]" if value else '""'
    elif isinstance(value, bool):
        shown = str(value).lower()
    else:
        shown = _quoted(value) if isinstance(value, str) else str(value)
    return f"{key} = {shown}  # {one_line(origin)}"


def _quoted(text: str) -> str:
    """Return a basic string of TOML, which has JSON's escapes; in ASCII what cannot be seen."""
    return "".join(map(_escaped, json.dumps(text, ensure_ascii=False)))


def _escaped(character: str) -> str:
    """Return a character of a string: as TOML escapes it where it would change what is read."""
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Cs":  # a byte that is no text, and cannot be in TOML
        return REPLACEMENT
    number = ord(character)
    return f"\\u{number:04X}" if number <= 0xFFFF else f"\\U{number:08X}"
