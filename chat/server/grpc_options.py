"""What the server asks of gRPC, each with its reason (grpc.io's channel_arg_names.h has them all).

Knows no gRPC but the names of its settings.
"""

from __future__ import annotations

from typing import Any

from chat.protocol import limits

# Connections beside one for each client: health checks, and those about to be refused. More are
# closed at once, since each takes one of the files that the process may have open.
SPARE_CONNECTIONS = 50
# A small server has room for more: macOS lets a process have 256 files, unless it asks for more.
MIN_CONNECTIONS = 200
# As gRPC has it by itself.
MIN_PENDING_CALLS = 1000

OPTIONS: list[tuple[str, Any]] = [
    # gRPC refuses more by itself, and unpacks no more of what is packed.
    ("grpc.max_receive_message_length", limits.MAX_RECEIVE_BYTES),
    ("grpc.max_metadata_size", limits.MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", limits.MAX_METADATA_BYTES),
    ("grpc.max_concurrent_streams", limits.MAX_STREAMS),
    # Connections that say nothing: in the handshake, of their settings, and without a call.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.http2.settings_timeout", 10_000),
    ("grpc.max_connection_idle_ms", 60_000),
    ("grpc.keepalive_time_ms", limits.KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", limits.KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", limits.PING_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    # What gRPC notes of each connection for a service that is not there: 0.6 kB.
    ("grpc.enable_channelz", 0),
    # Other people's clients may ping as often as every 10 s before they are disconnected.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
]


def server_options(max_clients: int, shares_port: bool = False) -> list[tuple[str, Any]]:
    """Return the settings of a server that is to have so many clients.

    `shares_port`: other servers may listen on its port too.
    """
    connections = max(max_clients + SPARE_CONNECTIONS, MIN_CONNECTIONS)
    pending = max(max_clients + SPARE_CONNECTIONS, MIN_PENDING_CALLS)
    return [
        *OPTIONS,
        # Else a second server takes the same port in silence, and the chat is two.
        ("grpc.so_reuseport", int(shares_port)),
        ("grpc.max_allowed_incoming_connections", connections),
        # Of more calls that wait to be accepted gRPC cancels some, at random, and all from twice as
        # many on (github.com/grpc/grpc/pull/34782; by itself from 1,000 and 3,000 on). Everybody
        # comes at once when a server is started anew.
        ("grpc.server.max_pending_requests", pending),
        ("grpc.server.max_pending_requests_hard_limit", 2 * pending),
    ]
