"""How a notice of the server is told: what it says, and what it is about."""

from __future__ import annotations

from chat.cli.i18n import _
from chat.client.gaps import Gaps
from chat.client.rooms import Rooms
from chat.client.sent_lines import quotation
from chat.client.ui import render
from chat.client.ui.render import RenderedMessage
from chat_pb2 import Message

# Notices that something of a room or of the inbox is missing.
GAP_REASONS = ("HISTORY_GONE", "LOG_REWOUND")


def render_notice(
    message: Message, line: str, rooms: Rooms, gaps: Gaps, is_lost: bool
) -> RenderedMessage:
    """Return how a notice is shown.

    `line`: the private message it is about, as it was typed; empty where it is about none.
    `is_lost`: whether the connection was lost, and is not known to be back.
    """
    if message.user == "AWAY" and message.to:
        text = _("* {user} is not here, and will get it when back.")
        return render.local_notice(text.format(user=render.name_sign(message.to)))
    if message.user == "ROOM_CLOSED" and message.room:
        return render.local_notice(_lost_room_text(message, is_lost), "class:notice")
    if message.user == "NAME_CLAIMED" and message.to:
        text = _("* {name} is yours now: nobody else can have it.")
        return render.local_notice(text.format(name=render.name_sign(message.to)))
    text = _("* server: {reason}").format(reason=render.notice_reason(message))
    if about := _about(message, line, rooms, gaps):
        text += f" ({about})"
    return render.local_notice(text, "class:notice")


def _lost_room_text(message: Message, is_lost: bool) -> str:
    """Say why the user is in a room no longer: turned out, or too late to come back."""
    text = _("* You had to leave {room}: your invitation was taken back.")
    if is_lost or message.key:
        text = _("* You could not come back to {room}: it is closed, and you are not invited.")
    return text.format(room=render.room_sign(message.room))


def _about(message: Message, line: str, rooms: Rooms, gaps: Gaps) -> str:
    """Return what a notice is about: the time, the line that was typed, the place."""
    if message.user == "LOG_REWOUND":
        return gaps.anywhere()
    if message.user in GAP_REASONS:
        is_here = not message.to and rooms.is_current(message.room)
        gap = gaps.around(message)
        return gap if is_here else f"{_title(message)}, {gap}"
    if line:
        return quotation(line)
    return _title(message) if message.to or message.room else ""


def _title(message: Message) -> str:
    return _("private messages") if message.to else render.room_sign(message.room)
