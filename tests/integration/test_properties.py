"""Properties that hold whatever happens: of a client's places on the server, and of a session.

`make fuzz` sets CHAT_FUZZ, how many times as long they are tried.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import pytest
from fakes import FakeCall, FakeError, opening
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from places import ManyPlaces

from chat.client import Session
from chat.client import backoff as backoff_module
from chat.server import replay, send_queue
from chat_pb2 import (
    KIND_ENTERED,
    KIND_EXITED,
    KIND_NOTICE,
    KIND_UNSPECIFIED,
    Message,
)

TIMES = int(os.environ.get("CHAT_FUZZ", "1"))
ROOMS = ("", "sala", "cozinha")
# What gives whoever listens control again.
NOTHING_NEW = Message(kind=KIND_NOTICE, message="nothing new")
AS_LONG_AS_IT_TAKES = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


# Twenty-five times 400 steps.
@settings(max_examples=25 * TIMES, deadline=None, suppress_health_check=AS_LONG_AS_IT_TAKES)
@given(seed=st.integers(0, 1 << 64))
def test_places_of_a_client_have_no_gap_and_no_double(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Against the log itself: the queue, the pages, and the seam between them."""
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 4)
    monkeypatch.setattr(replay, "PAGE_MESSAGES", 3)
    asyncio.run(ManyPlaces(random.Random(seed)).run())


class ModelServer:
    """What a full server does for one client, without threads, queues or time.

    `log`: (id, room, key, text) of everything; `rooms`: where the present stream is, and the id up
    to which each was handed out.
    """

    def __init__(self) -> None:
        self.log: list[tuple[int, str, str, str]] = []
        self.rooms: dict[str, int] = {}
        self.down: list[Message] = []

    def open(self, metadata: dict[str, Any]) -> int:
        """Begin a stream; return after which id."""
        room = metadata.get("chat-room-bin", b"").decode()
        after = int(metadata.get("chat-after", len(self.log)))
        self.rooms, self.down = {room: after}, []
        return after

    def take(self, message: Message) -> None:
        """Do what a message asks."""
        room = message.room
        if message.kind == KIND_ENTERED:
            after = len(self.log) if message.message else message.id
            place = self.rooms.setdefault(room, after)
            self.down.append(Message(kind=KIND_ENTERED, room=room, id=place, key=message.key))
        elif room not in self.rooms:
            notice = Message(kind=KIND_NOTICE, user="NOT_IN_ROOM", key=message.key)
            self.down.append(notice)
        elif message.kind == KIND_EXITED:
            del self.rooms[room]
            self.down.append(Message(kind=KIND_EXITED, room=room, key=message.key))
        else:
            self.say(room, message.key, message.message)

    def say(self, room: str, key: str, text: str) -> None:
        """Append a message; a key that was appended before is answered again."""
        for number, place, known, said in self.log:
            if known == key:
                if number <= self.rooms.get(place, 0):
                    again = Message(user="ana", id=number, room=place, key=key, message=said)
                    self.down.append(again)
                return
        self.log.append((len(self.log) + 1, room, key, text))

    def hand_out(self) -> None:
        """Hand out what is new in the rooms of the stream."""
        for number, room, key, text in self.log:
            if number > self.rooms.get(room, number):
                self.rooms[room] = number
                user = "ana" if key.startswith("k") else "x"
                said = Message(user=user, message=text, id=number, room=room, key=key)
                self.down.append(said)


class ModelCall(FakeCall):
    """A stream to the model: it takes and answers when the client listens."""

    def __init__(self, server: ModelServer) -> None:
        super().__init__(epoch="e", generation="g")
        self.server = server
        self.is_lost = False

    def initial_metadata(self) -> Any:
        after = self.server.open(self.metadata)
        return [("chat-epoch", "e"), ("chat-generation", "g"), ("chat-after", str(after))]

    def work(self, count: int) -> None:
        """Let the server take so many of the messages that wait for it."""
        while count and self.requests is not None and self.requests.is_ready:
            message = self.requests.next()
            if message is None:
                return
            self.server.take(message)
            count -= 1

    def __iter__(self) -> Any:
        while not self.is_lost:
            yield self.server.down.pop(0) if self.server.down else NOTHING_NEW
        raise FakeError


class SessionMachine(RuleBasedStateMachine):
    """A session against the model: said where it was meant, heard once, in order, all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.wait_seconds = backoff_module.MIN_BACKOFF_SECONDS
        backoff_module.MIN_BACKOFF_SECONDS = 1e-6
        self.server = ModelServer()
        self.calls: list[ModelCall] = []
        self.session = Session(
            "localhost:1", "ana", history=0, retry_first_connect=True, open_stream=self.open_stream
        )
        self.meant: dict[str, str] = {}
        self.heard: dict[str, list[int]] = {room: [] for room in ROOMS}
        self.starts: dict[str, int] = {}
        self.spoken = 0
        self.messages = iter(self.session)
        self.listen()
        self.starts[""] = self.session.place.rooms[""]

    def open_stream(self, stub: Any, requests: Any, metadata: Any) -> Any:
        self.calls.append(ModelCall(self.server))
        call: Any = opening(self.calls[-1])(stub, requests, metadata)
        return call

    def teardown(self) -> None:
        self.drain()
        for room, start in self.starts.items():
            expected = [n for n, place, _key, _text in self.server.log if place == room]
            assert self.heard[room] == [number for number in expected if number > start], room
        assert {key: room for _n, room, key, _text in self.server.log if key in self.meant} == (
            self.meant
        )
        self.session.abort()
        backoff_module.MIN_BACKOFF_SECONDS = self.wait_seconds

    def drain(self) -> None:
        """Let everything arrive, in every room that was ever entered."""
        for _turn in range(2):
            for room in self.starts:
                if room not in self.session.rooms:
                    self.session.enter(room)
            self.server.hand_out()
            while self.session.unacknowledged or self.server.down:
                self.calls[-1].work(1)
                self.server.hand_out()
                self.listen()

    def listen(self) -> None:
        message = next(self.messages)
        if message.kind == KIND_ENTERED:
            self.starts.setdefault(message.room, message.id)
        elif message.kind == KIND_UNSPECIFIED:
            self.heard[message.room].append(message.id)

    @rule(room=st.sampled_from(ROOMS))
    def say(self, room: str) -> None:
        if room in self.session.rooms:
            self.spoken += 1
            key = f"k{self.spoken}"
            self.meant[key] = room
            self.session.send(f"for {room}", room=room, key=key)

    @rule(room=st.sampled_from(ROOMS))
    def somebody_else_says(self, room: str) -> None:
        self.spoken += 1
        self.server.say(room, f"other {self.spoken}", "oi")

    @rule(room=st.sampled_from(ROOMS))
    def enter(self, room: str) -> None:
        if not self.is_under_way(room):
            self.session.enter(room)

    @rule(room=st.sampled_from(ROOMS))
    def leave(self, room: str) -> None:
        rooms = self.session.rooms
        if room in rooms and len(rooms) > 1 and not self.is_under_way(room):
            self.session.leave(room)

    def is_under_way(self, room: str) -> bool:
        wishes = (KIND_ENTERED, KIND_EXITED)
        return any(m.room == room and m.kind in wishes for m in self.session.pending)

    @rule(count=st.integers(1, 5))
    def the_server_works(self, count: int) -> None:
        self.calls[-1].work(count)

    @rule()
    def the_server_hands_out(self) -> None:
        self.server.hand_out()

    @rule(count=st.integers(1, 8))
    def hear(self, count: int) -> None:
        for _number in range(count):
            self.listen()

    @precondition(lambda self: self.calls)
    @rule()
    def the_line_breaks(self) -> None:
        """What was on its way down is gone; what the server had taken is done."""
        self.server.down.clear()
        self.calls[-1].is_lost = True
        self.listen()

    @invariant()
    def nothing_is_heard_twice(self) -> None:
        for room, numbers in self.heard.items():
            assert numbers == sorted(set(numbers)), room


SessionMachine.TestCase.settings = settings(
    max_examples=100 * TIMES,
    stateful_step_count=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSession = SessionMachine.TestCase
