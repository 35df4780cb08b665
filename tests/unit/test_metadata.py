"""What travels beside the messages: both directions, and what strangers make of it."""

from __future__ import annotations

from typing import Any

import pytest

from chat.protocol.errors import ChatError
from chat.protocol.limits import DEFAULT_HISTORY
from chat.protocol.metadata import (
    AFTER,
    AUTHORIZATION,
    BATCH,
    EPOCH,
    GENERATION,
    HISTORY,
    MAX_GENERATION_CHARACTERS,
    MAX_ID,
    PEOPLE,
    ROOM,
    SESSION,
    USER,
    Greeting,
    JoinRequest,
)

HEX = "0123456789abcdefABCDEF0123456789"


@pytest.mark.parametrize(
    "request_",
    [
        JoinRequest("ana"),
        JoinRequest("João", room="redes à noite", session=HEX, wants_batches=True),
        JoinRequest("ana", after=0, history=DEFAULT_HISTORY),
        JoinRequest("ana", after=MAX_ID),
        JoinRequest("ana", after=3, at_most=0),
        JoinRequest("ana", history=0),
        JoinRequest("", room="x"),
    ],
    ids=repr,
)
def test_join_request_comes_as_it_went(request_: JoinRequest) -> None:
    """What the client says is what the server reads."""
    assert JoinRequest.from_metadata(request_.to_metadata()) == request_


def test_join_request_is_spelled_as_the_contract_has_it() -> None:
    """Names and rooms as bytes of UTF-8, all else as ASCII; no history beside `chat-after`."""
    request = JoinRequest("João", "à", HEX, after=7, wants_batches=True, token="secret-token")
    assert dict(request.to_metadata()) == {
        "chat-user-bin": "João".encode(),
        "chat-room-bin": "à".encode(),
        "chat-session": HEX,
        "chat-after": "7",
        "chat-batch": "1",
        "authorization": "Bearer secret-token",
    }
    assert dict(JoinRequest("ana").to_metadata()) == {USER: b"ana", HISTORY: str(DEFAULT_HISTORY)}


def test_token_is_not_read_here() -> None:
    """Interceptors check it, for every service."""
    assert JoinRequest.from_metadata([(USER, b"ana"), (AUTHORIZATION, "Bearer x")]).token == ""


def test_stream_without_a_name_is_a_plain_client() -> None:
    """Whatever else it says is none of ours."""
    request = JoinRequest.from_metadata([(AFTER, "nonsense"), ("user-agent", "x")])
    assert request == JoinRequest() and not request.is_full
    assert JoinRequest.from_metadata([(USER, b"")]).is_full


@pytest.mark.parametrize(
    "session",
    [HEX[:-1], HEX + "0", HEX + "\n", "\n" + HEX, HEX[:-1] + "g", "0x" + HEX[2:], HEX[:-1] + "٣"],
    ids=repr,
)
def test_session_is_32_hex_digits_and_nothing_else(session: str) -> None:
    """Nothing before them, nothing after them."""
    with pytest.raises(ChatError) as refusal:
        JoinRequest.from_metadata([(USER, b"ana"), (SESSION, session)])
    assert refusal.value.reason == "REQUEST_INVALID"


@pytest.mark.parametrize("key", [AFTER, HISTORY])
@pytest.mark.parametrize(
    "number", ["-1", "+1", " 1", "1 ", "1_0", "1.0", "1e3", "0x1", "٣", "x", "9" * 21, b"\xff"]
)
def test_number_is_digits_and_not_too_many(key: str, number: str | bytes) -> None:
    """What int() would take besides is refused, and what would cost it an hour."""
    with pytest.raises(ChatError) as refusal:
        JoinRequest.from_metadata([(USER, b"ana"), (key, number)])
    assert refusal.value.reason == "REQUEST_INVALID"


def test_number_beyond_the_log_is_its_end() -> None:
    """A log holds 63 bits, the contract 64."""
    request = JoinRequest.from_metadata([(USER, b"ana"), (AFTER, str((1 << 64) - 1))])
    assert request.after == MAX_ID
    assert JoinRequest.from_metadata([(USER, b"ana"), (AFTER, "")]).after is None


@pytest.mark.parametrize(
    ("key", "reason"),
    [(USER, "NAME_INVALID"), (ROOM, "ROOM_INVALID"), (SESSION, "REQUEST_INVALID")],
)
def test_what_is_not_utf8_is_refused(key: str, reason: str) -> None:
    """With the reason that says what is wrong."""
    with pytest.raises(ChatError) as refusal:
        JoinRequest.from_metadata([(USER, b"ana"), (key, b"\xff\xfe")])
    assert refusal.value.reason == reason


@pytest.mark.parametrize("value", ["0", "", "true", "11"])
def test_batches_come_to_those_who_say_one(value: str) -> None:
    """Anything else does not ask for them."""
    assert not JoinRequest.from_metadata([(USER, b"ana"), (BATCH, value)]).wants_batches
    assert JoinRequest.from_metadata([(USER, b"ana"), (BATCH, "1")]).wants_batches


@pytest.mark.parametrize(
    "greeting", [Greeting("e", 7, people=3), Greeting("e", 0, "g", 0), Greeting("e")], ids=repr
)
def test_greeting_comes_as_it_went(greeting: Greeting) -> None:
    """What the server says is what the client reads."""
    assert Greeting.from_metadata(greeting.to_metadata()) == greeting


def test_greeting_of_a_plain_server_is_empty() -> None:
    """It says nothing of ours."""
    assert Greeting.from_metadata([("server", "x")]) == Greeting("", None)


@pytest.mark.parametrize("after", ["", "-1", "x", "9" * 400, b"\xff"])
def test_place_that_makes_no_sense_was_not_said(after: Any) -> None:
    """A client does not stop for a server's nonsense; nor for that about people."""
    for key in (AFTER, PEOPLE):
        assert Greeting.from_metadata([(EPOCH, "e"), (key, after)]) == Greeting("e", None)


@pytest.mark.parametrize("word", [b"\xff", "\u00e9", "a\tb", "a\nb"])
def test_word_that_cannot_stand_in_metadata_was_not_said(word: Any) -> None:
    """It would be sent back; gRPC carries none of them, and another transport may."""
    assert Greeting.from_metadata([(EPOCH, word), (AFTER, "7")]) == Greeting("", 7)
    assert Greeting.from_metadata([(EPOCH, "e"), (GENERATION, word)]) == Greeting("e")


def test_long_word_of_a_server_is_cut() -> None:
    """It is kept in a file, and sent back with each stream."""
    greeting = Greeting.from_metadata([(EPOCH, "e" * 5000), (GENERATION, "g" * 5000)])
    assert len(greeting.epoch) == len(greeting.generation) == MAX_GENERATION_CHARACTERS
