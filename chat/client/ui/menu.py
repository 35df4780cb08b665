"""What Tab offers below the line being typed: one row each, with what it does.

Everything here runs in the editor's loop.
"""

from __future__ import annotations

from collections.abc import Iterable

from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.completion import (
    CompleteEvent,
    Completer,
    Completion,
    get_common_complete_suffix,
)
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding.key_processor import KeyPressEvent

from chat.cli.i18n import _n
from chat.cli.wrap import cut, text_width
from chat.client.ui.base import TerminalController

MAX_ROWS = 8
# Between what is offered and what it does.
GAP = "  "


class DraftCompleter(Completer):
    """What Tab offers, as the conversation knows it."""

    def __init__(self, controller: TerminalController) -> None:
        self._controller = controller

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Yield the candidates for the end of the line before the cursor."""
        length, candidates = self._controller.completions(document.current_line_before_cursor)
        for candidate in candidates:
            yield Completion(
                candidate.text + " ",
                start_position=-length,
                display=candidate.shown,
                display_meta=candidate.help,
            )


def complete(event: KeyPressEvent) -> None:
    """Complete the word, as far as that is clear, or go to the next possibility.

    At once, unlike prompt_toolkit's own: who types on meanwhile has it completed all the same.
    """
    draft = event.current_buffer
    if draft.complete_state:
        draft.complete_next()
        return
    found = _candidates(draft)
    if len(found) == 1:
        draft.apply_completion(found[0])
        return
    if common := get_common_complete_suffix(draft.document, found):
        draft.insert_text(common)
        found = _candidates(draft)
    if found:
        draft.complete_state = CompletionState(draft.document, found)


def _candidates(draft: Buffer) -> list[Completion]:
    wish = CompleteEvent(completion_requested=True)
    return list(draft.completer.get_completions(draft.document, wish))


def menu_rows(state: CompletionState | None, columns: int) -> StyleAndTextTuples:
    """Return what there is to choose from, the present choice marked; nothing, without any."""
    if state is None or not state.completions:
        return []
    offered, chosen = state.completions, state.complete_index
    first = _first_row(len(offered), chosen or 0)
    shown = offered[first : first + MAX_ROWS]
    # In a narrow terminal what it does has half of the row at least.
    width = min(max(text_width(one.display_text) for one in shown), columns // 2)
    rows: StyleAndTextTuples = []
    for number, one in enumerate(shown, first):
        style = "class:menu.chosen" if number == chosen else "class:menu"
        rows += [("", "\n" if rows else ""), (style, _row(one, width, columns))]
    if left := len(offered) - first - len(shown):
        rows.append(
            ("class:menu.more", "\n " + _n("and {} more", "and {} more", left).format(left))
        )
    return rows


def _row(one: Completion, width: int, columns: int) -> str:
    text = one.display_text
    if one.display_meta_text:
        text = cut(text, width)
        text += " " * (width - text_width(text)) + GAP + one.display_meta_text
    return cut(f" {text} ", columns - 1)


def _first_row(count: int, chosen: int) -> int:
    """Return the first of those shown, so that the present choice is among them."""
    return max(0, min(chosen - MAX_ROWS + 1, count - MAX_ROWS))
