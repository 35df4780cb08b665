"""The example bots as programs: how they are called, how they end, and that they come back."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support import (
    DEADLINE_SECONDS,
    ROOT,
    Client,
    Program,
    eventually,
    full_client,
    running_program,
    running_server,
)

import chat_pb2

BOTS = ("eco", "diario", "ponte")
MAX_LINES = 30


def call(bot: str, address: str, folder: Path) -> tuple[str, ...]:
    """Return the arguments by which a bot is run, in the common room or in two others."""
    words = {
        "eco": (address,),
        "diario": (str(folder / "diario.db"), address),
        "ponte": (address, "redes", "so"),
    }
    return ("-m", f"examples.{bot}_bot", *words[bot])


@pytest.mark.parametrize(
    ("bot", "number", "starts"),
    [("eco", signal.SIGTERM, 1), ("ponte", signal.SIGINT, 1), ("diario", signal.SIGINT, 2)],
)
def test_bot_that_is_stopped_leaves_at_once_and_comes_back(
    bot: str, number: int, starts: int, tmp_path: Path
) -> None:
    """By Ctrl-C or as a service: "left" is seen, and nothing but an exit code is left of it."""
    room = "redes" if bot == "ponte" else ""
    with running_server() as server, full_client(server.address, "ana", room=room) as ana:
        for times in range(1, starts + 1):
            with running_program(*call(bot, server.address, tmp_path)) as program:
                wait_for_kind(ana, chat_pb2.KIND_JOINED, times)
                assert program.stop(number) == 128 + number, program.report()
                assert not program.errors
                wait_for_kind(ana, chat_pb2.KIND_LEFT, times)


def wait_for_kind(client: Client, kind: chat_pb2.Kind, times: int) -> None:
    def kinds() -> list[int]:
        return [message.kind for message in list(client.messages)]

    eventually(lambda: kinds().count(kind) == times, what=lambda: f"heard {kinds()}")


def test_bot_that_is_started_before_the_server_waits_for_it(tmp_path: Path) -> None:
    """Which of the two a machine starts first makes no difference."""
    bot, room = "diario", ""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
        nobody.settimeout(DEADLINE_SECONDS)
        program = Program([sys.executable, *call(bot, f"127.0.0.1:{port}", tmp_path)])
        with closing(program):
            nobody.accept()[0].close()
            nobody.close()
            flags = ("--host", "127.0.0.1")
            with (
                running_server(*flags, port=port),
                full_client(f"127.0.0.1:{port}", "ana", room=room) as ana,
            ):
                ana.ask_who(room=room)
                eventually(lambda: bot in people(ana), what=program.report)


def people(client: Client) -> set[str]:
    """Return whoever was seen in the client's room."""
    kinds = (chat_pb2.KIND_JOINED, chat_pb2.KIND_PRESENT)
    return {message.user for message in list(client.messages) if message.kind in kinds}


def test_refusal_is_one_sentence(tmp_path: Path) -> None:
    """And an exit code; so is a wrong call, whose sentence is the docstring."""
    with running_server() as server, full_client(server.address, "eco"):
        assert_one_sentence(call("eco", server.address, tmp_path), 1, "This name is taken")
    assert_one_sentence(("-m", "examples.ponte_bot"), 2, "A bot that joins two rooms")


def assert_one_sentence(command: tuple[str, ...], code: int, beginning: str) -> None:
    with running_program(*command) as program:
        assert program.wait() == code, program.report()
    [sentence] = program.errors
    assert sentence.startswith(beginning)


def test_bots_are_short() -> None:
    """Each is read in a minute: under thirty lines."""
    files = sorted((ROOT / "examples").glob("*_bot.py"))
    assert len(files) == len(BOTS)
    assert all(len(file.read_text("utf-8").splitlines()) <= MAX_LINES for file in files)
