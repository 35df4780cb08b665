"""People at two servers that share a log: who has which name, who is where, who hears what."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from crowd import Crowd, crowd, reason, within
from natsd import running_nats
from support import Client, RunningServer, eventually, full_client, plain_client, running_server

import chat_pb2

SESSION = "ef" * 16
CONTESTS = 200
CONTESTS_AT_ONCE = 20  # streams of those who won stay open: there are four connections
Servers = tuple[RunningServer, RunningServer]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers of one cluster, for all of these tests."""
    folder: Path = tmp_path_factory.mktemp("cluster")
    with (
        running_nats(folder / "nats") as nats,
        running_server("--cluster", nats.url, db=folder / "one.db") as one,
        running_server("--cluster", nats.url, db=folder / "other.db") as other,
    ):
        yield one, other


def present(client: Client, key: str, room: str = "") -> set[str]:
    """Return who is there, by what the server answers."""
    client.ask_who(key, room)
    client.wait_for(lambda m: m.kind == chat_pb2.KIND_WHO and m.key == key)
    seen = 0
    for index, message in enumerate(client.messages):
        if message.kind == chat_pb2.KIND_WHO and message.key == key:
            seen = index
    names = {m.user for m in client.messages[:seen] if m.kind == chat_pb2.KIND_PRESENT}
    client.messages[:] = [m for m in client.messages if m.kind != chat_pb2.KIND_PRESENT]
    return names


def is_there(client: Client, name: str, room: str = "") -> None:
    """Wait until somebody is seen in a room."""
    keys = iter(range(10_000))
    eventually(lambda: name in present(client, f"who-{name}-{next(keys)}", room))


def test_name_that_is_taken_at_one_server_is_taken_at_the_other(servers: Servers) -> None:
    """Full client or plain, joining or later; free again when it is released."""
    one, other = servers
    with full_client(one.address, "ana1") as ana:
        ana.wait_for_greeting()
        with full_client(other.address, "Ana1") as second:
            assert second.wait_for_end() == (grpc.StatusCode.ALREADY_EXISTS, "NAME_TAKEN")
        with plain_client(other.address, "ANA1") as plain:
            plain.say("oi")
            assert plain.wait_for_end() == (grpc.StatusCode.ALREADY_EXISTS, "NAME_TAKEN")
        with full_client(other.address, "bia1") as bia:
            bia.rename("ana1", key="r")
            assert bia.wait_for_key("r").user == "NAME_TAKEN"
            ana.rename("caio1", key="r")
            ana.wait_for_key("r")

            keys = iter(range(10_000))

            def is_renamed() -> bool:
                key = f"r{next(keys)}"
                bia.rename("ana1", key=key)
                return bia.wait_for_key(key).kind == chat_pb2.KIND_RENAMED

            eventually(is_renamed)


async def test_name_that_is_taken_at_both_servers_at_once_is_one_ones(servers: Servers) -> None:
    """Each time."""
    one, other = servers

    async def contest(here: Crowd, there: Crowd, name: str) -> list[bool]:
        calls = (here.open(name, history=0), there.open(name, history=0))
        return sorted(await asyncio.gather(*map(is_admitted, calls)))

    async with crowd(one.address, 4) as here, crowd(other.address, 4) as there:
        for first in range(0, CONTESTS, CONTESTS_AT_ONCE):
            names = [f"zoe{first + number}" for number in range(CONTESTS_AT_ONCE)]
            done = await within(asyncio.gather(*(contest(here, there, name) for name in names)))
            assert done == [[False, True]] * CONTESTS_AT_ONCE


async def is_admitted(call: Any) -> bool:
    """Say whether somebody is let in, or else refused because the name is taken."""
    if "chat-epoch" in dict(await call.initial_metadata()):
        return True
    assert await reason(call) == "NAME_TAKEN"
    return False


def test_who_is_where_is_known_at_both(servers: Servers) -> None:
    """Comings and goings, the list of who is there, and how many each room has."""
    one, other = servers
    with full_client(one.address, "dina2", room="sala2") as dina:
        dina.wait_for_greeting()
        with full_client(other.address, "eva2", room="sala2") as eva:
            dina.wait_for(lambda m: m.kind == chat_pb2.KIND_JOINED and m.user == "eva2")
            is_there(eva, "dina2", "sala2")
            is_there(dina, "eva2", "sala2")
            eva.enter("outra2", key="e")
            eva.wait_for_key("e")
            is_there(dina, "eva2", "outra2")
            dina.ask_rooms("rooms")
            dina.wait_for(lambda m: m.kind == chat_pb2.KIND_ROOMS and m.key == "rooms")
            counts = {m.room: m.message for m in dina.of_kind(chat_pb2.KIND_ROOMS)}
            assert (counts["sala2"], counts["outra2"]) == ("2", "1")
        dina.wait_for(lambda m: m.kind == chat_pb2.KIND_LEFT and m.user == "eva2")


def test_private_message_reaches_somebody_at_the_other_server(servers: Servers) -> None:
    """Her alone; its echo says that it is stored; a plain client takes none."""
    one, other = servers
    with (
        full_client(one.address, "fabio3") as fabio,
        full_client(other.address, "gil3") as gil,
        plain_client(other.address, "plinio3") as plain,
    ):
        gil.wait_for_greeting()
        plain.say("oi")
        plain.wait_for_text("oi")
        is_there(fabio, "gil3")
        is_there(fabio, "plinio3")
        fabio.say("segredo", key="p1", to="GIL3")
        echo = fabio.wait_for_key("p1")
        assert echo.kind == chat_pb2.KIND_UNSPECIFIED, echo
        heard = gil.wait_for_text("segredo")
        assert (echo.to, heard.to, heard.user) == ("gil3", "gil3", "fabio3")
        fabio.say("segredo", key="p2", to="plinio3")
        assert fabio.wait_for_key("p2").user == "USER_UNREACHABLE"
        fabio.say("segredo", key="p3", to="ninguem3")
        assert fabio.wait_for_key("p3").user == "USER_UNKNOWN"
        assert "segredo" not in plain.texts


def test_session_goes_on_at_the_other_server_with_its_name_and_inbox(servers: Servers) -> None:
    """The stream that it left behind ends; what was written to it meanwhile is there."""
    one, other = servers
    with full_client(one.address, "hugo4") as hugo:
        hugo.wait_for_greeting()
        with full_client(one.address, "iris4", session=SESSION, inbox=0) as before:
            before.wait_for_greeting()
            generation = before.generation
            with full_client(
                other.address, "iris4", session=SESSION, inbox=0, generation=generation
            ) as iris:
                iris.wait_for_greeting()
                assert before.wait_for_end() == (grpc.StatusCode.ABORTED, "SESSION_REPLACED")
                is_there(hugo, "iris4")
                hugo.say("para você", key="p", to="iris4")
                hugo.wait_for_key("p")
                assert iris.wait_for_text("para você").to == "iris4"


def test_sender_at_the_other_server_hears_that_nobody_read_it(servers: Servers) -> None:
    """Of what was written to somebody who is lost there, and whose name is given up."""
    one, other = servers
    with full_client(one.address, "joao5") as joao:
        with full_client(other.address, "kim5") as kim:  # without a session nobody can come back
            is_there(joao, "kim5")
            joao.say("lost", key="p", to="kim5")
            joao.wait_for_key("p")
            kim.wait_for_text("lost")
            kim.cancel()
        assert joao.wait_for(lambda m: m.user == "NOT_READ").key == "p"


def test_people_are_told_that_nothing_can_be_said_and_when_it_can(tmp_path: Path) -> None:
    """Their streams stay, and what they say meanwhile is said when NATS is back."""
    with (
        running_nats(tmp_path / "nats") as nats,
        running_server("--cluster", nats.url, db=tmp_path / "one.db") as one,
        full_client(one.address, "ana") as ana,
    ):
        ana.wait_for_greeting()
        nats.kill()
        ana.wait_for(lambda m: m.user == "SERVERS_AWAY")
        nats.start()
        ana.wait_for(lambda m: m.user == "SERVERS_BACK")
        ana.say("here again", key="1")
        ana.wait_for_text("here again")


SLEEPER = """
import sys
from chat.server.cluster import leases, names
leases.LEASE_SECONDS, leases.RENEW_SECONDS, names.SWEEP_SECONDS = 2.0, 0.4, 0.4
import server
sys.argv[0] = "server.py"
sys.exit(server.main())
"""


@contextmanager
def quick_server(url: str, db: Path) -> Iterator[RunningServer]:
    """Run a server whose lease is short."""
    flags = ["--host", "localhost", "--port", "0", "--db", str(db), "--cluster", url]
    server = RunningServer([sys.executable, "-c", SLEEPER, *flags])
    try:
        yield server
    finally:
        server.close()


@pytest.mark.skipif(sys.platform == "win32", reason="programs are stopped by signals of POSIX")
def test_server_that_slept_says_nothing_under_a_name_that_was_lost(tmp_path: Path) -> None:
    """What waited for it is dropped; the names that nobody has taken are its people's again."""
    with (
        running_nats(tmp_path / "nats") as nats,
        quick_server(nats.url, tmp_path / "one.db") as one,
        quick_server(nats.url, tmp_path / "other.db") as other,
        full_client(one.address, "ana", session=SESSION) as ana,
        full_client(one.address, "bia", session=SESSION[::-1]) as bia,
        full_client(other.address, "caio") as caio,
    ):
        for client in (ana, bia, caio):
            client.wait_for_greeting()
        is_there(caio, "ana")
        is_there(caio, "bia")
        one.send_signal(signal.SIGSTOP)
        ana.say("stale", key="1")
        bia.say("still bia", key="2")
        caio.wait_for(lambda m: m.kind == chat_pb2.KIND_LEFT and m.user == "ana")
        with full_client(other.address, "ana") as another:
            another.wait_for_greeting()
            one.send_signal(signal.SIGCONT)
            assert ana.wait_for_end() == (grpc.StatusCode.ABORTED, "SESSION_REPLACED")
            caio.wait_for_text("still bia")
            another.say("I am ana now", key="3")
            caio.wait_for_text("I am ana now")
            assert "stale" not in caio.texts and bia.is_open
            is_there(caio, "bia")


@pytest.mark.skipif(sys.platform == "win32", reason="programs are killed by signals of POSIX")
def test_server_that_starts_again_takes_nobody_back(tmp_path: Path) -> None:
    """Who has gone on at another one meanwhile stays there; the others are held, as before."""
    with (
        running_nats(tmp_path / "nats") as nats,
        running_server("--cluster", nats.url, db=tmp_path / "other.db") as other,
        full_client(other.address, "caio") as caio,
    ):
        caio.wait_for_greeting()
        with (
            running_server("--cluster", nats.url, db=tmp_path / "one.db") as one,
            full_client(one.address, "ana", session=SESSION) as ana,
            full_client(one.address, "bia", session=SESSION[::-1]) as bia,
        ):
            for client, name in ((ana, "ana"), (bia, "bia")):
                client.wait_for_greeting()
                client.say(f"from {name}", key="1")
                client.wait_for_key("1")
            eventually(lambda: set(names_noted(tmp_path / "one.db")) == {"ana", "bia"})
            one.send_signal(signal.SIGKILL)
            ana.wait_for_end()
        with full_client(other.address, "ana", session=SESSION) as moved:
            moved.wait_for_greeting()
            with running_server("--cluster", nats.url, db=tmp_path / "one.db") as again:
                with full_client(again.address, "dina") as dina:
                    is_there(dina, "ana")
                    is_there(dina, "bia")
                moved.say("still here", key="2")
                caio.wait_for_text("still here")
                assert moved.is_open
                with full_client(other.address, "bia") as another:
                    assert another.wait_for_end()[1] == "NAME_TAKEN"
                with full_client(again.address, "bia", session=SESSION[::-1]) as back:
                    back.wait_for_greeting()


def names_noted(db: Path) -> list[str]:
    """Return whose names a server would hold if it started again."""
    with closing(sqlite3.connect(db)) as connection:
        rows = connection.execute("SELECT text FROM record WHERE kind = 'holder'").fetchall()
    return [json.loads(text)["name"] for (text,) in rows]
