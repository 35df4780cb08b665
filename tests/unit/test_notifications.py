"""The terminal's own notifications: which terminal gets which, and nothing in them that steers."""

from __future__ import annotations

import base64
import re
import sys

import pytest

from chat.client.ui.notifications import (
    MAX_BODY_CHARACTERS,
    make_notifier,
    osc_9,
    osc_99,
    osc_777,
)

if sys.platform == "win32":
    pytest.skip("there are none on Windows", allow_module_level=True)

HOSTILE = "a;b\x1b\\\x07\x9c\x9d9;rm\n\u202e" + "x" * 5000
# What a sequence may have between its beginning and its end.
PAYLOAD = re.compile(r"[^\x00-\x1f\x7f-\x9f]*")


@pytest.mark.parametrize(
    ("environment", "sequence"),
    [
        ({"TERM": "xterm-kitty"}, osc_99),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, osc_99),
        ({"TERM_PROGRAM": "iTerm.app"}, osc_9),
        ({"LC_TERMINAL": "iTerm2"}, osc_9),
        ({"TERM_PROGRAM": "WezTerm"}, osc_777),
        ({"TERM": "xterm-ghostty"}, osc_777),
        ({"TERM": "foot"}, osc_777),
        ({"TERM": "rxvt-unicode-256color"}, osc_777),
        ({}, None),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7600"}, None),
        ({"TERM": "linux"}, None),
        ({"TERM_PROGRAM": "Apple_Terminal"}, None),
        ({"TERM": "screen", "STY": "1.x", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "tmux-256color", "TMUX": "x", "TERM_PROGRAM": "tmux"}, None),
    ],
)
def test_only_terminals_that_are_known_to_take_one_get_it(
    environment: dict[str, str], sequence: object
) -> None:
    assert make_notifier(environment) is sequence


def test_tmux_passes_on_what_the_terminal_around_it_takes() -> None:
    """Each escape in it twice."""
    notify = make_notifier({"TMUX": "x", "TERM": "tmux-256color", "LC_TERMINAL": "iTerm2"})
    assert notify is not None
    assert notify("ana", "oi") == "\x1bPtmux;\x1b\x1b]9;[ana] oi\x1b\x1b\\\x1b\\"


def test_title_and_text_are_told_apart() -> None:
    assert osc_777("ana", "oi") == "\x1b]777;notify;ana;oi\x1b\\"
    parts = re.findall(r"\x1b\]99;([^;]*);([^\x1b]*)\x1b\\", osc_99("ana", "olá"))
    assert [base64.b64decode(payload).decode() for _options, payload in parts] == ["ana", "olá"]


@pytest.mark.parametrize("sequence", [osc_9, osc_777])
def test_nothing_in_it_steers_the_terminal(sequence: object) -> None:
    """Whatever somebody says, or is called; nor is it longer than anybody reads."""
    assert callable(sequence)
    made = sequence(HOSTILE, HOSTILE)
    assert made.startswith("\x1b]") and made.endswith("\x1b\\")
    assert PAYLOAD.fullmatch(made[2:-2]) and "\u202e" not in made
    assert made.count(";") == (1 if sequence is osc_9 else 3)
    assert len(made) < 2 * MAX_BODY_CHARACTERS


def test_hostile_text_is_bounded_where_it_is_encoded() -> None:
    parts = re.findall(r"\x1b\]99;[^;]*;([A-Za-z0-9+/=]*)\x1b\\", osc_99(HOSTILE, HOSTILE))
    texts = [base64.b64decode(payload).decode() for payload in parts]
    assert len(texts) == 2 and all(PAYLOAD.fullmatch(text) for text in texts)
    assert max(map(len, texts)) <= MAX_BODY_CHARACTERS
