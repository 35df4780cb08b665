"""How far each room and the inbox were seen: what the next stream asks for, and what is news.

Knows no gRPC. The session asks it at the beginning of each stream, and for each message.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from chat.protocol.kinds import PRESENCE, SAID
from chat.protocol.metadata import Greeting
from chat.protocol.names import COMMON_ROOM, name_key
from chat_pb2 import KIND_ENTERED, Message

# Private messages that are known when they come again without their ids.
MAX_KNOWN = 1000


@dataclass(frozen=True)
class Place:
    """A place in a server's log: a session that is given it misses nothing that came after.

    `rooms`: the last id seen in each room, by name. `inbox`: that of the last private message.
    `epoch`, `generation`: of the log, as the server told them. `left`: the last id seen in rooms
    that the session is not in, by the key of the room.
    """

    rooms: dict[str, int] = field(default_factory=dict)
    inbox: int = 0
    epoch: str = ""
    generation: str = ""
    left: dict[str, int] = field(default_factory=dict)


class Cursor:
    """The rooms that a session is in, each with the last id seen there, and its inbox.

    A room belongs to it from the echo of ENTERED to that of EXITED; of one that was left the place
    is remembered. Each log message is new once, in order. `history`: how many of the last messages
    come first in a room that was never seen. `at_most`: of what came since `place` so many come in
    each room, the newest; None: all of it.

    `_lock` guards every attribute: any thread may look at it, the thread that iterates does the
    rest.
    """

    def __init__(
        self,
        rooms: Iterable[str],
        history: int,
        place: Place | None = None,
        at_most: int | None = None,
    ) -> None:
        place = place or Place()
        self._lock = threading.Lock()
        self._history = history
        self._epoch = place.epoch
        self._generation = place.generation
        self._inbox_id = place.inbox
        # The last id seen, by the key of the room; of rooms that were left as well.
        self._seen: dict[str, int] = {name_key(room): i for room, i in place.rooms.items()}
        self._seen |= place.left
        self._at_most = at_most
        # Where no stream of this session has begun yet.
        self._unvisited = set(self._seen) if at_most is not None else set()
        self._names = {name_key(room): room for room in [*rooms, *place.rooms]}
        # The last private messages: writer, key, and when that was, in nanoseconds since 1970.
        self._known: OrderedDict[tuple[str, str, int], None] = OrderedDict()

    @property
    def rooms(self) -> tuple[str, ...]:
        """The rooms that it is in, as they were typed, in the order of entering."""
        with self._lock:
            return tuple(self._names.values())

    @property
    def place(self) -> Place:
        """How far everything was seen by now."""
        with self._lock:
            rooms = {name: self._seen[k] for k, name in self._names.items() if k in self._seen}
            left = {key: seen for key, seen in self._seen.items() if key not in self._names}
            return Place(rooms, self._inbox_id, self._epoch, self._generation, left)

    # At the beginning of a stream.

    def begin_stream(self) -> tuple[str, int | None, int, int, str]:
        """Return the first room, the id seen there (None: the last so many), inbox, generation."""
        with self._lock:
            key, name = next(iter(self._names.items()))
            return name, self._seen.get(key), self._history, self._inbox_id, self._generation

    @property
    def at_most(self) -> int | None:
        """How much of what was missed in the first room is to come; None: all of it."""
        with self._lock:
            return self._at_most if next(iter(self._names)) in self._unvisited else None

    def entries(self) -> list[Message]:
        """Return the wishes to be in the other rooms too, each from where it was seen."""
        with self._lock:
            return [self._entry(name) for name in list(self._names.values())[1:]]

    def entry(self, room: str, count: int | None = None, after: int | None = None) -> Message:
        """Return the wish to be in `room`: with its last `count` messages, or all that is new.

        `after`: all that came after this id, though it was seen, or the last `count` of it.
        """
        with self._lock:
            if after is None:
                return self._entry(room, count)
            if name_key(room) not in self._names:
                self._seen[name_key(room)] = after
            text = "" if count is None else str(count)
            return Message(kind=KIND_ENTERED, room=room, id=after, message=text)

    def _entry(self, room: str, count: int | None = None) -> Message:
        seen = self._seen.get(name_key(room))
        wish = Message(kind=KIND_ENTERED, room=room)
        if count is None and seen is not None:
            wish.id = seen
            if name_key(room) in self._unvisited:
                wish.message = str(self._at_most)
        else:
            wish.message = str(self._history if count is None else count)
        return wish

    def meet_log(self, greeting: Greeting) -> bool:
        """Note which log the server has, and where the first room begins.

        Returns False if it is another log, in which ids seen earlier mean nothing. A server that
        says its generation sees that by itself, and begins anew; with another one the stream is to
        be opened again. Known before anything is said: who is cut off in a silent room misses
        nothing.
        """
        with self._lock:
            is_other = bool(self._epoch) and greeting.epoch != self._epoch and bool(self._seen)
            self._epoch, self._generation = greeting.epoch, greeting.generation
            self._unvisited.discard(next(iter(self._names)))
            if is_other and not greeting.generation:
                self._seen, self._inbox_id = {}, 0
            elif greeting.after is not None:
                self._seen[next(iter(self._names))] = greeting.after
            return not is_other

    # While it lasts.

    def resume(self, room: str, after: int) -> None:
        """Note that the present stream is in `room` too, from after the id `after`."""
        with self._lock:
            self._visit(name_key(room), after)

    def _visit(self, key: str, after: int) -> None:
        self._seen[key] = after
        self._unvisited.discard(key)

    def enter(self, wish: Message, after: int) -> None:
        """Note that the session is in the room that `wish` named, from after the id `after`.

        What was heard there after the wish was made comes once more, and is no news; but where the
        last so many messages were wished for, or the server begins before what it was asked for (it
        was put back to an older copy), all of it is. Where the session was already, nothing
        changes.
        """
        key = name_key(wish.room)
        with self._lock:
            if key in self._names:
                return
            self._names[key] = wish.room
            is_resumed = after >= wish.id and not (wish.message and not wish.id)
            self._visit(key, max(self._seen.get(key, 0), after) if is_resumed else after)

    def leave(self, room: str) -> None:
        """Note that the session is no longer in `room`; where it was is remembered.

        The only room is kept, whatever the server says: each stream begins in one.
        """
        with self._lock:
            if len(self._names) > 1:
                self._names.pop(name_key(room), None)

    def give_up_first(self) -> str | None:
        """Leave the first room, which may not be entered any more; return it as it was typed.

        Where it was the only one, the common room takes its place. None: that is the first one.
        """
        with self._lock:
            key, room = next(iter(self._names.items()))
            if not key:
                return None
            del self._names[key]
            self._names = self._names or {COMMON_ROOM: COMMON_ROOM}
            return room

    def forget_left(self) -> None:
        """Note that what was seen in rooms that it is not in means nothing any more."""
        with self._lock:
            self._seen = {key: seen for key, seen in self._seen.items() if key in self._names}

    def rewind_inbox(self) -> None:
        """Note that all private messages come once more: the log was put back to an older copy."""
        with self._lock:
            self._inbox_id = 0

    def is_news(self, message: Message) -> bool:
        """Note a message that came; say whether it was not seen before.

        Who comes to a room and goes is news where the session is in it.
        """
        with self._lock:
            if not message.id:
                return message.kind not in PRESENCE or self._key_of(message.room) is not None
            if message.to:
                is_new = message.id > self._inbox_id
                self._inbox_id = max(self._inbox_id, message.id)
                return is_new
            key = self._key_of(message.room)
            if key is None or message.id <= self._seen.get(key, 0):
                return False
            self._seen[key] = message.id
            return True

    def is_known(self, message: Message) -> bool:
        """Note a private message; say whether it came before, under an id or without one."""
        sign = (message.user, message.key, message.sent_at.ToNanoseconds())
        if not (message.to and message.kind in SAID and message.key and sign[2]):
            return False
        with self._lock:
            is_known = sign in self._known
            self._known[sign] = None
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return is_known

    def _key_of(self, room: str) -> str | None:
        """Return the key of the room that the server means; None: the session is not there."""
        key = name_key(room)
        if key in self._names:
            return key
        # A server of the first contract names no rooms: it is the only one.
        return next(iter(self._names)) if not room and len(self._names) == 1 else None
