"""What Esc does in the line editor, and what begins with it.

The keys are read as they come, one after the other: the next one is sent when the last one was
taken for what it is.
"""

from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

pytest.importorskip("prompt_toolkit")

from desk import desk
from support import DEADLINE_SECONDS

from chat.client.ui import draft as draft_module
from chat.client.ui import keyboard

ESCAPE, ALT_B, ALT_D = "\x1b", "\x1bb", "\x1bd"


@pytest.mark.parametrize("letter", "abdeü1.#")
async def test_letter_behind_escape_is_typed(letter: str) -> None:
    """Whatever it does together with Alt."""
    async with desk() as ana:
        await ana.press("um ", ESCAPE, letter)
        assert ana.line == f"um {letter}|"


async def test_alt_and_a_letter_is_one_key() -> None:
    """As terminals send it: in one piece."""
    async with desk() as ana:
        await ana.press("um dois ", ALT_B)
        assert ana.line == "um |dois "
        await ana.press(ALT_D)
        assert ana.line == "um | "
        await ana.press(f"{ESCAPE}a{ESCAPE}z")
        assert ana.line == "um az| "


async def test_late_rest_of_a_key_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that loses packets brings an arrow's bytes long after Esc's; not for ever."""
    monkeypatch.setattr(keyboard, "LATE_SECONDS", DEADLINE_SECONDS)
    async with desk("first", "second") as ana:
        await ana.press(ESCAPE, "[A")
        assert ana.line == "second|"
        await ana.press(ESCAPE, f"OA{ESCAPE}OD")
        assert ana.line == "firs|t"
        await ana.press(ESCAPE, f"[200~pasted{ESCAPE}[201~")
        assert ana.line == "firspasted|t"
        monkeypatch.setattr(keyboard, "LATE_SECONDS", 0.0)
        await ana.press(ESCAPE, "[A")
        assert ana.line == "firspasted[A|t"


async def test_text_behind_escape_is_no_key() -> None:
    """Though an arrow's bytes are letters too."""
    async with desk("first") as ana:
        await ana.press(ESCAPE, "O", "A", ESCAPE, "[", "A", ESCAPE, "[1] OA")
        assert ana.line == "OA[A[1] OA|"


async def test_enter_behind_escape_begins_a_new_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon behind it, and not where Esc closed what Tab offered, or another key came between."""
    monkeypatch.setattr(draft_module, "ESCAPE_ENTER_SECONDS", DEADLINE_SECONDS)
    async with desk() as ana:
        await ana.press("um", ESCAPE, "\r", "dois", f"{ESCAPE}\r")
        assert ana.line == "um\ndois\n|" and ana.said == []
        await ana.press("an", ESCAPE, "\x01", "\r")
        assert ana.said == ["um\ndois\nan"]
        await ana.press("an\t")
        assert ana.draft.buffer.complete_state is not None
        await ana.press(ESCAPE, "\r")
        monkeypatch.setattr(draft_module, "ESCAPE_ENTER_SECONDS", 0.0)
        await ana.press("três", ESCAPE, "\r")
        assert ana.said[1:] == ["an", "três"]


async def test_keys_that_are_one_are_pressed_one_after_the_other() -> None:
    """Ctrl-X and Ctrl-X go to the other end of the line and back."""
    async with desk() as ana:
        await ana.press("um dois", "\x18", "\x18")
        assert ana.line == "|um dois"


@pytest.mark.parametrize(
    "sequence", [f"{ESCAPE}[I", f"{ESCAPE}[57441u", f"{ESCAPE}[?62;22c", f"{ESCAPE}OM"]
)
async def test_what_the_terminal_says_of_itself_is_no_text(sequence: str) -> None:
    """That it has the focus, as another program asked to be told, what it is; unknown keys."""
    async with desk() as ana:
        await ana.press(f"um {sequence}dois {ESCAPE}[200~a\nb{sequence}{ESCAPE}[201~.")
        assert ana.line == "um dois a\nb.|"


async def test_line_is_cleared_at_once_though_a_part_of_it_is_selected() -> None:
    """Where Ctrl-C may be the first of two keys, by which the selection is indented."""
    async with desk() as ana:
        await ana.press(f"um{ESCAPE}[1;2D", "\x03", ">")
        assert ana.line == ">|"
