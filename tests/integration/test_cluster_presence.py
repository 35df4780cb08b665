"""What the people of several servers are told of those who move between them, or are renamed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from natsd import running_nats
from support import Client, RunningServer, full_client, running_server
from test_cluster_people import is_there, present

import chat_pb2
from chat.client.roster import Roster

SESSIONS = ("ab" * 16, "cd" * 16)
TOLD = (chat_pb2.KIND_JOINED, chat_pb2.KIND_LEFT, chat_pb2.KIND_RENAMED)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningServer]]:
    """Three servers of one cluster; the last test kills one."""
    folder: Path = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        nats = stack.enter_context(running_nats(folder / "nats"))
        yield [
            stack.enter_context(running_server("--cluster", nats.url, db=folder / f"{n}.db"))
            for n in range(3)
        ]


def screen(client: Client) -> list[str]:
    """Return who is in the common room, as a client has it that has asked when it came."""
    roster = Roster()
    for message in client.messages:
        if message.kind in (chat_pb2.KIND_PRESENT, chat_pb2.KIND_WHO):
            roster.take_answer(message)
        else:
            roster.note(message, client.user)
    return roster.names_in("")


def told_of(client: Client, *names: str) -> list[tuple[int, str, str]]:
    """Return what was told of people's comings and goings: the kind, the name, a new one."""
    events = [m for m in client.messages if m.kind in TOLD and not m.key]
    return [(m.kind, m.user, m.message) for m in events if {m.user, m.message} & set(names)]


def look(client: Client) -> None:
    """Ask who is there, as a client does that has just come."""
    client.ask_who("first")
    client.wait_for(lambda m: m.kind == chat_pb2.KIND_WHO and m.key == "first")


def wait_until_told(address: str, name: str, watchers: Sequence[Client]) -> None:
    """Return when everybody has heard all that was told of those at a server."""
    with full_client(address, name):
        for watcher in watchers:
            watcher.wait_for(joined(name))
    for watcher in watchers:
        watcher.wait_for(lambda m: m.kind == chat_pb2.KIND_LEFT and m.user == name)


def joined(name: str) -> Callable[[chat_pb2.Message], bool]:
    """Return what says whether a message tells that somebody came."""
    return lambda m: bool(m.kind == chat_pb2.KIND_JOINED and m.user == name)


def test_nobody_is_told_of_a_session_that_goes_on_at_another_server(
    servers: list[RunningServer],
) -> None:
    """In each room where it stays, at all servers, and there and back."""
    one, other, third = (server.address for server in servers)
    with (
        full_client(one, "ana1") as ana,
        full_client(other, "bia1") as bia,
        full_client(third, "caio1") as caio,
        ExitStack() as stack,
    ):
        watchers = (ana, bia, caio)
        for watcher in watchers:
            watcher.enter("sala1", key="e")
            watcher.wait_for_key("e")
        streams = []
        for address in (one, other, one):
            dina = stack.enter_context(full_client(address, "dina1", session=SESSIONS[0], inbox=0))
            dina.enter("sala1", key="e")
            dina.wait_for_key("e")
            streams.append(dina)
            for watcher in watchers:
                is_there(watcher, "dina1", "sala1")
        wait_until_told(one, "eva1", watchers)
        came = [(chat_pb2.KIND_JOINED, "dina1", "")] * 2  # once in each room
        assert [told_of(watcher, "dina1") for watcher in watchers] == [came] * 3
        assert [told_of(dina, "dina1") for dina in streams] == [[]] * 3
        for watcher in (*watchers, dina):
            expected = {"ana1", "bia1", "caio1", "dina1"}
            assert present(watcher, "w1", "sala1") == expected
            assert len(present(watcher, "w2") & expected) == 4
        caio.ask_rooms("rooms")
        caio.wait_for(lambda m: m.kind == chat_pb2.KIND_ROOMS and m.key == "rooms")
        assert {m.room: m.message for m in caio.of_kind(chat_pb2.KIND_ROOMS)}["sala1"] == "4"


def test_session_that_goes_on_elsewhere_under_another_name_is_renamed_there(
    servers: list[RunningServer],
) -> None:
    """Nobody is left under the old one, and nobody leaves who never came."""
    one, other, third = (server.address for server in servers)
    session = "ef" * 16
    with ExitStack() as stack:
        watchers = [
            stack.enter_context(full_client(address, f"watcher{number}"))
            for number, address in enumerate((one, other, third))
        ]
        with full_client(one, "old5", session=session, inbox=0):
            for watcher in watchers:
                watcher.wait_for(joined("old5"))
            with full_client(other, "new5", session=session, inbox=0):
                pass
        for watcher in watchers:
            watcher.wait_for(lambda m: m.kind == chat_pb2.KIND_LEFT and m.user == "new5")
        here: list[set[str]] = []
        for watcher in watchers:
            here.append(set())
            for kind, user, message in told_of(watcher, "old5", "new5"):
                if kind != chat_pb2.KIND_JOINED:
                    here[-1].remove(user)
                if kind != chat_pb2.KIND_LEFT:
                    here[-1].add(message or user)
        assert here == [set()] * 3


def test_rename_is_told_as_one_fact_at_all_servers(servers: list[RunningServer]) -> None:
    """In the rooms where the person is."""
    one, other, _third = (server.address for server in servers)
    with (
        full_client(one, "ana2", room="sala2") as ana,
        full_client(other, "bia2", room="sala2") as bia,
        full_client(other, "caio2") as caio,
    ):
        is_there(bia, "ana2", "sala2")
        is_there(caio, "ana2", "sala2")
        ana.rename("dina2", key="r")
        ana.wait_for_key("r")
        bia.wait_for(lambda m: m.kind == chat_pb2.KIND_RENAMED)
        is_there(bia, "dina2", "sala2")
        wait_until_told(one, "eva2", [caio])
        told = [
            event
            for event in told_of(bia, "ana2", "dina2")
            if event[0] != chat_pb2.KIND_JOINED or event[1] == "dina2"
        ]
        assert told == [(chat_pb2.KIND_RENAMED, "ana2", "dina2")]
        assert present(bia, "w", "sala2") == {"bia2", "dina2"}
        assert told_of(caio, "ana2", "dina2") == []


@pytest.mark.skipif(sys.platform == "win32", reason="programs are killed by signals of POSIX")
def test_people_of_a_server_that_is_killed_go_on_at_one_other(
    servers: list[RunningServer],
) -> None:
    """Everybody sees everybody, before and after, and hears of nobody who has come or gone."""
    one, other, third = servers
    with (
        full_client(one.address, "caio3") as caio,
        full_client(other.address, "dina3") as dina,
        full_client(third.address, "Ana3", session=SESSIONS[0], inbox=0) as ana,
        full_client(third.address, "Bia Lima", session=SESSIONS[1], inbox=0) as bia,
    ):
        everybody = ["Ana3", "Bia Lima", "caio3", "dina3"]
        for client in (caio, dina, ana, bia):
            for name in everybody:
                is_there(client, name)
            look(client)
        third.send_signal(signal.SIGKILL)
        ana.wait_for_end()
        bia.wait_for_end()
        seen = [len(told_of(client, *everybody)) for client in (caio, dina)]
        with full_client(one.address, "Ana3", session=SESSIONS[0], inbox=0) as ana:
            look(ana)
            with full_client(one.address, "Bia Lima", session=SESSIONS[1], inbox=0) as bia:
                look(bia)
                bia.rename("bia3", key="r")
                wait_until_told(one.address, "eva3", [caio, dina, ana, bia])
                everybody[1] = "bia3"
                for client in (caio, dina, ana, bia):
                    assert screen(client) == everybody
                renamed = [(chat_pb2.KIND_RENAMED, "Bia Lima", "bia3")]
                for client, before in zip((caio, dina), seen, strict=True):
                    assert told_of(client, *everybody, "Bia Lima")[before:] == renamed
                assert told_of(ana, *everybody, "Bia Lima") == renamed
                assert told_of(bia, *everybody) == []
