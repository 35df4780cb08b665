"""The pages of history that were asked for, and from where the next one goes back."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from chat.client.readings import answers
from chat.protocol.names import name_key
from chat_pb2 import Message


@dataclass
class Page:
    """A page of history that was asked for: its messages by id, as far as they came.

    By id, since a page that the loss of the connection cut off begins anew. `count`: how many of
    `room` were asked for; `before`: the id before which they were said, 0 for the newest.
    """

    room: str
    count: int
    before: int
    messages: dict[int, Message] = field(default_factory=dict)

    def take(self, part: Message) -> None:
        """Take of a part of the answer what can be one, and no more than was asked for."""
        for message in answers(part, self.room, self.before):
            if len(self.messages) < self.count:
                self.messages[message.id] = message


class Pages:
    """The pages that are on their way, and the oldest message that was shown of each room.

    `_lock` guards every attribute: the main thread asks, the receive thread gathers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: dict[str, Page] = {}  # by the key of what asked for them
        self._oldest: dict[str, int] = {}  # ids, by room

    def begin(self, room: str, key: str, count: int) -> int | None:
        """Note that a page of `count` messages of `room` is being asked for with this key.

        Returns the oldest id shown, before which it is to end, 0 for none. None: a page of the room
        is on its way already.
        """
        with self._lock:
            if any(name_key(page.room) == name_key(room) for page in self._pages.values()):
                return None
            before = self._oldest.get(name_key(room), 0)
            self._pages[key] = Page(room, count, before)
            return before

    def take(self, part: Message) -> Page | None:
        """Take a part of an answer to HISTORY; return the page that is complete by it."""
        if not part.batch:
            return self.end(part.key)
        with self._lock:
            page = self._pages.get(part.key)
            if page is not None:
                page.take(part)
        return None

    def end(self, key: str) -> Page | None:
        """Return the page with this key, of which nothing more will come; None if there is none."""
        with self._lock:
            return self._pages.pop(key, None)

    def note_shown(self, room: str, message_id: int) -> None:
        """Note that this message of `room` was shown."""
        key = name_key(room)
        with self._lock:
            self._oldest[key] = min(message_id, self._oldest.get(key, message_id))

    def forget_shown(self) -> None:
        """Begin the pages at the newest message again: the screen is empty, or the log another."""
        with self._lock:
            self._oldest.clear()
