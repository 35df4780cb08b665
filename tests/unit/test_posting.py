"""What a member says: renames, WHO, private messages, keys, and what is refused."""

from __future__ import annotations

import asyncio

import pytest
from rooms import SESSION, Chat, FakeLog, Message, Reader, bounded, quiet, refusal_of

import chat_pb2
from chat.protocol.metadata import JoinRequest
from chat.server import posting, send_queue

# Renames and WHO.


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
    await bia.ask_who("w")
    await quiet()
    everybody = [("PRESENT", "ana"), ("PRESENT", "bia"), ("PRESENT", "plínio")]
    assert bia.events == [*everybody, ("WHO", "bia")]
    assert bia.messages[-1].key == "w"
    bia.messages.clear()
    await bia.ask_who()
    await quiet()
    assert bia.events == everybody
    assert ("WHO", "bia") not in ana.events


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


async def test_rename_waits_for_what_was_said_before() -> None:
    """Words said under the old name are heard before it changes."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ana, bia = await chat.full("ana", "bia")
    await ana.say("oi")
    rename = asyncio.get_running_loop().create_task(ana.rename("anna"))
    await quiet()
    assert not rename.done() and bia.messages == []
    log.commit_and_deliver()
    await rename
    heard = await bia.hears(2)
    assert [(m.user, m.message) for m in heard] == [("ana", "oi"), ("ana", "anna")]


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


async def test_who_of_a_full_queue_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not fit is not half an answer."""
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 3)
    chat = await Chat().start()
    slow = await chat.join_asleep("bia")
    await slow.ask_who("1")
    who = slow.ask_who("2")
    assert await refusal_of(who) == "ANSWER_DROPPED"


# Private messages.


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


async def test_private_message_to_oneself_comes_once() -> None:
    """It is its own echo."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    await ana.say("note", key="k", to="ana")
    await ana.hears(1)


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


async def test_private_message_to_a_full_queue_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Now or never: its sender is told, and may try again with the same key."""
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 3)
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    bia = await chat.join_asleep("bia")
    for number in range(3):
        await ana.say(str(number), to="bia")
    assert await refusal_of(ana.say("again", key="k", to="bia")) == "USER_UNREACHABLE"
    bia.read()
    await quiet()
    await ana.say("again", key="k", to="bia")
    await quiet()
    assert bia.texts == ["0", "1", "2", "again"]


async def test_private_keys_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are remembered for as long as their sender may come back, not for ever."""
    monkeypatch.setattr(posting, "MAX_PRIVATE_KEYS", 3)
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    for number in range(10):
        await ana.say("psst", key=str(number), to="bia")
    await ana.say("psst", key="9", to="bia")  # remembered: not told again
    await ana.say("psst", key="0", to="bia")  # long forgotten
    await quiet()
    assert [message.key for message in bia.messages] == [*map(str, range(10)), "0"]


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
async def test_full_client_is_refused(message: Message, reason: str) -> None:
    """Only common words, private ones, WHO and RENAMED come from a client."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    assert await refusal_of(ana.post(message)) == reason
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
async def test_plain_client_is_refused(message: Message, reason: str) -> None:
    """A private word must not be told to everybody, because its sender knows no better."""
    chat = await Chat().start()
    plain = await chat.join()
    assert await refusal_of(plain.post(message)) == reason
    await quiet()
    assert not chat.log.rows


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
async def test_blank_message_of_a_plain_client_is_ignored(text: str) -> None:
    """Whatever its user: an empty line is not worth a stream."""
    chat = await Chat().start()
    plain = await chat.join()
    await plain.say(text, user="")
    assert not chat.log.rows and plain.member.name == ""


# Who speaks too fast.


async def test_one_who_has_much_uncommitted_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever sends all it can fills the log's queue, and everybody waits behind it."""
    monkeypatch.setattr(posting, "MAX_UNCOMMITTED", 2)
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ana, bia = await chat.full("ana", "bia")
    for number in range(2):
        await bounded(ana.say(str(number)))
    third = asyncio.get_running_loop().create_task(ana.say("2"))
    await quiet()
    assert not third.done()
    await bounded(bia.say("not behind her"))
    log.commit_and_deliver()
    await bounded(third)
    await quiet()
    assert bia.texts == ["0", "1", "2", "not behind her"]


async def test_everybody_waits_for_a_log_that_is_full() -> None:
    """The log bounds nothing by itself: whoever appends must ask it."""
    log = FakeLog()
    chat = await Chat(log).start()
    (ana,) = await chat.full("ana")
    log.space.clear()
    saying = asyncio.get_running_loop().create_task(ana.say("oi"))
    await ana.hears(1)
    assert not saying.done()
    log.space.set()
    await bounded(saying)


# Keys and failures.


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


async def test_keys_belong_to_their_sender() -> None:
    """Two people may use the same key."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    await ana.say("a", key="1")
    await bia.say("b", key="1")
    await quiet()
    assert ana.texts == bia.texts == ["a", "b"]


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


async def test_repeated_key_never_overtakes_what_comes_before_it() -> None:
    """A returning client gets its echo in its place in the log, not ahead of what it missed."""
    chat = await Chat().start()
    ana = await chat.join("ana", session=SESSION)
    (bia,) = await chat.full("bia")
    await bia.say("missed")
    await ana.say("oi", key="k")
    await quiet()
    member = await chat.hub.join(JoinRequest(user="ana", session=SESSION, after=0))
    back = Reader(chat, member, is_reading=False)
    await back.say("oi", key="k")
    await quiet()
    back.read()
    await back.hears(2)
    assert back.texts == ["missed", "oi"]


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
