"""What was searched for, and what was found; and what was said around a message.

The main thread asks, the receive thread gathers, and shows what is complete.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from chat.cli.i18n import _
from chat.client import commands
from chat.client.commands import as_typed
from chat.client.readings import answers, goes_on_before
from chat.client.search_sentences import hidden_line, nothing_line
from chat.client.sent_lines import quotation
from chat.client.session import Session
from chat.client.ui import render
from chat.client.ui.base import Terminal
from chat.client.ui.render import RenderedMessage
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_FOUND
from chat.protocol.names import name_key
from chat_pb2 import KIND_SEARCH, Message

# Of what is found so much is shown at a time: as much as of older messages.
SHOWN = 20
# Before a message, and from it on, as `/history @ID` shows it.
AROUND = 10
ID_SIGN = "@"
# How servers refuse that know no searches: of an earlier version, and plain ones.
UNABLE = ("REQUEST_INVALID", "PLAIN_SERVER")
# Of an id, which has 63 bits.
MAX_ID_DIGITS = 19


@dataclass
class _Asked:
    """What was asked for: the messages by id, as far as they came.

    `before`: the id before which it is searched, 0 for the newest. `around`: the id of a message.
    """

    room: str
    text: str = ""
    before: int = 0
    around: int = 0
    messages: dict[int, Message] = field(default_factory=dict)

    def take(self, part: Message) -> None:
        """Take of a part of the answer what can be one, and no more than was asked for."""
        limit = 2 * AROUND if self.around else MAX_FOUND
        for one in answers(part, self.room, self.before):
            if len(self.messages) < limit:
                self.messages[one.id] = one


class Finder:
    """Searches the rooms, and shows what is found.

    `is_ignored`: whose messages are not to be shown. `_lock` guards what else changes.
    """

    def __init__(
        self, session: Session, terminal: Terminal, is_ignored: Callable[[Message], bool]
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._is_ignored = is_ignored
        self._lock = threading.Lock()
        self._asked: dict[str, _Asked] = {}  # by key
        self._next: tuple[str, str, int] = ("", "", 0)  # room, text, before which id it goes on

    # In the main thread.

    def search(self, room: str, text: str) -> None:
        """Ask for what has all the words of `text`; the same once more goes on. `ChatError`."""
        with self._lock:
            *last, before = self._next
            before = before if last == [name_key(room), text] else 0
        with self._asking(_Asked(room, text, before)) as key:
            self._session.search(text, room, before, key)

    def look_around(self, room: str, message_id: int) -> None:
        """Ask for what was said around a message. Raises `ChatError`."""
        with self._asking(_Asked(room, around=message_id)) as key:
            self._session.around(message_id, AROUND, room, key)

    @contextmanager
    def _asking(self, asked: _Asked) -> Iterator[str]:
        """Hand out a key, and know it before the answer can come."""
        key = secrets.token_hex(12)
        with self._lock:
            self._asked[key] = asked
        try:
            yield key
        except ChatError:
            with self._lock:
                self._asked.pop(key, None)
            raise

    # In the receive thread.

    def take(self, part: Message) -> bool:
        """Take a part of an answer, and show it when it is whole; say whether it was asked here."""
        with self._lock:
            asked = self._asked.get(part.key)
            if asked is None:
                return False
            if part.batch:
                asked.take(part)
                return True
            del self._asked[part.key]
        if part.kind == KIND_SEARCH:
            self._show_found(asked, goes_on_before(part, asked.before))
        else:
            self._show_around(asked)
        return True

    def refuse(self, notice: Message) -> bool:
        """Forget what was refused; say whether the server knows no searches."""
        with self._lock:
            asked = self._asked.pop(notice.key, None)
        return asked is not None and notice.user in UNABLE

    def _show_found(self, asked: _Asked, reached: int) -> None:
        """Show the newest first, each with the id by which one looks around it."""
        ids = sorted(asked.messages, reverse=True)
        if len(ids) > SHOWN:
            ids, reached = ids[:SHOWN], ids[SHOWN - 1]
        with self._lock:
            self._next = (name_key(asked.room), asked.text, reached)
        found = [asked.messages[message_id] for message_id in ids]
        shown = [message for message in found if not self._is_ignored(message)]
        if shown:
            title = _("found in {room}: {text}")
            room, text = render.room_sign(asked.room), quotation(asked.text)
            self._terminal.show_separator(title.format(room=room, text=text))
        for message in shown:
            self._show(message, has_id=True)
        if hidden := len(found) - len(shown):
            self._terminal.show_notice(hidden_line(hidden))
        if end := self._end_of(asked, len(found), len(shown), reached):
            self._terminal.show_notice(end)

    @staticmethod
    def _end_of(asked: _Asked, found: int, shown: int, reached: int) -> str:
        """Return what is said below what was found; empty where all of it is hidden."""
        usage = as_typed(commands.SEARCH, quotation(asked.text))
        around = as_typed(commands.HISTORY, _("@ID"))
        if not found and not reached:
            return nothing_line(asked.room, asked.text)
        if not found:
            text = _("* Nothing found so far; {usage} once more looks further back.")
        elif not shown:
            text = _("* The same line again looks further back: {usage}") if reached else ""
        elif reached:
            text = _(
                "* {around} shows what was said around one. The same line again shows older ones:"
                " {usage}"
            )
        else:
            text = _("* That is all. {around} shows what was said around one.")
        return text.format(usage=usage, around=around)

    def _show_around(self, asked: _Asked) -> None:
        place = f"{ID_SIGN}{asked.around}"
        if not asked.messages:
            text = _("* There is nothing around {place} in {room}.")
            room = render.room_sign(asked.room)
            self._terminal.show_notice(text.format(place=place, room=room))
            return
        title, room = _("around {place} in {room}"), render.room_sign(asked.room)
        if asked.around not in asked.messages:
            text = _(
                "* There is no message {place} in {room}. This was said there around that time:"
            )
            self._terminal.show_notice(text.format(place=place, room=room))
        elif self._is_ignored(asked.messages[asked.around]):
            text = _("* The message {place} is hidden: it is from somebody you ignore.")
            self._terminal.show_notice(text.format(place=place))
        self._terminal.show_separator(title.format(place=place, room=room))
        for message_id, message in sorted(asked.messages.items()):
            self._show(message, has_id=message_id == asked.around)
        self._terminal.show_separator(_("back to the present"))

    def _show(self, message: Message, has_id: bool) -> None:
        rendered = render.render_message(message, self._session.name)
        if rendered is not None and not self._is_ignored(message):
            self._terminal.show(message, with_id(message, rendered) if has_id else rendered)


def with_id(message: Message, rendered: RenderedMessage) -> RenderedMessage:
    """Return a message with its id, its day and its time before it."""
    when = render.time_of(message).strftime(f"{_('%Y-%m-%d')} %H:%M")
    lead = [("class:time", f"{ID_SIGN}{message.id} {when} "), *rendered.lead]
    return replace(rendered, lead=lead, when=None)


def id_in(argument: str) -> int:
    """Return the id of a message as it is typed, `@ID`; 0 where it is none."""
    digits = argument.removeprefix(ID_SIGN)
    is_id = argument.startswith(ID_SIGN) and digits.isascii() and digits.isdigit()
    return int(digits) if is_id and len(digits) <= MAX_ID_DIGITS else 0
