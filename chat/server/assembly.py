"""A server put together: the log, the rooms and gRPC around the service that `server.py` has.

Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import grpc

import chat_pb2
import chat_pb2_grpc
from chat.cli.i18n import _
from chat.protocol.errors import ConfigError
from chat.server import event_lines, interceptors, log_care, memory, runtime
from chat.server.acceptor import make_server
from chat.server.address import with_port
from chat.server.admission import Admission
from chat.server.audit import Trail
from chat.server.discovery import Announcement
from chat.server.encryption import Encryption
from chat.server.grpc_options import server_options
from chat.server.hub import Hub
from chat.server.listener import Listener
from chat.server.log.base import Entry, LogError, Problem, ServedLog
from chat.server.log.sqlite import SqliteLog
from chat.server.log_homes import open_home, tell_cluster
from chat.server.log_sentences import explain_log_error
from chat.server.metrics_server import MetricsServer
from chat.server.moderator import Show
from chat.server.operators import Operators
from chat.server.other_calls import OtherCalls
from chat.server.other_servers import OtherServers
from chat.server.proofs import Proofs
from chat.server.reload import Reloader
from chat.server.shared_port import SharedPort, check_flags
from chat.server.snapshot import Snapshot, take_snapshot
from chat.server.standard_services import StandardServices
from chat.server.supervisor import ServerFailure, Supervisor
from chat.server.token_check import token_checks
from chat.server.visits import Visits
from chat.server.watching import Watching

SERVICE = chat_pb2.DESCRIPTOR.services_by_name["ChatService"].full_name
METHOD = f"/{SERVICE}/Chat"

# How long a stopping server waits for what is on its way to the disk.
COMMIT_SECONDS = 1.0
# And gRPC, for the streams that have not ended by the time that they have for it.
STOP_SECONDS = 0.3


class Service(Protocol):
    """The service of `chat.proto`, as `server.ChatService` has it."""

    def broadcast(self, entries: Sequence[Entry]) -> None:
        """Put each message that the log has committed where it belongs."""

    async def disconnect_stuck_readers(self) -> None:
        """Watch for readers that take nothing, for as long as the server runs."""

    async def drain(self) -> None:
        """Return when every stream has ended, or has had its time for it."""


MakeService = Callable[[Hub, Show, Admission, Proofs | None, Callable[[Any], str], Visits], Service]


class Server:
    """A server, from `start` to `stop`.

    `make_service`: makes what serves the streams. `show`: called with a room and what was said
    there. `open_log(path, retain_days)` opens a log of this server's own. Raises `ConfigError`
    where settings cannot work.
    """

    def __init__(
        self,
        flags: Namespace,
        make_service: MakeService,
        show: Show = lambda room, messages: None,
        open_log: Callable[[str, float], ServedLog] = SqliteLog,
    ) -> None:
        check_flags(flags)
        self._flags = flags
        self._shared_port = SharedPort(flags.host, flags.port)
        self._visits = Visits(event_lines.tell)
        self._announcement = Announcement(flags.announce, lambda: len(self._hub.directory))
        self._metrics = MetricsServer(flags.metrics_port, self._take_snapshot)
        self._reloader = Reloader()  # of the files that the flags name
        self._admission = Admission(flags.max_clients, flags.max_per_address)
        checks = token_checks(flags.token_file, self._admission.take_turn, self._reloader)
        self._asks_for_token = bool(checks)
        self._interceptors = self._make_interceptors(checks)
        self._encryption = Encryption(flags, self._reloader)
        self._operators = Operators(flags.operators, self._encryption.owns_names, self._reloader)
        self._trail = Trail(flags.audit) if flags.audit else None
        self._log, self._neighbours = open_home(flags, open_log)
        try:
            self._encryption.complete()
        except ConfigError:
            self._log.abandon()
            raise
        self._hub = self._make_hub()
        self._service = make_service(
            self._hub,
            show,
            self._admission,
            self._encryption.proofs(),
            self._encryption.name_of,
            self._visits,
        )
        self._others = StandardServices([SERVICE])
        address = with_port(flags.host, flags.port)
        self._listener = Listener(self._make_grpc_server, address, self._encryption.credentials)
        self._supervisor = Supervisor()
        self._trouble: LogError | None = None
        self._is_serving = False  # or about to
        self._other_servers = OtherServers(self._hub, show)
        self._log.listen(self._other_servers.take_record, self._see_rewound)

    def _make_interceptors(
        self, checks: Sequence[grpc.aio.ServerInterceptor]
    ) -> list[grpc.aio.ServerInterceptor]:
        """Return what each call goes through, the outermost first."""
        take_turn = self._admission.take_turn
        return [
            Watching(self._visits),
            *checks,
            interceptors.MetadataCheck(take_turn),
            OtherCalls(METHOD, take_turn),
            interceptors.SharedBytes(METHOD),
        ]

    def _make_hub(self) -> Hub:
        """Return the hub of this log, which hears of the other servers."""
        flags = self._flags
        hub = Hub(
            self._log,
            flags.max_clients,
            flags.rate,
            max_per_address=flags.max_per_address,
            owns_names=self._encryption.owns_names,
            neighbours=self._neighbours,
        )
        self._neighbours.attach(hub)
        if self._trail is not None:
            hub.moderation.trail = self._trail.note
        return hub

    def _make_grpc_server(self) -> grpc.aio.Server:
        """Return a server of gRPC with all services, each call through the interceptors."""
        options = server_options(self._flags.max_clients, self._flags.share_port)
        server = make_server(options, self._interceptors)
        register: Any = chat_pb2_grpc.add_ChatServiceServicer_to_server  # generated, without types
        register(self._service, server)
        self._others.add_to(server)
        return server

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, in hex digits; empty without TLS."""
        certificate = self._encryption.certificate
        return certificate.fingerprint if certificate is not None else ""

    @property
    def client_flags(self) -> str:
        """What a client must be given beside the address: each flag with a space before it."""
        names = ["--tls-cert", "--tls-key"] if self._flags.tls_client_ca else []
        names += ["--token-file"] if self._asks_for_token else []
        files = "".join(f" {name} {_('FILE')}" for name in names)
        return (" --tls" if self._encryption.certificate else "") + files

    @property
    def has_bare_token(self) -> bool:
        """Whether a client must send a token, and has no TLS to send it by."""
        return self._asks_for_token and self._encryption.certificate is None

    async def start(self) -> int:
        """Listen, and return the port; before that, wait for the log where it is elsewhere."""
        await self._open_log()
        port = await self._open_ports()
        try:
            await self._others.set_serving(True)
            self._log.start(self._service.broadcast, self._see_trouble)
            await self._other_servers.read(self._hub.start)
        except LogError as error:
            self._metrics.close()
            await self._listener.stop(0)
            self._shared_port.close()
            await self._close_log()
            raise ConfigError(explain_log_error(error)) from error
        self._operators.appoint(self._hub)
        await self._listener.start()
        self._metrics.start()
        has_tls = self._encryption.certificate is not None
        self._announcement.start(self._flags.host, port, has_tls)
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
            self._is_serving = True
        except BaseException as error:
            await self._close_log()
            if isinstance(error, LogError):
                raise ConfigError(explain_log_error(error)) from error
            raise

    async def _open_ports(self) -> int:
        """Take the port, which is returned, and that of the metrics. Raises `ConfigError`."""
        try:
            self._metrics.open()
            if self._flags.share_port:
                self._shared_port.claim(self._log.epoch)
            return await self._listener.open()
        except (ConfigError, RuntimeError) as error:
            self._metrics.close()
            self._shared_port.close()
            await self._close_log()
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(self._explain_bind_error(self._flags.port)) from error

    def _explain_bind_error(self, port: int) -> str:
        flags = self._flags
        return runtime.explain_bind_error(flags.host, port, is_shared=flags.share_port)

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
        self._supervisor.fail(ServerFailure(self._explain_bind_error(port)))

    @property
    def unguarded_names(self) -> int:
        """How many names belong to somebody, while this server lets anybody have them."""
        return self._hub.owners.ignored

    def is_saving(self) -> bool:
        """Say whether what a removed log held is being saved just now. In any thread."""
        return self._log.is_saving

    def _see_trouble(self, trouble: LogError | None) -> None:
        """The log can be written no more, or again: say so to whoever watches over the server."""
        if reason := tell_cluster(trouble, self._trouble, self._is_serving):
            self._hub.tell_all(reason)
        log_care.tell_silence(trouble, self._trouble)
        self._hub.is_disk_silent = trouble is not None and trouble.problem is Problem.SILENT
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
        is_lost = self._trouble is not None and self._trouble.problem.has_taken_log
        self._announcement.begin_close()
        self._metrics.close()
        await self._others.stop()
        self._admission.close()
        self._log.hurry(COMMIT_SECONDS)
        await self._hub.stop("LOG_LOST" if is_lost else "SHUTTING_DOWN")
        await self._service.drain()
        await self._supervisor.stop()
        # The streams have ended: no name is held, or let go, any more.
        await asyncio.gather(self._listener.stop(STOP_SECONDS), self._neighbours.close())
        self._shared_port.close()
        self._announcement.close()
        if self._trail is not None:
            self._trail.close()
        await self._log.close()
