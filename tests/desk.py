"""Somebody who types in the line editor, at a terminal of the system's own, without a program.

    async with desk("an earlier line") as ana:
        await ana.press("oi", "\r")
        assert ana.said == ["oi"]

Not on Windows, which has no pseudo-terminals.
"""

from __future__ import annotations

import asyncio
import os
import pty
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prompt_toolkit.key_binding.key_processor import KeyProcessor
from prompt_toolkit.output import DummyOutput
from support import DEADLINE_SECONDS

from chat.client.completion import Candidate, Completions
from chat.client.typed_lines import TypedLines
from chat.client.ui.application import make_app
from chat.client.ui.draft import Draft
from chat.client.ui.keyboard import KeyInput
from chat.client.ui.output_queue import OutputQueue


class Desk:
    """Somebody who types at a terminal, and whose lines are all taken."""

    name = room = ""

    def __init__(self, earlier: Sequence[str]) -> None:
        self.said: list[str] = []
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
