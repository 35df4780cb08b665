"""What a member says: renames, WHO, private messages, keys, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rooms import SESSION, Chat, FakeLog, Message, Reader, bounded, come_true, quiet, refusal_of

import chat_pb2
from chat.protocol.metadata import JoinRequest
from chat.server import absence, appending, replay, send_queue
from chat.server.rate_limit import Rate, RateLimits

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


async def test_answers_come_however_full_the_queue_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead its reader waits with what it says next until they were written."""
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 3)
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    bia = await chat.join_asleep("bia", session=SESSION, inbox=0)
    for number in range(50):
        await ana.say(str(number), to="bia")
        await ana.say(f"aloud {number}")
    await quiet()
    await bia.ask_who("w")
    await bia.rename("beatriz", key="r")
    waiting = asyncio.ensure_future(bia.member.queue.wait_answered())
    await quiet()
    assert not waiting.done()
    bia.read()
    await waiting
    await quiet()
    assert ("WHO", "bia") in bia.events and ("RENAMED", "bia") in bia.events
    private = [m.message for m in bia.messages if m.to]
    assert private == [str(number) for number in range(50)]
    assert [m.message for m in bia.messages if m.id and not m.to] == [
        f"aloud {number}" for number in range(50)
    ]


# Private messages.


async def test_private_message_is_for_one_alone() -> None:
    """It is in the log of one inbox; its sender gets the echo; nobody else gets anything."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    carla = await chat.join("Carla", room="sala", session=SESSION, inbox=0)
    await quiet()
    for reader in (ana, bia, carla):
        reader.messages.clear()
    await ana.say("psst\x1b", key="k", to="CARLA")
    (heard,) = await carla.hears(1)
    (echo,) = await ana.hears(1)
    assert (heard.user, heard.message, heard.to) == ("ana", "psst\ufffd", "Carla")
    assert heard.key == "k" and heard.sent_at.seconds and heard.id == 1 and not heard.room
    heard.id = 0
    assert heard == echo
    await bia.hears(0)
    assert chat.shown == []


async def test_inbox_is_read_on_by_its_session_alone() -> None:
    """Whatever it is called by then, and however often it comes back; and nobody else's is."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    bia = await chat.join("bia", session=SESSION, inbox=0)
    await ana.say("one", to="bia")
    await quiet()
    bia.leave(is_lost=True)
    await ana.say("two", to="bia")
    back = await chat.join("beatriz", session=SESSION, inbox=1)
    await quiet()
    assert [(m.message, m.id) for m in back.messages if m.to] == [("two", 2)]
    back.leave()
    stranger = await chat.join("bia", session="f" * 32, inbox=0)
    await quiet()
    assert not [m for m in stranger.messages if m.to]
    again = await chat.join("bia2", session=SESSION, inbox=0)
    await quiet()
    assert [m.message for m in again.messages if m.to] == ["one", "two"]


@pytest.mark.parametrize("room", ["\x01", "\x01" + "0" * 32, "a\x01"])
async def test_no_room_is_an_inbox(room: str) -> None:
    """Neither in the metadata nor inside the stream."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    assert await refusal_of(chat.join("bia", room=room)) == "ROOM_INVALID"
    for kind in (chat_pb2.KIND_ENTERED, chat_pb2.KIND_HISTORY, chat_pb2.KIND_WHO):
        wish = Message(kind=kind, room=room, message="5")
        assert await refusal_of(ana.post(wish)) == "ROOM_INVALID"


async def test_client_of_the_first_contract_gets_private_messages_without_ids() -> None:
    """It would take them for ids of its room, and drop what comes before them there."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    old = await chat.join("bia", session=SESSION)
    await ana.say("psst", to="bia")
    await quiet()
    assert [(m.message, m.id) for m in old.messages if m.to] == [("psst", 0)]
    old.leave(is_lost=True)
    await ana.say("meanwhile", to="bia")
    back = await chat.join("bia", session=SESSION, after=0)
    await quiet()
    assert [(m.message, m.id) for m in back.messages if m.to] == [("meanwhile", 0)]


async def test_sender_is_told_when_nobody_came_back_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NOT_READ, with the key; for what was said while the line was dead as well."""
    monkeypatch.setattr(absence, "HELD_SECONDS", 0.01)
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    bia = await chat.join("bia", session=SESSION, inbox=0)
    await ana.say("into the dead line", to="bia", key="1")
    await quiet()
    bia.leave(is_lost=True)
    await ana.say("while it is held", to="bia", key="2")
    while chat.hub.directory.find("bia"):
        await asyncio.sleep(0)
    await quiet()
    notices = [(m.user, m.key) for m in ana.messages if m.kind == chat_pb2.KIND_NOTICE]
    assert notices == [("NOT_READ", "1"), ("NOT_READ", "2")]


async def test_sender_is_not_told_of_what_was_read() -> None:
    """Whoever comes back gets it, and whoever leaves had it."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    bia = await chat.join("bia", session=SESSION, inbox=0)
    await ana.say("psst", to="bia", key="1")
    await quiet()
    bia.leave(is_lost=True)
    back = await chat.join("bia", session=SESSION, inbox=0)
    back.leave()
    await quiet()
    assert not [m for m in ana.messages if m.kind == chat_pb2.KIND_NOTICE]


async def test_sender_is_told_when_nobody_can_come_back_for_it() -> None:
    """A client without a session is gone with its connection; one that leaves had it."""
    chat = await Chat().start()
    ana, bia, carla = await chat.full("ana", "bia", "carla")
    for name in ("bia", "carla"):
        await ana.say("psst", to=name, key=name)
    await quiet()
    bia.leave(is_lost=True)
    carla.leave()
    await quiet()
    notices = [(m.user, m.key) for m in ana.messages if m.kind == chat_pb2.KIND_NOTICE]
    assert notices == [("NOT_READ", "bia")]


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


# What is refused.


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message(message=""), "MESSAGE_INVALID"),
        (Message(message=" \n"), "MESSAGE_INVALID"),
        (Message(message="x" * 8193), "MESSAGE_TOO_LONG"),
        (Message(message="oi", key="k" * 257), "REQUEST_INVALID"),
        (Message(message="oi", kind=chat_pb2.KIND_JOINED), "REQUEST_INVALID"),
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
    monkeypatch.setattr(appending, "MAX_UNCOMMITTED", 2)
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


WISHES = [
    Message(kind=chat_pb2.KIND_RENAMED, message="ana"),
    Message(kind=chat_pb2.KIND_WHO),
    Message(kind=chat_pb2.KIND_HISTORY, message="1"),
    Message(kind=chat_pb2.KIND_ROOMS),
    Message(kind=chat_pb2.KIND_ENTERED, room="sala"),
    Message(kind=chat_pb2.KIND_EXITED, room="sala"),
]


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: chat_pb2.Kind.Name(wish.kind))
async def test_one_who_asks_too_much_waits(wish: Message) -> None:
    """Each costs more than a message does; a stream that ends meanwhile gets nothing more."""
    once_for_ever = Rate(1e-6, 1)
    limits = RateLimits(0, asking=once_for_ever, moving=once_for_ever)
    chat = await Chat(limits=limits).start()
    ana, bia = await chat.full("ana", "bia")
    is_move = wish.kind in (chat_pb2.KIND_ENTERED, chat_pb2.KIND_EXITED)
    await ana.post(Message(kind=chat_pb2.KIND_ENTERED, room="sala") if is_move else wish)
    second = asyncio.ensure_future(ana.post(wish))
    await quiet()
    assert not second.done()
    await bia.say("nobody else waits")
    await bia.ask_who()
    second.cancel()


async def test_one_who_asks_too_much_is_answered_later() -> None:
    """Nothing is refused and nothing is lost: each waits for its turn."""
    limits = RateLimits(0, asking=Rate(100, 1))
    chat = await Chat(limits=limits).start()
    (ana,) = await chat.full("ana")
    for number in range(5):
        await bounded(ana.ask_who(f"w{number}"))
    await quiet()
    assert [m.key for m in ana.messages if m.key] == [f"w{number}" for number in range(5)]


async def test_long_answer_counts_as_several_questions() -> None:
    """It comes at once, and the next question waits the longer."""
    chat = await Chat(max_clients=2000, limits=RateLimits(0)).start()
    for number in range(1249):
        await chat.hub.join(JoinRequest(user=f"p{number}"))
    ana = await chat.join("ana")
    await bounded(ana.ask_who("w"))
    await quiet()
    assert ana.messages[-1].key == "w"
    # Of ten at once: itself, five for 1250 names, and these.
    waits = [ana.member.rate_limit.ask() for _ in range(6)]
    assert not any(waits[:4]) and waits[-1] > 0.5


async def test_long_answers_are_written_one_after_the_other() -> None:
    """But none waits for long for a reader who takes nothing."""
    chat = await Chat(max_clients=2000).start()
    for number in range(498):
        await chat.hub.join(JoinRequest(user=f"p{number}"))
    stuck = await chat.join_asleep("stuck")
    ana, bia = await chat.full("ana", "bia")
    asking = [asyncio.ensure_future(one.ask_who("w")) for one in (stuck, ana, bia)]
    await quiet()
    assert stuck.member.queue.queued_messages > 0
    assert not any(one.member.queue.has_answers for one in (ana, bia))
    await bounded(asyncio.wait(asking[1:]))
    assert not asking[0].done()
    await come_true(lambda: all(one.messages[-1].key == "w" for one in (ana, bia)))
    asking[0].cancel()


async def test_wish_that_waits_is_not_fulfilled_for_a_closing_stream() -> None:
    """Its session has gone on in another one."""
    limits = RateLimits(0, asking=Rate(100, 1))
    chat = await Chat(limits=limits).start()
    (ana,) = await chat.full("ana")
    await ana.rename("anna")
    second = asyncio.ensure_future(ana.rename("annette"))
    await quiet()
    ana.member.close()
    assert await refusal_of(bounded(second)) == "SHUTTING_DOWN"
    assert ana.member.name == "anna"


async def test_rename_by_a_plain_client_counts_like_any_other() -> None:
    """Its first name is none; a second one waits."""
    limits = RateLimits(0, asking=Rate(1e-6, 1))
    chat = await Chat(limits=limits).start()
    plain = await chat.join()
    for name in ("p", "q"):
        await plain.say("oi", user=name)
    waiting = asyncio.ensure_future(plain.say("oi", user="r"))
    await quiet()
    assert not waiting.done() and plain.member.name == "q"
    waiting.cancel()


async def test_plain_client_that_comes_back_has_used_up_what_its_name_has() -> None:
    """It has no session: its name is who it is."""
    chat = await Chat(limits=RateLimits(1)).start()
    plain = await chat.join()
    await plain.say("oi", user="p")
    while not plain.member.rate_limit.say(1):
        pass
    plain.leave()
    again = await chat.join()
    assert not again.member.rate_limit.say(1)
    await again.say("oi", user="P")
    assert again.member.rate_limit.say(1)


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


@pytest.mark.parametrize("is_bob_here", [True, False])
@pytest.mark.parametrize(("to", "room"), [("bob", ""), ("", "segredo")], ids=["private", "room"])
async def test_key_without_a_session_brings_back_nobody_elses_words(
    to: str, room: str, is_bob_here: bool
) -> None:
    """Whoever takes a free name and guesses a key reads no more than its own words."""
    chat = await Chat().start()
    ana, bob = await chat.full("ana", "bob")
    await enter(ana, "segredo")
    await ana.post(Message(message="for bob's eyes", key="1", to=to, room=room))
    await quiet()
    ana.leave()
    if not is_bob_here:
        bob.leave()
    stranger = await chat.join("ana")
    for wish in (Message(), Message(room="segredo"), Message(to="bob"), Message(to="x" * 999)):
        wish.message, wish.key = "any", "1"
        await stranger.post(wish)
        await quiet()
    assert stranger.texts == ["any"] * 4
    assert not stranger.ids
    assert len(chat.log.rows) == 1


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


# Several rooms in one stream.


async def enter(reader: Reader, room: str, key: str = "e", **wish: Any) -> None:
    await reader.post(Message(kind=chat_pb2.KIND_ENTERED, room=room, key=key, **wish))


def in_room(reader: Reader, room: str) -> list[str]:
    """Return what was said in a room, as the reader heard it."""
    said = (chat_pb2.KIND_UNSPECIFIED, chat_pb2.KIND_ACTION)
    return [m.message for m in reader.messages if m.room == room and m.kind in said and not m.to]


async def test_message_is_said_in_the_room_that_it_names() -> None:
    """In the only one where it names none, else in the common one."""
    chat = await Chat().start()
    ana = await chat.join("ana")
    family = await chat.join("bia", room="Family")
    await enter(ana, "FAMILY")
    await ana.post(Message(message="for the family", room="family", key="1"))
    await ana.post(Message(message="for all", key="2"))
    await family.say("here")
    await quiet()
    assert in_room(family, "family") == ["for the family", "here"]
    assert in_room(ana, "family") == ["for the family", "here"]
    assert in_room(ana, "") == ["for all"]
    wish = Message(message="oi", room="elsewhere")
    assert await refusal_of(ana.post(wish)) == "NOT_IN_ROOM"
    assert await refusal_of(family.post(Message(message="oi", room="nowhere"))) == "NOT_IN_ROOM"


async def test_entering_says_from_where_and_then_what_came_after() -> None:
    """The echo comes before the messages; a number asks for the last so many."""
    chat = await Chat().start()
    bia = await chat.join("bia", room="sala")
    for number in range(5):
        await bia.say(str(number))
    await quiet()
    ana = await chat.join("ana", history=0)
    await enter(ana, "Sala", key="e1", id=3)
    await quiet()
    kinds = [(m.kind, m.room, m.id, m.key) for m in ana.messages]
    assert kinds[0] == (chat_pb2.KIND_ENTERED, "sala", 3, "e1")
    assert in_room(ana, "sala") == ["3", "4"]
    carla = await chat.join("carla", history=0)
    await enter(carla, "sala", message="1")
    await quiet()
    assert in_room(carla, "sala") == ["4"]
    dora = await chat.join("dora", history=0)
    await enter(dora, "sala")
    await quiet()
    assert in_room(dora, "sala") == ["0", "1", "2", "3", "4"]


async def test_entering_from_an_id_that_means_nothing_brings_the_last_messages() -> None:
    """As many as the client says in its metadata, after a notice."""
    chat = await Chat().start()
    bia = await chat.join("bia", room="sala")
    for number in range(5):
        await bia.say(str(number))
    await quiet()
    ana = await chat.join("ana", inbox=0, history=3)
    await enter(ana, "sala", id=99)
    await quiet()
    assert ana.events == [("ENTERED", "ana"), ("NOTICE", "LOG_REWOUND")]
    assert [m.id for m in ana.messages] == [2, 0, 3, 4, 5]


async def test_entering_is_answered_before_the_first_page_of_the_room() -> None:
    """Also where it is the turn of the pages: the answer says from where they are."""
    chat = await Chat().start()
    bia = await chat.join("bia", room="sala")
    await bia.say("there")
    await quiet()
    ana = await chat.join("ana")
    for number in range(3):
        await ana.say(f"{number}")
        await enter(ana, "sala")
        await quiet()
        places = [m.kind for m in ana.messages if m.room == "sala"]
        assert places == [chat_pb2.KIND_ENTERED, chat_pb2.KIND_UNSPECIFIED]
        await ana.post(Message(kind=chat_pb2.KIND_EXITED, room="sala"))
        await quiet()
        ana.messages.clear()


async def test_entering_twice_is_answered_and_changes_nothing() -> None:
    """A client that is not sure asks again."""
    chat = await Chat().start()
    ana = await chat.join("ana")
    bia = await chat.join("bia", room="sala")
    await enter(ana, "sala", key="1")
    await enter(ana, "sala", key="2")
    await bia.say("once")
    await quiet()
    assert [m.key for m in ana.messages if m.kind == chat_pb2.KIND_ENTERED] == ["1", "2"]
    assert in_room(ana, "sala") == ["once"]
    assert bia.events == [("JOINED", "ana")]


async def test_leaving_a_room_is_told_there_and_nothing_more_is_heard() -> None:
    """The echo says that it is so; the other rooms go on."""
    chat = await Chat().start()
    ana = await chat.join("ana")
    bia = await chat.join("bia", room="sala")
    await enter(ana, "sala")
    await ana.post(Message(kind=chat_pb2.KIND_EXITED, room="sala", key="x"))
    await bia.say("too late for ana")
    await ana.say("still here")
    await quiet()
    assert ("LEFT", "ana") in bia.events
    assert in_room(ana, "sala") == [] and in_room(ana, "") == ["still here"]
    assert [m.key for m in ana.messages if m.kind == chat_pb2.KIND_EXITED] == ["x"]
    assert await refusal_of(ana.post(Message(kind=chat_pb2.KIND_EXITED, room="sala"))) == (
        "NOT_IN_ROOM"
    )


async def test_what_was_said_before_leaving_is_echoed_before_the_farewell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the room is behind: else its key would wait, and be refused when sent again."""
    monkeypatch.setattr(replay, "PAGE_MESSAGES", 3)
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 4)
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    bia = await chat.join("bia", room="sala")
    for number in range(10):
        await bia.say(str(number))
    log.commit_and_deliver()
    ana = await chat.join("ana")
    await enter(ana, "sala", id=0)
    await ana.post(Message(message="last words", room="sala", key="k"))
    leaving = asyncio.ensure_future(
        ana.post(Message(kind=chat_pb2.KIND_EXITED, room="sala", key="x"))
    )
    await quiet()
    assert not leaving.done()
    log.commit_and_deliver()
    await leaving
    await quiet()
    assert in_room(ana, "sala") == [*map(str, range(10)), "last words"]
    assert ana.messages[-1].kind == chat_pb2.KIND_EXITED
    await ana.post(Message(message="last words", room="sala", key="k"))
    await quiet()
    assert (ana.messages[-1].key, ana.messages[-1].id) == ("k", 0)
    again = ana.post(Message(message="x", room="sala", key="new"))
    assert await refusal_of(again) == "NOT_IN_ROOM"


async def test_room_is_left_after_what_was_said_there_until_then_and_nothing_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However far behind its reader is; others do not wait for it."""
    monkeypatch.setattr(replay, "PAGE_MESSAGES", 3)
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 4)
    chat = await Chat().start()
    bia = await chat.join("bia", room="sala")
    ana = await chat.join_asleep("ana", session=SESSION, inbox=0)
    await enter(ana, "sala")
    for number in range(20):
        await bia.say(str(number))
        await quiet()
    leaving = asyncio.ensure_future(
        ana.post(Message(kind=chat_pb2.KIND_EXITED, room="sala", key="x"))
    )
    await quiet()
    assert not leaving.done() and ("LEFT", "ana") in bia.events
    for number in range(20, 30):
        await bia.say(str(number))
        await quiet()
    ana.read()
    await leaving
    await quiet()
    assert in_room(ana, "sala") == [str(number) for number in range(20)]
    assert (ana.messages[-1].kind, ana.messages[-1].key) == (chat_pb2.KIND_EXITED, "x")


async def test_rooms_of_one_client_are_bounded() -> None:
    """Twenty; leaving one makes room for another."""
    chat = await Chat().start()
    ana = await chat.join("ana")
    for number in range(19):
        await enter(ana, f"sala {number}")
    assert await refusal_of(enter(ana, "one too many")) == "TOO_MANY_ROOMS"
    await ana.post(Message(kind=chat_pb2.KIND_EXITED, room=""))
    await enter(ana, "one too many")
    ana.leave()
    assert not chat.hub.rooms


async def test_rooms_with_people_are_listed() -> None:
    """The largest first; inboxes are no rooms."""
    chat = await Chat().start()
    ana, _bia = await chat.full("ana", "bia")
    carla = await chat.join("carla", room="sala")
    await chat.join(None)
    await carla.post(Message(kind=chat_pb2.KIND_ROOMS, key="r"))
    await quiet()
    listed = [m for m in carla.messages if m.kind == chat_pb2.KIND_ROOMS]
    assert [(m.room, m.message) for m in listed] == [("", "2"), ("sala", "1"), ("", "")]
    assert listed[-1].key == "r"
    assert ana.events == [("JOINED", "bia")]


async def test_history_comes_once_more_in_parts_and_ends_with_the_echo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last so many before an id, oldest first, however they are paged."""
    monkeypatch.setattr(replay, "PAGE_MESSAGES", 3)
    chat = await Chat().start()
    ana = await chat.join("ana", wants_batches=True)
    for number in range(20):
        await ana.say(str(number))
    await quiet()
    ana.frames.clear()
    await ana.post(Message(kind=chat_pb2.KIND_HISTORY, message="7", id=15, key="h"))
    waiting = asyncio.ensure_future(ana.member.queue.wait_answered())
    await ana.say("meanwhile")
    await waiting
    await quiet()
    parts = [m for m in ana.messages if m.kind == chat_pb2.KIND_HISTORY]
    assert [len(part.batch) for part in parts] == [3, 3, 1, 0]
    assert [m.message for part in parts for m in part.batch] == [str(n) for n in range(7, 14)]
    assert {part.key for part in parts} == {"h"}
    assert ana.texts[-1] == "meanwhile"


@pytest.mark.parametrize("count", ["", "0", "-1", "x", "9" * 21, "1.5", "\u0663", "1+1"])
async def test_history_wants_a_number(count: str) -> None:
    """Of more than a thousand the last thousand come; two numbers take an id."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    wish = Message(kind=chat_pb2.KIND_HISTORY, message=count)
    assert await refusal_of(ana.post(wish)) == "REQUEST_INVALID"


async def test_action_is_in_the_log_and_plain_clients_see_it_in_stars() -> None:
    """With its kind for everybody else."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    plain = await chat.join()
    await ana.post(Message(kind=chat_pb2.KIND_ACTION, message="waves", key="a"))
    await quiet()
    assert plain.texts == ["*waves*"]
    (echo,) = ana.messages
    assert (echo.kind, echo.message, echo.id, echo.key) == (
        chat_pb2.KIND_ACTION,
        "waves",
        1,
        "a",
    )


async def test_keys_belong_to_the_session_whatever_it_is_called() -> None:
    """A rename between two attempts cannot make two of one."""
    chat = await Chat().start()
    ana = await chat.join("ana", session=SESSION, inbox=0)
    await ana.say("once", key="k")
    await ana.rename("anna")
    await ana.say("once", key="k")
    await quiet()
    assert len(chat.log.rows) == 1
    other = await chat.join("bia", session="f" * 32)
    await other.say("another one's key", key="k")
    await quiet()
    assert len(chat.log.rows) == 2


async def test_own_words_are_acknowledged_before_their_room_is_left() -> None:
    """Although they are committed late, and the reader is behind."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ana = await chat.join_asleep("ana")
    await enter(ana, "sala")
    await ana.post(Message(message="oi", room="sala", key="k"))
    wish = Message(kind=chat_pb2.KIND_EXITED, room="sala", key="x")
    leaving = asyncio.create_task(ana.post(wish))
    await quiet()
    assert not leaving.done()
    log.commit_and_deliver()
    await quiet()
    assert not leaving.done()
    ana.read()
    await leaving
    await quiet()
    assert [m.key for m in ana.messages if m.key in ("k", "x")] == ["k", "x"]


async def test_repeated_key_is_acknowledged_before_its_room_is_left() -> None:
    """Also where its message comes by itself, with what the reader has not heard yet."""
    chat = await Chat().start()
    old = await chat.join("ana", room="sala", session=SESSION)
    await old.say("oi", key="k")
    await quiet()
    old.leave(is_lost=True)
    ana = await chat.join_asleep("ana", room="sala", session=SESSION, after=0)
    await ana.post(Message(message="oi", room="sala", key="k"))
    wish = Message(kind=chat_pb2.KIND_EXITED, room="sala", key="x")
    leaving = asyncio.create_task(ana.post(wish))
    await quiet()
    ana.read()
    await leaving
    await quiet()
    assert [m.key for m in ana.messages if m.key in ("k", "x")] == ["k", "x"]


async def test_stream_that_ends_while_it_leaves_a_room_is_not_waited_for() -> None:
    """Its reader will never hear what it waits for."""
    chat = await Chat(FakeLog()).start()
    ana = await chat.join_asleep("ana", room="sala", session=SESSION)
    await ana.post(Message(message="oi", room="sala", key="k"))
    leaving = asyncio.create_task(ana.post(Message(kind=chat_pb2.KIND_EXITED, room="sala")))
    await quiet()
    assert not leaving.done()
    await chat.join("ana", room="sala", session=SESSION)
    assert await refusal_of(leaving) == "SHUTTING_DOWN"


async def test_repeated_key_of_a_plain_client_is_told_to_nobody() -> None:
    """It has no acknowledgements: it hears every message once."""
    chat = await Chat().start()
    plain = await chat.join()
    for _ in range(2):
        await plain.say("oi", user="ana", key="k")
        await quiet()
    assert plain.texts == ["oi"]
