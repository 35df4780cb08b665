"""How long something holds, as people type it: `10min`, `2h`, `3d`."""

from __future__ import annotations

import re

MINUTE_SECONDS = 60
HOUR_SECONDS = 60 * MINUTE_SECONDS
DAY_SECONDS = 24 * HOUR_SECONDS
# What people call them, in the languages of the catalogues.
UNITS = {
    "s": 1,
    "seg": 1,
    "sec": 1,
    "m": MINUTE_SECONDS,
    "min": MINUTE_SECONDS,
    "h": HOUR_SECONDS,
    "d": DAY_SECONDS,
    "dia": DAY_SECONDS,
    "dias": DAY_SECONDS,
    "day": DAY_SECONDS,
    "days": DAY_SECONDS,
    "sem": 7 * DAY_SECONDS,
    "w": 7 * DAY_SECONDS,
}
# A longer time is as good as for good, and more digits are none of it.
MAX_DAYS = 36_500
_DURATION = re.compile(r"([0-9]{1,9})([a-z]{1,4})")


def split_duration(text: str) -> tuple[int | None, str]:
    """Return the seconds that `text` begins with, None where it begins otherwise, and the rest."""
    word, _space, rest = text.partition(" ")
    found = _DURATION.fullmatch(word.lower())
    seconds = int(found[1]) * UNITS.get(found[2], 0) if found else 0
    if not 0 < seconds <= MAX_DAYS * DAY_SECONDS:
        return None, text
    return seconds, rest.strip()
