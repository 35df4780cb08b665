"""What somebody does who knows HTTP/2 and not the chat, before he is anybody."""

from __future__ import annotations

from raw_http2 import raw_connection
from support import RunningServer, full_client, running_server

UNIMPLEMENTED = 12


METHODS = {
    "no utf-8": b"/\xff",
    "surrogate": b"/\xed\xa0\x80",
    "long": b"/" + b"\xfe" * 4000,
    "almost": b"/ChatService/Chat\xff",
    "unknown": b"/ChatService/Talk",
    "no slash": b"\xff",
    "empty": b"",
}


def test_method_of_any_bytes_is_unknown() -> None:
    """The server says so, and goes on accepting calls (grpcio alone stops for good)."""
    with running_server() as server:
        with raw_connection(server.port) as raw:
            for name, path in METHODS.items():
                status = raw.wait_for_status(raw.open_stream(path, is_last=True))
                assert status == UNIMPLEMENTED, name
        is_well(server)


def test_many_unknown_methods_at_once() -> None:
    """From somebody who reads no answer."""
    with running_server() as server:
        with raw_connection(server.port) as raw:
            for _ in range(500):
                raw.open_stream(b"/\xff", is_last=True)
            raw.wait_for_pong()
        is_well(server)
        assert server.stop() == 0


def is_well(server: RunningServer) -> None:
    """Check that a newcomer is let in and heard, and that nobody was told of anything."""
    with full_client(server.address, "newcomer") as client:
        client.say("oi", key="k")
        client.wait_for_key("k")
    assert server.errors == [], server.report()
