"""Where one day of a conversation ends and the next begins, and how the time is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from chat.client.ui import render
from chat.client.ui.render import RenderedMessage

# On a screen, where lines between two days say the date; elsewhere, for other programs.
SCREEN_FORMAT = "%H:%M"
FULL_FORMAT = "%Y-%m-%d %H:%M:%S"


class Days:
    """Says before which entry a new day begins. For one thread at a time."""

    def __init__(self) -> None:
        self._day: date | None = None

    def title_before(self, when: datetime | None) -> str:
        """Return the title of the day that begins with what was said at `when`, empty for none.

        The present day is no news, as the first one.
        """
        if when is None or when.date() == self._day:
            return ""
        is_first = self._day is None and when.date() == render.now().date()
        self._day = when.date()
        return "" if is_first else render.day_of(when)


def with_time(rendered: RenderedMessage, form: str = SCREEN_FORMAT) -> RenderedMessage:
    """Return an entry with its time before it, if it has one."""
    if rendered.when is None:
        return rendered
    return replace(rendered, lead=[("class:time", f"{rendered.when:{form}} "), *rendered.lead])
