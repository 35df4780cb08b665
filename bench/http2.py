"""One chat stream over a socket of its own: as little of HTTP/2 as a gRPC server accepts.

A gRPC client costs as much per message as the server that is to be measured; this one costs a
fraction of it, and thousands fit into one process. RFC 9113 and grpc.io's PROTOCOL-HTTP2.md; no
padding, no CONTINUATION, no compression, since a gRPC server sends none of them unasked.
"""

from __future__ import annotations

import base64
import ssl
import struct
from collections import deque
from collections.abc import Mapping

from sockets import Connection

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
CONTINUATION = 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4  # a setting
STREAM = 1
DEFAULT_WINDOW_BYTES = 65_535
# What a gRPC client's own window grows to on a fast network.
WINDOW_BYTES = 4 << 20
_HEAD = struct.Struct(">HBBBI")  # length in two parts, type, flags, stream


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return one HTTP/2 frame."""
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def grpc_message(raw: bytes, is_compressed: bool = False) -> bytes:
    """Return `raw` as it stands in the body of a gRPC stream: with its length."""
    return bytes([is_compressed]) + len(raw).to_bytes(4, "big") + raw


def header(name: bytes, value: bytes) -> bytes:
    """Return one header as an HPACK literal that needs no table (RFC 7541, 6.2.2)."""
    return b"\0" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    """Return a string as HPACK writes it: the length with a prefix of 7 bits (RFC 7541, 5.1)."""
    length = len(text)
    if length < 127:
        return bytes([length]) + text
    head, rest = bytearray([127]), length - 127
    while rest > 127:
        head.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*head, rest]) + text


def _reason(kind: int, payload: bytes) -> str:
    """Return why a stream ended, as far as the frame says so in clear."""
    if kind == GOAWAY and len(payload) > 8:
        return ascii(payload[8:].decode(errors="replace"))
    _before, name, value = payload.partition(b"grpc-message")
    if kind == HEADERS and name and value:
        return ascii(_text(value))
    return f"frame {kind}"


def _text(block: bytes) -> str:
    """Return the string that HPACK writes at the beginning of a block, without Huffman's code."""
    length, start = block[0], 1
    if length == 127:
        for shift in range(0, 28, 7):
            length += (block[start] & 127) << shift
            start += 1
            if block[start - 1] < 128:
                break
    return block[start : start + length].decode(errors="replace")


def _opening(path: str, metadata: Mapping[str, bytes], scheme: bytes) -> bytes:
    """Return what a client says first: preface, settings, a wider window, the request."""
    headers = {":method": b"POST", ":scheme": scheme, ":path": path.encode()}
    headers |= {":authority": b"localhost", "te": b"trailers"}
    headers |= {"content-type": b"application/grpc"}
    for name, value in metadata.items():
        is_binary = name.endswith("-bin")
        headers[name] = base64.b64encode(value).rstrip(b"=") if is_binary else value
    block = b"".join(header(name.encode(), value) for name, value in headers.items())
    settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, WINDOW_BYTES)
    wider = (WINDOW_BYTES - DEFAULT_WINDOW_BYTES).to_bytes(4, "big")
    return (
        PREFACE
        + frame(SETTINGS, 0, 0, settings)
        + frame(WINDOW_UPDATE, 0, 0, wider)
        + frame(HEADERS, END_HEADERS, STREAM, block)
    )


def tls_context() -> ssl.SSLContext:
    """Return what a client that trusts everybody speaks TLS by, as gRPC does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


class Wire(Connection):
    """A connection with one open stream.

    `is_open`: the server has answered with its headers. `is_over`: the server ended the stream.
    """

    def __init__(
        self,
        port: int,
        path: str,
        metadata: Mapping[str, bytes],
        tls: ssl.SSLContext | None = None,
        is_patient: bool = True,
    ) -> None:
        super().__init__(port, tls, is_patient)
        self.is_open = False
        self._rest = b""  # the beginning of a frame
        self._received_bytes = 0  # since the last update of the windows
        self._send_windows = [DEFAULT_WINDOW_BYTES, DEFAULT_WINDOW_BYTES]  # connection, stream
        self._peer_window = DEFAULT_WINDOW_BYTES
        self._held: deque[bytes] = deque()  # bodies that no window has room for yet
        super().send(_opening(path, metadata, b"https" if tls else b"http"))

    def receive(self) -> bytes:
        """Return what the stream's body brought, without frames; empty: nothing, or the end."""
        data = super().receive()
        if not data:
            return b""
        return self._unframe(self._rest + data if self._rest else data)

    def _unframe(self, data: bytes) -> bytes:
        bodies = []
        position, end = 0, len(data)
        while end - position >= 9:
            start = position + 9
            stop = start + int.from_bytes(data[position : position + 3], "big")
            if stop > end:
                break
            kind = data[position + 3]
            if kind == DATA:
                bodies.append(data[start:stop])
                self._received_bytes += stop - start
            else:
                self._control(kind, data[position + 4], data[position + 5 : stop])
            position = stop
        self._rest = data[position:]
        if self._received_bytes >= WINDOW_BYTES // 2:
            self._widen()
        return bodies[0] if len(bodies) == 1 else b"".join(bodies)

    def _widen(self) -> None:
        increment = self._received_bytes.to_bytes(4, "big")
        self._received_bytes = 0
        for stream in (0, STREAM):
            super().send(frame(WINDOW_UPDATE, 0, stream, increment))

    def _control(self, kind: int, flags: int, rest: bytes) -> None:
        """Obey a frame that brings no data; `rest` is its stream and its payload."""
        stream, payload = int.from_bytes(rest[:4], "big"), rest[4:]
        if kind == HEADERS:
            self.is_open = True
            self.is_over = bool(flags & END_STREAM)
        elif kind in (RST_STREAM, GOAWAY):
            self.is_over = True
        if self.is_over and not self.last_words:
            self.last_words = _reason(kind, payload)
        if kind == PING and not flags & ACK:
            super().send(frame(PING, ACK, 0, payload))
        elif kind == SETTINGS and not flags & ACK:
            self._set(payload)
            super().send(frame(SETTINGS, ACK, 0, b""))
        elif kind == WINDOW_UPDATE:
            self._send_windows[stream != 0] += int.from_bytes(payload, "big")
            self._let_go()

    def _set(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == INITIAL_WINDOW_SIZE:
                self._send_windows[1] += value - self._peer_window
                self._peer_window = value
                self._let_go()

    def send(self, body: bytes) -> None:
        """Send gRPC messages, as far as the server's windows allow; the rest goes out later."""
        self._held.append(body)
        self._let_go()

    def _let_go(self) -> None:
        out = []
        while self._held and len(self._held[0]) <= min(self._send_windows):
            body = self._held.popleft()
            self._send_windows = [window - len(body) for window in self._send_windows]
            out.append(frame(DATA, 0, STREAM, body))
        if out:
            super().send(b"".join(out))
