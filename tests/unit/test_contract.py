"""The contract: what other people's programs rely on, name by name and number by number."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from support import ROOT

import chat_pb2
from chat.protocol.errors import REASONS

# Name, number, type, repeated: none of these may ever change, and new ones come after.
FIELDS = [
    ("user", 1, FieldDescriptor.TYPE_STRING, False),
    ("message", 2, FieldDescriptor.TYPE_STRING, False),
    ("id", 3, FieldDescriptor.TYPE_UINT64, False),
    ("sent_at", 4, FieldDescriptor.TYPE_MESSAGE, False),
    ("kind", 5, FieldDescriptor.TYPE_ENUM, False),
    ("key", 6, FieldDescriptor.TYPE_STRING, False),
    ("to", 7, FieldDescriptor.TYPE_STRING, False),
    ("batch", 8, FieldDescriptor.TYPE_MESSAGE, True),
    ("room", 9, FieldDescriptor.TYPE_STRING, False),
    ("sealed", 10, FieldDescriptor.TYPE_BYTES, False),
]
KINDS = [
    ("KIND_UNSPECIFIED", 0),
    ("KIND_JOINED", 1),
    ("KIND_LEFT", 2),
    ("KIND_RENAMED", 3),
    ("KIND_WHO", 4),
    ("KIND_PRESENT", 5),
    ("KIND_NOTICE", 6),
    ("KIND_ENTERED", 7),
    ("KIND_EXITED", 8),
    ("KIND_HISTORY", 9),
    ("KIND_ROOMS", 10),
    ("KIND_ACTION", 11),
    ("KIND_REMOVED", 12),
    ("KIND_BANNED", 13),
    ("KIND_MUTED", 14),
    ("KIND_CLOSED", 15),
    ("KIND_OPENED", 16),
    ("KIND_INVITED", 17),
    ("KIND_KEY", 18),
    ("KIND_SEARCH", 20),
]


def test_fields_stay_what_they_are() -> None:
    """Every field of `Message` keeps its name, number and type."""
    fields = chat_pb2.Message.DESCRIPTOR.fields
    found = [(field.name, field.number, field.type, field.is_repeated) for field in fields]
    assert found == FIELDS
    assert chat_pb2.Message.DESCRIPTOR.full_name == "Message"
    types: dict[str, Any] = {field.name: field.message_type for field in fields}
    assert types["sent_at"].full_name == "google.protobuf.Timestamp"
    assert types["batch"].full_name == "Message"


def test_kinds_stay_what_they_are() -> None:
    """Every kind keeps its name and number."""
    values = chat_pb2.Kind.DESCRIPTOR.values
    assert [(value.name, value.number) for value in values] == KINDS


def test_service_has_one_method_that_streams_both_ways() -> None:
    """The service has no package: its path is short, and for ever."""
    service = chat_pb2.DESCRIPTOR.services_by_name["ChatService"]
    assert service.full_name == "ChatService"
    (method,) = service.methods
    assert (method.name, method.client_streaming, method.server_streaming) == ("Chat", True, True)
    assert method.input_type.name == method.output_type.name == "Message"


def test_every_status_of_the_server_is_documented() -> None:
    """The table in `chat.proto` has each reason, its status, and a star where it is final."""
    row = re.compile(r"//   ([A-Z_]*) +([A-Z_]+) ?(\*?)  +[a-z]")
    text = (ROOT / "chat.proto").read_text(encoding="utf-8")
    table = text.partition("// STATUSES")[2].partition("// NOTICES")[0]
    documented, final, status = {}, set(), ""
    for found in filter(None, map(row.match, table.splitlines())):
        status = found[1] or status
        documented[found[2]] = status
        if found[3]:
            final.add(found[2])
    rows = {reason: row for reason, row in REASONS.items() if row.status}
    assert documented == {reason: row.status for reason, row in rows.items()}
    assert final == {reason for reason, row in rows.items() if row.is_final}
