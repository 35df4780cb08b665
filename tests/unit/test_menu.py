"""What Tab does to the line, and what it offers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from prompt_toolkit.buffer import Buffer

from chat.client.completion import completions
from chat.client.ui.menu import MAX_OFFERED, DraftCompleter, complete, menu_rows

NAMES = [f"name{number} {number}" for number in range(10_000)]


def draft_of(text: str, names: list[str]) -> Buffer:
    """Return a line that somebody has typed where those people are."""
    choices = {"names": names, "rooms": [], "bells": [], "languages": []}
    controller: Any = SimpleNamespace(completions=lambda before: completions(before, choices))
    draft = Buffer(completer=DraftCompleter(controller))
    draft.insert_text(text)
    return draft


def press_tab(draft: Buffer) -> None:
    event: Any = SimpleNamespace(current_buffer=draft)
    complete(event)


def test_of_very_many_names_the_first_are_offered() -> None:
    """And all are counted: nobody goes through thousands, and making them would stop the editor."""
    draft = draft_of("na", NAMES)
    press_tab(draft)
    assert draft.text == "name" and draft.complete_state is not None
    assert len(draft.complete_state.completions) == MAX_OFFERED
    rows = "".join(text for _style, text, *_rest in menu_rows(draft.complete_state, 80))
    assert rows.splitlines()[-1].strip() == "and 9992 more"
    press_tab(draft)
    assert draft.text == "name0 0: "


@pytest.mark.parametrize(
    ("typed", "names", "text"),
    [
        ("jo", ["Jo\xe3o", "Jos\xe9"], "jo"),
        ("JO", ["joao", "joana"], "JO"),
        ("oi jo", ["joao", "joana"], "oi joa"),
        ("oi @jo", ["joao"], "oi @joao "),
        ("x", ["joao"], "x"),
    ],
)
def test_line_is_completed_as_far_as_it_is_clear(typed: str, names: list[str], text: str) -> None:
    """But not where that would change what was typed, as long as it is not chosen."""
    draft = draft_of(typed, names)
    press_tab(draft)
    assert draft.text == text
