"""Messages as JSON Lines."""

from __future__ import annotations

import json

import pytest
from google.protobuf import json_format

from chat.client.ui.jsonl import json_of, kind_name, message_of
from chat_pb2 import KIND_HISTORY, KIND_JOINED, KIND_WHO, Message


def test_message_goes_and_comes_back() -> None:
    """Every field of its own; what is shown is what may be sent."""
    message = Message(user="ana", message="oi\n\x1b[2J\u202e", id=7, key="k", to="bia", room="aula")
    message.sent_at.FromJsonString("2024-02-29T12:00:00Z")
    line = json_of(message)
    assert line.isascii() and line.isprintable()
    assert json.loads(line)["sent_at"] == "2024-02-29T12:00:00Z"
    assert message_of(line) == message


def test_message_without_a_time_has_none() -> None:
    """Programs find every field, in every object."""
    fields = {field.name for field in Message.DESCRIPTOR.fields} - {"batch"}
    said = json.loads(json_of(Message(kind=KIND_JOINED)))
    assert set(said) == fields and said["sent_at"] is None and said["id"] == 0


def test_seal_is_told_and_not_believed() -> None:
    """What came sealed is there opened; what is sent is sealed where it can be, whoever asks."""
    message = Message(user="ana", to="bia", message="oi", sealed=b"what the server had")
    fields = json.loads(json_of(message))
    assert (fields["message"], fields["sealed"]) == ("oi", True)
    assert json.loads(json_of(Message(user="ana", message="oi")))["sealed"] is False
    message.ClearField("sealed")
    assert message_of(json.dumps(fields)) == message
    assert message_of('{"to": "bia", "message": "oi", "sealed": "eA=="}').sealed == b""


def test_history_has_its_messages_in_it() -> None:
    """So that a program tells what comes once more from what is said now."""
    earlier = Message(user="bia", message="oi", id=3)
    fields = json.loads(json_of(Message(kind=KIND_HISTORY, key="k", batch=[earlier])))
    assert fields["batch"] == [json.loads(json_of(earlier))] and fields["key"] == "k"
    assert json.loads(json_of(Message(kind=KIND_HISTORY)))["batch"] == []


@pytest.mark.parametrize("line", ["nonsense", "1", '{"who": 1}', "[" * 100_000])
def test_what_is_no_message_is_refused(line: str) -> None:
    """However deep it goes."""
    with pytest.raises(json_format.ParseError):
        message_of(line)


def test_kind_of_a_later_version_is_a_number() -> None:
    """Known ones have their names."""
    assert kind_name(KIND_WHO) == "KIND_WHO"
    assert kind_name(99) == 99
