"""What the screen has shown already, where a session begins earlier for the transcript's sake.

The transcript and the screen each know how far they are; a session begins at the older of the two
places in each room, and in the inbox. What the transcript has already it drops by itself
(`transcript.py`); this one says what the screen has. Knows no file. Everything runs in the receive
thread, but for `begin`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf

from chat.client.bookmarks import INBOX, Mark
from chat.client.cursor import Place
from chat.client.ui import render
from chat.protocol.kinds import SAID
from chat.protocol.names import name_key
from chat_pb2 import Message

# Marks are kept in whole seconds.
ROUNDING_SECONDS = 1.0


class CatchingUp:
    """The marks of what was seen, as far as they are ahead of where the session begins."""

    def __init__(self) -> None:
        self._ahead: dict[str, Mark] = {}
        self._epoch = ""
        self._is_same_opening = True

    def begin(self, written: Place, seen: Place, marks: Mapping[str, Mark]) -> Place:
        """Return where a session begins that misses neither; `marks`: of what was seen in rooms.

        Before the conversation, in the main thread. The ids are of the log's opening in which the
        transcript was written, so that it misses nothing where the log was put back since.
        """
        is_inbox_ahead = seen.inbox > written.inbox
        if seen.epoch != written.epoch or not (written.left or is_inbox_ahead):
            return written if written.left else seen
        left = seen.left | written.left
        left |= {key: min(left[key], seen.left[key]) for key in seen.left}
        self._ahead = {key: mark for key, mark in marks.items() if mark.id > left.get(key, mark.id)}
        if is_inbox_ahead:
            left_at = max((mark.at for mark in marks.values()), default=inf)
            self._ahead[INBOX] = Mark(seen.inbox, left_at)
        self._epoch = written.epoch
        self._is_same_opening = seen.generation == written.generation
        return replace(written, left=left)

    def meet(self, epoch: str) -> None:
        """Note which log this is: in another one the ids mean nothing."""
        if epoch != self._epoch:
            self.forget()

    def forget(self) -> None:
        """Note that ids from before mean nothing any more."""
        self._ahead.clear()

    def has(self, message: Message) -> bool:
        """Say whether the user has seen a message that comes now. Call it for each."""
        key = INBOX if message.to else name_key(message.room)
        mark = self._ahead.get(key)
        if mark is None or not message.id:
            return False
        if message.id <= mark.id and not self._is_later(message, mark):
            return True
        del self._ahead[key]
        return False

    def _is_later(self, message: Message, mark: Mark) -> bool:
        """Say whether it was said after the mark was made: the log was put back in between.

        Within one opening of the log that cannot be, and clocks may differ.
        """
        if self._is_same_opening or message.kind not in SAID:
            return False
        return render.time_of(message).timestamp() > mark.at + ROUNDING_SECONDS

    def seen(self, place: Place) -> Place:
        """Return how far the user has seen everything, where the session is at `place`."""
        if not self._ahead:
            return place
        rooms = {room: self._at_least(name_key(room), seen) for room, seen in place.rooms.items()}
        left = {key: self._at_least(key, seen) for key, seen in place.left.items()}
        return replace(place, rooms=rooms, left=left, inbox=self._at_least(INBOX, place.inbox))

    def _at_least(self, key: str, seen: int) -> int:
        mark = self._ahead.get(key)
        return seen if mark is None else max(seen, mark.id)
