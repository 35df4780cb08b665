"""The first version's client. Knows two fields, and sends no metadata.

Run it: `python old_client.py [ADDRESS]`. Its `/sair` half-closes the stream and then waits for the
server to end it, which the first version's server never did.

In a process of its own: its `chat_pb2` and ours cannot both be loaded.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import grpc

import chat_pb2
import chat_pb2_grpc

address = sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"
with grpc.insecure_channel(address) as channel:
    stub = chat_pb2_grpc.ChatServiceStub(channel)  # type: ignore[no-untyped-call]
    username = input("Digite seu nome: ").strip()
    print("Digite suas mensagens (/sair para sair):", flush=True)

    def message_generator() -> Iterator[chat_pb2.Message]:
        while True:
            text = input()
            if text.strip().lower() == "/sair":
                break
            yield chat_pb2.Message(user=username, message=text)

    def receive_messages(response_iterator: Iterator[chat_pb2.Message]) -> None:
        try:
            for message in response_iterator:
                print(f"[{message.user}]: {message.message}", flush=True)
        except grpc.RpcError as error:
            print(f"Conexão encerrada: {error}", flush=True)

    response_iterator = stub.Chat(message_generator())
    receive_thread = threading.Thread(target=receive_messages, args=(response_iterator,))
    receive_thread.daemon = True
    receive_thread.start()
    receive_thread.join()
