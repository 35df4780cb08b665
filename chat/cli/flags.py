"""Command lines: every flag has an environment variable of the same name; `--help` shows both.

What neither says, the settings file may (`settings_file.py`).
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from chat import __version__
from chat.cli import english, metavars, streams
from chat.cli import i18n as language
from chat.cli.argument_types import between as between
from chat.cli.argument_types import host_port as host_port
from chat.cli.argument_types import language as language_type
from chat.cli.argument_types import port as port
from chat.cli.argument_types import text as text
from chat.cli.display import one_line
from chat.cli.i18n import _
from chat.cli.option import EachTime as EachTime
from chat.cli.option import OnOff as OnOff
from chat.cli.option import Option
from chat.cli.settings_file import SettingsFile, toml_line
from chat.cli.system_errors import words_of
from chat.protocol.errors import UsageError

# Of a wrong argument of any length so much is enough to find it.
MAX_ERROR_CHARACTERS = 300
EXIT_BROKEN_PIPE = 141  # 128 and the number of SIGPIPE


class Parser(argparse.ArgumentParser):
    """An argument parser whose flags fall back to `CHAT_…` in the environment, then to a file.

    And then to the default. Speaks the language that is asked for from the start, wherever that is
    said. `table`: the program's in the file; without one there is no file. Has `--lang`,
    `--config`, `--print-config` and `--version`. What is wrong with the file is said by `read`, so
    that `--help` works nevertheless.
    """

    def __init__(self, arguments: Sequence[str], description: str, table: str = "") -> None:
        language.use(language.wanted(arguments))
        self._complaint: UsageError | None = None
        self._file = self._read_file(arguments, table)
        self._use_language(arguments)
        super().__init__(description=_(description), allow_abbrev=False, exit_on_error=False)
        self._arguments = arguments
        self._table = table
        self._options: dict[str, Option] = {}
        self._add_common_flags()

    def _read_file(self, arguments: Sequence[str], table: str) -> SettingsFile:
        try:
            if table:
                path = language.given(arguments, "--config", "CHAT_CONFIG")
                return SettingsFile.read(path, table)
        except UsageError as error:
            self._complaint = error
        return SettingsFile(None, table, {}, {})

    def _use_language(self, arguments: Sequence[str]) -> None:
        chosen = language.given(arguments, "--lang", "CHAT_LANG") or self._file.find("lang") or ""
        found = language.find(str(chosen))
        language.use(found or language.DEFAULT_LANGUAGE)
        language.use_for_argparse()
        english.offer(is_chosen=bool(chosen), is_understood=found is not None)

    def _add_common_flags(self) -> None:
        languages = language.available()
        self.flag(
            "--lang",
            type=language_type,
            metavar=f"{{{','.join(languages)}}}",
            default=language.DEFAULT_LANGUAGE,
            help=_("language of what is shown"),
        )
        if self._table:
            self.flag(
                "--config",
                metavar="FILE",
                help=_("settings file (TOML), instead of the one in your folder of settings"),
            )
            self.add_argument(
                "--print-config",
                action="store_true",
                help=_("show all settings as the settings file has them, and exit"),
            )
        self.add_argument(
            "--version", action=ShowVersion, nargs=0, help=_("show the version and exit")
        )

    def flag(self, name: str, variable: str = "", **options: Any) -> None:
        """Add the flag `name` (`--max-clients`), its variable (`CHAT_MAX_CLIENTS`) and its key.

        `options` are those of `argparse.add_argument`; a default that is not None is shown.
        """
        key = name.removeprefix("--")
        metavars.translate(key, options)
        option = Option(variable or "CHAT_" + key.replace("-", "_").upper(), options)
        self._options[key] = option
        options["help"] = f"{options['help']} {option.hint}".replace("%", "%%")
        if os.environ.get(option.variable):  # an empty one is as good as none
            try:
                options["default"] = option.from_variable(os.environ[option.variable])
            except argparse.ArgumentTypeError as error:
                self.error(f"{option.variable}: {error}")
        elif name != "--config":
            self._take_from_file(key, option)
        self.add_argument(name, **options)

    def _take_from_file(self, key: str, option: Option) -> None:
        """Let what the file says, if it does, be the default; note the first thing wrong in it."""
        try:
            found = self._file.text_of(key, option.kind)
            if found not in (None, ""):  # an empty one is as good as none
                option.options["default"] = option.from_file(found)
                option.origin = self._file.name
        except UsageError as error:
            self._complaint = self._complaint or error
        except argparse.ArgumentTypeError as error:
            self._complaint = self._complaint or self._file.complaint(key, str(error))

    def read(self) -> argparse.Namespace:
        """Return the parsed arguments, or end the program with a sentence and exit code 2."""
        settings = self._parsed()
        try:
            if self._complaint is not None:
                raise self._complaint
            self._file.check_keys(self._options.keys() - {"config"})
        except UsageError as error:
            self.error(str(error))
        if self._table and settings.print_config:
            self.print_text(self._as_file(settings))
            self.exit()
        return settings

    def _parsed(self) -> argparse.Namespace:
        try:
            return self.parse_args(self._arguments)
        except argparse.ArgumentError as error:
            # By itself it says whose error it is in English, before Python 3.11.
            named = _("argument %(argument_name)s: %(message)s")
            self.error(named % vars(error) if error.argument_name else error.message)

    def _as_file(self, settings: argparse.Namespace) -> str:
        """Return all settings as the file has them, each with where it comes from."""
        path = self._file.path
        is_there = path is not None and path.exists()
        head = _("settings file: {path}") if is_there else _("settings file: {path} (not there)")
        lines = [f"# {one_line(head.format(path=path))}", f"[{self._table}]"]
        for key, option in self._options.items():
            if key != "config":
                value = getattr(settings, key.replace("-", "_"))
                origin = self._origin_of(key, option, value)
                lines.append(toml_line(key, value, option.kind, origin))
        return "\n".join(lines) + "\n"

    def _origin_of(self, key: str, option: Option, value: Any) -> str:
        flags = (f"--{key}", f"--no-{key}")
        is_given = any(word.partition("=")[0] in flags for word in self._arguments)
        if is_given or value != option.options.get("default"):
            return _("command line")
        return option.origin or _("default")

    def error(self, message: str) -> NoReturn:
        hint = _("see --help")
        in_english = english.take() if sys.stderr.isatty() else ""
        sentence = _short(message)
        stop = "." if sentence.endswith(".") else ""
        lines = [f"{self.prog}: {sentence.removesuffix('.')} ({hint}){stop}"]
        lines += filter(None, [in_english])
        self.exit(2, "\n".join(lines) + "\n")

    def print_help(self, file: Any = None) -> None:
        """Print the help, or end the program where standard output takes nothing."""
        usage, gap, rest = self.format_help().partition("\n\n")
        in_english = english.take()
        self.print_text(f"{usage}\n{in_english}{gap}{rest}" if in_english else usage + gap + rest)

    def print_text(self, text: str) -> None:
        """Print to standard output; a sentence and exit code 1 where that is full or closed."""
        try:
            if streams.was_closed("stdout"):
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            print(text, end="", flush=True)
        except OSError as error:
            streams.discard(sys.stdout)
            if error.errno == errno.EPIPE:
                self.exit(EXIT_BROKEN_PIPE)
            sentence = _("standard output cannot be written ({error})").format(
                error=words_of(error)
            )
            self.exit(1, f"{self.prog}: {sentence}\n")


class ShowVersion(argparse.Action):
    """Prints the version, and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, *_parsed: Any) -> NoReturn:
        assert isinstance(parser, Parser)
        parser.print_text(f"{parser.prog} {__version__}\n")
        parser.exit()


def _short(message: str) -> str:
    """Return a message on one line, and not much longer than one."""
    line = " ".join(message.split())
    return line if len(line) <= MAX_ERROR_CHARACTERS else line[:MAX_ERROR_CHARACTERS] + "…"
