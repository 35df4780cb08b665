"""Many who come at once, faster than the server accepts them: all get in."""

from __future__ import annotations

import time
from contextlib import ExitStack

from hostile_client import HostileClient
from http2 import HEADERS, RST_STREAM
from support import DEADLINE_SECONDS, server_here

CONNECTIONS, STREAMS = 16, 100
BUSY_SECONDS = 1.0


def test_nobody_is_turned_away_while_the_server_is_busy() -> None:
    """gRPC cancels some of more than a thousand calls that wait to be accepted."""
    with server_here("--max-clients", "2000") as server, ExitStack() as stack:
        clients = [
            stack.enter_context(HostileClient(server.port, is_stranger=False))
            for _connection in range(CONNECTIONS)
        ]
        server.loop.loop.call_soon_threadsafe(time.sleep, BUSY_SECONDS)
        streams = [(client, client.open()) for client in clients for _stream in range(STREAMS)]
        for client, stream in streams:
            client.wait_for(stream, HEADERS, DEADLINE_SECONDS)
        turned_away = [(c, s) for c, s in streams if c.frames[s, RST_STREAM]]
        assert len(turned_away) == 0
        assert all(client.frames[stream, HEADERS] for client, stream in streams)
