"""A line between two programs that write to each other in TLS, and all that crosses it in clear.

It has the server's own certificate and key, so that neither notices: what it has recorded is what
the server's owner could read at most, or anybody where there is no TLS.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from slow_proxy import end_loop

PIECE_BYTES = 64 << 10
PROTOCOLS = ["h2"]  # without which gRPC speaks to nobody (RFC 7301)


class TlsRecorder:
    """A line to `target` (`HOST:PORT`) that begins at `address`, until `close()`.

    `cert`, `key`: paths, in PEM. A thread of its own does the work; `recorded` is for any other.
    """

    def __init__(self, target: str, cert: str, key: str) -> None:
        host, _colon, self._port = target.rpartition(":")
        self._host = host.strip("[]")
        self._ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ours.load_cert_chain(cert, key)
        self._theirs = ssl.create_default_context(cafile=cert)
        for context in (self._ours, self._theirs):
            context.set_alpn_protocols(PROTOCOLS)
        self._pieces: list[bytes] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._is_listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tls-recorder")
        self._thread.start()
        self._is_listening.wait()

    @property
    def recorded(self) -> bytes:
        """All that crossed the line so far, in both directions."""
        return b"".join(list(self._pieces))

    def close(self) -> None:
        """Close every connection, and listen no more."""
        self._loop.call_soon_threadsafe(self._ending.cancel)
        self._thread.join()

    # In its own thread.

    def _run(self) -> None:
        self._ending = self._loop.create_task(self._serve())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._ending)
        end_loop(self._loop, self._writers)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._carry, "localhost", 0, ssl=self._ours)
        self.address = f"localhost:{server.sockets[0].getsockname()[1]}"
        self._is_listening.set()
        try:
            await self._loop.create_future()
        finally:
            server.close()

    async def _carry(self, here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            self._writers.append(back)
            there, on = await asyncio.open_connection(self._host, self._port, ssl=self._theirs)
            self._writers.append(on)
            await asyncio.gather(self._pump(here, on), self._pump(there, back))

    async def _pump(self, source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await source.read(PIECE_BYTES):
                self._pieces.append(piece)
                drain.write(piece)
                await drain.drain()
        drain.close()


@contextmanager
def tls_recorder(target: str, cert: str, key: str) -> Iterator[TlsRecorder]:
    """Record a line for the length of the block."""
    line = TlsRecorder(target, cert, key)
    try:
        yield line
    finally:
        line.close()
