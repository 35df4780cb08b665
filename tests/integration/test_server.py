"""The server over real gRPC: broadcast, refusals, hostile guests, and every way out."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from support import (
    CHANNEL_OPTIONS,
    DEADLINE_SECONDS,
    METHOD,
    ROOT,
    Client,
    RunningServer,
    clean_environment,
    eventually,
    full_client,
    full_metadata,
    plain_client,
    reason_of,
    running_program,
    running_server,
    server_here,
)

import chat_pb2
import server as server_module
from chat.protocol.errors import REASONS, ConfigError
from chat.server import assembly, runtime
from chat.server.log.sqlite import SqliteLog

Message = chat_pb2.Message
Code = grpc.StatusCode
SESSION = "0123456789abcdef" * 2
SERVING = health_pb2.HealthCheckResponse.SERVING
# A stop with nobody on must take less; the rest is for a busy machine.


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for all tests that leave it as it was; each uses a room, or names, of its own."""
    with running_server() as running:
        yield running


def fresh_key() -> str:
    """Return a key that nobody has used: on a server that many tests share, keys are for ever."""
    return secrets.token_hex(8)


def code_and_reason(address: str, metadata: Sequence[tuple[str, str | bytes]]) -> Any:
    """Return how a stream with these metadata ends."""
    client = Client(address, metadata)
    try:
        return client.wait_for_end()
    finally:
        client.close()


# Broadcast, over the wire.


def test_plain_and_full_clients_hear_each_other(server: RunningServer) -> None:
    """Each in its own contract; the plain one's bytes hold nothing but fields 1 and 2."""
    with (
        plain_client(server.address, "plínio") as plain,
        full_client(server.address, "full", history=0) as full,
    ):
        assert plain.epoch == full.epoch
        assert len(full.epoch) == 32
        full.say("from the full one", key="k1")
        echo = full.wait_for_key("k1")
        assert echo.id and echo.sent_at.seconds and echo.user == "full"
        plain.say("from the plain one")
        full.wait_for_text("from the plain one")
        full.ask_who()
        full.wait_for_kind(chat_pb2.KIND_WHO)
        full.rename("fuller")
        full.wait_for_kind(chat_pb2.KIND_RENAMED)
        full.say("goodbye")
        plain.wait_for_text("goodbye")
        assert plain.raw == [
            Message(user="full", message="from the full one").SerializeToString(),
            Message(user="plínio", message="from the plain one").SerializeToString(),
            Message(user="fuller", message="goodbye").SerializeToString(),
        ]


def test_server_speaks_first(server: RunningServer) -> None:
    """Initial metadata come at once, before anybody has said anything."""
    with plain_client(server.address) as client:
        assert client.epoch


def test_fifty_clients_sending_at_once_hear_one_order() -> None:
    """Each of them gets every message once, in the same order as all others, and its own order."""
    people, words = 50, 6
    with running_server("--quiet") as server, ExitStack() as stack:
        clients = []
        for number in range(people):
            if number % 2:
                client = stack.enter_context(plain_client(server.address, f"p{number}"))
            else:
                batch = number % 4 == 0
                client = stack.enter_context(
                    full_client(server.address, f"p{number}", history=0, batch=batch)
                )
            assert client.epoch
            clients.append(client)
        barrier = threading.Barrier(people)

        def speak(client: Client) -> None:
            barrier.wait()
            for word in range(words):
                client.say(f"{client.user}:{word}")

        speakers = [threading.Thread(target=speak, args=(client,)) for client in clients]
        for speaker in speakers:
            speaker.start()
        for speaker in speakers:
            speaker.join()
        for client in clients:
            client.wait_for_texts(people * words)
        order = clients[0].texts
        assert sorted(order) == sorted(f"p{n}:{w}" for n in range(people) for w in range(words))
        assert all(client.texts == order for client in clients)
        for number in range(people):
            own = [text for text in order if text.startswith(f"p{number}:")]
            assert own == [f"p{number}:{word}" for word in range(words)]


def test_joining_while_others_send_has_no_gap_and_no_double() -> None:
    """History comes first, then what is said now, seamlessly, with and without batches."""
    words = 400
    with running_server("--quiet", "--rate", "0") as server, ExitStack() as stack:
        senders = [stack.enter_context(full_client(server.address, f"s{n}")) for n in range(2)]
        for sender in senders:
            assert sender.epoch

        def speak(sender: Client) -> None:
            for word in range(words):
                sender.say(f"{sender.user}:{word}")
                sender.wait_for_text(f"{sender.user}:{word}")

        threads = [threading.Thread(target=speak, args=(sender,)) for sender in senders]
        for thread in threads:
            thread.start()
        joined = []
        for number in range(12):
            wishes: dict[str, Any] = {"history": 1000} if number % 3 else {"after": 0}
            joining = full_client(server.address, f"j{number}", batch=number % 2 == 0, **wishes)
            joined.append(stack.enter_context(joining))
            joined[-1].wait_for(lambda message: message.id > 0)
        for thread in threads:
            thread.join()
        last = max(sender.ids[-1] for sender in senders)
        for client in [*joined, *senders]:
            client.wait_for(lambda message: message.id == last)
            assert client.ids == list(range(1, last + 1))
        assert last == 2 * words


def test_returning_client_gets_what_it_missed(server: RunningServer) -> None:
    """By `chat-after`: everything after that id, and nothing else."""
    with full_client(server.address, "ana", room="return", history=0) as ana:
        for number in range(30):
            ana.say(str(number), key=str(number))
        middle = ana.wait_for_text("14").id
        ana.wait_for_text("29")
    with full_client(server.address, "bia", room="return", after=middle) as bia:
        bia.wait_for_text("29")
        assert bia.texts == [str(number) for number in range(15, 30)]
    with full_client(server.address, "bia", room="RETURN") as bia:
        bia.wait_for_text("29")
        assert bia.texts == [str(number) for number in range(10, 30)]


def test_batches_come_only_to_those_who_asked(server: RunningServer) -> None:
    """A frame with a batch has no other field."""
    with full_client(server.address, "ana", room="batches", history=0) as ana:
        for number in range(50):
            ana.say(str(number))
        ana.wait_for_text("49")
        assert not any(Message.FromString(raw).batch for raw in ana.raw)
        with full_client(server.address, "bia", room="batches", history=50, batch=True) as bia:
            bia.wait_for_text("49")
            frames = [Message.FromString(raw) for raw in bia.raw]
        assert all(frame.batch for frame in frames)
        assert not any(frame.user or frame.message or frame.id for frame in frames)
        assert len(frames) < 50


def test_private_message_crosses_the_wire_to_one_alone(server: RunningServer) -> None:
    """And an unknown name is answered by a notice with the key."""
    with (
        full_client(server.address, "ana", room="private") as ana,
        full_client(server.address, "bia", room="private") as bia,
        full_client(server.address, "carla", room="private") as carla,
    ):
        for client in (ana, bia, carla):
            assert client.epoch
        ana.say("psst", to="BIA", key="p")
        assert bia.wait_for_text("psst").to == "bia"
        assert ana.wait_for_key("p").to == "bia"
        ana.say("psst", to="nobody", key="q")
        assert ana.wait_for_key("q").user == "USER_UNKNOWN"
        ana.say("all", key="r")
        carla.wait_for_text("all")
        assert carla.texts == ["all"]


# Refusals: statuses and reasons.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chat-user-bin": b""}, "NAME_INVALID"),
        ({"chat-user-bin": b"x" * 33}, "NAME_INVALID"),
        ({"chat-user-bin": b"a\x1b[31m"}, "NAME_INVALID"),
        ({"chat-user-bin": b"\xff\xfe"}, "NAME_INVALID"),
        ({"chat-user-bin": "a\u202eb".encode()}, "NAME_INVALID"),
        ({"chat-room-bin": b"\xff"}, "ROOM_INVALID"),
        ({"chat-room-bin": b"  "}, "ROOM_INVALID"),
        ({"chat-session": "not hex"}, "REQUEST_INVALID"),
        ({"chat-session": "f" * 31}, "REQUEST_INVALID"),
        ({"chat-after": "x"}, "REQUEST_INVALID"),
        ({"chat-after": "-1"}, "REQUEST_INVALID"),
        ({"chat-after": "1_000"}, "REQUEST_INVALID"),
        ({"chat-after": "9" * 21}, "REQUEST_INVALID"),
        ({"chat-history": "many"}, "REQUEST_INVALID"),
        ({"chat-history": "1.5"}, "REQUEST_INVALID"),
    ],
    ids=str,
)
def test_metadata_that_make_no_sense_are_refused(
    server: RunningServer, changes: dict[str, str | bytes], reason: str
) -> None:
    """INVALID_ARGUMENT, with the reason."""
    metadata = {"chat-user-bin": b"ana"} | changes
    assert code_and_reason(server.address, list(metadata.items())) == (
        Code.INVALID_ARGUMENT,
        reason,
    )


def test_largest_id_is_understood(server: RunningServer) -> None:
    """An id beyond the log is answered by a notice and the history; it breaks no integer."""
    with full_client(server.address, "ana", room="large", after=2**64 - 1, history=5) as ana:
        notice = ana.wait_for_kind(chat_pb2.KIND_NOTICE)
        assert notice.user == "LOG_REWOUND"
        ana.say("oi", key="k")
        assert ana.wait_for_key("k").message == "oi"


@pytest.mark.parametrize("name", ["Servidor", "server", "ｓｅｒｖｉｄｏｒ", "ANA", "ａｎａ"])
def test_taken_or_reserved_name_is_refused(server: RunningServer, name: str) -> None:
    """ALREADY_EXISTS, to a full client at once, to a plain one on its first word."""
    taken = (Code.ALREADY_EXISTS, "NAME_TAKEN")
    with full_client(server.address, "ana", room="names") as ana:
        assert ana.epoch
        assert code_and_reason(server.address, full_metadata(name)) == taken
        with plain_client(server.address, name) as plain:
            plain.say("oi")
            assert plain.wait_for_end() == taken
            assert "choose another" in plain.details
        ana.rename(name, key="r")
        answer = ana.wait_for_key("r")
        is_own_name = name in ("ANA", "ａｎａ")
        assert answer.user == ("ana" if is_own_name else "NAME_TAKEN")


HOSTILE = {
    "empty name": (Message(user="", message="oi"), "NAME_INVALID"),
    "33 characters": (Message(user="x" * 33, message="oi"), "NAME_INVALID"),
    "escape in the name": (Message(user="\x1b[2J", message="oi"), "NAME_INVALID"),
    "bidi in the name": (Message(user="a\u202e", message="oi"), "NAME_INVALID"),
    "Hangul filler": (Message(user="\u3164", message="oi"), "NAME_INVALID"),
    "8193 bytes": (Message(user="p", message="x" * 8193), "MESSAGE_TOO_LONG"),
    "60 kB": (Message(user="p", message="x" * 60_000), "MESSAGE_TOO_LONG"),
    "60 kB name": (Message(user="x" * 60_000, message="oi"), "NAME_INVALID"),
    "60 kB of marks": (Message(user="a" + "\u0301" * 30_000, message="oi"), "NAME_INVALID"),
    "private": (Message(user="p", message="oi", to="ana"), "REQUEST_INVALID"),
    "kind": (Message(user="p", message="oi", kind=chat_pb2.KIND_NOTICE), "REQUEST_INVALID"),
    "long key": (Message(user="p", message="oi", key="k" * 1000), "REQUEST_INVALID"),
}


@pytest.mark.parametrize(("message", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_plain_client_is_refused_and_nobody_notices(
    server: RunningServer, message: Message, reason: str
) -> None:
    """INVALID_ARGUMENT ends its stream; the others go on."""
    with (
        full_client(server.address, "ana", history=0) as ana,
        plain_client(server.address) as guest,
    ):
        assert ana.epoch
        guest.send(message)
        assert guest.wait_for_end() == (Code.INVALID_ARGUMENT, reason)
        ana.say(f"still here {reason}", key=fresh_key())
        ana.wait_for_text(f"still here {reason}")
        assert len(ana.texts) == 1


@pytest.mark.parametrize("raw", [b"\x0a\x03\xff\xfe\xfd\x12\x02oi", b"\xff\xff", b"\x12\xff\x01x"])
def test_plain_client_with_broken_bytes_is_refused(server: RunningServer, raw: bytes) -> None:
    """Broken UTF-8 and what is not protobuf at all."""
    with plain_client(server.address) as guest:
        guest.send_raw(raw)
        assert guest.wait_for_end() == (Code.INVALID_ARGUMENT, "MESSAGE_INVALID")


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_message_over_64_kib_ends_its_stream_alone(
    server: RunningServer, compression: grpc.Compression
) -> None:
    """gRPC counts what is unpacked: a megabyte of one letter is a kilobyte of gzip."""
    metadata = [("chat-user-bin", b"large")]
    with (
        full_client(server.address, "ana", room="small", history=0) as ana,
        grpc.insecure_channel(server.address, CHANNEL_OPTIONS, compression=compression) as channel,
    ):
        chat: Any = channel.stream_stream(METHOD, None, None)
        large = Message(message="x" * 1_000_000).SerializeToString()
        call = chat(iter([large]), metadata=metadata, timeout=DEADLINE_SECONDS)
        with pytest.raises(grpc.RpcError):
            list(call)
        assert call.code() == Code.RESOURCE_EXHAUSTED
        ana.say("still here", key="k")
        ana.wait_for_key("k")


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    low = bytes([number & 0x7F | 0x80]) if number > 0x7F else bytes([number])
    return low + (varint(number >> 7) if number > 0x7F else b"")


# Messages that cannot be decoded (their name is not UTF-8), by what stands where the key should.
BROKEN_NAME = b"\x0a\x01\xff"
NO_KEYS = {
    "500 million as a number": b"\x30" + varint(500_000_000),
    "the largest number": b"\x30" + varint((1 << 64) - 1),
    "32 bits": b"\x35\x01\x02\x03\x04",
    "64 bits": b"\x31" + b"\x7f" * 8,
    "a group": b"\x33\x08\x01\x34",
    "2 kB": b"\x32" + varint(2048) + b"k" * 2048,
}


@pytest.mark.parametrize("field", NO_KEYS.values(), ids=NO_KEYS.keys())
def test_what_is_no_key_is_taken_for_none(server: RunningServer, field: bytes) -> None:
    """The notice has no key, nothing large is made of it, and the stream lives on."""
    with full_client(server.address, "broken", room="broken", history=0) as guest:
        guest.send_raw(BROKEN_NAME + field)
        notice = guest.wait_for_kind(chat_pb2.KIND_NOTICE)
        assert (notice.user, notice.key) == ("MESSAGE_INVALID", "")
        guest.say("oi", key="after")
        guest.wait_for_key("after")
    with plain_client(server.address) as plain:
        plain.send_raw(BROKEN_NAME + field)
        assert plain.wait_for_end() == (Code.INVALID_ARGUMENT, "MESSAGE_INVALID")


def test_hostile_full_client_is_told_and_stays(server: RunningServer) -> None:
    """Each refusal is a notice with the key of what was refused; the stream lives on."""
    with full_client(server.address, "mallory", room="hostile", history=0) as guest:
        guest.say("", key="empty")
        assert guest.wait_for_key("empty").user == "MESSAGE_INVALID"
        guest.say("x" * 60_000, key="60 kB")
        assert guest.wait_for_key("60 kB").user == "MESSAGE_TOO_LONG"
        guest.say("oi", to="a" + "\u0301\u0323" * 15_000, key="marks")
        assert guest.wait_for_key("marks").user == "USER_UNKNOWN"
        guest.send(Message(message="oi", kind=chat_pb2.KIND_LEFT, key="kind"))
        assert guest.wait_for_key("kind").user == "REQUEST_INVALID"
        guest.send_raw(b"\x12\x02\xff\xfe\x32\x06broken")
        assert guest.wait_for_key("broken").user == "MESSAGE_INVALID"
        guest.send_raw(b"\x32\x02\xff\xfe\x12\x02oi")  # not even the key can be read
        guest.send_raw(b"\x07garbage")
        guest.say("fine", key="fine")
        guest.wait_for_key("fine")
        unreadable = [m for m in guest.of_kind(chat_pb2.KIND_NOTICE) if not m.key]
        assert [notice.user for notice in unreadable] == ["MESSAGE_INVALID"] * 2
        assert guest.texts == ["fine"]
        assert guest.is_open


def test_message_beyond_every_bound_ends_only_its_own_stream(server: RunningServer) -> None:
    """Twenty megabytes are refused by gRPC itself; the server lives."""
    with (
        full_client(server.address, "ana", room="huge") as ana,
        full_client(server.address, "mallory", room="huge") as guest,
    ):
        assert ana.epoch and guest.epoch
        guest.say("x" * 20_000_000)
        guest.wait_for_end()
        ana.say("still here", key="k")
        ana.wait_for_key("k")


def test_what_could_steer_a_terminal_is_cleaned(server: RunningServer) -> None:
    """For plain and full readers, and on the server's own screen."""
    with (
        plain_client(server.address, "ana") as plain,
        full_client(server.address, "bia", history=0) as full,
    ):
        assert full.epoch
        plain.say("a\x1b]52;c;x\x07\r\u202eb\u2028c")
        cleaned = "a\ufffd]52;c;x\ufffd\ufffd\ufffdb\ufffdc"
        plain.wait_for_text(cleaned)
        full.wait_for_text(cleaned)
        server.wait_for_line(f"[ana]: {cleaned}")
        plain.say("one\n[bia]: yes")
        plain.wait_for_text("one\n[bia]: yes")
        server.wait_for_line("    [bia]: yes")


def test_blank_lines_of_a_plain_client_are_ignored(server: RunningServer) -> None:
    """They reach nobody, and end nothing."""
    with plain_client(server.address, "ana") as plain:
        plain.say("")
        plain.say(" \t")
        plain.say("oi")
        plain.wait_for_text("oi")
        assert plain.texts == ["oi"]


def test_server_is_full_and_says_so() -> None:
    """Client `--max-clients` + 1 is refused aloud; a place that is left is free again."""
    with running_server("--max-clients", "2") as server, full_client(server.address, "a") as first:
        assert first.epoch
        with plain_client(server.address, "b") as second:
            assert second.epoch
            full = (Code.RESOURCE_EXHAUSTED, "SERVER_FULL")
            assert code_and_reason(server.address, []) == full
            assert code_and_reason(server.address, full_metadata("c")) == full

        def is_admitted() -> bool:
            with full_client(server.address, "c") as third:
                return bool(third.epoch)

        eventually(is_admitted)


def test_same_session_takes_its_name_back(server: RunningServer) -> None:
    """A ghost's stream ends with SESSION_REPLACED, and nobody sees anybody come or go."""
    with (
        full_client(server.address, "bia", room="ghosts") as bia,
        full_client(server.address, "ana", room="ghosts", session=SESSION) as ghost,
    ):
        bia.wait_for_kind(chat_pb2.KIND_JOINED)
        assert ghost.epoch
        with full_client(server.address, "ana", room="ghosts", session=SESSION) as back:
            assert back.epoch
            assert ghost.wait_for_end() == (Code.ABORTED, "SESSION_REPLACED")
            back.say("back")
            bia.wait_for_text("back")
            assert len(bia.of_kind(chat_pb2.KIND_JOINED)) == 1
            assert not bia.of_kind(chat_pb2.KIND_LEFT)
        bia.wait_for_kind(chat_pb2.KIND_LEFT)


def test_vanished_client_leaves_its_name_and_the_room(server: RunningServer) -> None:
    """A stream that is cancelled, or whose process is gone, is a person who left."""
    with full_client(server.address, "bia", room="vanish") as bia:
        with full_client(server.address, "ana", room="vanish") as ana:
            bia.wait_for_kind(chat_pb2.KIND_JOINED)
            ana.cancel()
            bia.wait_for_kind(chat_pb2.KIND_LEFT)
        with full_client(server.address, "ana", room="vanish") as ana:
            assert ana.epoch


def test_reader_that_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """With READER_STUCK after its time, while the others talk on."""
    monkeypatch.setattr(server_module, "STUCK_SECONDS", 0.5)
    monkeypatch.setattr(server_module, "STUCK_CHECK_SECONDS", 0.1)
    with (
        server_here("--rate", "0", "--quiet") as server,
        full_client(server.address, "ana", history=0) as ana,
        grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel,
    ):
        assert ana.epoch
        may_end = threading.Event()
        chat: Any = channel.stream_stream(METHOD, None, None)
        stuck: Any = chat(iter(may_end.wait, True), metadata=full_metadata("stuck"))
        ana.wait_for_kind(chat_pb2.KIND_JOINED)
        for _ in range(2000):
            ana.say("x" * 8000)
        ana.wait_for_kind(chat_pb2.KIND_LEFT)
        ana.say("goes on")
        ana.wait_for_text("goes on")
        may_end.set()
        with pytest.raises(grpc.RpcError):
            list(stuck)
        assert (stuck.code(), reason_of(stuck)) == (Code.RESOURCE_EXHAUSTED, "READER_STUCK")


class Connections:
    """Opens a log in a file, and keeps its two connections at hand."""

    def __init__(self) -> None:
        self._made: list[sqlite3.Connection] = []

    def open_log(self, path: str, retain_days: float) -> SqliteLog:
        return SqliteLog(path, retain_days, self._connect)

    def _connect(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        self._made.append(sqlite3.connect(*arguments, **options))
        return self._made[-1]

    @property
    def writing(self) -> sqlite3.Connection:
        return self._made[0]

    @property
    def reading(self) -> sqlite3.Connection:
        return self._made[1]


def test_full_disk_is_told_to_the_sender_and_the_chat_lives(tmp_path: Path) -> None:
    """NOT_STORED: a notice for a full client, a status for a plain one; readers are served."""
    connections = Connections()
    with (
        server_here(db=tmp_path / "chat.db", open_log=connections.open_log) as server,
        full_client(server.address, "ana") as ana,
        plain_client(server.address, "plínio") as plain,
    ):
        ana.say("before", key="1")
        ana.wait_for_key("1")
        connection = connections.writing
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        ana.say("x" * 8000, key="2")
        assert ana.wait_for_key("2").user == "NOT_STORED"
        plain.say("x" * 8000)
        assert plain.wait_for_end() == (Code.UNAVAILABLE, "NOT_STORED")
        with full_client(server.address, "bia") as bia:
            bia.wait_for_text("before")
        connection.execute("PRAGMA max_page_count = 100000")
        ana.say("after", key="2")
        assert ana.wait_for(lambda m: m.key == "2" and m.id > 0).message == "after"


def test_log_that_cannot_be_read_refuses_newcomers_with_a_reason(tmp_path: Path) -> None:
    """LOG_UNREADABLE is UNAVAILABLE: come back later."""
    connections = Connections()
    with server_here(db=tmp_path / "chat.db", open_log=connections.open_log) as server:
        connections.reading.close()
        unreadable = (Code.UNAVAILABLE, "LOG_UNREADABLE")
        assert code_and_reason(server.address, full_metadata("ana")) == unreadable


# Flood.


def test_flood_is_slowed_down_and_nothing_is_lost() -> None:
    """Above ten seconds' worth a client is read from at its rate; nobody else waits for it."""
    rate, extra = 10, 30
    words = rate * 10 + extra
    with (
        running_server("--rate", str(rate), "--quiet") as server,
        full_client(server.address, "flood", history=0) as flood,
        full_client(server.address, "ana", history=0) as ana,
    ):
        assert flood.epoch and ana.epoch
        started = time.monotonic()
        for number in range(words):
            flood.say(str(number))
        ana.wait_for_text(str(rate * 10 - 1))
        ana.say("not slowed", key="k")
        ana.wait_for_key("k")
        assert str(words - 1) not in ana.texts  # the flood is still being held back
        ana.wait_for_text(str(words - 1))
        assert time.monotonic() - started >= extra / rate - 0.2
        assert [text for text in ana.texts if text != "not slowed"] == list(map(str, range(words)))


# Ways out.


def test_half_close_gets_the_last_echoes_and_ok(server: RunningServer) -> None:
    """Nothing that was sent is lost, and the stream ends."""
    with plain_client(server.address, "leaver") as plain:
        for number in range(100):
            plain.say(str(number))
        plain.half_close()
        assert plain.wait_for_end() == (Code.OK, "")
        assert plain.texts == [str(number) for number in range(100)]


def test_half_close_without_a_word_is_ok(server: RunningServer) -> None:
    """For both sorts of clients."""
    with (
        plain_client(server.address) as plain,
        full_client(server.address, "quiet", room="leave") as full,
    ):
        plain.half_close()
        full.half_close()
        assert plain.wait_for_end() == (Code.OK, "")
        assert full.wait_for_end() == (Code.OK, "")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_an_idle_server(number: signal.Signals) -> None:
    """Exit code 0, no traceback."""
    with running_server() as server:
        assert server.stop(number) == 0
        assert server.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_stopping_server_tells_everybody() -> None:
    """A notice to full clients, UNAVAILABLE and SHUTTING_DOWN to all; what was said is heard."""
    with (
        running_server() as server,
        full_client(server.address, "ana") as ana,
        plain_client(server.address, "plínio") as plain,
    ):
        assert ana.epoch and plain.epoch
        plain.say("last words")
        ana.wait_for_text("last words")
        server.send_signal(signal.SIGTERM)
        stopped = (Code.UNAVAILABLE, "SHUTTING_DOWN")
        assert ana.wait_for_end() == stopped
        assert plain.wait_for_end() == stopped
        assert server.wait() == 0
        assert [m.user for m in ana.of_kind(chat_pb2.KIND_NOTICE)] == ["SHUTTING_DOWN"]
        assert "Traceback" not in server.stderr


def test_stopping_server_gives_its_readers_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """They get what they are owed, and the status, even where gRPC itself would not wait."""
    monkeypatch.setattr(assembly, "STOP_SECONDS", 0.0)
    words = 100
    with (
        server_here("--rate", "0", "--quiet") as server,
        full_client(server.address, "ana", history=0) as ana,
        plain_client(server.address) as plain,
    ):
        plain.wait_for_greeting()
        for number in range(words):
            ana.say(str(number) + " " * 8000 + ".")
        ana.wait_for_texts(words)
        server.loop.run(server.server.stop())
        for client in (ana, plain):
            assert client.wait_for_end() == (Code.UNAVAILABLE, "SHUTTING_DOWN")
            assert len(client.texts) == words


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_second_signal_while_stopping_does_no_harm() -> None:
    """An impatient Ctrl-C Ctrl-C leaves no traceback; one that comes later ends it at once."""
    with running_server() as server, full_client(server.address, "ana") as ana:
        assert ana.epoch
        for _ in range(5):
            server.send_signal(signal.SIGINT)
        assert server.wait() in (0, -signal.SIGINT)
        assert "Traceback" not in server.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_history_survives_the_server(tmp_path: Path) -> None:
    """A new server on the same file goes on where the old one stopped, after SIGKILL too."""
    db = tmp_path / "chat.db"
    epochs, ids = [], []
    for number, end in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGTERM)):
        with running_server(db=db) as server, full_client(server.address, "ana") as ana:
            epochs.append(ana.epoch)
            ana.say(f"{number}", key=f"{number}")
            ids.append(ana.wait_for_key(f"{number}").id)
            assert ana.texts == [str(n) for n in range(number + 1)]
            server.stop(end)
    assert len(set(epochs)) == 1
    assert ids == sorted(set(ids))


def test_port_that_is_taken_is_one_sentence_at_once(server: RunningServer) -> None:
    """Never two chats on one port in silence."""
    arguments = ("--host", "localhost", "--port", str(server.port), "--db", ":memory:")
    with running_program("server.py", *arguments) as second:
        assert second.wait(10) == 1
        assert second.stderr.startswith(f"Port {server.port} is in use")
        assert second.stderr.count("\n") == 0
        assert second.lines == []


def test_server_that_cannot_listen_releases_its_log(tmp_path: Path) -> None:
    """Whoever has chosen another port may open it at once."""
    db = tmp_path / "chat.db"
    with server_here() as first:
        with (
            pytest.raises(ConfigError) as refusal,
            server_here("--port", str(first.port), db=db),
        ):
            pass
        SqliteLog(str(db)).abandon()
        assert "in use" in str(refusal.value)  # and the failed server is alive until here


def test_port_of_another_program_is_one_sentence() -> None:
    """Whoever listens there."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        arguments = ("--host", "127.0.0.1", "--port", str(port), "--db", ":memory:")
        with running_program("server.py", *arguments) as second:
            assert second.wait(10) == 1
            assert "is in use" in second.stderr and "Traceback" not in second.stderr


def test_address_of_another_machine_is_one_sentence() -> None:
    """192.0.2.0/24 belongs to nobody (RFC 5737)."""
    arguments = ("--host", "192.0.2.1", "--port", "0", "--db", ":memory:")
    with running_program("server.py", *arguments) as second:
        assert second.wait(10) == 1
        assert "not an address of this machine" in second.stderr
        assert "Traceback" not in second.stderr


def test_host_that_is_no_name_is_one_sentence() -> None:
    """A typing error does not show a traceback."""
    arguments = ("--host", "no such host", "--port", "0", "--db", ":memory:")
    with running_program("server.py", *arguments) as second:
        assert second.wait(10) == 1
        assert len(second.errors) == 1 and "Traceback" not in second.stderr


def test_second_server_on_the_same_log_is_one_sentence(tmp_path: Path) -> None:
    """Two writers would be two orders."""
    db = tmp_path / "chat.db"
    with (
        running_server(db=db),
        running_program("server.py", "--port", "0", "--db", str(db)) as second,
    ):
        assert second.wait(10) == 1
        assert "Another server has" in second.stderr
        assert len(second.errors) == 1 and second.lines == []


def test_log_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    """A folder that is not there."""
    with running_program("server.py", "--port", "0", "--db", str(tmp_path / "no" / "x.db")) as one:
        assert one.wait(10) == 1
        assert "The folder of" in one.stderr and "does not exist" in one.stderr
        assert len(one.errors) == 1 and one.lines == []


# The screen of the server.


def test_first_line_is_that_of_the_guide() -> None:
    """In Portuguese unless told otherwise, with the real port; then what to type elsewhere."""
    environment = clean_environment()
    del environment["CHAT_LANG"]
    command = [sys.executable, "server.py", "--port", "0", "--db", ":memory:"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    )
    with process:
        assert process.stdout is not None
        first = process.stdout.readline()
        try:
            assert first.startswith("Servidor gRPC rodando em porta ")
            port = int(first.removeprefix("Servidor gRPC rodando em porta ").rstrip(".\n"))
            for address in runtime.addresses():
                assert f"{address}:{port}" in process.stdout.readline()
            with plain_client(f"localhost:{port}", "ana") as ana:
                ana.say("olá")
                ana.wait_for_text("olá")
                assert process.stdout.readline() == "[ana]: olá\n"
        finally:
            process.kill()


def test_conversation_is_shown_and_rooms_are_named(server: RunningServer) -> None:
    """`[user]: message`, as in the first version."""
    with (
        full_client(server.address, "ana") as ana,
        full_client(server.address, "bia", room="Sala") as bia,
    ):
        ana.say("on the screen")
        bia.say("elsewhere")
        bia.say("for ana alone", to="ana")
        server.wait_for_line("[ana]: on the screen")
        assert server.wait_for_line("[bia]: elsewhere") == "#sala [bia]: elsewhere"
        ana.wait_for_text("for ana alone")
        assert "for ana alone" not in server.stdout


def test_quiet_server_shows_no_conversation() -> None:
    """Its first line alone."""
    with running_server("--quiet") as server, plain_client(server.address, "ana") as ana:
        ana.say("oi")
        ana.wait_for_text("oi")
        ana.half_close()
        ana.wait_for_end()
        assert server.lines == [f"gRPC server running on port {server.port}..."]


@contextmanager
def unread_server() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a server and read only the first line of its standard output; yield it and its port."""
    command = [sys.executable, "server.py", "--host", "localhost", "--port", "0", "--rate", "0"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [*command, "--db", ":memory:"], cwd=ROOT, env=clean_environment(), **pipes
    ) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline().rstrip(b".\r\n").rpartition(b" ")[2])
        finally:
            process.kill()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("is_closed", [False, True], ids=["stopped pager", "closed pipe"])
def test_chat_never_waits_for_its_screen(is_closed: bool) -> None:
    """Standard output that takes nothing, or is gone, stops neither the chat nor the way out."""
    with unread_server() as (process, port):
        assert process.stdout is not None and process.stderr is not None
        if is_closed:
            process.stdout.close()
        with plain_client(f"localhost:{port}", "ana") as ana:
            for number in range(8000):
                ana.say(f"{number} " + "x" * 100)
            ana.wait_for_count(8000)
            process.send_signal(signal.SIGTERM)
            assert ana.wait_for_end() == (Code.UNAVAILABLE, "SHUTTING_DOWN")
        assert process.wait(DEADLINE_SECONDS) == 0
        assert b"Traceback" not in process.stderr.read()


def test_screen_counts_what_it_leaves_out() -> None:
    """Of a conversation that nobody reads, what is kept is shown later, and the rest is counted."""
    count, shown, left_out, said = 12_000, 0, 0, "{} of a conversation that nobody reads"
    with unread_server() as (process, port), plain_client(f"localhost:{port}", "ana") as ana:
        assert process.stdout is not None
        for number in range(count):
            ana.say(said.format(number))
        ana.wait_for_count(count)
        while shown + left_out < count:
            line = process.stdout.readline().decode().rstrip()
            if told := re.fullmatch(r"\((\d+) lines? left out\)", line):
                left_out += int(told[1])
            else:
                assert line == f"[ana]: {said.format(shown + left_out)}"
                shown += 1
    assert shown > 4000 and left_out > 0


# What other people's tools ask.


def test_health_is_serving(server: RunningServer) -> None:
    """For the whole server and for the service; an unknown one is NOT_FOUND."""
    with grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", "ChatService"):
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health.Check(request, timeout=DEADLINE_SECONDS)
            assert answer.status == SERVING
        with pytest.raises(grpc.RpcError) as refusal:
            health.Check(health_pb2.HealthCheckRequest(service="x"), timeout=DEADLINE_SECONDS)
        assert refusal.value.code() == Code.NOT_FOUND


def test_watching_an_unknown_service_is_refused(server: RunningServer) -> None:
    """Else each name that somebody makes up would be kept for as long as the call lasts."""
    with grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="x" * 10_000)
        with pytest.raises(grpc.RpcError) as refusal:
            next(health.Watch(request, timeout=DEADLINE_SECONDS))
        assert refusal.value.code() == Code.NOT_FOUND


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_health_is_not_serving_while_the_server_stops() -> None:
    """Whoever watches is told before the end."""
    with running_server() as server:
        with grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="ChatService")
            watch = health.Watch(request, timeout=DEADLINE_SECONDS)
            assert next(watch).status == SERVING
            server.send_signal(signal.SIGTERM)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            watch.cancel()
        assert server.wait() == 0


def test_reflection_lists_the_service(server: RunningServer) -> None:
    """grpcurl and the like see the contract."""
    with grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="ChatService"),
        ]
        listed, described = stub.ServerReflectionInfo(iter(ask), timeout=DEADLINE_SECONDS)
    names = {service.name for service in listed.list_services_response.service}
    assert {"ChatService", "grpc.health.v1.Health"} <= names
    files = described.file_descriptor_response.file_descriptor_proto
    assert any(b"ChatService" in file for file in files)


def test_unknown_method_is_unimplemented(server: RunningServer) -> None:
    """What gRPC servers say to a client that is at the wrong door."""
    with grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel:
        call: Any = channel.unary_unary("/chat.ChatService/Chat", None, None)
        with pytest.raises(grpc.RpcError) as refusal:
            call(b"", timeout=DEADLINE_SECONDS)
        assert refusal.value.code() == Code.UNIMPLEMENTED


def test_something_else_than_http2_does_no_harm(server: RunningServer) -> None:
    """A browser, or a scanner."""
    with socket.create_connection(("localhost", server.port)) as visitor:
        visitor.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        visitor.settimeout(DEADLINE_SECONDS)
        while visitor.recv(4096):
            pass
    with full_client(server.address, "ana", room="after the scanner") as ana:
        ana.say("oi", key="k")
        ana.wait_for_key("k")


def test_server_here_ends_without_a_trace() -> None:
    """Starting and stopping leaves no thread, no file and no task behind."""
    for _ in range(3):
        with server_here() as server, full_client(server.address, "ana") as ana:
            ana.say("oi")
            ana.wait_for_text("oi")


# How a refusal travels.


def test_refusal_says_its_reason_in_three_ways(server: RunningServer) -> None:
    """ErrorInfo, a text in the server's language, and `chat-reason` for whoever knows neither."""
    with grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel:
        chat: Any = channel.stream_stream(METHOD, None, None)
        call = chat(iter(()), metadata=[("chat-user-bin", b"servidor")], timeout=DEADLINE_SECONDS)
        with pytest.raises(grpc.RpcError):
            list(call)
    assert (call.code(), reason_of(call)) == (Code.ALREADY_EXISTS, "NAME_TAKEN")
    assert dict(call.trailing_metadata())["chat-reason"] == "NAME_TAKEN"
    status = rpc_status.from_call(call)
    assert status is not None and status.message == call.details() == REASONS["NAME_TAKEN"].text
    localized = error_details_pb2.LocalizedMessage()
    assert status.details[1].Unpack(localized)
    assert (localized.locale, localized.message) == ("en", REASONS["NAME_TAKEN"].text)


def test_full_server_says_when_to_try_again() -> None:
    """RetryInfo, so that clients do not all come back at once."""
    with (
        running_server("--max-clients", "1") as server,
        full_client(server.address, "ana"),
        grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel,
    ):
        chat: Any = channel.stream_stream(METHOD, None, None)
        call = chat(iter(()), metadata=full_metadata("bia"), timeout=DEADLINE_SECONDS)
        with pytest.raises(grpc.RpcError):
            list(call)
    status = rpc_status.from_call(call)
    retry = error_details_pb2.RetryInfo()
    assert status is not None and status.details[2].Unpack(retry)
    assert retry.retry_delay.seconds > 0


def test_token_is_asked_for_by_every_service_but_health() -> None:
    """Reflection would tell a stranger what there is; whoever watches over servers has no token."""
    bearer = [("authorization", "Bearer correct-horse")]
    with (
        running_server(env={"CHAT_TOKEN": "correct-horse"}) as server,
        grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = health_pb2.HealthCheckRequest(service="ChatService")
        assert health.Check(request, timeout=DEADLINE_SECONDS).status == SERVING
        watch = health.Watch(request, timeout=DEADLINE_SECONDS)
        assert next(watch).status == SERVING
        watch.cancel()
        ask = [reflection_pb2.ServerReflectionRequest(list_services="")]
        with pytest.raises(grpc.RpcError) as refusal:
            next(reflection.ServerReflectionInfo(iter(ask), timeout=DEADLINE_SECONDS))
        assert refusal.value.code() == Code.UNAUTHENTICATED
        assert reason_of(refusal.value) == "TOKEN_MISSING"
        with_token = {"metadata": bearer, "timeout": DEADLINE_SECONDS}
        assert next(reflection.ServerReflectionInfo(iter(ask), **with_token))
