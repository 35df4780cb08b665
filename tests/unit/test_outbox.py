"""The outbox without a server: whatever may happen between sending and acknowledging.

What may interleave: send, take for a stream, echo, refusal, a lost stream, a new one, a plain
server met, or a silent one, close, abort.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import DEADLINE_SECONDS

from chat.client import outbox as outbox_module
from chat.client import sealing as sealing_module
from chat.client import send_window
from chat.client.outbox import Outbox, Peer, Requests
from chat.client.pins import Pins
from chat.client.sealing import Sealing
from chat.protocol.errors import ChatError
from chat_pb2 import (
    KIND_ENTERED,
    KIND_EXITED,
    KIND_RENAMED,
    KIND_ROOMS,
    KIND_UNSPECIFIED,
    KIND_WHO,
    Message,
)

# How long somebody must have waited to be seen waiting.
WAITING_SECONDS = 0.1


def said(text: str, to: str = "") -> Message:
    """Return a message whose key is its text."""
    return Message(user="ana", message=text, to=to, key=text)


def taken(requests: Requests) -> list[str]:
    """Take what can be taken without waiting; the texts, "end" for the end."""
    texts: list[str] = []
    while requests.is_ready:
        message = requests.next()
        if message is None:
            return [*texts, "end"]
        texts.append(message.message)
    return texts


def pending(outbox: Outbox) -> list[str]:
    return [message.message for message in outbox.pending]


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def full(outbox: Outbox) -> Requests:
    """The requests of a stream to a full server."""
    requests = outbox.begin_stream()
    outbox.meet_full()
    return requests


# Sending.


def test_key_that_would_not_be_answered_is_refused(outbox: Outbox) -> None:
    """Too long for any server, or that of another message; the same one is said once."""
    for message in (said("k" * 257), Message(message="b", key="a")):
        outbox.put(said("a"))
        with pytest.raises(ChatError) as caught:
            outbox.put(message)
        assert caught.value.reason == "KEY_INVALID"
    assert pending(outbox) == ["a"]
    outbox.put(said("k" * 256))


def test_messages_are_taken_in_order_and_pending_until_acknowledged(
    outbox: Outbox, full: Requests
) -> None:
    """Taken by the stream is not delivered."""
    for text in ("a", "b", "c"):
        outbox.put(said(text))
    assert taken(full) == ["a", "b", "c"]
    assert pending(outbox) == ["a", "b", "c"]
    outbox.acknowledge("b")
    assert pending(outbox) == ["a", "c"] and outbox.unacknowledged == 2


def test_key_is_made_up_where_there_is_none(outbox: Outbox) -> None:
    """Its own for each message."""
    keys = {outbox.put(Message(message="x")) for _ in range(3)}
    assert len(keys) == 3 and "" not in keys
    assert outbox.put(said("own")) == "own"


def test_message_is_found_by_its_key_until_it_is_acknowledged(outbox: Outbox) -> None:
    """An echo of somebody else's finds nothing; a second one does no harm."""
    outbox.put(said("a"))
    found = outbox.find("a")
    assert found is not None and found.message == "a"
    assert outbox.find("b") is None
    outbox.acknowledge("a")
    outbox.acknowledge("a")
    assert outbox.find("a") is None


# Losses.


def test_new_stream_takes_everything_pending_again(outbox: Outbox, full: Requests) -> None:
    """Nobody knows what of it arrived; the server appends each key once."""
    for text in ("a", "b"):
        outbox.put(said(text))
    assert taken(full) == ["a", "b"]
    outbox.acknowledge("a")
    outbox.end_stream()
    outbox.put(said("c"))
    again = outbox.begin_stream()
    outbox.meet_full()
    assert taken(full) == ["end"]
    assert taken(again) == ["b", "c"]


def test_generator_of_a_lost_stream_takes_nothing_more(outbox: Outbox, full: Requests) -> None:
    """Not even while the next stream is not open yet: what it took would be lost."""
    outbox.end_stream()
    outbox.put(said("a"))
    assert taken(full) == ["end"]
    again = outbox.begin_stream()
    outbox.meet_full()
    assert taken(again) == ["a"]


def test_waiting_generator_ends_with_its_stream(outbox: Outbox, full: Requests) -> None:
    """Its thread is gRPC's, which waits for it."""
    ended: list[Message | None] = []
    thread = threading.Thread(target=lambda: ended.append(full.next()))
    thread.start()
    outbox.end_stream()
    thread.join(DEADLINE_SECONDS)
    assert ended == [None]


def test_echo_of_the_old_stream_acknowledges_in_the_new_one(outbox: Outbox, full: Requests) -> None:
    """It is pending no more, though the new stream may still send it once."""
    outbox.put(said("a"))
    outbox.end_stream()
    again = outbox.begin_stream()
    outbox.meet_full()
    outbox.acknowledge("a")
    assert pending(outbox) == []
    assert taken(again) == ["a"]


# Private messages and plain servers.


@pytest.mark.parametrize(
    "message",
    [
        said("p", to="bia"),
        Message(kind=KIND_WHO, key="p"),
        Message(message="p", room="sala", key="p"),
    ],
)
def test_nothing_private_goes_to_an_unknown_server(outbox: Outbox, message: Message) -> None:
    """A plain server would tell it to everybody; ordinary lines do not wait behind it."""
    requests = outbox.begin_stream()
    outbox.put(said("a"))
    outbox.put(message)
    outbox.put(said("b"))
    assert taken(requests) == ["a", "b"]
    assert not requests.is_ready
    outbox.meet_full()
    found = requests.next()
    assert found is not None and found.key == "p"


def test_plain_server_gets_nothing_private(outbox: Outbox) -> None:
    """What waits for it is given up aloud, and refused from then on."""
    requests = outbox.begin_stream()
    outbox.put(said("p", to="bia"))
    outbox.put(said("a"))
    refused = outbox.meet_plain()
    assert refused is not None and [message.key for message in refused] == ["p"]
    assert taken(requests) == ["a"]
    with pytest.raises(ChatError) as refusal:
        outbox.put(said("q", to="bia"))
    assert refusal.value.reason == "PLAIN_SERVER"
    with pytest.raises(ChatError):
        outbox.put(Message(message="for the family only", room="family"))


def test_plain_server_confirms_nothing(outbox: Outbox) -> None:
    """Handed over is all there is to know: what it has taken is pending no more."""
    requests = outbox.begin_stream()
    outbox.put(said("a"))
    assert taken(requests) == ["a"]
    outbox.put(said("b"))
    outbox.meet_plain()
    assert pending(outbox) == ["b"]
    assert taken(requests) == ["b"]
    assert pending(outbox) == []


def test_server_is_met_once_in_a_stream(outbox: Outbox, full: Requests) -> None:
    """A full one stays it; after a loss another one may be there."""
    peers = [outbox.peer]
    assert outbox.meet_plain() is None
    peers.append(outbox.peer)
    outbox.end_stream()
    outbox.begin_stream()
    peers.append(outbox.peer)
    assert outbox.meet_plain() == [] and outbox.meet_plain() is None
    assert peers == [Peer.FULL, Peer.FULL, Peer.UNKNOWN]


def test_private_message_that_waited_for_space_is_refused_by_a_plain_server(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server was met meanwhile: it must not be told to everybody now."""
    monkeypatch.setattr(outbox_module, "MAX_PENDING", 1)
    requests = outbox.begin_stream()
    outbox.put(said("a"))
    reasons: list[str] = []

    def put() -> None:
        try:
            outbox.put(said("p", to="bia"))
        except ChatError as error:
            reasons.append(error.reason)

    thread = threading.Thread(target=put)
    thread.start()
    outbox.meet_plain()
    requests.next()
    thread.join(DEADLINE_SECONDS)
    assert reasons == ["PLAIN_SERVER"] and pending(outbox) == []


def test_server_that_was_met_once_stays_known(outbox: Outbox) -> None:
    """Whatever comes of the stream; one that only stays silent was not met."""
    outbox.begin_stream()
    outbox.meet_silence()
    assert not outbox.has_met_server
    outbox.meet_full()
    outbox.end_stream()
    assert outbox.has_met_server


def test_order_is_kept_where_the_last_server_was_a_full_one(outbox: Outbox, full: Requests) -> None:
    """It is about to say so again; what is said must not overtake a rename, or an entry."""
    outbox.end_stream()
    again = outbox.begin_stream()
    outbox.put(Message(kind=KIND_RENAMED, message="anna", key="r"))
    outbox.put(said("a"))
    assert not again.is_ready
    outbox.meet_full()
    assert taken(again) == ["anna", "a"]


def test_ordinary_lines_go_to_a_server_that_stays_silent(outbox: Outbox, full: Requests) -> None:
    """A plain one says nothing before somebody speaks; what needs a full one waits on."""
    outbox.end_stream()
    again = outbox.begin_stream()
    outbox.put(said("p", to="bia"))
    outbox.put(said("a"))
    assert outbox.meet_silence() and not outbox.meet_silence()
    assert taken(again) == ["a"]
    assert pending(outbox) == ["p", "a"]
    refused = outbox.meet_plain()
    assert refused is not None and [message.key for message in refused] == ["p"]


def test_rooms_are_entered_before_anything_is_said_there(outbox: Outbox) -> None:
    """What a stream sends first is nobody's message, and is not sent in the next one."""
    outbox.put(said("a"))
    requests = outbox.begin_stream([Message(message="enter", key="e")])
    outbox.meet_full()
    assert taken(requests) == ["enter", "a"]
    assert pending(outbox) == ["a"] and outbox.find("e") is None
    outbox.end_stream()
    again = outbox.begin_stream()
    outbox.meet_full()
    assert taken(again) == ["a"]


def test_one_who_hears_the_echoes_does_not_wait_for_space(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for itself: a larger bound, and then a refusal."""
    monkeypatch.setattr(outbox_module, "MAX_PENDING", 1)
    monkeypatch.setattr(outbox_module, "MAX_UNWAITED", 3)
    for text in ("a", "b", "c"):
        outbox.put(said(text), can_wait=False)
    with pytest.raises(ChatError) as refusal:
        outbox.put(said("d"), can_wait=False)
    assert refusal.value.reason == "TOO_MUCH_WAITING"
    assert pending(outbox) == ["a", "b", "c"]


def test_woken_wait_ends(outbox: Outbox) -> None:
    """Somebody has another name to try."""
    is_woken = threading.Event()
    seconds = 60 * DEADLINE_SECONDS
    thread = threading.Thread(target=outbox.wait_until_done, args=(seconds, is_woken))
    thread.start()
    is_woken.set()
    outbox.wake()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


# The end.


def test_close_sends_what_waits_and_then_half_closes(outbox: Outbox, full: Requests) -> None:
    """Done is when all of it is acknowledged."""
    outbox.put(said("a"))
    outbox.close()
    assert not outbox.is_done
    assert taken(full) == ["a", "end"]
    outbox.acknowledge("a")
    assert outbox.is_done
    with pytest.raises(ChatError) as refusal:
        outbox.put(said("late"))
    assert refusal.value.reason == "CLOSED"


def test_close_waits_over_a_lost_stream(outbox: Outbox, full: Requests) -> None:
    """The next stream sends it again, and half-closes."""
    outbox.put(said("a"))
    outbox.close()
    assert taken(full) == ["a", "end"]
    outbox.end_stream()
    assert not outbox.is_done
    again = outbox.begin_stream()
    outbox.meet_full()
    assert taken(again) == ["a", "end"]


def test_abort_ends_at_once(outbox: Outbox, full: Requests) -> None:
    """Whatever is pending; it is still counted."""
    outbox.put(said("a"))
    outbox.put(said("b"))
    outbox.abort()
    assert outbox.is_done and outbox.is_aborted and outbox.is_closing
    assert taken(full) == ["end"]
    assert outbox.unacknowledged == 2


def test_abort_ends_a_generator_that_waits_for_the_server(outbox: Outbox) -> None:
    """It must not wait for a word that will never come."""
    requests = outbox.begin_stream()
    outbox.put(said("p", to="bia"))
    assert not requests.is_ready
    outbox.abort()
    assert taken(requests) == ["end"]


def test_waiting_for_the_end_ends_with_it(outbox: Outbox) -> None:
    """Long before its time is over."""
    thread = threading.Thread(target=outbox.wait_until_done, args=(60 * DEADLINE_SECONDS,))
    thread.start()
    outbox.close()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("release", "reasons"),
    [
        (lambda outbox: outbox.acknowledge("a"), []),
        (lambda outbox: outbox.close(), ["CLOSED"]),
        (lambda outbox: outbox.abort(), ["CLOSED"]),
    ],
    ids=["acknowledge", "close", "abort"],
)
def test_full_outbox_makes_the_sender_wait(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, release: object, reasons: list[str]
) -> None:
    """Until there is space, or no use in waiting."""
    monkeypatch.setattr(outbox_module, "MAX_PENDING", 2)
    outbox.put(said("a"))
    outbox.put(said("b"))
    seen: list[str] = []

    def put() -> None:
        try:
            outbox.put(said("c"))
        except ChatError as error:
            seen.append(error.reason)

    thread = threading.Thread(target=put)
    thread.start()
    thread.join(WAITING_SECONDS)
    assert thread.is_alive() and pending(outbox) == ["a", "b"]
    assert callable(release)
    release(outbox)
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive() and seen == reasons
    assert pending(outbox) == (["b", "c"] if not reasons else ["a", "b"])


def test_wishes_are_what_enters_or_leaves_a_room_until_it_is_answered(
    outbox: Outbox, full: Requests
) -> None:
    """In their order, whatever else is pending; a plain server fulfils none."""
    outbox.put(said("a"))
    outbox.put(Message(kind=KIND_ENTERED, room="sala", key="in"))
    outbox.put(Message(kind=KIND_EXITED, room="sala", key="out"))
    assert [wish.key for wish in outbox.wishes] == ["in", "out"]
    outbox.acknowledge("in")
    assert [wish.key for wish in outbox.wishes] == ["out"]
    outbox.end_stream()
    outbox.begin_stream()
    assert [wish.key for wish in outbox.wishes] == ["out"]
    outbox.meet_plain()
    assert outbox.wishes == []


def test_request_is_awaited_until_it_is_answered(outbox: Outbox) -> None:
    """By its kind, since the parts of an answer carry no key; what is said asks for nothing."""
    outbox.meet_full()
    outbox.put(Message(kind=KIND_WHO, key="w"))
    outbox.put(Message(message="oi", key="m"))
    assert outbox.awaits(KIND_WHO) and not outbox.awaits(KIND_ROOMS)
    assert not outbox.awaits(KIND_UNSPECIFIED)
    outbox.acknowledge("w")
    assert not outbox.awaits(KIND_WHO)


@pytest.mark.parametrize("how", ["acknowledge", "abort"])
def test_wait_for_acknowledgements_ends_with_the_last_one_or_the_session(
    outbox: Outbox, how: str
) -> None:
    """Or when its time is over: then there is more to wait for."""
    outbox.put(Message(message="oi", key="m"))
    assert outbox.wait_acknowledged(0.001)
    assert not outbox.wait_acknowledged(DEADLINE_SECONDS, allowed=len(outbox.pending))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(outbox.wait_acknowledged, DEADLINE_SECONDS)
        outbox.acknowledge("m") if how == "acknowledge" else outbox.abort()
        assert not waiting.result(DEADLINE_SECONDS)


# How far ahead of its echoes a full server is sent messages.


def test_only_so_much_is_on_its_way_to_a_full_server(
    full: Requests, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest waits for the echoes; a single message is never too large."""
    size = said("0").ByteSize()
    monkeypatch.setattr(send_window, "MAX_IN_FLIGHT_BYTES", 2 * size)
    for number in range(4):
        outbox.put(said(str(number)))
    assert taken(full) == ["0", "1"]
    outbox.acknowledge("0")
    assert taken(full) == ["2"]
    outbox.acknowledge("somebody else's")
    assert not full.is_ready
    outbox.put(said("2"))  # the same key once more
    outbox.acknowledge("1")
    outbox.acknowledge("2")
    assert taken(full) == ["3", "2"]
    for key in ("2", "3"):
        outbox.acknowledge(key)
    outbox.put(said("x" * 10 * size))
    outbox.put(said("later"))
    assert taken(full) == ["x" * 10 * size]
    outbox.end_stream()
    again = outbox.begin_stream()
    outbox.meet_full()
    assert taken(again) == ["x" * 10 * size]


def test_who_confirms_nothing_is_sent_all(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain server, or one that says nothing: there is no echo to wait for."""
    monkeypatch.setattr(send_window, "MAX_IN_FLIGHT_BYTES", 1)
    requests = outbox.begin_stream()
    for number in range(3):
        outbox.put(said(str(number)))
    assert taken(requests) == ["0"]
    assert outbox.meet_silence()
    assert taken(requests) == ["1", "2"]
    outbox.meet_plain()
    for number in range(3, 6):
        outbox.put(said(str(number)))
    assert taken(requests) == ["3", "4", "5"]


@contextmanager
def ended(outbox: Outbox) -> Iterator[None]:
    """Have nobody wait for it after the block."""
    try:
        yield
    finally:
        outbox.abort()


def test_private_message_without_an_answer_lets_others_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes is woken for that, and told once; a further one does not hold up anything."""
    monkeypatch.setattr(sealing_module, "ANSWER_SECONDS", 0.05)
    sealing = Sealing(Ed25519PrivateKey.generate(), Pins("chat", tmp_path))
    outbox = Outbox(sealing)
    stalls: list[str] = []
    outbox.on_stall = lambda: stalls.append("told")
    requests = outbox.begin_stream()
    sealing.begin_stream("ana")
    outbox.meet_full()
    with ThreadPoolExecutor() as pool, ended(outbox):
        pool.submit(requests.next).result(DEADLINE_SECONDS)  # her key, which nobody confirms
        outbox.put(Message(to="bia", message="segredo"))
        outbox.put(Message(message="oi"))
        said = pool.submit(requests.next).result(DEADLINE_SECONDS)
        outbox.put(Message(to="caio", message="outro segredo"))
        outbox.put(Message(message="tchau"))
        later = pool.submit(requests.next).result(DEADLINE_SECONDS)
    assert said is not None and later is not None
    assert (said.message, later.message, stalls) == ("oi", "tchau", ["told"])
    assert [message.to for message in outbox.pending] == ["bia", "", "caio", ""]
