"""What Tab offers below the line being typed: one row each, with what it does.

Everything here runs in the editor's loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
# What every command does is said in so many columns (`Command.brief`).
BRIEF_COLUMNS = 22


class Row(Completion):
    """One row of the menu."""

    def __init__(self, candidate: Candidate, length: int) -> None:
        super().__init__(candidate.text + " ", start_position=-length, display=candidate.shown)
        self.candidate = candidate


class DraftCompleter(Completer):
    """What Tab offers, as the conversation knows it."""

    def __init__(self, controller: TerminalController) -> None:
        self._controller = controller

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Row]:
        """Yield the candidates for the end of the line before the cursor."""
        length, found = self.candidates(document)
        yield from _rows(length, found)

    def candidates(self, document: Document) -> Completions:
        """Return how much of the line before the cursor is completed, and by what."""
        return self._controller.completions(document.current_line_before_cursor)


class Offer(CompletionState):
    """What there is to choose from: the first `MAX_OFFERED`, and how many more there are."""

    def __init__(self, document: Document, length: int, found: Sequence[Candidate]) -> None:
        super().__init__(document, list(_rows(length, found[:MAX_OFFERED])))
        self.left_out = len(found) - len(self.completions)


def _rows(length: int, found: Iterable[Candidate]) -> Iterator[Row]:
    for candidate in found:
        yield Row(candidate, length)


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
        draft.apply_completion(Row(found[0], length))
    elif found:
        typed = draft.document.text_before_cursor[-length:] if length else ""
        common = _common_rest(typed, found)
        draft.insert_text(common)
        draft.complete_state = Offer(draft.document, length + len(common), found)


def _common_rest(typed: str, found: Iterable[Candidate]) -> str:
    """Return what all begin with behind what was typed; nothing, if one begins otherwise."""
    common = commonprefix([one.text for one in found])
    return common.removeprefix(typed) if common.startswith(typed) else ""


def menu_rows(
    state: CompletionState | None, columns: int, most: int = MAX_ROWS
) -> StyleAndTextTuples:
    """Return what there is to choose from, the present choice marked; nothing, without any.

    Of more than `most` so many, with a row that says how many more there are.
    """
    if state is None or not state.completions:
        return []
    offered, chosen = state.completions, state.complete_index
    first = _first_row(len(offered), chosen or 0, most)
    shown = [one.candidate for one in offered[first : first + most] if isinstance(one, Row)]
    rows: StyleAndTextTuples = []
    for number, text in enumerate(_texts(shown, columns - len(GAP) - 1), first):
        style = "class:menu.chosen" if number == chosen else "class:menu"
        rows += [("", "\n" if rows else ""), (style, f" {text} ")]
    left_out = state.left_out if isinstance(state, Offer) else 0
    if left := len(offered) - first - len(shown) + left_out:
        more = _n("and {} more; Tab goes on", "and {} more; Tab goes on", left).format(left)
        rows.append(("class:menu.more", "\n " + more))
    return rows


def _texts(shown: list[Candidate], columns: int) -> list[str]:
    """Return what the rows say: with arguments, where beside them it fits what each does."""
    heads = [one.shown for one in shown]
    is_narrow = columns - max(map(text_width, heads)) - len(GAP) < BRIEF_COLUMNS
    if is_narrow and any(one.help for one in shown):
        heads = [one.text for one in shown]
    width = max(map(text_width, heads))
    texts = []
    for head, one in zip(heads, shown, strict=True):
        does = one.help if text_width(one.help) <= columns - width - len(GAP) else one.brief
        row = head + " " * (width - text_width(head)) + GAP + does if does else head
        texts.append(cut(row, columns))
    return texts


def _first_row(count: int, chosen: int, most: int) -> int:
    """Return the first of those shown, so that the present choice is among them."""
    return max(0, min(chosen - most + 1, count - most))
