"""Who is where, as far as the messages tell; the rooms that were visited; who is ignored."""

from __future__ import annotations

import threading

from chat.client.ui.render import shown_name
from chat.protocol.limits import MAX_PRESENCE_MEMBERS
from chat.protocol.names import COMMON_ROOM, name_key
from chat_pb2 import KIND_JOINED, KIND_LEFT, KIND_PRESENT, KIND_RENAMED, Message

# A larger room tells nobody who comes and goes: we ask again, so often.
WHO_SECONDS = 60.0


class Roster:
    """The people of the room, by the key of the name, and what is remembered of them.

    `_lock` guards every attribute: the receive thread notes what messages tell, the main thread
    looks at it, and ignores people.
    """

    def __init__(self, room: str) -> None:
        self._lock = threading.Lock()
        self._people: dict[str, str] = {}
        self._present: list[str] = []  # of an answer to WHO that is not complete
        self._asked_at = 0.0
        self._is_who_requested = False
        self._rooms = {COMMON_ROOM, room}
        self._room = room
        self._ignored: set[str] = set()
        self._correspondent = ""

    # Looking.

    @property
    def names(self) -> list[str]:
        """The names of who is here, as they are shown, sorted."""
        with self._lock:
            return sorted(self._people.values(), key=str.casefold)

    @property
    def rooms(self) -> set[str]:
        """The rooms that were visited, without the common one."""
        with self._lock:
            return self._rooms - {COMMON_ROOM}

    @property
    def correspondent(self) -> str:
        """Who a reply goes to: the last one who wrote in private; empty for nobody."""
        with self._lock:
            return self._correspondent

    def addressee(self, text: str) -> tuple[str, str]:
        """Return who is meant and what is said; a name may have spaces, if its owner is here."""
        for name in sorted(self.names, key=len, reverse=True):
            start, rest = text[: len(name)], text[len(name) :]
            if name_key(start) == name_key(name) and rest[:1].isspace():
                return name, rest.strip()
        name, _space, rest = text.partition(" ")
        return name, rest.strip()

    def is_ignored(self, name: str) -> bool:
        """Say whether what `name` says is hidden."""
        with self._lock:
            return name_key(name) in self._ignored

    # Noting.

    def note(self, message: Message, own_name: str) -> bool:
        """Remember what a message says of people; say whether others are here now."""
        with self._lock:
            if message.kind == KIND_JOINED:
                self._replace("", message.user)
            elif message.kind == KIND_LEFT:
                self._replace(message.user, "")
            elif message.kind == KIND_RENAMED:
                self._replace(message.user, message.message)
                self._follow(name_key(message.user), message.message)
            else:
                if message.to and name_key(message.user) != name_key(own_name):
                    self._correspondent = message.user
                return False
            return True

    def _replace(self, old: str, new: str) -> None:
        self._people.pop(name_key(old), None)
        if new:
            self._people[name_key(new)] = shown_name(new)

    def _follow(self, old_key: str, name: str) -> None:
        """Let what is remembered of a person belong to the new name."""
        if name_key(self._correspondent) == old_key:
            self._correspondent = name
        if old_key in self._ignored:
            self._ignored.remove(old_key)
            self._ignored.add(name_key(name))

    def write_to(self, name: str) -> None:
        """Let replies go to `name`, unless somebody has written in private already."""
        with self._lock:
            self._correspondent = self._correspondent or name

    def toggle_ignored(self, name: str) -> bool:
        """Hide what `name` says, or show it again; say whether it is hidden now."""
        with self._lock:
            self._ignored ^= {name_key(name)}
            return name_key(name) in self._ignored

    def enter(self, room: str) -> bool:
        """Note the room of the present stream; say whether it is another one."""
        with self._lock:
            if room == self._room:
                return False
            self._room = room
            self._rooms.add(room)
            self._people = {}
            return True

    # Asking who is here.

    def request_who(self) -> None:
        """Note that the user asked: the answer is to be listed."""
        with self._lock:
            self._is_who_requested = True

    def begin_who(self, now: float) -> None:
        """Forget half an answer, since we ask anew; `now` in monotonic seconds."""
        with self._lock:
            self._asked_at = now
            self._present = []

    def is_stale(self, now: float) -> bool:
        """Say whether to ask again, since nobody tells who comes to so large a room and goes."""
        with self._lock:
            is_due = now - self._asked_at > WHO_SECONDS
            return is_due and len(self._people) > MAX_PRESENCE_MEMBERS

    def take_answer(self, message: Message) -> tuple[bool, bool]:
        """Gather an answer to WHO: is it complete by this message, and did the user ask for it?"""
        with self._lock:
            if message.kind == KIND_PRESENT:
                self._present.append(message.user)
                return False, False
            self._people = {name_key(name): shown_name(name) for name in self._present}
            self._present = []
            was_requested, self._is_who_requested = self._is_who_requested, False
            return True, was_requested
