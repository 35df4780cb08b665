"""The tests' own HTTP/2 is HTTP/2: by it a chat is as it is by a gRPC library."""

from __future__ import annotations

from http2 import END_STREAM
from raw_http2 import Headers, header_frames, raw_connection, request_headers
from support import full_client, running_server

from chat_pb2 import KIND_JOINED, KIND_LEFT, Message

OK, NAME_INVALID = 0, 3


def test_chat_by_hand() -> None:
    """A stream that is opened, spoken in and half-closed ends with OK; and is reset, or refused."""
    metadata: Headers = [(b"chat-user-bin", b"YW5h"), (b"chat-history", b"0")]
    with running_server() as server, raw_connection(server.port) as raw:
        with full_client(server.address, "bia") as bia:
            stream = raw.open_stream(metadata=metadata)
            raw.say(stream, Message(message="oi").SerializeToString(), flags=END_STREAM)
            assert bia.wait_for_text("oi").user == "ana"
            assert raw.wait_for_status(stream) == OK
            gone = raw.open_stream(metadata=[(b"chat-user-bin", b"Y2Fpbw")])
            # Who is reset before it is in was never there for the others.
            bia.wait_for(lambda message: message.user == "caio" and message.kind == KIND_JOINED)
            raw.reset(gone)
            bia.wait_for(lambda message: message.user == "caio" and message.kind == KIND_LEFT)
        nameless = raw.open_stream()
        raw.say(nameless, Message(message="oi").SerializeToString())
        assert raw.wait_for_status(nameless) == NAME_INVALID


def test_headers_in_many_frames_are_one_request() -> None:
    """A block that does not fit into one frame is continued."""
    headers = request_headers(metadata=[(b"chat-user-bin", b"YW5h")])
    with running_server() as server, raw_connection(server.port) as raw:
        stream = raw.take_stream()
        raw.send(header_frames(stream, headers, END_STREAM, frame_bytes=10))
        assert raw.wait_for_status(stream) == OK
