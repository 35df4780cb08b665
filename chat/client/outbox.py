"""What was sent and is not acknowledged yet, and what the present stream has still to take of it.

Knows no gRPC and no server. The session puts in what is said and takes out what is acknowledged;
the input generator of each stream takes its messages from here, in a thread of gRPC's.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from enum import Enum, auto

from chat.protocol.errors import ChatError
from chat.protocol.names import COMMON_ROOM
from chat_pb2 import KIND_UNSPECIFIED, Message

# Messages that may wait for the server's echo; whoever sends more waits.
MAX_PENDING = 1000


class Peer(Enum):
    """What the server of the present stream is."""

    UNKNOWN = auto()  # it has not said anything yet
    FULL = auto()
    PLAIN = auto()  # has neither ids nor acknowledgements, and tells private messages to everybody


class Outbox:
    """Messages in the order in which they were said, until they are acknowledged.

    While a change of room waits for the last acknowledgement of the old room, what is said is held
    for the new one. Bounded: `put` waits while `MAX_PENDING` messages are unacknowledged.

    `_changed` guards every attribute; any thread may call anything.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: dict[str, Message] = {}  # unacknowledged, by key
        self._untaken: deque[Message] = deque()  # those of them that the stream has not taken
        self._held: dict[str, Message] = {}  # said for the next room
        self._next_room: str | None = None
        self._stream = 0  # counts streams: the generator of an earlier one must end
        self._peer = Peer.UNKNOWN
        self._is_closing = False
        self._is_aborted = False

    # Saying something.

    def put(self, message: Message) -> str:
        """Add `message` and return its key, made up here if it has none. Blocks while it is full.

        Raises `ChatError`: CLOSED, or PLAIN_SERVER for what a plain server does not understand.
        """
        message.key = message.key or secrets.token_hex(12)
        with self._changed:
            self._check_understood(message)
            self._changed.wait_for(lambda: self._is_closing or self._unacknowledged < MAX_PENDING)
            if self._is_closing:
                raise ChatError("CLOSED")
            self._check_understood(message)  # another server may have been met while it waited
            if self._next_room is not None:
                self._held[message.key] = message
            else:
                self._pending[message.key] = message
                self._untaken.append(message)
                self._changed.notify_all()
        return message.key

    def _check_understood(self, message: Message) -> None:
        if self._peer is Peer.PLAIN and _needs_full_server(message):
            raise ChatError("PLAIN_SERVER")

    def move(self, room: str) -> None:
        """Go to `room` as soon as all that was said here is acknowledged; does not block."""
        with self._changed:
            if self._peer is Peer.PLAIN:
                raise ChatError("PLAIN_SERVER")
            self._next_room = room

    # One stream after the other.

    def take_next_room(self) -> str | None:
        """Return the room to go to now, None to stay; what was held for it is pending there."""
        with self._changed:
            if not self._can_move:
                return None
            room, self._next_room = self._next_room or COMMON_ROOM, None
            self._pending, self._held = self._held, {}
            return room

    def begin_stream(self) -> Requests:
        """Return what a new stream is to send: everything that is pending, then what is put."""
        with self._changed:
            self._peer = Peer.UNKNOWN
            self._untaken = deque(self._pending.values())
            return Requests(self, self._stream)

    def end_stream(self) -> None:
        """End the generator of the present stream."""
        with self._changed:
            self._stream += 1
            self._changed.notify_all()

    def meet_full(self) -> None:
        """Note that the server is a full one."""
        with self._changed:
            self._peer = Peer.FULL
            self._changed.notify_all()

    def meet_plain(self) -> bool:
        """Note that the server is a plain one, unless it is known; say whether that is new.

        What it has taken will never be acknowledged; what it does not understand is dropped.
        """
        with self._changed:
            if self._peer is not Peer.UNKNOWN:
                return False
            self._peer = Peer.PLAIN
            kept = [message for message in self._untaken if not _needs_full_server(message)]
            self._untaken = deque(kept)
            self._pending = {message.key: message for message in kept}
            self._changed.notify_all()
            return True

    def is_ready(self, stream: int) -> bool:
        """Say whether `take` would return at once."""
        with self._changed:
            return self._is_ready(stream)

    def take(self, stream: int) -> Message | None:
        """Return the next message for `stream`, None when it has to send nothing more. Blocks."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_ready(stream))
            if self._stream != stream or self._is_aborted or not self._untaken:
                return None
            message = self._untaken.popleft()
            if self._peer is Peer.PLAIN:
                # Handed over is all there is to know.
                self._pending.pop(message.key, None)
                self._changed.notify_all()
            return message

    def _is_ready(self, stream: int) -> bool:
        if self._stream != stream or self._is_aborted:
            return True
        if not self._untaken:
            return self._is_closing and not self._held
        # A plain server would tell a private message to everybody: first know whom we talk to.
        return self._peer is Peer.FULL or not _needs_full_server(self._untaken[0])

    # Acknowledgements.

    def find(self, key: str) -> Message | None:
        """Return the message of this room that waits for its acknowledgement under `key`."""
        with self._changed:
            return self._pending.get(key)

    def acknowledge(self, key: str) -> None:
        """Forget the message with `key`: the server has answered it."""
        with self._changed:
            self._pending.pop(key, None)
            self._changed.notify_all()

    # The end.

    def close(self) -> None:
        """Take nothing more; what was put is still sent."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Take nothing more, and send nothing more."""
        with self._changed:
            self._is_closing = self._is_aborted = True
            self._changed.notify_all()

    def wait_until_done(self, seconds: float) -> None:
        """Block for so many seconds, or until nothing is left to be done."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_done, seconds)

    # How it stands.

    @property
    def peer(self) -> Peer:
        with self._changed:
            return self._peer

    @property
    def pending(self) -> list[Message]:
        """What is not acknowledged yet, in the order in which it was said."""
        with self._changed:
            return [*self._pending.values(), *self._held.values()]

    @property
    def unacknowledged(self) -> int:
        with self._changed:
            return self._unacknowledged

    @property
    def _unacknowledged(self) -> int:
        return len(self._pending) + len(self._held)

    @property
    def can_move(self) -> bool:
        """Whether another room is wished for, and nothing of this one is pending."""
        with self._changed:
            return self._can_move

    @property
    def _can_move(self) -> bool:
        return self._next_room is not None and not self._pending

    @property
    def is_closing(self) -> bool:
        with self._changed:
            return self._is_closing

    @property
    def is_aborted(self) -> bool:
        with self._changed:
            return self._is_aborted

    @property
    def is_done(self) -> bool:
        """Whether it was closed, and nothing is left to be acknowledged."""
        with self._changed:
            return self._is_done

    @property
    def _is_done(self) -> bool:
        return self._is_aborted or (self._is_closing and not self._unacknowledged)


class Requests:
    """What one stream is to send; the input generator takes it, in a thread of gRPC's."""

    def __init__(self, outbox: Outbox, stream: int) -> None:
        self._outbox = outbox
        self._stream = stream

    @property
    def is_ready(self) -> bool:
        """Whether `next` would return at once."""
        return self._outbox.is_ready(self._stream)

    def next(self) -> Message | None:
        """Return the next message; None when nothing more is to be sent. Blocks meanwhile."""
        return self._outbox.take(self._stream)


def _needs_full_server(message: Message) -> bool:
    return bool(message.to) or message.kind != KIND_UNSPECIFIED
