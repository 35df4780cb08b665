"""What Tab offers below the line being typed: one row each, with what it does.

Everything here runs in the editor's loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os.path import commonprefix

from prompt_toolkit.buffer import CompletionState
from prompt_toolkit.completion import (
    CompleteEvent,
    Completer,
    Completion,
)
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding.key_processor import KeyPressEvent

from chat.cli.i18n import _n
from chat.cli.wrap import cut, text_width
from chat.client.completion import Candidate, Completions
from chat.client.ui.base import TerminalController

MAX_ROWS = 8
# So many may be gone through; of more only the number is told.
MAX_OFFERED = 100
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
        length, found = self.candidates(document)
        yield from _completions(length, found)

    def candidates(self, document: Document) -> Completions:
        """Return how much of the line before the cursor is completed, and by what."""
        return self._controller.completions(document.current_line_before_cursor)


class Offer(CompletionState):
    """What there is to choose from: the first `MAX_OFFERED`, and how many more there are."""

    def __init__(self, document: Document, length: int, found: Sequence[Candidate]) -> None:
        super().__init__(document, _completions(length, found[:MAX_OFFERED]))
        self.left_out = len(found) - len(self.completions)


def _completions(length: int, found: Iterable[Candidate]) -> list[Completion]:
    return [
        Completion(one.text + " ", -length, display=one.shown, display_meta=one.help)
        for one in found
    ]


def complete(event: KeyPressEvent) -> None:
    """Complete the word, as far as that is clear, or go to the next possibility.

    At once, unlike prompt_toolkit's own: who types on meanwhile has it completed all the same.
    """
    draft = event.current_buffer
    if draft.complete_state:
        draft.complete_next()
        return
    assert isinstance(draft.completer, DraftCompleter)
    length, found = draft.completer.candidates(draft.document)
    if len(found) == 1:
        draft.apply_completion(_completions(length, found)[0])
    elif found:
        typed = draft.document.text_before_cursor[-length:] if length else ""
        common = _common_rest(typed, found)
        draft.insert_text(common)
        draft.complete_state = Offer(draft.document, length + len(common), found)


def _common_rest(typed: str, found: Iterable[Candidate]) -> str:
    """Return what all begin with behind what was typed; nothing, if one begins otherwise."""
    common = commonprefix([one.text for one in found])
    return common.removeprefix(typed) if common.startswith(typed) else ""


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
    left_out = state.left_out if isinstance(state, Offer) else 0
    if left := len(offered) - first - len(shown) + left_out:
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
