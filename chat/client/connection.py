"""The way to a server: a channel and its options, and one stream.

With `session.py` and `refusals.py` the only place of the client's wing that knows gRPC.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from urllib.parse import quote

import grpc

import chat_pb2_grpc
from chat.cli.credentials import is_loopback
from chat.client.diagnosis import explain_failure, explain_untrusted
from chat.client.outbox import Requests
from chat.client.preflight import IsCancelled
from chat.client.trust import Trust
from chat.client.unreachable import Unreachable, explain_unreachable
from chat.protocol.errors import ConfigError
from chat.protocol.limits import (
    KEEPALIVE_TIME_MS,
    KEEPALIVE_TIMEOUT_MS,
    PING_TIMEOUT_MS,
)
from chat.protocol.metadata import Pair

# Less than a line of 6 kB/s carries in 3 s.
LOOKAHEAD_BYTES = 16 << 10
# Twice the largest batch that any version of the contract has allowed.
MAX_ANSWER_BYTES = 1 << 20

# How long gRPC may take to connect, in milliseconds.
CONNECT_MS = "grpc.min_reconnect_backoff_ms"

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.http2.max_pings_without_data", 0),
    # What the server may send ahead of us stays small: else it grows to 4 MiB, which take minutes
    # on a slow line, and the answer to a ping waits behind them.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
    # gRPC's own retries cannot resume a stream that has had an answer; reconnecting is ours.
    ("grpc.enable_retries", 0),
    # How long one attempt may take: names, and then TCP, TLS and HTTP/2, each of which crosses a
    # slow network several times. Together they end when `SILENT_SECONDS` and `ANSWER_SECONDS` do.
    ("grpc.dns_ares_query_timeout", 6_000),
    (CONNECT_MS, 8_500),
    # It is held in memory whole, unpacked.
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    # A fresh channel must not inherit the waiting time of the last one.
    ("grpc.use_local_subchannel_pool", 1),
    # http_proxy is for the web: a classroom's proxy takes no connection to a neighbour's port.
    ("grpc.enable_http_proxy", 0),
]

# Of the machines behind a name each stream goes to any, not all to the first (gRFC A62): the
# clients of one that was killed spread over the rest. One that is dead is gone past at once, or
# after 250 ms (RFC 8305).
IN_TURN = {
    "grpc.service_config": json.dumps(
        {"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": True}}]}
    )
}

# Which any server answers, if only that it knows no such call.
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
# How long the answer to it may take.
ANSWER_SECONDS = 3.5
# How long whoever was interrupted waits for a call that is being opened, which does not block.
OPENING_SECONDS = 1.0
# What gRPC says by itself, where nobody answers.
NO_ANSWER = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)

Metadata = Sequence[Pair]
# What a call raises; it is the call itself.
StreamError = grpc.RpcError
# `stub`, `requests`, `metadata` -> the call. `stub` is a `ChatServiceStub`, generated and untyped.
OpenStream = Callable[[Any, Requests, Metadata], Any]


def open_stream(stub: Any, requests: Requests, metadata: Metadata) -> Any:
    """Open the stream; gRPC takes the requests in a thread of its own."""
    return stub.Chat(iter(requests.next, None), metadata=metadata)


@dataclass(frozen=True)
class Way:
    """What one stream trusts on its way to the server.

    `credentials`: None in clear. `options`: of the channel, over `OPTIONS`. `fingerprint`: the
    SHA-256 of the server's certificate, in hex digits; empty where it is not known. `peer`: the
    machine where that was seen (`HOST:PORT`), among those behind the name; empty: any of them.
    """

    credentials: grpc.ChannelCredentials | None = None
    options: tuple[tuple[str, Any], ...] = ()
    fingerprint: str = ""
    peer: str = ""


class Answer(Enum):
    """Who is at the other end of a stream that says nothing."""

    NOBODY = auto()
    SOMEBODY = auto()  # who knows no health check: a plain server, say
    CHAT = auto()  # or what has a health check like one: it is about to speak


class Stream:
    """One stream, on a `channel` of its own; `call` is what gRPC has made of it."""

    def __init__(self, channel: grpc.Channel, call: Any) -> None:
        self.call = call
        self._channel = channel

    def ask(self) -> Answer:
        """Find out who is at the other end; from any thread, for `ANSWER_SECONDS` at most.

        The stream itself does not tell an address that swallows all from a plain server, which says
        nothing before somebody has spoken.
        """
        check: Any = self._channel.unary_unary(HEALTH_CHECK)
        try:
            check(b"", timeout=ANSWER_SECONDS, wait_for_ready=True)
        except grpc.RpcError as error:
            return Answer.NOBODY if error.code() in NO_ANSWER else Answer.SOMEBODY
        except ValueError:  # the channel was closed before it began
            return Answer.NOBODY
        return Answer.CHAT


class Connection:
    """The way to the server at `address` (`HOST:PORT`), encrypted where there are credentials.

    `credentials`: a `Trust`, which is asked before each stream, or gRPC's own.
    """

    def __init__(
        self,
        address: str,
        credentials: grpc.ChannelCredentials | Trust | None,
        open_stream: OpenStream = open_stream,
    ) -> None:
        self.address = address
        self._credentials = credentials
        self._open_stream = open_stream

    def prepare(
        self, is_cancelled: IsCancelled = lambda: False, seconds: float | None = None
    ) -> Way:
        """Return the way that the next stream is to take: whom it trusts. Raises as `Trust.check`.

        `seconds`: how long it may take to reach the server; None: as long as a slow line needs. May
        block, for so long at most, less when `is_cancelled()` comes true.
        """
        options: tuple[tuple[str, Any], ...] = ()
        if seconds is not None:
            options = ((CONNECT_MS, round(seconds * 1000)),)
            is_cancelled = _or_late(is_cancelled, seconds)
        if not isinstance(self._credentials, Trust):
            return Way(self._credentials, options)
        trusted = self._credentials.check(self.address, is_cancelled)
        own = trusted.own
        credentials = grpc.ssl_channel_credentials(
            trusted.roots, own.key if own else None, own.chain if own else None
        )
        if trusted.name:
            options += (("grpc.ssl_target_name_override", trusted.name),)
        return Way(credentials, options, trusted.fingerprint, trusted.peer)

    def explain(self, error: Any, is_cancelled: IsCancelled = lambda: False) -> ConfigError:
        """Return why nobody could be talked to; looks there once more. Blocks as `prepare` does."""
        if self._credentials is None or isinstance(self._credentials, Trust):
            return explain_failure(self.address, error, self._credentials, is_cancelled)
        return Unreachable(explain_unreachable(self.address, error))

    def explain_untrusted(
        self, error: Any, is_cancelled: IsCancelled = lambda: False
    ) -> ConfigError | None:
        """Return what to say if a stream failed since the server has another certificate now."""
        if not isinstance(self._credentials, Trust):
            return None
        return explain_untrusted(self.address, error, self._credentials, is_cancelled)

    @contextmanager
    def stream(self, way: Way, requests: Requests, metadata: Metadata) -> Iterator[Stream]:
        """Open a stream, on a channel of its own, for the length of the block. Does not block."""
        with self._channel(way) as channel:
            stub = chat_pb2_grpc.ChatServiceStub(channel)  # type: ignore[no-untyped-call]
            call = _uninterrupted(lambda: self._open_stream(stub, requests, metadata))
            try:
                yield Stream(channel, call)
            finally:
                call.cancel()

    def _channel(self, way: Way) -> grpc.Channel:
        target = target_of(way.peer or self.address)
        host = self.address.rpartition(":")[0]
        choice = {} if is_loopback(host) else IN_TURN
        options = list({**dict(OPTIONS), **choice, **dict(way.options)}.items())
        if way.credentials is not None:
            return grpc.secure_channel(target, way.credentials, options)
        return grpc.insecure_channel(target, options)


def _uninterrupted(open_call: Callable[[], Any]) -> Any:
    """Return the call that is opened; no signal comes in between.

    Of one that was interrupted while it was made gRPC knows, but has no thread that would see its
    end: closing the channel would wait for that for ever. Signals interrupt the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        return open_call()
    opened: Future[Any] = Future()

    def run() -> None:
        try:
            opened.set_result(open_call())
        except BaseException as error:
            opened.set_exception(error)

    try:
        threading.Thread(target=run, name="opening", daemon=True).start()
        return opened.result()
    finally:
        wait([opened], OPENING_SECONDS)


def _or_late(is_cancelled: IsCancelled, seconds: float) -> IsCancelled:
    """Call it off as well after so many seconds from now."""
    deadline = time.monotonic() + seconds
    return lambda: is_cancelled() or time.monotonic() >= deadline


def target_of(address: str) -> str:
    """Return what gRPC is to call the server at `HOST:PORT` (gRPC Name Resolution, "Name Syntax").

    A host may be called `unix` or `dns`, which begin other targets, and a target is a URI: what has
    a meaning there, such as the % before an interface, is escaped.
    """
    return "dns:///" + quote(address, safe=":[]")
