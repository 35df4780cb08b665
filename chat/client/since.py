"""The lines between what a user has seen in an earlier run and what is new.

Knows no terminal and no file. Everything runs in the receive thread, but for making one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from chat.cli.i18n import _, _n
from chat.client.bookmarks import Mark
from chat.client.commands import HISTORY
from chat.client.ui import render
from chat.protocol.limits import MAX_HISTORY
from chat.protocol.names import name_key
from chat_pb2 import Message

# Of the days before, the weekday says which one is meant.
NAMED_DAYS = timedelta(days=6)
# As many as a server counts; it may be more.
MAX_COUNTED = 100_000
MAX_COUNT_DIGITS = 9


@dataclass
class Rest:
    """What was left out in a room, `count`, and how many messages come before that is said."""

    count: int
    coming: int = MAX_HISTORY


class Since:
    """What is said once in each room where the user left off: since when what follows is new.

    `began_at`: what is said after that is no news of an earlier time.
    """

    def __init__(self, began_at: datetime) -> None:
        self._began_at = began_at
        self._marks: dict[str, Mark] = {}
        self._reached: set[str] | None = None  # rooms shown from the mark on; None: all of them
        self._left_out: dict[str, Rest] = {}

    def begin(self, marks: Mapping[str, Mark], *, is_resumed: bool = True) -> None:
        """Note where the user left off, by the key of the room.

        `is_resumed`: what comes begins there. Where it begins somewhere else, as `--history` says,
        it is all that is new only in a room of which something from before that place is shown.
        """
        self._marks = dict(marks)
        self._reached = None if is_resumed else set()

    def forget(self) -> None:
        """Note that ids from before mean nothing any more."""
        self._marks.clear()
        self._left_out.clear()

    def left_at(self, room: str) -> datetime | None:
        """Return until when the user was in a room, where nothing that is new was seen yet."""
        mark = self._marks.get(name_key(room))
        return None if mark is None else datetime.fromtimestamp(mark.at).astimezone()

    def note_left_out(self, room: str, number: str) -> None:
        """Note that so many messages, before those that come now, do not come by themselves."""
        if number.isascii() and number.isdigit():
            self._left_out[name_key(room)] = Rest(int(number[:MAX_COUNT_DIGITS]))

    def note(self, message: Message) -> None:
        """Take note of what comes, whether it is shown or not. Call it for each, before the lines.

        Where the first that is new is said now, nothing was missed.
        """
        key = name_key(message.room)
        if self._is_new(message):
            if render.time_of(message) >= self._began_at:
                del self._marks[key]
        elif self._reached is not None and key in self._marks and message.id and not message.to:
            self._reached.add(key)

    def _is_new(self, message: Message) -> bool:
        """Say whether it came after the user left off in its room, and no line says so yet."""
        mark = self._marks.get(name_key(message.room))
        return mark is not None and bool(message.id) and not message.to and message.id > mark.id

    def line_before(self, message: Message, is_here: bool) -> str:
        """Return what stands before a message of the log, empty for nothing. For each one shown.

        `is_here`: the user looks at its room.
        """
        key, since = name_key(message.room), self.left_at(message.room)
        if since is None or not self._is_new(message):
            return ""
        del self._marks[key]
        if self._reached is not None and key not in self._reached:
            return ""  # more may be new than is shown
        when = time_text(since, render.now())
        if is_here:
            return _("new since {when}").format(when=when)
        room = render.room_sign(message.room)
        return _("new in {room} since {when}").format(room=room, when=when)

    def line_after(self, message: Message) -> str:
        """Return what is said after a message of the log, empty for none. For each that comes."""
        rest = self._left_out.get(name_key(message.room))
        if rest is None or not message.id or message.to:
            return ""
        rest.coming -= 1
        if rest.coming:
            return ""
        del self._left_out[name_key(message.room)]
        if rest.count >= MAX_COUNTED:
            text = _(
                "* More than {count} earlier messages of {room} were missed; {usage} shows them."
            )
        else:
            text = _n(
                "* {count} earlier message of {room} was missed too; {usage} shows it.",
                "* {count} earlier messages of {room} were missed too; {usage} shows them.",
                rest.count,
            )
        count = min(rest.count, MAX_COUNTED - 1)
        room = render.room_sign(message.room)
        return text.format(count=count, room=room, usage=HISTORY.typed)


def time_text(when: datetime, now: datetime) -> str:
    """Return a moment as people say it: the hour, with the weekday or day where it needs one."""
    hour = when.strftime("%H:%M")
    if when.date() == now.date():
        return hour
    is_near = timedelta(0) <= now.date() - when.date() <= NAMED_DAYS
    day = _(render.WEEKDAYS[when.weekday()]) if is_near else when.strftime(_("%Y-%m-%d"))
    return _("{day} {hour}").format(day=day, hour=hour)
