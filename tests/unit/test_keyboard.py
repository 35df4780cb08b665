"""What keys do in the line editor, at a terminal of the system's own: Esc, and what begins with it.

The keys are read as they come, one after the other: the next one is sent when the last one was
taken for what it is.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

pytest.importorskip("prompt_toolkit")

import pty

from prompt_toolkit.key_binding.key_processor import KeyProcessor
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import DummyOutput
from support import DEADLINE_SECONDS

from chat.client.completion import Candidate, Completions
from chat.client.typed_lines import TypedLines
from chat.client.ui import draft as draft_module
from chat.client.ui import keyboard
from chat.client.ui.application import make_app
from chat.client.ui.draft import Draft
from chat.client.ui.keyboard import KeyInput
from chat.client.ui.output_queue import OutputQueue

ESCAPE, ALT_B, ALT_D = "\x1b", "\x1bb", "\x1bd"


class Desk:
    """Somebody who types at a terminal, and whose lines are all taken."""

    name = room = ""

    def __init__(self, earlier: Sequence[str]) -> None:
        self.said: list[str] = []
        self._keys: list[Keys | str] = []
        self._pressed = asyncio.Event()
        lines = TypedLines()
        for line in earlier:
            lines.add(line)
        self.draft = Draft(self, lambda: None, lines, lambda line: None)  # type: ignore[arg-type]
        self._terminal, self._slave = pty.openpty()
        self._stdin = open(self._slave, encoding="utf-8")  # noqa: SIM115 - closed by `close`
        queue = OutputQueue(DummyOutput())
        self.app = make_app(self.draft, self, queue, KeyInput(self._stdin))  # type: ignore[arg-type]
        self.app.key_processor.after_key_press += self._note

    def _note(self, keys: KeyProcessor) -> None:
        self._pressed.set()

    def close(self) -> None:
        self._stdin.close()
        os.close(self._terminal)

    async def press(self, *bursts: str) -> None:
        """Send each of the bursts when the last one was read, and found to be complete."""
        for burst in bursts:
            self._pressed.clear()
            os.write(self._terminal, burst.encode())
            await asyncio.wait_for(self._pressed.wait(), DEADLINE_SECONDS)

    @property
    def line(self) -> str:
        """What is being typed, with a bar where the cursor is."""
        document = self.draft.buffer.document
        return f"{document.text_before_cursor}|{document.text_after_cursor}"

    # What the draft needs of the conversation.

    def handle_line(self, line: str) -> bool:
        self.said.append(line)
        return True

    def status(self) -> list[str]:
        return ["connected"]

    def waiting(self) -> list[str]:
        return []

    def completions(self, before: str) -> Completions:
        names = ("ana", "anita")
        return len(before), [Candidate(name, name) for name in names if name.startswith(before)]


@asynccontextmanager
async def desk(*earlier: str) -> AsyncIterator[Desk]:
    """Sit at a desk, where `earlier` lines were typed."""
    someone = Desk(earlier)
    is_there = asyncio.Event()
    running = asyncio.ensure_future(someone.app.run_async(pre_run=is_there.set))
    try:
        await is_there.wait()
        yield someone
    finally:
        if not running.done():
            someone.app.exit()
        try:
            await running
        finally:
            someone.close()


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
