"""A reader who takes nothing in while a stranger floods it: what it asked for is answered."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support import CHANNEL_OPTIONS, Client, full_client, running_server

import chat_pb2

PRIVATE_MESSAGES = 10_000
# Two thousand bytes each, 20 MB in all: far more than gRPC's own buffers take.
TEXT = "x" * 1990
# What is on its way at a time: the flood waits for its own echoes, not for the reader.
ROUND = 500
# 1.5 MiB for one reader, and what gRPC itself buffers for it, about 4 MiB; the rest is for what the
# allocator keeps.
MAX_GROWTH_BYTES = 8 << 20
# As little as gRPC takes in for somebody who does not read.
SMALL_WINDOW = [
    *CHANNEL_OPTIONS,
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 16384),
]
SESSION = "5" * 32


def flood(stranger: Client, first: int, last: int, to: str) -> None:
    """Send private messages, and return when all of them are in the log."""
    for start in range(first, last, ROUND):
        for number in range(start, min(start + ROUND, last)):
            stranger.say(f"{number} {TEXT}", to=to, key=str(number))
        echo = stranger.wait_for_key(str(min(start + ROUND, last) - 1))
        assert echo.kind == chat_pb2.KIND_UNSPECIFIED
        stranger.messages.clear()


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc to read memory from")
@pytest.mark.parametrize("inbox", [0, None], ids=["private ids", "first contract"])
def test_reader_who_takes_nothing_is_answered_when_it_reads_again(
    inbox: int | None, tmp_path: Path
) -> None:
    """Its answers come, every private message once and in order, and the server stays small."""
    with (
        running_server("--rate", "0", "--quiet", db=tmp_path / "chat.db") as server,
        full_client(server.address, "stranger", history=0) as stranger,
    ):
        with full_client(server.address, "warm", history=0) as warm:
            flood(stranger, 0, 1000, "warm")
            warm.wait_for(lambda message: message.message.startswith("999 "))
        before = server.resident_bytes()
        with full_client(
            server.address,
            "reader",
            session=SESSION,
            inbox=inbox,
            history=0,
            options=SMALL_WINDOW,
            is_asleep=True,
        ) as reader:
            flood(stranger, 1000, 1000 + PRIVATE_MESSAGES // 2, "reader")
            reader.say("said while asleep", key="said")
            reader.ask_who("who")
            reader.say("to nobody", to="nobody at all", key="refused")
            reader.ask_history(1, key="history")
            flood(stranger, 1000 + PRIVATE_MESSAGES // 2, 1000 + PRIVATE_MESSAGES, "reader")
            growth = server.resident_bytes() - before
            reader.rename("awake", key="renamed")
            reader.wake_up()
            reader.wait_for_key("renamed")
            reader.wait_for(lambda message: message.message.startswith("10999 "))
            check(reader, has_ids=inbox is not None)
    print(f"the server grew by {growth / (1 << 20):.1f} MiB")
    assert growth < MAX_GROWTH_BYTES


def check(reader: Client, has_ids: bool) -> None:
    """Hold what came against what was said."""
    private = [message for message in reader.messages if message.to]
    numbers = [int(message.message.split()[0]) for message in private]
    assert numbers == list(range(1000, 1000 + PRIVATE_MESSAGES))
    ids = [message.id for message in private]
    assert ids == sorted(set(ids)) if has_ids else not any(ids)
    keys = ("said", "who", "refused", "renamed", "history")
    answers = {key: [m for m in reader.messages if m.key == key] for key in keys}
    assert [m.message for m in answers["said"]] == ["said while asleep"]
    assert sorted(m.user for m in reader.of_kind(chat_pb2.KIND_PRESENT)) == ["reader", "stranger"]
    assert [m.kind for m in answers["who"]] == [chat_pb2.KIND_WHO]
    assert [m.user for m in answers["refused"]] == ["USER_UNKNOWN"]
    assert [m.message for m in answers["renamed"]] == ["awake"]
    *parts, end = answers["history"]
    assert [m.message for part in parts for m in part.batch] == ["said while asleep"]
    assert not end.batch
