"""An HTTP/2 connection with many streams, for clients that keep no rule: attacks and fuzzing.

The frames are those of `raw_http2.py`; here they are counted and not kept, so that thousands of
streams cost less than the server that is attacked. Blocking, for one thread, over loopback; every
wait has a deadline. Knows the contract's names, nothing of the code behind them.

    with HostileClient(port) as client:
        stream = client.open(metadata=full("eve"))
        client.send(stream, Message(message="oi").SerializeToString())
        client.read(seconds=1)
"""

from __future__ import annotations

import base64
import socket
import struct
import time
from collections import Counter, defaultdict
from contextlib import suppress
from types import TracebackType

from http2 import (
    ACK,
    DATA,
    DEFAULT_WINDOW_BYTES,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    grpc_message,
)
from raw_http2 import MAX_FRAME_BYTES, Headers, header_frames, request_headers
from support import METHOD

MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4  # settings
CANCEL = 8  # an error code
CHAT = METHOD.encode()
RECEIVE_BYTES = 1 << 18
# Of each stream's body.
KEPT_BYTES = 4096
CONNECT_SECONDS = 20.0
# What a server that lets nobody in any more may take until it says so.
GREETING_SECONDS = 5.0
# Where strangers come from, the first that this machine has: an address of documentation
# (RFC 5737), which `bench/attack_table.py` gives itself; another one of loopback, but on macOS.
STRANGE_ADDRESSES = ("192.0.2.1", "127.0.0.2")


def strange_address() -> str | None:
    """Return the address that strangers come from, None where they have none of their own."""
    for address in STRANGE_ADDRESSES:
        with socket.socket() as probe, suppress(OSError):
            probe.bind((address, 0))
            return address
    return None


def full(user: str, **wishes: str) -> list[tuple[bytes, bytes]]:
    """Return the metadata of a full client: `full("eve", room="sala", after="0")`."""
    pairs = [(b"chat-user-bin", _binary(user))]
    for name, value in wishes.items():
        is_name = name == "room"
        key = f"chat-{name}-bin" if is_name else f"chat-{name}"
        pairs.append((key.encode(), _binary(value) if is_name else value.encode()))
    return pairs


def _binary(text: str) -> bytes:
    """Return the value of a `-bin` header."""
    return base64.b64encode(text.encode()).rstrip(b"=")


class HostileClient:
    """One connection. `frames` counts what came, by stream and kind; `is_over`: it was closed.

    `is_stranger`: it comes from another address than honest clients do, where there is one.
    `window_bytes`: how much the server may send on each stream before it is told that some was
    read, which is told only by `read(widens=True)`. `bodies`: the last that came on each stream.
    """

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        window_bytes: int = DEFAULT_WINDOW_BYTES,
        opening: bytes | None = None,
        is_stranger: bool = True,
    ) -> None:
        self.frames: Counter[tuple[int, int]] = Counter()
        self.received_bytes: Counter[int] = Counter()
        self.bodies: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.max_streams = 100
        self.is_over = False
        self.has_pong = False
        self.ended_streams: set[int] = set()
        self._next_stream = 1
        self._rest = b""
        self._stream_window = DEFAULT_WINDOW_BYTES  # of a stream that sent nothing yet
        self._windows: defaultdict[int, int] = defaultdict(lambda: self._stream_window)
        self._windows[0] = DEFAULT_WINDOW_BYTES
        address = strange_address() if is_stranger else None
        source = (address, 0) if address else None
        self.socket = socket.create_connection((host, port), CONNECT_SECONDS, source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, window_bytes)
        self.write(PREFACE + frame(SETTINGS, 0, 0, settings) if opening is None else opening)
        if opening is None:
            self.wait_for(0, SETTINGS, GREETING_SECONDS)

    def __enter__(self) -> HostileClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Vanish, without a word."""
        self.socket.close()

    @property
    def last_stream(self) -> int:
        """The stream that was opened last, 0 before the first."""
        return max(0, self._next_stream - 2)

    @property
    def local_port(self) -> int:
        """Its own port: a number that no other open connection has."""
        return int(self.socket.getsockname()[1])

    # Sending.

    def write(self, data: bytes) -> None:
        """Send bytes as they are; a server that has closed the connection hears nothing more."""
        try:
            self.socket.sendall(data)
        except OSError:
            self.is_over = True

    def open(self, path: bytes = CHAT, metadata: Headers = ()) -> int:
        """Open a stream; return its number."""
        stream = self._next_stream
        self._next_stream += 2
        self.write(header_frames(stream, request_headers(path, list(metadata))))
        return stream

    def send(self, stream: int, raw: bytes, is_compressed: bool = False) -> bool:
        """Send one gRPC message as far as the server's windows let it; say whether all went."""
        return self.send_body(stream, grpc_message(raw, is_compressed))

    def send_body(self, stream: int, body: bytes, seconds: float = 2.0) -> bool:
        """Send part of a body; False where the windows did not open within `seconds`."""
        deadline = time.monotonic() + seconds
        while body and not self.is_over:
            room = min(self._windows[0], self._windows[stream], MAX_FRAME_BYTES)
            if room <= 0:
                if time.monotonic() >= deadline:
                    return False
                self.read(0.01)
                continue
            part, body = body[:room], body[room:]
            self._windows[0] -= len(part)
            self._windows[stream] -= len(part)
            self.write(frame(DATA, 0, stream, part))
        return not body

    def half_close(self, stream: int) -> None:
        """Say nothing more on a stream."""
        self.write(frame(DATA, END_STREAM, stream, b""))

    def reset(self, stream: int) -> None:
        """Cancel a stream."""
        self.write(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big")))

    # Receiving.

    def read(self, seconds: float, widens: bool = True) -> int:
        """Take what comes within `seconds`, return at the first of it; return how many bytes.

        Obeys settings and pings. `widens`: the server may send as much again.
        """
        if self.is_over:
            return 0
        self.socket.settimeout(max(seconds, 1e-4))
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except TimeoutError:
            return 0
        except OSError:
            data = b""
        finally:
            with suppress(OSError):
                self.socket.settimeout(CONNECT_SECONDS)
        self.is_over = not data
        self._take(self._rest + data, widens)
        return len(data)

    def read_until_over(self, seconds: float) -> bool:
        """Take all that comes until the server closes the connection; say whether it did."""
        deadline = time.monotonic() + seconds
        while not self.is_over and (left := deadline - time.monotonic()) > 0:
            self.read(left)
        return self.is_over

    def wait_for(self, stream: int, kind: int, seconds: float, count: int = 1) -> bool:
        """Wait until `count` frames of a kind came on a stream; say whether they did."""
        deadline = time.monotonic() + seconds
        while self.frames[stream, kind] < count and not self.is_over:
            if (left := deadline - time.monotonic()) <= 0:
                break
            self.read(left)
        return self.frames[stream, kind] >= count

    def wait_for_body(self, stream: int, part: bytes, seconds: float) -> bool:
        """Wait until `part` has come on a stream, or its end; say whether either did."""
        deadline = time.monotonic() + seconds
        while part not in self.bodies[stream] and stream not in self.ended_streams:
            if (left := deadline - time.monotonic()) <= 0 or self.is_over:
                break
            self.read(left)
        return part in self.bodies[stream] or stream in self.ended_streams or self.is_over

    def wait_for_pong(self, seconds: float) -> bool:
        """Say whether the server, within so long, answers a ping or closes the connection."""
        self.write(frame(PING, 0, 0, b"hostile?"))
        deadline = time.monotonic() + seconds
        while not (self.has_pong or self.is_over):
            if (left := deadline - time.monotonic()) <= 0:
                return False
            self.read(left)
        return True

    def _take(self, data: bytes, widens: bool) -> None:
        position, end = 0, len(data)
        answers = []
        while end - position >= 9:
            start = position + 9
            stop = start + int.from_bytes(data[position : position + 3], "big")
            if stop > end:
                break
            kind, flags = data[position + 3], data[position + 4]
            stream = int.from_bytes(data[position + 5 : start], "big") & 0x7FFFFFFF
            self.frames[stream, kind] += 1
            if flags & END_STREAM and kind in (DATA, HEADERS) or kind == RST_STREAM:
                self.ended_streams.add(stream)
            answers.append(self._answer(kind, flags, stream, data[start:stop], widens))
            position = stop
        self._rest = data[position:]
        if any(answers):
            self.write(b"".join(answers))

    def _answer(self, kind: int, flags: int, stream: int, payload: bytes, widens: bool) -> bytes:
        """Return what a frame is answered with."""
        if kind == DATA and payload:
            self.received_bytes[stream] += len(payload)
            self.bodies[stream] += payload
            del self.bodies[stream][:-KEPT_BYTES]
            more = len(payload).to_bytes(4, "big")
            both = frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, stream, more)
            return both if widens else b""
        if kind == WINDOW_UPDATE:
            self._windows[stream] += int.from_bytes(payload, "big")
        elif kind == PING:
            self.has_pong |= bool(flags & ACK)
            return b"" if flags & ACK else frame(PING, ACK, 0, payload)
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == MAX_CONCURRENT_STREAMS:
                    self.max_streams = min(value, 100)
                elif name == INITIAL_WINDOW_SIZE:
                    self._stream_window = value
            return frame(SETTINGS, ACK, 0, b"")
        elif kind == GOAWAY:
            self.is_over = True
        return b""
