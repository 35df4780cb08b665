"""How the line being typed is drawn."""

from __future__ import annotations

import pytest

pytest.importorskip("prompt_toolkit")

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.layout import BufferControl

from chat.client.ui.processors import IndentProcessor, split_emoji


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
    assert split_emoji(typed) == shown
    assert len(shown) == len(typed)


@pytest.mark.parametrize(("typed", "shown"), [("\tif a:", "    if a:"), ("a\tb", "a   b")])
async def test_tab_is_as_wide_as_terminals_have_it(typed: str, shown: str) -> None:
    """With the cursor where it is in what is typed."""
    buffer = Buffer(document=Document(typed, cursor_position=typed.index("\t") + 1))
    content = BufferControl(buffer, input_processors=[IndentProcessor()]).create_content(80, 24)
    assert "".join(text for _style, text, *_ in content.get_line(0)).rstrip() == shown
    assert content.cursor_position is not None and content.cursor_position.x == 4
