"""How long something holds, as people type it: `10min`, `2h`, `3 dias`."""

from __future__ import annotations

import re

MINUTE_SECONDS = 60
HOUR_SECONDS = 60 * MINUTE_SECONDS
DAY_SECONDS = 24 * HOUR_SECONDS
WEEK_SECONDS = 7 * DAY_SECONDS
# What people call them, in the languages of the catalogues.
UNITS = {
    **dict.fromkeys(("s", "seg", "segs", "segundo", "segundos"), 1),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minuto", "minutos", "minute", "minutes"), MINUTE_SECONDS),
    **dict.fromkeys(("h", "hr", "hrs", "hora", "horas", "hour", "hours"), HOUR_SECONDS),
    **dict.fromkeys(("d", "dia", "dias", "day", "days"), DAY_SECONDS),
    **dict.fromkeys(("sem", "semana", "semanas", "w", "week", "weeks"), WEEK_SECONDS),
}
# A longer time is as good as for good, and more digits are none of it.
MAX_DAYS = 36_500
_DURATION = re.compile(r"([0-9]{1,9}) *([a-z]{1,8})(?=\s|$)", re.IGNORECASE)


def split_duration(text: str) -> tuple[int | None, str]:
    """Return the seconds that `text` begins with, None where it begins otherwise, and the rest."""
    found = _DURATION.match(text)
    seconds = int(found[1]) * UNITS.get(found[2].lower(), 0) if found else 0
    if found is None or not 0 < seconds <= MAX_DAYS * DAY_SECONDS:
        return None, text
    return seconds, text[found.end() :].strip()


def begins_like_one(text: str) -> bool:
    """Say whether `text` begins with a digit: with a duration, or with what was meant for one."""
    return text.lstrip("+-")[:1].isdigit()
