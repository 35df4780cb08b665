"""Until when each place was seen, and how the time is told in which something may be missing."""

from __future__ import annotations

from datetime import datetime

from chat.cli.i18n import _
from chat.client.ui import render
from chat.protocol.names import name_key
from chat_pb2 import Message

# Instead of a room's key; no room's name has such a character in it.
INBOX = "\N{RIGHTWARDS ARROW}"


class Gaps:
    """When the last message of each room, and of the inbox, was sent that was seen.

    Belongs to the receive thread.
    """

    def __init__(self) -> None:
        self._seen_at: dict[str, datetime] = {}  # by the key of the place

    def note_seen(self, message: Message) -> None:
        """Note that a message was seen."""
        self._seen_at[_place_of(message)] = render.time_of(message)

    def around(self, message: Message) -> str:
        """Return the time in which something may be missing in the place that is told of."""
        return _told(self._seen_at.get(_place_of(message)))

    def in_room(self, room: str) -> str:
        """Return the time in which something may be missing in `room`."""
        return _told(self._seen_at.get(name_key(room)))

    def anywhere(self) -> str:
        """Return the time in which something may be missing in any place."""
        return _told(min(self._seen_at.values(), default=None))


def _place_of(message: Message) -> str:
    return INBOX if message.to else name_key(message.room)


def _told(since: datetime | None) -> str:
    """Return the time from `since`, None where that is not known, until now."""
    until = render.now()
    if since is None:
        return _("until {until}").format(until=until.strftime("%H:%M"))
    is_today = since.date() == until.date()
    since_text = since.strftime("%H:%M" if is_today else _("%Y-%m-%d") + " %H:%M")
    until_text = until.strftime("%H:%M")
    if since_text == until_text:
        return _("at {time}").format(time=since_text)
    text = _("from {since} to {until}")
    return text.format(since=since_text, until=until_text)
