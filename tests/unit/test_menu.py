"""What Tab does to the line, and the rows of its menu."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("prompt_toolkit")

from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.document import Document

from chat.cli import i18n as language
from chat.cli.wrap import text_width
from chat.client.commands import COMMANDS
from chat.client.completion import completions
from chat.client.ui.menu import MAX_OFFERED, MAX_ROWS, DraftCompleter, Row, complete, menu_rows

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
    assert rows.splitlines()[-1].strip() == "and 9992 more; Tab goes on"
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


def rows_for(typed: str, columns: int, chosen: int | None = None) -> list[str]:
    """Return the rows that are offered for what was typed."""
    length, candidates = completions(typed, {"names": ["Ana Paula " + "x" * 22]})
    offers = [Row(candidate, length) for candidate in candidates]
    rows = menu_rows(CompletionState(Document(typed), list(offers), chosen), columns)
    return "".join(text for _style, text, *_handler in rows).split("\n")


def test_choice_is_seen_on_a_low_screen() -> None:
    """Whichever it is; and whether there are more."""
    length, candidates = completions("/", {})
    offers = [Row(candidate, length) for candidate in candidates]
    for chosen in range(len(offers)):
        fragments = menu_rows(CompletionState(Document("/"), list(offers), chosen), 80, 2)
        styles = [style for style, *_text in fragments if style]
        has_more = chosen < len(offers) - 1
        assert sorted(styles[:2]) == ["class:menu", "class:menu.chosen"]
        assert styles[2:] == ["class:menu.more"] * has_more


@pytest.mark.parametrize("lang", ["pt_BR", "en"])
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_what_a_command_does_is_said_whole(lang: str, columns: int) -> None:
    """In as many words as there is space for."""
    language.use(lang)
    for chosen in range(len(COMMANDS)):
        rows = rows_for("/", columns, chosen)
        assert len(rows) <= MAX_ROWS + 1 and "\N{HORIZONTAL ELLIPSIS}" not in "".join(rows)
        assert all(text_width(row) < columns for row in rows)
        is_narrow = columns == 40
        assert all(("[" in row) <= (not is_narrow) for row in rows)


def test_menu_says_how_to_see_the_others() -> None:
    """And how many there are."""
    assert rows_for("/", 80)[-1] == f" and {len(COMMANDS) - MAX_ROWS} more; Tab goes on"
    assert rows_for("", 20) == [" Ana Paula xxxxxx… "]
