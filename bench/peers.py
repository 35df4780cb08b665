"""The least that has to be paid, to hold the chat against: gRPC's own part, and a commit.

Run: `python bench/peers.py echo`, `fan-out`, `relay`, `greet`, each with a port where it is to be a
certain one, or `commit DIRECTORY`. The servers ask of the machine what the chat server asks
(`runtime.py`), and do nothing but what their name says.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import chat_pb2
from chat.server import runtime, send_queue
from chat.server.assembly import SERVICE
from chat.server.grpc_options import server_options
from chat.server.log.migrations import SCHEMA
from chat.server.log.sqlite_writer import INSERTS
from server import EOF, Context

CLIENTS = 10_000
GREETING = (("chat-epoch", "0" * 32), ("chat-generation", "0" * 32), ("chat-after", "1000"))
# Twenty messages of 64 characters, which end as those of the bench do.
HISTORY = chat_pb2.Message(
    batch=[chat_pb2.Message(user="before", message="." * 60 + "~.", id=n) for n in range(20)]
).SerializeToString()
COMMITS = 500


async def echo(_requests: object, context: Context) -> None:
    """Send every message back to where it came from."""
    while (raw := await context.read()) is not EOF:
        await context.write(raw)


async def greet(_requests: object, context: Context) -> None:
    """Answer a full client as the chat does, with metadata and a history in one write; then echo.

    Who says where it left off has missed nothing.
    """
    await context.send_initial_metadata(GREETING)
    asked = dict(context.invocation_metadata() or ())
    if "chat-user-bin" in asked and "chat-generation" not in asked:
        await context.write(HISTORY)
    await echo(_requests, context)


class FanOut:
    """Write every message to every stream, all of them at once."""

    def __init__(self) -> None:
        self._contexts: set[Context] = set()

    async def chat(self, _requests: object, context: Context) -> None:
        """Serve one client."""
        self._contexts.add(context)
        try:
            while (raw := await context.read()) is not EOF:
                await asyncio.gather(*(listener.write(raw) for listener in self._contexts))
        finally:
            self._contexts.discard(context)


class Relay:
    """Write every message to every stream, as it comes: a list and a task for each."""

    def __init__(self) -> None:
        self._waiting: dict[Context, list[bytes]] = {}
        self._ready: dict[Context, asyncio.Future[None]] = {}

    async def chat(self, _requests: object, context: Context) -> None:
        """Serve one client."""
        self._waiting[context] = []
        writing = asyncio.create_task(self._write(context))
        try:
            while (raw := await context.read()) is not EOF:
                for listener, waiting in self._waiting.items():
                    waiting.append(raw)
                    send_queue.wake(self._ready.get(listener))
        finally:
            writing.cancel()
            del self._waiting[context]

    async def _write(self, context: Context) -> None:
        while True:
            if not self._waiting[context]:
                self._ready[context] = asyncio.get_running_loop().create_future()
                await self._ready[context]
            raws, self._waiting[context] = self._waiting[context], []
            for raw in raws:
                await context.write(raw)


async def serve(name: str, port: str) -> None:
    """Run one of them until the process is ended."""
    grpc_server = grpc.aio.server(options=server_options(CLIENTS))
    behaviours = {"echo": echo, "greet": greet, "fan-out": FanOut().chat, "relay": Relay().chat}
    handler: Any = grpc.stream_stream_rpc_method_handler(behaviours[name])
    service = grpc.method_handlers_generic_handler(SERVICE, {"Chat": handler})
    grpc_server.add_generic_rpc_handlers((service,))
    bound = grpc_server.add_insecure_port(f"[::]:{port}")
    await grpc_server.start()
    runtime.tune_gc()
    print(f"{name} running on port {bound}...", flush=True)
    await grpc_server.wait_for_termination()


def commit(directory: str) -> float:
    """Return the median of the milliseconds that a commit of one message takes, fsync and all."""
    connection = sqlite3.connect(Path(directory) / "commit.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(SCHEMA)
    taken = []
    for number in range(COMMITS):
        said = ("", "c000000", "." * 64, "c000000", f"{number:024x}", 0, "", None)
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERTS[1], (time.time_ns() // 1000, *said))
        connection.execute("COMMIT")
        taken.append(time.perf_counter() - started)
    connection.close()
    return sorted(taken)[COMMITS // 2] * 1e3


def main() -> None:
    """Do what the first argument names."""
    if sys.argv[1] == "commit":
        print(commit(sys.argv[-1]))
        return
    runtime.raise_file_limit(CLIENTS)
    runtime.use_batch_scheduling()
    name, port = (*sys.argv[1:], "0")[:2]
    runtime.run(serve(name, port))


if __name__ == "__main__":
    main()
