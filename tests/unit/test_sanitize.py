"""What of a server's word is kept: bounded, cleaned, and of a kind that is known."""

from __future__ import annotations

import pytest

from chat.client.sanitize import MAX_SENTENCE_CHARACTERS, MAX_TEXT_CHARACTERS, unpacked
from chat.protocol.limits import MAX_KEY_CHARACTERS, MAX_RAW_NAME_CHARACTERS, MAX_SEALED_BYTES
from chat_pb2 import (
    KIND_ACTION,
    KIND_BANNED,
    KIND_CLOSED,
    KIND_HISTORY,
    KIND_INVITED,
    KIND_JOINED,
    KIND_KEY,
    KIND_LEFT,
    KIND_MUTED,
    KIND_NOTICE,
    KIND_PRESENT,
    KIND_REMOVED,
    KIND_RENAMED,
    KIND_ROOMS,
    KIND_UNSPECIFIED,
    KIND_WHO,
    Kind,
    Message,
)

ESCAPES = "\x1b]52;c;aGk=\x07\x1b[2J\u202e\r\b"
CLEANED = "\ufffd]52;c;aGk=\ufffd\ufffd[2J\ufffd\ufffd\ufffd"


def received(message: Message) -> list[Message]:
    return list(unpacked(message))


def one(message: Message) -> Message:
    (only,) = received(message)
    return only


@pytest.mark.parametrize("kind", [KIND_UNSPECIFIED, KIND_ACTION])
def test_what_our_server_sends_comes_as_it_is(kind: Kind) -> None:
    """Line feeds and tabs of a text, accents, every field."""
    message = Message(
        user="João da Silva", message="um\n\tdois é", id=7, kind=kind, key="k" * 256, to="Zoë"
    )
    message.sent_at.FromJsonString("2024-02-29T12:00:00.123Z")
    before = message.SerializeToString()
    assert one(message).SerializeToString() == before


def test_batch_is_taken_apart_and_a_batch_in_it_is_none() -> None:
    """Nothing is hidden in the depth."""
    inner = Message(user="bia", message="inner")
    outer = Message(user="caio", message="outer", batch=[inner])
    assert received(Message(batch=[outer, inner])) == [
        Message(user="caio", message="outer"),
        inner,
    ]


@pytest.mark.parametrize("kind", [-1, 99, 2**31 - 1])
def test_unknown_kind_is_dropped(kind: int) -> None:
    """It would be an empty line; a later version of the contract may have it."""
    strange = Message(user="bia", message="?", kind=kind)  # type: ignore[arg-type]
    assert received(strange) == []
    assert received(Message(batch=[strange, Message(user="bia", message="oi")])) != []


@pytest.mark.parametrize(
    "message",
    [
        Message(),
        Message(user="bia", id=4),
        Message(kind=KIND_ACTION, user="bia"),
        Message(kind=KIND_JOINED),
        Message(kind=KIND_LEFT, message="x"),
        Message(kind=KIND_PRESENT),
        Message(kind=KIND_RENAMED, user="bia"),
        Message(kind=KIND_NOTICE, user="WHATEVER"),
        Message(kind=KIND_NOTICE, user="ANNOUNCEMENT", to="ana"),
        Message(kind=KIND_REMOVED, user="ana", message="spam"),
        Message(kind=KIND_MUTED, user="ana"),
    ],
    ids=repr,
)
def test_what_says_nothing_is_dropped_unless_it_may_be_an_answer(message: Message) -> None:
    """A key may be that of something we said."""
    assert received(message) == []
    message.key = "k"
    assert received(message) == [message]


@pytest.mark.parametrize("field", ["user", "to", "room"])
def test_names_are_cut_and_cleaned(field: str) -> None:
    """Of four megabytes nothing is kept but the beginning."""
    message = Message(message="oi", **{field: ESCAPES + "\n\t" + "x" * 4_000_000})  # type: ignore
    name = getattr(one(message), field)
    assert name.startswith(CLEANED + "\ufffd\ufffdx") and len(name) == MAX_RAW_NAME_CHARACTERS


def test_texts_are_cut_and_cleaned() -> None:
    """Each by what its kind has to say."""
    text = ESCAPES + "\n" + "x" * 4_000_000
    for kind, limit in (
        (KIND_UNSPECIFIED, MAX_TEXT_CHARACTERS),
        (KIND_ACTION, MAX_TEXT_CHARACTERS),
        (KIND_NOTICE, MAX_SENTENCE_CHARACTERS),
        (KIND_BANNED, MAX_SENTENCE_CHARACTERS),
        (KIND_RENAMED, MAX_RAW_NAME_CHARACTERS),
        (KIND_ROOMS, MAX_RAW_NAME_CHARACTERS),
        (KIND_WHO, MAX_RAW_NAME_CHARACTERS),
    ):
        said = one(Message(user="bia", to="rui", message=text, kind=kind)).message
        assert said.startswith(CLEANED) and len(said) == limit


def test_reason_of_our_own_is_none_of_a_server() -> None:
    """It would tell of us what is not so."""
    notice = one(Message(kind=KIND_NOTICE, user="NOT_CONNECTED", message="so it says", key="k"))
    assert (notice.user, notice.message) == ("", "so it says")
    assert one(Message(kind=KIND_NOTICE, user="NOT_READ", key="k")).user == "NOT_READ"


def test_key_that_is_too_long_is_none() -> None:
    """A cut one might be that of another message."""
    assert one(Message(user="bia", message="x", key="k" * MAX_KEY_CHARACTERS)).key
    assert not one(Message(user="bia", message="x", key="k" * (MAX_KEY_CHARACTERS + 1))).key


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(253_402_300_800, 0), (-(1 << 62), 0), (0, -1), (0, 1_000_000_000)]
)
def test_time_that_is_none_was_not_said(seconds: int, nanos: int) -> None:
    """Nothing could be made of the year 10000."""
    message = Message(user="bia", message="oi")
    message.sent_at.seconds, message.sent_at.nanos = seconds, nanos
    assert not one(message).HasField("sent_at")


def test_history_is_cleaned_and_said_in_its_room() -> None:
    """Its parts are messages, with no parts of their own, and of no room but that."""
    part = Message(user=ESCAPES, message="a", id=1, room="aula")
    elsewhere = Message(user="bia", message="b", id=2, room="elsewhere")
    nested = Message(user="bia", message="c", id=3, batch=[part])
    strange = Message(user="bia", message="d", kind=99)  # type: ignore[arg-type]
    page = Message(
        kind=KIND_HISTORY, room="aula", key="k", batch=[part, nested, strange, elsewhere]
    )
    for whole in (page, Message(batch=[page])):
        cleaned = one(whole)
        assert [(m.user, m.message, m.room) for m in cleaned.batch] == [
            (CLEANED, "a", "aula"),
            ("bia", "b", "aula"),
        ]


@pytest.mark.parametrize("missing", ["user", "to", "room"])
def test_door_of_which_something_is_missing_says_nothing(missing: str) -> None:
    """An invitation is somebody's, for somebody, into a room; who closes a room has a name."""
    fields = {"user": "ana", "to": "bia", "room": "sala"} | {missing: ""}
    assert received(Message(kind=KIND_INVITED, **fields)) == []  # type: ignore[arg-type]
    if missing == "user":
        assert received(Message(kind=KIND_CLOSED, room="sala")) == []


def test_names_of_an_invitation_are_cleaned() -> None:
    """Its message is one of them, and no text."""
    room = ESCAPES + "r" * 500
    invitation = one(Message(kind=KIND_INVITED, user="ana", to="b", room=room, message=room))
    assert invitation.room == invitation.message
    assert invitation.room.startswith(CLEANED)
    assert len(invitation.room) == MAX_RAW_NAME_CHARACTERS


def test_what_is_sealed_is_all_that_a_private_message_says() -> None:
    """A text beside it was written by the server; and there is an end to its length."""
    message = Message(user="bia", to="ana", message="da bia?", sealed=b"x" * 1_000_000)
    cleaned = one(message)
    assert cleaned.message == "" and cleaned.sealed == b"x" * MAX_SEALED_BYTES
    assert one(Message(kind=KIND_KEY, to="ana", key="q", sealed=b"x")).sealed == b"x"


@pytest.mark.parametrize("kind", [KIND_UNSPECIFIED, KIND_ACTION, KIND_NOTICE, KIND_HISTORY])
def test_nothing_else_is_sealed(kind: Kind) -> None:
    """Said in a room it would look as if nobody but its writer could have written it."""
    cleaned = one(Message(user="bia", message="oi", kind=kind, key="k", sealed=b"x"))
    assert (cleaned.message, cleaned.sealed) == ("oi", b"")
    part = Message(user="bia", to="ana", message="oi", sealed=b"x")
    (history,) = received(Message(kind=KIND_HISTORY, key="k", batch=[part]))
    assert [(m.message, m.sealed) for m in history.batch] == [("oi", b"")]
