"""What is said of rooms that the user is not in: where a draft is, and where the last run was."""

from __future__ import annotations

from collections.abc import Sequence

from chat.cli.i18n import _, _n
from chat.client.commands import MOVE, as_typed
from chat.client.ui import render


def waiting_line(rooms: Sequence[str]) -> str:
    """Return the line that says where something is left to be typed on; `rooms`: one at least."""
    text = _n(
        "* You have a draft in {rooms}; {usage} brings it back.",
        "* You have drafts in {rooms}; {usage} brings each of them back.",
        len(rooms),
    )
    return text.format(rooms=_signs(rooms), usage=as_typed(MOVE, _typed(rooms)))


def last_rooms_line(rooms: Sequence[str]) -> str:
    """Return the line that says where the user was last time too; `rooms`: one at least."""
    text = _n(
        "* Last time you were also in {rooms}: {usage} goes there ({flag} at the start).",
        "* Last time you were also in {rooms}: {usage} goes to each ({flag} at the start, once for"
        " each).",
        len(rooms),
    )
    typed = _typed(rooms)
    flag = f'--room "{typed}"' if " " in typed else f"--room {typed}"
    return text.format(rooms=_signs(rooms), usage=as_typed(MOVE, typed), flag=flag)


def _signs(rooms: Sequence[str]) -> str:
    return ", ".join(map(render.room_sign, rooms))


def _typed(rooms: Sequence[str]) -> str:
    """Return what is to be typed for one of these rooms."""
    return _("NAME") if len(rooms) > 1 else render.shown_name(rooms[0]) or _("common")
