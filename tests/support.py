"""What the tests share: programs as child processes, raw gRPC clients, deadlines.

Knows the contract and the flags, nothing of the code behind them. Everything talks to loopback and
listens on port 0. What waits has a deadline and says what it saw when that passes:

    with running_server() as server, full_client(server.address, "ana") as ana:
        ana.say("oi", key="1")
        ana.wait_for_text("oi")
        server.wait_for_line("[ana]: oi")
"""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import chat_pb2
import chat_pb2_grpc

ROOT = Path(__file__).resolve().parent.parent
METHOD = "/ChatService/Chat"
# Far above what anything takes, since machines that run tests are busy.
DEADLINE_SECONDS = 20.0
POLL_SECONDS = 0.01
# Those of another process begin elsewhere.
STABLE_PORTS = iter(range(20_000 + os.getpid() % 100 * 100, 32_000))
# The event loop of a server in this process, and what that may begin whenever it needs it.
LOOP_THREAD = "test-loop"
SERVER_THREADS = ("search", "log-reader", "asyncio_")
# How long a client of the tests waits for the end of its stream, when it leaves politely.
FAREWELL_SECONDS = 1.0
IS_CI = os.environ.get("CI", "").lower() == "true"

# A pool of its own for each channel, and no waiting after a refused connection.
CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]

Message = chat_pb2.Message
Metadata = Sequence[tuple[str, "str | bytes"]]
_Result = TypeVar("_Result")


def eventually(
    predicate: Callable[[], _Result],
    seconds: float = DEADLINE_SECONDS,
    what: Callable[[], object] = lambda: "it never came true",
) -> _Result:
    """Return `predicate()` as soon as it is truthy; fail with `what()` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := predicate()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"after {seconds} s: {what()}")
        time.sleep(POLL_SECONDS)
    return result


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a program of ours: none of its variables, English, no proxy."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CHAT_", "GRPC_"))}
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "PYTHONWARNINGS"):
        environment.pop(name, None)
    environment.pop("PYTHONUNBUFFERED", None)  # what should be flushed must be seen to be
    return environment | {"CHAT_LANG": "en"} | dict(extra or {})


class Program:
    """A child process whose lines are collected as they come: `lines` (stdout), `errors` (stderr).

    `arguments` is the whole command. Standard input is a pipe: `type()`, `end_input()`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            arguments,
            cwd=cwd,
            env=clean_environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        self._threads = [
            threading.Thread(target=self._collect, args=pair, name="collect")
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _collect(stream: Iterable[str], lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))

    @property
    def stdout(self) -> str:
        return "\n".join(self.lines)

    @property
    def stderr(self) -> str:
        return "\n".join(self.errors)

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def type(self, text: str) -> None:
        """Write one line to the program's standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end_input(self) -> None:
        """Close the program's standard input."""
        assert self.process.stdin is not None
        # A program that has ended reads nothing any more.
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def wait_for_line(self, text: str, seconds: float = DEADLINE_SECONDS) -> str:
        """Return the first line of standard output that contains `text`."""
        return self._wait_for(self.lines, text, seconds)

    def wait_for_error(self, text: str, seconds: float = DEADLINE_SECONDS) -> str:
        """Return the first line of standard error that contains `text`."""
        return self._wait_for(self.errors, text, seconds)

    def _wait_for(self, lines: list[str], text: str, seconds: float) -> str:
        def found() -> list[str]:
            return [line for line in list(lines) if text in line]

        return eventually(found, seconds, lambda: f"no {text!r} in\n{self.report()}")[0]

    def report(self) -> str:
        """Return all that the program has said so far, for the message of a failed test."""
        return f"stdout:\n{self.stdout}\nstderr:\n{self.stderr}\nexit code: {self.process.poll()}"

    def wait(self, seconds: float = DEADLINE_SECONDS) -> int:
        """Return the exit code once the program has ended by itself."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s\n{self.report()}") from None
        for thread in self._threads:
            thread.join()
        return code

    def send_signal(self, number: int) -> None:
        """Send the signal `number`, unless the program has ended."""
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, seconds: float = DEADLINE_SECONDS) -> int:
        """Send the signal `number` and return the exit code."""
        self.send_signal(number)
        return self.wait(seconds)

    def close(self) -> None:
        """End the program, however it is, and everything that belongs to it."""
        if self.is_running:
            self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


class RunningServer(Program):
    """A server program that listens; `port` is what its first line says, `address` is loopback."""

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str] | None = None,
        host: str = "localhost",
    ) -> None:
        super().__init__(arguments, env)
        self.port = self._read_port()
        self.address = f"{host}:{self.port}"

    def _read_port(self) -> int:
        try:
            eventually(lambda: self.lines or not self.is_running, what=self.report)
            found = re.search(r"(\d+)\.\.\.$", self.lines[0]) if self.lines else None
            assert found, f"no port on the first line\n{self.report()}"
        except BaseException:
            self.close()
            raise
        return int(found[1])

    def fingerprint_rows(self) -> list[str]:
        """Return the rows in which the server has printed its certificate's fingerprint."""

        def found() -> list[str]:
            lines = list(self.lines)
            heads = [number for number, line in enumerate(lines) if "SHA-256" in line]
            rows = lines[heads[0] + 1 : heads[0] + 3] if heads else []
            return rows if len(rows) == 2 else []

        return eventually(found, what=self.report)

    def resident_bytes(self) -> int:
        """Return the resident memory of the server; only where there is /proc."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024


@contextmanager
def running_program(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> Iterator[Program]:
    """Run `python ARGUMENTS…` as a child process for the length of the block."""
    program = Program([sys.executable, *arguments], env, cwd)
    try:
        yield program
    finally:
        program.close()


@contextmanager
def running_server(
    *flags: str,
    db: str | Path = ":memory:",
    env: Mapping[str, str] | None = None,
    script: str = "server.py",
    port: int = 0,
) -> Iterator[RunningServer]:
    """Run `python server.py` on a free loopback port for the length of the block.

    `flags` come last, so that they win. Leaving the block kills it; `stop()` ends it politely.
    """
    command = [sys.executable, script, "--host", "localhost", "--port", str(port), "--db", str(db)]
    server = RunningServer([*command, *flags], env)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def running_client(
    server: RunningServer | str, *flags: str, env: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run `python client.py ADDRESS FLAGS…` with a pipe as its input for the length of the block.

    It has no prompt and no colours. `env={"CHAT_NAME": …}` or `"--name", …` gives the name.
    """
    address = server if isinstance(server, str) else server.address
    with running_program("client.py", address, *flags, env=env) as client:
        yield client


class Client:
    """One stream to a server, by raw gRPC; a thread collects what comes in.

    `messages`: what came, batches taken apart, but not the parts of a history. `raw`: the bytes of
    each frame as they came. `epoch`: the `chat-epoch` of the initial metadata, empty from a plain
    server. When the stream has ended, `code` and `reason` (of the ErrorInfo) say how. One that
    `is_asleep` takes nothing in before `wake_up()`.
    """

    def __init__(
        self,
        address: str,
        metadata: Metadata = (),
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = CHANNEL_OPTIONS,
        user: str = "",
        is_asleep: bool = False,
    ) -> None:
        self.user = user
        self.messages: list[Message] = []
        self.raw: list[bytes] = []
        self.code: grpc.StatusCode | None = None
        self.reason = ""
        self.details = ""
        self._changed = threading.Condition()
        self._has_ended = False
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options)
        chat: Any = self._channel.stream_stream(METHOD, None, None)
        self._call: Any = chat(iter(self._requests.get, None), metadata=tuple(metadata))
        self._thread = threading.Thread(target=self._receive, name="receive")
        self._is_asleep = is_asleep
        if not is_asleep:
            self._thread.start()

    def wake_up(self) -> None:
        """Begin to read what comes in; for a client that was made `is_asleep`. Once."""
        self._is_asleep = False
        self._thread.start()

    def _receive(self) -> None:
        try:
            for raw in self._call:
                message = Message.FromString(raw)
                with self._changed:
                    self.raw.append(raw)
                    is_batch = message.batch and message.kind == chat_pb2.KIND_UNSPECIFIED
                    self.messages.extend(message.batch if is_batch else (message,))
                    self._changed.notify_all()
        except grpc.RpcError:
            pass  # what it was is read from the call, below
        with self._changed:
            self.code = self._call.code()
            self.details = str(self._call.details())
            self.reason = reason_of(self._call)
            self._has_ended = True
            self._changed.notify_all()

    # Saying.

    def send(self, message: Message) -> None:
        """Send one message."""
        self.send_raw(message.SerializeToString())

    def send_raw(self, raw: bytes) -> None:
        """Send these very bytes as one message."""
        self._requests.put(raw)

    def say(
        self, text: str, user: str | None = None, key: str = "", to: str = "", room: str = ""
    ) -> None:
        """Say `text` under this client's own name, or as `user`."""
        name = self.user if user is None else user
        self.send(Message(user=name, message=text, key=key, to=to, room=room))

    def act(self, text: str, key: str = "", room: str = "") -> None:
        """Do something, as in "ana waves"."""
        self.send(Message(message=text, key=key, room=room, kind=chat_pb2.KIND_ACTION))

    def rename(self, name: str, key: str = "") -> None:
        """Ask for another name."""
        self.send(Message(message=name, kind=chat_pb2.KIND_RENAMED, key=key))

    def ask_who(self, key: str = "who", room: str = "") -> None:
        """Ask who is here, or in `room`."""
        self.send(Message(kind=chat_pb2.KIND_WHO, key=key, room=room))

    def enter(
        self, room: str, key: str = "enter", after: int = 0, history: int | None = None
    ) -> None:
        """Ask to be in `room` too, from after an id, or with the last `history` messages."""
        count = "" if history is None else str(history)
        kind = chat_pb2.KIND_ENTERED
        self.send(Message(kind=kind, room=room, key=key, id=after, message=count))

    def exit(self, room: str, key: str = "exit") -> None:
        """Ask to leave one room."""
        self.send(Message(kind=chat_pb2.KIND_EXITED, room=room, key=key))

    def ask_history(
        self, count: int, room: str = "", before: int = 0, key: str = "history"
    ) -> None:
        """Ask for the last `count` messages of `room` before an id, once more."""
        kind = chat_pb2.KIND_HISTORY
        self.send(Message(kind=kind, room=room, key=key, id=before, message=str(count)))

    def ask_rooms(self, key: str = "rooms") -> None:
        """Ask which rooms have people."""
        self.send(Message(kind=chat_pb2.KIND_ROOMS, key=key))

    def half_close(self) -> None:
        """Say nothing more, and go on listening."""
        self._requests.put(None)

    def cancel(self) -> None:
        """Vanish: the stream is cancelled."""
        self._call.cancel()

    # Hearing.

    @property
    def epoch(self) -> str:
        """The server's `chat-epoch`; blocks until the server's first word."""
        return self._greeting("chat-epoch")

    @property
    def generation(self) -> str:
        """The server's `chat-generation`; blocks until the server's first word."""
        return self._greeting("chat-generation")

    def _greeting(self, key: str) -> str:
        return str(dict(self._call.initial_metadata() or ()).get(key, ""))

    def wait_for_greeting(self) -> None:
        """Block until the server's first word: the client is in its room, or was refused."""
        self._call.initial_metadata()

    @property
    def texts(self) -> list[str]:
        """The texts of what was said so far: no presence, no notices."""
        return [m.message for m in list(self.messages) if m.kind == chat_pb2.KIND_UNSPECIFIED]

    @property
    def ids(self) -> list[int]:
        """The ids of the log messages so far."""
        return [m.id for m in list(self.messages) if m.id]

    def of_kind(self, kind: chat_pb2.Kind) -> list[Message]:
        """Return the messages of one kind so far."""
        return [message for message in list(self.messages) if message.kind == kind]

    def wait_for(
        self, predicate: Callable[[Message], bool], seconds: float = DEADLINE_SECONDS
    ) -> Message:
        """Return the first message, of those that came and will come, that `predicate` takes."""
        index = 0
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for message in self.messages[index:]:
                    if predicate(message):
                        return message
                index = len(self.messages)
                assert not self._has_ended, f"the stream ended first\n{self.report()}"
                is_news = self._changed.wait(max(0.0, deadline - time.monotonic()))
                assert is_news, f"it did not come in {seconds} s\n{self.report()}"

    def wait_for_text(self, text: str, seconds: float = DEADLINE_SECONDS) -> Message:
        """Return the first message that says exactly `text`."""
        return self.wait_for(lambda message: message.message == text, seconds)

    def wait_for_kind(self, kind: chat_pb2.Kind, seconds: float = DEADLINE_SECONDS) -> Message:
        """Return the first message of a kind."""
        return self.wait_for(lambda message: message.kind == kind, seconds)

    def wait_for_key(self, key: str, seconds: float = DEADLINE_SECONDS) -> Message:
        """Return the first message with a key: the echo, or the notice of the refusal."""
        return self.wait_for(lambda message: message.key == key, seconds)

    def wait_for_count(self, count: int, seconds: float = DEADLINE_SECONDS) -> None:
        """Return when `count` messages have come in all."""
        with self._changed:
            is_enough = self._changed.wait_for(
                lambda: len(self.messages) >= count or self._has_ended, seconds
            )
            assert is_enough and len(self.messages) >= count, (
                f"{len(self.messages)} of {count} messages came\n{self.report()}"
            )

    def wait_for_texts(self, count: int, seconds: float = DEADLINE_SECONDS) -> None:
        """Return when `count` messages have been said, whatever else has come."""
        eventually(lambda: len(self.texts) >= count, seconds, self.report)

    def wait_for_end(self, seconds: float = DEADLINE_SECONDS) -> tuple[grpc.StatusCode, str]:
        """Return the code and the reason once the stream has ended."""
        with self._changed:
            has_ended = self._changed.wait_for(lambda: self._has_ended, seconds)
        assert has_ended, f"the stream did not end in {seconds} s\n{self.report()}"
        assert self.code is not None
        return self.code, self.reason

    @property
    def is_open(self) -> bool:
        return not self._has_ended

    def report(self) -> str:
        """Return the end of what came, for the message of a failed test."""
        last = [str(message).replace("\n", " ") for message in self.messages[-10:]]
        return f"{self.user or 'client'}: {self.code} {self.reason} {self.details}; last: {last}"

    def close(self) -> None:
        """End the stream, the channel and the threads.

        Politely, so that a server that is well has freed the name when this returns.
        """
        self._requests.put(None)
        if self._is_asleep:
            self.wake_up()
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended, FAREWELL_SECONDS)
        self._call.cancel()
        self._thread.join()
        self._channel.close()


def reason_of(call: Any) -> str:
    """Return the reason in the ErrorInfo of an ended call, empty where there is none."""
    with suppress(ValueError):
        status = rpc_status.from_call(call)
        for detail in status.details if status else ():
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                assert info.domain == "chat"
                return str(info.reason)
    return ""


@contextmanager
def plain_client(address: str, user: str = "", **options: Any) -> Iterator[Client]:
    """Open a stream without any metadata: the small contract. `user` is what `say()` sends."""
    client = Client(address, user=user, **options)
    try:
        yield client
    finally:
        client.close()


def full_metadata(
    user: str,
    *,
    room: str = "",
    session: str = "",
    after: int | None = None,
    inbox: int | None = None,
    generation: str = "",
    history: int | None = None,
    batch: bool = False,
    token: str = "",
    proof: str = "",
) -> list[tuple[str, str | bytes]]:
    """Return the metadata by which a full client says who it is."""
    metadata: list[tuple[str, str | bytes]] = [("chat-user-bin", user.encode())]
    if room:
        metadata.append(("chat-room-bin", room.encode()))
    if session:
        metadata.append(("chat-session", session))
    if after is not None:
        metadata.append(("chat-after", str(after)))
    if inbox is not None:
        metadata.append(("chat-inbox", str(inbox)))
    if generation:
        metadata.append(("chat-generation", generation))
    if history is not None:
        metadata.append(("chat-history", str(history)))
    if batch:
        metadata.append(("chat-batch", "1"))
    if token:
        metadata.append(("authorization", f"Bearer {token}"))
    if proof:
        metadata.append(("chat-proof", proof))
    return metadata


@contextmanager
def full_client(
    address: str,
    user: str,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] = CHANNEL_OPTIONS,
    is_asleep: bool = False,
    **wishes: Any,
) -> Iterator[Client]:
    """Open a stream as `user`, in the room when this returns; or it was refused, or cannot connect.

    `wishes` are those of `full_metadata`.
    """
    metadata = full_metadata(user, **wishes)
    client = Client(address, metadata, credentials, options, user, is_asleep)
    try:
        client.wait_for_greeting()
        yield client
    finally:
        client.close()


class LoopThread:
    """An event loop in a thread of its own, for what is asynchronous and must run beside a test."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=LOOP_THREAD)
        self._thread.start()

    def run(self, program: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine in the loop and return what it returns."""
        future = asyncio.run_coroutine_threadsafe(program, self.loop)
        return future.result(DEADLINE_SECONDS)

    def close(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


class ServerHere:
    """A `server.Server` inside this process: `server` is the object, `loop` runs what it needs."""

    def __init__(self, loop: LoopThread, server: Any) -> None:
        self.loop = loop
        self.server = server
        self.port: int = loop.run(server.start())
        self.address = f"localhost:{self.port}"


@contextmanager
def server_here(*flags: str, db: str | Path = ":memory:", **parts: Any) -> Iterator[ServerHere]:
    """Run the server in a thread of this process, of other `parts` than `Server`'s own."""
    import server as server_module
    from chat.server.settings import read_flags

    settings = read_flags(["--host", "localhost", "--port", "0", "--db", str(db), *flags])
    loop = LoopThread()
    try:
        running = ServerHere(loop, loop.run(_make_server(server_module, settings, parts)))
        try:
            yield running
        finally:
            loop.run(running.server.stop())
    finally:
        loop.close()


async def _make_server(module: Any, settings: Any, parts: Mapping[str, Any]) -> Any:
    return module.Server(settings, module.ChatService, **parts)


@contextmanager
def serving(servicer: Any) -> Iterator[str]:
    """Run another server of the contract in this process, by gRPC's own threads; its address."""
    server = grpc.server(futures.ThreadPoolExecutor(4, thread_name_prefix="servicer"))
    register: Any = chat_pb2_grpc.add_ChatServiceServicer_to_server
    register(servicer, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(None).wait()


def leftover_threads(before: set[threading.Thread], seconds: float = 5.0) -> list[str]:
    """Return the names of threads that are not in `before` and do not end within `seconds`.

    A server that runs in this process for several tests may begin its threads in any of them.
    """
    has_server = any(thread.name == LOOP_THREAD and thread.is_alive() for thread in before)

    def left() -> list[threading.Thread]:
        new = [thread for thread in threading.enumerate() if thread not in before]
        return [one for one in new if not (has_server and one.name.startswith(SERVER_THREADS))]

    def has_none() -> bool:
        if left():
            gc.collect()  # gRPC's own threads end with the last object that knows of them
        return not left()

    with suppress(AssertionError):
        eventually(has_none, seconds)
    return [thread.name for thread in left()]


def stable_port() -> int:
    """Return a free port that no outgoing connection will ever take, for servers that come back.

    On Linux a client that connects to a port of the ephemeral range where nobody listens may end up
    connected to itself, and hold the port. Never the same twice: clients remember what they saw at
    an address, and another log there would be one that was put back.
    """
    for port in STABLE_PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("localhost", port))
            return port
    raise AssertionError("no free port")
