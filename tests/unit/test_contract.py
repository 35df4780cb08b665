"""The contract: what other people's programs rely on, byte for byte."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from support import CHANNEL_OPTIONS, DEADLINE_SECONDS, ROOT, running_server

import chat_pb2
from chat.protocol.errors import REASONS

GENERATED = ("chat_pb2.py", "chat_pb2_grpc.py")

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
]
KINDS = [
    ("KIND_UNSPECIFIED", 0),
    ("KIND_JOINED", 1),
    ("KIND_LEFT", 2),
    ("KIND_RENAMED", 3),
    ("KIND_WHO", 4),
    ("KIND_PRESENT", 5),
    ("KIND_NOTICE", 6),
]


def test_raw_bytes_go_in_and_come_back() -> None:
    """Field 1 is the user, field 2 the message, the path is /ChatService/Chat; nothing of ours."""
    said = bytes.fromhex("0a03") + b"ana" + bytes.fromhex("1202") + b"oi"
    with (
        running_server() as server,
        grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel,
    ):
        chat: Any = channel.stream_stream("/ChatService/Chat", None, None)
        answers = list(chat(iter([said]), timeout=DEADLINE_SECONDS))
    assert answers == [said]


def test_order_of_fields_and_unknown_ones_do_not_matter() -> None:
    """Any encoder's bytes are understood, and a field of the future is no reason to refuse."""
    said = b"\x12\x02oi" + b"\x9a\x06\x03new" + b"\x0a\x03ana"
    with (
        running_server() as server,
        grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel,
    ):
        chat: Any = channel.stream_stream("/ChatService/Chat", None, None)
        answers = list(chat(iter([said]), timeout=DEADLINE_SECONDS))
    assert answers == [b"\x0a\x03ana\x12\x02oi"]


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


def test_command_of_the_guide_makes_the_committed_code(tmp_path: Path) -> None:
    """`protoc` makes from `chat.proto` exactly what is committed."""
    shutil.copy(ROOT / "chat.proto", tmp_path)
    command = "-m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. chat.proto"
    subprocess.run([sys.executable, *command.split()], cwd=tmp_path, check=True)
    for name in GENERATED:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name} is stale"


def test_every_field_of_ours_crosses_a_plain_peer(tmp_path: Path) -> None:
    """A message with all fields is still `user` and `message` to a reader of the first contract."""
    full = chat_pb2.Message(user="ana", message="oi", id=7, key="k", to="bia")
    full.sent_at.GetCurrentTime()
    (tmp_path / "raw").write_bytes(full.SerializeToString())
    read = (
        "import chat_pb2, sys;"
        "m = chat_pb2.Message.FromString(open(sys.argv[1], 'rb').read()); print(m.user, m.message)"
    )
    command = [sys.executable, "-c", read, str(tmp_path / "raw")]
    peers = ROOT / "tests" / "peers"
    done = subprocess.run(command, cwd=peers, check=True, capture_output=True, text=True)
    assert done.stdout == "ana oi\n"
