"""What is said below what was found: that something is hidden, or there is nothing, and why."""

from __future__ import annotations

from chat.cli.i18n import _, _n
from chat.client import commands
from chat.client.sent_lines import quotation
from chat.client.ui import render


def nothing_line(room: str, text: str) -> str:
    """Return what is said where nothing in `room` has all the words of `text`."""
    line = _(
        "* Nothing that was said in {room} has all of that: {text}. Private messages are"
        " not searched."
    )
    return line.format(room=render.room_sign(room), text=quotation(text))


def hidden_line(count: int) -> str:
    """Return what is said of so many messages that were found, of people whom the user ignores."""
    text = _n(
        "* {} match from somebody you ignore is hidden; {usage} lists whom you ignore.",
        "* {} matches from people you ignore are hidden; {usage} lists whom you ignore.",
        count,
    )
    return text.format(count, usage=commands.IGNORE.typed)


def cannot_search() -> str:
    """Return what is said of a server that knows no searches."""
    return _("* This server cannot search yet.")
