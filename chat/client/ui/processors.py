"""How the text below the conversation is drawn: as it is, and as wide as it is reckoned to be.

Whoever sends what was pasted sees what it is. Everything here runs in the editor's loop.
"""

from __future__ import annotations

import re

from prompt_toolkit.layout.processors import (
    Processor,
    TabsProcessor,
    Transformation,
    TransformationInput,
)

from chat.cli.display import INDENT
from chat.client.ui import render

# What makes an emoji of another character, one of several, or one of another colour.
EMOJI_JOINT = re.compile(
    "\ufe0f|(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001fbff])[\u200d\U0001f3fb-\U0001f3ff]"
)
# A flag is two of these, whose letters have two columns each in every terminal.
REGIONAL_A, FULLWIDTH_A = 0x1F1E6, 0xFF21
FLAG_LETTERS = {REGIONAL_A + n: FULLWIDTH_A + n for n in range(26)}


class SanitizeProcessor(Processor):
    """Shows what was pasted without anything that would deceive whoever sends it."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Replace each such character by one sign, so that the cursor stays where it is."""
        return Transformation(
            [
                (fragment[0], split_emoji("".join(map(_visible, fragment[1]))))
                for fragment in transformation_input.fragments
            ]
        )


class IndentProcessor(TabsProcessor):
    """Shows a tab, which is pasted, as blanks: prompt_toolkit would show `^I`."""

    def __init__(self) -> None:
        super().__init__(tabstop=len(INDENT), char1=" ", char2=" ", style="")

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Replace the tabs of a row, if it has any."""
        if not any("\t" in fragment[1] for fragment in transformation_input.fragments):
            return Transformation(transformation_input.fragments)
        return super().apply_transformation(transformation_input)


def _visible(character: str) -> str:
    # Between two letters that a joiner may join.
    shown = character if character.isascii() else render.clean(f"é{character}é")[1:-1]
    return shown if len(shown) == 1 else character


def split_emoji(text: str) -> str:
    """Return `text` with each part of an emoji for itself, in as many characters.

    Terminals do not agree on the width of the whole: where one drew it in another one than
    prompt_toolkit reckons with, the cursor would be at the wrong place. Of a flag the letters that
    it is made of are shown.
    """
    if text.isascii():
        return text
    return EMOJI_JOINT.sub("\N{ZERO WIDTH SPACE}", text).translate(FLAG_LETTERS)
