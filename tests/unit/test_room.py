"""The rooms without gRPC and without SQL: names, broadcast, queues, and the seam to the log."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from support import in_loop

import chat_pb2
from chat.protocol.errors import ChatError
from chat.server import hub as room_module
from chat.server.hub import MAX_BATCH_BYTES, Bucket, Delivery, Hub, Member, Request
from chat.server.log.base import Deliver, Entry

Message = chat_pb2.Message
SESSION = "0123456789abcdef" * 2
TURNS = 10_000  # of the loop: more than anything in memory takes


class FakeLog:
    """An honest log in memory: ids grow, a key is kept once, a read sees what is committed.

    As in the real one, a commit is seen by a read before it is delivered, and a read takes its
    time. `is_automatic`: each message is committed and delivered in the loop's next turn; otherwise
    by `commit()` and `deliver_next()`. `is_failing`: every group is lost.
    """

    epoch = "fake"

    def __init__(self, is_automatic: bool = True) -> None:
        self.is_automatic = is_automatic
        self.is_failing = False
        self._trimmed: dict[str, int] = {}
        self._last_id = 0
        self.read_turns = 1
        self.reads = 0
        self.rows: list[tuple[str, Message]] = []
        self._keys: dict[tuple[str, str], tuple[str, Message]] = {}
        self._waiting: list[Entry] = []
        self._committed: list[list[Entry]] = []
        self._deliver: Deliver = lambda entries: None

    def start(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def append(self, entry: Entry) -> None:
        self._waiting.append(entry)
        if self.is_automatic:
            asyncio.get_running_loop().call_soon(self.settle)

    def commit(self) -> None:
        """Commit everything that waits as one group."""
        group, self._waiting = self._waiting, []
        for entry in group:
            if self.is_failing:
                entry.is_lost = True
            else:
                self._insert(entry)
        if group:
            self._committed.append(group)

    def _insert(self, entry: Entry) -> None:
        place = (entry.sender, entry.message.key)
        if entry.message.key and place in self._keys:
            entry.room, entry.message = self._keys[place]
            entry.is_repeated = True
            return
        self._last_id += 1
        entry.message.id = self._last_id
        entry.message.sent_at.FromSeconds(entry.message.id)
        self.rows.append((entry.room, entry.message))
        self._keys[place] = (entry.room, entry.message)

    def deliver_next(self) -> None:
        """Hand one committed group to the rooms."""
        if self._committed:
            self._deliver(self._committed.pop(0))

    def settle(self) -> None:
        """Commit and deliver everything."""
        self.commit()
        while self._committed:
            self.deliver_next()

    async def has_space(self) -> None:
        pass

    async def flush(self) -> None:
        self.settle()

    async def read(self, room: str, after: int, limit: int) -> list[Message]:
        self.reads += 1
        found = [m for place, m in self.rows if place == room and m.id > after][:limit]
        for _ in range(self.read_turns):
            await asyncio.sleep(0)
        return found

    async def start_of_last(self, room: str, count: int) -> int:
        ids = [m.id for place, m in self.rows if place == room]
        if not count:
            return self._last_id
        return ids[-count - 1] if len(ids) > count else 0

    async def reaches_back_to(self, room: str, after: int) -> bool:
        return self._trimmed.get(room, 0) <= after

    async def last_id(self) -> int:
        return self._last_id

    def trim(self, room: str, last: int) -> None:
        """Forget the messages of `room` up to the id `last`."""
        self.rows = [(place, m) for place, m in self.rows if place != room or m.id > last]
        self._trimmed[room] = last

    async def close(self) -> None:
        pass


class Chat:
    """A hub on a fake log, and readers for those who join."""

    def __init__(self, log: FakeLog | None = None, max_clients: int = 1000) -> None:
        self.log = log or FakeLog()
        self.shown: list[tuple[str, str]] = []
        self.hub = Hub(
            self.log,
            max_clients=max_clients,
            rate=0,
            show=lambda room, messages: self.shown.extend((room, m.message) for m in messages),
        )

    async def start(self) -> Chat:
        await self.hub.start()
        return self

    async def join(self, user: str | None = None, **wishes: Any) -> Reader:
        """Join as a full client, or as a plain one without a name."""
        member = await self.hub.join(Request(user=user, **wishes))
        return Reader(self.hub, member)

    async def full(self, *users: str) -> list[Reader]:
        return [await self.join(user) for user in users]


class Reader:
    """A member and what it is sent: a task that takes, as the server's writer does."""

    def __init__(self, hub: Hub, member: Member, is_reading: bool = True) -> None:
        self.hub = hub
        self.member = member
        self.messages: list[Message] = []
        self.frames: list[bytes] = []
        self.has_ended = False
        self.task = asyncio.get_running_loop().create_task(self._read()) if is_reading else None

    async def _read(self) -> None:
        while frames := await self.hub.take(self.member):
            self.frames += frames
            for frame in frames:
                message = Message.FromString(frame)
                self.messages.extend(message.batch or (message,))
        self.has_ended = True

    def read(self) -> None:
        """Begin to read, if it did not."""
        self.task = asyncio.get_running_loop().create_task(self._read())

    async def say(self, text: str, user: str = "", key: str = "", to: str = "") -> None:
        """Say something; raises the refusal."""
        await self.hub.post(self.member, Message(user=user, message=text, key=key, to=to))

    async def rename(self, name: str, key: str = "") -> None:
        kind = chat_pb2.KIND_RENAMED
        await self.hub.post(self.member, Message(message=name, kind=kind, key=key))

    def leave(self) -> None:
        self.hub.leave(self.member)

    async def hears(self, count: int) -> list[Message]:
        """Return the first `count` messages once they are there; nothing more may have come."""
        for _ in range(TURNS):
            if len(self.messages) >= count:
                break
            await asyncio.sleep(0)
        await quiet()
        assert len(self.messages) == count, self.messages
        return self.messages

    async def ends(self) -> ChatError | None:
        """Return how the stream ended."""
        for _ in range(TURNS):
            if self.has_ended:
                return self.member.error
            await asyncio.sleep(0)
        raise AssertionError(f"it did not end: {self.messages}")

    @property
    def texts(self) -> list[str]:
        return [m.message for m in self.messages if m.kind == chat_pb2.KIND_UNSPECIFIED]

    @property
    def ids(self) -> list[int]:
        return [m.id for m in self.messages if m.id]

    @property
    def events(self) -> list[tuple[str, str]]:
        """Everything that is no common message: its kind and its user."""
        return [
            (chat_pb2.Kind.Name(m.kind).removeprefix("KIND_"), m.user)
            for m in self.messages
            if m.kind != chat_pb2.KIND_UNSPECIFIED
        ]


async def quiet() -> None:
    """Let everything that is on its way arrive."""
    for _ in range(50):
        await asyncio.sleep(0)


async def refusal_of(awaitable: Any) -> str:
    """Return the reason by which something is refused."""
    with pytest.raises(ChatError) as refusal:
        await awaitable
    return refusal.value.reason


# Broadcast.


@in_loop
async def test_everybody_hears_everything_in_one_order() -> None:
    """The sender too; the log's order is the order."""
    chat = await Chat().start()
    readers = [*await chat.full("ana", "bia"), await chat.join()]
    for number in range(5):
        await readers[0].say(f"a{number}")
        await readers[1].say(f"b{number}")
        await readers[2].say(f"p{number}", user="plínio")
    await quiet()
    spoken = [text for number in range(5) for text in (f"a{number}", f"b{number}", f"p{number}")]
    assert [reader.texts for reader in readers] == [spoken] * 3
    assert chat.shown == [("", text) for text in spoken]


@in_loop
async def test_full_client_gets_id_time_and_its_key() -> None:
    """The echo with the key is the acknowledgement."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    await ana.say("oi", user="ignored", key="k1")
    (echo,) = await ana.hears(1)
    assert (echo.user, echo.message, echo.id, echo.key) == ("ana", "oi", 1, "k1")
    assert echo.sent_at.seconds and not echo.kind and not echo.to


@in_loop
async def test_plain_client_gets_fields_one_and_two_alone() -> None:
    """No presence, no notices, no private words, no ids, whatever goes on around it."""
    chat = await Chat().start()
    plain = await chat.join()
    ana, bia = await chat.full("ana", "bia")
    await ana.say("oi", key="k")
    await ana.rename("anna")
    await bia.say("psst", to="anna")
    bia.leave()
    await plain.say("olá", user="plínio")
    await plain.hears(2)
    assert plain.frames == [
        Message(user="ana", message="oi").SerializeToString(),
        Message(user="plínio", message="olá").SerializeToString(),
    ]


@in_loop
async def test_nothing_is_broadcast_before_it_is_committed() -> None:
    """What anyone has seen is in the log."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ana, bia = await chat.full("ana", "bia")
    await ana.hears(1)  # bia came
    await ana.say("oi")
    await quiet()
    assert bia.texts == [] and ana.texts == []
    log.commit()
    await quiet()
    assert bia.texts == [] and ana.texts == []
    log.deliver_next()
    await quiet()
    assert bia.texts == ana.texts == ["oi"]


@in_loop
async def test_rooms_do_not_hear_each_other() -> None:
    """A room's name is the same without regard to case; the common room is another one."""
    chat = await Chat().start()
    ana = await chat.join("ana", room="Física")
    bia = await chat.join("bia", room="FÍSICA")
    carla = await chat.join("carla", room="química")
    dora = await chat.join("dora")
    await ana.say("f")
    await carla.say("q")
    await dora.say("c")
    await quiet()
    assert [r.texts for r in (ana, bia, carla, dora)] == [["f"], ["f"], ["q"], ["c"]]


# Coming, going, names.


@in_loop
async def test_presence_is_told_to_the_other_full_clients() -> None:
    """JOINED and LEFT go to those who were there, of the same room."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    elsewhere = await chat.join("carla", room="sala")
    (bia,) = await chat.full("bia")
    bia.leave()
    await ana.hears(2)
    assert ana.events == [("JOINED", "bia"), ("LEFT", "bia")]
    assert bia.events == [] and elsewhere.events == []


@in_loop
async def test_plain_client_comes_in_with_its_first_word() -> None:
    """Its name is the user of its first message; before that it is nobody."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    plain = await chat.join()
    await quiet()
    assert ana.events == []
    await plain.say("oi", user="plínio")
    await ana.hears(2)
    plain.leave()
    await ana.hears(3)
    assert ana.events == [("JOINED", "plínio"), ("LEFT", "plínio")]
    nobody = await chat.join()
    nobody.leave()
    await ana.hears(3)


@in_loop
async def test_leaving_twice_is_leaving_once() -> None:
    """The handler's `finally` may come after the hub let the member go."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    bia.leave()
    bia.leave()
    await ana.hears(2)
    assert not [member for member in chat.hub.members if member is bia.member]


@pytest.mark.parametrize("people", [200, 201])
@in_loop
async def test_large_room_is_silent_about_presence(people: int) -> None:
    """Up to 200 people hear who comes and goes; more of them do not, and WHO still answers."""
    chat = await Chat().start()
    first = await chat.join("first")
    for number in range(people - 2):
        await chat.hub.join(Request(user=f"p{number}"))
    await quiet()
    first.messages.clear()
    last = await chat.join("last")
    last_leaves = [("JOINED", "last")] if people <= 200 else []
    await quiet()
    assert first.events == last_leaves
    await chat.hub.post(last.member, Message(kind=chat_pb2.KIND_WHO))
    await quiet()
    assert len(last.events) == people


@in_loop
async def test_who_is_answered_by_one_present_each_and_the_echo() -> None:
    """The echo comes after the list, and only where a key was given."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    await chat.join("carla", room="sala")
    await chat.join()  # nobody yet
    plain = await chat.join()
    await plain.say("oi", user="plínio")
    await quiet()
    bia.messages.clear()
    await chat.hub.post(bia.member, Message(kind=chat_pb2.KIND_WHO, key="w"))
    await quiet()
    everybody = [("PRESENT", "ana"), ("PRESENT", "bia"), ("PRESENT", "plínio")]
    assert bia.events == [*everybody, ("WHO", "bia")]
    assert bia.messages[-1].key == "w"
    bia.messages.clear()
    await chat.hub.post(bia.member, Message(kind=chat_pb2.KIND_WHO))
    await quiet()
    assert bia.events == everybody
    assert ("WHO", "bia") not in ana.events


@in_loop
async def test_name_is_unique_without_regard_to_case_in_all_rooms() -> None:
    """Also to a plain client's first word, and free again once its holder is gone."""
    chat = await Chat().start()
    ana = await chat.join("Ana")
    assert await refusal_of(chat.join("aNA")) == "NAME_TAKEN"
    assert await refusal_of(chat.join("ａｎａ", room="sala")) == "NAME_TAKEN"
    plain = await chat.join()
    assert await refusal_of(plain.say("oi", user="ANA")) == "NAME_TAKEN"
    assert plain.member.name == ""
    ana.leave()
    await chat.join("ANA")


@pytest.mark.parametrize("name", ["servidor", "ｓｅｒｖｉｄｏｒ", "Server"])
@in_loop
async def test_nobody_is_called_like_the_server(name: str) -> None:
    """Not on joining, not by a rename, not as a plain client."""
    chat = await Chat().start()
    assert await refusal_of(chat.join(name)) == "NAME_TAKEN"
    (ana,) = await chat.full("ana")
    assert await refusal_of(ana.rename(name)) == "NAME_TAKEN"
    plain = await chat.join()
    assert await refusal_of(plain.say("oi", user=name)) == "NAME_TAKEN"


@in_loop
async def test_refused_join_leaves_nothing_behind() -> None:
    """A bad name or room takes no place."""
    chat = await Chat(max_clients=1).start()
    assert await refusal_of(chat.join("")) == "NAME_INVALID"
    assert await refusal_of(chat.join("x" * 33)) == "NAME_INVALID"
    assert await refusal_of(chat.join("ana", room="a\x1b")) == "ROOM_INVALID"
    assert not chat.hub.members
    await chat.join("ana")


@in_loop
async def test_server_is_full_at_max_clients() -> None:
    """One more is refused, plain or full; a returning session takes its own place."""
    chat = await Chat(max_clients=2).start()
    await chat.join("ana", session=SESSION)
    plain = await chat.join()
    assert await refusal_of(chat.join("bia")) == "SERVER_FULL"
    assert await refusal_of(chat.join()) == "SERVER_FULL"
    await chat.join("ana", session=SESSION)
    plain.leave()
    await chat.join("bia")


@in_loop
async def test_rename_is_told_to_all_and_echoed_with_its_key() -> None:
    """The others read who is called what; the old name is free, the new one is taken."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    await ana.hears(1)
    await ana.rename("anna", key="r")
    heard = (await ana.hears(2))[1]
    assert (heard.kind, heard.user, heard.message) == (chat_pb2.KIND_RENAMED, "ana", "anna")
    assert heard.key == "r"
    told = (await bia.hears(1))[0]
    assert (told.kind, told.user, told.message, told.key) == (heard.kind, "ana", "anna", "")
    assert await refusal_of(bia.rename("ANNA")) == "NAME_TAKEN"
    assert await refusal_of(bia.rename("x" * 33)) == "NAME_INVALID"
    await bia.rename("ana")
    await ana.say("oi")
    await quiet()
    assert bia.messages[-1].user == "anna"


@in_loop
async def test_rename_in_another_case_is_allowed() -> None:
    """One's own name is not taken."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    await ana.rename("ANA")
    await quiet()
    assert bia.events == [("RENAMED", "ana")]
    await ana.rename("ANA", key="again")  # changes nothing, and is acknowledged
    await quiet()
    assert bia.events == [("RENAMED", "ana")]
    assert ana.messages[-1].key == "again"


@in_loop
async def test_rename_waits_for_what_was_said_before() -> None:
    """Words said under the old name are heard before it changes."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ana, bia = await chat.full("ana", "bia")
    await ana.say("oi")
    rename = asyncio.get_running_loop().create_task(ana.rename("anna"))
    await quiet()
    assert not rename.done() and bia.messages == []
    log.settle()
    await rename
    heard = await bia.hears(2)
    assert [(m.user, m.message) for m in heard] == [("ana", "oi"), ("ana", "anna")]


@in_loop
async def test_plain_client_renames_by_another_user() -> None:
    """Another `user` in a later message is a rename, told to the full clients."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    plain = await chat.join()
    await plain.say("um", user="plínio")
    await plain.say("dois", user="Plínio II")
    heard = await ana.hears(4)
    assert [(m.user, m.message) for m in heard[1:]] == [
        ("plínio", "um"),
        ("plínio", "Plínio II"),
        ("Plínio II", "dois"),
    ]
    assert plain.texts == ["um", "dois"]
    assert await refusal_of(plain.say("x", user="ana")) == "NAME_TAKEN"
    assert await refusal_of(plain.say("x", user="")) == "NAME_INVALID"


@in_loop
async def test_session_takes_its_name_back_from_its_own_ghost() -> None:
    """The others notice nothing; the ghost's stream ends, and speaks for nobody any more."""
    chat = await Chat().start()
    (bia,) = await chat.full("bia")
    ghost = await chat.join("ana", session=SESSION)
    await bia.hears(1)
    back = await chat.join("ana", session=SESSION)
    error = await ghost.ends()
    assert error is not None and error.reason == "SESSION_REPLACED"
    assert await refusal_of(ghost.say("boo")) == "SHUTTING_DOWN"
    ghost.leave()  # the handler's `finally` comes later, and must not take the name away
    await back.say("voltei")
    await bia.hears(2)
    assert bia.events == [("JOINED", "ana")]
    assert await refusal_of(chat.join("ana", session="f" * 32)) == "NAME_TAKEN"
    assert await refusal_of(chat.join("ana")) == "NAME_TAKEN"


@in_loop
async def test_session_that_returns_alone_keeps_its_room() -> None:
    """The room that was empty for a moment is the one where the others will come."""
    chat = await Chat().start()
    await chat.join("ana", room="sala", session=SESSION)
    back = await chat.join("ana", room="sala", session=SESSION)
    bia = await chat.join("bia", room="sala")
    await bia.say("oi")
    await quiet()
    assert back.texts == ["oi"]


@in_loop
async def test_session_that_moves_is_seen_to_leave_and_to_come() -> None:
    """To another room, or under another name, a return is news."""
    chat = await Chat().start()
    (bia,) = await chat.full("bia")
    carla = await chat.join("carla", room="sala")
    await chat.join("ana", session=SESSION)
    await chat.join("ana", room="sala", session=SESSION)
    await chat.join("anna", room="sala", session=SESSION)
    await quiet()
    assert bia.events == [("JOINED", "ana"), ("LEFT", "ana")]
    assert carla.events == [("JOINED", "ana"), ("LEFT", "ana"), ("JOINED", "anna")]


# Private messages.


@in_loop
async def test_private_message_is_for_one_alone_and_in_no_log() -> None:
    """Its sender gets the echo, in any room; nobody else gets anything."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    carla = await chat.join("Carla", room="sala")
    await quiet()
    for reader in (ana, bia, carla):
        reader.messages.clear()
    await ana.say("psst\x1b", key="k", to="CARLA")
    (heard,) = await carla.hears(1)
    (echo,) = await ana.hears(1)
    assert heard == echo
    assert (heard.user, heard.message, heard.to) == ("ana", "psst\ufffd", "Carla")
    assert heard.key == "k" and heard.sent_at.seconds and not heard.id
    await bia.hears(0)
    assert chat.log.rows == [] and chat.shown == []


@in_loop
async def test_private_message_with_a_repeated_key_is_told_once() -> None:
    """The sender gets its echo again; so also after the one it was for has left."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    await ana.hears(1)
    await ana.say("psst", key="k", to="bia")
    await ana.say("psst", key="k", to="bia")
    await ana.hears(3)
    await bia.hears(1)
    bia.leave()
    await ana.say("psst", key="k", to="bia")
    await quiet()
    assert ana.texts == ["psst"] * 3


@in_loop
async def test_private_message_to_oneself_comes_once() -> None:
    """It is its own echo."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    await ana.say("note", key="k", to="ana")
    await ana.hears(1)


@in_loop
async def test_private_message_to_nobody_or_to_a_plain_client_is_refused() -> None:
    """A plain client has no way to show that a word is private."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    plain = await chat.join()
    await plain.say("oi", user="plínio")
    assert await refusal_of(ana.say("psst", to="ninguém")) == "USER_UNKNOWN"
    assert await refusal_of(ana.say("psst", to="plínio")) == "USER_UNREACHABLE"
    assert await refusal_of(ana.say(" ", to="plínio")) == "MESSAGE_INVALID"
    await quiet()
    assert plain.texts == ["oi"]


@in_loop
async def test_private_message_to_a_full_queue_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Now or never: its sender is told, and may try again with the same key."""
    monkeypatch.setattr(room_module, "MAX_QUEUED_MESSAGES", 3)
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    bia = Reader(chat.hub, await chat.hub.join(Request(user="bia")), is_reading=False)
    for number in range(3):
        await ana.say(str(number), to="bia")
    assert await refusal_of(ana.say("again", key="k", to="bia")) == "USER_UNREACHABLE"
    bia.read()
    await quiet()
    await ana.say("again", key="k", to="bia")
    await quiet()
    assert bia.texts == ["0", "1", "2", "again"]


# What is refused.


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message(message=""), "MESSAGE_INVALID"),
        (Message(message=" \n"), "MESSAGE_INVALID"),
        (Message(message="x" * 8193), "MESSAGE_TOO_LONG"),
        (Message(message="oi", key="k" * 257), "REQUEST_INVALID"),
        (Message(message="oi", kind=chat_pb2.KIND_JOINED), "REQUEST_INVALID"),
        (Message(message="oi", kind=chat_pb2.KIND_NOTICE), "REQUEST_INVALID"),
        (Message(message="oi", kind=chat_pb2.KIND_PRESENT), "REQUEST_INVALID"),
        (Message(message="oi", kind=99), "REQUEST_INVALID"),  # type: ignore[arg-type]
        (Message(message="", kind=chat_pb2.KIND_RENAMED), "NAME_INVALID"),
    ],
    ids=lambda value: str(value)[:40].replace("\n", " "),
)
@in_loop
async def test_full_client_is_refused(message: Message, reason: str) -> None:
    """Only common words, private ones, WHO and RENAMED come from a client."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    assert await refusal_of(chat.hub.post(ana.member, message)) == reason
    await quiet()
    assert not chat.log.rows


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message(user="p", message="x" * 8193), "MESSAGE_TOO_LONG"),
        (Message(user="", message="oi"), "NAME_INVALID"),
        (Message(user="p", message="oi", to="ana"), "REQUEST_INVALID"),
        (Message(user="p", message="oi", kind=chat_pb2.KIND_WHO), "REQUEST_INVALID"),
        (Message(user="p", message="oi", key="k" * 257), "REQUEST_INVALID"),
    ],
    ids=lambda value: str(value)[:40].replace("\n", " "),
)
@in_loop
async def test_plain_client_is_refused(message: Message, reason: str) -> None:
    """A private word must not be told to everybody, because its sender knows no better."""
    chat = await Chat().start()
    plain = await chat.join()
    assert await refusal_of(chat.hub.post(plain.member, message)) == reason
    await quiet()
    assert not chat.log.rows


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
@in_loop
async def test_blank_message_of_a_plain_client_is_ignored(text: str) -> None:
    """Whatever its user: an empty line is not worth a stream."""
    chat = await Chat().start()
    plain = await chat.join()
    await plain.say(text, user="")
    assert not chat.log.rows and plain.member.name == ""


# Keys and failures.


@in_loop
async def test_repeated_key_is_echoed_to_its_sender_alone() -> None:
    """The first result, with its id: no second message, for nobody."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    await ana.hears(1)
    await ana.say("oi", key="k")
    first = (await ana.hears(2))[1]
    await ana.say("another text, same key", key="k")
    assert (await ana.hears(3))[2] == first
    await bia.hears(1)
    assert len(chat.log.rows) == 1 and len(chat.shown) == 1


@in_loop
async def test_keys_belong_to_their_sender() -> None:
    """Two people may use the same key."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    await ana.say("a", key="1")
    await bia.say("b", key="1")
    await quiet()
    assert ana.texts == bia.texts == ["a", "b"]


@in_loop
async def test_repeated_key_from_another_room_comes_without_its_id() -> None:
    """Its id would make the client take everything before it in this room for seen."""
    chat = await Chat().start()
    first = await chat.join("ana", room="um", session=SESSION)
    await first.say("oi", key="k")
    await first.hears(1)
    second = await chat.join("ana", room="dois", session=SESSION)
    await second.say("oi", key="k")
    (echo,) = await second.hears(1)
    assert (echo.message, echo.key, echo.id) == ("oi", "k", 0)


@in_loop
async def test_repeated_key_never_overtakes_what_comes_before_it() -> None:
    """A returning client gets its echo in its place in the log, not ahead of what it missed."""
    chat = await Chat().start()
    ana = await chat.join("ana", session=SESSION)
    (bia,) = await chat.full("bia")
    await bia.say("missed")
    await ana.say("oi", key="k")
    await quiet()
    member = await chat.hub.join(Request(user="ana", session=SESSION, after=0))
    back = Reader(chat.hub, member, is_reading=False)
    await back.say("oi", key="k")
    await quiet()
    back.read()
    await back.hears(2)
    assert back.texts == ["missed", "oi"]


@in_loop
async def test_lost_message_is_answered_and_never_broadcast() -> None:
    """A full client reads NOT_STORED with its key and stays; a plain one's stream ends so."""
    log = FakeLog()
    chat = await Chat(log).start()
    ana, bia = await chat.full("ana", "bia")
    plain = await chat.join()
    await ana.hears(1)
    log.is_failing = True
    await ana.say("lost", key="k")
    notice = (await ana.hears(2))[1]
    assert (notice.kind, notice.user, notice.key) == (chat_pb2.KIND_NOTICE, "NOT_STORED", "k")
    await plain.say("lost", user="plínio")
    error = await plain.ends()
    assert error is not None and error.reason == "NOT_STORED"
    log.is_failing = False
    await ana.say("kept", key="k")
    await quiet()
    assert bia.texts == ana.texts == ["kept"]
    assert [text for _, text in chat.shown] == ["kept"]


# Joining with history, and coming back.


async def chat_with(count: int, room: str = "") -> Chat:
    """Return a chat in which somebody has said 1, 2, 3, … and left."""
    chat = await Chat().start()
    writer = await chat.join("writer", room=room)
    for number in range(1, count + 1):
        await writer.say(str(number))
    await quiet()
    writer.leave()
    return chat


@pytest.mark.parametrize(
    ("history", "expected"), [(0, 0), (1, 1), (20, 20), (30, 25), (5000, 25), (-1, 0)]
)
@in_loop
async def test_newcomer_gets_the_last_messages_first(history: int, expected: int) -> None:
    """As many as it asks for, and then what is said now."""
    chat = await chat_with(25)
    ana = await chat.join("ana", history=history)
    await ana.hears(expected)
    await ana.say("now")
    await ana.hears(expected + 1)
    assert ana.ids == list(range(26 - expected, 27))


@in_loop
async def test_history_is_at_most_a_thousand() -> None:
    """Whatever is asked for."""
    chat = await chat_with(1100)
    ana = await chat.join("ana", history=10_000)
    await ana.hears(1000)
    assert ana.ids == list(range(101, 1101))


@in_loop
async def test_history_is_that_of_the_room() -> None:
    """Not of the others."""
    chat = await chat_with(3, room="sala")
    ana = await chat.join("ana", room="SALA")
    bia = await chat.join("bia")
    plain = await chat.join()
    await ana.hears(3)
    await bia.hears(0)
    await plain.hears(0)


@pytest.mark.parametrize("after", [0, 1, 499, 500, 501, 1200])
@in_loop
async def test_returning_client_gets_all_that_came_after(after: int) -> None:
    """In pages, without limit."""
    chat = await chat_with(1200)
    ana = await chat.join("ana", after=after)
    await ana.hears(1200 - after)
    assert ana.ids == list(range(after + 1, 1201))
    assert ana.events == []


@in_loop
async def test_gap_in_the_log_is_told_first() -> None:
    """Where the log no longer reaches back, a NOTICE comes before what is left."""
    chat = await chat_with(10)
    chat.log.trim("", 5)
    ana = await chat.join("ana", after=3)
    await ana.hears(6)
    assert ana.messages[0].kind == chat_pb2.KIND_NOTICE
    assert ana.events == [("NOTICE", "HISTORY_GONE")]
    assert ana.ids == [6, 7, 8, 9, 10]
    bia = await chat.join("bia", after=5)
    await bia.hears(5)  # nothing is missing for her


@in_loop
async def test_id_beyond_the_log_is_told_and_history_comes_instead() -> None:
    """The log was put back: ids seen earlier mean nothing."""
    chat = await chat_with(10)
    ana = await chat.join("ana", after=1000, history=2)
    await ana.hears(3)
    assert ana.events == [("NOTICE", "LOG_REWOUND")]
    assert ana.messages[0].kind == chat_pb2.KIND_NOTICE
    assert ana.ids == [9, 10]


# The bounded queue, and the seam between the log and what is live.


@in_loop
async def test_slow_reader_gets_everything_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue stays bounded, the rest comes from the log, and then it is live again."""
    monkeypatch.setattr(room_module, "MAX_QUEUED_MESSAGES", 10)
    monkeypatch.setattr(room_module, "PAGE_MESSAGES", 7)
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    slow = [
        Reader(chat.hub, await chat.hub.join(request), is_reading=False)
        for request in (
            Request(),
            Request(user="bia", history=0),
            Request(user="carla", history=0, wants_batches=True),
        )
    ]
    for number in range(100):
        await ana.say(str(number))
        await quiet()
        assert all(len(reader.member._queue) <= 10 for reader in slow)
    reads = chat.log.reads
    for reader in slow:
        reader.read()
    await quiet()
    assert chat.log.reads > reads
    reads = chat.log.reads
    await ana.say("live")
    await quiet()
    assert chat.log.reads == reads
    for reader in slow:
        assert reader.texts == [*map(str, range(100)), "live"]


@in_loop
async def test_queue_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few long messages fill it as well as many short ones."""
    monkeypatch.setattr(room_module, "MAX_QUEUED_BYTES", 50_000)
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    slow = Reader(chat.hub, await chat.hub.join(Request()), is_reading=False)
    for _ in range(20):
        await ana.say("x" * 8000)
        await quiet()
        queued = sum(delivery.size_bytes for delivery in slow.member._queue)
        assert queued <= 50_000
    slow.read()
    await slow.hears(20)


@in_loop
async def test_presence_does_not_fill_the_memory_for_a_slow_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Events that do not fit are dropped: they are worth nothing later."""
    monkeypatch.setattr(room_module, "MAX_QUEUED_MESSAGES", 10)
    chat = await Chat().start()
    slow = Reader(chat.hub, await chat.hub.join(Request(user="bia")), is_reading=False)
    for number in range(50):
        reader = await chat.join(f"p{number}")
        reader.leave()
    assert len(slow.member._queue) == 10
    (ana,) = await chat.full("ana")
    await ana.say("oi")
    slow.read()
    await quiet()
    assert slow.texts == ["oi"]


@in_loop
async def test_who_of_a_full_queue_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not fit is not half an answer."""
    monkeypatch.setattr(room_module, "MAX_QUEUED_MESSAGES", 3)
    chat = await Chat().start()
    slow = Reader(chat.hub, await chat.hub.join(Request(user="bia")), is_reading=False)
    await chat.hub.post(slow.member, Message(kind=chat_pb2.KIND_WHO, key="1"))
    who = chat.hub.post(slow.member, Message(kind=chat_pb2.KIND_WHO, key="2"))
    assert await refusal_of(who) == "ANSWER_DROPPED"


@pytest.mark.parametrize("seed", range(60))
@in_loop
async def test_seam_has_no_gap_no_double_and_one_order(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the order of commits, deliveries, reads, joins and stops, each reader hears all.

    Tiny queues and pages make the seam come often; `seed` fixes the order.
    """
    monkeypatch.setattr(room_module, "MAX_QUEUED_MESSAGES", 4)
    monkeypatch.setattr(room_module, "PAGE_MESSAGES", 3)
    await Interleaving(random.Random(seed)).run()


class Interleaving:
    """Random steps of everybody, and the check of what each reader heard."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.log = FakeLog(is_automatic=False)
        self.chat = Chat(self.log)
        self.spoken = 0
        # Each reader, and the id after which it has to hear everything; None: from where it is.
        self.readers: list[tuple[Reader, int | None]] = []

    async def run(self) -> None:
        await self.chat.start()
        self.writers = await self.chat.full("ana", "bia")
        self.other = await self.chat.join("carla", room="sala")
        for _ in range(300):
            await self.step()
        self.log.settle()
        for reader, _start in self.readers:
            if reader.task is None:
                reader.read()
        stop = asyncio.get_running_loop().create_task(self.chat.hub.stop())
        for reader, start in self.readers:
            await reader.ends()
            self.check(reader, start)
        await stop

    async def step(self) -> None:
        """Do one thing that may happen next."""
        self.log.read_turns = self.dice.randrange(4)
        action = self.dice.choices(
            [self.say, self.commit, self.deliver, self.turn, self.join, self.toggle],
            [6, 3, 3, 6, 0.4, 0.6],
        )[0]
        await action()

    async def say(self) -> None:
        self.spoken += 1
        writer = self.dice.choice([*self.writers, self.other])
        key = f"{self.spoken}" if self.dice.random() < 0.8 else f"{self.spoken - 1}"
        await writer.say(f"{self.spoken}", key=key)

    async def commit(self) -> None:
        self.log.commit()

    async def deliver(self) -> None:
        self.log.deliver_next()

    async def turn(self) -> None:
        await asyncio.sleep(0)

    async def join(self) -> None:
        """Join as one of the sorts of clients; some do not read for a while."""
        known = self.dice.randrange(len(self.log.rows) + 1)
        request, start = self.dice.choice(
            [
                (Request(), None),
                (Request(user=f"r{len(self.readers)}", after=known), known),
                (Request(user=f"r{len(self.readers)}", after=known, wants_batches=True), known),
            ]
        )
        member = await self.chat.hub.join(request)
        if start is None:
            start = member.seen_id
        reader = Reader(self.chat.hub, member, is_reading=self.dice.random() < 0.5)
        self.readers.append((reader, start))

    async def toggle(self) -> None:
        """Let somebody begin to read."""
        sleeping = [reader for reader, _start in self.readers if reader.task is None]
        if sleeping:
            self.dice.choice(sleeping).read()

    def check(self, reader: Reader, start: int | None) -> None:
        """What a reader heard is the log after its beginning, once and in order."""
        assert start is not None
        expected = [m.message for place, m in self.log.rows if place == "" and m.id > start]
        assert reader.texts == expected
        assert reader.member.error is not None
        assert reader.member.error.reason == "SHUTTING_DOWN"


# Encoding.


def messages(count: int, text: str = "oi") -> list[Message]:
    made = [Message(user="ana", message=text, id=n + 1, key=str(n)) for n in range(count)]
    for message in made:
        message.sent_at.FromNanoseconds(1_800_000_000_000_000_000 + message.id)
    return made


@pytest.mark.parametrize("size", [1, 100, 127, 128, 8192])
def test_batch_is_the_messages_themselves(size: int) -> None:
    """Bytes joined end to end are what protobuf itself would have written."""
    said = messages(10, "x" * size)
    (piece,) = Delivery(said).batch()
    assert piece == Message(batch=said).SerializeToString()
    assert list(Message.FromString(piece).batch) == said


def test_pieces_stay_below_the_limit_of_a_batch() -> None:
    """Every client takes them, and nothing is lost between two pieces."""
    said = messages(1000, "x" * 8000)
    pieces = Delivery(said).batch()
    assert len(pieces) > 1
    assert all(len(piece) <= MAX_BATCH_BYTES for piece in pieces)
    parsed = [message for piece in pieces for message in Message.FromString(piece).batch]
    assert parsed == said


@in_loop
async def test_what_waited_comes_in_one_batch() -> None:
    """Whoever asked for batches gets one frame; others get a frame for each message."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    bulk = Reader(
        chat.hub, await chat.hub.join(Request(user="b", wants_batches=True)), is_reading=False
    )
    single = Reader(chat.hub, await chat.hub.join(Request(user="s", history=0)), is_reading=False)
    for number in range(20):
        await ana.say(str(number))
    await quiet()
    bulk.read()
    single.read()
    await quiet()
    # Whoever asked for the history starts by a page of the log; what follows is joined as well.
    assert bulk.texts == single.texts == [str(number) for number in range(20)]
    assert len(bulk.frames) <= 2
    assert (
        len([m for m in single.messages if m.id]) == 20 == len(single.frames) - len(single.events)
    )


@in_loop
async def test_message_is_encoded_once_for_each_sort_of_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many readers there are: ten messages, ten encodings in full and ten plain."""
    counts: Counter[str] = Counter()
    count_calls(monkeypatch, "encode", counts)
    count_calls(monkeypatch, "encode_plain", counts)
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    readers: list[Reader] = []
    for number in range(30):
        readers.append(await chat.join())
        readers.append(await chat.join(f"f{number}"))
        readers.append(await chat.join(f"b{number}", wants_batches=True))
    await quiet()
    counts.clear()
    for number in range(10):
        await readers[1].say(str(number))
        log.settle()
        await quiet()
    assert all(len(reader.texts) == 10 for reader in readers)
    assert counts == {"encode": 10, "encode_plain": 10}


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str, counts: Counter[str]) -> None:
    """Count the calls of a function of `room.py`."""
    original = getattr(room_module, name)

    def counted(message: Message) -> bytes:
        counts[name] += 1
        encoded: bytes = original(message)
        return encoded

    monkeypatch.setattr(room_module, name, counted)


# Flood.


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_burst_is_ten_seconds_worth_and_then_the_rate_holds() -> None:
    """At 100 a second: a thousand at once, then one each hundredth of a second."""
    clock = Clock()
    bucket = Bucket(100, clock)
    assert all(bucket.take() < 1e-6 for _ in range(1000))
    assert bucket.take() == pytest.approx(0.01)
    assert bucket.take() == pytest.approx(0.02)
    clock.now += 0.02
    assert bucket.take() == pytest.approx(0.01)


def test_bucket_fills_again() -> None:
    """Ten quiet seconds give the whole burst back, and never more than that."""
    clock = Clock()
    bucket = Bucket(10, clock)
    for _ in range(100):
        bucket.take()
    clock.now += 1000
    waits = [bucket.take() for _ in range(101)]
    assert max(waits[:100]) < 1e-6 < waits[100]


def test_rate_zero_is_no_limit() -> None:
    """Nobody waits."""
    bucket = Bucket(0, Clock())
    assert not any(bucket.take() for _ in range(10_000))


# The end.


@in_loop
async def test_stopping_hub_commits_delivers_and_says_so() -> None:
    """What was accepted reaches everybody; then a notice, then the end; nobody new comes in."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ana, bia = await chat.full("ana", "bia")
    plain = await chat.join()
    await ana.say("last words")
    await chat.hub.stop()
    for reader in (ana, bia, plain):
        error = await reader.ends()
        assert error is not None and error.reason == "SHUTTING_DOWN"
        assert reader.texts == ["last words"]
    assert bia.events == [("NOTICE", "SHUTTING_DOWN")]
    assert plain.events == []
    assert await refusal_of(chat.join("carla")) == "SHUTTING_DOWN"
    assert await refusal_of(ana.say("too late")) == "SHUTTING_DOWN"


@in_loop
async def test_half_closed_member_gets_its_last_echoes() -> None:
    """Settling waits for the commit; closing hands out what is owed."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    plain = await chat.join()
    await plain.say("um", user="p")
    await plain.say("dois", user="p")
    settled = asyncio.get_running_loop().create_task(plain.member.settle())
    await quiet()
    assert not settled.done()
    log.settle()
    await settled
    plain.member.close()
    assert await plain.ends() is None
    assert plain.texts == ["um", "dois"]


@in_loop
async def test_closing_member_behind_the_others_gets_only_what_it_is_owed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is said after it closed does not keep a slow reader for ever."""
    monkeypatch.setattr(room_module, "MAX_QUEUED_MESSAGES", 4)
    monkeypatch.setattr(room_module, "PAGE_MESSAGES", 5)
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    slow = Reader(chat.hub, await chat.hub.join(Request()), is_reading=False)
    for number in range(12):
        await ana.say(str(number))
        await quiet()
    slow.member.close()
    for number in range(100):
        await ana.say(f"later {number}")
    await quiet()
    slow.read()
    assert await slow.ends() is None
    assert slow.texts[:12] == [str(number) for number in range(12)]
    assert len(slow.texts) <= 15  # the rest of the last page


@in_loop
async def test_empty_rooms_are_forgotten() -> None:
    """A million rooms that were tried out once take no memory."""
    chat = await Chat().start()
    for number in range(100):
        reader = await chat.join("ana", room=f"sala {number}", session=SESSION)
        reader.leave()
    assert not chat.hub._rooms and not chat.hub._names and not chat.hub._sessions


@in_loop
async def test_private_keys_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are remembered for as long as their sender may come back, not for ever."""
    monkeypatch.setattr(room_module, "MAX_PRIVATE_KEYS", 3)
    chat = await Chat().start()
    ana, _bia = await chat.full("ana", "bia")
    for number in range(10):
        await ana.say("psst", key=str(number), to="bia")
    assert len(chat.hub._private_keys) == 3


@in_loop
async def test_group_of_several_rooms_is_delivered_to_each() -> None:
    """One commit holds messages of all rooms; each room's keep their order."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    here = await chat.join("ana")
    there = await chat.join("bia", room="sala")
    for number in range(4):
        await here.say(f"h{number}")
        await there.say(f"t{number}")
    log.settle()
    await quiet()
    assert here.texts == [f"h{number}" for number in range(4)]
    assert there.texts == [f"t{number}" for number in range(4)]
