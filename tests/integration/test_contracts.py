"""The contract as every sort of client meets it: with a session or without, the first, the plain.

Private messages, names, keys and places in the log, over real gRPC.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from support import (
    Client,
    Metadata,
    ServerHere,
    eventually,
    full_client,
    full_metadata,
    plain_client,
    server_here,
)

import chat_pb2
from chat.server import absence
from chat.server.directory import identity_of

Message = chat_pb2.Message
Code = grpc.StatusCode
Wishes = Mapping[str, Any]
SESSION = "0123456789abcdef" * 2
OTHER_SESSION = "fedcba9876543210" * 2
NAME_TAKEN = (Code.ALREADY_EXISTS, "NAME_TAKEN")
SAID = chat_pb2.KIND_UNSPECIFIED
NOTICE = chat_pb2.KIND_NOTICE
# How long a name is held where a test waits for the end of it.
SHORT_SECONDS = 0.3

WITH_SESSION: dict[str, Wishes] = {
    "whole contract": {"session": SESSION, "inbox": 0},
    "first contract": {"session": SESSION},
}
WITHOUT_SESSION: dict[str, Wishes] = {
    "without a session": {"inbox": 0},
    "first contract without a session": {},
}
EVERY = WITH_SESSION | WITHOUT_SESSION
with_session = pytest.mark.parametrize("wishes", WITH_SESSION.values(), ids=WITH_SESSION.keys())
without_session = pytest.mark.parametrize(
    "wishes", WITHOUT_SESSION.values(), ids=WITHOUT_SESSION.keys()
)
every_client = pytest.mark.parametrize("wishes", EVERY.values(), ids=EVERY.keys())


@contextmanager
def house(*flags: str, **parts: Any) -> Iterator[ServerHere]:
    """Run a server with three places, so that it is seen when a lost client has made room."""
    with server_here("--rate", "0", "--max-clients", "3", *flags, **parts) as server:
        yield server


def lose(server: ServerHere, client: Client) -> None:
    """Cut a client's line, and return when the server has noticed: two are there, it is one."""
    client.cancel()

    def has_places() -> bool:
        guests = [Client(server.address) for _ in range(2)]
        try:
            return all(guest.epoch for guest in guests)
        finally:
            for guest in guests:
                guest.close()

    eventually(has_places)


def refusal(address: str, metadata: Metadata) -> tuple[Code, str]:
    """Return how a stream with these metadata ends."""
    client = Client(address, metadata)
    try:
        return client.wait_for_end()
    finally:
        client.close()


def notices(client: Client) -> list[tuple[str, str]]:
    """Return the reasons, and the keys, of the notices so far."""
    return [(message.user, message.key) for message in client.of_kind(NOTICE)]


def with_key(client: Client, key: str) -> list[Message]:
    """Return the messages with a key so far."""
    return [message for message in list(client.messages) if message.key == key]


def settled(client: Client) -> None:
    """Return when what was queued for a client by now has come; not what it has just said."""
    key = f"settled {len(client.messages)}"
    client.ask_rooms(key)
    client.wait_for(lambda message: message.key == key and not message.room)


# Names, and private messages, while a line is lost.


@with_session
def test_private_message_waits_for_whoever_lost_the_line(wishes: Wishes) -> None:
    """It comes once, after the return; nobody is told of a return, or of anything unread."""
    with house() as server, full_client(server.address, "bia", history=0) as bia:
        with full_client(server.address, "ana", history=0, **wishes) as ana:
            ana.wait_for_greeting()
            bia.wait_for_kind(chat_pb2.KIND_JOINED)
            lose(server, ana)
            bia.say("meanwhile", to="ana", key="1")
            assert bia.wait_for_key("1").kind == SAID
            bia.say("to all", key="2")
            bia.wait_for_key("2")
        with full_client(server.address, "ana", after=0, **wishes) as back:
            assert back.wait_for_text("meanwhile").to == "ana"
            back.wait_for_text("to all")
            settled(back)
            assert sorted(back.texts) == ["meanwhile", "to all"]
            settled(bia)
            assert not bia.of_kind(chat_pb2.KIND_LEFT)
            assert len(bia.of_kind(chat_pb2.KIND_JOINED)) == 1
            assert notices(bia) == []


@with_session
def test_name_of_a_lost_client_is_held_for_its_session(wishes: Wishes) -> None:
    """Others are refused, plain ones too; it is still seen; so it is after a rename to it."""
    with house() as server, full_client(server.address, "bia", history=0) as bia:
        with full_client(server.address, "ana", **wishes) as ana:
            lose(server, ana)
        others: list[Wishes] = [{}, {"session": OTHER_SESSION, "inbox": 0}]
        for other in others:
            assert refusal(server.address, full_metadata("ANA", **other)) == NAME_TAKEN
        with plain_client(server.address, "ana") as plain:
            plain.say("oi")
            assert plain.wait_for_end() == NAME_TAKEN
        bia.rename("ana", key="r")
        assert bia.wait_for_key("r").user == "NAME_TAKEN"
        bia.ask_who("w")
        bia.wait_for_key("w")
        present = sorted(message.user for message in bia.of_kind(chat_pb2.KIND_PRESENT))
        assert present == ["ana", "bia"]


@with_session
def test_end_of_a_held_name_is_told(wishes: Wishes, monkeypatch: pytest.MonkeyPatch) -> None:
    """LEFT to the room, NOT_READ to who wrote to it; then the name is anybody's."""
    monkeypatch.setattr(absence, "HELD_SECONDS", SHORT_SECONDS)
    with house() as server, full_client(server.address, "bia", history=0) as bia:
        with full_client(server.address, "ana", **wishes) as ana:
            bia.say("psst", to="ana", key="1")
            ana.wait_for_text("psst")
            ana.cancel()
            assert bia.wait_for_kind(chat_pb2.KIND_LEFT).user == "ana"
            assert bia.wait_for_kind(NOTICE).user == "NOT_READ"
            assert notices(bia) == [("NOT_READ", "1")]
        with full_client(server.address, "ana", session=OTHER_SESSION, inbox=0) as heir:
            assert heir.epoch
            settled(heir)
            assert not [message for message in heir.messages if message.to]


@without_session
def test_client_without_a_session_holds_nothing(wishes: Wishes) -> None:
    """Its lost line is an end: LEFT at once, the name is free, and nobody gets its messages."""
    with house() as server, full_client(server.address, "bia", history=0) as bia:
        with full_client(server.address, "ana", **wishes) as ana:
            ana.wait_for_greeting()
            bia.wait_for_kind(chat_pb2.KIND_JOINED)
            ana.cancel()
            bia.wait_for_kind(chat_pb2.KIND_LEFT)
        bia.say("too late", to="ana", key="1")
        assert bia.wait_for_key("1").user == "USER_UNKNOWN"
        with full_client(server.address, "ana", **wishes) as back:
            assert back.epoch
            settled(back)
            assert not [message for message in back.messages if message.to]


@without_session
def test_sender_is_told_what_a_client_without_a_session_may_have_missed(wishes: Wishes) -> None:
    """It never comes back for it: NOT_READ when its line is lost."""
    with house() as server, full_client(server.address, "bia", history=0) as bia:
        with full_client(server.address, "ana", **wishes) as ana:
            bia.say("psst", to="ana", key="1")
            ana.wait_for_text("psst")
            ana.cancel()
            bia.wait_for_kind(chat_pb2.KIND_LEFT)
        settled(bia)
        assert notices(bia) == [("NOT_READ", "1")]


@every_client
def test_name_of_whoever_leaves_is_free_at_once(wishes: Wishes) -> None:
    """A half-close: LEFT, no message is taken for it any more, none was unread."""
    with house() as server, full_client(server.address, "bia", history=0) as bia:
        with full_client(server.address, "ana", **wishes) as ana:
            bia.say("psst", to="ana", key="1")
            ana.wait_for_text("psst")
            ana.half_close()
            assert ana.wait_for_end() == (Code.OK, "")
            bia.wait_for_kind(chat_pb2.KIND_LEFT)
        bia.say("too late", to="ana", key="2")
        assert bia.wait_for_key("2").user == "USER_UNKNOWN"
        with full_client(server.address, "ana", session=OTHER_SESSION, inbox=0) as other:
            assert other.epoch
        settled(bia)
        assert notices(bia) == [("USER_UNKNOWN", "2")]


def test_plain_client_holds_nothing_and_gets_nothing_private() -> None:
    """Its name is free as soon as its line is lost."""
    with house() as server, full_client(server.address, "bia", history=0) as bia:
        with plain_client(server.address, "ana") as plain:
            plain.say("oi")
            plain.wait_for_text("oi")
            bia.say("psst", to="ana", key="1")
            assert bia.wait_for_key("1").user == "USER_UNREACHABLE"
            plain.cancel()
            bia.wait_for_kind(chat_pb2.KIND_LEFT)
        with full_client(server.address, "ana", history=0) as ana:
            assert ana.epoch


# Two clients of one person.


@with_session
def test_second_stream_of_a_session_takes_the_place_of_the_first(wishes: Wishes) -> None:
    """Under another name too: then it is told; what is private comes to the second one alone."""
    with (
        house() as server,
        full_client(server.address, "bia", history=0) as bia,
        full_client(server.address, "ana", history=0, **wishes) as older,
    ):
        assert older.epoch
        with full_client(server.address, "aninha", history=0, **wishes) as newer:
            assert newer.epoch
            assert older.wait_for_end() == (Code.ABORTED, "SESSION_REPLACED")
            bia.say("psst", to="ana", key="1")
            assert bia.wait_for_key("1").user == "USER_UNKNOWN"
            bia.say("psst", to="aninha", key="2")
            newer.wait_for_text("psst")
            assert older.texts == []
            joined, left = chat_pb2.KIND_JOINED, chat_pb2.KIND_LEFT
            presence = [(m.kind, m.user) for m in bia.messages if m.kind in (joined, left)]
            assert presence == [(joined, "ana"), (left, "ana"), (joined, "aninha")]


@every_client
def test_second_session_with_the_same_name_is_refused(wishes: Wishes) -> None:
    """NAME_TAKEN, and the first one notices nothing."""
    with house() as server, full_client(server.address, "ana", history=0, **wishes) as ana:
        assert ana.epoch
        other = full_metadata("ana", session=OTHER_SESSION, inbox=0)
        assert refusal(server.address, other) == NAME_TAKEN
        assert refusal(server.address, full_metadata("ana")) == NAME_TAKEN
        ana.say("still here", key="k")
        ana.wait_for_key("k")


# Keys.


@with_session
def test_key_belongs_to_the_session_whatever_it_is_called(wishes: Wishes) -> None:
    """After a rename, and in another stream under another name, the same key is the same word."""
    with house() as server, full_client(server.address, "bia", history=0) as bia:
        with full_client(server.address, "ana", history=0, **wishes) as ana:
            ana.say("once", key="k")
            first = ana.wait_for_key("k")
            ana.rename("aninha", key="r")
            ana.wait_for_key("r")
            ana.say("once", key="k")
            eventually(lambda: len(with_key(ana, "k")) == 2)
            assert [message.id for message in with_key(ana, "k")] == [first.id] * 2
            lose(server, ana)
        with full_client(server.address, "outra", after=first.id, **wishes) as back:
            back.say("once", key="k")
            assert back.wait_for_key("k").id == first.id
        bia.say("done", key="done")
        bia.wait_for_key("done")
        assert bia.texts == ["once", "done"]


@without_session
def test_key_without_a_session_belongs_to_the_name(wishes: Wishes) -> None:
    """Another name, another word."""
    with house() as server, full_client(server.address, "ana", history=0, **wishes) as ana:
        for name in ("ana", "ana", "aninha"):
            ana.rename(name, key=f"r {name}")
            ana.say("oi", key="k")
            ana.wait_for_key(f"r {name}")
        eventually(lambda: len(with_key(ana, "k")) == 3)
        assert len({message.id for message in with_key(ana, "k")}) == 2


def test_key_of_a_plain_client_belongs_to_its_name() -> None:
    """It is appended once, although a plain client never sees it."""
    with house() as server, plain_client(server.address, "ana") as plain:
        plain.say("oi", key="k")
        plain.wait_for_text("oi")
        plain.say("oi", key="k")
        plain.say("done")
        plain.wait_for_text("done")
        assert plain.texts == ["oi", "done"]
        assert not any(message.key for message in plain.messages)


def test_client_of_the_first_contract_never_sees_a_private_id() -> None:
    """Not live, not after a return, not of its own, and not of a repeated key."""
    first = WITH_SESSION["first contract"]
    with house() as server, full_client(server.address, "bia", history=0) as bia:
        with full_client(server.address, "ana", history=0, **first) as ana:
            bia.say("live", to="ana", key="1")
            ana.wait_for_text("live")
            for key in ("to bia", "to bia", "to ana", "to ana"):
                ana.say(key, to=key[3:], key=key)
            settled(ana)
            eventually(lambda: ana.texts.count("to ana") == 2 and ana.texts.count("to bia") == 2)
            private = [message for message in ana.messages if message.to]
            lose(server, ana)
            bia.say("later", to="ana", key="2")
            bia.wait_for_key("2")
        with full_client(server.address, "ana", after=0, **first) as back:
            back.wait_for_text("later")
            settled(back)
            private += [message for message in back.messages if message.to]
        assert len(private) == 6
        assert not any(message.id for message in private)


# Places in the log.


def test_older_copy_of_the_log_is_noticed_although_it_has_grown(tmp_path: Path) -> None:
    """By the generation: in the first room, in the inbox, and in a room that is entered."""
    db, copy = tmp_path / "chat.db", tmp_path / "copy.db"
    wishes = WITH_SESSION["whole contract"]

    def talk(server: ServerHere, word: str, count: int) -> tuple[int, str]:
        with full_client(server.address, "ana", history=0, **wishes) as ana:
            ana.enter("sala", history=0)
            ana.wait_for_key("enter")
            for number in range(count):
                ana.say(f"{word} {number}", key=f"{word} {number}", room="sala")
                ana.say(f"{word} private {number}", to="ana", key=f"{word} private {number}")
                ana.say(f"{word} common {number}", key=f"{word} common {number}", room="")
            settled(ana)
            ana.wait_for_text(f"{word} common {count - 1}")
            return max(ana.ids), ana.generation

    with house(db=db) as server:
        talk(server, "first", 2)
    shutil.copy(db, copy)
    with house(db=db) as server:
        seen, generation = talk(server, "lost", 2)
    for path in tmp_path.glob("chat.db*"):
        path.unlink()
    shutil.copy(copy, db)
    with house(db=db) as server:
        newest, _generation = talk(server, "new", 5)
        assert newest > seen
        places: Wishes = {"after": seen, "inbox": seen, "generation": generation, "history": 1000}
        with full_client(server.address, "ana", session=SESSION, **places) as ana:
            ana.enter("sala", after=seen)
            ana.wait_for_key("enter")
            ana.wait_for_text("new common 4")
            ana.wait_for_text("new private 4")
            settled(ana)
            rewound = [m for m in ana.of_kind(NOTICE) if m.user == "LOG_REWOUND"]
            assert sorted((m.to, m.room) for m in rewound) == [("", ""), ("", "sala"), ("ana", "")]
            common = [text for text in ana.texts if "common" in text]
            assert common == [f"first common {n}" for n in range(2)] + [
                f"new common {n}" for n in range(5)
            ]
            assert len([text for text in ana.texts if "private" in text]) == 7
        # A client of the first contract has no generation to say, and no way to know.
        with full_client(server.address, "old", after=seen) as old:
            old.wait_for_text("new common 4")
            assert notices(old) == []


# Rooms, over the wire.


@pytest.mark.parametrize("batch", [False, True])
def test_rooms_are_entered_asked_about_and_left_inside_the_stream(batch: bool) -> None:
    """Each wish is answered with its key, and nothing is heard of a room that was left."""
    with house() as server, full_client(server.address, "bia", room="sala", history=0) as bia:
        for number in range(5):
            bia.say(str(number), key=str(number))
        ids = [bia.wait_for_key(str(number)).id for number in range(5)]
        wishes: Wishes = {"session": SESSION, "inbox": 0, "history": 0, "batch": batch}
        with full_client(server.address, "ana", **wishes) as ana:
            ana.enter("SALA", key="e", after=ids[2])
            echo = ana.wait_for_key("e")
            assert (echo.kind, echo.room, echo.id) == (chat_pb2.KIND_ENTERED, "sala", ids[2])
            ana.wait_for_text("4")
            assert ana.texts == ["3", "4"]
            assert bia.wait_for_kind(chat_pb2.KIND_JOINED).room == "sala"
            ana.act("waves", key="a", room="sala")
            done = bia.wait_for_kind(chat_pb2.KIND_ACTION)
            assert (done.user, done.message, done.room) == ("ana", "waves", "sala")
            assert ana.wait_for_key("a").id == done.id
            ana.say("in the common room", key="c")
            assert ana.wait_for_key("c").room == ""
            ana.ask_rooms("rooms")
            ana.wait_for(lambda message: message.key == "rooms")
            rooms = [(m.room, m.message) for m in ana.of_kind(chat_pb2.KIND_ROOMS) if m.message]
            assert rooms == [("sala", "2"), ("", "1")]
            ana.ask_who("who", room="sala")
            assert ana.wait_for_key("who").room == "sala"
            present = [message.user for message in ana.of_kind(chat_pb2.KIND_PRESENT)]
            assert present == ["bia", "ana"]
            ana.exit("sala", key="x")
            left = ana.wait_for_key("x")
            assert (left.kind, left.room) == (chat_pb2.KIND_EXITED, "sala")
            assert bia.wait_for_kind(chat_pb2.KIND_LEFT).room == "sala"
            bia.say("not for ana", key="n")
            bia.wait_for_key("n")
            ana.say("nor there", key="y", room="sala")
            assert ana.wait_for_key("y").user == "NOT_IN_ROOM"
            settled(ana)
            assert "not for ana" not in ana.texts
            frames = [Message.FromString(raw) for raw in ana.raw]
            assert all(bool(frame.batch) is batch for frame in frames)


@pytest.mark.parametrize("batch", [False, True])
def test_history_comes_in_parts_of_its_own(batch: bool) -> None:
    """In `batch` of HISTORY messages, which are themselves in a batch for whoever wants that."""
    with house() as server, full_client(server.address, "bia", history=0) as bia:
        for number in range(8):
            bia.say(str(number), key=str(number))
        ids = [bia.wait_for_key(str(number)).id for number in range(8)]
        with full_client(server.address, "ana", history=0, inbox=0, batch=batch) as ana:
            ana.ask_history(3, before=ids[6], key="h")
            ana.wait_for(lambda message: message.key == "h" and not message.batch)
            *parts, end = [message for message in ana.messages if message.key == "h"]
            assert [m.message for part in parts for m in part.batch] == ["3", "4", "5"]
            assert [m.id for part in parts for m in part.batch] == ids[3:6]
            assert {part.kind for part in (*parts, end)} == {chat_pb2.KIND_HISTORY}
            assert ana.texts == []
            frames = [Message.FromString(raw) for raw in ana.raw]
            is_nested = [any(one.batch for one in frame.batch) for frame in frames]
            assert any(is_nested) is batch
            ana.ask_history(3, room="elsewhere", key="no")
            assert ana.wait_for_key("no").user == "NOT_IN_ROOM"


def test_action_is_heard_by_every_sort_of_client() -> None:
    """A plain one hears `*message*`."""
    with (
        house() as server,
        full_client(server.address, "old", history=0) as old,
        plain_client(server.address) as plain,
        full_client(server.address, "ana", history=0, inbox=0) as ana,
    ):
        assert plain.epoch
        ana.act("waves", key="a")
        assert ana.wait_for_key("a").message == "waves"
        assert old.wait_for_kind(chat_pb2.KIND_ACTION).message == "waves"
        plain.wait_for_text("*waves*")
        assert plain.raw == [Message(user="ana", message="*waves*").SerializeToString()]


@every_client
def test_words_are_acknowledged_although_their_room_is_left_at_once(wishes: Wishes) -> None:
    """EXITED comes after what was said before it."""
    with house() as server, full_client(server.address, "ana", history=0, **wishes) as ana:
        ana.enter("sala", history=0)
        ana.wait_for_key("enter")
        for number in range(50):
            ana.say(str(number), key=str(number), room="sala")
        ana.exit("sala", key="x")
        ana.wait_for_key("x")
        settled(ana)
        keys = [message.key for message in ana.messages]
        assert [key for key in keys if key.isdigit()] == [str(number) for number in range(50)]


@pytest.mark.parametrize("session", [SESSION, ""])
def test_inbox_is_out_of_everybodys_reach(session: str) -> None:
    """No room's name and no metadata lead there, and no list shows it."""
    inbox = identity_of(SESSION)
    with (
        house() as server,
        full_client(server.address, "bia", history=0, inbox=0) as bia,
        full_client(server.address, "ana", session=session, inbox=0) as ana,
    ):
        bia.say("secret", to="ana", key="1")
        ana.wait_for_text("secret")
        for kind in ("enter", "exit", "ask_history", "ask_who"):
            wish: Any = getattr(bia, kind)
            arguments = {"count": 5} if kind == "ask_history" else {}
            wish(room=inbox, key=kind, **arguments)
            assert bia.wait_for_key(kind).user == "ROOM_INVALID"
        bia.say("into it", room=inbox, key="say")
        assert bia.wait_for_key("say").user == "ROOM_INVALID"
        bia.say("to it", to=inbox, key="to")
        assert bia.wait_for_key("to").user == "USER_UNKNOWN"
        bia.ask_rooms("rooms")
        bia.wait_for_key("rooms")
        assert [m.room for m in bia.of_kind(chat_pb2.KIND_ROOMS) if m.message] == [""]
        invalid = Code.INVALID_ARGUMENT
        asked = full_metadata("eva", room=inbox, after=0, inbox=0)
        assert refusal(server.address, asked) == (invalid, "ROOM_INVALID")
        asked = full_metadata(inbox, after=0, inbox=0)
        assert refusal(server.address, asked) == (invalid, "NAME_INVALID")
        # The hash of a session, as the log's file has it, is no session.
        with full_client(server.address, "eva", session=inbox[1:], after=0, inbox=0) as eva:
            settled(eva)
            assert "secret" not in eva.texts
        settled(ana)
        assert ana.texts == ["secret"]
