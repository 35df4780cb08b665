"""How a message gets to the screen and into the transcript, and what is shown around it.

Called by the receive thread, but for what came sealed and for pages of history, of which the main
thread has some shown.
"""

from __future__ import annotations

from chat.client.key_sentences import seal_word
from chat.client.memory import Memory
from chat.client.pages import Pages
from chat.client.rooms import Rooms
from chat.client.session import Session
from chat.client.ui import render
from chat.client.ui.base import Terminal
from chat.client.ui.render import RenderedMessage
from chat.protocol.errors import explain
from chat.protocol.kinds import SAID
from chat.protocol.names import name_key
from chat_pb2 import KIND_JOINED, KIND_LEFT, KIND_RENAMED, Message


class Presenter:
    """Shows messages in the room that they belong to. Has no state of its own."""

    def __init__(
        self, session: Session, terminal: Terminal, rooms: Rooms, memory: Memory, pages: Pages
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._rooms = rooms
        self._memory = memory
        self._pages = pages

    def is_in_other_room(self, message: Message) -> bool:
        """Say whether it belongs to another room.

        A private one belongs to none, nor does an invitation, which says its room, or one's own
        rename.
        """
        is_own_name = name_key(message.message) == name_key(self._session.name)
        is_own_rename = message.kind == KIND_RENAMED and is_own_name
        has_room = not message.to and not is_own_rename
        return has_room and not self._rooms.is_current(message.room)

    def show_or_record(self, message: Message) -> bool:
        """Show what comes now, or write it down alone, where an earlier run has shown it.

        Say whether it was shown.
        """
        if self._memory.has_shown(message):
            self.record(message)
            return False
        self._show_new(message)
        return True

    def _show_new(self, message: Message) -> None:
        """Show what was not seen before, with the line that says since when, if that is due."""
        is_person, is_here = self._terminal.is_interactive, self._rooms.is_current(message.room)
        if is_person and (line := self._memory.since.line_before(message, is_here)):
            self._terminal.show_separator(line)
        self.show(message)

    def tell_rest(self, message: Message) -> None:
        """Say how much more was missed, below what came by itself, also if that is not shown."""
        line = self._memory.since.line_after(message)
        if line and self._terminal.is_interactive:
            self._terminal.show_notice(line)

    def record(self, message: Message) -> RenderedMessage | None:
        """Write a message to the transcript; return how it is shown.

        On the screen the room stands before what belongs to another one than is looked at; in the
        transcript, which all rooms share, before all that belongs to another one than the common.
        """
        seal = seal_word(message, self._session.sealing)
        is_elsewhere, shown = self.is_in_other_room(message), self._readable(message)
        names_room = message.kind in (KIND_JOINED, KIND_LEFT)
        if is_elsewhere and names_room:
            shown = Message(user=message.user, kind=message.kind)  # the room stands before it
        rendered = render.render_message(shown, self._session.name, seal)
        if rendered is None:
            return None
        with_room = render.in_room(rendered, message.room)
        needs_room = message.room and not message.to and (is_elsewhere or not names_room)
        self._memory.record(message, with_room if needs_room else rendered)
        return with_room if is_elsewhere else rendered

    def show(self, message: Message) -> None:
        """Show a message, where there is anything to show, and write it down."""
        rendered = self.record(message)
        if rendered is not None or not self._terminal.is_interactive:
            self._terminal.show(message, rendered or RenderedMessage())
        if message.id and not message.to:
            self._pages.note_shown(message.room, message.id)

    def _readable(self, message: Message) -> Message:
        """Return a message; in place of one that could not be opened one that says why."""
        sealing = self._session.sealing
        if not message.sealed or message.message or message.kind not in SAID:
            return message
        reason = "NO_OWN_KEY" if sealing is None else sealing.why_closed(message)
        shown = Message()
        shown.CopyFrom(message)
        shown.message = explain(reason, "")
        return shown
