"""Where keys come from, and when Esc is a key of its own.

A terminal begins with Esc's byte whatever is no character: an arrow is `ESC [ A`, Alt and B are
`ESC b`, written at once. Who presses Esc and types on sends the same bytes, one after the other:
only time tells. Everything here runs in the editor's loop.
"""

from __future__ import annotations

import math
import re
import sys
import time

from prompt_toolkit import Application
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.key_binding.key_processor import KeyPress, KeyProcessor
from prompt_toolkit.keys import Keys

if sys.platform != "win32":
    from typing import TextIO

    from prompt_toolkit.input.posix_utils import PosixStdinReader
    from prompt_toolkit.input.vt100 import Vt100Input
    from prompt_toolkit.input.vt100_parser import Vt100Parser

ESC = "\x1b"
# So long after Esc's byte what comes belongs to it, as in readline (`_rl_isearch_dispatch`): nobody
# types so fast, and ssh sends at once what a terminal wrote at once.
ESCAPE_SECONDS = 0.1
# So long after it the rest of an arrow key, which a line lost and brought later, is still no text.
LATE_SECONDS = 1.0
REST_OF_KEY = re.compile(r"\[[0-9;]*[A-Za-z~^$@]|O[A-Za-z](?=\x1b|$)")
# What a terminal sends that is no text: a key, or what it tells of itself, such as `CSI I`, that it
# has the focus, when a program before this one asked for that and did not end well. Not `CSI M`,
# behind which three characters more say where the mouse is.
SEQUENCE = re.compile(r"\x1b(?:\[(?!M)[0-?]*[ -/]*[A-Za-z~]|O[A-Za-z])")
PASTE_END = "\x1b[201~"
# How long the first of two keys that are pressed one after the other (Ctrl-X, Ctrl-X) waits.
CHORD_SECONDS = 1.0


def make_input() -> Input:
    """Return where keys come from: standard input, or the console."""
    keys = create_input()
    if sys.platform != "win32" and isinstance(keys, Vt100Input):
        return KeyInput(keys.stdin)
    return keys


def tell_escape(app: Application[None]) -> None:
    """Let Esc do what it does as soon as it is known to be one, and wait for no other key.

    What a terminal sends as one key has come by then.
    """
    app.ttimeoutlen = ESCAPE_SECONDS

    def choose_timeout(processor: KeyProcessor) -> None:
        is_escape = [press.key for press in processor.key_buffer] == [Keys.Escape]
        app.timeoutlen = 0.0 if is_escape else CHORD_SECONDS

    app.key_processor.after_key_press += choose_timeout


if sys.platform != "win32":

    class KeyInput(Vt100Input):
        """The keys of a terminal; a byte that is not UTF-8 is U+FFFD, which can be sent."""

        def __init__(self, stdin: TextIO) -> None:
            super().__init__(stdin)
            self.stdin_reader = PosixStdinReader(self.fileno(), errors="replace")
            self._pressed: list[KeyPress] = []
            self.vt100_parser = Vt100Parser(lambda press: self._pressed.append(press))
            self._escaped_at = -math.inf  # monotonic seconds

        def read_keys(self) -> list[KeyPress]:
            """Return the keys that have come."""
            text = self.stdin_reader.read()
            if time.monotonic() - self._escaped_at < LATE_SECONDS and is_rest_of_key(text):
                text = ESC + text
            self._escaped_at = -math.inf
            self.vt100_parser.feed(SEQUENCE.sub(known_part, text))
            return self._take()

        def flush_keys(self) -> list[KeyPress]:
            """Return Esc, where nothing came behind it."""
            self.vt100_parser.flush()
            pressed = self._take()
            if pressed and pressed[-1].key == Keys.Escape:
                self._escaped_at = time.monotonic()
            return pressed

        def _take(self) -> list[KeyPress]:
            pressed, self._pressed = self._pressed, []
            return pressed


def is_rest_of_key(text: str) -> bool:
    """Say whether `text` begins with what makes a key of Esc; nobody types it in one piece."""
    found = REST_OF_KEY.match(text)
    return found is not None and ESC + found[0] in ANSI_SEQUENCES


def known_part(found: re.Match[str]) -> str:
    """Return a sequence that is a key, and nothing of another one, which would be typed."""
    return found[0] if found[0] in ANSI_SEQUENCES or found[0] == PASTE_END else ""
