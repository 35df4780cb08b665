"""One stream after the other, and what they bring: the half of a session that hears.

Runs in the thread that iterates the session. Knows gRPC only by way of `connection.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from chat.cli.i18n import _
from chat.client.backoff import Backoff
from chat.client.connection import Connection, StreamError, explain_unreachable, reason_of
from chat.client.cursor import Cursor
from chat.client.outbox import Outbox, Peer
from chat.client.state import Change, State
from chat.protocol.errors import ChatError, ConfigError, explain, is_final
from chat.protocol.metadata import Greeting, JoinRequest
from chat_pb2 import KIND_RENAMED, Message

# A plain server does not end a stream that the client has half-closed.
PLAIN_FAREWELL_SECONDS = 0.75


class Receiver:
    """Opens a stream, and another one when it is lost, until the outbox is done.

    `request`: who joins, and which room first. `retry_first_connect`, `on_state`: as `Session` has
    them.

    `_lock` guards `_name`, `_room` and `_call`. `_was_connected` belongs to the thread that
    iterates; outbox and cursor have locks of their own.
    """

    def __init__(
        self,
        connection: Connection,
        request: JoinRequest,
        outbox: Outbox,
        cursor: Cursor,
        *,
        retry_first_connect: bool,
        on_state: Callable[[State], None],
    ) -> None:
        self._connection = connection
        self._request = request
        self._outbox = outbox
        self._cursor = cursor
        self._retry_first_connect = retry_first_connect
        self._on_state = on_state
        self._was_connected = False
        self._lock = threading.Lock()
        self._name = request.user or ""
        self._room = request.room
        self._call: Any = None

    # From any thread.

    @property
    def name(self) -> str:
        """The name, as far as the server has agreed to it."""
        with self._lock:
            return self._name

    @property
    def room(self) -> str:
        """The room of the present stream."""
        with self._lock:
            return self._room

    def drop_unwanted_stream(self) -> None:
        """Cancel the present stream if it is unwanted; whoever makes it so calls this next."""
        with self._lock:
            call = self._call
        if call is not None and self._is_stream_unwanted:
            call.cancel()

    @property
    def _is_stream_unwanted(self) -> bool:
        """Whether the present stream is to end, by our own will."""
        outbox = self._outbox
        return outbox.is_aborted or outbox.can_move or self._cursor.is_reopening

    def abort(self) -> None:
        """End at once, whatever is on its way."""
        self._outbox.abort()
        self.drop_unwanted_stream()

    def abort_in(self, seconds: float) -> threading.Timer:
        """Abort after so many seconds, in a thread of its own, unless the timer is cancelled."""
        timer = threading.Timer(seconds, self.abort)
        timer.daemon = True
        timer.start()
        return timer

    # In the thread that iterates.

    def messages(self) -> Iterator[Message]:
        """Yield what one stream after the other brings; raises a refusal. Blocks."""
        backoff = Backoff()
        while not self._outbox.is_done:
            cause = yield from self._listen(backoff)
            if cause is not None and not self._outbox.is_done:
                self._on_state(State(Change.LOST, cause=cause))
                seconds = backoff.next()
                self._on_state(State(Change.RETRYING, seconds=seconds))
                self._outbox.wait_until_done(seconds)

    def _listen(self, backoff: Backoff) -> Generator[Message, None, str | None]:
        """Yield what one stream brings; return the cause of its loss, None to go on at once."""
        try:
            with self._stream() as call:
                if not self._greet(Greeting.from_metadata(call.initial_metadata() or ())):
                    return None
                if self._outbox.peer is Peer.FULL:
                    backoff.reset()
                for message in call:
                    backoff.reset()
                    self._meet_plain()
                    yield from filter(self._is_news, message.batch or (message,))
                return _("the server ended the stream")
        except StreamError as error:
            return self._judge(error)

    @contextmanager
    def _stream(self) -> Iterator[Any]:
        """Open a stream for the length of the block."""
        self._go_to_next_room()
        metadata = self._join_request().to_metadata()
        with self._connection.stream(self._outbox.begin_stream(), metadata) as call:
            with self._lock:
                self._call = call
            # What made the stream unwanted while it was being opened found no call to cancel.
            self.drop_unwanted_stream()
            try:
                yield call
            finally:
                with self._lock:
                    self._call = None
                self._outbox.end_stream()

    def _go_to_next_room(self) -> None:
        room = self._outbox.take_next_room()
        if room is not None:
            self._cursor.leave_room()
            with self._lock:
                self._room = room

    def _join_request(self) -> JoinRequest:
        after, history = self._cursor.begin_stream()
        return replace(self._request, user=self.name, room=self.room, after=after, history=history)

    def _greet(self, greeting: Greeting) -> bool:
        """Take the server's first word; return False if the stream must be opened anew."""
        if not greeting.epoch:
            return True  # a plain server, or a refusal: what comes next will tell
        if not self._cursor.meet_log(greeting.epoch):
            self._on_state(State(Change.NEW_LOG))
            return False
        if not self._cursor.begin_after(greeting.after):
            return False
        self._outbox.meet_full()
        self._tell_connected(Change.CONNECTED)
        return True

    def _meet_plain(self) -> None:
        """Note at its first message that a server without `chat-epoch` is a plain one."""
        if self._outbox.meet_plain():
            self._tell_connected(Change.PLAIN)
            if self._outbox.is_closing:
                self.abort_in(PLAIN_FAREWELL_SECONDS)

    def _tell_connected(self, change: Change) -> None:
        self._on_state(State(Change.RESUMED if self._was_connected else change))
        self._was_connected = True

    def _is_news(self, message: Message) -> bool:
        """Take note of a message's key and id; say whether it was not seen before."""
        sent = self._outbox.find(message.key) if message.key else None
        if sent is not None:
            if message.kind == sent.kind == KIND_RENAMED:
                with self._lock:
                    self._name = sent.message
            self._outbox.acknowledge(message.key)
            self.drop_unwanted_stream()
        return self._cursor.is_news(message.id)

    def _judge(self, error: Any) -> str | None:
        """Return why the stream ended, None where we ended it ourselves; raise if for good."""
        if self._is_stream_unwanted:
            return None
        reason = reason_of(error)
        is_first = not self._was_connected and not self._retry_first_connect
        if is_final(reason) or (is_first and reason):
            raise ChatError(reason)
        if is_first:
            raise ConfigError(explain_unreachable(self._connection.address, error))
        return explain(reason, _("the server does not answer"))
