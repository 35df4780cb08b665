"""Command lines: every flag has an environment variable of the same name; `--help` shows both."""

from __future__ import annotations

import argparse
import errno
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from chat import __version__
from chat.cli import i18n as language
from chat.cli import streams
from chat.cli.i18n import _

YES = ("1", "true", "yes", "sim", "on")
# What Python takes besides (١٢, 1_000, nan, spaces) is rather a slip.
PLAIN_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
# Of a wrong argument of any length so much is enough to find it.
MAX_ERROR_CHARACTERS = 300
LOOPBACK_HOST = "127.0.0.1"
EXIT_BROKEN_PIPE = 141  # 128 and the number of SIGPIPE
NO = ("", "0", "false", "no", "nao", "não", "off")


class Parser(argparse.ArgumentParser):
    """An argument parser whose flags fall back to `CHAT_…` in the environment, then to the default.

    Speaks the language that the arguments ask for, from the start. Has `--lang` and `--version`.
    """

    def __init__(self, arguments: Sequence[str], description: str) -> None:
        language.use(language.wanted(arguments))
        super().__init__(description=_(description), allow_abbrev=False)
        self._arguments = arguments
        self.flag(
            "--lang",
            choices=language.available(),
            default=language.DEFAULT_LANGUAGE,
            help=_("language of what is shown"),
        )
        self.add_argument(
            "--version", action=ShowVersion, nargs=0, help=_("show the version and exit")
        )

    def flag(self, name: str, variable: str = "", **options: Any) -> None:
        """Add the flag `name` (`--max-clients`) and its variable (`CHAT_MAX_CLIENTS`).

        `options` are those of `argparse.add_argument`; a default that is not None is shown.
        """
        variable = variable or "CHAT_" + name.removeprefix("--").replace("-", "_").upper()
        value = os.environ.get(variable) or None  # an empty one is as good as none
        default = options.get("default")
        has_default = default not in (None, "") and default is not False
        hint = f"[{variable}; {default}]" if has_default else f"[{variable}]"
        options["help"] = f"{options['help']} {hint}".replace("%", "%%")
        if value is not None:
            options["default"] = self._from_environment(variable, value, options)
        self.add_argument(name, **options)

    def _from_environment(self, variable: str, value: str, options: dict[str, Any]) -> Any:
        """Return what the variable says, judged as the flag itself would be."""
        if options.get("action") in ("store_true", OnOff):
            if value.lower() not in YES + NO:
                self.error(_("{variable} is on (1) or off (0)").format(variable=variable))
            return value.lower() in YES
        try:
            parsed = options.get("type", str)(value)
        except argparse.ArgumentTypeError as error:
            self.error(f"{variable}: {error}")
        if parsed not in options.get("choices", [parsed]):
            self.error(
                _("{variable}: {value!r} is not valid").format(variable=variable, value=value)
            )
        return parsed

    def read(self) -> argparse.Namespace:
        """Return the parsed arguments, or end the program with a sentence and exit code 2."""
        return self.parse_args(self._arguments)

    def error(self, message: str) -> NoReturn:
        hint = _("see --help")
        self.exit(2, f"{self.prog}: {_short(message)} ({hint})\n")

    def print_help(self, file: Any = None) -> None:
        """Print the help, or end the program where standard output takes nothing."""
        self.print_text(self.format_help())

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
            sentence = _("standard output cannot be written ({error})").format(error=error.strerror)
            self.exit(1, f"{self.prog}: {sentence}\n")


class OnOff(argparse.Action):
    """A flag with an opposite, `--x` and `--no-x`; the default may be neither."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        opposites = [f"--no-{option.removeprefix('--')}" for option in option_strings]
        super().__init__([*option_strings, *opposites], dest, nargs=0, **options)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None
    ) -> None:
        setattr(namespace, self.dest, not str(option).startswith("--no-"))


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


def text(value: str) -> str:
    """Return an argument as it is, an argument type for what is no path: it has to be UTF-8."""
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise argparse.ArgumentTypeError(_("this is not text in UTF-8"))
    return value


def between(
    lowest: float, highest: float, kind: type[int] | type[float] = int, *, has_zero: bool = False
) -> Callable[[str], float]:
    """Return an argument type: a number of `kind` from `lowest` to `highest`, in ASCII digits.

    `has_zero`: 0 is allowed too, and means something else than a number close to it.
    """

    def number(value: str) -> float:
        try:
            parsed = kind(value) if PLAIN_NUMBER.fullmatch(value) else math.nan
        except ValueError:  # 1.5 where there are no fractions, or more digits than Python takes
            parsed = math.nan
        if not (lowest <= parsed <= highest or (has_zero and parsed == 0)):
            sentence = _("a number from {lowest} to {highest} is expected")
            if has_zero:
                sentence = _("0, or a number from {lowest} to {highest}, is expected")
            raise argparse.ArgumentTypeError(sentence.format(lowest=lowest, highest=highest))
        return parsed

    return number


def host_port(text: str) -> tuple[str, int]:
    """Return the host and the port of `[HOST:]PORT`; without a host, loopback."""
    host, colon, number = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else LOOPBACK_HOST
    if not host or not host.isascii() or not host.isprintable():
        raise argparse.ArgumentTypeError(_("PORT or HOST:PORT is expected"))
    return host, port(number)


def port(text: str) -> int:
    """Return a TCP port, 0 for a free one."""
    is_port = text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
    if not is_port:
        raise argparse.ArgumentTypeError(_("a port is a number from 0 to 65535"))
    return int(text)
