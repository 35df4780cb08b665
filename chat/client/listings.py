"""The lists that the user asks for: who is in a room, and which rooms have people.

Called by the receive thread.
"""

from __future__ import annotations

from chat.cli.i18n import _, _n
from chat.client.rooms import Rooms
from chat.client.roster import Roster
from chat.client.ui import render
from chat.client.ui.base import Terminal
from chat.protocol.names import name_key
from chat_pb2 import Message

# A list longer than this would fill the screen.
MAX_LISTED_PEOPLE = 100
MAX_LISTED_ROOMS = 100
# Behind what is left out.
AND_MORE = ", \N{HORIZONTAL ELLIPSIS}"
# Behind a name that is its person's own; no name has such a character in it.
OWNED_SIGN = "\N{CHECK MARK}"


class Listings:
    """Shows lists to a person. Everything here belongs to the receive thread."""

    def __init__(self, terminal: Terminal, rooms: Rooms, roster: Roster) -> None:
        self._terminal = terminal
        self._rooms = rooms
        self._roster = roster
        self._found: list[Message] = []  # rooms of an answer that is not complete
        self._is_sign_explained = False

    def show_people(self, room: str) -> None:
        """Show who is in `room`, as the roster has it."""
        names, owned = self._roster.names_in(room), self._roster.owned_in(room)
        signs = [
            render.name_sign(name) + (OWNED_SIGN if name_key(name) in owned else "")
            for name in names[:MAX_LISTED_PEOPLE]
        ]
        shown = ", ".join(signs)
        text = _n("{} person in {room}: {names}", "{} people in {room}: {names}", len(names))
        more = AND_MORE if len(names) > MAX_LISTED_PEOPLE else ""
        title = render.room_sign(room)
        self._terminal.show_notice("* " + text.format(len(names), room=title, names=shown + more))
        if OWNED_SIGN in shown:
            self._explain_sign()

    def _explain_sign(self) -> None:
        """Say, once, what stands behind the names that are people's own."""
        if not self._is_sign_explained:
            self._is_sign_explained = True
            text = _("* A name with {sign} is that person's own: nobody else can have it.")
            self._terminal.show_notice(text.format(sign=OWNED_SIGN))

    def take_room(self, message: Message) -> None:
        """Gather the rooms that have people; the message without a number ends the list."""
        if message.message:
            if len(self._found) <= MAX_LISTED_ROOMS:
                self._found.append(message)
            return
        rooms, self._found = self._found, []
        self._rooms.tell_of(room.room for room in rooms)
        if self._terminal.is_interactive:
            listed = ", ".join(map(_with_count, rooms[:MAX_LISTED_ROOMS]))
            more = AND_MORE if len(rooms) > MAX_LISTED_ROOMS else ""
            text = _("* Rooms with people: {rooms}").format(rooms=listed + more)
            self._terminal.show_notice(text)


def _with_count(message: Message) -> str:
    """Return a room of the answer to ROOMS, with how many people it has."""
    return f"{render.room_sign(message.room)} ({render.one_line(message.message)})"
