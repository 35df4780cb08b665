"""JSON that others wrote: whatever it is, it is read or it is a `ValueError`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

import chat_pb2
from chat.server.closed_rooms import ClosedRoom
from chat.server.cluster.stream import parse_rewinds
from chat.server.facts import Fact
from chat.server.guest_lists import Access
from chat.server.log.groups import message_id, new_instance, parse_message_id
from chat.server.moderation import Sanction
from chat.server.ownership import Owned
from chat.server.plain_json import MAX_NUMBER, number_of, read_json, read_object
from chat.server.records import Holder, packed

DEEP = 200_000
WRONG_VALUES: tuple[object, ...] = (
    5,
    1.5,
    None,
    True,
    "x",
    [],
    {},
    [5],
    [[1]],
    [None],
    ["x"],
    2**63,
)
READERS: list[tuple[Callable[[str], object], str]] = [
    (Holder.from_text, Holder("ana", ("",), "owner", "run").to_text()),
    (Owned.from_text, Owned("ana", "owner", 1.5, 3, "seen", 1).to_text()),
    (Sanction.from_text, '{"name": "ana", "owner": "", "until": 5, "words": "", "by": "bia"}'),
    (Sanction.from_text, '{"name": "", "network": "10.0.0.0/8", "until": null}'),
    (Access.from_text, '{"after": 3, "is_visitor": true}'),
    (
        ClosedRoom.from_text,
        '{"owner": "a", "open_after": 1, "closed_after": 2, "used_at": 3, "is_closed": true}',
    ),
    (
        lambda text: Fact.from_fields(read_object(text)),
        Fact(chat_pb2.Message(user="ana"), ("",), "x").to_text(),
    ),
]


@pytest.mark.parametrize(
    "text",
    [
        "[" * DEEP,
        '{"a":' * DEEP,
        "9" * 5000,
        "9" * 30,
        str(MAX_NUMBER + 1),
        "NaN",
        '"\\ud800"',
        '{"\\ud800": 1}',
        "",
        "{",
        b"\xff\xfe\xfd",
        b'"\xed\xa0\x80"',
        '"\ud800"'.encode("utf-16", "surrogatepass"),
        b"[" * DEEP,
    ],
)
def test_what_nobody_of_ours_writes_is_refused(text: str | bytes) -> None:
    """By an error that whoever reads it expects."""
    with pytest.raises(ValueError):
        read_json(text)


def test_what_can_be_kept_is_read() -> None:
    """Numbers of 64 bits, and every character."""
    value = {"a": [MAX_NUMBER, -MAX_NUMBER, 0.5, "\U0001f600 \\u", None, True]}
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value).encode()) == value
    assert read_json("Infinity") == read_json("1e999") == sys.float_info.max


@pytest.mark.parametrize(("read", "text"), READERS)
def test_record_with_a_field_of_another_type_is_none(
    read: Callable[[str], object], text: str
) -> None:
    """Whatever stands in one of its fields, the record has it as it should be, or there is none."""
    good = json.loads(text)
    assert type(read(text)) is type(read(json.dumps(good)))
    for name, right in good.items():
        for value in WRONG_VALUES:
            is_alike = type(value) is type(right) or {type(value), type(right)} == {int, float}
            try:
                read(json.dumps({**good, name: value}))
            except ValueError:
                continue
            is_optional = value is None or name == "until"
            assert is_alike or is_optional, (name, value)
    for wrong in ("null", "[]", "5", "{}", "[" * DEEP):
        with pytest.raises(ValueError):
            read(wrong)


def test_packed_message_that_is_none_is_refused() -> None:
    fields: dict[str, object] = {
        "message": packed(chat_pb2.Message()),
        "rooms": None,
        "leaving": "",
    }
    assert Fact.from_fields(fields).rooms is None
    for wrong in (None, 5, "!!", "//8="):
        with pytest.raises(ValueError):
            Fact.from_fields({**fields, "message": wrong})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("7", 7),
        (str(MAX_NUMBER), MAX_NUMBER),
        (str(MAX_NUMBER + 1), None),
        ("9" * 30, None),
        ("9" * 5000, None),
        ("007", None),
        ("-1", None),
        ("٣", None),
        ("²", None),
        ("", None),
        ("abc", None),
    ],
)
def test_number_is_one_that_fits(text: str, number: int | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    "text", ["abc-" + "9" * 5000, "abc-" + "9" * 30, "abc-007", "abc-0", "abc", "", "-5", "x" * 99]
)
def test_id_of_a_group_that_is_none_of_ours(text: str) -> None:
    """It is passed over, and nobody looks for it in the stream again."""
    assert parse_message_id(text) == ("", 0)


def test_id_of_a_group() -> None:
    instance = new_instance()
    assert parse_message_id(message_id(instance, MAX_NUMBER)) == (instance, MAX_NUMBER)


def test_rewinds_that_nobody_can_have_counted_are_none() -> None:
    assert parse_rewinds("3") == 3
    assert [parse_rewinds(text) for text in ("9" * 5000, "9" * 15, "x", None, 5)] == [0] * 5
