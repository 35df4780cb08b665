"""The line being typed: how it is shown, and which one comes back when it is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prompt_toolkit.keys import Keys

from chat.client.typed_lines import TypedLines
from chat.client.ui import editor
from chat.client.ui.editor import Draft, apart


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("ok", "ok"),
        ("ação", "ação"),
        ("\U0001f1e7\U0001f1f7", "\uff22\uff32"),
        ("\U0001f44d\U0001f3fd", "\U0001f44d\u200b"),
        ("\u2764\ufe0f", "\u2764\u200b"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200b\U0001f469"),
    ],
    ids=["ascii", "accents", "flag", "skin tone", "heart", "family"],
)
def test_emoji_are_typed_in_parts_of_known_width(typed: str, shown: str) -> None:
    """In as many characters, else the cursor would be at the wrong place."""
    assert apart(typed) == shown
    assert len(shown) == len(typed)


class Conversation:
    """Takes every line."""

    def handle_line(self, _line: str) -> bool:
        return True


def type_lines(*lines: str) -> Draft:
    """Type some lines, each with Enter."""
    controller: Any = Conversation()
    draft = Draft(controller, lambda: None, TypedLines())
    (enter,) = draft.bindings().get_bindings_for_keys((Keys.ControlM,))
    for line in lines:
        draft.buffer.insert_text(line)
        event: Any = None
        enter.handler(event)
    return draft


async def refuse(draft: Draft, line: str) -> str:
    """Have a line refused; return what is there to be edited then."""
    draft.put_back(line)
    await asyncio.sleep(0)  # what is due comes after it
    await asyncio.sleep(0)
    return draft.buffer.text


@pytest.mark.parametrize("refused", ["/hlep", "/msg xico oi"])
async def test_refused_line_comes_back_if_it_is_the_last(
    refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of which that is heard when another was entered would be in the way of that one."""
    monkeypatch.setattr(editor, "PUT_BACK_SECONDS", 0.0)
    draft = type_lines("/hlep", "/msg xico oi")
    assert await refuse(draft, refused) == ("" if refused == "/hlep" else refused)


async def test_same_line_once_more_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is edited, as the one before would be."""
    monkeypatch.setattr(editor, "PUT_BACK_SECONDS", 0.0)
    assert await refuse(type_lines("/hlep", "/hlep"), "/hlep") == "/hlep"
