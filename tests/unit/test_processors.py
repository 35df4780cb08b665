"""How the line being typed is drawn."""

from __future__ import annotations

import pytest

from chat.client.ui.processors import split_emoji


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
