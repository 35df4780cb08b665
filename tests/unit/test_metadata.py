"""What travels beside the messages: written by one side, it is read so by the other."""

from __future__ import annotations

import pytest

from chat.protocol.errors import ChatError
from chat.protocol.limits import DEFAULT_HISTORY
from chat.protocol.metadata import Greeting, JoinRequest

SESSION = "0123456789abcdef" * 2
LARGEST = (1 << 63) - 1  # the largest id that SQLite holds


@pytest.mark.parametrize(
    "request_",
    [
        JoinRequest(user="ana"),
        JoinRequest(user="ana", room="sala", session=SESSION, wants_batches=True),
        JoinRequest(user="ana", after=0),
        JoinRequest(user="ana", after=LARGEST),
        JoinRequest(user="ana", history=0),
        JoinRequest(user="ana", history=7),
    ],
    ids=str,
)
def test_request_is_read_as_it_was_written(request_: JoinRequest) -> None:
    """Every wish, and the absence of each."""
    assert JoinRequest.from_metadata(request_.to_metadata()) == request_


def test_token_is_sent_and_not_read() -> None:
    """It is checked for every call alike, long before."""
    metadata = JoinRequest(user="ana", token="t").to_metadata()
    assert dict(metadata)["authorization"] == "Bearer t"
    assert JoinRequest.from_metadata(metadata) == JoinRequest(user="ana")


def test_client_without_our_metadata_is_a_plain_one() -> None:
    """Whatever else it sends: other people's tools have metadata of their own."""
    plain = JoinRequest.from_metadata([("user-agent", "grpcurl"), ("chat-room-bin", b"sala")])
    assert plain == JoinRequest() and not plain.is_full
    assert JoinRequest.from_metadata([("chat-user-bin", b"")]).is_full
    assert JoinRequest.from_metadata([("chat-user-bin", b"a")]).history == DEFAULT_HISTORY


@pytest.mark.parametrize("number", [LARGEST + 1, (1 << 64) - 1, 10**20 - 1])
def test_larger_id_than_any_log_holds_is_the_largest(number: int) -> None:
    """A number of twenty digits is understood; it is beyond every log, and no error."""
    metadata: dict[str, str | bytes] = {"chat-user-bin": b"ana", "chat-after": str(number)}
    assert JoinRequest.from_metadata(metadata.items()).after == LARGEST


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("chat-after", "1" * 21, "REQUEST_INVALID"),
        ("chat-after", "\u0661", "REQUEST_INVALID"),
        ("chat-history", "+1", "REQUEST_INVALID"),
        ("chat-session", SESSION + "\n", "REQUEST_INVALID"),
        ("chat-session", SESSION[1:], "REQUEST_INVALID"),
        ("chat-session", b"\xff", "REQUEST_INVALID"),
        ("chat-room-bin", b"\xff", "ROOM_INVALID"),
        ("chat-user-bin", b"\xff", "NAME_INVALID"),
    ],
)
def test_what_makes_no_sense_is_refused(key: str, value: str | bytes, reason: str) -> None:
    """With the reason that tells which of them it was."""
    metadata: dict[str, str | bytes] = {"chat-user-bin": b"ana", key: value}
    with pytest.raises(ChatError) as refusal:
        JoinRequest.from_metadata(metadata.items())
    assert refusal.value.reason == reason


@pytest.mark.parametrize("greeting", [Greeting("e"), Greeting("e", 0), Greeting("e", 9)], ids=str)
def test_greeting_is_read_as_it_was_written(greeting: Greeting) -> None:
    """After id 0 is not the same as nothing said of it."""
    assert Greeting.from_metadata(greeting.to_metadata()) == greeting


def test_greeting_of_another_server_is_none_of_ours() -> None:
    """What makes no sense was not said; nothing said is a plain server."""
    assert Greeting.from_metadata([]) == Greeting() == Greeting("", None)
    assert Greeting.from_metadata([("chat-epoch", "e"), ("chat-after", "x")]) == Greeting("e")
