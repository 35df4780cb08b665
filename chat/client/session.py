"""One chat kept alive: it reconnects, resumes, and brings each message once.

The library under `client.py`, and for bots:

    with Session("localhost:50051", "eco") as chat:
        for message in chat:
            if message.message.startswith("!eco "):
                chat.send(message.message.removeprefix("!eco "))

Whoever iterates does the network's work; any thread may send. What was sent is kept until the
server has echoed it, and is sent again with the same key after a lost connection, so that the
server can append it once. With a plain server, which has neither ids nor echoes to go by, nothing
is promised. Knows no terminal.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from types import TracebackType

import grpc

from chat.cli.credentials import check_token_stays_safe
from chat.client.connection import Connection, OpenStream, open_stream
from chat.client.cursor import Cursor
from chat.client.outbox import Outbox, Peer
from chat.client.receiver import PLAIN_FAREWELL_SECONDS, Receiver
from chat.client.state import State
from chat.protocol.errors import ChatError, ConfigError
from chat.protocol.limits import DEFAULT_HISTORY
from chat.protocol.metadata import JoinRequest
from chat.protocol.names import COMMON_ROOM, check_name, check_room
from chat.protocol.text import check_message
from chat_pb2 import KIND_RENAMED, KIND_WHO, Message

DEFAULT_CLOSE_SECONDS = 10.0


class Session:
    """One person's chat, over as many streams as it takes.

    `address`: `HOST:PORT`. `name`: 1 to 32 characters. `room`: empty for the common one. `history`:
    how many of the last messages come first (0 to 1000). `token`: what the server asks for.
    `credentials`: for TLS. `retry_first_connect`: keep trying although the first attempt failed.
    `on_state`: called with each `State`, by the thread that iterates. `open_stream`: how a stream
    is opened, see `connection.open_stream`.

    Iterating yields every `chat_pb2.Message` of the room, one's own echoes, presence and notices
    included, each log message once and in order. It blocks, ends after `close()`, and raises
    `ChatError` when the server refuses for good (`reason`), `ConfigError` when no server is there.

    `_changed` guards `_iterating` and `_has_ended`; outbox, cursor and receiver have locks of their
    own. `on_state` may be replaced before the iteration begins.
    """

    def __init__(
        self,
        address: str,
        name: str,
        *,
        room: str = COMMON_ROOM,
        history: int = DEFAULT_HISTORY,
        token: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        retry_first_connect: bool = False,
        on_state: Callable[[State], None] = lambda state: None,
        open_stream: OpenStream = open_stream,
    ) -> None:
        check_token_stays_safe(address.rpartition(":")[0], token, credentials is not None)
        self.id = secrets.token_hex(16)  # by which the server knows it again
        self.on_state = on_state
        self._outbox = Outbox()
        self._cursor = Cursor(history)
        self._receiver = Receiver(
            Connection(address, credentials, open_stream),
            JoinRequest(check_name(name), room, self.id, wants_batches=True, token=token),
            self._outbox,
            self._cursor,
            retry_first_connect=retry_first_connect,
            on_state=lambda state: self.on_state(state),
        )
        self._changed = threading.Condition()
        self._iterating: int | None = None  # the thread that does
        self._has_ended = False

    # Saying something; from any thread.

    def send(self, text: str, to: str = "", key: str = "") -> str:
        """Say `text` to the room, or privately `to` one person; return the message's key.

        `key`: at most 256 characters, its own for each message; made up here if empty. Raises
        `ChatError` at once where it can never be accepted. Blocks while `outbox.MAX_PENDING`
        messages wait for their echo.
        """
        check_message(text)
        return self._outbox.put(Message(user=self.name, message=text, to=to, key=key))

    def rename(self, name: str, key: str = "") -> str:
        """Ask to be called `name`; the echo of kind RENAMED says that it is so. Returns the key."""
        return self._outbox.put(Message(message=check_name(name), kind=KIND_RENAMED, key=key))

    def ask_who(self, key: str = "") -> str:
        """Ask who is here; one PRESENT comes for each, then the echo. Returns the key."""
        return self._outbox.put(Message(kind=KIND_WHO, key=key))

    def history(self, count: int) -> int:
        """Have the room's last `count` messages (1 to 1000) sent once more, in a new stream.

        Returns the newest id seen so far: log messages up to it come for the second time, what is
        above is new, as ever. Does not block. Raises `ChatError` with a plain server.
        """
        if not self.is_full:
            raise ChatError("PLAIN_SERVER")
        newest = self._cursor.repeat(count)
        self._receiver.drop_unwanted_stream()
        return newest

    def move(self, room: str) -> None:
        """Go to another room: a new stream begins there, with its history.

        First everything said here is acknowledged, so that nothing is said in the wrong room; what
        is sent from now on is said there. Does not block. Raises `ChatError` for a bad name.
        """
        self._outbox.move(check_room(room))
        self._receiver.drop_unwanted_stream()

    # How it stands; from any thread.

    @property
    def name(self) -> str:
        """The name, as far as the server has agreed to it."""
        return self._receiver.name

    @property
    def room(self) -> str:
        """The room of the present stream, empty for the common one."""
        return self._receiver.room

    @property
    def pending(self) -> list[Message]:
        """What the server has not confirmed yet, in the order in which it was said."""
        return self._outbox.pending

    @property
    def unacknowledged(self) -> int:
        """How many messages the server has not confirmed yet."""
        return self._outbox.unacknowledged

    @property
    def is_full(self) -> bool:
        """Whether the server gives ids, history and acknowledgements, as far as is known."""
        return self._outbox.peer is not Peer.PLAIN

    # The end.

    def close(self, timeout: float = DEFAULT_CLOSE_SECONDS) -> int:
        """Send what waits, take the echoes, and end; return how many were not acknowledged.

        Blocks for `timeout` seconds at most. What still comes in is yielded to whoever iterates; if
        nobody does, it is dropped. Called by the thread that iterates it only ends the iteration.
        """
        self._outbox.close()
        with self._changed:
            iterating, has_ended = self._iterating, self._has_ended
        if iterating == threading.get_ident():
            return self.unacknowledged
        if iterating is None and (has_ended or not self.unacknowledged):
            return self.unacknowledged
        timer = self._receiver.abort_in(timeout)
        if not self._expects_end_of_stream():
            self._receiver.abort_in(PLAIN_FAREWELL_SECONDS)
        try:
            if iterating is None:
                for _message in self:
                    pass
            else:
                with self._changed:
                    self._changed.wait_for(lambda: self._has_ended, timeout + 1)
        finally:
            timer.cancel()
        return self.unacknowledged

    def _expects_end_of_stream(self) -> bool:
        """Say whether the server ends the stream, or will tell what it is by an answer."""
        peer = self._outbox.peer
        return peer is Peer.FULL or (peer is Peer.UNKNOWN and self.unacknowledged > 0)

    def abort(self) -> None:
        """End at once, whatever is on its way."""
        self._receiver.abort()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    # Hearing; in the thread that iterates.

    def __iter__(self) -> Iterator[Message]:
        with self._changed:
            self._iterating = threading.get_ident()
        try:
            yield from self._receiver.messages()
        except (ChatError, ConfigError):
            self._outbox.abort()
            raise
        finally:
            with self._changed:
                self._iterating = None
                self._has_ended = self._outbox.is_done
                self._changed.notify_all()
