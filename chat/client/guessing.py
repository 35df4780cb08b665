"""What may have been meant by a mistyped word. Knows neither commands nor names."""

from __future__ import annotations

from collections.abc import Iterable

# At most one letter of so many differs from what was meant.
LETTERS_OF_A_SLIP = 3


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the first of those choices that differ least; None where all differ too much."""
    found: tuple[int, str] | None = None
    for choice in choices:
        allowed = max(len(word), len(choice)) // LETTERS_OF_A_SLIP
        if abs(len(word) - len(choice)) <= allowed:
            count = differences(word, choice)
            if count <= allowed and (found is None or count < found[0]):
                found = (count, choice)
    return found[1] if found else None


def differences(one: str, other: str) -> int:
    """Return how many letters are missing, added, changed, or swapped with the next one.

    The optimal string alignment distance (Damerau 1964).
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(other, 1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                least = min(least, last[j - 2] + 1)
            row.append(least)
    return row[-1]
