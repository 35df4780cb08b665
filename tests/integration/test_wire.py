"""The contract on the wire: bytes that go in and come back, and the code that protoc makes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from support import CHANNEL_OPTIONS, DEADLINE_SECONDS, ROOT, running_server

import chat_pb2

GENERATED = ("chat_pb2.py", "chat_pb2_grpc.py")
SAID = b"\x0a\x03ana" + b"\x12\x02oi"
SAID_BY_ANOTHER_ENCODER = b"\x12\x02oi" + b"\x9a\x06\x03new" + b"\x0a\x03ana"


@pytest.mark.parametrize("sent", [SAID, SAID_BY_ANOTHER_ENCODER], ids=["canonical", "other"])
def test_raw_bytes_go_in_and_come_back(sent: bytes) -> None:
    """Field 1 is the user, field 2 the message, the path is /ChatService/Chat; nothing of ours.

    The order of fields does not matter, and an unknown field is accepted.
    """
    with (
        running_server() as server,
        grpc.insecure_channel(server.address, CHANNEL_OPTIONS) as channel,
    ):
        chat: Any = channel.stream_stream("/ChatService/Chat", None, None)
        answers = list(chat(iter([sent]), timeout=DEADLINE_SECONDS))
    assert answers == [SAID]


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
