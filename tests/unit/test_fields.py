"""What a stranger's bytes hold: looked at without paying for it, whatever they are."""

from __future__ import annotations

import random
import time

import pytest
from rooms import Message

import chat_pb2
from chat.protocol.errors import ChatError
from chat.server import wire
from chat.server.encoding import decode, key_of, varint

EMPTY_ITEM = b"\x42\x00"
BROKEN_NAME = b"\x0a\x01\xff"  # a `user` that is no UTF-8
KEY = b"\x32\x01k"
WHOLE = Message(user="ana", message="x" * 2000, key="k", kind=chat_pb2.KIND_ACTION, to="bia", id=7)


def reason_of(raw: bytes) -> str:
    with pytest.raises(ChatError) as refusal:
        decode(raw)
    return refusal.value.reason


def test_fields_are_those_of_the_message() -> None:
    """Their numbers in order, and their bytes together all of it."""
    raw = WHOLE.SerializeToString() + b"\x7d1234" + b"\x7912345678"  # fixed numbers, unknown
    found = list(wire.fields(raw))
    assert [field.number for field in found] == [1, 2, 3, 5, 6, 7, 15, 15]
    assert b"".join(raw[field.start : field.end] for field in found) == raw
    texts = [raw[field.value : field.end] for field in found if field.wire_type == wire.LEN]
    assert texts == [b"ana", b"x" * 2000, b"k", b"bia"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x0a",
        b"\x0a\x05ana",
        b"\x0a\xff",
        b"\x18" + b"\xff" * 10,
        b"\xff" * 11,
        b"\x7d123",
        b"\x33\x34",
        b"\x34",
        b"\x36",
        KEY * 65,
    ],
    ids=[
        "no length",
        "too short a text",
        "half a length",
        "endless number",
        "endless tag",
        "half a number",
        "group",
        "end of a group",
        "no such type",
        "too many",
    ],
)
def test_what_is_no_message_is_told_by_its_fields(raw: bytes) -> None:
    """Groups and very many fields are none of ours."""
    with pytest.raises(wire.WireError):
        list(wire.fields(raw))


def test_message_with_as_many_fields_as_may_be_is_one() -> None:
    """Also with tags and lengths that are longer than they need be."""
    assert len(list(wire.fields(KEY * 64))) == 64
    (field,) = wire.fields(b"\xb2\x80\x00\x81\x00k")
    assert (field.number, field.value, field.end) == (6, 5, 6)


@pytest.mark.parametrize("items", [1, 30, 32_000])
@pytest.mark.parametrize("tag", [EMPTY_ITEM, b"\xc2\x00\x00", b"\x42\x06\x12\x04oooo"])
def test_batch_of_a_client_is_left_out(items: int, tag: bytes) -> None:
    """Before anything is made of it; the rest stays, unless there are too many fields."""
    raw = WHOLE.SerializeToString() + tag * items
    if items > wire.MAX_FIELDS:
        assert reason_of(raw) == "MESSAGE_INVALID"
    else:
        assert decode(raw) == WHOLE


def test_batch_in_a_batch_is_left_out() -> None:
    """However deep, and however much is in one."""
    nested = EMPTY_ITEM * 30_000
    for _ in range(200):
        nested = b"\x42" + varint(len(nested)) + nested
    assert decode(nested + KEY) == Message(key="k")


@pytest.mark.parametrize("number", [0, 10**8, 2**62, 2**63 + 5, 2**64 - 1])
def test_key_that_is_a_number_is_none(number: int) -> None:
    """Nothing so large is made of it."""
    assert key_of(BROKEN_NAME + b"\x30" + varint(number)) == ""
    assert key_of(BROKEN_NAME + b"\x30" + varint(number) + KEY) == "k"


@pytest.mark.parametrize("key", [b"\x33\x08\x01\x34", b"\x33" * 90, b"\x35\x01\x00\x00\x00"])
def test_key_that_is_a_group_or_fixed_is_none(key: bytes) -> None:
    """No exception, whatever it is."""
    assert key_of(BROKEN_NAME + key) == ""


def test_key_that_is_no_text_is_none() -> None:
    """It could not be told."""
    assert key_of(BROKEN_NAME + b"\x32\x01\xff") == ""


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_is_a_message_or_refused(seed: int) -> None:
    """Whole ones that were changed here and there, and bytes by chance."""
    dice = random.Random(seed)
    for _ in range(200):
        raw = bytearray(WHOLE.SerializeToString() + EMPTY_ITEM * dice.randrange(70))
        for _ in range(dice.randrange(6)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        for candidate in (bytes(raw), dice.randbytes(dice.randrange(40))):
            try:
                assert len(candidate) <= 1024 or not decode(candidate).batch
            except ChatError as refusal:
                assert refusal.reason == "MESSAGE_INVALID"
            assert isinstance(key_of(candidate), str)


def test_what_is_refused_costs_no_more_than_what_is_taken() -> None:
    """As many fields as fit take less than a hundred messages do that are as they should be."""
    worst = [
        EMPTY_ITEM * 32_700,
        BROKEN_NAME + b"\x78\x01" * 32_700,
        BROKEN_NAME + b"\x7b\x7c" * 32_700,
        BROKEN_NAME + b"\x32\x00" * 32_700,
    ]
    usual = WHOLE.SerializeToString()
    for raw in worst:
        assert cost_of(raw) < 100 * cost_of(usual), raw[:10]


def cost_of(raw: bytes) -> float:
    """Return the least of ten measurements."""
    return min(_seconds(raw) for _ in range(10))


def _seconds(raw: bytes) -> float:
    started = time.perf_counter()
    try:
        decode(raw)
    except ChatError:
        key_of(raw)
    return time.perf_counter() - started
