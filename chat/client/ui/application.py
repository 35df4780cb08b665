"""prompt_toolkit's application as the editor has it, which draws below what was printed last.

It finds what it drew again when the terminal was resized. Everything here runs in the main thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from prompt_toolkit import Application
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import merge_key_bindings
from prompt_toolkit.layout.screen import Char

from chat.client.ui.base import TerminalController
from chat.client.ui.draft import Draft
from chat.client.ui.frame_output import release
from chat.client.ui.keyboard import tell_escape
from chat.client.ui.layout import EditorLayout
from chat.client.ui.output_queue import STYLES, OutputQueue
from chat.client.ui.search_keys import SearchKeys

# How long after the last of several resizes the line being typed is drawn again. tmux has another
# size at once, and tells it up to 0.25 s later (`server_client_check_pane_resize`).
SETTLE_SECONDS = 0.15
TMUX_SETTLE_SECONDS = 0.5
# Terminals that break long rows anew when they become narrower, by the variables that they set.
# Over ssh they are not seen: then one row too few is cleared, rather than one too many.
REFLOWING_VARIABLES = (
    "TMUX",
    "VTE_VERSION",
    "KITTY_WINDOW_ID",
    "WT_SESSION",
    "KONSOLE_VERSION",
    "ALACRITTY_WINDOW_ID",
    "WEZTERM_PANE",
    "GHOSTTY_RESOURCES_DIR",
    "ITERM_SESSION_ID",
)


class EditorApplication(Application[None]):
    """prompt_toolkit's application, but that it finds its beginning again after resizes.

    While the terminal is resized what it draws is away: what was drawn for one width, and arrives
    at another one, could not be found again. An error in what runs in its loop ends it: `run`
    raises it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._drawn_size: Size | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()
        self._settled.set()

    async def wait_settled(self) -> None:
        """Return when the terminal has the size for which the line being typed was drawn."""
        self._look_for_resize()
        await self._settled.wait()

    def _look_for_resize(self) -> None:
        """Find out what the signal has not told yet."""
        is_drawn = self._drawn_size is not None and self._settling is None
        if is_drawn and self.output.get_size() != self._drawn_size:
            self._on_resize()

    def _on_resize(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
        else:
            self._settled.clear()
            self._erase_drawn()
        self._settling = asyncio.get_running_loop().call_later(settle_seconds(), self._settle)

    def _erase_drawn(self) -> None:
        # A row that the terminal has broken anew stands above where it would be looked for.
        if any(name in os.environ for name in REFLOWING_VARIABLES):
            self.output.cursor_up(self._rows_gained())
        self.renderer.erase(leave_alternate_screen=False)

    def _settle(self) -> None:
        """Draw again: there were no more resizes for a while, or the end has come."""
        assert self._settling is not None
        self._settling.cancel()
        self._settling = self._drawn_size = None
        self._settled.set()
        super()._on_resize()

    def _handle_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # prompt_toolkit would print a traceback over the screen, and go on without what failed.
        error = context.get("exception")
        if self.future is not None and not self.future.done():
            self.exit(exception=error if isinstance(error, Exception) else RuntimeError(context))

    def _redraw(self, render_as_done: bool = False) -> None:
        if render_as_done and self._settling is not None:
            self._settle()
        self._look_for_resize()
        if self._settling is None or render_as_done:
            super()._redraw(render_as_done)
            self._drawn_size = self.output.get_size()

    def _rows_gained(self) -> int:
        """Return how many more rows what is drawn above the cursor takes in the new width."""
        drawn = self.renderer.last_rendered_screen
        if drawn is None:
            return 0
        columns = self.output.get_size().columns
        cursor = drawn.get_cursor_position(self.layout.current_window)
        widths = [row_width(drawn.data_buffer[y]) for y in range(cursor.y)]
        return sum(max(0, width - 1) // columns for width in widths) + cursor.x // columns


def settle_seconds() -> float:
    """Return how long no resize may come before this terminal is drawn to again."""
    return TMUX_SETTLE_SECONDS if "TMUX" in os.environ else SETTLE_SECONDS


def row_width(row: Mapping[int, Char]) -> int:
    """Return the column after the last one of a row that is not blank."""
    return max((column + cell.width for column, cell in row.items() if cell.char != " "), default=0)


def make_app(
    draft: Draft, controller: TerminalController, queue: OutputQueue, keys: Input
) -> EditorApplication:
    """Return prompt_toolkit's application, which draws below what was printed last."""
    app = EditorApplication(
        EditorLayout(draft, controller, queue).layout(),
        style=STYLES,
        key_bindings=merge_key_bindings([draft.bindings(), SearchKeys(draft.buffer).bindings()]),
        input=keys,
        output=queue.output,
        erase_when_done=True,
    )
    app.before_render += lambda _app: release(queue.output)
    app.after_render += lambda _app: queue.tell_shown()
    tell_escape(app)
    return app
