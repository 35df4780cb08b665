"""The first version's server: a thread and a queue for each client. Knows two fields.

Run it: `python old_server.py [PORT [MAX_WORKERS]]`. Port 0 picks a free one; it is printed. Each
client holds one of the MAX_WORKERS threads, and one client more than that waits in silence: that is
what this design does. Beside the tests it is what `bench/` compares with.

In a process of its own: its `chat_pb2` and ours cannot both be loaded.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import suppress

import grpc

import chat_pb2
import chat_pb2_grpc


class ChatService(chat_pb2_grpc.ChatServiceServicer):
    """One queue for each client; every message goes into all of them."""

    def __init__(self) -> None:
        self.clients: list[queue.Queue[chat_pb2.Message]] = []
        self.lock = threading.Lock()

    def Chat(
        self, request_iterator: Iterator[chat_pb2.Message], context: grpc.ServicerContext
    ) -> Iterator[chat_pb2.Message]:
        """Serve one client for as long as its stream lives."""
        client: queue.Queue[chat_pb2.Message] = queue.Queue()
        with self.lock:
            self.clients.append(client)

        def send_messages() -> None:
            with suppress(Exception):
                for message in request_iterator:
                    print(f"[{message.user}]: {message.message}")
                    with self.lock:
                        for q in self.clients:
                            q.put(message)

        threading.Thread(target=send_messages, daemon=True).start()
        try:
            while context.is_active():
                with suppress(queue.Empty):
                    yield client.get(timeout=1)
        finally:
            with self.lock:
                self.clients.remove(client)


def serve(port: int, max_workers: int) -> None:
    """Run until Ctrl-C."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=max_workers))
    chat_pb2_grpc.add_ChatServiceServicer_to_server(  # type: ignore[no-untyped-call]
        ChatService(), server
    )
    port = server.add_insecure_port(f"[::]:{port}")
    server.start()
    print(f"Servidor gRPC rodando em porta {port}...", flush=True)
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(0)


if __name__ == "__main__":
    serve(
        port=int(sys.argv[1]) if len(sys.argv) > 1 else 50051,
        max_workers=int(sys.argv[2]) if len(sys.argv) > 2 else 10,
    )
