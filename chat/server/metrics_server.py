"""Serves the metrics over HTTP, in a thread with an event loop of its own.

Knows HTTP as far as scrapers need it (RFC 9112): one request a connection, `GET /metrics`. Whatever
scrapers do, they cost no more than the limits below, and the chat's own loop no more than a
snapshot a second.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from chat.cli.dependencies import python
from chat.cli.i18n import _
from chat.protocol.errors import ConfigError
from chat.server import runtime
from chat.server.snapshot import Snapshot
from chat.server.waiting import within

PATH = "/metrics"
# One connection, from its beginning to its end, whatever its other side does.
ANSWER_SECONDS = 5.0
# So many at a time; more are closed as they come.
MAX_CONNECTIONS = 16
MAX_REQUEST_BYTES = 8 << 10
# A snapshot is as good for whoever asks so soon after.
FRESH_SECONDS = 1.0
# How long the chat's own loop may take for it: less than that is left for the answer.
SNAPSHOT_SECONDS = 3.0
INSTALL = "-m pip install prometheus_client"
TEXT = "text/plain; charset=utf-8"

Address = tuple[str, int]
TakeSnapshot = Callable[[], Coroutine[Any, Any, Snapshot]]
Answer = tuple[str, bytes, str]  # status, body, content type


class MetricsServer:
    """Serves what `take_snapshot` returns in the event loop in which `start()` is called.

    `address`: where; None: nowhere, and nothing of it happens. Raises `ConfigError` where the
    package for it is missing. `url`: where the metrics are, once the port is open.

    `open()`, `start()` and `close()` are called there; all that begins with `_serve` runs in the
    thread, and so does what it calls.
    """

    def __init__(self, address: Address | None, take_snapshot: TakeSnapshot) -> None:
        self._address = address
        self._take_snapshot = take_snapshot
        self.url = ""
        if address is not None:
            self._render = _renderer()
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._open_connections = 0
        self._taking = asyncio.Lock()
        self._taken: tuple[float, Snapshot] | None = None  # when, in seconds, and what
        self._is_over = asyncio.Event()

    def open(self) -> None:
        """Take the port. Raises `ConfigError`."""
        if self._address is None:
            return
        host, port = self._address
        try:
            family, *_kind, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._socket = socket.create_server(address[:2], family=family)
        except OSError as error:
            flag = "--metrics-port"
            raise ConfigError(runtime.explain_bind_error(host, port, flag, flag)) from error
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}"

    def start(self) -> None:
        """Answer from now on."""
        if self._socket is None:
            return
        self._loop = asyncio.get_running_loop()
        self._own_loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nothing more, and end the thread: that takes an instant, whatever scrapers do."""
        if self._thread is not None:
            self._own_loop.call_soon_threadsafe(self._is_over.set)
            self._thread.join()
            self._thread = None
        elif self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        try:
            self._own_loop.run_until_complete(self._serve())
        finally:
            self._own_loop.close()

    async def _serve(self) -> None:
        accept = self._serve_connection
        server = await asyncio.start_server(accept, sock=self._socket, limit=MAX_REQUEST_BYTES)
        await self._is_over.wait()
        server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        if connections:
            await asyncio.wait(connections)

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request, and see to it that the connection ends."""
        self._open_connections += 1
        try:
            if self._open_connections <= MAX_CONNECTIONS:
                # Cancelled at the end; asyncio would have a traceback for that (before 3.12).
                with suppress(OSError, asyncio.TimeoutError, asyncio.CancelledError):
                    await asyncio.wait_for(self._converse(reader, writer), ANSWER_SECONDS)
        finally:
            self._open_connections -= 1
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        status, body, content_type = await self._answer(request.decode("latin-1"))
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode("latin-1") + body)
        writer.close()
        await writer.wait_closed()

    async def _answer(self, request: str) -> Answer:
        line, *headers = request.split("\r\n")
        method, _space, rest = line.partition(" ")
        if method != "GET":
            return "405 Method Not Allowed", b"Only GET is answered.\n", TEXT
        if rest.partition(" ")[0].partition("?")[0] != PATH:
            return "404 Not Found", f"The metrics are at {PATH}.\n".encode(), TEXT
        try:
            snapshot = await within(SNAPSHOT_SECONDS, self._fresh_snapshot())
        except asyncio.TimeoutError:
            return "503 Service Unavailable", b"The server is too busy to answer.\n", TEXT
        return "200 OK", *self._render(snapshot, _accepted(headers))

    async def _fresh_snapshot(self) -> Snapshot:
        """Return a snapshot of now, or of a moment ago: so many scrapers cost what one does."""
        async with self._taking:
            now = self._own_loop.time()
            if self._taken is None or now - self._taken[0] >= FRESH_SECONDS:
                taking = asyncio.run_coroutine_threadsafe(self._take_snapshot(), self._loop)
                self._taken = now, await asyncio.wrap_future(taking)
            return self._taken[1]


def _accepted(headers: list[str]) -> str:
    """Return the value of the header Accept, empty where there is none."""
    for header in headers:
        name, _colon, value = header.partition(":")
        if name.strip().lower() == "accept":
            return value.strip()
    return ""


def _renderer() -> Callable[[Snapshot, str], tuple[bytes, str]]:
    """Return what makes a page of a snapshot; raises `ConfigError` without the package."""
    try:
        from chat.server.metrics import Page
    except ModuleNotFoundError as error:
        text = _("--metrics-port needs a package that is not installed. Type: {command}")
        raise ConfigError(text.format(command=python(INSTALL))) from error
    return Page().render
