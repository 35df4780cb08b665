"""The chat server. Run it: `python server.py`.

The story: every client has a queue. `ChatService.Chat` serves one client for as long as its stream
lives: one task receives what the client says and posts it to the log, another sends what is in the
client's queue. When the log has a message on disk, `ChatService.broadcast` puts it into the queue
of every client of its room. The parts are in `chat/server`; everything here runs in the event loop.
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
    from collections.abc import Callable, Coroutine, Sequence
    from contextlib import suppress
    from typing import Any

    import grpc

    import chat_pb2
    import chat_pb2_grpc
    from chat.cli import credentials
    from chat.cli.dependencies import TLS_MODULES, check_installed, missing_line
    from chat.cli.i18n import _, _n
    from chat.protocol.errors import ChatError, ConfigError, UsageError
    from chat.protocol.fingerprints import in_rows
    from chat.protocol.metadata import JoinRequest
    from chat.server import (
        diagnostics,
        event_lines,
        interceptors,
        log_care,
        memory,
        name_care,
        runtime,
        status,
    )
    from chat.server.acceptor import make_server
    from chat.server.address import address_of, with_port
    from chat.server.admission import Admission, UnnamedMembers
    from chat.server.audit import Trail
    from chat.server.certificate import ServerCertificate, given_certificate
    from chat.server.certified_names import certified_name, certified_owner, no_certified_name
    from chat.server.console_log import ConsoleLog
    from chat.server.discovery import Announcement
    from chat.server.encoding import decode, key_of
    from chat.server.grpc_options import server_options
    from chat.server.hub import Hub
    from chat.server.listener import Listener
    from chat.server.log.base import Entry, LogError, ServedLog
    from chat.server.log.sqlite import SqliteLog
    from chat.server.log_homes import open_cluster, tell_cluster
    from chat.server.log_sentences import explain_log_error
    from chat.server.member import Member
    from chat.server.metrics_server import MetricsServer
    from chat.server.neighbours import Alone, Neighbours
    from chat.server.notices import notice
    from chat.server.operators import Operators
    from chat.server.other_calls import OtherCalls
    from chat.server.other_servers import OtherServers
    from chat.server.posting import Posting
    from chat.server.proofs import Proofs
    from chat.server.reload import Reloader, Watched
    from chat.server.room import is_inbox
    from chat.server.settings import ANY_HOST, owns_names, read_flags
    from chat.server.shutdown import Shutdown
    from chat.server.snapshot import Snapshot, take_snapshot
    from chat.server.standard_services import StandardServices
    from chat.server.supervisor import ServerFailure, Supervisor
    from chat.server.token_check import token_checks
    from chat.server.visits import Visits
    from chat.server.watching import Watching

SERVICE = chat_pb2.DESCRIPTOR.services_by_name["ChatService"].full_name
METHOD = f"/{SERVICE}/Chat"

# A write that waits this long has a reader that takes nothing at all: the largest is a batch, which
# takes a tenth of it on a line of 6 kB/s.
STUCK_SECONDS = 60.0
STUCK_CHECK_SECONDS = 5.0
# To a client that takes batches, and for whom more has come while it was written to, writes are
# delayed by a multiple of what the last one took: under load more gathers meanwhile. When idle
# nothing waits.
COALESCE_FACTOR = 10.0
MAX_COALESCE_SECONDS = 0.1
# Between the end of what a client says and its being taken for gone: a lost connection looks like
# a half-close first, for some two milliseconds.
PARTING_SECONDS = 0.05
# How long a stopping server waits for what is on its way to the disk.
COMMIT_SECONDS = 1.0
# And for its readers to take what they are owed.
DRAIN_SECONDS = 2.5
DRAIN_CHECK_SECONDS = 0.02
# And gRPC, for the streams that have not ended by then.
STOP_SECONDS = 0.5

EXIT_CANNOT_RUN = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 and the number of SIGINT

EOF: Any = grpc.aio.EOF
Context = grpc.aio.ServicerContext[bytes, bytes]  # only a type: it cannot be indexed at run time
_log = logging.getLogger(__name__)

Show = Callable[[str, Sequence[chat_pb2.Message]], None]


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
        self._sending: dict[Member, asyncio.Task[None]] = {}

    async def Chat(self, request_iterator: object, context: Context) -> None:
        """Serve one client for as long as its stream lives; ends it with OK or with a status."""
        self._open_calls += 1
        try:
            address = address_of(context.peer())
            async with self._admission.place(address):
                await self._serve(context, address)
        except ChatError as error:
            _note_refusal(context, error.reason)
            await status.abort(context, error)
        except grpc.aio.BaseError:  # it was aborted, or the client is gone
            raise
        except Exception as error:
            _log.error("the stream of %s failed", context.peer(), exc_info=error)
            await status.abort_unexpected(context)
        finally:
            self._open_calls -= 1

    async def _serve(self, context: Context, address: str) -> None:
        """Serve one client; raises why it is refused, or why its stream ends before it wants."""
        client = await self._admit(context, address)
        is_lost = True
        try:
            self._visits.come(client)
            greeting = self._hub.greeting(client).to_metadata()
            await status.finish(context.send_initial_metadata(greeting))
            receiving = asyncio.create_task(self._receive_messages(client, context))
            sending = asyncio.create_task(self._send_messages(client, context))
            await self._until_all_is_sent(client, receiving, sending)
            is_lost = client.error is not None
        finally:
            self._unnamed.discard(client)
            self._hub.leave(client, is_lost)
        if client.error is not None:
            raise client.error.without_frames()  # the member must not hold these frames

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
            if entry.origin is not None:  # else it was said at another server
                self._hub.answers.answer(entry)

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
            # A client that vanished looks like one that half-closed, until gRPC cancels the call.
            await asyncio.sleep(PARTING_SECONDS)
        except ChatError as refusal:
            error = refusal.without_frames()
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
        traffic, told_messages = client.traffic, 0
        try:
            while frames := await client.next_frames():
                self._visits.write_sizes.add(traffic.sent_messages - told_messages)
                told_messages = traffic.sent_messages
                started = clock()
                for frame in frames:
                    client.writing_since = clock()
                    await write(frame)
                    traffic.sent_bytes += len(frame)
                client.writing_since = None
                client.queue.mark_written()
                if client.wants_batches and client.queue.has_new_deliveries:
                    took_seconds = clock() - started
                    await asyncio.sleep(min(COALESCE_FACTOR * took_seconds, MAX_COALESCE_SECONDS))
        except ChatError as refusal:
            client.close()
            client.error = refusal.without_frames()

    async def _until_all_is_sent(
        self, client: Member, receiving: asyncio.Task[None], sending: asyncio.Task[None]
    ) -> None:
        """Return when all that the client is owed was written; raises what either task raised."""
        self._sending[client] = sending
        try:
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                receiving.result()  # one that failed ends the stream at once
                await asyncio.wait({sending})
            if not sending.cancelled():
                sending.result()
        finally:
            del self._sending[client]
            receiving.cancel()
            sending.cancel()

    async def disconnect_stuck_readers(self) -> None:
        """Watch, for as long as the server runs, for readers that take nothing for a minute."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(STUCK_CHECK_SECONDS)
            for client, sending in list(self._sending.items()):
                since = client.writing_since
                if since is not None and clock() - since >= STUCK_SECONDS:
                    client.close()
                    client.error = ChatError("READER_STUCK")
                    sending.cancel()

    async def drain(self) -> None:
        """Return when every stream has ended, its status sent, or has had its time for it."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + DRAIN_SECONDS
        while self._open_calls and clock() < deadline:
            await asyncio.sleep(DRAIN_CHECK_SECONDS)


def _note_refusal(context: Context, reason: str) -> None:
    """Have a line logged where somebody may have tried to be somebody else."""
    if reason in ("NAME_OWNED", "PROOF_INVALID", "NAME_CERTIFIED", "CERTIFICATE_INVALID"):
        _log.warning("%s was refused: %s", context.peer(), reason)


class Server:
    """The log, the rooms and the gRPC server around them, from `start` to `stop`.

    `certificate`: what it listens with; None without TLS.
    `open_log(path, retain_days)` opens a log of this server's own. Raises `ConfigError` where
    settings cannot work.
    """

    def __init__(
        self,
        flags: Namespace,
        show: Show = lambda room, messages: None,
        open_log: Callable[[str, float], ServedLog] = SqliteLog,
    ) -> None:
        self._flags = flags
        self._visits = Visits(event_lines.tell)
        self._announcement = Announcement(flags.announce, lambda: len(self._hub.directory))
        self._metrics = MetricsServer(flags.metrics_port, self._take_snapshot)
        self._reloader = Reloader()  # of the files that the flags name
        per_address = flags.max_per_address
        self._admission = Admission(flags.max_clients, per_address)
        take_turn = self._admission.take_turn
        checks = token_checks(flags.token_file, take_turn, self._reloader)
        self._asks_for_token = bool(checks)
        if flags.tls or flags.tls_cert or flags.tls_key or flags.tls_client_ca:
            check_installed(TLS_MODULES, "TLS")
        authorities = self._client_authorities()
        given = given_certificate(flags.tls_cert, flags.tls_key, authorities)
        has_owners = owns_names(flags.own_names, flags.tls or given is not None)
        self._operators = Operators(flags.operators, has_owners, self._reloader)
        self._trail = Trail(flags.audit) if flags.audit else None
        self._neighbours: Neighbours = Alone()
        try:
            if flags.cluster:
                self._log, self._neighbours = open_cluster(flags)
            else:
                self._log = open_log(flags.db, flags.retain)
        except LogError as error:
            raise ConfigError(explain_log_error(error)) from error
        self.certificate = given or (self._make_certificate(authorities) if flags.tls else None)
        if self.certificate is not None:
            self._reloader.add(self.certificate.watched)
        # What each call goes through, the outermost first.
        self._interceptors: list[grpc.aio.ServerInterceptor] = [
            Watching(self._visits),
            *checks,
            interceptors.MetadataCheck(take_turn),
            OtherCalls(METHOD, take_turn),
            interceptors.SharedBytes(METHOD),
        ]
        self._hub = Hub(
            self._log,
            flags.max_clients,
            flags.rate,
            max_per_address=per_address,
            owns_names=has_owners,
            neighbours=self._neighbours,
        )
        self._neighbours.attach(self._hub)
        if self._trail is not None:
            self._hub.moderation.trail = self._trail.note
        proofs = Proofs(self.certificate.fingerprints) if self.certificate and has_owners else None
        naming = certified_name if authorities else no_certified_name
        self._service = ChatService(self._hub, show, self._admission, proofs, naming, self._visits)
        self._others = StandardServices([SERVICE])
        address = with_port(flags.host, flags.port)
        self._listener = Listener(self._make_grpc_server, address, self._make_credentials)
        self._supervisor = Supervisor()
        self._trouble: LogError | None = None
        self._other_servers = OtherServers(self._hub)
        self._log.listen(self._other_servers.take_record, self._see_rewound)

    def _make_certificate(self, authorities: Watched[bytes] | None) -> ServerCertificate:
        """Return the certificate beside the log, made if there is none."""
        from chat.server.self_made import make_beside  # cryptography: only where there is TLS

        try:
            return ServerCertificate(*make_beside(self._flags.db), authorities)
        except ConfigError:
            self._log.abandon()
            raise

    def _client_authorities(self) -> Watched[bytes] | None:
        """Return those that each client must have a certificate of; None: it needs none."""
        flags = self._flags
        if flags.tls_client_ca is None:
            return None
        if not (flags.tls or flags.tls_cert):
            raise UsageError(
                _("--tls-client-ca needs TLS: add --tls, or --tls-cert and --tls-key.")
            )
        authorities = Watched(credentials.read_authorities, flags.tls_client_ca)
        self._reloader.add(authorities)
        return authorities

    def _make_credentials(self) -> grpc.ServerCredentials | None:
        return self.certificate.credentials() if self.certificate else None

    def _make_grpc_server(self) -> grpc.aio.Server:
        """Return a server of gRPC with all services, each call through the interceptors."""
        server = make_server(server_options(self._flags.max_clients), self._interceptors)
        register: Any = chat_pb2_grpc.add_ChatServiceServicer_to_server  # generated, without types
        register(self._service, server)
        self._others.add_to(server)
        return server

    @property
    def client_flags(self) -> str:
        """What a client must be given beside the address: each flag with a space before it."""
        names = ["--tls-cert", "--tls-key"] if self._flags.tls_client_ca else []
        names += ["--token-file"] if self._asks_for_token else []
        files = "".join(f" {name} {_('FILE')}" for name in names)
        return (" --tls" if self.certificate else "") + files

    @property
    def has_bare_token(self) -> bool:
        """Whether a client must send a token, and has no TLS to send it by."""
        return self._asks_for_token and self.certificate is None

    async def start(self) -> int:
        """Listen, and return the port; before that, wait for the log where it is elsewhere."""
        await self._open_log()
        port = await self._open_ports()
        try:
            await self._others.set_serving(True)
            self._log.start(self._service.broadcast, self._see_trouble)
            await self._hub.start()
        except LogError as error:
            self._metrics.close()
            await self._listener.stop(0)
            await self._close_log()
            raise ConfigError(explain_log_error(error)) from error
        self._operators.appoint(self._hub)
        await self._listener.start()
        self._metrics.start()
        self._announcement.start(self._flags.host, port, self.certificate is not None)
        self._supervisor.run(self._watch_port(port), "port")
        self._supervisor.run(self._service.disconnect_stuck_readers(), "stuck-readers")
        self._supervisor.run(memory.give_back_freed(), "memory")
        self._supervisor.run(self._hub.owners.watch_freed(), "freed-names")
        self._reloader.watch_signal()
        self._supervisor.run(self._reloader.run(), "reload")
        if not self._log.is_clean:
            self._supervisor.run(log_care.look_through(self._log), "log-check")
        return port

    async def _open_log(self) -> None:
        """Wait until all of the log can be read here. Raises `ConfigError`."""
        try:
            await self._log.open(self._see_trouble)
            await self._neighbours.open()
        except BaseException as error:
            await self._close_log()
            if isinstance(error, LogError):
                raise ConfigError(explain_log_error(error)) from error
            raise

    async def _open_ports(self) -> int:
        """Take the port, which is returned, and that of the metrics. Raises `ConfigError`."""
        try:
            self._metrics.open()
            return await self._listener.open()
        except (ConfigError, RuntimeError) as error:
            self._metrics.close()
            await self._close_log()
            if isinstance(error, ConfigError):
                raise
            text = runtime.explain_bind_error(self._flags.host, self._flags.port)
            raise ConfigError(text) from error

    async def _close_log(self) -> None:
        """Release the log of a server that does not come to serve anybody."""
        self._log.hurry(0)
        await self._neighbours.close()
        with suppress(LogError):
            await self._log.close()

    def notes(self) -> list[str]:
        """Return what the operator should know of a server that has started, in sentences."""
        url = self._metrics.url
        return [_("Metrics: {url}").format(url=url)] if url else []

    async def _take_snapshot(self) -> Snapshot:
        trouble = "" if self._trouble is None else self._trouble.problem.name
        return await take_snapshot(self._hub, self._visits, self._flags.max_clients, trouble)

    async def wait_for_failure(self) -> Exception:
        """Return why the server cannot go on, once it cannot."""
        return await self._supervisor.wait_for_failure()

    async def _watch_port(self, port: int) -> None:
        """Wait for the port to be lost for good: nobody could join any more."""
        await self._listener.wait_failed()
        text = runtime.explain_bind_error(self._flags.host, port)
        self._supervisor.fail(ServerFailure(text))

    @property
    def unguarded_names(self) -> int:
        """How many names belong to somebody, while this server lets anybody have them."""
        return self._hub.owners.ignored

    def is_saving(self) -> bool:
        """Say whether what a removed log held is being saved just now. In any thread."""
        return self._log.is_saving

    def _see_trouble(self, trouble: LogError | None) -> None:
        """The log can be written no more, or again: say so to whoever watches over the server."""
        tell_cluster(trouble, self._trouble)
        self._trouble = trouble
        self._supervisor.run(self._others.set_serving(trouble is None), "health")
        if trouble is not None and trouble.problem.is_final:
            self._supervisor.fail(trouble)

    def _see_rewound(self) -> None:
        """What several servers share was put back to an older copy."""
        self._supervisor.run(self._other_servers.begin_anew(), "begin-anew")

    async def stop(self) -> None:
        """Accept nothing new, deliver what was accepted, end every stream; under five seconds.

        Raises `LogError` where not all that was accepted is in the log's file.
        """
        is_lost = self._trouble is not None and self._trouble.problem.is_final
        self._announcement.begin_close()
        self._metrics.close()
        await self._others.stop()
        self._admission.close()
        self._log.hurry(COMMIT_SECONDS)
        await self._hub.stop("LOG_LOST" if is_lost else "SHUTTING_DOWN")
        await self._service.drain()
        await self._supervisor.stop()
        await self._listener.stop(STOP_SECONDS)
        self._announcement.close()
        if self._trail is not None:
            self._trail.close()
        await self._neighbours.close()
        await self._log.close()


async def serve(flags: Namespace, console: ConsoleLog, shutdown: Shutdown) -> None:
    """Run a server until a signal ends it, and say on the console what it does.

    Raises `ServerFailure` where it cannot go on.
    """
    shutdown.watch_signals()
    server = Server(flags) if flags.quiet else Server(flags, console.show)
    shutdown.is_patient = server.is_saving
    port = await _unless(shutdown.requested, server.start())
    if port is None:  # it was waiting for NATS
        shutdown.begin()
        return
    runtime.tune_gc()
    console.print(_("gRPC server running on port {port}...").format(port=port))
    if server.certificate is not None:
        console.print(_("Fingerprint of the certificate (SHA-256):"))
        console.print(*in_rows(server.certificate.fingerprint).split("\n"))
    if server.has_bare_token and not credentials.is_loopback(flags.host):
        text = _(
            "A token would cross the network in the clear: clients on other machines do not send it"
            " without TLS. Add --tls."
        )
        console.print(text)
    elif flags.host in ANY_HOST:
        for line in runtime.invitations(port, server.client_flags):
            console.print(line)
    if count := server.unguarded_names:
        text = _n(
            "{} name belongs to somebody, but without {flag} anybody can use it.",
            "{} names belong to somebody, but without {flag} anybody can use them.",
            count,
        )
        console.print(text.format(count, flag="--own-names" if server.certificate else "--tls"))
    console.print(*server.notes())
    failure = await _first_of(shutdown.requested.wait(), server.wait_for_failure())
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


async def _first_of(*events: Coroutine[Any, Any, object]) -> object:
    """Return what the first of these returns, and wait no more for the others."""
    tasks = [asyncio.ensure_future(event) for event in events]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    return done.pop().result()


async def _unless(event: asyncio.Event, starting: Coroutine[Any, Any, int]) -> int | None:
    """Return what `starting` returns, or None where the event comes first, and ends it."""
    task = asyncio.ensure_future(starting)
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait({task})
    return None


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
    if flags.backup is not None:
        return log_care.back_up(flags.db, flags.backup)
    if flags.check:
        return log_care.check(flags.db)
    if flags.names:
        return name_care.list_names(flags.db)
    if flags.free is not None:
        return name_care.free(flags.db, flags.free)
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
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_CANNOT_RUN
    finally:
        console.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
