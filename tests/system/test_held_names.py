"""A thousand people whose server is killed: all are back soon, and nobody else had their names."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
from crowd import STREAMS_PER_CHANNEL, Crowd, crowd, reason, within
from support import POLL_SECONDS, RunningServer, running_server, stable_port

import chat_pb2

Message = chat_pb2.Message
Code = grpc.StatusCode
PEOPLE = 1000
# Their second room, in which comings and goings are told.
SMALL = "small"
PEOPLE_IN_SMALL = 10
# Names that the stranger asks for at a time.
TRIES_AT_ONCE = 50
PRESENCE = (chat_pb2.KIND_JOINED, chat_pb2.KIND_LEFT)


class Guest:
    """Somebody who comes back whenever the line is lost, as the contract wants it.

    `is_back`: in all of its rooms, in the present stream. `refusal`: why it was sent away for good.
    `presence`: the comings and goings that it was told of; `texts`: what it heard.
    """

    def __init__(self, people: Crowd, name: str, room: str = "", also_in: str = "") -> None:
        self.name = name
        self.is_back = False
        self.refusal = ""
        self.presence: list[Message] = []
        self.texts: list[str] = []
        self.present: list[str] = []
        self._crowd = people
        self._room = room
        self._also_in = also_in
        self._session = name.encode().hex().ljust(32, "0")
        self._after: int | None = None
        self._also_after = 0
        self._inbox = 0
        self._generation = ""

    async def stay(self) -> None:
        """Be there until it is refused, or this task is cancelled."""
        while not self.refusal:
            self._call = self._crowd.open(
                self.name,
                room=self._room,
                session=self._session,
                after=self._after,
                history=0,
                inbox=self._inbox,
                generation=self._generation,
            )
            with suppress(grpc.aio.AioRpcError):
                await self._listen()
            self.is_back = False
            if await self._call.code() != Code.UNAVAILABLE:
                self.refusal = await reason(self._call) or str(await self._call.code())

    async def say(self, text: str, room: str = "", kind: chat_pb2.Kind | None = None) -> None:
        """Say something, or ask by its kind."""
        kind = kind or chat_pb2.KIND_UNSPECIFIED
        said = Message(message=text, room=room, kind=kind, key=secrets.token_hex(8))
        await self._call.write(said.SerializeToString())

    async def _listen(self) -> None:
        greeting = dict(await self._call.initial_metadata())
        if "chat-epoch" not in greeting:
            return
        self._generation = greeting["chat-generation"]
        if self._after is None:
            self._after = int(greeting["chat-after"])
        if self._also_in:
            kind = chat_pb2.KIND_ENTERED
            wish = Message(kind=kind, room=self._also_in, id=self._also_after, key="enter")
            await self._call.write(wish.SerializeToString())
        else:
            self.is_back = True
        while (raw := await self._call.read()) is not grpc.aio.EOF:
            self._take(Message.FromString(raw))

    def _take(self, message: Message) -> None:
        if message.kind in PRESENCE:
            self.presence.append(message)
        elif message.kind == chat_pb2.KIND_PRESENT:
            self.present.append(message.user)
        elif message.kind == chat_pb2.KIND_ENTERED:
            self.is_back = True
        elif message.id and message.room == self._room:
            self._after = message.id
            self.texts.append(message.message)
        elif message.id:
            self._also_after = message.id
            self.texts.append(message.message)


class Stranger:
    """Somebody who asks for the names of others, over and over.

    `gained`: those that it got. `refused`: how often it was told that one is taken; `sweeps`: how
    often it has been through all of them.
    """

    def __init__(self, crowd: Crowd, names: Sequence[str]) -> None:
        self.gained: list[str] = []
        self.refused = 0
        self.sweeps = 0
        self._crowd = crowd
        self._names = names

    async def try_all(self) -> None:
        """Try until this task is cancelled."""
        while True:
            for start in range(0, len(self._names), TRIES_AT_ONCE):
                names = self._names[start : start + TRIES_AT_ONCE]
                await asyncio.gather(*(self._try(name) for name in names))
            self.sweeps += 1

    async def _try(self, name: str) -> None:
        call = self._crowd.open(name, session="f" * 32, history=0)
        if "chat-epoch" in dict(await call.initial_metadata()):
            self.gained.append(name)
            call.cancel()
        elif await call.code() == Code.ALREADY_EXISTS:
            self.refused += 1


@asynccontextmanager
async def running(*programs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines beside the block, and cancel them at its end; one that failed fails it."""
    tasks = [asyncio.create_task(program) for program in programs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [end for end in ended if isinstance(end, Exception)]
    assert not failed, failed


async def until(predicate: Callable[[], bool]) -> None:
    """Wait until something is true, but not for ever."""

    async def wait() -> None:
        while not predicate():
            await asyncio.sleep(POLL_SECONDS)

    await within(wait())


async def all_back(guests: Iterable[Guest]) -> None:
    """Wait until every guest is in all of its rooms, or was refused."""
    await until(lambda: all(guest.is_back or guest.refusal for guest in guests))


async def all_heard(guests: Iterable[Guest], text: str) -> None:
    """Wait until every guest that was not refused has heard `text`."""
    await until(lambda: all(text in guest.texts or guest.refusal for guest in guests))


async def tried_all_again(stranger: Stranger) -> None:
    """Wait until a stranger has been through all names once more, from the first to the last."""
    goal = stranger.sweeps + 2
    await until(lambda: stranger.sweeps >= goal)


async def test_thousand_people_are_back_after_a_kill_and_no_stranger_has_a_name(
    tmp_path: Path,
) -> None:
    """Nobody is expelled, and nobody is told that anybody came or went."""
    db, port = tmp_path / "chat.db", stable_port()
    names = [f"p{number}" for number in range(PEOPLE)]

    def start(stack: ExitStack) -> RunningServer:
        return stack.enter_context(running_server("--rate", "0", "--quiet", db=db, port=port))

    with ExitStack() as stack:
        server = await asyncio.to_thread(start, stack)
        async with (
            crowd(server.address, PEOPLE // STREAMS_PER_CHANNEL) as people,
            crowd(server.address, 1) as strangers,
        ):
            small = [Guest(people, name, also_in=SMALL) for name in names[:PEOPLE_IN_SMALL]]
            guests = [*small, *(Guest(people, name) for name in names[PEOPLE_IN_SMALL:])]
            watcher = Guest(people, "watcher", room=SMALL)
            everybody = [*guests, watcher]
            stranger = Stranger(strangers, names)
            async with running(*(guest.stay() for guest in everybody)):
                await all_back(everybody)
                await within(guests[0].say("noted"))  # the names go into the file with it
                await all_heard(guests, "noted")
                async with running(stranger.try_all()):
                    await tried_all_again(stranger)
                    for guest in everybody:
                        guest.is_back = False
                        guest.presence.clear()
                    server.process.kill()
                    await asyncio.to_thread(start, stack)
                    started = time.monotonic()
                    await all_back(everybody)
                    took_seconds = time.monotonic() - started
                    await tried_all_again(stranger)
                await within(guests[0].say("all are back"))
                await within(watcher.say("here too", SMALL))
                await all_heard(guests, "all are back")
                await all_heard(small, "here too")
                await within(watcher.say("", SMALL, chat_pb2.KIND_WHO))
                await until(lambda: len(watcher.present) > PEOPLE_IN_SMALL)
    print(f"{PEOPLE} back {took_seconds:.1f} s after the start; {stranger.refused} refusals")
    assert [(guest.name, guest.refusal) for guest in everybody if guest.refusal] == []
    assert stranger.gained == []
    assert [one for guest in everybody for one in guest.presence] == []
    assert sorted(watcher.present) == sorted([*names[:PEOPLE_IN_SMALL], "watcher"])
    assert all(guest.texts.count("all are back") == 1 for guest in guests)
