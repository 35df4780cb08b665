"""One chat stream kept alive: it reconnects, resumes, and brings each message once.

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

import random
import secrets
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import chat_pb2
import chat_pb2_grpc
from chat.cli.credentials import check_token_stays_safe
from chat.cli.i18n import _
from chat.protocol.errors import ChatError, ConfigError, explain
from chat.protocol.metadata import bearer
from chat.protocol.names import COMMON_ROOM, check_name
from chat.protocol.text import check_message

DEFAULT_PORT = 50051
DEFAULT_HISTORY = 20
# Messages that may wait for the server's echo; whoever sends more waits.
MAX_PENDING = 1000
MIN_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 5.0
# A plain server does not end a stream that the client has half-closed.
PLAIN_FAREWELL_SECONDS = 0.75
DEFAULT_CLOSE_SECONDS = 10.0

OPTIONS = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Without this one the two above find a dead server after a minute.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC's own retries cannot resume a stream that has had an answer; reconnecting is ours.
    ("grpc.enable_retries", 0),
    # How long one attempt may take, where an address swallows everything.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # A fresh channel must not inherit the waiting time of the last one.
    ("grpc.use_local_subchannel_pool", 1),
    # http_proxy is for the web: a classroom's proxy takes no connection to a neighbour's port.
    ("grpc.enable_http_proxy", 0),
]

# Reasons after which another attempt would end the same way.
FINAL_REASONS = frozenset(
    {
        "NAME_TAKEN",
        "NAME_INVALID",
        "ROOM_INVALID",
        "MESSAGE_INVALID",
        "MESSAGE_TOO_LONG",
        "REQUEST_INVALID",
        "TOKEN_INVALID",
        "SESSION_REPLACED",
        "NOT_A_CHAT",
    }
)
# Statuses of servers that give no reason, and what they mean to us.
REASON_OF_STATUS = {
    grpc.StatusCode.UNIMPLEMENTED: "NOT_A_CHAT",
    grpc.StatusCode.UNAUTHENTICATED: "TOKEN_INVALID",
    grpc.StatusCode.PERMISSION_DENIED: "TOKEN_INVALID",
    grpc.StatusCode.ALREADY_EXISTS: "NAME_TAKEN",
    grpc.StatusCode.INVALID_ARGUMENT: "REQUEST_INVALID",
}

Kind = chat_pb2.Kind


class Change(Enum):
    """What happened to the connection."""

    CONNECTED = auto()  # for the first time; the name is ours
    PLAIN = auto()  # for the first time, to a server that promises nothing
    LOST = auto()  # with the `cause`
    RETRYING = auto()  # in `seconds`
    RESUMED = auto()  # everything missed is coming now
    NEW_LOG = auto()  # the server began another log: what was said meanwhile may be missing


@dataclass(frozen=True)
class State:
    """A change of the connection: `seconds` to the next attempt, `cause` of the loss."""

    change: Change
    seconds: float = 0.0
    cause: str = ""


class Session:
    """One person's chat, over as many streams as it takes.

    `address`: `HOST:PORT`. `name`: 1 to 32 characters. `room`: empty for the common one. `history`:
    how many of the last messages come first (0 to 1000). `token`: what the server asks for.
    `credentials`: for TLS, see `security.channel_credentials`. `is_patient`: keep trying although
    the first attempt failed. `on_state` is called with each `State`, by the thread that iterates.

    Iterating yields every `chat_pb2.Message` of the room, one's own echoes, presence and notices
    included, each log message once and in order. It blocks, ends after `close()`, and raises
    `ChatError` when the server refuses for good (`reason`), `ConfigError` when no server is there.
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
        is_patient: bool = False,
        on_state: Callable[[State], None] = lambda state: None,
    ) -> None:
        check_token_stays_safe(address.rpartition(":")[0], token, credentials is not None)
        self.address = address
        self.name = check_name(name)
        self.room = room
        self._history = history
        self._token = token
        self._credentials = credentials
        self._is_patient = is_patient
        self._on_state = on_state
        self._id = secrets.token_hex(16)
        # What the log's place is, as far as we have seen it.
        self._epoch = ""
        self._seen_id: int | None = None  # None: not there yet, so begin with the history
        # All that follows is guarded by this one condition.
        self._changed = threading.Condition()
        self._pending: dict[str, chat_pb2.Message] = {}  # sent, not acknowledged; in order
        self._outbox: deque[chat_pb2.Message] = deque()  # not handed to the present stream yet
        self._turn = 0  # counts streams: a generator of an earlier one must end
        self._call: Any = None
        self._is_full: bool | None = None  # None: the server has not said anything yet
        self._was_connected = False
        self._iterating: int | None = None  # the thread that does
        self._is_closing = False
        self._is_aborted = False
        self._has_ended = False
        # Where to go as soon as all that was said here is acknowledged, and what is said there.
        self._next_room: str | None = None
        self._held: dict[str, chat_pb2.Message] = {}
        self._wanted_again = 0  # messages of the history that shall come once more
        self._is_reopening = False  # the present stream is ours to throw away

    # Saying something; from any thread.

    def send(self, text: str, to: str = "", key: str = "") -> str:
        """Say `text` to the room, or privately `to` one person; return the message's key.

        `key`: at most 256 characters, its own for each message; made up here if empty. Raises
        `ChatError` at once where it can never be accepted. Blocks while `MAX_PENDING` messages
        wait for their echo.
        """
        check_message(text)
        return self._post(chat_pb2.Message(user=self.name, message=text, to=to, key=key))

    def rename(self, name: str, key: str = "") -> str:
        """Ask to be called `name`; the echo of kind RENAMED says that it is so. Returns the key."""
        name = check_name(name)
        return self._post(chat_pb2.Message(message=name, kind=Kind.KIND_RENAMED, key=key))

    def ask_who(self, key: str = "") -> str:
        """Ask who is here; one PRESENT comes for each, then the echo. Returns the key."""
        return self._post(chat_pb2.Message(kind=Kind.KIND_WHO, key=key))

    def history(self, count: int) -> int:
        """Have the room's last `count` messages (1 to 1000) sent once more, in a new stream.

        Returns the newest id seen so far: log messages up to it come for the second time, what is
        above is new, as ever. Does not block. Raises `ChatError` with a plain server.
        """
        with self._changed:
            if self._is_full is False:
                raise ChatError("PLAIN_SERVER")
            self._wanted_again = count
            if self._call is not None:
                self._is_reopening = True
                self._call.cancel()
            return self._seen_id or 0

    def move(self, room: str) -> None:
        """Go to another room: a new stream begins there, with its history.

        First everything said here is acknowledged, so that nothing is said in the wrong room; what
        is sent from now on is said there. Does not block. Raises `ChatError` for a bad name.
        """
        with self._changed:
            if self._is_full is False:
                raise ChatError("PLAIN_SERVER")
            self._next_room = room and check_name(room, "ROOM_INVALID")
            self._leave_room_when_ready()

    def _leave_room_when_ready(self) -> None:
        if self._is_moving and self._call is not None:
            self._call.cancel()

    @property
    def _is_moving(self) -> bool:
        return self._next_room is not None and not self._pending

    @property
    def unacknowledged(self) -> int:
        """How many messages the server has not confirmed yet."""
        return len(self._pending) + len(self._held)

    @property
    def pending(self) -> list[chat_pb2.Message]:
        """What the server has not confirmed yet, in the order in which it was said."""
        with self._changed:
            return [*self._pending.values(), *self._held.values()]

    @property
    def is_full(self) -> bool:
        """Whether the server gives ids, history and acknowledgements."""
        return self._is_full is not False

    def _post(self, message: chat_pb2.Message) -> str:
        message.key = message.key or secrets.token_hex(12)
        with self._changed:
            if _needs_full_server(message) and self._is_full is False:
                raise ChatError("PLAIN_SERVER")
            self._changed.wait_for(lambda: self.unacknowledged < MAX_PENDING or self._is_closing)
            if self._is_closing:
                raise ChatError("CLOSED")
            if self._next_room is not None:
                self._held[message.key] = message
            else:
                self._pending[message.key] = message
                self._outbox.append(message)
                self._changed.notify_all()
        return message.key

    # The end.

    def close(self, timeout: float = DEFAULT_CLOSE_SECONDS) -> int:
        """Send what waits, take the echoes, and end; return how many were not acknowledged.

        Blocks for `timeout` seconds at most. What still comes in is yielded to whoever iterates; if
        nobody does, it is dropped. Called by the thread that iterates it only ends the iteration.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            is_idle = self._iterating is None and not self._has_ended
        if self._iterating == threading.get_ident():
            return self.unacknowledged
        timer = self._abort_in(timeout)
        # A plain server, or one that has not said what it is while nothing waits for its answer.
        if self._is_full is False or (self._is_full is None and not self.unacknowledged):
            self._abort_in(PLAIN_FAREWELL_SECONDS)
        try:
            if is_idle and self.unacknowledged:
                for _message in self:
                    pass
            elif not is_idle:
                with self._changed:
                    self._changed.wait_for(lambda: self._has_ended, timeout + 1)
        finally:
            timer.cancel()
        return self.unacknowledged

    def _abort_in(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self.abort)
        timer.daemon = True
        timer.start()
        return timer

    def abort(self) -> None:
        """End at once, whatever is on its way."""
        with self._changed:
            self._is_closing = self._is_aborted = True
            self._changed.notify_all()
            if self._call is not None:
                self._call.cancel()

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

    def __iter__(self) -> Iterator[chat_pb2.Message]:
        self._iterating = threading.get_ident()
        backoff = Backoff()
        try:
            while not self._is_done():
                cause = yield from self._listen(backoff)
                if cause is not None and not self._is_done():
                    self._on_state(State(Change.LOST, cause=cause))
                    self._wait(backoff.next())
        except (ChatError, ConfigError):
            self._is_closing = self._is_aborted = True
            raise
        finally:
            with self._changed:
                self._iterating = None
                self._has_ended = self._is_done()
                self._changed.notify_all()

    def _is_done(self) -> bool:
        return self._is_aborted or (self._is_closing and not self.unacknowledged)

    def _wait(self, seconds: float) -> None:
        self._on_state(State(Change.RETRYING, seconds=seconds))
        with self._changed:
            self._changed.wait_for(self._is_done, seconds)

    def _listen(self, backoff: Backoff) -> Generator[chat_pb2.Message, None, str | None]:
        """Yield what one stream brings; return the cause of its loss, None to go on at once."""
        with self._channel() as channel:
            call = self._open(channel)
            try:
                if not self._greet(dict(call.initial_metadata() or ())):
                    return None
                if self._is_full:
                    backoff.reset()
                for message in call:
                    backoff.reset()
                    self._meet_plain()
                    yield from filter(self._is_news, message.batch or (message,))
                return _("the server ended the stream")
            except grpc.RpcError as error:
                return self._judge(error)
            finally:
                with self._changed:
                    self._turn += 1
                    self._call = None
                    self._changed.notify_all()
                call.cancel()

    def _channel(self) -> grpc.Channel:
        if self._credentials is not None:
            return grpc.secure_channel(self.address, self._credentials, OPTIONS)
        return grpc.insecure_channel(self.address, OPTIONS)

    def _open(self, channel: grpc.Channel) -> Any:
        stub = chat_pb2_grpc.ChatServiceStub(channel)  # type: ignore[no-untyped-call]
        with self._changed:
            self._is_full = None
            self._is_reopening = False
            if self._is_moving:
                self.room, self._next_room = self._next_room or COMMON_ROOM, None
                self._seen_id, self._wanted_again = None, 0
                self._pending, self._held = self._held, {}
            self._outbox = deque(self._pending.values())
            self._call = stub.Chat(self._requests(self._turn), metadata=self._metadata())
            if self._is_aborted:
                self._call.cancel()
            return self._call

    def _metadata(self) -> Sequence[tuple[str, str | bytes]]:
        metadata: list[tuple[str, str | bytes]] = [
            ("chat-user-bin", self.name.encode()),
            ("chat-session", self._id),
            ("chat-batch", "1"),
        ]
        if self.room:
            metadata.append(("chat-room-bin", self.room.encode()))
        if self._seen_id is not None and not self._wanted_again:
            metadata.append(("chat-after", str(self._seen_id)))
        else:
            metadata.append(("chat-history", str(self._wanted_again or self._history)))
        if self._token:
            metadata.append(("authorization", bearer(self._token)))
        return metadata

    def _requests(self, turn: int) -> Iterator[chat_pb2.Message]:
        """Yield what is to be sent, for as long as this stream is the present one.

        gRPC takes it in a thread of its own, which ends with this generator.
        """
        while (message := self._next_request(turn)) is not None:
            yield message

    def _next_request(self, turn: int) -> chat_pb2.Message | None:
        with self._changed:
            self._changed.wait_for(lambda: self._turn != turn or self._has_request())
            if self._turn != turn or self._is_aborted or not self._outbox:
                return None
            message = self._outbox.popleft()
            if self._is_full is False:
                # It will never be acknowledged; handed over is all there is to know.
                self._forget(message.key)
            return message

    def _has_request(self) -> bool:
        """Say whether the next message can go out, or none will come any more."""
        if not self._outbox:
            return self._is_closing and not self._held
        # A plain server would tell a private message to everybody: first know whom we talk to.
        return self._is_full is True or not _needs_full_server(self._outbox[0])

    def _greet(self, metadata: dict[str, str]) -> bool:
        """Take the server's first word; return False if the stream must be opened anew."""
        epoch = metadata.get("chat-epoch", "")
        if not epoch:
            return True  # a plain server, or a refusal: what comes next will tell
        is_new_log = bool(self._epoch) and epoch != self._epoch and self._seen_id is not None
        self._epoch = epoch
        if is_new_log:
            self._seen_id = None
            self._on_state(State(Change.NEW_LOG))
            return False
        with self._changed:
            if not self._begin_after(metadata.get("chat-after", "")):
                return False
            self._is_full = True
            self._changed.notify_all()
        self._connected(Change.CONNECTED)
        return True

    def _begin_after(self, start: str) -> bool:
        """Note the id after which the stream begins; return False if it begins too late.

        Known before anything is said: who is cut off in a silent room misses nothing.
        """
        if self._is_reopening or not start.isdecimal():
            return True
        is_again, self._wanted_again = self._wanted_again > 0, 0
        if is_again and self._seen_id is not None and int(start) > self._seen_id:
            return False  # so much is new that the history does not reach back to what was seen
        self._seen_id = int(start)
        return True

    def _meet_plain(self) -> None:
        """Note at its first message that a server without `chat-epoch` is a plain one."""
        if self._is_full is not None:
            return
        with self._changed:
            self._is_full = False
            kept = [message for message in self._outbox if not _needs_full_server(message)]
            self._outbox = deque(kept)
            self._pending = {message.key: message for message in kept}
            self._changed.notify_all()
        self._connected(Change.PLAIN)
        if self._is_closing:
            self._abort_in(PLAIN_FAREWELL_SECONDS)

    def _connected(self, change: Change) -> None:
        self._on_state(State(Change.RESUMED if self._was_connected else change))
        self._was_connected = True

    def _is_news(self, message: chat_pb2.Message) -> bool:
        """Take note of a message's key and id; say whether it was not seen before."""
        pending = self._pending.get(message.key) if message.key else None
        if pending is not None:
            self._acknowledge(message, pending)
        if not message.id:
            return True
        with self._changed:
            if self._is_reopening or message.id <= (self._seen_id or 0):
                return False
            self._seen_id = message.id
            return True

    def _acknowledge(self, message: chat_pb2.Message, pending: chat_pb2.Message) -> None:
        if message.kind == pending.kind == Kind.KIND_RENAMED:
            self.name = pending.message
        with self._changed:
            self._forget(pending.key)

    def _forget(self, key: str) -> None:
        self._pending.pop(key, None)
        self._leave_room_when_ready()
        self._changed.notify_all()

    def _judge(self, error: grpc.RpcError) -> str | None:
        """Return why the stream ended, None where we ended it ourselves; raise if for good."""
        if self._is_moving or self._is_reopening or self._is_aborted:
            return None
        reason = reason_of(error)
        is_first = not self._was_connected and not self._is_patient
        if reason in FINAL_REASONS or (is_first and reason):
            raise ChatError(reason)
        if is_first:
            raise ConfigError(self._why_unreachable(error))
        return explain(reason, _("the server does not answer"))

    def _why_unreachable(self, error: grpc.RpcError) -> str:
        details = str(error.details()).lower()
        if "dns" in details or "name resolution" in details or "resolve" in details:
            text = _("No machine is called {address}. Check how it is written.")
        elif any(word in details for word in ("ssl", "handshake", "certificate", "verification")):
            text = _(
                "{address} does not speak TLS, or its certificate is not trusted."
                " Check --tls and --tls-ca."
            )
        else:
            text = _(
                "No chat server answers at {address}. Check the address, that the server is"
                " running, that a firewall lets its port through, and whether it asks for --tls."
            )
        return text.format(address=self.address)


class Backoff:
    """How long to wait before the next attempt: doubling, with jitter, from 0.5 s to 5 s."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew: the connection worked."""
        self._highest = 2 * MIN_BACKOFF_SECONDS

    def next(self) -> float:
        """Return the seconds to wait now.

        Clients that lost one server must not come back all at once.
        """
        seconds = random.uniform(MIN_BACKOFF_SECONDS, self._highest)
        self._highest = min(MAX_BACKOFF_SECONDS, self._highest * 2)
        return seconds


def _needs_full_server(message: chat_pb2.Message) -> bool:
    return bool(message.to) or message.kind != Kind.KIND_UNSPECIFIED


def reason_of(error: Any) -> str:
    """Return the reason of a refusal: its google.rpc.ErrorInfo, what its status means, or nothing.

    `error`: the `grpc.RpcError` of a call, which is the call itself.
    """
    with suppress(ValueError, NotImplementedError):
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                return str(info.reason)
    return REASON_OF_STATUS.get(error.code(), "")
