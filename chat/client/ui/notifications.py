"""The terminal's own notifications: escape sequences for those that are known to take them.

Elsewhere they would do nothing, or show as rubbish, so that there are none. A terminal is known by
the variables that it sets.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Callable, Mapping

from chat.client.ui.render import one_line

# More than any desktop shows.
MAX_TITLE_CHARACTERS = 80
MAX_BODY_CHARACTERS = 200
ESCAPE, END = "\x1b", "\x1b\\"

Sequence = Callable[[str, str], str]


def make_notifier(environment: Mapping[str, str] | None = None) -> Sequence | None:
    """Return what makes the sequence of a title and a text, for the present terminal, or None.

    In tmux what is known is the terminal around it, as far as its variables came in; tmux passes
    the sequence on where its option `allow-passthrough` is on, and drops it where it is not.
    """
    environment = os.environ if environment is None else environment
    if sys.platform == "win32" or "STY" in environment:  # screen, which passes nothing on
        return None
    plain = _sequence_of(environment)
    if plain is None or "TMUX" not in environment:
        return plain
    return lambda title, text: _through_tmux(plain(title, text))


def _sequence_of(environment: Mapping[str, str]) -> Sequence | None:
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "KITTY_WINDOW_ID" in environment or term == "xterm-kitty":
        return osc_99
    is_iterm = program == "iTerm.app" or environment.get("LC_TERMINAL") == "iTerm2"
    if is_iterm or "ITERM_SESSION_ID" in environment:
        return osc_9
    is_known = program in ("WezTerm", "ghostty", "WarpTerminal") or term in ("foot", "foot-extra")
    is_known |= "WEZTERM_PANE" in environment or "GHOSTTY_RESOURCES_DIR" in environment
    if is_known or term == "xterm-ghostty" or term.startswith("rxvt-unicode"):
        return osc_777
    return None


def osc_9(title: str, text: str) -> str:
    """Return the sequence of iTerm2, which has one text alone."""
    # It begins with no digit: that would be another command of ConEmu's.
    return f"{ESCAPE}]9;[{_title(title)}] {_body(text)}{END}"


def osc_777(title: str, text: str) -> str:
    """Return the sequence of rxvt-unicode, and of those that took it over."""
    return f"{ESCAPE}]777;notify;{_title(title)};{_body(text)}{END}"


def osc_99(title: str, text: str) -> str:
    """Return the sequences of kitty, which shows them when its window is not looked at."""
    return (
        f"{ESCAPE}]99;i=chat:d=0:e=1:o=unfocused;{_encoded(_title(title))}{END}"
        f"{ESCAPE}]99;i=chat:d=1:e=1:p=body;{_encoded(_body(text))}{END}"
    )


def _through_tmux(sequence: str) -> str:
    return f"{ESCAPE}Ptmux;{sequence.replace(ESCAPE, ESCAPE * 2)}{END}"


def _title(text: str) -> str:
    # A semicolon would end it.
    return one_line(text)[:MAX_TITLE_CHARACTERS].replace(";", ",")


def _body(text: str) -> str:
    return one_line(text)[:MAX_BODY_CHARACTERS].replace(";", ",")


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
