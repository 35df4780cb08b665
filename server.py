"""The chat server. Run it: `python server.py`.

The story: every client has a queue. `ChatService.Chat` serves one client for as long as its stream
lives: it sends what is in the client's queue, while a task beside it receives what the client says
and posts it to the log. When the log has a message on disk, `ChatService.broadcast` puts it into
the queue of every client of its room. The parts are in `chat/server`; everything here runs in the
event loop.
"""

from __future__ import annotations

import os
import sys

# Python looks beside the script, unless it is told not to (-I, PYTHONSAFEPATH).
sys.path.append(os.path.dirname(os.path.abspath(__file__)))
# What gRPC itself has to say is not for people. It reads this when it is imported, not later.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from chat.cli.startup import Importing

with Importing():  # Ctrl-C ends it without a word meanwhile, and what is missing with a sentence
    import asyncio
    import logging
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import contextmanager
    from typing import Any

    import grpc

    import chat_pb2_grpc
    from chat.cli import english
    from chat.cli.dependencies import missing_line
    from chat.cli.i18n import _
    from chat.protocol.errors import ChatError, ConfigError, UsageError
    from chat.protocol.metadata import JoinRequest
    from chat.server import diagnostics, errands, event_lines, runtime, status, welcome
    from chat.server.address import address_of
    from chat.server.admission import Admission, UnnamedMembers
    from chat.server.assembly import Server
    from chat.server.batch_size import LARGE_BYTES
    from chat.server.certified_names import certified_owner, no_certified_name
    from chat.server.console_log import ConsoleLog
    from chat.server.encoding import decode, key_of
    from chat.server.hub import Hub
    from chat.server.log.base import Entry, LogError
    from chat.server.log_sentences import explain_log_error
    from chat.server.member import Member
    from chat.server.moderator import Show
    from chat.server.notices import notice
    from chat.server.posting import Posting
    from chat.server.proofs import Proofs
    from chat.server.room import is_inbox
    from chat.server.rounds import Rounds
    from chat.server.settings import read_flags
    from chat.server.shutdown import Shutdown
    from chat.server.supervisor import ServerFailure
    from chat.server.visits import Visits
    from chat.server.waiting import first_of, unless

# A write that waits this long has a reader that takes nothing at all: the largest is a batch, which
# takes a tenth of it on a line of 6 kB/s.
STUCK_SECONDS = 60.0
STUCK_CHECK_SECONDS = 5.0
# Between the end of what a client says and its being taken for gone: a lost connection looks like
# a half-close first, for some two milliseconds.
PARTING_SECONDS = 0.05
# How long the readers of a stopping server have for what they are owed.
DRAIN_SECONDS = 2.5
DRAIN_CHECK_SECONDS = 0.02
EXIT_CANNOT_RUN = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 and the number of SIGINT

EOF: Any = grpc.aio.EOF
Context = grpc.aio.ServicerContext[bytes, bytes]  # only a type: it cannot be indexed at run time
_log = logging.getLogger(__name__)


class ChatService(chat_pb2_grpc.ChatServiceServicer):
    """The service of `chat.proto`: a queue for each client, and a broadcast into all of them.

    It gets and gives messages as bytes (`interceptors.SharedBytes`), so that one is encoded once
    for all. `show` is called with a room and what was said there. `admission`: who may come in;
    everybody, where there is none. `proofs`: whose own a name is; nobody's, where there are none.
    `certified_name`: what the client of a call must be called, empty: what it likes.
    `visits`: what comes of each stream is counted there.
    """

    def __init__(
        self,
        hub: Hub,
        show: Show = lambda room, messages: None,
        admission: Admission | None = None,
        proofs: Proofs | None = None,
        certified_name: Callable[[Any], str] = no_certified_name,
        visits: Visits | None = None,
    ) -> None:
        self._hub = hub
        self._visits = visits or Visits()
        self._proofs = proofs
        self._certified_name = certified_name
        self._admission = admission or Admission(sys.maxsize)
        self._unnamed = UnnamedMembers()
        self._posting = Posting(hub, show)
        self._show = show
        self._open_calls = 0
        self._sending: dict[Member, asyncio.Task[Any]] = {}  # the handlers, who write
        self._stuck: set[Member] = set()  # whose handlers are cancelled for that
        self._rounds = Rounds()

    async def Chat(self, request_iterator: object, context: Context) -> None:
        """Serve one client for as long as its stream lives; ends it with OK or with a status."""
        self._open_calls += 1
        try:
            address = address_of(context.peer())
            with await self._admission.place(address):
                try:  # the place is held until the client has taken how its stream ends
                    await self._serve(context, address)
                except ChatError as error:
                    await self._refuse(context, error)
        except ChatError as error:  # there was no place
            await self._refuse(context, error)
        except grpc.aio.BaseError:  # it was aborted, or the client is gone
            raise
        except Exception as error:
            _log.error("the stream of %s failed", context.peer(), exc_info=error)
            await status.abort_unexpected(context)
        finally:
            self._open_calls -= 1

    async def _refuse(self, context: Context, error: ChatError) -> None:
        _note_refusal(context, error.reason)
        await status.abort(context, error, self._hub.streams.lingering)

    async def _serve(self, context: Context, address: str) -> None:
        """Serve one client; raises why it is refused, or why its stream ends before it wants."""
        client = await self._admit(context, address)
        is_lost = True
        try:
            self._visits.come(client)
            await self._greet(client, context)
            with self._receiving(client, context) as receiving:
                await self._send_messages(client, context)
                if receiving.done():
                    receiving.result()
            is_lost = client.error is not None
        finally:
            self._unnamed.discard(client)
            self._hub.leave(client, is_lost)
        if client.error is not None:
            raise client.error.without_frames()  # the member must not hold these frames

    async def _greet(self, client: Member, context: Context) -> None:
        """Send the server's first word: its metadata, which stay nobody's for the stream's life."""
        greeting = self._hub.greeting(client).to_metadata()
        await status.finish(context.send_initial_metadata(greeting))

    def broadcast(self, entries: Sequence[Entry]) -> None:
        """Put each message that the log has committed into the queue of every client of its room.

        The log calls it with every group, in order; then each sender gets its answer.
        """
        for name, room, delivery in self._hub.rooms.committed(entries):
            if room is not None:
                for client, place in room.members.items():
                    client.queue.put(delivery, place)
            if not is_inbox(name):
                # After the send tasks, who are awake by now.
                asyncio.get_running_loop().call_soon(self._show, name, delivery.messages)
        for entry in entries:
            self._hub.answers.take(entry)

    async def _admit(self, context: Context, address: str) -> Member:
        """Return the new member; in a full server one that has never said its name gives way."""
        request = JoinRequest.from_metadata(context.invocation_metadata() or ())
        certified = self._certified_name(context)
        owner = certified_owner(request, certified)
        if not owner and self._proofs is not None:
            owner = self._proofs.owner_of(request)
        account = self._admission.account_of(address)
        while True:
            try:
                client = await self._hub.join(request, account, owner, certified)
            except ChatError as refusal:
                longest = self._unnamed.take_longest() if refusal.reason == "SERVER_FULL" else None
                if longest is None:
                    raise
                longest.close(refusal)
                self._hub.leave(longest)
            else:
                self._unnamed.add(client)
                return client

    @contextmanager
    def _receiving(self, client: Member, context: Context) -> Iterator[asyncio.Task[None]]:
        """Receive what the client says, for a block in which this handler writes to it."""
        receiving = asyncio.create_task(self._receive_messages(client, context), name="receiving")
        self._sending[client] = _current_task()  # in no frame: the task keeps those it ends in
        try:
            yield receiving
        finally:
            del self._sending[client]
            self._stuck.discard(client)
            if not receiving.cancel() and not receiving.cancelled():
                receiving.exception()  # it is known, also where the writing's is raised

    async def _receive_messages(self, client: Member, context: Context) -> None:
        """Post what the client says; a client above its rate is not read from for a while.

        Not reading lets HTTP/2 flow control slow the sender: nothing is lost.
        """
        error = None
        try:
            while not client.is_closing and (raw := await context.read()) is not EOF:
                client.traffic.received_messages += 1
                client.traffic.received_bytes += len(raw)
                if wait_seconds := client.rate_limit.say(len(raw)):
                    await asyncio.sleep(wait_seconds)
                await self._post(client, raw, context)
                await client.queue.wait_answered()
                del raw  # who is silent keeps nothing of what was said
            # A client that vanished looks like one that half-closed, until gRPC cancels the call.
            await asyncio.sleep(PARTING_SECONDS)
        except ChatError as refusal:
            error = refusal.without_frames()
        except Exception:
            client.close()  # so that the stream ends, by this
            raise
        # What it said before is committed, and echoed, before the stream ends.
        await client.wait_committed()
        client.close(error)

    async def _post(self, client: Member, raw: bytes, context: Context) -> None:
        """Post one message. A full client is told of a refusal; a plain one's stream ends by it."""
        message = None
        try:
            message = decode(raw)
            await self._posting.post(client, message)
        except ChatError as refusal:
            if not client.is_full or refusal.reason == "SHUTTING_DOWN":
                raise
            self._visits.refuse_message(refusal.reason)
            _note_refusal(context, refusal.reason)
            key, until = message.key if message else key_of(raw), refusal.details.until
            notice(client, refusal.reason, key, until=until)

    async def _send_messages(self, client: Member, context: Context) -> None:
        """Write all there is, then let the next batch gather (gRPC takes one write at a time)."""
        write, clock = context.write, asyncio.get_running_loop().time
        traffic, told_messages, batch_size = client.traffic, 0, client.replay.batch_size
        try:
            while deliveries := await client.replay.next():
                frames = client.encode(deliveries)
                deliveries.clear()  # who hears nothing more keeps nothing of what was heard either
                begun = self._rounds.begin() if client.wants_batches else 0.0
                while frames:
                    client.writing_since, size_bytes = clock(), len(frames[0])
                    await write(frames.pop(0))
                    if size_bytes > LARGE_BYTES and client.wants_batches:
                        batch_size.note_write(size_bytes, clock() - client.writing_since)
                client.writing_since = None
                client.queue.mark_written()
                self._visits.write_sizes.add(traffic.sent_messages - told_messages)
                told_messages = traffic.sent_messages
                if client.wants_batches and client.queue.is_busy:
                    await self._rounds.rest(begun)
        except ChatError as refusal:
            client.close()
            client.error = refusal.without_frames()
        except asyncio.CancelledError:
            if client not in self._stuck:
                raise

    async def disconnect_stuck_readers(self) -> None:
        """Watch, for as long as the server runs, for readers that take nothing for a minute."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(STUCK_CHECK_SECONDS)
            for client, handler in list(self._sending.items()):
                since = client.writing_since
                if since is not None and clock() - since >= STUCK_SECONDS:
                    self._give_up(client, handler)

    def _give_up(self, client: Member, handler: asyncio.Task[Any]) -> None:
        """End the stream of a client that takes nothing; one that was to end does so as it was."""
        client.close()
        if client.error is None:
            client.error = ChatError("READER_STUCK")
        self._stuck.add(client)
        handler.cancel()

    async def drain(self) -> None:
        """Return when every stream has ended, its status sent, or has had its time for it."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + DRAIN_SECONDS
        while self._open_calls and clock() < deadline:
            await asyncio.sleep(DRAIN_CHECK_SECONDS)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _note_refusal(context: Context, reason: str) -> None:
    """Have a line logged where somebody may have tried to be somebody else."""
    if reason in ("NAME_OWNED", "PROOF_INVALID", "NAME_CERTIFIED", "CERTIFICATE_INVALID"):
        _log.warning("%s was refused: %s", context.peer(), reason)


async def serve(flags: Namespace, console: ConsoleLog, shutdown: Shutdown) -> None:
    """Run a server until a signal ends it, and say on the console what it does.

    Raises `ServerFailure` where it cannot go on.
    """
    shutdown.watch_signals()
    show = () if flags.quiet else (console.show,)
    server = Server(flags, ChatService, *show)
    shutdown.is_patient = server.is_saving
    port = await unless(shutdown.requested, server.start())
    if port is None:  # it was waiting for NATS
        shutdown.begin()
        return
    runtime.tune_gc()
    console.begin(*welcome.sentences(server, flags, port))
    failure = await first_of(shutdown.requested.wait(), server.wait_for_failure())
    console.print(_("The server is stopping..."))
    try:
        await server.stop()
    except LogError as error:
        failure = error
    shutdown.begin()  # also where no signal did: the program itself must end
    if isinstance(failure, LogError):
        raise ServerFailure(explain_log_error(failure)) from failure
    if isinstance(failure, Exception):
        raise failure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; return the exit code (docs/operating.md has the table)."""
    try:
        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # before signals are watched, or after it
        return EXIT_INTERRUPTED


def run(arguments: Sequence[str]) -> int:
    """Run a server as the arguments say, until it is stopped; return the exit code."""
    diagnostics.start()
    flags = read_flags(arguments)
    if (exit_code := errands.run(flags)) is not None:
        return exit_code
    if missing := missing_line(runtime.optional_features()):
        print(missing, file=sys.stderr)
    runtime.raise_file_limit(flags.max_clients)
    runtime.use_batch_scheduling()
    console = ConsoleLog()
    try:
        with event_lines.speaking(flags.log_format, flags.verbose):
            runtime.run(serve(flags, console, Shutdown()))
    except (ConfigError, ServerFailure) as error:
        print(error, file=sys.stderr)
        english.print_to(sys.stderr)
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_CANNOT_RUN
    finally:
        console.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
