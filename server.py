"""The chat server: the gRPC face of the rooms. Run it: `python server.py`.

One handler for each stream, with two tasks: one reads what the client says and posts it to the
`Hub`, the other writes what the hub has for it. What a message is and who gets it is in `room.py`,
where it is kept in `history.py`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

# What gRPC itself has to say is not for people. It reads this when it is imported, not later.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from google.protobuf import any_pb2, empty_pb2, unknown_fields
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

import chat_pb2
import chat_pb2_grpc
from chat.cli import credentials as security
from chat.cli import flags
from chat.cli.i18n import N_, _, _n, speak_utf8
from chat.protocol.errors import ChatError, ConfigError
from chat.protocol.names import COMMON_ROOM
from chat.server.hub import DEFAULT_HISTORY, Hub, Member, Request
from chat.server.log.sqlite import History
from chat.server.runtime import (
    addresses,
    be_scheduled_in_batches,
    collect_rarely,
    raise_file_limit,
    run,
    stop_on_signals,
    why_not,
)

DEFAULT_PORT = 50051
DEFAULT_DB = "chat.db"
MAX_RETAIN_DAYS = 36_500  # a hundred years
SERVICE = chat_pb2.DESCRIPTOR.services_by_name["ChatService"].full_name
ERROR_DOMAIN = "chat"
ANY_HOST = ("[::]", "::", "0.0.0.0")
SESSION = re.compile("[0-9a-fA-F]{32}")
MAX_ID = (1 << 63) - 1  # the largest that SQLite holds

# A message with all its fields at their longest fits; gRPC refuses more, unpacked, by itself.
MAX_RECEIVE_BYTES = 64 << 10
# Of a message that cannot be decoded: a longer key is none of ours.
MAX_BROKEN_KEY_BYTES = 1 << 10
WIRE_TYPE_LEN = 2  # protobuf.dev/programming-guides/encoding
# Calls of the health service that may be open at a time: each costs memory for as long as it lasts.
MAX_HEALTH_WATCHES = 100
# A writer that waits this long has a reader that takes nothing at all.
STUCK_SECONDS = 60.0
STUCK_CHECK_SECONDS = 5.0
# A client that takes batches, and for whom more has come while it was written to, is left alone for
# a multiple of what the write took: under load more gathers meanwhile. When idle nothing waits.
REST_FACTOR = 10.0
MAX_REST_SECONDS = 0.1
# The status of a stream waits behind what its reader has not read yet.
ABORT_SECONDS = 2.0
# How long a stopping server waits for its readers to take what they are owed.
DRAIN_SECONDS = 3.0
DRAIN_CHECK_SECONDS = 0.02
# And gRPC, for the streams that have not ended by then.
STOP_SECONDS = 0.5
# Lines of the conversation that may wait for standard output.
SCREEN_LINES = 4096
FULL_SCREEN_SECONDS = 0.05

OPTIONS = [
    # Else a second server takes the same port in silence, and the chat is two.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    # A vanished peer is found in 30 s: a ping after 20 s of silence, 10 s for its answer.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Other people's clients may ping as often as every 10 s before they are sent away.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
]

# The one place where refusals become gRPC statuses.
STATUS = {
    "NAME_TAKEN": grpc.StatusCode.ALREADY_EXISTS,
    "NAME_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "ROOM_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "MESSAGE_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "MESSAGE_TOO_LONG": grpc.StatusCode.INVALID_ARGUMENT,
    "REQUEST_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "TOKEN_INVALID": grpc.StatusCode.UNAUTHENTICATED,
    "SERVER_FULL": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "READER_STUCK": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "SHUTTING_DOWN": grpc.StatusCode.UNAVAILABLE,
    "NOT_STORED": grpc.StatusCode.UNAVAILABLE,
    "LOG_UNREADABLE": grpc.StatusCode.UNAVAILABLE,
    "SESSION_REPLACED": grpc.StatusCode.ABORTED,
}

EOF: Any = grpc.aio.EOF
Context = grpc.aio.ServicerContext[bytes, bytes]  # only a type: it cannot be indexed at run time
_log = logging.getLogger(__name__)


class ChatService(chat_pb2_grpc.ChatServiceServicer):
    """The service of `chat.proto` on raw bytes, so that a message is encoded once for all.

    `token`: what every client must show, empty for nothing.
    """

    def __init__(self, hub: Hub, token: str = "") -> None:
        self._hub = hub
        self._token = token
        self._streams: set[Stream] = set()

    async def Chat(self, request_iterator: object, context: Context) -> None:
        """Serve one client for as long as its stream lives; ends it with OK or with a status."""
        try:
            member = await self._admit(context)
        except ChatError as error:
            await refuse(context, error)
            return
        stream = Stream(self._hub, member, context)
        self._streams.add(stream)
        try:
            await self._serve(stream, member, context)
        finally:
            self._streams.remove(stream)

    async def _serve(self, stream: Stream, member: Member, context: Context) -> None:
        try:
            await context.send_initial_metadata(self._greeting(member))
            await stream.converse()
        finally:
            # Here, since a vanished client looks like one that half-closed until the handler is
            # cancelled.
            self._hub.leave(member)
        if member.error is not None:
            await refuse(context, member.error)

    @property
    def is_idle(self) -> bool:
        """Whether every stream has ended, its status sent."""
        return not self._streams

    def _greeting(self, member: Member) -> tuple[tuple[str, str], ...]:
        """Return the initial metadata: which log this is, and after which id the stream begins."""
        epoch = ("chat-epoch", self._hub.log.epoch)
        return (epoch, ("chat-after", str(member.seen_id))) if member.is_full else (epoch,)

    async def _admit(self, context: Context) -> Member:
        metadata = dict(context.invocation_metadata() or ())
        if self._token and not security.is_authorized(
            metadata.get("authorization", ""), self._token
        ):
            raise ChatError("TOKEN_INVALID")
        return await self._hub.join(parse_request(metadata))

    async def let_stuck_readers_go(self) -> None:
        """Watch, for as long as the server runs, for readers that take nothing for a minute."""
        while True:
            await asyncio.sleep(STUCK_CHECK_SECONDS)
            for stream in list(self._streams):
                if stream.is_stuck():
                    stream.let_go(ChatError("READER_STUCK"))


class Stream:
    """One client's stream: the tasks that move messages between it and its `Member`."""

    def __init__(self, hub: Hub, member: Member, context: Context) -> None:
        self._hub = hub
        self._member = member
        self._context = context
        self._clock = asyncio.get_running_loop().time
        self._writer: asyncio.Task[None] | None = None
        self._writing_since: float | None = None  # seconds of the loop's clock

    async def converse(self) -> None:
        """Read and write until the writer has handed over all that is owed."""
        reader = asyncio.create_task(self._read(), name="reader")
        writer = self._writer = asyncio.create_task(self._write(), name="writer")
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if not writer.done():
                reader.result()  # a reader that failed ends the stream at once
                await asyncio.wait({writer})
            if not writer.cancelled():
                writer.result()
        finally:
            reader.cancel()
            writer.cancel()
            # Its last frame has this stream and a batch in it: a cycle that would be kept for long.
            self._writer = None

    def is_stuck(self) -> bool:
        """Say whether the client has taken nothing at all for `STUCK_SECONDS`."""
        return self._writing_since is not None and (
            self._clock() - self._writing_since >= STUCK_SECONDS
        )

    def let_go(self, error: ChatError) -> None:
        """End the stream with `error`, whatever is still owed to its reader."""
        self._member.close()
        self._member.error = error
        if self._writer is not None:
            self._writer.cancel()

    async def _read(self) -> None:
        """Post what the client says; a client above its rate is not read from for a while.

        Not reading lets HTTP/2 flow control slow the sender: nothing is lost.
        """
        member, error = self._member, None
        try:
            while not member.is_closing and (raw := await self._context.read()) is not EOF:
                await self._hear(raw)
                if wait_seconds := member.bucket.take():
                    await asyncio.sleep(wait_seconds)
        except ChatError as refusal:
            error = refusal
        # What it said before is committed, and echoed, before the stream ends.
        await member.settle()
        member.close(error)

    async def _hear(self, raw: bytes) -> None:
        """Post one message. A full client is told of a refusal; a plain one's stream ends by it."""
        try:
            message = chat_pb2.Message.FromString(raw)
        except DecodeError:
            refusal, key = ChatError("MESSAGE_INVALID"), key_of(raw)
        else:
            try:
                await self._hub.post(self._member, message)
                return
            except ChatError as error:
                refusal, key = error, message.key
        if not self._member.is_full or refusal.reason == "SHUTTING_DOWN":
            raise refusal
        self._hub.notice(self._member, refusal.reason, key)

    async def _write(self) -> None:
        """Write all there is, then let the next batch gather (gRPC takes one write at a time)."""
        member, write, clock = self._member, self._context.write, self._clock
        try:
            while frames := await self._hub.take(member):
                started = clock()
                for frame in frames:
                    self._writing_since = clock()
                    await write(frame)
                self._writing_since = None
                if member.wants_batches and member.has_queued:
                    await asyncio.sleep(min(REST_FACTOR * (clock() - started), MAX_REST_SECONDS))
        except ChatError as error:
            member.error = error


def parse_request(metadata: dict[str, str | bytes]) -> Request:
    """Return what the client's metadata say of it; raises `ChatError` where they make no sense."""
    if "chat-user-bin" not in metadata:
        return Request()
    session = _text(metadata, "chat-session", "REQUEST_INVALID")
    if session and not SESSION.fullmatch(session):
        raise ChatError("REQUEST_INVALID")
    return Request(
        user=_text(metadata, "chat-user-bin", "NAME_INVALID"),
        room=_text(metadata, "chat-room-bin", "ROOM_INVALID"),
        session=session,
        after=_number(metadata, "chat-after", None),
        history=_number(metadata, "chat-history", DEFAULT_HISTORY) or 0,
        wants_batches=_text(metadata, "chat-batch", "REQUEST_INVALID") == "1",
    )


def _text(metadata: dict[str, str | bytes], key: str, reason: str) -> str:
    value = metadata.get(key, "")
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        raise ChatError(reason) from None


def _number(metadata: dict[str, str | bytes], key: str, default: int | None) -> int | None:
    text = _text(metadata, key, "REQUEST_INVALID")
    if not text:
        return default
    # Twenty digits hold every uint64; int() takes signs, spaces and underscores as well.
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ChatError("REQUEST_INVALID")
    return min(int(text), MAX_ID)


def key_of(raw: bytes) -> str:
    """Return the key of a message that cannot be decoded as a whole, as far as it has one."""
    with suppress(DecodeError, UnicodeDecodeError):
        fields: Any = unknown_fields.UnknownFieldSet(empty_pb2.Empty.FromString(raw))
        for field in fields:
            is_key = field.field_number == chat_pb2.Message.KEY_FIELD_NUMBER
            # Of another wire type the data is a number, of which bytes() would make so many zeros.
            is_text = is_key and field.wire_type == WIRE_TYPE_LEN
            if is_text and len(field.data) <= MAX_BROKEN_KEY_BYTES:
                return str(field.data.decode())
    return ""


class Health(health.aio.HealthServicer):
    """The standard health service, but that nobody can hold memory by watching.

    A Watch of an unknown service ends with NOT_FOUND, as Check does, instead of waiting for it to
    come; beyond `MAX_HEALTH_WATCHES` another one ends with RESOURCE_EXHAUSTED.
    """

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._services = frozenset(services)
        self._watches = 0

    async def start(self) -> None:
        """Say from now on that every service is SERVING."""
        for name in self._services:
            await self.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Tell the state of a service, and each change of it, until the caller goes."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        if self._watches >= MAX_HEALTH_WATCHES:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many open calls")
        self._watches += 1
        try:
            await super().Watch(request, context)
        finally:
            self._watches -= 1


async def refuse(context: Context, error: ChatError) -> None:
    """End the stream with the status of `error`: its reason for programs, its text for people."""
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN))
    status = status_pb2.Status(
        code=STATUS[error.reason].value[0], message=str(error), details=[detail]
    )
    # A reader that does not read would hold the status back for ever.
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(
            context.abort_with_status(rpc_status.to_status(status)), ABORT_SECONDS
        )


class Screen:
    """The conversation on standard output, written by a thread of its own.

    Bounded: when standard output takes nothing (a stopped pager, say), what does not fit is counted
    and left out. The chat never waits for it.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._left_out = 0
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self._thread.start()

    def show(self, room: str, messages: Sequence[chat_pb2.Message]) -> None:
        """Show `[user]: message`, its later lines indented, the room before it if it has a name."""
        place = f"#{room} " if room != COMMON_ROOM else ""
        self.print(*(f"{place}[{m.user}]: " + m.message.replace("\n", "\n    ") for m in messages))

    def print(self, *lines: str) -> None:
        """Show the lines, or leave out those for which there is no room."""
        with self._changed:
            taken = lines[: SCREEN_LINES - len(self._lines)]
            self._lines += taken
            self._left_out += len(lines) - len(taken)
            self._changed.notify()

    def close(self) -> None:
        """Show what waits, for a second at the most."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(1)

    def _run(self) -> None:
        is_read = True  # whether anybody reads what is shown
        while lines := self._next_lines():
            try:
                if is_read:
                    self._write(lines)
            except (OSError, ValueError):
                is_read = False  # the chat goes on without its screen

    def _next_lines(self) -> list[str]:
        """Wait for lines, and return all there are by now; none: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._is_closing)
            lines, self._lines = self._lines, []
            if self._left_out:
                count, self._left_out = self._left_out, 0
                lines.append(_n("({} line left out)", "({} lines left out)", count).format(count))
        return lines

    def _write(self, lines: list[str]) -> None:
        """Write past Python's own buffer, which would want to be emptied before the program ends.

        A stopped pager, or one that is gone, would keep it from ending, or from ending with 0.
        """
        buffer: Any = sys.stdout.buffer
        rest = "".join(f"{line}\n" for line in lines).encode(errors="replace")
        while rest:
            written = getattr(buffer, "raw", buffer).write(rest)
            if written is None:  # somebody made it non-blocking, and it is full
                time.sleep(FULL_SCREEN_SECONDS)
            rest = rest[written or 0 :]


class Server:
    """A chat server: the log, the rooms and the gRPC server around them, from `start` to `stop`."""

    def __init__(self, flags: Namespace, screen: Screen | None = None) -> None:
        self._flags = flags
        token = security.read_token(flags.token_file)
        self._credentials = security.server_credentials(flags.tls_cert, flags.tls_key)
        self._history = History(flags.db, flags.retain)
        show = (
            screen.show if screen is not None and not flags.quiet else lambda room, messages: None
        )
        self._hub = Hub(self._history, flags.max_clients, flags.rate, show)
        self._service = ChatService(self._hub, token)
        self._health = Health(("", SERVICE))

    async def start(self) -> int:
        """Listen, and return the port. Raises `ConfigError` where that cannot be."""
        self._grpc = grpc.aio.server(options=OPTIONS)
        self._add_services()
        try:
            port = self._listen()
        except ConfigError:
            await self._grpc.stop(None)
            self._history.abandon()
            raise
        await self._hub.start()
        await self._grpc.start()
        await self._health.start()
        watch = self._service.let_stuck_readers_go()
        self._watch = asyncio.create_task(watch, name="stuck-readers")
        return port

    def _add_services(self) -> None:
        # Not by the generated function, which would encode each message anew for each client.
        handler: Any = grpc.stream_stream_rpc_method_handler(self._service.Chat)
        handlers = grpc.method_handlers_generic_handler(SERVICE, {"Chat": handler})
        self._grpc.add_generic_rpc_handlers((handlers,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._grpc)

    def _listen(self) -> int:
        address = f"{_bracketed(self._flags.host)}:{self._flags.port}"
        try:
            if self._credentials is None:
                return self._grpc.add_insecure_port(address)
            return self._grpc.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise ConfigError(why_not(self._flags.host, self._flags.port)) from error

    async def stop(self) -> None:
        """Accept nothing new, deliver what was accepted, end every stream; under five seconds."""
        await self._health.enter_graceful_shutdown()
        await self._hub.stop()
        await self._drained()
        self._watch.cancel()
        await self._grpc.stop(STOP_SECONDS)
        await self._history.close()

    async def _drained(self) -> None:
        """Return when every client has taken what it is owed, or has had its time for it."""
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        while not self._service.is_idle and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(DRAIN_CHECK_SECONDS)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


async def serve(flags: Namespace, screen: Screen) -> None:
    """Run a server until a signal ends it."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    server = Server(flags, screen)
    port = await server.start()
    collect_rarely()
    screen.print(_("gRPC server running on port {port}...").format(port=port))
    if flags.host in ANY_HOST:
        for address in addresses():
            text = _("From another machine: python client.py {address}:{port}")
            screen.print(text.format(address=address, port=port))
    await stop.wait()
    screen.print(_("The server is stopping..."))
    await server.stop()


def read_flags(arguments: Sequence[str]) -> Namespace:
    """Return the server's settings, from the command line, the environment and the defaults."""
    parser = flags.Parser(arguments, N_("A chat server: everybody hears what anybody says."))
    add = parser.flag
    add("--host", default="[::]", help=_("address to listen on"))
    add("--port", type=flags.port, default=DEFAULT_PORT, help=_("port to listen on; 0: a free one"))
    add("--db", default=DEFAULT_DB, help=_("file of the log; :memory: keeps it only while running"))
    add(
        "--retain",
        type=flags.between(0, MAX_RETAIN_DAYS),
        default=0,
        help=_("days to keep; 0: for ever"),
    )
    add("--max-clients", type=flags.at_least(1), default=10_000, help=_("most clients at a time"))
    add(
        "--rate",
        type=flags.at_least(0, float),
        default=100,
        help=_("messages a second from each client, bursts of ten times that; 0: no limit"),
    )
    add("--quiet", action="store_true", default=False, help=_("do not show the conversation"))
    add("--tls-cert", help=_("certificate chain (PEM): listen with TLS"))
    add("--tls-key", help=_("private key of the certificate (PEM)"))
    add("--token-file", help=_("file with the token that clients must show (or CHAT_TOKEN)"))
    return parser.read()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; return the exit code: 0 after a stop, 1 where it could not run."""
    speak_utf8()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    settings = read_flags(sys.argv[1:] if arguments is None else arguments)
    raise_file_limit(settings.max_clients)
    be_scheduled_in_batches()
    screen = Screen()
    try:
        run(serve(settings, screen))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        screen.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
