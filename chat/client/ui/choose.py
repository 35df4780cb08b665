"""Which terminal fits: the line editor where a person sits at one that can do it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from chat.cli import streams
from chat.cli.dependencies import missing_line
from chat.cli.i18n import _
from chat.client.ui.base import Terminal
from chat.client.ui.jsonl import JsonTerminal
from chat.client.ui.plain import PlainTerminal
from chat.client.ui.search_lines import SearchTerminal
from chat.protocol.errors import ConfigError, UsageError

# Terminals that can do nothing but append.
DUMB_TERMINALS = ("", "dumb", "unknown")


@dataclass(frozen=True)
class Use:
    """What the client is to be for its standard input and output, as the flags say.

    `search`: what is only to be searched for.
    """

    is_json: bool = False
    listen_only: bool = False
    send_only: bool = False
    is_plain: bool = False
    with_time: bool = False
    search: str | None = None

    @property
    def has_reader(self) -> bool:
        """Whether a person reads along, so that what was said before comes first."""
        is_typed = sys.stdin.isatty() and not self.send_only
        is_shown = sys.stdout.isatty() and not self.is_json
        return self.search is None and is_shown and (is_typed or self.listen_only)


def choose_terminal(use: Use) -> Terminal:
    """Return the terminal for this program's standard input and output."""
    if use.search is not None:
        return SearchTerminal(use.search, use.is_json)
    if use.is_json:
        return JsonTerminal(listen_only=use.listen_only, send_only=use.send_only)
    is_person = use.has_reader and not use.listen_only
    is_dumb = sys.platform != "win32" and os.environ.get("TERM", "") in DUMB_TERMINALS
    editor = make_line_editor() if is_person and not (is_dumb or use.is_plain) else None
    return editor or PlainTerminal(
        listen_only=use.listen_only, send_only=use.send_only, with_time=use.with_time
    )


def check_use(use: Use) -> None:
    """Raise `ConfigError` where it makes no sense, or a stream that it needs was closed."""
    if use.listen_only and use.send_only:
        raise UsageError(_("--listen and --send-only exclude each other: give one of them."))
    if use.search is not None and (use.listen_only or use.send_only):
        raise UsageError(_("--search only prints what it finds; leave out the other of the two."))
    if streams.was_closed("stdin") and not use.listen_only and use.search is None:
        raise ConfigError(
            _("Standard input is closed. Give it a terminal, a pipe or a file, or pass --listen.")
        )
    if streams.was_closed("stdout") and not use.send_only:
        raise ConfigError(
            _(
                "Standard output is closed. Give it a terminal, a pipe or a file, or pass"
                " --send-only."
            )
        )


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
