"""Which terminal fits: the line editor where a person sits at one that can do it."""

from __future__ import annotations

import os
import sys

from chat.cli import streams
from chat.cli.dependencies import missing_line
from chat.cli.i18n import _
from chat.client.ui.base import Terminal
from chat.client.ui.jsonl import JsonTerminal
from chat.client.ui.plain import PlainTerminal
from chat.protocol.errors import ConfigError

# Terminals that can do nothing but append.
DUMB_TERMINALS = ("", "dumb", "unknown")


def choose_terminal(is_json: bool, listen_only: bool) -> Terminal:
    """Return the terminal for this program's standard input and output."""
    if is_json:
        return JsonTerminal(listen_only)
    is_person = sys.stdin.isatty() and sys.stdout.isatty() and not listen_only
    is_dumb = sys.platform != "win32" and os.environ.get("TERM", "") in DUMB_TERMINALS
    editor = make_line_editor() if is_person and not is_dumb else None
    return editor or PlainTerminal(listen_only)


def check_streams(listen_only: bool) -> None:
    """Raise `ConfigError` where what the client needs of its standard streams was closed."""
    if streams.was_closed("stdin") and not listen_only:
        raise ConfigError(
            _("Standard input is closed. Give it a terminal, a pipe or a file, or pass --listen.")
        )
    if streams.was_closed("stdout"):
        raise ConfigError(_("Standard output is closed. Give it a terminal, a pipe or a file."))


def make_line_editor() -> Terminal | None:
    """Return the line editor, None where it is not installed or nothing can be drawn.

    Says when it is not installed: a person sits at the terminal.
    """
    try:
        from chat.client.ui.editor import LineEditor  # needs prompt_toolkit

        return LineEditor()
    except ImportError:
        if line := missing_line({"prompt_toolkit": _("the line editor")}):
            print(line, file=sys.stderr)
    except OSError:
        pass
    return None
