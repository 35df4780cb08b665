"""Command lines: every flag has an environment variable of the same name; `--help` shows both."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from chat import __version__
from chat.cli import i18n as language
from chat.cli.i18n import _

YES = ("1", "true", "yes", "sim", "on")
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
            "--version",
            action="version",
            version=f"%(prog)s {__version__}",
            help=_("show the version and exit"),
        )

    def flag(self, name: str, **options: Any) -> None:
        """Add the flag `name` (`--max-clients`) and its variable (`CHAT_MAX_CLIENTS`).

        `options` are those of `argparse.add_argument`; a default that is not None is shown.
        """
        variable = "CHAT_" + name.removeprefix("--").replace("-", "_").upper()
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
        if options.get("action") == "store_true":
            if value.lower() not in YES + NO:
                self.error(_("{variable} is on (1) or off (0)").format(variable=variable))
            return value.lower() in YES
        try:
            parsed = options.get("type", str)(value)
        except (ValueError, argparse.ArgumentTypeError):
            self.error(
                _("{variable}: {value!r} is not valid").format(variable=variable, value=value)
            )
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
        self.exit(2, f"{self.prog}: {message} ({hint})\n")


def at_least(lowest: float, kind: type[int] | type[float] = int) -> Any:
    """Return an argument type: a number of `kind` that is `lowest` or more."""
    return between(lowest, sys.float_info.max, kind)


def between(lowest: float, highest: float, kind: type[int] | type[float] = float) -> Any:
    """Return an argument type: a number of `kind` from `lowest` to `highest`."""

    def number(text: str) -> float:
        value = kind(text)
        if not lowest <= value <= highest:
            raise ValueError(text)
        return value

    number.__name__ = _("number")
    return number


def port(text: str) -> int:
    """Return a TCP port, 0 for a free one."""
    is_port = text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
    if not is_port:
        raise argparse.ArgumentTypeError(_("a port is a number from 0 to 65535"))
    return int(text)
