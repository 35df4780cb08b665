"""The log's file under a running server: links, removal, other programs, copies, stops, checks."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support import (
    DEADLINE_SECONDS,
    RunningServer,
    eventually,
    full_client,
    plain_client,
    running_program,
    running_server,
)

import chat_pb2
import server as server_program
from chat.server.log.sqlite import SqliteLog

Code = grpc.StatusCode
UNAVAILABLE = Code.UNAVAILABLE
UNREADABLE = (UNAVAILABLE, "LOG_UNREADABLE")
needs_posix = pytest.mark.skipif(os.name == "nt", reason="an open file can be removed on POSIX")
SESSION = "0123456789abcdef" * 2
# What the tests of stopping allow: five seconds, on a machine that is ten times as busy.
STOP_DEADLINE_SECONDS = 50.0

# A server whose disk does not answer while a file `hang` lies beside the log: no COMMIT ends; with
# `freeze`, nothing does that is read either. And with a file `break` there, what ends is the thread
# that writes, as by an error in it.
HANGING = """
import pathlib, sqlite3, sys, time
import server
from chat.server.log import connections
from chat.server.log.sqlite import SqliteLog
class Hanging(sqlite3.Connection):
    def execute(self, sql, *arguments):
        folder = pathlib.Path(sys.argv[1])
        while sql == "COMMIT" and (folder / "hang").exists() or (folder / "freeze").exists():
            time.sleep(0.01)
        if sql == "COMMIT" and (folder / "break").exists():
            sys.exit("an error")
        return super().execute(sql, *arguments)
def connect(*arguments, **options):
    return sqlite3.connect(*arguments, factory=Hanging, **options)
class Server(server.Server):
    def __init__(self, *arguments):
        super().__init__(*arguments, open_log=lambda path, days: SqliteLog(path, days, connect))
server.Server = Server
sys.exit(server.main(sys.argv[2:]))
"""


@contextmanager
def hanging_server(folder: Path) -> Iterator[RunningServer]:
    """Run a server on a log in `folder` whose disk can be told to hang."""
    flags = ("--host", "localhost", "--port", "0", "--quiet", "--db", str(folder / "chat.db"))
    server = RunningServer([sys.executable, "-c", HANGING, str(folder), *flags])
    try:
        yield server
    finally:
        server.close()


def texts_in(db: Path) -> list[str]:
    """Return what a log's file holds."""
    with closing(sqlite3.connect(db)) as connection:
        return [row[0] for row in connection.execute("SELECT message FROM message ORDER BY id")]


def health_of(server: RunningServer) -> int:
    """Return what the health service says of the server."""
    with grpc.insecure_channel(server.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_SECONDS)
        return int(answer.status)


def run_here(*arguments: str) -> int:
    """Run server.py, as what it does beside serving, in this process; return its exit code."""
    return server_program.main(arguments)


# A file that goes away.


@needs_posix
def test_log_whose_file_is_removed_is_saved_and_the_server_ends(tmp_path: Path) -> None:
    """Everybody is told, nothing more is accepted, and all that was acknowledged is kept."""
    db = tmp_path / "chat.db"
    with (
        running_server("--quiet", db=db) as server,
        full_client(server.address, "ana") as ana,
        plain_client(server.address, user="bia") as bia,
    ):
        for number in range(20):
            ana.say(str(number), key=str(number))
        ana.wait_for_key("19")
        bia.say("last")
        bia.wait_for_text("last")
        db.unlink()
        assert server.wait() == 1
        assert ana.wait_for_end() == bia.wait_for_end() == (UNAVAILABLE, "LOG_LOST")
        assert any(m.user == "LOG_LOST" for m in ana.of_kind(chat_pb2.KIND_NOTICE))
        said = server.errors[-1]
    assert "was removed or replaced" in said and "Traceback" not in server.stderr
    (saved,) = tmp_path.iterdir()
    assert f"All that it held is in {saved}." in said
    assert texts_in(saved) == [*map(str, range(20)), "last"]
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


def test_server_that_ends_by_an_error_has_lost_no_log(tmp_path: Path) -> None:
    """Clients are told that it ends, and come back."""
    with hanging_server(tmp_path) as server, full_client(server.address, "ana") as ana:
        ana.say("kept", key="k")
        ana.wait_for_key("k")
        (tmp_path / "break").touch()
        ana.say("not kept")
        assert server.wait() == 1
        assert ana.wait_for_end() == (UNAVAILABLE, "SHUTTING_DOWN")
        assert "An error in this program" in server.errors[-1], server.report()
    assert texts_in(tmp_path / "chat.db") == ["kept"]


@needs_posix
def test_log_whose_wal_is_removed_is_saved_and_whole(tmp_path: Path) -> None:
    """The server says so within seconds; the next one has all that was acknowledged."""
    db = tmp_path / "chat.db"
    with running_server("--quiet", db=db) as server, full_client(server.address, "ana") as ana:
        for number in range(20):
            ana.say(str(number), key=str(number))
        ana.wait_for_key("19")
        (tmp_path / "chat.db-wal").unlink()
        assert server.wait() == 1
        assert ana.wait_for_end() == (UNAVAILABLE, "LOG_LOST")
    (saved,) = tmp_path.glob("chat.db-rescued-*")
    assert texts_in(saved) == texts_in(db) == [*map(str, range(20))]


@needs_posix
@pytest.mark.parametrize("name", ["chat.db", "link.db"])
def test_file_that_replaced_the_log_is_not_damaged_by_what_was_beside_it(
    name: str, tmp_path: Path
) -> None:
    """A WAL of the old one, left behind, would be taken for that of the new one."""
    real, copy, db = tmp_path / "chat.db", tmp_path / "copy.db", tmp_path / name
    (tmp_path / "link.db").symlink_to(real)
    with running_server("--quiet", db=db) as server, full_client(server.address, "ana") as ana:
        ana.say("in the copy", key="1")
        ana.wait_for_key("1")
        assert run_here("--db", str(db), "--backup", str(copy)) == 0
        for number in range(30):
            ana.say("not in it " * 50, key=f"k{number}")
        ana.wait_for_key("k29")
        os.replace(copy, real)
        assert server.wait() == 1
        generation, last = ana.generation, max(ana.ids)
    assert not (tmp_path / "chat.db-wal").exists()
    assert run_here("--db", str(db), "--check") == 0
    with running_server("--quiet", db=db) as server:
        assert texts_in(db) == ["in the copy"]
        with full_client(server.address, "ana", after=last, generation=generation) as ana:
            ana.wait_for(lambda m: m.kind == chat_pb2.KIND_NOTICE and m.user == "LOG_REWOUND")


# Disks and programs that keep the log waiting.


def test_server_stops_while_another_program_keeps_its_file_locked(tmp_path: Path) -> None:
    """With 0: what was said is not acknowledged, and its sender is told."""
    db = tmp_path / "chat.db"
    with (
        running_server("--quiet", db=db) as server,
        full_client(server.address, "ana") as ana,
        closing(sqlite3.connect(db, isolation_level=None)) as other,
    ):
        assert ana.epoch
        other.execute("BEGIN IMMEDIATE")
        ana.say("waits", key="1")
        ana.ask_who()
        ana.wait_for_key("who")
        assert server.stop(seconds=STOP_DEADLINE_SECONDS) == 0
        assert ana.wait_for_key("1").user == "NOT_STORED"
        assert ana.wait_for_end() == (UNAVAILABLE, "SHUTTING_DOWN")


def test_disk_that_does_not_answer_is_told_and_does_not_keep_a_server_from_stopping(
    tmp_path: Path,
) -> None:
    """By health and on standard error; it may answer again. Else the server ends with 1."""
    states = health_pb2.HealthCheckResponse
    hang = tmp_path / "hang"
    with hanging_server(tmp_path) as server, full_client(server.address, "ana") as ana:
        assert ana.epoch and health_of(server) == states.SERVING
        hang.touch()
        ana.say("late", key="1")
        eventually(lambda: health_of(server) == states.NOT_SERVING)
        eventually(lambda: "the disk does not answer" in server.stderr)
        with plain_client(server.address) as plain:  # which would be told nothing
            assert plain.wait_for_end() == UNREADABLE
        hang.unlink()
        assert ana.wait_for_key("1").id
        eventually(lambda: health_of(server) == states.SERVING)
        eventually(lambda: "the disk answers again" in server.stderr)
        hang.touch()
        ana.say("never stored", key="2")
        ana.ask_who()
        ana.wait_for_key("who")
        assert server.stop(seconds=STOP_DEADLINE_SECONDS) == 1
        assert ana.wait_for_end()[0] is UNAVAILABLE
        assert "does not answer" in server.stderr and "Traceback" not in server.stderr


def test_nobody_comes_in_without_a_word_while_the_disk_does_not_answer(tmp_path: Path) -> None:
    """Each is refused, with history or without; the others notice nothing of it."""
    freeze = tmp_path / "freeze"
    with hanging_server(tmp_path) as server, full_client(server.address, "ana") as ana:
        ana.say("oi", key="1")
        ana.wait_for_key("1")
        freeze.touch()
        for _attempt in range(2):  # found out, and then known
            with full_client(server.address, "bia", session=SESSION, history=5) as bia:
                assert bia.wait_for_end() == UNREADABLE
        with plain_client(server.address) as plain:
            assert plain.wait_for_end() == UNREADABLE
        ana.ask_who()
        ana.wait_for_key("who")
        freeze.unlink()
        ana.ask_history(1)
        ana.wait_for_key("history")
        with full_client(server.address, "bia", session=SESSION, history=5) as bia:
            bia.wait_for_text("oi")
            ana.wait_for_kind(chat_pb2.KIND_JOINED)
        ana.wait_for_kind(chat_pb2.KIND_LEFT)
        presence = (chat_pb2.KIND_PRESENT, chat_pb2.KIND_JOINED, chat_pb2.KIND_LEFT)
        seen = [message.user for message in ana.messages if message.kind in presence]
        assert seen == ["ana", "bia", "bia"], ana.report()


@needs_posix
def test_second_signal_ends_the_server_at_once(tmp_path: Path) -> None:
    """By the signal itself, whatever it waits for."""
    with hanging_server(tmp_path) as server, full_client(server.address, "ana") as ana:
        assert ana.epoch
        (tmp_path / "hang").touch()
        ana.say("never stored", key="1")
        ana.ask_who()
        ana.wait_for_key("who")
        server.send_signal(signal.SIGINT)
        server.wait_for_line("is stopping")
        assert server.stop(signal.SIGTERM) == -signal.SIGTERM


# What is left.


def test_after_a_stop_the_file_alone_is_the_log(tmp_path: Path) -> None:
    """Also while another program has it open."""
    db, copy = tmp_path / "chat.db", tmp_path / "copy" / "chat.db"
    copy.parent.mkdir()
    with (
        running_server("--quiet", db=db) as server,
        full_client(server.address, "ana") as ana,
        closing(sqlite3.connect(db)) as other,
    ):
        ana.say("oi", key="1")
        ana.wait_for_key("1")
        assert other.execute("SELECT count(*) FROM message").fetchone() == (1,)
        assert server.stop() == 0
        copy.write_bytes(db.read_bytes())
    assert texts_in(copy) == ["oi"]


def test_server_that_was_killed_has_its_file_checked_by_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the serving; what is wrong is on standard error, as `--check` says it too."""
    db = tmp_path / "chat.db"
    with running_server("--quiet", db=db) as server, full_client(server.address, "ana") as ana:
        for number in range(30):
            ana.say("x" * 300, key=str(number))
        ana.wait_for_key("29")
        server.process.kill()
        server.wait()
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE message SET sent_at = 1 WHERE id = 20")
    with running_server("--quiet", db=db) as server, full_client(server.address, "bia") as bia:
        server.wait_for_error("message 20: its time is before")
        server.wait_for_error("is damaged")
        bia.wait_for_text("x" * 300)
        assert server.stop() == 0
    assert run_here("--db", str(db), "--check") == 1
    assert "message 20: its time is before" in capsys.readouterr().err


@needs_posix
def test_log_goes_on_only_by_the_name_beside_which_its_newest_lie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While a server runs, when it was killed; once it was stopped, by any name."""
    db, other = tmp_path / "chat.db", tmp_path / "other.db"
    said = f"{other} was not closed, and its newest messages are in {db}-wal. Use the name {db}.\n"
    with running_server("--quiet", db=db) as server, full_client(server.address, "ana") as ana:
        ana.say("acknowledged", key="1")
        ana.wait_for_key("1")
        os.link(db, other)
        for flags in (["--check"], ["--backup", str(tmp_path / "copy.db")]):
            assert run_here("--db", str(other), *flags) == 1
            assert capsys.readouterr().err == said
        server.process.kill()
        server.wait()
    with running_program("server.py", "--port", "0", "--db", str(other)) as refused:
        assert refused.wait() == 1
        assert f"{refused.stderr}\n" == said
    with running_server("--quiet", db=db) as server:
        assert server.stop() == 0
    with running_server("--quiet", db=other) as server:
        assert server.stop() == 0
    assert texts_in(db) == ["acknowledged"]


# Copies.


def test_backup_is_a_log_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its progress on standard error, and sentences; `--check` calls it sound."""
    db, copy = tmp_path / "chat.db", tmp_path / "copy.db"
    SqliteLog(str(db)).abandon()
    arguments = ("--db", str(db), "--backup", str(copy))
    assert run_here(*arguments) == 0
    said = capsys.readouterr()
    assert said.out == f"{copy} is a copy of {db}.\n" and said.err == "\r100 %\n"
    assert run_here(*arguments) == 1
    said = capsys.readouterr()
    assert said.err == f"{copy} exists already. Choose the name of a new file.\n"
    assert run_here("--db", str(copy), "--check") == 0
    assert capsys.readouterr().out == f"{copy} is sound.\n"
    assert run_here("--db", str(tmp_path / "absent.db"), "--check") == 1
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["", ":memory:", "file:copy.db", "chat.db-wal"])
def test_name_that_no_copy_can_have_is_one_sentence(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """About the flag by which it was given; what is there stays what it was."""
    monkeypatch.chdir(tmp_path)
    for name in ("chat.db", "copy.db"):
        SqliteLog(name).abandon()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run_here("--db", "chat.db", "--backup", target) == 1
    said = capsys.readouterr().err
    assert target in said and "--backup" in said and said.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(os.name == "nt", reason="no file has this name on Windows")
def test_log_in_memory_is_no_file_to_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even where a file has that name."""
    monkeypatch.chdir(tmp_path)
    Path(":memory:").touch()
    assert run_here("--db", ":memory:", "--check") == 1
    said = ":memory: is no file. Give the path of one with --db.\n"
    assert capsys.readouterr().err == said


def test_path_that_no_log_can_have_is_one_sentence(tmp_path: Path) -> None:
    """On standard error, with 1."""
    with running_program("server.py", "--port", "0", "--db", str(tmp_path)) as server:
        assert server.wait() == 1
        assert server.stderr == f"{tmp_path} is a folder. Give the path of a file with --db."
