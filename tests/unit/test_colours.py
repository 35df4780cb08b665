"""The colours of names: readable on any ground, and one for each who is here."""

from __future__ import annotations

import re

import pytest

from chat.client.ui.colours import NAME_COLOURS, NameColours
from chat.client.ui.output_queue import STYLES

PEOPLE = [f"person {number}" for number in range(60)]
OTHER_COLOURS = {
    colour for _name, style in STYLES.style_rules for colour in re.findall("#[0-9a-f]{6}", style)
}


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2)."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", sorted({*NAME_COLOURS, *OTHER_COLOURS}))
def test_colours_are_readable_on_any_ground(colour: str) -> None:
    """Each has a contrast of 4 or more to black and to white."""
    light = luminance(colour) + 0.05
    assert light / 0.05 >= 4 and 1.05 / light >= 4


def test_everybody_here_has_a_colour_of_their_own() -> None:
    """As long as there are enough, whoever they are; of more people only the last ones share."""
    count = len(NAME_COLOURS)
    for start in range(0, 40, 5):
        colours = NameColours()
        here = PEOPLE[start : start + count]
        colours.set_present(here)
        assert len({colours.style(name) for name in here}) == count
        colours.set_present(PEOPLE)
        assert len({colours.style(name) for name in here}) == count


def test_colour_is_kept_while_somebody_is_here() -> None:
    """Whoever comes later, whatever case the name is written in; who leaves makes it free."""
    count = len(NAME_COLOURS)
    colours = NameColours()
    colours.set_present(["Ana"])
    of_ana = colours.style("ana")
    others = [name for name in PEOPLE if NameColours().style(name) == of_ana]
    colours.set_present([others[0], *PEOPLE[: count - 2], "ANA"])
    assert colours.style("Ana") == of_ana != colours.style(others[0])
    colours.set_present(others[1:])
    colours.set_present([*others[1:], "ana"])
    assert colours.style("ana") != of_ana == colours.style(others[1])


def test_who_is_not_here_has_always_the_same_colour() -> None:
    """In history, or on a server that tells nobody who is here."""
    colours = NameColours()
    before = [colours.style(name) for name in PEOPLE]
    colours.set_present(PEOPLE[:5])
    colours.set_present([])
    assert [colours.style(name) for name in PEOPLE] == before
    assert len(set(before)) > len(NAME_COLOURS) // 2
