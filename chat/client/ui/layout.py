"""What stands below the conversation: what waits, the line being typed, search, Tab's menu, status.

Everything here runs in the editor's loop.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import (
    BufferControl,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.processors import BeforeInput, HighlightIncrementalSearchProcessor
from prompt_toolkit.search import SearchState
from prompt_toolkit.widgets import SearchToolbar

from chat.cli.i18n import _, _n
from chat.cli.wrap import MIN_COLUMNS, cut, text_width
from chat.client.ui import render
from chat.client.ui.base import TerminalController
from chat.client.ui.draft import Draft
from chat.client.ui.frame_output import columns_of, rows_of
from chat.client.ui.menu import MAX_ROWS, menu_rows
from chat.client.ui.output_queue import OutputQueue
from chat.client.ui.processors import IndentProcessor, SanitizeProcessor, split_emoji

# How much of the screen the line being typed, and what is on its way, may take.
MAX_DRAFT_ROWS = 10
MAX_WAITING_ROWS = 3
# What of a low screen is left beside Tab's menu: a row of the line being typed, and the status.
OTHER_ROWS = 2
# Below this the prompt is not the name.
NARROW_COLUMNS = 40
SEPARATOR = " \N{MIDDLE DOT} "


class EditorLayout:
    """What stands where below the conversation. Everything here runs in the loop."""

    def __init__(self, draft: Draft, controller: TerminalController, queue: OutputQueue) -> None:
        self._draft = draft
        self._controller = controller
        self._queue = queue

    @property
    def _columns(self) -> int:
        return columns_of(self._queue.output)

    @property
    def _rows(self) -> int:
        return rows_of(self._queue.output)

    def layout(self) -> Layout:
        """Return the layout: what waits, the line being typed, search, what Tab offers, status."""

        def prompt() -> str:
            return self._search_prompt(search.control.searcher_search_state, search.search_buffer)

        search = SearchToolbar(
            ignore_case=True, forward_search_prompt=prompt, backward_search_prompt=prompt
        )
        draft = self._draft_window(search)
        waiting, status = window_of(self._waiting_rows), window_of(self._status_rows)
        menu = window_of(self._menu_rows, lambda: self._rows - OTHER_ROWS)
        rows = HSplit([waiting, draft, search, menu, status])
        return Layout(rows, focused_element=draft)

    def _draft_window(self, search: SearchToolbar) -> Window:
        control = BufferControl(
            self._draft.buffer,
            input_processors=[
                BeforeInput(self._prompt, style="class:prompt"),
                HighlightIncrementalSearchProcessor(),
                SanitizeProcessor(),
                IndentProcessor(),
            ],
            search_buffer_control=search.control,
            preview_search=True,
        )
        height = Dimension(min=1, max=MAX_DRAFT_ROWS)
        return Window(control, height=height, wrap_lines=True, dont_extend_height=True)

    def _search_prompt(self, state: SearchState, wanted: Buffer) -> str:
        """Return what stands before what is searched for; it says where that is in no line."""
        sought = SearchState(wanted.text, state.direction, ignore_case=True)
        found = self._draft.buffer.document_for_search(sought).text
        is_found = re.search(re.escape(wanted.text), found, re.IGNORECASE)
        return _("Earlier line with: ") if is_found else _("No earlier line with: ")

    def _prompt(self) -> StyleAndTextTuples:
        if self._columns < NARROW_COLUMNS:
            return [("class:prompt", "> ")]
        name = render.shown_name(self._controller.name)
        return [("", "["), (render.name_style(name), render.isolated(name)), ("", "]: ")]

    def _waiting_rows(self) -> StyleAndTextTuples:
        """Return what is on its way, dim, the newest last."""
        waiting = self._controller.waiting()
        rows = [split_emoji(render.one_line(line)) for line in waiting[:MAX_WAITING_ROWS]]
        left = len(waiting) - len(rows)
        if left:
            more = _n("and {} more", "and {} more", left).format(left)
            rows[-1] = f"{rows[-1]} ({more})"
        sign = "\N{HORIZONTAL ELLIPSIS} "
        text = "\n".join(cut(sign + row, self._columns - 1) for row in rows)
        return [("class:waiting", text)]

    def _menu_rows(self) -> StyleAndTextTuples:
        # The row that says how many more there are is another one.
        most = max(1, min(MAX_ROWS, self._rows - OTHER_ROWS - 1))
        rows = menu_rows(self._draft.buffer.complete_state, self._columns, most)
        return [(fragment[0], split_emoji(fragment[1])) for fragment in rows]

    def _status_rows(self) -> StyleAndTextTuples:
        """Return the hint, or as much of the status as fits, the most important first."""
        if self._draft.hint:
            rows = textwrap.wrap(self._draft.hint, max(self._columns - 3, MIN_COLUMNS))
            return [("class:status", "\n".join(f" {row} " for row in rows))]
        parts = self._controller.status()
        while len(parts) > 1 and text_width(SEPARATOR.join(parts)) + 3 > self._columns:
            parts.pop()
        text = f" {SEPARATOR.join(parts)} "
        return [("class:status", cut(text, self._columns - 1))]


def window_of(
    text: Callable[[], StyleAndTextTuples], kept_rows: Callable[[], int] = lambda: 0
) -> Window:
    """Return a part of the layout that is as high as its text, and not there without one.

    On a screen that is too low for all parts it gives up rows, but for `kept_rows()`.
    """
    control = FormattedTextControl(text)

    def height() -> Dimension:
        content = "".join(fragment[1] for fragment in text())
        rows = content.count("\n") + 1 if content else 0
        return Dimension(min=max(0, min(rows, kept_rows())), preferred=rows, max=rows)

    return Window(control, height=height, dont_extend_height=True)
