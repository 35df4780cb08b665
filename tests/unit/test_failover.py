"""Sessions with several servers, over streams that go by a script."""

from __future__ import annotations

import threading
from typing import Any

import grpc
import pytest
from fakes import FakeCall, FakeError, opening
from support import DEADLINE_SECONDS

from chat.client import Change, ChatError, ConfigError, Session, State, connection, receiver
from chat.client import backoff as backoff_module
from chat.client import servers as servers_module
from chat_pb2 import Message

BOTH = "localhost:1,localhost:2"  # nobody connects to them


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attempts follow each other at once."""
    monkeypatch.setattr(backoff_module, "MIN_BACKOFF_SECONDS", 0.0005)
    monkeypatch.setattr(servers_module, "HOP_SECONDS", 0.0005)


def session_over(*calls: FakeCall, **options: Any) -> tuple[Session, list[State]]:
    """Return a session that gets these streams, at both servers in turn, and what it tells."""
    states: list[State] = []
    session = Session(BOTH, "ana", on_state=states.append, open_stream=opening(*calls), **options)
    return session, states


def refused(reason: str, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> FakeCall:
    return FakeCall(end=FakeError(code, trailing=[("chat-reason", reason)]))


def heard(session: Session) -> list[str]:
    """Iterate until the script is over; what was heard."""
    texts = []
    with pytest.raises(ChatError, match="token"):
        for message in session:
            texts.append(message.message)
    return texts


def changes(states: list[State]) -> list[Change]:
    return [state.change for state in states]


def numbered(number: int) -> Message:
    return Message(user="bia", message=str(number), id=number)


@pytest.mark.parametrize("reason", ["SHUTTING_DOWN", "CLUSTER_AWAY", "SERVER_FULL", ""])
def test_loss_of_one_is_resumed_at_the_other(reason: str) -> None:
    """From the last message that was seen, as who one was."""
    lost = FakeCall(
        numbered(1),
        numbered(2),
        epoch="e",
        after="0",
        generation="g",
        end=FakeError(trailing=[("chat-reason", reason)] if reason else ()),
    )
    again = FakeCall(numbered(2), numbered(3), epoch="e", after="2", end=FakeError())
    session, states = session_over(lost, again)
    assert heard(session) == ["1", "2", "3"]
    assert again.metadata["chat-after"] == "2" and again.metadata["chat-generation"] == "g"
    assert again.metadata["chat-session"] == lost.metadata["chat-session"]
    assert changes(states[:4]) == [Change.CONNECTED, Change.LOST, Change.RETRYING, Change.RESUMED]
    first, lost_at, tried, back = [state.address for state in states[:4]]
    assert first == lost_at and tried == back and {first, back} == set(BOTH.split(","))


def test_what_is_pending_is_sent_to_the_other_with_its_key() -> None:
    """So that it is appended once."""
    keys: list[str] = []
    lost = FakeCall(
        lambda: session.send("oi", key="k"), lambda: keys.append(lost.take().key), epoch="e"
    )
    again = FakeCall(lambda: keys.append(again.take().key), epoch="e", end=FakeError())
    session, _states = session_over(lost, again)
    heard(session)
    assert keys == ["k", "k"]


@pytest.mark.parametrize("reason", ["SERVER_FULL", "ADDRESS_FULL", "SHUTTING_DOWN", "CLUSTER_AWAY"])
def test_first_one_that_has_no_place_is_passed_over(reason: str) -> None:
    """The session begins at the other."""
    session, states = session_over(refused(reason), FakeCall(numbered(1), epoch="e", after="0"))
    assert heard(session) == ["1"]
    assert changes(states[:3]) == [Change.PASSED_OVER, Change.RETRYING, Change.CONNECTED]
    assert states[0].reason == reason
    assert states[0].address != states[2].address


def test_session_ends_where_nobody_is_at_any_of_them() -> None:
    """What became of each is said."""
    session, _states = session_over(FakeCall(end=FakeError()), FakeCall(end=FakeError()))
    with pytest.raises(ConfigError) as error:
        list(session)
    head, *lines = sorted(str(error.value).splitlines(), reverse=True)
    assert head == "None of the servers can be used:"
    assert [
        f"  No chat server answers at {address}." in line
        for address, line in zip(sorted(BOTH.split(","), reverse=True), lines, strict=True)
    ] == [True, True]


def test_what_all_of_them_say_is_said_once() -> None:
    """It is no server's own: which one it was tells nothing."""
    session, _states = session_over(refused("CLUSTER_AWAY"), refused("CLUSTER_AWAY"))
    with pytest.raises(ChatError) as error:
        list(session)
    assert error.value.reason == "CLUSTER_AWAY"


def test_patient_session_goes_round_until_somebody_is_there() -> None:
    """As often as it takes."""
    calls = [FakeCall(end=FakeError()) for _ in range(7)]
    session, states = session_over(
        *calls, FakeCall(numbered(1), epoch="e", after="0"), retry_first_connect=True
    )
    assert heard(session) == ["1"]
    assert changes(states[:14]) == [Change.LOST, Change.RETRYING] * 7


@pytest.mark.parametrize("reason", ["TOKEN_INVALID", "TOKEN_MISSING", "PROOF_INVALID"])
def test_server_with_a_matter_of_its_own_is_set_aside(reason: str) -> None:
    """It is told of once, and not tried again; the one that was lost is."""
    lost = FakeCall(numbered(1), epoch="e", after="0", end=FakeError())
    away = [FakeCall(end=FakeError()) for _ in range(3)]
    again = FakeCall(numbered(2), epoch="e", after="1", end=FakeError())
    session, states = session_over(lost, refused(reason), *away, again)
    assert heard(session) == ["1", "2"]
    assert changes(states).count(Change.PASSED_OVER) == 1
    home = states[0].address
    assert {state.address for state in states[4:] if state.change is not Change.PASSED_OVER} == {
        home
    }


@pytest.mark.parametrize("reason", ["BANNED", "REMOVED", "SESSION_REPLACED", "NAME_INVALID"])
def test_refusal_of_the_person_holds_everywhere(reason: str) -> None:
    """No other server is asked."""
    lost = FakeCall(numbered(1), epoch="e", after="0", end=FakeError())
    session, states = session_over(lost, refused(reason, grpc.StatusCode.PERMISSION_DENIED))
    with pytest.raises(ChatError) as error:
        list(session)
    assert error.value.reason == reason and Change.PASSED_OVER not in changes(states)


def test_name_that_is_taken_is_tried_where_one_is() -> None:
    """Another server would say the same."""
    lost = FakeCall(numbered(1), epoch="e", after="0", end=FakeError())
    taken = [refused("NAME_TAKEN", grpc.StatusCode.ALREADY_EXISTS) for _ in range(3)]
    again = FakeCall(numbered(2), epoch="e", after="1", end=FakeError())
    session, states = session_over(lost, *taken, again)
    assert heard(session) == ["1", "2"]
    assert len({state.address for state in states[2:9]}) == 1


# Other chats.


def test_other_chat_gets_nothing_and_brings_nothing() -> None:
    """It has another log: it is told of and set aside, and the chat goes on where it was."""
    lost = FakeCall(
        numbered(1), lambda: session.send("for us alone"), epoch="e", after="0", end=FakeError()
    )
    other = FakeCall(numbered(900), epoch="other", after="899")
    again = FakeCall(numbered(2), epoch="e", after="1", end=FakeError())
    session, states = session_over(lost, other, again)
    assert heard(session) == ["1", "2"]
    assert other.is_cancelled and other.requests is not None and other.requests.next() is None
    [told] = [state for state in states if state.change is Change.PASSED_OVER]
    assert told.cause == (
        f"{told.address} belongs to another chat than the server before: it has another log."
    )
    assert again.metadata["chat-after"] == "1" and Change.NEW_LOG not in changes(states)
    assert session.unacknowledged == 1


def test_plain_server_among_others_gets_nothing() -> None:
    """Since it has no log, it is not of the chat."""
    lost = FakeCall(numbered(1), lambda: session.send("x"), epoch="e", after="0", end=FakeError())
    plain = FakeCall(Message(user="rui", message="elsewhere"))
    again = FakeCall(numbered(2), epoch="e", after="1", end=FakeError())
    session, states = session_over(lost, plain, again)
    assert heard(session) == ["1", "2"]
    assert plain.requests is not None and plain.requests.next() is None
    assert Change.PASSED_OVER in changes(states) and Change.PLAIN not in changes(states)


@pytest.mark.parametrize("answer", list(connection.Answer))
def test_silent_server_gets_nothing(
    answer: connection.Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that will speak is waited for; any other is left, and is not of the chat for all one
    knows.
    """
    monkeypatch.setattr(receiver, "SILENT_SECONDS", 0.01)
    monkeypatch.setattr(connection.Stream, "ask", lambda stream: answer)
    is_over = threading.Event()

    def wait() -> None:
        is_over.wait(DEADLINE_SECONDS)

    def cancel() -> None:
        FakeCall.cancel(silent)
        is_over.set()

    def note(state: State) -> None:
        states.append(state)
        if state.change is Change.SILENT:
            is_over.set()

    lost = FakeCall(numbered(1), lambda: session.send("x"), epoch="e", after="0", end=FakeError())
    silent = FakeCall(end=FakeError(), before_greeting=wait)
    again = FakeCall(numbered(2), epoch="e", after="1", end=FakeError())
    session, states = session_over(lost, silent, again)
    session.on_state = note
    monkeypatch.setattr(silent, "cancel", cancel)
    assert heard(session) == ["1", "2"]
    assert silent.requests is not None and silent.requests.next() is None
    assert (Change.SILENT in changes(states)) == (answer is connection.Answer.CHAT)


def test_chat_that_begins_anew_at_its_own_server_goes_on() -> None:
    """As with one server; it is told."""
    lost = FakeCall(numbered(7), epoch="e", after="6", generation="g", end=FakeError())
    home = [""]
    streams = [lost]

    def open_stream(stub: Any, requests: Any, metadata: Any) -> Any:
        address = states[-1].address if states else ""
        if streams:
            call = streams.pop()
        elif address == home[0]:
            call = FakeCall(numbered(1), epoch="new", after="0", generation="h", end=refusal)
        else:
            call = FakeCall(end=FakeError())
        call.requests, call.metadata = requests, dict(metadata)
        return call

    refusal = FakeError(grpc.StatusCode.PERMISSION_DENIED, trailing=[("chat-reason", "REMOVED")])
    states: list[State] = []

    def note(state: State) -> None:
        states.append(state)
        home[0] = home[0] or state.address

    session = Session(BOTH, "ana", on_state=note, open_stream=open_stream)
    texts = []
    with pytest.raises(ChatError, match="removed"):
        for message in session:
            texts.append(message.message)
    assert texts == ["7", "1"] and Change.NEW_LOG in changes(states)


def test_who_begins_at_a_plain_server_stays_there() -> None:
    """Nothing that is said is taken to another one."""
    plain = [FakeCall(Message(user="rui", message="a"), end=FakeError()) for _ in range(4)]
    session, states = session_over(*plain)
    assert heard(session) == ["a"] * 4
    assert len({state.address for state in states}) == 1


# What is wrong with the list, or may not be sent.


def test_wrong_list_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="twice"):
        Session("a,b,a", "ana")


def test_token_is_sent_to_none_if_one_would_get_it_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="in the clear"):
        Session("localhost,example.org", "ana", token="12345678")
