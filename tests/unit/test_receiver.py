"""Sessions over streams that go by a script: what is opened, cancelled, told and tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes import FakeCall, FakeError, opening
from support import DEADLINE_SECONDS, eventually, leftover_threads, serving

from chat.client import Change, ChatError, ConfigError, Session, State, connection, receiver
from chat.client import backoff as backoff_module
from chat.protocol.errors import REASONS
from chat_pb2 import (
    KIND_ENTERED,
    KIND_EXITED,
    KIND_HISTORY,
    KIND_NOTICE,
    KIND_PRESENT,
    KIND_RENAMED,
    KIND_ROOMS,
    KIND_UNSPECIFIED,
    KIND_WHO,
    Message,
)
from chat_pb2_grpc import ChatServiceServicer

ADDRESS = "localhost:1"  # nobody connects to it


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attempts follow each other at once."""
    monkeypatch.setattr(backoff_module, "MIN_BACKOFF_SECONDS", 0.0005)


def session_over(
    *calls: FakeCall, meanwhile: Callable[[], object] = lambda: None, retries: bool = True
) -> tuple[Session, list[State]]:
    """Return a session that gets these streams, and what it tells of them."""
    states: list[State] = []
    session = Session(
        ADDRESS,
        "ana",
        retry_first_connect=retries,
        on_state=states.append,
        open_stream=opening(*calls, meanwhile=meanwhile),
    )
    return session, states


def texts(session: Session) -> list[str]:
    """Iterate until the script is over; what was heard."""
    heard = []
    with pytest.raises(ChatError, match="token"):
        for message in session:
            heard.append(message.message)
    return heard


def numbered(number: int, room: str = "") -> Message:
    return Message(user="bia", message=str(number), id=number, room=room)


def changes(states: list[State]) -> list[Change]:
    return [state.change for state in states]


def test_resumed_stream_brings_each_message_once() -> None:
    """It asks for what came after the last one seen, and drops what comes twice."""
    lost = FakeCall(numbered(1), numbered(2), epoch="e", after="0", end=FakeError())
    again = FakeCall(numbered(2), numbered(3), epoch="e", after="2", end=FakeError())
    session, states = session_over(lost, again)
    assert texts(session) == ["1", "2", "3"]
    assert lost.metadata["chat-history"] == "20" and "chat-after" not in lost.metadata
    assert again.metadata["chat-after"] == "2" and "chat-history" not in again.metadata
    assert changes(states)[:4] == [Change.CONNECTED, Change.LOST, Change.RETRYING, Change.RESUMED]


def test_batch_is_taken_apart() -> None:
    """Several messages that came in one are several."""
    batch = Message(batch=[numbered(1), numbered(2), numbered(1)])
    session, _states = session_over(FakeCall(batch, epoch="e", after="0"))
    assert texts(session) == ["1", "2"]


def test_pause_is_told_when_all_that_came_together_was_yielded() -> None:
    """So that who writes it down can do so at once, and before the next is waited for."""
    batch = Message(batch=[numbered(1), numbered(2)])
    session, _states = session_over(FakeCall(batch, numbered(3), epoch="e", end=FakeError()))
    seen: list[str] = []
    session.on_pause = lambda: seen.append("pause")
    with pytest.raises(ChatError, match="token"):
        for message in session:
            seen.append(message.message)
    assert seen == ["1", "2", "pause", "3", "pause"]


@pytest.mark.parametrize(
    ("steps", "epoch"),
    [([], "e"), ([Message(user="bia", message="oi")], "")],
    ids=["full", "plain"],
)
def test_word_of_the_server_makes_the_next_attempt_soon(steps: list[Message], epoch: str) -> None:
    """A greeting shows that it works, and so does a message: backoff begins anew each time."""
    session, states = session_over(
        *(FakeCall(*steps, epoch=epoch, after="0", end=FakeError()) for _attempt in range(12))
    )
    texts(session)
    waits = [state.seconds for state in states if state.change is Change.RETRYING]
    assert len(waits) == 12 and max(waits) <= 2 * backoff_module.MIN_BACKOFF_SECONDS


def test_silent_server_is_tried_ever_less_often() -> None:
    """Without a greeting or a message nothing says that the connection works."""
    session, states = session_over(*(FakeCall(end=FakeError()) for _attempt in range(8)))
    texts(session)
    waits = [state.seconds for state in states if state.change is Change.RETRYING]
    assert max(waits) > 2 * backoff_module.MIN_BACKOFF_SECONDS


@pytest.mark.parametrize(
    "other",
    [
        Message(user="bia", message="1", key="k", id=1),
        Message(user="ana", message="1", key="k", id=1, to="bia"),
        Message(user="ana", message="1", key="k", id=1, room="Aula"),
        Message(user="ana", message="ana", key="k", kind=KIND_RENAMED),
    ],
    ids=["another person's", "another way", "another room", "another kind"],
)
def test_same_key_alone_acknowledges_nothing(other: Message) -> None:
    """Keys are seen by everybody, and a program counts them as others do: 1, 2, 3."""
    again = FakeCall(Message(user="ana", message="oi", key="k", id=2), epoch="e", after="0")
    first = FakeCall(other, epoch="e", after="0", end=FakeError())
    session, _states = session_over(first, again)
    waiting: list[int] = []
    session.on_state = lambda state: waiting.append(session.unacknowledged)
    session.send("oi", key="k")
    texts(session)
    assert waiting[:4] == [1, 1, 1, 1] and session.unacknowledged == 0  # until the second stream


def test_own_words_under_a_name_that_is_wished_for_are_an_echo() -> None:
    """After a loss they may come before the server says again that the name was taken."""
    session, _states = session_over(
        FakeCall(Message(user="anna", message="oi", key="k", id=1), epoch="e", after="0")
    )
    session.rename("anna", key="r")
    session.send("oi", key="k")
    assert texts(session) == ["oi"]
    assert [message.key for message in session.pending] == ["r"]


def test_abort_while_a_stream_is_opened_cancels_it() -> None:
    """There was no call yet to cancel: without that it would block the iteration for ever."""
    call = FakeCall(numbered(1), epoch="e", after="0")
    session, states = session_over(call, meanwhile=lambda: session.abort())
    assert list(session) == []
    assert call.was_cancelled_before_it_began
    assert states == []


def test_new_log_is_told_and_read_anew() -> None:
    """The ids of the other log mean nothing."""
    first = FakeCall(numbered(9), epoch="old", after="0", end=FakeError())
    second = FakeCall(epoch="new", after="3")
    third = FakeCall(numbered(1), epoch="new", after="0", end=FakeError())
    session, states = session_over(first, second, third)
    assert texts(session) == ["9", "1"]
    assert Change.NEW_LOG in changes(states)
    assert third.metadata["chat-history"] == "20"


def test_new_log_of_a_server_with_generations_needs_no_second_stream() -> None:
    """It begins anew by itself; what it says of that is told already."""
    rewound = Message(kind=KIND_NOTICE, user="LOG_REWOUND")
    first = FakeCall(numbered(9), epoch="old", after="0", generation="g1", end=FakeError())
    second = FakeCall(
        rewound, numbered(1), epoch="new", after="0", generation="g2", end=FakeError()
    )
    session, states = session_over(first, second)
    assert texts(session) == ["9", "1"]
    assert changes(states).count(Change.NEW_LOG) == 1
    assert second.metadata["chat-generation"] == "g1"


def test_other_rooms_are_entered_again_before_anything_is_said() -> None:
    """Each from where it was seen; their echoes are nobody's business, a refusal is."""
    first = FakeCall(
        lambda: session.enter("Sala", key="e"),
        Message(kind=KIND_ENTERED, room="sala", id=5, key="e"),
        numbered(6, "sala"),
        lambda: session.send("there", room="sala", key="s"),
        epoch="e",
        after="0",
        end=FakeError(),
    )

    def answer_the_entry() -> None:
        entry = second.take()
        second.answers.append(Message(kind=KIND_ENTERED, room="sala", id=6, key=entry.key))
        sent.extend([entry, second.take()])

    sent: list[Message] = []
    second = FakeCall(answer_the_entry, numbered(7, "sala"), epoch="e", after="0", end=FakeError())
    session, _states = session_over(first, second)
    assert texts(session) == ["", "6", "7"]
    assert [(m.kind, m.room, m.id) for m in sent] == [
        (KIND_ENTERED, "Sala", 6),
        (KIND_UNSPECIFIED, "Sala", 0),
    ]
    assert session.rooms == ("", "Sala")


def test_message_is_sent_to_the_room_that_it_was_said_in() -> None:
    """Whichever is spoken in by then; one that is left is left after what was said there."""
    call = FakeCall(
        lambda: session.enter("family"),
        lambda: session.send("for the family only", room="family"),
        lambda: session.leave("family"),
        lambda: session.send("for all"),
        lambda: said.extend(call.take() for _ in range(4)),
        epoch="e",
        after="0",
    )
    said: list[Message] = []
    session, _states = session_over(call)
    texts(session)
    assert [(m.kind, m.room, m.message) for m in said] == [
        (KIND_ENTERED, "family", "20"),
        (KIND_UNSPECIFIED, "family", "for the family only"),
        (KIND_EXITED, "family", ""),
        (KIND_UNSPECIFIED, "", "for all"),
    ]
    assert session.rooms == ("",)
    with pytest.raises(ChatError, match="not in this room"):
        session.send("too late", room="family")
    with pytest.raises(ChatError, match="only room"):
        session.leave("")


def test_history_is_acknowledged_by_its_end() -> None:
    """Its parts are yielded as they come, and none of them is a message of the log once more."""
    part = Message(kind=KIND_HISTORY, key="h", batch=[numbered(1), numbered(2)])
    waiting: list[int] = []
    call = FakeCall(
        numbered(3),
        lambda: session.history(2, before=3, key="h"),
        part,
        lambda: waiting.append(session.unacknowledged),
        Message(kind=KIND_HISTORY, key="h"),
        lambda: waiting.append(session.unacknowledged),
        epoch="e",
        after="0",
    )
    session, _states = session_over(call)
    heard: list[Message] = []
    with pytest.raises(ChatError):
        heard.extend(session)
    assert waiting == [1, 0]
    assert [len(message.batch) for message in heard] == [0, 2, 0]


@pytest.mark.parametrize(
    "answer",
    [
        Message(kind=KIND_ENTERED, room="aula", id=4),
        Message(kind=KIND_EXITED),
        Message(kind=KIND_HISTORY, batch=[numbered(1)]),
        Message(kind=KIND_HISTORY),
        Message(kind=KIND_PRESENT, user="bia"),
        Message(kind=KIND_WHO),
        Message(kind=KIND_ROOMS, room="aula", message="3"),
        Message(kind=KIND_ROOMS),
    ],
    ids=lambda answer: f"{answer.kind}-{answer.message}-{len(answer.batch)}",
)
@pytest.mark.parametrize("key", ["", "never", "said"])
def test_answer_to_nothing_that_was_asked_is_dropped(answer: Message, key: str) -> None:
    """Also where it has the key of something else."""
    unasked = Message()
    unasked.CopyFrom(answer)
    unasked.key = key
    call = FakeCall(lambda: session.send("oi", key="said"), unasked, numbered(2), epoch="e")
    session, _states = session_over(call)
    assert texts(session) == ["2"] and session.rooms == ("",)


def test_answer_to_who_and_rooms_is_taken_until_it_is_complete() -> None:
    """Its parts carry no key."""
    call = FakeCall(
        lambda: session.ask_who(key="w"),
        Message(kind=KIND_PRESENT, user="bia"),
        Message(kind=KIND_WHO, key="w"),
        Message(kind=KIND_PRESENT, user="late"),
        lambda: session.ask_rooms(key="r"),
        Message(kind=KIND_ROOMS, room="aula", message="3"),
        Message(kind=KIND_ROOMS, key="r"),
        Message(kind=KIND_ROOMS, room="late", message="3"),
        epoch="e",
    )
    session, _states = session_over(call)
    heard: list[Message] = []
    with pytest.raises(ChatError):
        heard.extend(session)
    assert [message.user or message.room for message in heard] == ["bia", "", "aula", ""]


def test_lost_name_is_tried_on_for_and_another_one_may_be_taken() -> None:
    """What was not acknowledged waits meanwhile, and goes out under the other name."""
    taken = FakeError(grpc.StatusCode.ALREADY_EXISTS, trailing=[("chat-reason", "NAME_TAKEN")])
    first = FakeCall(lambda: session.send("kept"), epoch="e", after="0", end=FakeError())
    last = FakeCall(lambda: sent.append(last.take()), epoch="e", after="0")
    session, states = session_over(first, FakeCall(end=taken), FakeCall(end=taken), last)

    def note(state: State) -> None:
        states.append(state)
        if changes(states).count(Change.NAME_TAKEN) == 2:
            session.take_name("anna")

    session.on_state = note
    sent: list[Message] = []
    texts(session)
    assert changes(states).count(Change.NAME_TAKEN) >= 2
    assert last.metadata["chat-user-bin"] == b"anna"
    assert [message.message for message in sent] == ["kept"]


def owned() -> FakeCall:
    """Return a stream that is refused, since the name is somebody else's."""
    trailing = [("chat-reason", "NAME_OWNED")]
    return FakeCall(end=FakeError(grpc.StatusCode.ALREADY_EXISTS, trailing=trailing))


@pytest.mark.parametrize("was_in", [True, False])
def test_name_that_is_owned_is_not_tried_again(was_in: bool) -> None:
    """Another one is awaited, and what was not acknowledged goes out under that."""
    first = FakeCall(lambda: session.send("kept"), epoch="e", after="0", end=FakeError())
    last = FakeCall(lambda: sent.append(last.take()), epoch="e", after="0")
    session, states = session_over(*([first] if was_in else []), owned(), owned(), last)
    session.wait_for_name()
    if not was_in:
        session.send("kept")
    names = ["bea", "anna"]

    def note(state: State) -> None:
        states.append(state)
        if state.change is Change.NAME_OWNED:
            session.take_name(names.pop(0))

    session.on_state = note
    sent: list[Message] = []
    texts(session)
    told = changes(states)
    assert told.count(Change.NAME_OWNED) == 2 and Change.NAME_TAKEN not in told
    assert told[told.index(Change.NAME_OWNED) + 1] is Change.NAME_OWNED
    assert last.metadata["chat-user-bin"] == b"anna"
    assert [message.message for message in sent] == ["kept"]


def test_program_whose_name_is_owned_by_now_ends() -> None:
    """Nobody is there to give another one."""
    session, states = session_over(FakeCall(epoch="e", after="0", end=FakeError()), owned())
    with pytest.raises(ChatError) as refusal:
        list(session)
    assert refusal.value.reason == "NAME_OWNED" and Change.NAME_OWNED not in changes(states)


def test_name_that_was_never_ours_is_waited_for_only_where_that_is_asked() -> None:
    """Else it is a refusal; and a server that says so is there, and may be lost and found again."""
    taken = FakeError(grpc.StatusCode.ALREADY_EXISTS)
    session, states = session_over(FakeCall(end=taken), retries=False)
    with pytest.raises(ChatError) as refusal:
        list(session)
    assert refusal.value.reason == "NAME_TAKEN" and not states
    streams = [FakeCall(end=taken), FakeCall(end=FakeError()), FakeCall(epoch="e")]
    session, states = session_over(*streams, retries=False)
    session.wait_for_name()
    texts(session)
    told = [change for change in changes(states) if change is not Change.RETRYING]
    assert told[:3] == [Change.NAME_TAKEN, Change.LOST, Change.CONNECTED]


@pytest.mark.parametrize("trailing", [[], [("chat-time", "1")]], ids=["no time", "a time"])
def test_proof_that_is_refused_again_and_again_is_given_up(trailing: list[Any]) -> None:
    """Once more by the server's clock, where it says that and there is a key, and no more."""
    refused = FakeError(
        grpc.StatusCode.UNAUTHENTICATED, trailing=[("chat-reason", "PROOF_INVALID"), *trailing]
    )
    for key in (None, Ed25519PrivateKey.generate()):
        calls = [FakeCall(end=refused) for _ in range(3)]
        session = Session(ADDRESS, "ana", key=key, open_stream=opening(*calls))
        with pytest.raises(ChatError) as refusal:
            list(session)
        assert refusal.value.reason == "PROOF_INVALID"
        attempts = sum(bool(call.metadata) for call in calls)
        assert attempts == (2 if trailing and key else 1)
        assert not any("chat-proof" in call.metadata for call in calls)  # without TLS


def test_server_that_says_nothing_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have no place for us; what is said goes out nevertheless."""
    monkeypatch.setattr(receiver, "SILENT_SECONDS", 0.01)
    is_told = threading.Event()
    call = FakeCall(end=FakeError(), before_greeting=lambda: is_told.wait(DEADLINE_SECONDS))
    states: list[State] = []

    def note(state: State) -> None:
        states.append(state)
        if state.change is Change.SILENT:
            is_told.set()

    with serving(ChatServiceServicer()) as address:
        session = Session(
            address, "ana", retry_first_connect=True, on_state=note, open_stream=opening(call)
        )
        texts(session)
    assert changes(states)[0] is Change.SILENT


@pytest.mark.parametrize("retries", [False, True])
def test_silence_where_nobody_is_ends_the_attempt(
    retries: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is told of a server, since there is none."""
    monkeypatch.setattr(receiver, "SILENT_SECONDS", 0.01)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.01)
    call = FakeCall(before_greeting=lambda: eventually(lambda: call.is_cancelled))
    session, states = session_over(call, retries=retries)
    if retries:
        texts(session)
        assert changes(states)[:2] == [Change.LOST, Change.RETRYING]
    else:
        with pytest.raises(ConfigError, match="No chat server answers at localhost:1"):
            list(session)
        assert not states


def test_first_word_that_comes_while_it_is_waited_for_is_not_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a slow line it may come before the answer to the question whether anybody is there."""
    asked, is_spoken = threading.Event(), threading.Event()
    before = set(threading.enumerate())

    def ask(stream: connection.Stream) -> connection.Answer:
        asked.set()
        assert is_spoken.wait(DEADLINE_SECONDS)
        return connection.Answer.NOBODY

    monkeypatch.setattr(receiver, "SILENT_SECONDS", 0.01)
    monkeypatch.setattr(connection.Stream, "ask", ask)
    call = FakeCall(
        is_spoken.set,
        lambda: leftover_threads(before),
        Message(user="bia", message="oi", id=1),
        epoch="e",
        end=FakeError(),
        before_greeting=lambda: asked.wait(DEADLINE_SECONDS),
    )
    session, states = session_over(call)
    assert texts(session) == ["oi"]
    assert Change.SILENT not in changes(states)


def test_name_changes_when_the_server_says_so() -> None:
    """Not by the wish, not by somebody else's echo, and not by the echo of something else."""
    names: list[str] = []
    call = FakeCall(
        lambda: session.send("oi", key="said"),
        Message(user="ana", message="oi", kind=KIND_RENAMED, key="said"),
        lambda: session.rename("Ana Maria", key="k"),
        lambda: names.append(session.name),
        Message(user="bia", message="bea", kind=KIND_RENAMED, key="other"),
        lambda: names.append(session.name),
        Message(user="ana", message="Ana Maria", kind=KIND_RENAMED, key="k"),
        epoch="e",
        end=FakeError(),
    )
    again = FakeCall(epoch="e", end=FakeError())
    session, _states = session_over(call, again)
    texts(session)
    assert names == ["ana", "ana"] and session.name == "Ana Maria"
    assert again.metadata["chat-user-bin"] == b"Ana Maria"


def test_private_message_never_reaches_a_plain_server() -> None:
    """It is known as one by its first message."""
    call = FakeCall(
        lambda: session.send("psst", to="bia"),
        lambda: readiness.append(call.requests is not None and call.requests.is_ready),
        Message(user="bia", message="oi"),
        lambda: readiness.append(call.requests is not None and call.requests.is_ready),
        end=FakeError(),
    )
    readiness: list[bool] = []
    session, states = session_over(call)
    assert texts(session) == [REASONS["PLAIN_SERVER"].text, "oi"]
    assert readiness == [False, False] and session.unacknowledged == 0
    assert changes(states)[0] is Change.PLAIN


def test_first_refusal_is_raised_with_its_reason() -> None:
    """Unless the session is to keep trying."""
    full = FakeError(grpc.StatusCode.RESOURCE_EXHAUSTED, trailing=[("chat-reason", "SERVER_FULL")])
    session, _states = session_over(FakeCall(end=full), retries=False)
    with pytest.raises(ChatError) as refusal:
        list(session)
    assert refusal.value.reason == "SERVER_FULL"
    session, states = session_over(FakeCall(end=full))
    texts(session)
    assert states[0] == State(
        Change.LOST, cause="the server is full; try again later", address=ADDRESS
    )


def test_loss_to_a_stopping_server_asks_nothing_of_the_user() -> None:
    """The session connects again by itself."""
    trailing = [("chat-reason", "SHUTTING_DOWN")]
    session, states = session_over(FakeCall(end=FakeError(trailing=trailing)))
    texts(session)
    assert states[0] == State(Change.LOST, cause="the server is shutting down", address=ADDRESS)


def test_first_loss_is_a_sentence() -> None:
    """Nobody is there."""
    session, _states = session_over(FakeCall(end=FakeError()), retries=False)
    with pytest.raises(ConfigError, match="No chat server answers at localhost:1"):
        list(session)


def test_later_loss_is_waited_for() -> None:
    """Who was in comes back, whether or not the first attempt had to work."""
    session, states = session_over(
        FakeCall(epoch="e", end=FakeError()), FakeCall(end=FakeError()), retries=False
    )
    texts(session)
    assert changes(states).count(Change.LOST) == 2


def test_close_by_the_thread_that_iterates_ends_the_iteration_alone() -> None:
    """It does not wait for itself; what is on its way is still heard."""
    call = FakeCall(
        lambda: session.send("oi", key="k"),
        lambda: session.close(timeout=0.01),
        Message(user="ana", message="oi", key="k", id=1),
        epoch="e",
        after="0",
    )
    session, _states = session_over(call)
    assert [message.message for message in session] == ["oi"]
    assert session.unacknowledged == 0


def test_refusal_closes_the_session() -> None:
    """Nothing can be sent after it."""
    session, _states = session_over()
    texts(session)
    with pytest.raises(ChatError) as refusal:
        session.send("oi")
    assert refusal.value.reason == "CLOSED"


def test_token_goes_to_loopback_alone_without_encryption() -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigError, match="in the clear"):
        Session("192.0.2.1:50051", "ana", token="secret-token")
    call = FakeCall(epoch="e")
    session = Session(ADDRESS, "ana", token="secret-token", open_stream=opening(call))
    texts(session)
    assert call.metadata["authorization"] == "Bearer secret-token"


@pytest.mark.parametrize("name", ["", "a" * 33, "a\nb"])
def test_bad_name_is_refused_at_once(name: str) -> None:
    """As the server would."""
    with pytest.raises(ChatError):
        Session(ADDRESS, name)


def test_name_that_is_taken_when_the_loss_is_told_is_tried_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The wait begins after that, and must not overlook it: it would last an hour."""
    monkeypatch.setattr(backoff_module, "MIN_BACKOFF_SECONDS", 3600.0)
    monkeypatch.setattr(backoff_module, "MAX_BACKOFF_SECONDS", 3600.0)
    taken = FakeError(grpc.StatusCode.ALREADY_EXISTS, trailing=[("chat-reason", "NAME_TAKEN")])
    session, _states = session_over(FakeCall(epoch="e", after="0", end=taken))

    def note(state: State) -> None:
        if state.change is Change.NAME_TAKEN:
            session.take_name("anna")

    session.on_state = note
    assert texts(session) == []
    assert session.name == "anna"


def test_failure_of_a_callback_ends_the_session_and_is_raised() -> None:
    """Whoever sends learns that nobody hears any more, rather than wait."""
    session, _states = session_over(FakeCall(epoch="e"))

    def fail(state: State) -> None:
        raise RuntimeError(state.change.name)

    session.on_state = fail
    with pytest.raises(RuntimeError, match="CONNECTED"):
        list(session)
    with pytest.raises(ChatError, match="over"):
        session.send("oi")


def test_failure_of_a_callback_in_another_thread_is_raised_by_the_iteration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That of a server that says nothing is told by a timer."""
    monkeypatch.setattr(receiver, "SILENT_SECONDS", 0.01)
    call = FakeCall(before_greeting=lambda: eventually(lambda: call.is_cancelled), end=FakeError())

    def fail(state: State) -> None:
        raise RuntimeError(state.change.name)

    with serving(ChatServiceServicer()) as address:
        session = Session(address, "ana", on_state=fail, open_stream=opening(call))
        with pytest.raises(RuntimeError, match="SILENT"):
            list(session)
    with pytest.raises(ChatError, match="over"):
        session.send("oi")


def test_stream_that_cannot_be_opened_is_the_owners_to_see() -> None:
    """What opens it may be the owner's own."""

    def refuse(stub: object, requests: object, metadata: object) -> object:
        raise RuntimeError("no stream")

    session = Session(ADDRESS, "ana", open_stream=refuse)
    with pytest.raises(RuntimeError, match="no stream"):
        list(session)
    with pytest.raises(ChatError, match="over"):
        session.send("oi")


def closed_to_us() -> FakeCall:
    trailing = (("chat-reason", "ROOM_CLOSED"),)
    return FakeCall(end=FakeError(grpc.StatusCode.PERMISSION_DENIED, trailing=trailing))


def test_room_that_was_closed_meanwhile_is_given_up() -> None:
    """The session goes on in the next room, at last in the common one, and tells of each."""
    back = FakeCall(epoch="e")
    session = Session(
        ADDRESS,
        "ana",
        rooms=["sala", "Outra"],
        open_stream=opening(FakeCall(epoch="e"), closed_to_us(), closed_to_us(), back),
    )
    told: list[tuple[int, str, str]] = []
    with pytest.raises(ChatError, match="token"):
        told.extend((m.kind, m.user, m.room) for m in session)
    assert told == [(KIND_NOTICE, "ROOM_CLOSED", "sala"), (KIND_NOTICE, "ROOM_CLOSED", "Outra")]
    assert "chat-room-bin" not in back.metadata
    assert session.rooms == ("",)


@pytest.mark.parametrize("calls", [(), (FakeCall(epoch="e"),)])
def test_room_that_cannot_be_given_up_ends_the_session(calls: tuple[FakeCall, ...]) -> None:
    """The first attempt is refused for good; and the common room is never closed."""
    rooms = [""] if calls else ["sala"]
    session = Session(ADDRESS, "ana", rooms=rooms, open_stream=opening(*calls, closed_to_us()))
    with pytest.raises(ChatError) as refusal:
        list(session)
    assert refusal.value.reason == "ROOM_CLOSED"


def test_session_that_is_turned_out_of_a_room_is_there_no_longer() -> None:
    """By a word that nobody asked for; who turns others out stays where it is."""
    told = Message(kind=KIND_NOTICE, user="ROOM_CLOSED", room="sala")
    call = FakeCall(lambda: echo(), told, epoch="e")
    session = Session(ADDRESS, "ana", rooms=["outra", "sala"], open_stream=opening(call))

    def echo() -> None:
        entered = call.take()
        call.answers += [Message(kind=KIND_ENTERED, room="sala", key=entered.key)]
        key = session.uninvite("bia", "outra")
        call.answers += [Message(kind=KIND_EXITED, to="bia", room="outra", key=key)]

    heard: list[tuple[int, str]] = []
    with pytest.raises(ChatError, match="token"):
        heard.extend((m.kind, m.to) for m in session)
    assert heard == [(KIND_EXITED, "bia"), (KIND_NOTICE, "")]
    assert session.rooms == ("outra",)
