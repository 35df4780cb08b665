"""Who is in which room, as far as the messages tell; who is ignored, and who a reply goes to."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sized
from itertools import islice

from chat.client import addressing
from chat.client.addressing import Reading
from chat.client.commands import folded
from chat.client.guessing import nearest
from chat.client.ignored import Ignored
from chat.client.ui.render import shown_name
from chat.protocol.kinds import SAID
from chat.protocol.limits import MAX_PRESENCE_MEMBERS
from chat.protocol.names import name_key
from chat_pb2 import KIND_JOINED, KIND_LEFT, KIND_PRESENT, KIND_RENAMED, Message

# A larger room tells nobody who comes and goes: we ask again, so often.
WHO_SECONDS = 60.0
# What a server says in PRESENT of a name that is the person's own.
OWNED_MARK = "owned"
# Names that are remembered when whoever had them is gone; of more the oldest are forgotten.
MAX_HEARD = 1000
# Of those who spoke and are gone the last ones are offered by Tab.
MAX_GONE = 20
# Of more people in all rooms the others are not remembered: a server may name as many as it likes.
MAX_PEOPLE = 10_000


class Roster:
    """The people of each room, by the key of the name, and what is remembered of them.

    The rooms are those that the session is in: it hands on nothing about others.

    `ignored`: who is, over runs; for this run where there is none. `_lock` guards every other
    attribute: the receive thread notes what messages tell, the main thread looks at it, and ignores
    people.
    """

    def __init__(self, ignored: Ignored | None = None) -> None:
        self._ignored = ignored if ignored is not None else Ignored()
        self._lock = threading.Lock()
        self._people: dict[str, dict[str, str]] = {}  # by the key of the room
        # Of answers that are not complete: the names, by key, and which of them are people's own.
        self._present: dict[str, dict[str, str]] = defaultdict(dict)
        self._present_owned: dict[str, set[str]] = defaultdict(set)
        self._owned: dict[str, set[str]] = {}  # the keys of owned names, by that of the room
        self._asked_at: dict[str, float] = {}
        self._heard: dict[str, str] = {}  # names of this run, by key
        self._speakers: dict[str, str] = {}  # who spoke, by key; the last one last
        self._requested: set[str] = set()  # the keys of what the user asked
        self._writer = ""  # of the last private message that was shown
        self._written_to = ""  # the last one who was written to in private

    # Looking.

    def names_in(self, room: str) -> list[str]:
        """Return the names of who is in `room`, as they are shown, sorted."""
        with self._lock:
            return sorted(self._people.get(name_key(room), {}).values(), key=str.casefold)

    def owned_in(self, room: str) -> set[str]:
        """Return the keys of the names in the last answer about `room` that are people's own."""
        with self._lock:
            return set(self._owned.get(name_key(room), ()))

    @property
    def names(self) -> list[str]:
        """The names of everybody in all rooms, as they are shown, sorted.

        Those too of whom an answer tells that is not complete: a large room's takes seconds.
        """
        everybody: dict[str, str] = {}
        with self._lock:
            for room in (*self._present.values(), *self._people.values()):
                everybody |= room
        return sorted(everybody.values(), key=str.casefold)

    @property
    def gone(self) -> list[str]:
        """The names of those who spoke and are not here, the last one first."""
        with self._lock:
            present = {key for room in self._people.values() for key in room}
            gone = [name for key, name in self._speakers.items() if key not in present]
            return gone[: -MAX_GONE - 1 : -1]

    @property
    def correspondent(self) -> str:
        """Who a reply goes to, empty for nobody.

        The last one whose private message was shown, or else who was written to last.
        """
        with self._lock:
            return self._writer or self._written_to

    def readings(
        self, text: str, *, has_time: bool = False, needs_text: bool = False
    ) -> list[Reading]:
        """Return who may be meant by a line, and what follows; see `addressing.readings`."""
        known = sorted(self._known.values(), key=len)
        return addressing.readings(text, known, has_time=has_time, needs_text=needs_text)

    def is_known(self, name: str) -> bool:
        """Say whether somebody has, or had in this run, this name where the user is."""
        return name_key(name) in self._known

    def called(self, name: str) -> list[str]:
        """Return who of those known or ignored is called `name`, or so but for accents and case."""
        if (renamed := self._renamed(name)) is not None:
            return [renamed]
        names = self._known | {name_key(ignored): ignored for ignored in self.ignored}
        if name_key(name) in names:
            return [names[name_key(name)]]
        return sorted(other for other in names.values() if folded(other) == folded(name))

    def _renamed(self, name: str) -> str | None:
        """Return who of those ignored had this name, unless somebody else has it now."""
        is_present = name_key(name) in map(name_key, self.names)
        return None if is_present or name in self._ignored else self._ignored.now_called(name)

    def nearest(self, name: str) -> str | None:
        """Return who may be meant by a name that nobody known has; None where nobody is near."""
        names = {folded(known): known for known in self._known.values()}
        found = nearest(folded(name), names)
        return names[found] if found else None

    @property
    def _known(self) -> dict[str, str]:
        """The names of who is or was here, and of partners in private, by key."""
        with self._lock:
            partners = [shown_name(name) for name in (self._writer, self._written_to) if name]
            heard = list(self._heard.values())
        return {name_key(name): name for name in [*heard, *partners, *self.names]}

    def is_ignored(self, name: str) -> bool:
        """Say whether what `name` says is hidden."""
        return name in self._ignored

    @property
    def ignored(self) -> list[str]:
        """The names whose messages are hidden, as they are shown, sorted."""
        return self._ignored.names

    # Noting.

    def note(self, message: Message, own_name: str) -> bool:
        """Remember what a message says of people; say whether others are in its room now."""
        with self._lock:
            self._hear(message.user)
            if message.kind in SAID:
                self._note_speaker(message.user)
            if message.kind == KIND_JOINED:
                self._replace(message.room, "", message.user)
            elif message.kind == KIND_LEFT:
                self._replace(message.room, message.user, "")
            elif message.kind == KIND_RENAMED:
                self._rename(message)
            else:
                if message.to and message.kind in SAID:
                    self._note_private(message, own_name)
                return False
            return True

    def _note_present(self, room: str, message: Message) -> None:
        """Note one of those of whom an answer tells, each at once: all together take a second."""
        if _count(self._present) < MAX_PEOPLE:
            key = name_key(message.user)
            self._present[room][key] = shown_name(message.user)
            if message.message == OWNED_MARK:
                self._present_owned[room].add(key)

    def _note_private(self, message: Message, own_name: str) -> None:
        """Remember who wrote; an echo tells that the server accepted what was written to them."""
        if name_key(message.user) == name_key(own_name):
            self._written_to = message.to
        elif message.user not in self._ignored:
            self._writer = message.user

    def _note_speaker(self, name: str) -> None:
        self._speakers.pop(name_key(name), None)
        self._speakers[name_key(name)] = shown_name(name)
        if len(self._speakers) > MAX_HEARD:
            del self._speakers[next(iter(self._speakers))]

    def _hear(self, name: str) -> None:
        """Remember that somebody has this name."""
        if not name:
            return
        self._heard.pop(name_key(name), None)
        self._heard[name_key(name)] = shown_name(name)
        if len(self._heard) > MAX_HEARD:
            del self._heard[next(iter(self._heard))]

    def _replace(self, room: str, old: str, new: str) -> None:
        people = self._people.setdefault(name_key(room), {})
        people.pop(name_key(old), None)
        if new and _count(self._people) < MAX_PEOPLE:
            people[name_key(new)] = shown_name(new)

    def _rename(self, message: Message) -> None:
        """Let whoever is renamed have the new name in every room, and what is remembered too."""
        old, new = name_key(message.user), message.message
        for room in [room for room, people in self._people.items() if old in people]:
            self._replace(room, message.user, new)
        if self._speakers.pop(old, None) is not None:
            self._note_speaker(new)
        if name_key(self._writer) == old:
            self._writer = new
        if name_key(self._written_to) == old:
            self._written_to = new
        self._hear(new)
        self._ignored.rename(message.user, new)

    def toggle_ignored(self, name: str) -> bool:
        """Hide what `name` says, or show it again; say whether it is hidden now."""
        return self._ignored.toggle(name)

    def forget(self) -> None:
        """Forget who is where: the connection was lost, and nobody told what happened meanwhile."""
        with self._lock:
            self._people.clear()
            self._present.clear()
            self._present_owned.clear()
            self._owned.clear()
            self._asked_at.clear()

    def forget_room(self, room: str) -> None:
        """Forget who is in `room`, which was entered anew."""
        with self._lock:
            self._people.pop(name_key(room), None)
            self._present.pop(name_key(room), None)
            self._present_owned.pop(name_key(room), None)
            self._owned.pop(name_key(room), None)
            self._asked_at.pop(name_key(room), None)

    # Asking who is there.

    def request_who(self, key: str) -> None:
        """Note that the user asks with this key: the answer is to be listed."""
        with self._lock:
            self._requested.add(key)

    def begin_who(self, room: str, now: float) -> None:
        """Forget half an answer, since we ask anew; `now` in monotonic seconds."""
        with self._lock:
            self._asked_at[name_key(room)] = now
            self._present.pop(name_key(room), None)
            self._present_owned.pop(name_key(room), None)

    def is_stale(self, room: str, now: float) -> bool:
        """Say whether to ask who is in `room`.

        It was not asked yet; or nobody tells who comes to so large a room and goes, and the answer
        is old.
        """
        with self._lock:
            asked_at = self._asked_at.get(name_key(room))
            if asked_at is None:
                return True
            is_large = len(self._people.get(name_key(room), {})) > MAX_PRESENCE_MEMBERS
            return is_large and now - asked_at > WHO_SECONDS

    def take_answer(self, message: Message) -> tuple[bool, bool]:
        """Gather an answer to WHO: is it complete by this message, and did the user ask for it?"""
        room = name_key(message.room)
        with self._lock:
            if message.kind == KIND_PRESENT:
                self._note_present(room, message)
                return False, False
            present = self._present.pop(room, {})
            self._people.pop(room, None)
            known = dict(islice(present.items(), MAX_PEOPLE - _count(self._people)))
            self._people[room] = known
            for name in list(known.values())[-MAX_HEARD:]:
                self._hear(name)
            self._owned[room] = self._present_owned.pop(room, set()) & known.keys()
            was_requested = message.key in self._requested
            self._requested.discard(message.key)
            return True, was_requested


def _count(people: Mapping[str, Sized]) -> int:
    """Return how many there are in all rooms."""
    return sum(map(len, people.values()))
