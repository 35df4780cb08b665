"""What was sent and is not acknowledged yet, and what the present stream has still to take of it.

Knows no gRPC and no server. The session puts in what is said and takes out what is acknowledged;
the input generator of each stream takes its messages from here, in a thread of gRPC's.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto

from chat.client.sealing import Sealing
from chat.client.send_window import SendWindow
from chat.protocol.errors import ChatError
from chat.protocol.kinds import MOVES, SAID
from chat.protocol.limits import MAX_KEY_CHARACTERS
from chat.protocol.names import name_key
from chat_pb2 import KIND_RENAMED, KIND_UNSPECIFIED, Message

# Messages that may wait for the server's echo; whoever sends more waits.
MAX_PENDING = 1000
# Where whoever sends cannot wait, since it is the one who hears the echoes.
MAX_UNWAITED = 10_000


class Peer(Enum):
    """What the server of the present stream is."""

    UNKNOWN = auto()  # it has not said anything yet
    SILENT = auto()  # nor after some seconds: a plain one whom nobody has told anything, or none
    FULL = auto()
    PLAIN = auto()  # has neither ids nor acknowledgements, and tells private messages to everybody


class Outbox:
    """Messages in the order in which they were said, until they are acknowledged.

    A full server gets them in that order, no further ahead of its echoes than `SendWindow` says;
    the rest waits here.
    As long as it is not known what the server is, what only a full one understands waits, and what
    is said to the common room goes past it; but not where the last one was a full one, which is
    about to say so.

    `sealing`: what is private is kept here as it was typed, and sealed when the stream takes it;
    until the key is known it waits, and so does what was said after it, but not for longer than
    `sealing.ANSWER_SECONDS`: of a server that does not answer by then `on_stall` is told, in the
    thread that takes, once in each stream.

    Bounded: `put` waits while `MAX_PENDING` messages are unacknowledged. `_changed` guards every
    attribute; any thread may call anything.
    """

    def __init__(self, sealing: Sealing | None = None) -> None:
        self._changed = threading.Condition()
        self._sealing = sealing
        self._pending: dict[str, Message] = {}  # unacknowledged, by key
        self._requests: dict[str, Message] = {}  # those of them that say nothing to anybody
        self._untaken: deque[Message] = deque()  # what the stream has not taken
        self._window = SendWindow()  # what the stream has taken and is unacknowledged
        self.on_stall: Callable[[], None] = lambda: None
        self._is_stall_told = False  # in the present stream
        self._stream = 0  # counts streams: the generator of an earlier one must end
        self._peer = Peer.UNKNOWN
        self._was_full = False  # the last server that said what it is
        self._has_met_server = False  # there was one that said so
        self._is_closing = False
        self._is_aborted = False
        self._owes_farewell = False  # the server takes us for somebody who may come back

    # Saying something.

    def put(self, message: Message, can_wait: bool = True) -> str:
        """Add `message` and return its key, made up here if it has none. Blocks while it is full.

        Raises `ChatError`: CLOSED; KEY_INVALID for a key that a server would not answer;
        KEY_CHANGED and what else keeps a message from being sealed (`Sealing.check`); PLAIN_SERVER
        for what a plain server does not understand; TOO_MUCH_WAITING instead of blocking, where the
        caller cannot wait and `MAX_UNWAITED` messages are unacknowledged.
        """
        message.key = message.key or secrets.token_hex(12)
        with self._changed:
            self._check_understood(message)
            if can_wait:
                self._changed.wait_for(lambda: self._is_closing or len(self._pending) < MAX_PENDING)
            elif len(self._pending) >= MAX_UNWAITED:
                raise ChatError("TOO_MUCH_WAITING")
            if self._is_closing:
                raise ChatError("CLOSED")
            self._check_understood(message)  # another server may have been met while it waited
            self._check_key(message)
            if self._sealing is not None:
                self._sealing.check(message)
            self._pending[message.key] = message
            if message.kind not in SAID:
                self._requests[message.key] = message
            self._untaken.append(message)
            self._changed.notify_all()
        return message.key

    def _check_understood(self, message: Message) -> None:
        if self._peer is Peer.PLAIN and _needs_full_server(message):
            raise ChatError("PLAIN_SERVER")

    def _check_key(self, message: Message) -> None:
        """Raise `ChatError` for a key that no server takes, or that another message waits under."""
        if len(message.key) > MAX_KEY_CHARACTERS:
            raise ChatError("KEY_INVALID")
        if waiting := self._pending.get(message.key):
            as_put = Message()
            as_put.CopyFrom(waiting)
            as_put.ClearField("sealed")  # which it was not yet
            if as_put != message:
                raise ChatError("KEY_INVALID")

    # One stream after the other.

    def begin_stream(self, first: Sequence[Message] = ()) -> Requests:
        """Return what a new stream is to send: `first`, everything pending, then what is put."""
        with self._changed:
            self._peer = Peer.UNKNOWN
            self._owes_farewell = False  # this one may be the last
            self._is_stall_told = False
            self._untaken = deque([*first, *self._pending.values()])
            self._window.clear()
            return Requests(self, self._stream)

    def end_stream(self) -> None:
        """End the generator of the present stream."""
        with self._changed:
            self._stream += 1
            self._peer = Peer.UNKNOWN
            self._changed.notify_all()

    def give_up_stream(self) -> None:
        """Note that whoever iterated has gone away from the present stream, in the middle of it.

        A full server, which may have let us in before we heard of it, waits for a minute for who is
        cut off; it takes one more stream, which ends in order, to tell it that nobody comes back.
        """
        with self._changed:
            self._owes_farewell = self._peer is not Peer.PLAIN

    def meet_full(self) -> None:
        """Note that the server is a full one."""
        with self._changed:
            self._peer = Peer.FULL
            self._was_full = self._has_met_server = True
            self._changed.notify_all()

    def meet_silence(self) -> bool:
        """Note that the server says nothing; say whether that is new. Nothing is given up by it."""
        with self._changed:
            if self._peer is not Peer.UNKNOWN:
                return False
            self._peer = Peer.SILENT
            self._changed.notify_all()
            return True

    def meet_plain(self) -> list[Message] | None:
        """Note that the server is a plain one; None if that is known already.

        What it has taken will never be acknowledged. Returns what it does not understand, and
        which is given up by that.
        """
        with self._changed:
            if self._peer in (Peer.PLAIN, Peer.FULL):
                return None
            self._peer = Peer.PLAIN
            self._was_full, self._has_met_server = False, True
            refused = [m for m in self._pending.values() if _needs_full_server(m)]
            kept = [message for message in self._untaken if not _needs_full_server(message)]
            self._untaken = deque(kept)
            self._pending = {message.key: message for message in kept}
            self._requests.clear()
            self._changed.notify_all()
            return refused

    def is_ready(self, stream: int) -> bool:
        """Say whether `take` would return at once."""
        with self._changed:
            return self._is_ready(stream)

    def take(self, stream: int) -> Message | None:
        """Return the next message for `stream`, None when it has to send nothing more. Blocks."""
        while True:
            with self._changed:
                while not (self._is_ready(stream) or self._has_new_stall()):
                    self._changed.wait(self._patience())
                if self._stream != stream or self._is_aborted:
                    return None
                is_stalled = self._has_new_stall()
                self._is_stall_told |= is_stalled
                if not is_stalled:
                    if self._sealing is not None and self._has_question():
                        return self._sealing.next_question()
                    if not self._untaken:
                        return None
                    if (sent := self._take_next()) is not None:
                        return sent
            if is_stalled:
                self.on_stall()

    def _take_next(self) -> Message | None:
        """Return what the stream takes in place of the next message.

        None: something was learned of a key just now, and it waits again.
        """
        message = self._next_understood()
        assert message is not None
        sent = message if self._sealing is None else self._sealing.envelope(message)
        if sent is not None:
            self._hand_over(message, sent)
        return sent

    def _patience(self) -> float | None:
        """Return after how many seconds what is next is gone past, None where it is not."""
        message = self._next_understood()
        if self._sealing is None or self._peer is not Peer.FULL or message is None:
            return None
        return self._sealing.patience(message)

    def _is_stalled(self, message: Message) -> bool:
        """Say whether a message is gone past: the server has not answered for long."""
        return self._sealing is not None and self._sealing.patience(message) == 0

    def _has_new_stall(self) -> bool:
        if self._is_stall_told or self._peer is not Peer.FULL or not self._untaken:
            return False
        return self._is_stalled(self._untaken[0])

    def _hand_over(self, message: Message, sent: Message) -> None:
        """Note that the stream takes `message`, as what is `sent`."""
        self._untaken.remove(message)
        if message.key in self._pending:
            self._window.add(message.key, sent.ByteSize())
        if self._peer is Peer.PLAIN:
            # Handed over is all there is to know.
            self._pending.pop(message.key, None)
            self._changed.notify_all()

    def _is_ready(self, stream: int) -> bool:
        if self._stream != stream or self._is_aborted:
            return True
        if self._has_question():
            return True
        if not self._untaken:
            return self._is_closing
        may_echo = self._peer in (Peer.UNKNOWN, Peer.FULL)
        if may_echo and self._window.is_full:
            return False
        message = self._next_understood()
        return message is not None and not self._is_held(message)

    def _has_question(self) -> bool:
        """Say whether a key is to be sent or asked for, which only a full server understands."""
        if self._sealing is None or self._peer is not Peer.FULL:
            return False
        return self._sealing.has_question(self._next_understood())

    def _is_held(self, message: Message) -> bool:
        """Say whether a private message waits, for a key or for the name it is sealed under."""
        if self._sealing is None or not message.to:
            return False
        is_renaming = any(
            request.kind == KIND_RENAMED and request.key in self._window
            for request in self._requests.values()
        )
        return is_renaming or self._sealing.is_held(message)

    def _next_understood(self) -> Message | None:
        """Return the next message that the server will understand, as far as is known."""
        if self._peer is Peer.FULL:
            return next((m for m in self._untaken if not self._is_stalled(m)), None)
        if self._peer is Peer.UNKNOWN and self._was_full:
            return None
        # A plain server would tell a private message to everybody.
        return next((m for m in self._untaken if not _needs_full_server(m)), None)

    # Acknowledgements.

    def find(self, key: str) -> Message | None:
        """Return the message that waits for its acknowledgement under `key`."""
        with self._changed:
            return self._pending.get(key)

    def acknowledge(self, key: str) -> None:
        """Forget the message with `key`: the server has answered it."""
        with self._changed:
            self._pending.pop(key, None)
            self._requests.pop(key, None)
            self._window.remove(key)
            self._changed.notify_all()

    def give_up_unsealable(self) -> list[tuple[Message, ChatError]]:
        """Give up what the stream has not taken and can never be sealed; return it, and why."""
        if self._sealing is None:
            return []
        given_up = []
        with self._changed:
            for message in list(self._untaken):
                try:
                    self._sealing.check(message)
                except ChatError as error:
                    self._untaken.remove(message)
                    self._pending.pop(message.key, None)
                    given_up.append((message, error))
            self._changed.notify_all()
        return given_up

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

    def wait_until_done(
        self, seconds: float | None, is_woken: threading.Event | None = None
    ) -> None:
        """Block for so many seconds, until nothing is left to be done, or `is_woken` is set.

        None: however long that takes.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_done or (is_woken is not None and is_woken.is_set()), seconds
            )

    def wait_acknowledged(self, seconds: float, allowed: int = 0) -> bool:
        """Block until no more than `allowed` messages are unacknowledged, or so long.

        Says whether more is to be awaited.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_aborted or len(self._pending) <= allowed, seconds
            )
            return len(self._pending) > allowed and not self._is_aborted

    def wake(self) -> None:
        """Let those who wait look again."""
        with self._changed:
            self._changed.notify_all()

    # How it stands.

    @property
    def peer(self) -> Peer:
        with self._changed:
            return self._peer

    @property
    def has_met_server(self) -> bool:
        """Whether a server has ever said what it is."""
        with self._changed:
            return self._has_met_server

    @property
    def pending(self) -> list[Message]:
        """What is not acknowledged yet, in the order in which it was said."""
        with self._changed:
            return list(self._pending.values())

    @property
    def wishes(self) -> list[Message]:
        """What of it enters or leaves a room, for the session itself."""
        with self._changed:
            requests = self._requests.values()
            return [wish for wish in requests if wish.kind in MOVES and not wish.to]

    def awaits(self, kind: int, room: str | None = None) -> bool:
        """Say whether a request of this kind, about this room or any, is not answered yet."""
        with self._changed:
            rooms = [name_key(one.room) for one in self._requests.values() if one.kind == kind]
        return bool(rooms) if room is None else name_key(room) in rooms

    @property
    def unacknowledged(self) -> int:
        with self._changed:
            return len(self._pending)

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
        """Whether it was closed, and nothing is left to be acknowledged, or said at all."""
        with self._changed:
            return self._is_done

    @property
    def _is_done(self) -> bool:
        is_owed = bool(self._pending) or self._owes_farewell
        return self._is_aborted or (self._is_closing and not is_owed)


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
    """Say whether a plain server would not understand it, or tell it where it must not."""
    return bool(message.to or message.room) or message.kind != KIND_UNSPECIFIED
