"""Where the server listens, for as long as it runs, whatever becomes of gRPC's accept loop.

Knows no chat. One gRPC server accepts calls at a time. Should its accept loop end by an exception
(`acceptor.py` knows the one case that strangers can bring about), its port is closed, but the
streams that are open in it live on: another one takes its place, and the former is kept until its
last stream has ended. Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import grpc

# How often the accept loop is looked at: gRPC tells nobody of its end.
CHECK_SECONDS = 0.1
# How often, and how long in all, another server is tried to be put in place of one that died.
RETRY_SECONDS = 0.2
MAX_RETRIES = 25
# Servers that accept nothing any more and still have streams; beyond these the longest dead one's
# streams are ended, and their clients connect again.
MAX_FORMER = 16
FOREVER_SECONDS = 1e9

_log = logging.getLogger(__name__)


class Listener:
    """Accepts calls on one address, from `start` to `stop`.

    `make_server()` returns a gRPC server with its services, not started; it is called once more for
    each restart. `address`: HOST:PORT, as gRPC takes it; port 0: a free one, the same from then on.
    `make_credentials()` returns what one such server listens with: None for no TLS.
    """

    def __init__(
        self,
        make_server: Callable[[], grpc.aio.Server],
        address: str,
        make_credentials: Callable[[], grpc.ServerCredentials | None] = lambda: None,
    ) -> None:
        self._make_server = make_server
        self._host, _colon, port = address.rpartition(":")
        self._port = int(port)
        self._make_credentials = make_credentials
        self._current: grpc.aio.Server | None = None
        # The longest dead first, each with the task that ends with its last stream.
        self._former: dict[grpc.aio.Server, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._failed = asyncio.Event()

    async def open(self) -> int:
        """Take the port and return it; raises RuntimeError where that cannot be.

        Connections are made from now on, and calls wait for `start`.
        """
        self._current = await self._open()
        return self._port

    async def _open(self) -> grpc.aio.Server:
        server = self._make_server()
        address, credentials = f"{self._host}:{self._port}", self._make_credentials()
        try:
            if credentials is None:
                self._port = server.add_insecure_port(address)
            else:
                self._port = server.add_secure_port(address, credentials)
        except RuntimeError:
            await server.stop(None)
            raise
        return server

    async def start(self) -> None:
        """Accept calls from now on."""
        assert self._current is not None, "open() comes first"
        await self._current.start()
        self._watch = asyncio.create_task(self._keep_accepting(), name="listener")

    async def wait_failed(self) -> None:
        """Return when nothing is accepted any more, and that cannot be mended."""
        await self._failed.wait()

    async def _keep_accepting(self) -> None:
        """Put another server in the place of each whose accept loop has ended."""
        while self._current is not None:
            try:
                await self._current.wait_for_termination(CHECK_SECONDS)
            except Exception as error:  # whatever it was that ended the loop
                _log.error("the accept loop ended (%s); starting another", type(error).__name__)
                await self._replace(self._current)

    async def _replace(self, dead: grpc.aio.Server) -> None:
        self._keep(dead)
        self._current = None
        for _attempt in range(MAX_RETRIES):
            try:
                self._current = await self._open()
                await self._current.start()
                return
            except Exception:  # above all: another program has taken the port
                await asyncio.sleep(RETRY_SECONDS)
        _log.error("no calls can be accepted any more")
        self._failed.set()

    def _keep(self, dead: grpc.aio.Server) -> None:
        """Let the streams of a dead server live on, as far as there is room for it."""
        self._former = {server: task for server, task in self._former.items() if not task.done()}
        self._former[dead] = _stop_in_background(dead, FOREVER_SECONDS)
        for server in list(self._former)[:-MAX_FORMER]:
            self._former[server] = _stop_in_background(server, None)

    async def stop(self, grace_seconds: float) -> None:
        """Accept nothing more; streams that are open have `grace_seconds` to end by themselves."""
        if self._watch is not None:
            self._watch.cancel()
        servers = [*self._former, self._current] if self._current else list(self._former)
        await asyncio.gather(*(_stop(server, grace_seconds) for server in servers))
        await asyncio.gather(*self._former.values())


def _stop_in_background(server: grpc.aio.Server, grace: float | None) -> asyncio.Task[None]:
    return asyncio.create_task(_stop(server, grace), name="former-server")


async def _stop(server: grpc.aio.Server, grace: float | None) -> None:
    """Stop a server, its accept loop dead or alive; `grace`: seconds for its streams."""
    try:
        await server.stop(grace)
    except Exception:  # the first one to stop it gets what ended its accept loop
        await server.stop(grace)
