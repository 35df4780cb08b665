"""What somebody does who knows HTTP/2 and not the chat, before he is anybody."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import grpc
import pytest
from http2 import DATA, END_STREAM, HEADERS, RST_STREAM, frame, header
from raw_http2 import Frame, RawConnection, block_frames, raw_connection, request_headers
from support import RunningServer, full_client, plain_client, running_server

INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 3, 8, 12, 13


def is_well(server: RunningServer) -> None:
    """Check that a newcomer is let in and heard, and that nobody was told of anything."""
    with full_client(server.address, "newcomer") as client:
        client.say("oi", key="k")
        client.wait_for_key("k")
    assert server.errors == [], server.report()


# What nobody knows.

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


# What is no text.


PAIRS = [(b"plain", b"\xff" * 7000), (b"plain", b"\xc3\x28"), (b"k\xff\xfey", b"value")]


def test_metadata_of_any_bytes_are_a_refusal_and_few_lines() -> None:
    """With the peer's address; how many more there were is a number."""
    with running_server() as server:
        started = time.monotonic()
        with raw_connection(server.port) as raw:
            streams = [raw.open_stream(metadata=[pair], is_last=True) for pair in PAIRS * 30]
            statuses = raw.wait_for_statuses(streams)
        assert len(statuses) == 90 and set(statuses.values()) == {INVALID_ARGUMENT, INTERNAL}
        with full_client(server.address, "newcomer") as client:
            client.say("oi", key="k")
            client.wait_for_key("k")
        assert server.stop() == 0
        seconds = int(time.monotonic() - started) + 1
        last_words = 1  # how many were left out, said when the server ends
        assert 10 < len(server.errors) <= 10 * (seconds + 1) + last_words
        assert all("127.0.0.1" in line or "left out" in line for line in server.errors)
        assert "left out" in server.errors[-1] and "Traceback" not in server.stderr


@pytest.mark.parametrize("acknowledges", [True, False])
def test_long_metadata_are_a_refusal(acknowledges: bool) -> None:
    """Also of a client that has not read how much is allowed: then gRPC itself takes 16 MiB."""
    with running_server() as server:
        with raw_connection(server.port) as raw:
            if acknowledges:
                raw.wait_for_pong()
            pairs = [(b"k%d" % number, b"x" * 1000) for number in range(20)]
            stream = raw.open_stream(metadata=pairs, is_last=True)
            assert raw.wait_for_status(stream) == RESOURCE_EXHAUSTED
        assert "xxx" not in server.stderr
        assert all("127.0.0.1" in line for line in server.errors) and len(server.errors) <= 1


def test_metadata_of_very_many_pairs_leave_no_memory_behind() -> None:
    """A pair is one byte, once it is in HPACK's table, and some two hundred in memory."""
    newest = bytes([0x80 | 62])  # of the dynamic table (RFC 7541, 6.1)
    start = b"".join(header(*pair) for pair in request_headers()) + b"\x40\x01k\0"
    with running_server() as server:
        for number in range(11):
            if number == 1:
                before = server.resident_bytes()
            with raw_connection(server.port) as raw:
                stream = raw.take_stream()
                raw.send(block_frames(stream, start + newest * 100_000, END_STREAM))
                assert raw.wait_for_status(stream) == RESOURCE_EXHAUSTED
        assert server.resident_bytes() - before < 100 << 20
        assert all("127.0.0.1" in line for line in server.errors) and len(server.errors) <= 11


def test_request_of_health_that_is_garbage_is_refused_in_our_words() -> None:
    """No text of an exception reaches the peer, and no line is said of it."""
    with running_server() as server:
        for method in ("Check", "Watch"):
            with raw_connection(server.port) as raw:
                stream = raw.open_stream(f"/grpc.health.v1.Health/{method}".encode())
                raw.say(stream, b"\x0a\x01\xff")
                last = [raw.headers_of(got) for got in until_end(raw, stream)][-1]
                assert last["grpc-status"] == str(INVALID_ARGUMENT)
                assert last["grpc-message"] == "the request is not understood"
        is_well(server)


# Small packets, large contents.


def test_packed_message_is_unpacked_as_far_as_the_limit() -> None:
    """64 kB of gzip would be 64 MB: a hundred of them at a time, and hardly any memory."""
    bomb = gzip.compress(bytes(60 << 20))
    with running_server() as server:
        before = server.resident_bytes()
        with raw_connection(server.port) as raw:
            streams = [raw.open_stream(metadata=[(b"grpc-encoding", b"gzip")]) for _ in range(50)]
            for stream in streams:
                raw.say(stream, bomb, is_compressed=True)
            statuses = raw.wait_for_statuses(streams)
        assert statuses == dict.fromkeys(streams, RESOURCE_EXHAUSTED)
        assert server.resident_bytes() - before < 50 << 20
        is_well(server)


def test_message_above_the_limit_ends_the_stream() -> None:
    """Before it is read: its length comes first."""
    with running_server() as server:
        with raw_connection(server.port) as raw:
            stream = raw.open_stream()
            raw.send(frame(DATA, 0, stream, b"\0" + (65_537).to_bytes(4, "big")))
            assert raw.wait_for_status(stream) == RESOURCE_EXHAUSTED
        is_well(server)


# Health and reflection.


def test_watches_are_few_and_check_goes_on() -> None:
    """One more takes the place of the longest; whoever looks after the server is answered."""
    with running_server() as server:
        with raw_connection(server.port) as first, raw_connection(server.port) as second:
            longest = watch(first, 60)
            watch(second, 60)
            assert first.wait_for_statuses(longest[:20]) == dict.fromkeys(
                longest[:20], RESOURCE_EXHAUSTED
            )
            check = second.open_stream(b"/grpc.health.v1.Health/Check")
            second.say(check, b"")
            assert second.wait_for_status(check) == 0
        is_well(server)


def watch(raw: RawConnection, count: int) -> list[int]:
    """Watch the health of the server as a whole, so many times; return the streams."""
    streams = [raw.open_stream(b"/grpc.health.v1.Health/Watch") for _ in range(count)]
    for stream in streams:
        raw.say(stream, b"", flags=END_STREAM)
    answered = set()
    for got in raw.frames():
        if got.kind == HEADERS:
            raw.headers_of(got)
        elif got.kind == DATA:
            answered.add(got.stream)
        if answered.issuperset(streams):
            break
    return streams


def until_end(raw: RawConnection, stream: int) -> Iterator[Frame]:
    """Yield the frames of headers of one stream, the last one with its status."""
    for got in raw.frames():
        if got.kind == HEADERS and got.stream == stream:
            yield got
        if got.stream == stream and got.ends_stream:
            return


# Places.


def test_address_that_has_its_share_is_refused_until_one_leaves() -> None:
    """With when to try again; a plain client as well."""
    full = (grpc.StatusCode.RESOURCE_EXHAUSTED, "ADDRESS_FULL")
    with running_server("--max-per-address", "2") as server:
        with full_client(server.address, "ana"), plain_client(server.address, "p") as plain:
            plain.say("oi")
            plain.wait_for_text("oi")
            with full_client(server.address, "bia") as bia:
                assert bia.wait_for_end() == full
        is_well(server)


@pytest.mark.parametrize("acknowledges", [True, False])
def test_streams_on_one_connection_are_bounded(acknowledges: bool) -> None:
    """A hundred at a time; what is more is refused, also where the client has not read how many."""
    with running_server() as server:
        with raw_connection(server.port) as raw:
            if acknowledges:
                raw.wait_for_pong()
            streams = [raw.open_stream() for _ in range(150)]
            answers: dict[int, int] = {}
            while len(answers) < len(streams):
                got = raw.read_frame()
                assert got is not None
                if got.kind in (HEADERS, RST_STREAM):
                    answers[got.stream] = got.kind
            assert sorted(answers.values()) == [HEADERS] * 100 + [RST_STREAM] * 50
        is_well(server)


def test_connections_that_say_nothing_are_bounded() -> None:
    """Each takes a file; those that are too many are closed, and whoever is in goes on talking."""
    with running_server("--max-clients", "5") as server, ExitStack() as stack:
        ana = stack.enter_context(full_client(server.address, "ana"))
        closed = 0
        for _ in range(250):
            with suppress(OSError):
                raw = stack.enter_context(raw_connection(server.port))
                closed += raw.read_frame() is None
        assert closed >= 50
        ana.say("oi", key="k")
        ana.wait_for_key("k")
        assert server.errors == []
