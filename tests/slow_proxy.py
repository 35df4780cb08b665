"""A line between two programs that is slow, long or cut: a TCP proxy on loopback.

Knows nothing of what goes over it. Works wherever Python does, without root:

    with slow_proxy(server.address, bytes_per_second=6_000) as line, full_client(line.address, …):
        line.cut()
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

# A slow line hands over so many pieces a second, and has so many on their way: 0.4 s.
PIECES_PER_SECOND = 20
PIECES_UNDER_WAY = 8
# A fast one takes what comes; what is under way then, however long the line is.
FAST_PIECE_BYTES = 64 << 10
FAST_PIECES_UNDER_WAY = 1024
# What the machine keeps for each end of a slow line; the kernel makes the double of it.
SOCKET_BYTES = 4 << 10

Piece = tuple[float, bytes]


def end_loop(loop: asyncio.AbstractEventLoop, writers: Iterable[asyncio.StreamWriter]) -> None:
    """End what still runs in a loop, abort its connections with what they carried, and close it."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    for writer in writers:
        writer.transport.abort()
    loop.run_until_complete(asyncio.sleep(0))  # in which they are closed
    loop.close()


class SlowProxy:
    """A line to `target` (`HOST:PORT`) that begins at `address`, until `close()`.

    `bytes_per_second`: what it carries each way; None: all that comes. `delay_seconds`: how long a
    byte is under way. `connections`: how many were opened; `carried_bytes`: what came through from
    `target`. A thread of its own does the work; any other one may call.
    """

    def __init__(
        self, target: str, bytes_per_second: int | None = None, delay_seconds: float = 0.0
    ) -> None:
        host, _colon, port = target.rpartition(":")
        self._target = (host.strip("[]"), int(port))
        self._rate = bytes_per_second
        self._delay_seconds = delay_seconds
        self.connections = 0
        self.carried_bytes = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._thread = threading.Thread(target=self._run, name="slow-proxy")
        self._thread.start()

    def cut(self) -> None:
        """Carry nothing from now on; nobody is told."""
        self._loop.call_soon_threadsafe(self._is_whole.clear)

    def mend(self) -> None:
        """Carry again what waits, and what comes."""
        self._loop.call_soon_threadsafe(self._is_whole.set)

    def close(self) -> None:
        """Close every connection, and listen no more."""
        self._loop.call_soon_threadsafe(self._ending.cancel)
        self._thread.join()

    # In its own thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._ending = self._loop.create_task(self._serve())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._ending)
        end_loop(self._loop, self._writers)

    async def _serve(self) -> None:
        if self._rate is not None:
            # Before it listens: what is accepted takes it over.
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
        server = await asyncio.start_server(self._accept, sock=self._listening)
        try:
            # Not `serve_forever`: from Python 3.12.1 on that ends only once every connection has.
            await self._loop.create_future()
        finally:
            server.close()

    def _accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self._loop.create_task(self._connect(near, back))
        self._open.add(connection)
        connection.add_done_callback(self._open.discard)

    async def _connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Carry what one connection brings, both ways, until either end closes it."""
        self._writers.add(back)
        with suppress(OSError):
            far, forth = await asyncio.open_connection(sock=await self._reach_target())
            self._writers.add(forth)
            both = [
                asyncio.create_task(self._carry(near, forth)),
                asyncio.create_task(self._carry(far, back, counts=True)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in both:
                    task.cancel()
                forth.close()
        back.close()

    async def _reach_target(self) -> socket.socket:
        family = socket.getaddrinfo(*self._target, type=socket.SOCK_STREAM)[0][0]
        reached = socket.socket(family, socket.SOCK_STREAM)
        if self._rate is not None:
            reached.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
        reached.setblocking(False)
        try:
            await self._loop.sock_connect(reached, self._target)
        except BaseException:
            reached.close()
            raise
        return reached

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: bool = False
    ) -> None:
        limit = FAST_PIECES_UNDER_WAY if self._rate is None else PIECES_UNDER_WAY
        under_way: asyncio.Queue[Piece] = asyncio.Queue(limit)
        handing = asyncio.create_task(self._hand_over(under_way, writer, counts))
        piece_bytes = FAST_PIECE_BYTES if self._rate is None else self._rate // PIECES_PER_SECOND
        try:
            with suppress(ConnectionError):
                while piece := await reader.read(piece_bytes):
                    await under_way.put((self._loop.time() + self._delay_seconds, piece))
                await under_way.join()
        finally:
            handing.cancel()

    async def _hand_over(
        self, under_way: asyncio.Queue[Piece], writer: asyncio.StreamWriter, counts: bool
    ) -> None:
        free_at = 0.0
        while True:
            due, piece = await under_way.get()
            await asyncio.sleep(max(due, free_at) - self._loop.time())
            await self._is_whole.wait()
            free_at = self._loop.time() + (len(piece) / self._rate if self._rate else 0.0)
            writer.write(piece)
            if counts:
                self.carried_bytes += len(piece)
            with suppress(ConnectionError):
                await writer.drain()
            under_way.task_done()


@contextmanager
def slow_proxy(
    target: str, bytes_per_second: int | None = None, delay_seconds: float = 0.0
) -> Iterator[SlowProxy]:
    """Have such a line for the length of the block."""
    proxy = SlowProxy(target, bytes_per_second, delay_seconds)
    try:
        yield proxy
    finally:
        proxy.close()
