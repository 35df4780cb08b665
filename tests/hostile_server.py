"""A server of the contract that goes by a script, and means no good.

It sends bytes, so that they need not be a `Message`. Each stream plays a script of its own, the
last one for ever:

    with hostile_server([Greet(), Say(Message(user="x" * 4_000_000)), Echo()]) as server:
        ...  # a client at server.address; server.received is what it sent

`scripts()` makes them at random, for hypothesis. Knows nothing of the client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from hypothesis import strategies
from support import METHOD

import chat_pb2

Message = chat_pb2.Message
Metadata = Sequence[tuple[str, "str | bytes"]]

# Of a script at random, beside its greeting and its end.
MAX_STEPS = 6
FULL_GREETING = (("chat-epoch", "e"), ("chat-generation", "g"), ("chat-after", "0"))
# The server does what a test wants, so more than gRPC's 4 MiB, and headers of any size.
OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 1 << 20),
    ("grpc.absolute_max_metadata_size", 1 << 20),
]


# The steps of a script.


@dataclass(frozen=True)
class Greet:
    """Send the initial metadata; without this step they are empty, as of a plain server."""

    metadata: Metadata = FULL_GREETING


@dataclass(frozen=True)
class Say:
    """Send a message, or these very bytes, so many times."""

    what: Message | bytes
    times: int = 1


@dataclass(frozen=True)
class Flood:
    """Send what this makes, so that a flood is not held in memory."""

    messages: Callable[[], Iterable[Message]]


@dataclass(frozen=True)
class Take:
    """Wait for so many messages of the client; go on as well when no more will come."""

    count: int = 1


@dataclass(frozen=True)
class Answer:
    """Take one message, and send what this makes of it."""

    answer: Callable[[Message], Iterable[Message]]


@dataclass(frozen=True)
class Garble:
    """Take one message, and answer it by this one: under its key, with its kind or another one."""

    answer: Message
    keeps_kind: bool = True


@dataclass(frozen=True)
class Echo:
    """Confirm all that comes, each with the next id from `first_id` on, until the half-close.

    `step`: how ids go on; a negative one lets them go backwards.
    """

    first_id: int = 1
    step: int = 1


@dataclass(frozen=True)
class Hang:
    """Read and say nothing until the client is gone."""


@dataclass(frozen=True)
class End:
    """End the stream with a status and trailing metadata; without this step it ends with OK."""

    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    details: str = ""
    trailing: Metadata = ()


Step = Greet | Say | Flood | Take | Answer | Garble | Echo | Hang | End
Script = Sequence[Step]
REFUSED = End(grpc.StatusCode.UNAUTHENTICATED, trailing=(("chat-reason", "TOKEN_INVALID"),))


class HostileServer:
    """What the scripts are played on. `received`: what clients sent; `metadata`: of each stream.

    gRPC's threads play; `_lock` guards every attribute.
    """

    def __init__(self, *scripts: Script) -> None:
        self._lock = threading.Lock()
        self._scripts = list(scripts)
        self._received: list[Message] = []
        self._metadata: list[dict[str, str | bytes]] = []
        self.address = ""

    @property
    def received(self) -> list[Message]:
        with self._lock:
            return list(self._received)

    @property
    def metadata(self) -> list[dict[str, str | bytes]]:
        with self._lock:
            return list(self._metadata)

    @property
    def streams(self) -> int:
        """How many streams there were."""
        return len(self.metadata)

    def chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """Play the next script: the body of the method."""
        with self._lock:
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
            self._metadata.append(dict(context.invocation_metadata()))
        taken = map(self._note, requests)
        for step in script:
            yield from _play(step, taken, context)

    def _note(self, raw: bytes) -> Message:
        message = Message.FromString(raw)
        with self._lock:
            self._received.append(message)
        return message


def _play(step: Step, taken: Iterator[Message], context: Any) -> Iterator[bytes]:
    if isinstance(step, Greet):
        context.send_initial_metadata(tuple(step.metadata))
    elif isinstance(step, Say):
        raw = step.what if isinstance(step.what, bytes) else step.what.SerializeToString()
        for _time in range(step.times):
            yield raw
    elif isinstance(step, Flood):
        yield from map(Message.SerializeToString, step.messages())
    elif isinstance(step, Take):
        for _time in range(step.count):
            next(taken, None)
    elif isinstance(step, Answer):
        for message in _one(taken):
            yield from map(Message.SerializeToString, step.answer(message))
    elif isinstance(step, Garble):
        for message in _one(taken):
            yield _garbled(step, message).SerializeToString()
    elif isinstance(step, Echo):
        yield from _echoes(step, taken)
    elif isinstance(step, Hang):
        _wait_until_gone(context)
    else:
        context.set_trailing_metadata(tuple(step.trailing))
        context.abort(step.code, step.details)


def _wait_until_gone(context: Any) -> None:
    is_gone = threading.Event()
    if context.add_callback(is_gone.set):  # False where it is gone already
        is_gone.wait()


def _one(taken: Iterator[Message]) -> Iterator[Message]:
    message = next(taken, None)
    if message is not None:
        yield message


def _garbled(step: Garble, asked: Message) -> Message:
    answer = Message()
    answer.CopyFrom(step.answer)
    answer.key = asked.key
    if step.keeps_kind:
        answer.kind = asked.kind
    return answer


def _echoes(step: Echo, taken: Iterator[Message]) -> Iterator[bytes]:
    number = step.first_id
    for message in taken:
        is_said = message.kind in (chat_pb2.KIND_UNSPECIFIED, chat_pb2.KIND_ACTION)
        if is_said:
            message.id = max(number, 0)
            number += step.step
        yield message.SerializeToString()


@contextmanager
def hostile_server(*scripts: Script) -> Iterator[HostileServer]:
    """Serve on a free loopback port: the first stream plays the first script, and so on."""
    hostile = HostileServer(*scripts)
    server = grpc.server(
        futures.ThreadPoolExecutor(8, thread_name_prefix="hostile"), options=OPTIONS
    )
    handler: Any = grpc.stream_stream_rpc_method_handler(hostile.chat)
    _empty, service, method = METHOD.split("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("localhost:0")
    server.start()
    hostile.address = f"localhost:{port}"
    try:
        yield hostile
    finally:
        server.stop(None).wait()


# Scripts at random.


def texts(limit: int = 300) -> strategies.SearchStrategy[str]:
    """Make texts as nobody should send them: escapes, bidi marks, heaps of marks, long ones."""
    nasty = strategies.sampled_from(
        ["\x1b]52;c;aGk=\x07", "\x1b[2J", "\u202e", "e" + "\u0301" * 40, "[ana]: oi", "\n", "\0"]
    )
    short = strategies.one_of(nasty, strategies.text(max_size=20))
    return strategies.builds(
        lambda text, times: (text * times)[:limit], short, strategies.integers(1, limit)
    )


def messages(rooms: Sequence[str] = ("", "aula", "none")) -> strategies.SearchStrategy[Message]:
    """Make messages of every kind, and of kinds that there are not, with any ids and times."""
    numbers = strategies.one_of(
        strategies.integers(0, 5), strategies.sampled_from([2**31, 2**63 - 1, 2**64 - 1])
    )
    fields = {
        "user": texts(),
        "message": texts(20_000) | strategies.sampled_from(["3", "9" * 5000]),
        "id": numbers,
        "kind": strategies.integers(0, 20) | strategies.sampled_from([-1, 2**31 - 1]),
        "key": texts(1000),
        "to": strategies.just("") | texts(),
        "room": strategies.sampled_from(rooms) | texts(),
        "sealed": strategies.just(b"") | strategies.binary(max_size=12_000),
    }
    bare = strategies.builds(
        lambda fields: Message(**fields), strategies.fixed_dictionaries(fields)
    )
    timed = strategies.builds(_with_time, bare, numbers, strategies.integers(-(2**31), 2**31 - 1))
    return strategies.recursive(
        timed,
        lambda inner: strategies.builds(
            _with_batch, timed, strategies.lists(inner, min_size=1, max_size=4)
        ),
        max_leaves=6,
    )


def _with_time(message: Message, seconds: int, nanos: int) -> Message:
    message.sent_at.seconds = min(seconds, 2**63 - 1)
    message.sent_at.nanos = nanos
    return message


def _with_batch(message: Message, batch: Sequence[Message]) -> Message:
    whole = Message()
    whole.CopyFrom(message)
    whole.batch.extend(batch)
    return whole


def greetings() -> strategies.SearchStrategy[Greet]:
    """Make initial metadata of any printable text, numbers that are none included."""
    words = strategies.text(
        strategies.characters(min_codepoint=32, max_codepoint=126), max_size=300
    )
    numbers = strategies.sampled_from(["0", "5", "-1", "9" * 5000, " 1", "1_0", "", "x"])
    return strategies.builds(
        lambda epoch, generation, after: Greet(
            (("chat-epoch", epoch), ("chat-generation", generation), ("chat-after", after))
        ),
        strategies.just("e") | words,
        strategies.just("g") | words,
        numbers | words,
    )


def ends() -> strategies.SearchStrategy[End]:
    """Make statuses that let a client come again, with trailing metadata of any content."""
    codes = strategies.sampled_from(
        [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.RESOURCE_EXHAUSTED]
    )
    return strategies.builds(
        lambda code, details, rich: End(
            code, details, (("grpc-status-details-bin", rich),) if rich else ()
        ),
        codes,
        texts(),
        strategies.binary(max_size=100),
    )


def scripts() -> strategies.SearchStrategy[list[Step]]:
    """Make the script of one stream: a greeting or none, messages, garbage, and an end."""
    steps: strategies.SearchStrategy[Step] = strategies.one_of(
        strategies.builds(Say, messages(), strategies.integers(1, 3)),
        strategies.builds(Garble, messages(), strategies.booleans()),
        strategies.builds(Say, strategies.binary(max_size=50)),
    )
    return strategies.builds(
        lambda greeting, middle, end: [*greeting, *middle, end],
        strategies.lists(greetings(), max_size=1),
        strategies.lists(steps, max_size=MAX_STEPS),
        ends(),
    )
