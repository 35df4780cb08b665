"""What Hypothesis makes up for `system/test_fuzz.py`: what a stranger may send, write or type.

Everything is nearly right, since what is all wrong is refused at the first look: real messages with
a few bytes changed, real frames in a wrong order, real flags with odd values. Bounded in size, so
that thousands of cases take minutes.
"""

from __future__ import annotations

import base64
import gzip
import os
from collections.abc import Callable
from typing import Any

from hostile_client import CHAT, HostileClient
from http2 import CONTINUATION, DATA, HEADERS, frame, grpc_message
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from raw_http2 import Headers, request_headers

import chat_pb2

# How many times as many cases are tried as in the tests.
TIMES = int(os.environ.get("CHAT_FUZZ", "1"))
Message = chat_pb2.Message
Step = Callable[[HostileClient], object]

MAX_UINT64 = (1 << 64) - 1
FLAG_NUMBERS = ("0", "-1", "1e300", "nan", "9" * 400, "٣", "0x10", " 7 ", "1_000")

# What programs stumble over: marks, bidi, invisible ones, controls, what steers a terminal.
_ODD_PARTS = st.sampled_from(
    [
        "ana", "servidor", "\u0301" * 40, "\u202e", "\u200b", "\ufeff", "\0", "\x1b]52;c;YQ==\a",
        "\x1b[2J", "\r\n", "[ana]: oi", "👨‍👩‍👧", "🇧🇷", "ﷺ", "İ", "ẞ", "\u0430\u0440\u0430",
        " ", "\u2028", "\ud7ff", "\U0010ffff", "%s", "{0}", "*", "#sala", "/sair", "@bia", "",
    ]
)  # fmt: skip


def cases(count: int) -> Callable[[Any], Any]:
    """Try so many cases: the same ones in each run of the tests, others by `make fuzz`."""
    return settings(
        max_examples=count * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        print_blob=True,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.function_scoped_fixture,
        ],
    )


def texts(max_size: int = 60) -> st.SearchStrategy[str]:
    """Texts as people type them, and as nobody should."""
    odd = st.lists(_ODD_PARTS, max_size=6).map("".join)
    long = st.builds(lambda part, times: part * times, _ODD_PARTS, st.integers(1, 1500))
    unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)
    return st.one_of(odd, unicode, long)


def kinds() -> st.SearchStrategy[int]:
    """Kinds of messages, known ones mostly: an open enum takes any number of 32 bits."""
    return st.one_of(st.integers(0, 20), st.integers(-(1 << 31), (1 << 31) - 1))


def ids() -> st.SearchStrategy[int]:
    """Ids, of which most say that something is very far."""
    return st.one_of(st.integers(0, 100), st.integers(0, MAX_UINT64), st.just(MAX_UINT64))


def messages(depth: int = 1) -> st.SearchStrategy[Message]:
    """Messages with any fields set to anything, batches in batches too."""
    numbers = st.sampled_from(["0", "1", "1000", "-1", "9" * 30, "٣"])
    fields: dict[str, st.SearchStrategy[Any]] = {
        "user": texts(),
        "message": st.one_of(texts(), numbers),
        "id": ids(),
        "kind": kinds(),
        "key": texts(),
        "to": texts(),
        "room": texts(),
        "sealed": st.binary(max_size=300),
        "sent_at": st.builds(
            dict,
            seconds=st.integers(-(1 << 63), (1 << 63) - 1),
            nanos=st.integers(-(1 << 31), (1 << 31) - 1),
        ),
    }
    if depth:
        fields["batch"] = st.lists(messages(depth - 1), max_size=3)
    return st.fixed_dictionaries({}, optional=fields).map(lambda chosen: Message(**chosen))


@st.composite
def changed(draw: st.DrawFn, originals: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which a few were changed, taken out, doubled or put in."""
    raw = bytearray(draw(originals))
    for _change in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        what = draw(st.sampled_from(["set", "cut", "insert", "double"]))
        if what == "set" and raw:
            raw[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del raw[at : at + draw(st.integers(1, 8))]
        elif what == "insert":
            raw[at:at] = draw(st.binary(max_size=8))
        else:
            raw[at:at] = raw[at : at + 16]
    return bytes(raw)


def wire_fields() -> st.SearchStrategy[bytes]:
    """Protobuf's wire format with any field, type and length, groups among them."""
    tags = st.builds(lambda field, kind: field << 3 | kind, st.integers(0, 12), st.integers(0, 7))
    varints = st.builds(varint, st.one_of(st.integers(0, 300), st.integers(0, MAX_UINT64)))
    values = st.one_of(varints, st.binary(max_size=12), st.just(b""))
    return st.lists(st.tuples(tags.map(varint), values).map(b"".join), max_size=8).map(b"".join)


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def bodies() -> st.SearchStrategy[bytes]:
    """What may stand where a serialized message belongs."""
    real = messages().map(Message.SerializeToString)
    return st.one_of(real, changed(real), wire_fields(), st.binary(max_size=100))


def framed() -> st.SearchStrategy[bytes]:
    """Bodies as they stand in a stream: whole, of a wrong length, compressed, or said to be so."""
    compressed = bodies().map(lambda raw: grpc_message(gzip.compress(raw), is_compressed=True))
    lengths = st.one_of(st.integers(0, 300), st.just(0xFFFFFFFF), st.just(1 << 20))
    wrong = st.builds(
        lambda flag, length, raw: bytes([flag]) + length.to_bytes(4, "big") + raw,
        st.integers(0, 255),
        lengths,
        bodies(),
    )
    whole = bodies().map(grpc_message)
    return st.one_of(whole, whole, compressed, wrong)


def metadata() -> st.SearchStrategy[Headers]:
    """Headers of a request: ours and gRPC's own, with values that make sense or do not."""
    names = st.one_of(
        st.sampled_from(
            [
                b"chat-user-bin", b"chat-room-bin", b"chat-session", b"chat-after", b"chat-inbox",
                b"chat-generation", b"chat-history", b"chat-batch", b"authorization",
                b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding", b"content-type", b"te",
                b"user-agent", b":path", b":method", b"content-length", b"connection",
            ]
        ),
        st.binary(min_size=1, max_size=12),
    )  # fmt: skip
    numbers = st.sampled_from(FLAG_NUMBERS).map(str.encode)
    words = st.sampled_from([b"1", b"gzip", b"1n", b"99999999H", b"a" * 32, b"Bearer x", b"!!"])
    encoded = texts(20).map(lambda text: base64.b64encode(text[:400].encode()))
    values = st.one_of(numbers, words, encoded, st.binary(max_size=60), st.just(b"\xff" * 1200))
    return st.lists(st.tuples(names, values), max_size=6)


def paths() -> st.SearchStrategy[bytes]:
    """Methods: ours, those of other services, none at all."""
    others = [
        b"/grpc.health.v1.Health/Check",
        b"/grpc.health.v1.Health/Watch",
        b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        b"/ChatService/Nothing",
        b"/",
        b"",
    ]
    return st.one_of(st.just(CHAT), st.sampled_from(others), st.binary(max_size=20))


def frames() -> st.SearchStrategy[bytes]:
    """HTTP/2 frames of any kind, flags, stream and payload; some are headers of a call."""
    blocks = st.builds(
        lambda path, pairs: header_bytes(request_headers(path, pairs)), paths(), metadata()
    )
    payloads = st.one_of(st.binary(max_size=40), changed(blocks), framed(), st.just(b"\0\0\0\0"))
    streams = st.one_of(st.integers(0, 9), st.just((1 << 31) - 1), st.just(1 << 31))
    kinds_of_frames = st.one_of(st.sampled_from([DATA, HEADERS, CONTINUATION]), st.integers(0, 12))
    return st.builds(frame, kinds_of_frames, st.integers(0, 255), streams, payloads)


def header_bytes(headers: Headers) -> bytes:
    """Return a header block with short literals only."""
    return b"".join(
        b"\0" + bytes([len(name[:126])]) + name[:126] + bytes([len(value[:126])]) + value[:126]
        for name, value in headers
    )


def calls() -> st.SearchStrategy[list[Step]]:
    """What a client does on one connection: opens calls, says things, ends them somehow."""
    return st.lists(
        st.one_of(
            st.builds(_opening, paths(), metadata()),
            st.builds(_opening, st.just(CHAT), st.just([])),
            st.builds(_joining, texts(20), texts(20)),
            st.builds(_saying, framed()),
            st.builds(_saying, framed()),
            st.just(_half_closing),
            st.just(_resetting),
        ),
        min_size=1,
        max_size=10,
    )


def _last(client: HostileClient) -> int:
    return client.last_stream or client.open()


def _opening(path: bytes, pairs: Headers) -> Step:
    return lambda client: client.open(path, pairs)


def _joining(user: str, room: str) -> Step:
    pairs = [("chat-user-bin", user[:400]), ("chat-room-bin", room[:400])]
    values = [(name.encode(), base64.b64encode(text.encode())) for name, text in pairs if text]
    return lambda client: client.open(metadata=values)


def _saying(body: bytes) -> Step:
    return lambda client: client.send_body(_last(client), body)


def _half_closing(client: HostileClient) -> None:
    client.half_close(_last(client))


def _resetting(client: HostileClient) -> None:
    client.reset(_last(client))


def command_lines(flags: list[str]) -> st.SearchStrategy[list[str]]:
    """Arguments: real flags and none, with values that are odd or missing."""
    values = st.one_of(st.sampled_from(FLAG_NUMBERS), texts(20).map(lambda text: text[:200]))
    argument = st.one_of(st.sampled_from(flags), values)
    joined = st.builds(lambda flag, value: f"{flag}={value}", st.sampled_from(flags), values)
    return st.lists(st.one_of(argument, argument, joined), max_size=6).map(
        lambda line: [one.replace("\0", "") for one in line]
    )


def contents(original: bytes) -> st.SearchStrategy[bytes]:
    """What may stand in a file: nothing, anything, or what belongs there with a few changes."""
    beginning = st.integers(0, len(original)).map(lambda end: original[:end])
    return st.one_of(st.binary(max_size=200), changed(st.just(original)), beginning)
