"""A session against real servers: acknowledgement, resumption, refusal, plain servers."""

from __future__ import annotations

import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from listener import listening
from support import (
    eventually,
    full_client,
    plain_client,
    running_program,
    running_server,
    stable_port,
)

import chat_pb2
from chat.client import Change, ChatError, ConfigError, Session
from chat.client.connection import open_stream


def test_echo_acknowledges() -> None:
    """What was sent is pending until its echo has come."""
    with running_server() as server, listening(server.address, "ana") as ana:
        key = ana.session.send("oi")
        ana.wait(lambda: ana.session.unacknowledged == 0)
        assert [message.key for message in ana.messages] == [key]
        assert ana.changes == [Change.CONNECTED]


def test_what_is_sent_while_the_server_is_away_arrives_once(tmp_path: Path) -> None:
    """Lines typed during an outage are kept, in order, and said when the server is back."""
    db, port = tmp_path / "chat.db", stable_port()
    with listening(f"localhost:{port}", "ana", retry_first_connect=True) as ana:
        with running_server(db=db, port=port):
            ana.session.send("before")
            ana.wait(lambda: ana.texts == ["before"])
        ana.wait(lambda: Change.LOST in ana.changes)
        for number in range(20):
            ana.session.send(f"meanwhile {number}")
        assert ana.session.unacknowledged == 20
        with running_server(db=db, port=port) as server:
            ana.wait(lambda: ana.session.unacknowledged == 0)
            assert ana.changes[-1] is Change.RESUMED
            with full_client(server.address, "bia", history=100) as bia:
                bia.wait_for_text("meanwhile 19")
                assert bia.texts == ["before", *(f"meanwhile {n}" for n in range(20))]
        assert ana.texts == bia.texts


def test_what_others_said_meanwhile_is_brought_after_the_return(tmp_path: Path) -> None:
    """A returning session resumes behind the last message that it saw: no gap, no double."""
    db, port = tmp_path / "chat.db", stable_port()
    with listening(f"localhost:{port}", "ana", retry_first_connect=True) as ana:
        with running_server(db=db, port=port):
            ana.session.send("one")
            ana.wait(lambda: ana.texts == ["one"])
        with running_server(db=db) as elsewhere, full_client(elsewhere.address, "bia") as bia:
            for number in range(100):
                bia.say(f"missed {number}")
            bia.wait_for_text("missed 99")
        with running_server(db=db, port=port):
            ana.wait(lambda: len(ana.texts) >= 101)
            assert ana.texts == ["one", *(f"missed {n}" for n in range(100))]


def test_what_is_said_after_a_silent_room_was_lost_is_brought(tmp_path: Path) -> None:
    """Who saw nothing yet when the connection broke misses nothing either, history or not."""
    db, port = tmp_path / "chat.db", stable_port()
    with running_server(db=db) as server, full_client(server.address, "bia") as bia:
        bia.say("before ana")
        bia.wait_for_text("before ana")
        server.stop()
    with listening(f"localhost:{port}", "ana", retry_first_connect=True, history=0) as ana:
        with running_server(db=db, port=port):
            ana.wait(lambda: ana.changes[-1:] == [Change.CONNECTED])
        with running_server(db=db) as elsewhere, full_client(elsewhere.address, "bia") as bia:
            for number in range(50):
                bia.say(f"missed {number}")
            bia.wait_for_text("missed 49")
        with running_server(db=db, port=port):
            ana.wait(lambda: len(ana.texts) >= 50)
            assert ana.texts == [f"missed {n}" for n in range(50)]


def test_a_new_log_is_told_and_does_not_stop_anything(tmp_path: Path) -> None:
    """When the server comes back with another log, ids seen earlier mean nothing any more."""
    port = stable_port()
    with listening(f"localhost:{port}", "ana", retry_first_connect=True) as ana:
        with running_server(db=tmp_path / "old.db", port=port):
            for number in range(10):
                ana.session.send(f"old {number}")
            ana.wait(lambda: len(ana.texts) == 10)
        with running_server(db=tmp_path / "new.db", port=port):
            ana.wait(lambda: Change.NEW_LOG in ana.changes)
            ana.session.send("new")
            ana.wait(lambda: ana.texts[-1] == "new")
        assert ana.messages[-1].id == 1
        assert len(ana.texts) == 11


def test_a_log_put_back_to_an_earlier_state_is_told(tmp_path: Path) -> None:
    """An id beyond the log gets a notice, and its messages come although their ids are lower."""
    db, port = tmp_path / "chat.db", stable_port()
    copy = tmp_path / "copy.db"
    with listening(f"localhost:{port}", "ana", retry_first_connect=True) as ana:
        with running_server(db=db, port=port) as server:
            ana.session.send("kept")
            ana.wait(lambda: ana.texts == ["kept"])
            server.stop()
        copy.write_bytes(db.read_bytes())
        with running_server(db=db, port=port):
            for number in range(5):
                ana.session.send(f"undone {number}")
            ana.wait(lambda: len(ana.texts) == 6)
        with running_server(db=copy, port=port):
            notice = chat_pb2.KIND_NOTICE
            ana.wait(
                lambda: [m.user for m in ana.messages if m.kind == notice][-1:] == ["LOG_REWOUND"]
            )
            ana.session.send("after")
            ana.wait(lambda: ana.texts[-1] == "after")
        assert ana.messages[-1].id == 2


def test_trimmed_messages_are_told_as_missing(tmp_path: Path) -> None:
    """A session that comes back to a log that was trimmed behind it reads one notice."""
    db, port = tmp_path / "chat.db", stable_port()
    with listening(f"localhost:{port}", "ana", retry_first_connect=True) as ana:
        with running_server(db=db, port=port) as server:
            ana.session.send("seen")
            ana.wait(lambda: ana.texts == ["seen"])
            server.stop()
        with running_server(db=db) as elsewhere, full_client(elsewhere.address, "bia") as bia:
            bia.say("gone")
            bia.wait_for_text("gone")
            elsewhere.stop()
        # A millionth of a day is 86 milliseconds: by now all of it is too old.
        with running_server("--retain", "0.000001", db=db, port=port):
            ana.wait(lambda: any(m.user == "HISTORY_GONE" for m in ana.messages))
            assert ana.texts == ["seen"]


def test_takes_its_name_back_from_its_own_ghost() -> None:
    """With its session id a returning client is let in although its old stream still lives."""
    with running_server() as server, full_client(server.address, "bia") as bia:
        assert bia.epoch
        with listening(server.address, "ana") as ghost:
            ghost.wait(lambda: ghost.changes == [Change.CONNECTED])
            with full_client(server.address, "ana", session=ghost.session.id) as back:
                assert back.epoch
                ghost.wait(lambda: ghost.error is not None)
                assert ghost.error is not None and ghost.error.reason == "SESSION_REPLACED"
                back.say("me again")
                bia.wait_for_text("me again")
        kinds = [message.kind for message in bia.messages]
        assert kinds[:2] == [chat_pb2.KIND_JOINED, chat_pb2.KIND_UNSPECIFIED]


def test_refusal_for_good_is_raised_with_its_reason() -> None:
    """A name held by somebody else ends the iteration at once; so does a wrong token."""
    with running_server() as server, full_client(server.address, "Ana") as other:
        assert other.epoch
        with listening(server.address, "ana") as ana:
            ana.wait(lambda: ana.error)
            assert ana.error is not None and ana.error.reason == "NAME_TAKEN"
    with (
        running_server(env={"CHAT_TOKEN": "open sesame".replace(" ", "-")}) as server,
        listening(server.address, "ana", token="something-else") as ana,
    ):
        ana.wait(lambda: ana.error)
        assert ana.error is not None and ana.error.reason == "TOKEN_INVALID"


def test_refused_message_is_no_longer_pending() -> None:
    """A notice with the key answers the message, and the conversation goes on."""
    with running_server() as server, listening(server.address, "ana") as ana:
        key = ana.session.send("psst", to="nobody")
        ana.wait(lambda: ana.session.unacknowledged == 0)
        assert [(m.user, m.key) for m in ana.messages] == [("USER_UNKNOWN", key)]
        ana.session.send("aloud")
        ana.wait(lambda: ana.texts == ["aloud"])


def test_who_rename_private_and_rooms() -> None:
    """The rest of the contract: presence, another name, private messages, another room."""
    with (
        running_server() as server,
        listening(server.address, "ana") as ana,
        listening(server.address, "bia") as bia,
    ):
        bia.wait(lambda: bia.changes == [Change.CONNECTED])
        ana.session.ask_who()
        ana.wait(lambda: ana.session.unacknowledged == 0)
        present = [m.user for m in ana.messages if m.kind == chat_pb2.KIND_PRESENT]
        assert sorted(present) == ["ana", "bia"]
        ana.session.rename("Ana Maria")
        ana.wait(lambda: ana.session.name == "Ana Maria")
        ana.session.send("only for you", to="bia")
        bia.wait(lambda: bia.texts == ["only for you"])
        bia.session.send("here")
        bia.session.enter("class")
        bia.session.send("there", room="class")
        bia.wait(lambda: bia.texts[-1] == "there")
        ana.wait(lambda: "here" in ana.texts)
        assert "there" not in ana.texts
        ana.session.enter("Class")
        ana.wait(lambda: ana.texts[-1] == "there")
        assert ana.messages[-1].room == "class"


def test_history_comes_first_and_as_much_as_asked_for() -> None:
    """A newcomer gets the last messages of the room, then what is said from then on."""
    with running_server() as server, listening(server.address, "ana") as ana:
        for number in range(30):
            ana.session.send(f"m{number}")
        ana.wait(lambda: ana.session.unacknowledged == 0)
        with listening(server.address, "bia", history=5) as bia:
            bia.wait(lambda: len(bia.texts) == 5)
            ana.session.send("now")
            bia.wait(lambda: bia.texts[-1] == "now")
            assert bia.texts == [*(f"m{n}" for n in range(25, 30)), "now"]


def test_close_delivers_what_was_sent_and_ends_the_threads() -> None:
    """A script that only says something needs no loop: leaving the block waits for the echo."""
    with running_server() as server, plain_client(server.address) as witness:
        witness.wait_for_greeting()
        with Session(server.address, "script") as chat:
            for number in range(100):
                chat.send(f"line {number}")
        assert chat.unacknowledged == 0
        witness.wait_for_text("line 99")
        assert witness.texts == [f"line {n}" for n in range(100)]
        with pytest.raises(ChatError, match="over"):
            chat.send("too late")


@pytest.mark.parametrize("cause", [None, KeyboardInterrupt, SystemExit])
def test_who_leaves_the_loop_leaves_the_room(cause: type[BaseException] | None) -> None:
    """By `break`, Ctrl-C or a signal, in any line: others see it at once, and the name is free.

    What came after the last message that was handed over counts as not seen.
    """
    with running_server() as server, full_client(server.address, "bia", room="sala") as bia:
        bia.say("one", key="1")
        bia.say("two", key="2")
        bia.wait_for_text("two")
        with (
            pytest.raises(cause) if cause is not None else nullcontext(),
            Session(server.address, "bot", rooms=["sala", "so"], history=20) as chat,
        ):
            for message in chat:
                place = chat.place
                if message.message == "one":
                    chat.send("bye", room="sala")
                    if cause is not None:
                        raise cause
                    break
        bia.wait_for_text("bye")
        assert bia.wait_for_kind(chat_pb2.KIND_LEFT).user == "bot"
        assert chat.place == place
        with full_client(server.address, "bot", room="so") as other:
            assert not other.reason


def test_who_is_interrupted_while_coming_in_leaves_the_room() -> None:
    """The server may have let somebody in before the program has got the stream."""
    with running_server() as server, full_client(server.address, "bia") as bia:
        interruptions: list[BaseException] = [KeyboardInterrupt()]

        def open_and_be_interrupted(*arguments: Any) -> Any:
            call = open_stream(*arguments)
            if interruptions:
                bia.wait_for_kind(chat_pb2.KIND_JOINED)
                raise interruptions.pop()
            return call

        session = Session(server.address, "bot", open_stream=open_and_be_interrupted)
        with pytest.raises(KeyboardInterrupt), session as chat:
            list(chat)
        assert bia.wait_for_kind(chat_pb2.KIND_LEFT).user == "bot"


def test_stream_is_opened_out_of_the_reach_of_signals() -> None:
    """A call that was interrupted while gRPC made it would be waited for without an end."""
    with running_server() as server, full_client(server.address, "bia") as bia:
        interrupted: list[threading.Thread] = []

        def interrupt_and_open(*arguments: Any) -> Any:
            if not interrupted:
                interrupted.append(threading.current_thread())
                signal.raise_signal(signal.SIGINT)
            return open_stream(*arguments)

        session = Session(server.address, "bot", open_stream=interrupt_and_open)
        with pytest.raises(KeyboardInterrupt), session as chat:
            list(chat)
        assert interrupted != [threading.main_thread()]
        assert bia.wait_for_kind(chat_pb2.KIND_LEFT).user == "bot"


def test_close_says_what_was_not_acknowledged() -> None:
    """With no server there, closing gives up after its timeout and counts what is left."""
    session = Session(f"localhost:{stable_port()}", "ana", retry_first_connect=True)
    session.send("to nobody")
    assert session.close(timeout=1.0) == 1


def test_the_first_attempt_fails_with_a_sentence() -> None:
    """Who does not keep trying is told at once that nobody is there."""
    session = Session(f"localhost:{stable_port()}", "ana")
    with pytest.raises(ConfigError, match="No chat server answers"):
        list(session)


def test_something_else_than_a_chat_is_told() -> None:
    """A gRPC server without our service is not waited for."""
    program = (
        "import sys, grpc; from concurrent import futures;"
        "s = grpc.server(futures.ThreadPoolExecutor(1)); p = s.add_insecure_port('localhost:0');"
        "s.start(); print(p, flush=True); sys.stdin.read(); s.stop(None)"
    )
    with running_program("-c", program) as other:
        port = eventually(lambda: other.lines)[0]
        with pytest.raises(ChatError) as caught:
            list(Session(f"localhost:{port}", "ana"))
        assert caught.value.reason == "NOT_A_CHAT"
        other.end_input()
        other.wait()


def test_a_plain_server_promises_nothing_and_gets_nothing_private() -> None:
    """Without `chat-epoch` messages go both ways; what needs a full server is refused here."""
    with running_program("tests/peers/old_server.py", "0") as server:
        words = eventually(lambda: [word for line in server.lines for word in line.split()])
        port = words[-1].strip(".")
        with listening(f"localhost:{port}", "ana") as ana:
            ana.session.send("oi")
            ana.wait(lambda: ana.texts == ["oi"])
            assert ana.changes == [Change.PLAIN]
            with pytest.raises(ChatError) as caught:
                ana.session.send("psst", to="bia")
            assert caught.value.reason == "PLAIN_SERVER"
            assert ana.session.close(5) == 0
