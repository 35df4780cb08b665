"""One flag, wherever its value comes from: command line, variable or settings file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from chat.cli.argument_types import Between, host_port, port
from chat.cli.i18n import _
from chat.cli.settings_file import Kind

YES = ("1", "true", "yes", "sim", "on")
NO = ("", "0", "false", "no", "nao", "não", "off")


class OnOff(argparse.Action):
    """A flag with an opposite, `--x` and `--no-x`; the default may be neither."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        opposites = [f"--no-{option.removeprefix('--')}" for option in option_strings]
        super().__init__([*option_strings, *opposites], dest, nargs=0, **options)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None
    ) -> None:
        setattr(namespace, self.dest, not str(option).startswith("--no-"))


class EachTime(argparse.Action):
    """A flag that may be given several times: its texts with commas between, as in the variable."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None
    ) -> None:
        given = getattr(namespace, self.dest)
        text = values if given is self.default else f"{given},{values}"
        setattr(namespace, self.dest, text)


class Option:
    """A flag: its variable, the options of its argument, and where its default comes from."""

    def __init__(self, variable: str, options: dict[str, Any]) -> None:
        self.variable = variable
        self.options = options
        self.origin = ""  # the default is our own
        default = options.get("default")
        has_default = default not in (None, "") and default is not False
        self.hint = f"[{variable}; {default}]" if has_default else f"[{variable}]"

    @property
    def kind(self) -> Kind:
        """What its value is in a settings file."""
        action, judge = self.options.get("action"), self.options.get("type")
        if action in ("store_true", OnOff):
            return Kind.SWITCH
        if action is EachTime:
            return Kind.TEXTS
        if judge is host_port:
            return Kind.PORT
        return Kind.NUMBER if judge is port or isinstance(judge, Between) else Kind.TEXT

    def judge(self, value: str) -> Any:
        """Return what a text says, as the flag would; raises `argparse.ArgumentTypeError`."""
        parsed = self.options.get("type", str)(value)
        choices = self.options.get("choices", [parsed])
        if parsed not in choices:
            text = _("{value!r} is not valid; choose from {choices}")
            choices = ", ".join(map(str, choices))
            raise argparse.ArgumentTypeError(text.format(value=value, choices=choices))
        return parsed

    def from_variable(self, value: str) -> Any:
        """Return what the variable says; raises `argparse.ArgumentTypeError`."""
        self.origin = self.variable
        if self.kind is not Kind.SWITCH:
            return self.judge(value)
        if value.lower() not in YES + NO:
            raise argparse.ArgumentTypeError(_("on (1) or off (0) is expected"))
        return value.lower() in YES

    def from_file(self, value: str | bool) -> Any:
        """Return what a value of the file says; no shell has put the user's folder for `~`.

        Raises `argparse.ArgumentTypeError`.
        """
        if isinstance(value, bool):
            return value
        if "\0" in value:  # neither a path nor a variable nor an argument can have one
            raise argparse.ArgumentTypeError(_("a NUL character is in it; write it without that"))
        is_path = self.kind is Kind.TEXT and "type" not in self.options
        if is_path and value.startswith("~"):
            with suppress(RuntimeError):  # a user without a home
                value = str(Path(value).expanduser())
        return self.judge(value)
