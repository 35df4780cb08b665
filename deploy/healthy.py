"""Says whether the server in this container is well: exit code 0, or 1 and why on standard error.

Asks the standard health service on `CHAT_PORT`, as a load balancer does. With TLS (`CHAT_TLS_CERT`)
nothing more is asked than whether somebody shakes hands: whose certificate that is, is the clients'
to judge.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

HOST = "localhost"
DEFAULT_PORT = 50051
ANSWER_SECONDS = 4.0
SERVING = health_pb2.HealthCheckResponse.SERVING


def is_serving(port: int) -> bool:
    """Return what the health service says; raises `grpc.RpcError` where it says nothing."""
    stub: Any
    with grpc.insecure_channel(f"{HOST}:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=ANSWER_SECONDS)
    return bool(answer.status == SERVING)


def shakes_hands(port: int) -> bool:
    """Say that TLS is spoken there; raises `OSError` where it is not."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((HOST, port), ANSWER_SECONDS) as connection,
        context.wrap_socket(connection) as secure,
    ):
        return secure.selected_alpn_protocol() == "h2"


def main() -> int:
    """Ask, and return the exit code."""
    port = int(os.environ.get("CHAT_PORT") or DEFAULT_PORT)
    ask = shakes_hands if os.environ.get("CHAT_TLS_CERT") else is_serving
    try:
        if ask(port):
            return 0
        print("not serving", file=sys.stderr)
    except (grpc.RpcError, OSError) as error:
        reason = error.code().name if isinstance(error, grpc.RpcError) else str(error)
        print(f"no answer: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
