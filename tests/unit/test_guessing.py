"""What may have been meant by a mistyped word."""

from __future__ import annotations

import pytest

from chat.client.guessing import differences, nearest


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        ("quem", "quem", 0),
        ("quem", "qem", 1),
        ("quem", "queem", 1),
        ("quem", "quen", 1),
        ("help", "hlep", 1),
        ("quit", "quote", 2),
        ("", "abc", 3),
        ("abc", "", 3),
    ],
)
def test_letters_that_differ(one: str, other: str, count: int) -> None:
    """Two that changed places are one difference."""
    assert differences(one, other) == count


def test_nearest_differs_in_a_third_of_its_letters_at_most() -> None:
    """The least of all; of equals the first."""
    assert nearest("anna", ["bia", "anita", "ana"]) == "ana"
    assert nearest("bib", ["bia", "bie"]) == "bia"
    assert nearest("nada", ["ajuda", "sala"]) is None
    assert nearest("q" * 8000, ["quit"]) is None
