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
    ROOT,
    Program,
    RunningServer,
    eventually,
    full_client,
    plain_client,
    running_program,
    running_server,
)

import chat_pb2

Code = grpc.StatusCode
UNAVAILABLE = Code.UNAVAILABLE
needs_posix = pytest.mark.skipif(os.name == "nt", reason="an open file can be removed on POSIX")
# What the tests of stopping allow: five seconds, on a machine that is ten times as busy.
STOP_DEADLINE_SECONDS = 50.0

# A server whose disk does not answer once a file called `hang` lies beside the log: no COMMIT ends.
HANGING = """
import pathlib, sqlite3, sys, threading
import server
from chat.server.log import connections
from chat.server.log.sqlite import SqliteLog
class Hanging(sqlite3.Connection):
    def execute(self, sql, *arguments):
        if sql == "COMMIT" and pathlib.Path(sys.argv[1], "hang").exists():
            threading.Event().wait()
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


@contextmanager
def no_more_than(*arguments: str, cwd: Path = ROOT) -> Iterator[Program]:
    """Run server.py as a program that ends by itself."""
    with running_program(str(ROOT / "server.py"), *arguments, cwd=cwd) as program:
        program.wait()
        yield program


# One server for one log.


@needs_posix
def test_second_server_is_refused_through_a_hard_link(tmp_path: Path) -> None:
    """The file is locked, not its name; and no lock file lies there that could be removed."""
    db, link = tmp_path / "chat.db", tmp_path / "link.db"
    with running_server("--quiet", db=db):
        assert {path.name for path in tmp_path.iterdir()} <= {
            "chat.db",
            "chat.db-wal",
            "chat.db-shm",
        }
        os.link(db, link)
        with no_more_than("--port", "0", "--db", str(link)) as second:
            assert second.process.returncode == 1
            assert second.stderr == (
                f"Another server has {link} open. Stop it, or choose another file with --db."
            )
        link.unlink()


@needs_posix
def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask: those of the log and of its copies."""
    db, copy = tmp_path / "chat.db", tmp_path / "copy.db"
    with running_server("--quiet", db=db):
        with no_more_than("--db", str(db), "--backup", str(copy)) as backup:
            assert backup.process.returncode == 0
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes == {0o600} and copy.exists()


# A file that goes away.


@needs_posix
@pytest.mark.parametrize("how", ["removed", "replaced", "folder moved"])
def test_log_whose_file_goes_away_is_saved_and_the_server_ends(how: str, tmp_path: Path) -> None:
    """Everybody is told, nothing more is accepted, and all that was acknowledged is kept."""
    folder = tmp_path / "folder"
    folder.mkdir()
    db = folder / "chat.db"
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
        if how == "removed":
            db.unlink()
        elif how == "replaced":
            with no_more_than("--db", str(db), "--backup", str(tmp_path / "copy.db")) as backup:
                assert backup.process.returncode == 0
            os.replace(tmp_path / "copy.db", db)
        else:
            folder.rename(tmp_path / "elsewhere")
        assert server.wait() == 1
        assert ana.wait_for_end() == bia.wait_for_end() == (UNAVAILABLE, "LOG_LOST")
        assert any(m.user == "LOG_LOST" for m in ana.of_kind(chat_pb2.KIND_NOTICE))
        said = server.errors[-1]
    assert "was removed or replaced" in said and "Traceback" not in server.stderr
    where = said.partition("All that it held is in ")[2].partition(". Put")[0]
    saved = Path(where)
    try:
        assert texts_in(saved) == [*map(str, range(20)), "last"]
        assert stat.S_IMODE(saved.stat().st_mode) == 0o600
        assert saved.parent == (folder if how != "folder moved" else ROOT)
    finally:
        saved.unlink()


@needs_posix
def test_file_that_replaced_the_log_is_not_damaged_by_what_was_beside_it(tmp_path: Path) -> None:
    """A WAL of the old one, left behind, would be taken for that of the new one."""
    db, copy = tmp_path / "chat.db", tmp_path / "copy.db"
    with running_server("--quiet", db=db) as server, full_client(server.address, "ana") as ana:
        ana.say("in the copy", key="1")
        ana.wait_for_key("1")
        with no_more_than("--db", str(db), "--backup", str(copy)) as backup:
            assert backup.process.returncode == 0
        for number in range(30):
            ana.say("not in it " * 50, key=f"k{number}")
        ana.wait_for_key("k29")
        os.replace(copy, db)
        assert server.wait() == 1
        generation, last = ana.generation, max(ana.ids)
    assert not (tmp_path / "chat.db-wal").exists()
    with no_more_than("--db", str(db), "--check") as check:
        assert check.process.returncode == 0, check.stderr
    seen: dict[str, Any] = {"after": last, "generation": generation}
    with running_server("--quiet", db=db) as server:
        assert texts_in(db) == ["in the copy"]
        with full_client(server.address, "ana", **seen) as ana:
            ana.wait_for(lambda m: m.kind == chat_pb2.KIND_NOTICE and m.user == "LOG_REWOUND")


# Disks and programs that keep the log waiting.


def test_log_that_cannot_be_written_is_said_by_health_until_it_can(tmp_path: Path) -> None:
    """Also when nobody says anything any more."""
    db = tmp_path / "chat.db"
    serving, not_serving = (
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    )
    with (
        running_server("--quiet", db=db) as server,
        full_client(server.address, "ana") as ana,
        closing(sqlite3.connect(db, isolation_level=None)) as other,
    ):
        assert ana.epoch and health_of(server) == serving
        other.execute("BEGIN IMMEDIATE")
        ana.say("cannot be", key="1")
        assert ana.wait_for_key("1").user == "NOT_STORED"
        eventually(lambda: health_of(server) == not_serving)
        other.execute("ROLLBACK")
        eventually(lambda: health_of(server) == serving)
        ana.say("can be", key="2")
        assert ana.wait_for_key("2").id


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


def test_server_stops_while_its_disk_does_not_answer(tmp_path: Path) -> None:
    """With 1 and a sentence; health has said so before."""
    with hanging_server(tmp_path) as server, full_client(server.address, "ana") as ana:
        assert ana.epoch
        (tmp_path / "hang").touch()
        ana.say("never stored", key="1")
        not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
        eventually(lambda: health_of(server) == not_serving)
        assert server.stop(seconds=STOP_DEADLINE_SECONDS) == 1
        assert ana.wait_for_end()[0] is UNAVAILABLE
        assert "does not answer" in server.stderr and "Traceback" not in server.stderr


@needs_posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_the_server_at_once(number: int, tmp_path: Path) -> None:
    """By the signal itself, whatever it waits for."""
    with hanging_server(tmp_path) as server, full_client(server.address, "ana") as ana:
        assert ana.epoch
        (tmp_path / "hang").touch()
        ana.say("never stored", key="1")
        ana.ask_who()
        ana.wait_for_key("who")
        server.send_signal(number)
        server.wait_for_line("is stopping")
        assert server.stop(number) == -number


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


def test_server_that_was_killed_has_its_file_checked_by_the_next(tmp_path: Path) -> None:
    """Beside the serving; a file that is sound is not worth a word."""
    db = tmp_path / "chat.db"
    with running_server("--quiet", db=db) as server, full_client(server.address, "ana") as ana:
        for number in range(30):
            ana.say("x" * 300, key=str(number))
        ana.wait_for_key("29")
    with running_server("--quiet", db=db) as server:
        assert server.stop() == 0
        assert server.stderr == ""
    with running_server("--quiet", db=db) as server:
        server.process.kill()
        server.wait()
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE message SET sent_at = 1 WHERE id = 20")
    with running_server("--quiet", db=db) as server, full_client(server.address, "bia") as bia:
        server.wait_for_error("message 20: its time is before")
        server.wait_for_error("is damaged")
        bia.wait_for_text("x" * 300)
        assert server.stop() == 0
    with running_server("--quiet", db=db) as server:
        assert server.stop() == 0
        assert server.stderr == ""
    with no_more_than("--db", str(db), "--check") as check:
        assert check.process.returncode == 1 and "message 20" in check.stderr


# Copies.


def test_backup_is_a_log_and_never_overwrites(tmp_path: Path) -> None:
    """With its progress on standard error, while the server runs or not."""
    db, copy = tmp_path / "chat.db", tmp_path / "copy.db"
    arguments = ("--db", str(db), "--backup", str(copy))
    with running_server("--quiet", db=db) as server, full_client(server.address, "ana") as ana:
        ana.say("oi", key="1")
        ana.wait_for_key("1")
        with no_more_than(*arguments) as backup:
            assert backup.process.returncode == 0
            assert backup.lines == [f"{copy} is a copy of {db}."]
            assert backup.errors[-1].endswith("100 %")
        ana.say("tchau", key="2")
        ana.wait_for_key("2")
    with no_more_than(*arguments) as backup:
        assert backup.process.returncode == 1
        assert backup.stderr == f"{copy} exists already. Choose the name of a new file."
    assert texts_in(copy) == ["oi"]
    with no_more_than("--db", str(copy), "--check") as check:
        assert check.process.returncode == 0
        assert check.lines == [f"{copy} is sound."]


@pytest.mark.parametrize(
    ("db", "said"),
    [
        ("", "--db is empty. Give the path of a file with it."),
        ("folder", "folder is a folder. Give the path of a file with --db."),
        ("no/chat.db", "The folder of no/chat.db does not exist."),
        ("file:chat.db", "file:chat.db is a URI."),
        ("x" * 252, "The path xxxx"),
        ("y/" * 300 + "chat.db", "The path y/y/"),
        ("text", "text is not a log of this program."),
        ("contacts.db", "contacts.db is not a log of this program."),
    ],
)
def test_path_that_no_log_can_have_is_one_true_sentence(db: str, said: str, tmp_path: Path) -> None:
    """And nothing is made, or changed."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no database, but longer than its header")
    with closing(sqlite3.connect(tmp_path / "contacts.db")) as connection, connection:
        connection.execute("CREATE TABLE contact (name TEXT)")
    before = {p.name: (p.stat().st_mode, p.stat().st_mtime_ns) for p in tmp_path.iterdir()}
    with no_more_than("--port", "0", "--lang", "en", "--db", db, cwd=tmp_path) as server:
        assert server.process.returncode == 1
        assert len(server.errors) == 1 and server.errors[0].startswith(said)
    after = {p.name: (p.stat().st_mode, p.stat().st_mtime_ns) for p in tmp_path.iterdir()}
    assert after == before
