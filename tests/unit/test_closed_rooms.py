"""Closed rooms: who may close one and come in, and what nobody else hears of it, by any way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rooms import Chat, FakeLog, Message, Reader, SlowInboxes, quiet, refusal_of

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_CLOSED_ROOMS, MAX_GUESTS, UNUSED_ROOM_SECONDS
from chat.protocol.metadata import JoinRequest
from chat.server import mail
from chat.server.closed_rooms import USE_SECONDS, ClosedRooms
from chat.server.directory import Person, asking_person
from chat.server.moderation import Sanction
from chat.server.ownership import MAX_NAMES_OF_KEY
from chat.server.room import Room

ROOM = "sala"
DAY = 86_400.0


def key_of(name: str) -> str:
    """Return somebody's public key: each has one of their own."""
    return name.ljust(43, "_")


def session_of(name: str) -> str:
    return name.encode().hex().ljust(32, "0")


async def come(
    chat: Chat, name: str, room: str = ROOM, owner: bool = True, **wishes: Any
) -> Reader:
    """Join with a session, under a name of one's own unless `owner` is false."""
    usual: dict[str, Any] = {"user": name, "session": session_of(name), "inbox": 0, "room": room}
    request = JoinRequest(**usual | wishes)
    return Reader(chat, await chat.hub.join(request, owner=key_of(name) if owner else ""))


async def stranger(chat: Chat, name: str, room: str = ROOM, **wishes: Any) -> Reader:
    """Join with a session, under a name that is nobody's own."""
    return await come(chat, name, room, owner=False, **wishes)


async def wish(
    reader: Reader, kind: chat_pb2.Kind, to: str = "", key: str = "w", room: str = ROOM
) -> None:
    await reader.post(Message(kind=kind, to=to, key=key, room=room))
    await quiet()


async def close(reader: Reader, key: str = "close", room: str = ROOM) -> None:
    await wish(reader, chat_pb2.KIND_CLOSED, key=key, room=room)


async def reopen(reader: Reader, key: str = "open", room: str = ROOM) -> None:
    """Open the room; whoever reads the stream waits for the commit in another task than ours."""
    await wish(reader, chat_pb2.KIND_OPENED, key=key, room=room)


async def invite(reader: Reader, name: str, key: str = "invite", room: str = ROOM) -> None:
    await wish(reader, chat_pb2.KIND_INVITED, name, key, room)


async def enter(reader: Reader, message_id: int | None = None, room: str = ROOM) -> None:
    """Enter a room: with all after an id, else with its last twenty messages."""
    number = "20" if message_id is None else ""
    kind = chat_pb2.KIND_ENTERED
    await reader.post(Message(kind=kind, room=room, id=message_id or 0, message=number, key="in"))
    await quiet()


async def say(reader: Reader, text: str, key: str = "", room: str = ROOM) -> None:
    await reader.post(Message(message=text, key=key, room=room))
    await quiet()


async def page(reader: Reader) -> list[str]:
    """Return what a page of the room's history says."""
    before = len(reader.texts)
    await reader.post(Message(kind=chat_pb2.KIND_HISTORY, room=ROOM, message="9", key="page"))
    await quiet()
    return reader.texts[before:]


def heard(reader: Reader, kind: chat_pb2.Kind) -> list[Message]:
    return [message for message in reader.messages if message.kind == kind]


def person_of(reader: Reader) -> Person:
    assert reader.member.person is not None
    return reader.member.person


async def closed_chat(log: FakeLog | None = None) -> tuple[Chat, Reader]:
    """Return a chat, and ana in a room that she has closed, in which she has said something."""
    chat = await Chat(log).start()
    ana = await come(chat, "ana")
    await close(ana)
    await say(ana, "segredo", key="said")
    return chat, ana


# Closing.


async def test_first_in_a_room_under_her_own_name_closes_it() -> None:
    """Everybody in it is told, in the order of the log, and so is the server's own screen."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    bia = await come(chat, "bia")
    await close(ana, key="k")
    (told,) = heard(bia, chat_pb2.KIND_CLOSED)
    assert (told.user, told.room, told.id, told.key) == ("ana", ROOM, 1, "k")
    assert heard(ana, chat_pb2.KIND_CLOSED) == [told]
    assert chat.shown == [(ROOM, "")]


async def test_who_is_not_the_first_or_owns_no_name_closes_nothing() -> None:
    """Nor does anybody close the common room, or one in which they are not."""
    chat = await Chat().start()
    nobody = await stranger(chat, "nuno")
    bia = await come(chat, "bia")
    assert await refusal_of(close(nobody)) == "NO_OWN_NAME"
    assert await refusal_of(close(bia)) == "NOT_ROOM_OWNER"
    assert await refusal_of(close(bia, room="outra")) == "NOT_IN_ROOM"
    ana = await come(chat, "ana", room="")
    assert await refusal_of(close(ana, room="")) == "NOT_ROOM_OWNER"
    assert not chat.hub.closed.is_closed(ROOM)


async def test_who_is_alone_at_last_closes_the_room() -> None:
    """She could as well leave it and be the first in an empty one."""
    chat = await Chat().start()
    first = await come(chat, "caio")
    ana = await come(chat, "ana")
    first.leave()
    await close(ana)
    assert chat.hub.closed.is_closed(ROOM)


async def test_first_one_closes_after_a_lost_connection() -> None:
    """That she is expected back herself does not make the room one of others."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    await come(chat, "bia")
    ana.leave(is_lost=True)
    back = await come(chat, "ana")
    await close(back)
    assert chat.hub.closed.is_closed(ROOM)


async def test_closing_twice_tells_it_once() -> None:
    """The same wish, sent again after a lost connection, is answered with what it was."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    bia = await come(chat, "bia")
    await close(ana, key="k")
    await close(ana, key="k")
    assert len(heard(bia, chat_pb2.KIND_CLOSED)) == 1
    assert [message.key for message in heard(ana, chat_pb2.KIND_CLOSED)] == ["k", "k"]


# Who is not invited.


async def test_uninvited_does_not_come_in() -> None:
    """As the first room and as another one, whatever the room is called in other letters."""
    chat, _ana = await closed_chat()
    for join in (come, stranger):
        assert await refusal_of(join(chat, "bia")) == "ROOM_CLOSED"
    assert await refusal_of(chat.join("bia", room="SALA")) == "ROOM_CLOSED"
    bia = await come(chat, "bia", room="")
    assert await refusal_of(enter(bia)) == "ROOM_CLOSED"
    assert await refusal_of(enter(bia, 0)) == "ROOM_CLOSED"
    assert "sala" not in bia.member.rooms


async def test_refused_join_leaves_everything_as_it_was() -> None:
    """The session's other stream goes on, and the name is as free as it was."""
    chat, _ana = await closed_chat()
    bia = await come(chat, "bia", room="")
    assert await refusal_of(come(chat, "bia")) == "ROOM_CLOSED"
    assert not bia.member.is_closing
    assert await refusal_of(stranger(chat, "caio")) == "ROOM_CLOSED"
    assert chat.hub.directory.find("caio") is None


@pytest.mark.parametrize(
    "kind", [chat_pb2.KIND_WHO, chat_pb2.KIND_CLOSED, chat_pb2.KIND_OPENED, chat_pb2.KIND_INVITED]
)
async def test_whatever_names_the_room_is_refused(kind: chat_pb2.Kind) -> None:
    """Nobody else learns who is in it, nor has a say in it."""
    chat, _ana = await closed_chat()
    bia = await come(chat, "bia", room="")
    assert await refusal_of(wish(bia, kind, to="bia")) == "ROOM_CLOSED"
    assert bia.messages == []


async def test_speaking_there_and_its_history_are_for_those_inside() -> None:
    """Also for somebody who was in the room before it was closed, and left."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    bia = await come(chat, "bia")
    await say(bia, "antes", key="mine")
    await enter(bia, room="outra")
    await bia.post(Message(kind=chat_pb2.KIND_EXITED, room=ROOM, key="out"))
    await close(ana)
    await say(ana, "segredo")
    count = len(bia.messages)
    history = Message(kind=chat_pb2.KIND_HISTORY, room=ROOM, message="9", key="h")
    assert await refusal_of(bia.post(history)) == "NOT_IN_ROOM"
    assert await refusal_of(say(bia, "oi")) == "NOT_IN_ROOM"
    assert len(bia.messages) == count


async def test_rooms_does_not_list_it_to_others() -> None:
    """To its guests, it does."""
    chat, ana = await closed_chat()
    bia = await come(chat, "bia", room="")
    for reader in (ana, bia):
        await reader.post(Message(kind=chat_pb2.KIND_ROOMS, key="r"))
    await quiet()
    listed = [[m.room for m in heard(r, chat_pb2.KIND_ROOMS) if m.message] for r in (ana, bia)]
    assert listed == [["", ROOM], [""]]


async def test_key_said_there_is_answered_without_its_words() -> None:
    """A key of a name that others had before, and that of a session which is no guest."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    old = await chat.join("bia", room=ROOM)  # without a session: its keys go with the name
    await close(ana)
    await say(old, "segredo", key="k")
    old.leave()
    bia = await chat.join("bia")
    await say(bia, "outra coisa", key="k", room="")
    (echo,) = [message for message in bia.messages if message.key == "k"]
    assert (echo.message, echo.id, echo.room) == ("outra coisa", 0, "")


async def test_key_said_there_is_answered_without_its_words_in_the_room_itself() -> None:
    """When it is open again, and the name somebody else's."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    old = await chat.join("bia", room=ROOM)
    await close(ana)
    await say(old, "segredo", key="k")
    old.leave()
    await reopen(ana)
    bia = await chat.join("bia", room=ROOM)
    await say(bia, "outra coisa", key="k")
    (echo,) = [message for message in bia.messages if message.key == "k"]
    assert (echo.message, echo.id) == ("outra coisa", 0)


# Who is inside.


async def test_those_inside_stay_and_come_back() -> None:
    """Owned names by their key, from any session; the others by their session, while it is held."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    bia = await come(chat, "bia")
    nuno = await stranger(chat, "nuno")
    await close(ana)
    bia.leave()
    nuno.leave(is_lost=True)
    bia = await come(chat, "bia", session="b" * 32, after=0)
    nuno = await stranger(chat, "nuno", after=0)
    await say(ana, "oi")
    assert bia.texts == nuno.texts == ["oi"]


async def test_session_that_is_over_was_not_invited() -> None:
    """Nobody could tell it from another one of that name."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    nuno = await stranger(chat, "nuno")
    await close(ana)
    nuno.leave()
    assert await refusal_of(stranger(chat, "nuno")) == "ROOM_CLOSED"


async def test_who_is_expected_back_is_inside() -> None:
    """A connection that was lost a moment ago keeps nobody out."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    nuno = await stranger(chat, "nuno")
    nuno.leave(is_lost=True)
    await close(ana)
    await say(ana, "segredo")
    nuno = await stranger(chat, "nuno", after=0)
    await quiet()
    assert nuno.texts == ["segredo"]


async def test_member_whose_time_is_over_does_not_resume() -> None:
    """The room was closed after its name had been given up: the id that it saw opens nothing."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    nuno = await stranger(chat, "nuno")
    await say(ana, "antes")
    nuno.leave()
    await close(ana)
    await say(ana, "segredo")
    assert await refusal_of(stranger(chat, "nuno", after=1)) == "ROOM_CLOSED"
    nuno = await stranger(chat, "nuno", room="")
    assert await refusal_of(enter(nuno, 1)) == "ROOM_CLOSED"


@pytest.mark.parametrize("is_first", [True, False])
async def test_who_enters_while_it_is_being_closed_is_inside_or_refused(is_first: bool) -> None:
    """There is no between: whoever is heard by the room is one of its guests."""
    chat = await Chat(FakeLog(is_automatic=False)).start()
    ana = await come(chat, "ana")
    nuno = await stranger(chat, "nuno", room="")
    entering = enter(nuno, 0)
    closing = close(ana)
    both = (entering, closing) if is_first else (closing, entering)
    results = await asyncio.gather(*both, return_exceptions=True)
    refusals = [str(r.reason) for r in results if isinstance(r, ChatError)]
    person = chat.hub.directory.find("nuno")
    assert person is not None
    assert refusals == ([] if is_first else ["ROOM_CLOSED"])
    assert chat.hub.closed.is_guest(ROOM, person) is is_first
    assert (nuno.member in chat.hub.rooms[ROOM].members) is is_first


# Inviting.


async def test_invited_name_is_told_and_comes_in() -> None:
    """It reads what was said since the room was closed; the room hears of the invitation."""
    chat, ana = await closed_chat()
    bia = await come(chat, "bia", room="")
    caio = await come(chat, "caio", room="")
    await invite(ana, "BIA", key="k")
    (told,) = heard(bia, chat_pb2.KIND_INVITED)
    assert (told.user, told.to, told.room, told.message, told.id) == ("ana", "bia", ROOM, ROOM, 3)
    (echo,) = heard(ana, chat_pb2.KIND_INVITED)
    assert (echo.key, echo.to, echo.room, echo.id) == ("k", "bia", ROOM, 0)
    await enter(bia)
    assert bia.texts == ["segredo"]
    assert heard(caio, chat_pb2.KIND_INVITED) == []
    assert chat.shown[-1] == (ROOM, ROOM)


async def test_room_hears_of_invitations_outside_the_log() -> None:
    """Without an id, which would be one of the inbox, and without the inviter's key."""
    chat, ana = await closed_chat()
    await come(chat, "caio", room="")
    await invite(ana, "caio")
    caio = await come(chat, "caio")
    await come(chat, "bia", room="")
    await invite(ana, "bia", key="second")
    told = heard(caio, chat_pb2.KIND_INVITED)
    assert [(m.user, m.to, m.room, m.id, m.key) for m in told if m.to == "bia"] == [
        ("ana", "bia", ROOM, 0, "")
    ]


async def test_invitation_waits_for_the_owner_of_a_name() -> None:
    """Told once when she is back, by any session; a stranger of that name gets nothing."""
    chat, ana = await closed_chat()
    bia = await come(chat, "bia", room="")
    bia.leave()
    await invite(ana, "bia")
    assert await refusal_of(stranger(chat, "bia", room="")) == "NAME_OWNED"
    bia = await come(chat, "bia", room="", session="b" * 32)
    await quiet()
    (told,) = heard(bia, chat_pb2.KIND_INVITED)
    assert (told.to, told.room) == ("bia", ROOM)
    bia.leave()
    again = await come(chat, "bia", inbox=told.id)
    await quiet()
    assert heard(again, chat_pb2.KIND_INVITED) == []
    assert again.texts == ["segredo"]


async def test_invitation_of_nobody_s_name_is_for_the_session_that_has_it() -> None:
    """For as long as it is held: whoever is called so next was not meant."""
    chat, ana = await closed_chat()
    nuno = await stranger(chat, "nuno", room="")
    await invite(ana, "nuno")
    nuno.leave(is_lost=True)
    nuno = await stranger(chat, "nuno")
    nuno.leave()
    assert await refusal_of(stranger(chat, "nuno", session="d" * 32)) == "ROOM_CLOSED"
    assert await refusal_of(stranger(chat, "nuno")) == "ROOM_CLOSED"


async def test_invited_session_comes_in_whatever_it_is_called_by_then() -> None:
    """Whoever takes its old name does not, although nobody else had been meant."""
    chat, ana = await closed_chat()
    bia = await stranger(chat, "bia", room="")
    await invite(ana, "bia")
    await bia.rename("beatriz")
    other = await come(chat, "bia", room="", owner=False, session=session_of("other"))
    assert await refusal_of(enter(other)) == "ROOM_CLOSED"
    await enter(bia)
    assert chat.hub.rooms[ROOM].names() == ["ana", "beatriz"]


async def test_who_cannot_be_invited() -> None:
    """Nobody, a name that nobody has or owns, a client that cannot enter rooms."""
    chat, ana = await closed_chat()
    plain = await chat.join()
    await plain.say("oi", user="plínio")
    for name in ("", "ninguém", "x" * 500):
        assert await refusal_of(invite(ana, name)) == "USER_UNKNOWN"
    assert await refusal_of(invite(ana, "plínio")) == "USER_UNREACHABLE"


async def test_guest_invites_and_opens_nothing() -> None:
    """That is the owner's, whoever is inside."""
    chat, ana = await closed_chat()
    await come(chat, "bia", room="")
    await invite(ana, "bia")
    bia = await come(chat, "bia")
    for kind in (chat_pb2.KIND_INVITED, chat_pb2.KIND_OPENED, chat_pb2.KIND_CLOSED):
        assert await refusal_of(wish(bia, kind, to="ana")) == "NOT_ROOM_OWNER"


async def test_inviting_who_is_inside_is_answered_alone() -> None:
    """There is nothing to tell them; not even to the owner herself."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    bia = await come(chat, "bia")
    await close(ana)
    for name in ("bia", "ana"):
        await invite(ana, name, key=name)
    assert heard(bia, chat_pb2.KIND_INVITED) == []
    assert [message.key for message in heard(ana, chat_pb2.KIND_INVITED)] == ["bia", "ana"]


async def test_invitation_sent_again_is_told_once() -> None:
    """The key makes one of two attempts, as with all that is said."""
    chat, ana = await closed_chat()
    bia = await come(chat, "bia", room="")
    await invite(ana, "bia", key="k")
    await invite(ana, "bia", key="k")
    assert len(heard(bia, chat_pb2.KIND_INVITED)) == 1
    assert [message.key for message in heard(ana, chat_pb2.KIND_INVITED)] == ["k", "k"]


async def test_owner_invites_from_elsewhere() -> None:
    """She is the owner while she is away, under whatever session she comes back with."""
    chat, ana = await closed_chat()
    ana.leave()
    ana = await come(chat, "ana", room="", session="a" * 32)
    bia = await come(chat, "bia", room="")
    await invite(ana, "bia")
    assert heard(bia, chat_pb2.KIND_INVITED)
    await reopen(ana, key="k")
    (echo,) = heard(ana, chat_pb2.KIND_OPENED)
    assert (echo.key, echo.id) == ("k", 0)
    assert not chat.hub.closed.is_closed(ROOM)


async def test_invitation_that_waits_is_not_written_again() -> None:
    """Nobody's inbox fills with the wishes of one owner; who is here is reminded."""
    chat, ana = await closed_chat()
    bia = await come(chat, "bia", room="")
    bia.leave()
    await invite(ana, "bia", key="one")
    await invite(ana, "bia", key="two")
    assert [message.key for message in heard(ana, chat_pb2.KIND_INVITED)] == ["one", "two"]
    bia = await come(chat, "bia", room="")
    await quiet()
    assert len(heard(bia, chat_pb2.KIND_INVITED)) == 1
    await invite(ana, "bia", key="three")
    assert len(heard(bia, chat_pb2.KIND_INVITED)) == 2


async def test_invitation_that_could_not_be_written_is_none() -> None:
    """The owner is told, and a second attempt is a first one."""
    chat, ana = await closed_chat()
    bia = await come(chat, "bia", room="")
    chat.log.is_failing = True
    await invite(ana, "bia", key="k")
    (notice,) = heard(ana, chat_pb2.KIND_NOTICE)
    assert (notice.user, notice.key) == ("NOT_STORED", "k")
    assert await refusal_of(enter(bia)) == "ROOM_CLOSED"
    chat.log.is_failing = False
    bia.leave()
    await invite(ana, "bia", key="k")
    bia = await come(chat, "bia", room="")
    await quiet()
    assert len(heard(bia, chat_pb2.KIND_INVITED)) == 1


# Taking an invitation back.


async def turn_out(reader: Reader, name: str, key: str = "out") -> None:
    await wish(reader, chat_pb2.KIND_EXITED, name, key)


async def test_who_is_turned_out_hears_nothing_more() -> None:
    """He is told, the room sees him leave, and he finds its door closed; he stays elsewhere."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    bia = await come(chat, "bia", room="outra")
    await enter(bia)
    await close(ana)
    await say(bia, "oi")
    await turn_out(ana, "bia", key="k")
    await say(ana, "segredo")
    (echo,) = heard(ana, chat_pb2.KIND_EXITED)
    assert (echo.to, echo.room, echo.key) == ("bia", ROOM, "k")
    assert ("LEFT", "bia") in ana.events
    assert [(m.user, m.room, m.key) for m in heard(bia, chat_pb2.KIND_NOTICE)] == [
        ("ROOM_CLOSED", ROOM, "")
    ]
    assert bia.texts == ["oi"]
    assert await refusal_of(enter(bia, 1)) == "ROOM_CLOSED"
    assert not bia.member.is_closing


async def test_stream_without_another_room_ends() -> None:
    """As it would if it began now; the name is held, and free for his return elsewhere."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    bia = await stranger(chat, "bia")
    await close(ana)
    await turn_out(ana, "bia")
    error = await bia.ends()
    assert error is not None and error.reason == "ROOM_CLOSED"
    bia.leave(is_lost=True)
    assert await refusal_of(stranger(chat, "bia", after=1)) == "ROOM_CLOSED"
    await stranger(chat, "bia", room="outra")


async def test_who_is_expected_back_is_turned_out() -> None:
    """And nobody sees the name there any more."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    bia = await come(chat, "bia")
    await close(ana)
    bia.leave(is_lost=True)
    await turn_out(ana, "bia")
    assert ("LEFT", "bia") in ana.events
    assert chat.hub.rooms[ROOM].names() == ["ana"]
    assert await refusal_of(come(chat, "bia", after=1)) == "ROOM_CLOSED"
    assert all(
        ROOM not in holder.rooms for holder in chat.log.held.values() if holder.name == "bia"
    )


async def own_all_names(chat: Chat, name: str) -> None:
    """Let somebody's key own no more names."""
    for number in range(MAX_NAMES_OF_KEY):
        chat.hub.owners.claim(f"{name}{number}", key_of(name), "", 0)


async def test_guest_by_a_key_is_turned_out_under_whatever_name() -> None:
    """Also under one that is nobody's own, because the key may own no more; by either name."""
    chat, ana = await closed_chat()
    (await come(chat, "bia", "")).leave()
    await own_all_names(chat, "bia")
    await invite(ana, "bia")
    for number, name in enumerate(("bia", "bibi")):
        bibi = await come(chat, "bia", user="bibi")
        await wish(ana, chat_pb2.KIND_EXITED, name, key=f"out{number}")
        error = await bibi.ends()
        assert error is not None and error.reason == "ROOM_CLOSED"
        assert await refusal_of(come(chat, "bia")) == "ROOM_CLOSED"
        await invite(ana, "bia", key=f"again{number}")


async def test_owner_of_a_room_has_it_under_whatever_name() -> None:
    """But to close another one she needs a name of her own."""
    chat, ana = await closed_chat()
    await own_all_names(chat, "ana")
    await ana.rename("bruna")
    await ana.post(Message(kind=chat_pb2.KIND_ENTERED, room="outra", key="in"))
    assert await refusal_of(close(ana, room="outra")) == "NOT_ROOM_OWNER"
    await reopen(ana)
    assert not chat.hub.closed.is_closed(ROOM)


async def test_invitation_of_somebody_away_is_taken_back() -> None:
    """Over a restart too: what lies in the inbox is a letter, not a key."""
    chat, ana = await closed_chat()
    bia = await come(chat, "bia", room="")
    bia.leave()
    await invite(ana, "bia")
    await turn_out(ana, "bia")
    ana.leave()
    chat = await Chat(chat.log).start()
    bia = await come(chat, "bia", room="")
    await quiet()
    (told,) = heard(bia, chat_pb2.KIND_INVITED)
    assert await refusal_of(enter(bia, room=told.room)) == "ROOM_CLOSED"


async def test_turning_out_is_the_owner_s_and_not_of_herself() -> None:
    """Of somebody who is known; else nothing changes."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    bia = await come(chat, "bia")
    await close(ana)
    assert await refusal_of(turn_out(bia, "ana")) == "NOT_ROOM_OWNER"
    assert await refusal_of(turn_out(ana, "ana")) == "REQUEST_INVALID"
    assert await refusal_of(turn_out(ana, "ninguém")) == "USER_UNKNOWN"
    assert chat.hub.rooms[ROOM].names() == ["ana", "bia"]


async def test_who_is_turned_out_while_he_leaves_or_comes_in_is_out() -> None:
    """Whatever he was waiting for: the end of his words, or where his reading begins."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ana = await come(chat, "ana")
    bia = await come(chat, "bia", room="outra")
    await enter(bia)
    await close(ana)
    log.commit_and_deliver()
    await bia.post(Message(message="oi", room=ROOM))
    leaving = asyncio.ensure_future(
        bia.post(Message(kind=chat_pb2.KIND_EXITED, room=ROOM, key="left"))
    )
    await quiet()
    await turn_out(ana, "bia")
    log.commit_and_deliver()
    await leaving
    await quiet()
    assert chat.hub.rooms[ROOM].names() == ["ana"]
    assert [m.key for m in heard(bia, chat_pb2.KIND_EXITED)] == ["left"]
    inviting = asyncio.ensure_future(invite(ana, "bia"))
    await quiet()
    log.commit_and_deliver()
    await inviting
    log.read_turns = 500
    entering = asyncio.ensure_future(enter(bia, 0))
    await quiet()
    await turn_out(ana, "bia", key="again")
    await say(ana, "segredo")
    log.commit_and_deliver()
    assert await refusal_of(entering) == "ROOM_CLOSED"
    for _ in range(3000):
        await asyncio.sleep(0)
    assert "segredo" not in bia.texts and not heard(bia, chat_pb2.KIND_ENTERED)[1:]
    assert chat.hub.rooms[ROOM].names() == ["ana"]


# Opening again.


async def test_open_again_it_tells_the_others_nothing_of_before() -> None:
    """Who was a guest still reads it all; a newcomer by no way, and is told what is missing."""
    chat, ana = await closed_chat()
    bia = await stranger(chat, "bia", room="")
    await reopen(ana)
    await say(ana, "agora")
    await enter(bia, 0)
    assert bia.texts == ["agora"]
    assert [(m.user, m.room) for m in heard(bia, chat_pb2.KIND_NOTICE)] == [("HISTORY_GONE", ROOM)]
    assert await page(bia) == ["agora"]
    ana.leave()
    guest = await come(chat, "ana")
    await quiet()
    assert guest.texts == ["segredo", "agora"]


@pytest.mark.parametrize("wishes", [{}, {"history": 1000}, {"after": 0}, {"after": 1}])
async def test_newcomer_of_an_open_room_begins_where_it_was_opened(wishes: dict[str, Any]) -> None:
    """Whatever it asks for, and its greeting says so."""
    chat, ana = await closed_chat()
    await reopen(ana)
    await say(ana, "agora")
    bia = await stranger(chat, "bia", **wishes)
    greeting = chat.hub.greeting(bia.member)
    await quiet()
    assert bia.texts == ["agora"]
    assert greeting.after == 2


async def test_what_was_on_its_way_when_it_was_opened_stays_inside() -> None:
    """The wish is an entry of the log like what was said before it, and takes effect as one."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ana = await come(chat, "ana")
    await close(ana)
    log.commit_and_deliver()
    await say(ana, "segredo")
    opening = asyncio.ensure_future(reopen(ana))
    await quiet()
    bia = await stranger(chat, "bia", room="")
    assert await refusal_of(enter(bia)) == "ROOM_CLOSED"
    log.commit_and_deliver()
    await opening
    await enter(bia, 0)
    assert bia.texts == []


async def test_room_that_could_not_be_opened_stays_closed() -> None:
    """The wish was not written, and the owner is told."""
    chat, ana = await closed_chat()
    chat.log.is_failing = True
    await reopen(ana, key="k")
    (notice,) = heard(ana, chat_pb2.KIND_NOTICE)
    assert (notice.user, notice.key) == ("NOT_STORED", "k")
    assert chat.hub.closed.is_closed(ROOM)


async def test_opening_twice_is_answered_twice() -> None:
    """The same wish sent again, and any wish that a room be open which is."""
    chat, ana = await closed_chat()
    for key in ("k", "k", "other"):
        await reopen(ana, key=key)
    assert [message.key for message in heard(ana, chat_pb2.KIND_OPENED)] == ["k", "k", "other"]


async def test_wishes_that_are_sent_again_leave_the_last_one_standing() -> None:
    """Opened and closed once more, and none of it acknowledged: it stays closed."""
    chat, ana = await closed_chat()
    await reopen(ana, key="one")
    await close(ana, key="two")
    await reopen(ana, key="one")
    await close(ana, key="two")
    assert chat.hub.closed.is_closed(ROOM)
    await reopen(ana, key="three")
    await close(ana, key="two")
    assert not chat.hub.closed.is_closed(ROOM)


async def test_server_that_ended_before_it_had_noted_the_opening_opens_by_the_same_wish() -> None:
    """The wish was in the log; what everybody said since stays inside."""
    chat, ana = await closed_chat()
    kept = chat.log.kept["room", ROOM]
    await reopen(ana, key="k")
    await say(ana, "agora")
    chat.log.keep("room", ROOM, kept)
    ana.leave(is_lost=True)
    chat = await Chat(chat.log).start()
    ana = await come(chat, "ana")
    await reopen(ana, key="k")
    bia = await stranger(chat, "bia", after=0)
    await quiet()
    assert bia.texts == []
    assert not chat.hub.closed.is_closed(ROOM)


async def test_opening_on_its_way_opens_no_later_closing() -> None:
    """That of an operator, which comes into the log after the owner has opened and closed."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    chat.hub.moderation.operators = frozenset({"olga"})
    ana = await come(chat, "ana")
    olga = await come(chat, "olga", room="")
    await close(ana)
    log.commit_and_deliver()
    opening = asyncio.ensure_future(reopen(ana))
    await quiet()
    log.commit()
    late = asyncio.ensure_future(reopen(olga))
    await quiet()
    log.deliver_next()
    await opening
    await close(ana, key="again")
    log.commit_and_deliver()
    await late
    assert chat.hub.closed.is_closed(ROOM)


async def test_closed_once_more_by_somebody_else() -> None:
    """The first guests are none of his, nor do his read what the first ones said."""
    chat, ana = await closed_chat()
    await reopen(ana)
    ana.leave()
    caio = await come(chat, "caio")
    await close(caio)
    await say(caio, "outro segredo")
    assert await refusal_of(come(chat, "ana")) == "ROOM_CLOSED"
    await come(chat, "bia", room="")
    await invite(caio, "bia")
    bia = await come(chat, "bia", history=1000)
    await quiet()
    assert bia.texts == ["outro segredo"]


async def test_closed_once_more_by_its_owner_keeps_what_she_may_read() -> None:
    """Nothing is lost by opening a room for a moment."""
    chat, ana = await closed_chat()
    await reopen(ana)
    await close(ana, key="again")
    ana.leave()
    ana = await come(chat, "ana")
    await quiet()
    assert ana.texts == ["segredo"]


# Operators.


async def operator_chat() -> tuple[Chat, Reader]:
    """Return a chat of which olga is an operator, and ana in her closed room."""
    chat, ana = await closed_chat()
    olga = await come(chat, "olga", room="")  # whose own the name is from now on
    olga.leave()
    chat.hub.moderation.operators = frozenset({"olga"})
    return chat, ana


async def test_operator_enters_and_is_seen() -> None:
    """And hears what is said from then on, also after a lost connection."""
    chat, ana = await operator_chat()
    olga = await come(chat, "olga", history=1000)
    await quiet()
    assert ana.events[-1] == ("JOINED", "olga")
    await say(ana, "oi")
    assert olga.texts == ["oi"]
    olga.leave(is_lost=True)
    await say(ana, "ainda aí?")
    olga = await come(chat, "olga", after=3)
    await quiet()
    assert olga.texts == ["ainda aí?"]
    assert await page(olga) == ["oi", "ainda aí?"]


async def test_operator_opens_but_does_not_invite() -> None:
    """From outside, too; who is in the room is told who did it."""
    chat, ana = await operator_chat()
    olga = await come(chat, "olga", room="")
    assert await refusal_of(invite(olga, "olga")) == "NOT_ROOM_OWNER"
    await reopen(olga)
    assert not chat.hub.closed.is_closed(ROOM)
    assert heard(ana, chat_pb2.KIND_OPENED)[0].user == "olga"


async def test_operator_no_more_is_out_with_his_session() -> None:
    """He was not invited, only let in."""
    chat, _ana = await operator_chat()
    olga = await come(chat, "olga")
    chat.hub.closed.is_operator = lambda person: False
    olga.leave(is_lost=True)
    olga = await come(chat, "olga")
    olga.leave()
    assert await refusal_of(come(chat, "olga")) == "ROOM_CLOSED"


# Limits, and what is kept.


async def test_owner_has_so_many_rooms() -> None:
    """Those that are open again are among them: what was said there has to be kept from others."""
    log = FakeLog()
    chat = await Chat(log).start()
    ana = asking_person("ana", session_of("ana"), key_of("ana"))
    for number in range(MAX_CLOSED_ROOMS):
        chat.hub.closed.close(f"sala{number}", ana, [ana])
    chat.hub.closed.open("sala0", 0)
    reader = await come(chat, "ana")
    assert await refusal_of(close(reader)) == "TOO_MANY_CLOSED"
    chat.hub.closed.close("sala0", ana, [ana])
    bia = await come(chat, "bia", room="outra")
    await close(bia, room="outra")


async def test_room_has_so_many_guests() -> None:
    """Neither are more invited, nor is a room closed that has more."""
    chat = await Chat().start()
    crowd = [asking_person(f"p{i}", session_of(f"p{i}"), "") for i in range(MAX_GUESTS + 1)]
    closed = chat.hub.closed
    with pytest.raises(ChatError, match="200"):
        closed.close("cheia", crowd[0], crowd)
    closed.close(ROOM, crowd[0], crowd[:-1])
    with pytest.raises(ChatError, match="200"):
        closed.invite(ROOM, "one more")
    closed.invite(ROOM, crowd[1].identity)


async def test_closed_room_outlives_the_server() -> None:
    """Its owner, its guests, and its secrets; of sessions those that are held."""
    chat, ana = await closed_chat()
    bia = await come(chat, "bia", room="")
    await invite(ana, "bia")
    nuno = await stranger(chat, "nuno", room="")
    gone = await stranger(chat, "rui", room="")
    for name in ("nuno", "rui"):
        await invite(ana, name, key=name)
    gone.leave()
    for reader in (ana, bia, nuno):
        reader.leave(is_lost=True)
    chat = await Chat(chat.log).start()
    for name in ("rui", "zoe"):
        assert await refusal_of(stranger(chat, name)) == "ROOM_CLOSED"
    nuno = await stranger(chat, "nuno")
    bia = await come(chat, "bia")
    ana = await come(chat, "ana")
    await quiet()
    assert nuno.texts == bia.texts == ["segredo"]
    await reopen(ana)
    chat = await Chat(chat.log).start()
    zoe = await stranger(chat, "zoe", after=0)
    await quiet()
    assert zoe.texts == []


async def test_session_that_a_restart_does_not_know_is_no_guest() -> None:
    """It was held when the server ended, and by the next one no more."""
    chat, ana = await closed_chat()
    nuno = await stranger(chat, "nuno", room="")
    await invite(ana, "nuno")
    person = nuno.member.person
    assert person is not None
    chat.log.keep("holder", person.identity, None)
    chat = await Chat(chat.log).start()
    assert await refusal_of(stranger(chat, "nuno")) == "ROOM_CLOSED"


class Clock:
    now = 1e9

    def __call__(self) -> float:
        return self.now


def rooms_of(log: FakeLog, inhabited: dict[str, Room], clock: Clock) -> ClosedRooms:
    return ClosedRooms(log, lambda: 7, inhabited, clock)


async def test_room_that_nobody_uses_opens_by_itself() -> None:
    """After three months; what was said in it stays inside."""
    log, clock = FakeLog(), Clock()
    inhabited: dict[str, Room] = {}
    closed = rooms_of(log, inhabited, clock)
    ana = asking_person("ana", session_of("ana"), key_of("ana"))
    zoe = asking_person("zoe", session_of("zoe"), "")
    closed.close(ROOM, ana, [ana])
    clock.now += UNUSED_ROOM_SECONDS
    assert not closed.admits(ROOM, zoe)
    clock.now += DAY
    inhabited[ROOM] = Room(ROOM, 0)
    assert not closed.admits(ROOM, zoe)  # somebody has been in it all the time
    del inhabited[ROOM]
    assert closed.admits(ROOM, zoe)
    assert closed.heard_after(ROOM, zoe) == 7
    assert closed.heard_after(ROOM, ana) == 0


async def test_use_is_noted_once_a_day() -> None:
    """By coming in, and by the last one's leaving."""
    log, clock = FakeLog(), Clock()
    closed = rooms_of(log, {}, clock)
    ana = asking_person("ana", session_of("ana"), key_of("ana"))
    closed.close(ROOM, ana, [ana])
    clock.now += USE_SECONDS
    closed.enter(Room(ROOM, 0), ana)
    assert ("used room", ROOM) not in log.kept
    clock.now += UNUSED_ROOM_SECONDS - DAY
    closed.note_use(ROOM)
    clock.now += UNUSED_ROOM_SECONDS - 1
    assert closed.is_closed(ROOM)
    assert float(log.kept["used room", ROOM]) > USE_SECONDS


async def test_open_room_whose_secrets_are_gone_is_forgotten() -> None:
    """By the next start: the log keeps nothing any more that could be told."""
    chat, ana = await closed_chat()
    await reopen(ana)
    await say(ana, "agora")
    await Chat(chat.log).start()
    assert ("room", ROOM) in chat.log.kept
    chat.log.trim(ROOM, 2)
    await Chat(chat.log).start()
    assert ("room", ROOM) not in chat.log.kept


def test_certified_names_are_told_apart() -> None:
    """An authority vouches for many: the name goes with it; a key says by itself whose it is."""
    ana, bia = (asking_person(name, session_of(name), "certificate") for name in ("Ana", "bia"))
    closed = rooms_of(FakeLog(), {}, Clock())
    closed.close(ROOM, ana, [ana])
    renamed = asking_person("aninha", "e" * 32, key_of("ana"))
    assert closed.is_owner(ROOM, asking_person("ana", "f" * 32, "certificate"))
    assert not closed.admits(ROOM, bia)
    owner: Person = asking_person("ana", session_of("ana"), key_of("ana"))
    closed.close("outra", owner, [owner])
    assert closed.is_owner("outra", renamed)


async def test_guest_of_the_first_contract_gets_no_ids_of_the_inbox() -> None:
    """It knows one room, and would take them for places in it; the rest is as for everybody."""
    chat = await Chat().start()
    ana = await come(chat, "ana")
    old = await stranger(chat, "rui", inbox=None)
    await close(ana)
    await say(ana, "segredo")
    assert [message.id for message in old.messages] == [1, 2]
    there = await come(chat, "ana", room="outra", session="a" * 32)
    await close(there, room="outra", key="other")
    await invite(there, "rui", room="outra", key="rui")
    (told,) = heard(old, chat_pb2.KIND_INVITED)
    assert (told.id, told.room) == (0, "outra")


async def test_who_is_muted_neither_closes_nor_invites() -> None:
    """Others are told of it, and an invitation is a message."""
    chat, ana = await closed_chat()
    await come(chat, "bia", room="")
    chat.hub.moderation.mutes.add(Sanction("ana", key_of("ana")))
    assert await refusal_of(invite(ana, "bia")) == "MUTED"
    assert await refusal_of(reopen(ana)) == "MUTED"


async def test_invitation_finds_no_room_in_a_full_inbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then she is not invited either."""
    monkeypatch.setattr(mail, "MAX_WAITING_MESSAGES", 1)
    chat, ana = await closed_chat()
    bia = await come(chat, "bia", room="")
    bia.leave()
    await ana.post(Message(message="oi", to="bia"))
    assert await refusal_of(invite(ana, "bia")) == "INBOX_FULL"
    assert await refusal_of(come(chat, "bia")) == "ROOM_CLOSED"


# Whoever waits is judged again.


async def slow_invitation() -> tuple[Chat, Reader, asyncio.Event, asyncio.Task[None]]:
    """Return a chat, ana, what lets the log be read, and her invitation that waits for it."""
    log = SlowInboxes()
    chat, ana = await closed_chat(log)
    bia = await come(chat, "bia", room="")
    bia.leave()
    log.may_look.clear()
    inviting = asyncio.create_task(invite(ana, "bia"))
    await quiet()
    return chat, ana, log.may_look, inviting


async def test_invitation_that_waited_is_for_the_same_closing() -> None:
    """Not into the room of whoever has closed it since."""
    chat, ana, may_look, inviting = await slow_invitation()
    rui = await come(chat, "rui", room="")
    chat.hub.closed.open(ROOM, chat.hub.rooms.last_id)  # by ana, from another machine
    await enter(rui)
    chat.hub.places.exit(ana.member, ana.member.rooms[ROOM])
    await close(rui)
    may_look.set()
    assert await refusal_of(inviting) == "NOT_ROOM_OWNER"
    assert await refusal_of(come(chat, "bia")) == "ROOM_CLOSED"


async def test_invitation_of_one_who_was_removed_while_it_waited_is_none() -> None:
    chat, ana, may_look, inviting = await slow_invitation()
    ana.leave()
    may_look.set()
    assert await refusal_of(inviting) == "SHUTTING_DOWN"
    assert await refusal_of(come(chat, "bia")) == "ROOM_CLOSED"


class SlowKeys(FakeLog):
    """A log in which a key is found only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.may_find = asyncio.Event()

    async def find_key(self, sender: str, key: str) -> tuple[str, Message] | None:
        found = await super().find_key(sender, key)
        await self.may_find.wait()
        return found


async def test_who_is_removed_while_the_key_is_looked_up_closes_nothing() -> None:
    log = SlowKeys()
    chat = await Chat(log).start()
    ana = await come(chat, "ana")
    closing = asyncio.create_task(close(ana))
    await quiet()
    ana.leave()
    log.may_find.set()
    assert await refusal_of(closing) == "SHUTTING_DOWN"
    assert not chat.hub.closed.is_closed(ROOM)


async def test_closing_that_waited_is_refused_where_another_was_first() -> None:
    """It is not answered as done: the room is the other one's."""
    log = SlowKeys()
    chat = await Chat(log).start()
    ana = await come(chat, "ana")
    bia = await come(chat, "bia")
    await wish(ana, chat_pb2.KIND_ENTERED, room="outra")
    chat.hub.places.exit(ana.member, ana.member.rooms[ROOM])
    closing = asyncio.create_task(close(bia))
    await quiet()
    await enter(ana)
    chat.hub.closed.close(ROOM, person_of(ana), chat.hub.rooms[ROOM].persons())
    log.may_find.set()
    assert await refusal_of(closing) == "NOT_ROOM_OWNER"
