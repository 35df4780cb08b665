"""HTTP/2 by hand: frames that no gRPC library would send, and what the server answers to them.

The bytes of frames and headers are those of the load generator (`bench/http2.py`); here are
connections that block, with a deadline, and that say whatever a test wants:

    with raw_connection(server.port) as raw:
        stream = raw.open_stream(b"/\\xff")
        assert raw.wait_for_status(stream) == 12
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hpack import Decoder
from http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
    grpc_message,
    header,
)
from support import DEADLINE_SECONDS, METHOD

HEAD_BYTES = 9
# A frame may be no longer, until the peer says otherwise (RFC 9113, 6.5.2).
MAX_FRAME_BYTES = 16_384

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Frame:
    """A frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def ends_stream(self) -> bool:
        """Whether nothing more comes in its stream."""
        is_last = self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)
        return is_last or self.kind == RST_STREAM


def request_headers(
    path: bytes = METHOD.encode(), metadata: Headers = (), method: bytes = b"POST"
) -> Headers:
    """Return what opens a gRPC call, with `metadata` at its end."""
    start = [(b":method", method), (b":scheme", b"http"), (b":path", path)]
    rest = [(b":authority", b"localhost"), (b"te", b"trailers")]
    return [*start, *rest, (b"content-type", b"application/grpc"), *metadata]


def header_frames(
    stream: int, headers: Headers, flags: int = 0, frame_bytes: int = MAX_FRAME_BYTES
) -> bytes:
    """Return the frames of headers, each of at most `frame_bytes`; `flags`: END_STREAM, or none."""
    block = b"".join(header(name, value) for name, value in headers)
    return block_frames(stream, block, flags, frame_bytes)


def block_frames(
    stream: int, block: bytes, flags: int = 0, frame_bytes: int = MAX_FRAME_BYTES
) -> bytes:
    """Return the frames of a block of packed headers (RFC 9113, 4.3)."""
    pieces = [block[at : at + frame_bytes] for at in range(0, len(block), frame_bytes)]
    frames = []
    for number, piece in enumerate(pieces):
        is_first, is_last = number == 0, number == len(pieces) - 1
        kind = HEADERS if is_first else CONTINUATION
        bits = (flags if is_first else 0) | (END_HEADERS if is_last else 0)
        frames.append(frame(kind, bits, stream, piece))
    return b"".join(frames)


class RawConnection:
    """One connection, already greeted; answers the server's settings and pings, as one must.

    Nothing else is done unasked: no window is ever widened, so the server writes 64 KiB at most.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", settings: bytes = b"") -> None:
        self._socket = socket.create_connection((host, port), DEADLINE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = Decoder()
        self._next_stream = 1
        self._received = bytearray()
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    # Saying.

    def send(self, data: bytes) -> None:
        """Send these very bytes. Raises OSError where the server has closed the connection."""
        self._socket.sendall(data)

    def open_stream(
        self, path: bytes = METHOD.encode(), metadata: Headers = (), is_last: bool = False
    ) -> int:
        """Begin a call and return its stream; `is_last`: nothing is said in it."""
        stream = self.take_stream()
        flags = END_STREAM if is_last else 0
        self.send(header_frames(stream, request_headers(path, metadata), flags))
        return stream

    def take_stream(self) -> int:
        """Return the number of the next stream."""
        self._next_stream += 2
        return self._next_stream - 2

    def say(self, stream: int, raw: bytes, is_compressed: bool = False, flags: int = 0) -> None:
        """Send one gRPC message, in as many frames as it takes."""
        body = grpc_message(raw, is_compressed)
        pieces = [body[at : at + MAX_FRAME_BYTES] for at in range(0, len(body), MAX_FRAME_BYTES)]
        frames = [frame(DATA, 0, stream, piece) for piece in pieces[:-1]]
        self.send(b"".join([*frames, frame(DATA, flags, stream, pieces[-1])]))

    def reset(self, stream: int, code: int = 8) -> None:
        """End a stream by RST_STREAM; 8 is CANCEL."""
        self.send(frame(RST_STREAM, 0, stream, code.to_bytes(4, "big")))

    # Hearing.

    def read_frame(self) -> Frame | None:
        """Return the next frame, None at the end of the connection.

        Raises TimeoutError when nothing comes.
        """
        head = self._read(HEAD_BYTES)
        payload = self._read(int.from_bytes(head[:3], "big")) if head else b""
        if head is None or payload is None:
            return None
        got = Frame(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        if got.kind in (SETTINGS, PING) and not got.flags & ACK:
            self.send(frame(got.kind, ACK, 0, payload if got.kind == PING else b""))
        return got

    def _read(self, length: int) -> bytes | None:
        while len(self._received) < length:
            try:
                data = self._socket.recv(65_536)
            except ConnectionError:  # the server has not read all that was sent
                data = b""
            if not data:
                return None
            self._received += data
        taken = bytes(self._received[:length])
        del self._received[:length]
        return taken

    def frames(self) -> Iterator[Frame]:
        """Yield what comes, until the server closes the connection or says that it will."""
        while (got := self.read_frame()) is not None:
            yield got
            if got.kind == GOAWAY:
                return

    def headers_of(self, got: Frame) -> dict[str, str]:
        """Return the headers in a frame. Each frame of headers must be asked, in its order."""
        pairs = self._decoder.decode(got.payload, raw=True)
        return {
            bytes(name).decode("latin-1"): bytes(value).decode("latin-1") for name, value in pairs
        }

    def wait_for_status(self, stream: int) -> int | None:
        """Return the gRPC status that ends `stream`; None where it has none, or the line went."""
        return self.wait_for_statuses([stream]).get(stream)

    def wait_for_statuses(self, streams: Collection[int]) -> dict[int, int]:
        """Return the gRPC statuses of `streams`, of those that have one, when all have ended."""
        statuses, ended = {}, set()
        for got in self.frames():
            headers = self.headers_of(got) if got.kind == HEADERS else {}
            if "grpc-status" in headers:
                statuses[got.stream] = int(headers["grpc-status"])
            if got.ends_stream:
                ended.add(got.stream)
            if ended.issuperset(streams):
                break
        return {stream: statuses[stream] for stream in streams if stream in statuses}

    def wait_for_pong(self) -> None:
        """Return when the server has read all that was sent before; streams are not looked at."""
        self.send(frame(PING, 0, 0, b"raw_http"))
        for got in self.frames():
            if got.kind == HEADERS:
                self.headers_of(got)
            if got.kind == PING and got.flags & ACK:
                return
        raise AssertionError("the connection is closed")

    def close(self) -> None:
        """Close the connection, without a word."""
        self._socket.close()


@contextmanager
def raw_connection(port: int, settings: bytes = b"") -> Iterator[RawConnection]:
    """Connect to a server of this machine for the length of the block."""
    connection = RawConnection(port, settings=settings)
    try:
        yield connection
    finally:
        connection.close()
