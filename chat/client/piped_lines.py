"""What a program pipes in that looks as if a person had typed it."""

from __future__ import annotations

from collections.abc import Callable

from chat.cli.i18n import _
from chat.client import commands


class PipedLines:
    """Warns once of a command in a pipe, where it is said aloud. In the main thread.

    `warn` shows a sentence on standard error.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._has_warned = False

    def note(self, line: str) -> None:
        """Note a line that is about to be sent as it is."""
        if not self._has_warned and commands.is_command(line) and commands.parse(line)[0]:
            self._has_warned = True
            text = _(
                "* {command} is no command in a pipe: lines are sent as they are, to everybody in"
                " the room. Programs can do more with --json."
            )
            self._warn(text.format(command=line.split(maxsplit=1)[0]))
