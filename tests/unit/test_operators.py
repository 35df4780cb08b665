"""The file of operators."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rooms import Chat, FakeLog, Message, Reader, come_true, quiet, refusal_of

import chat_pb2
from chat.protocol.errors import UsageError
from chat.protocol.metadata import JoinRequest
from chat.server.assembly import Server
from chat.server.closed_rooms import own_id
from chat.server.directory import Person
from chat.server.hub import Hub
from chat.server.operators import Operators, read_operators
from chat.server.reload import Reloader
from chat.server.settings import read_flags
from server import ChatService


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "operators.txt"


@pytest.mark.parametrize(
    "content",
    [
        b"# who may\nAna\n\n  Jo\xc3\xa3o da Silva \n#bia\n",
        b"\xef\xbb\xbfAna\r\nJo\xc3\xa3o da Silva\r\n",
        "ana\njoão da silva\n".encode("utf-16"),
    ],
    ids=["comments", "Windows", "PowerShell"],
)
def test_one_name_a_line(file: Path, content: bytes) -> None:
    """Compared as names are; whatever editor wrote them."""
    file.write_bytes(content)
    assert read_operators(str(file)).keys() == {"ana", "joão da silva"}


def test_line_that_is_no_name_is_told_by_its_number(file: Path) -> None:
    file.write_text("# who\nana\nbia: caio\n")
    with pytest.raises(UsageError, match=r"operators\.txt, line 3: A name has 1 to 32"):
        read_operators(str(file))


def test_comment_behind_a_name_is_no_part_of_it(file: Path) -> None:
    """Else whoever comes under the whole line would be an operator."""
    file.write_text("boss # keeps order\nrui\t#\t#1 of all\nc#\n  # ana\n")
    assert set(read_operators(str(file))) == {"boss", "rui", "c#"}


@pytest.mark.parametrize("line", ["boss #keeps order", "DJ #1", "DJ\t#1"])
def test_line_that_may_have_a_comment_is_refused(file: Path, line: str) -> None:
    """It is not guessed who is an operator."""
    file.write_text(f"ana\n{line}\n")
    with pytest.raises(UsageError, match=r"operators\.txt, line 2: "):
        read_operators(str(file))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"ana\n\xff\n"])
def test_file_that_is_no_text_is_a_sentence(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        read_operators(str(file))


@pytest.mark.parametrize("name", ["absent.txt", "", "\0"])
def test_file_that_cannot_be_read_is_a_sentence(tmp_path: Path, name: str) -> None:
    """A folder is none either."""
    with pytest.raises(UsageError, match="cannot be read"):
        read_operators(str(tmp_path / name))


def test_names_must_be_provable(file: Path) -> None:
    """Without encryption nobody can prove a name; the sentence says what to add."""
    file.write_text("ana\n")
    with pytest.raises(UsageError, match="Add --tls"):
        Operators(str(file), can_prove=False, reloader=Reloader())
    with pytest.raises(UsageError, match="Add --tls"):
        Server(read_flags(["--operators", str(file), "--db", ":memory:"]), ChatService)


async def test_file_is_read_again(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that makes no sense leaves everything as it was."""
    hub, reloader = Hub(FakeLog(), 10, 0), Reloader()
    await hub.join(JoinRequest("ana"), owner="key")
    file.write_text("ana\n")
    Operators(str(file), can_prove=True, reloader=reloader).appoint(hub)
    assert hub.moderation.operators == {"ana"} and not caplog.text
    running = asyncio.create_task(reloader.run())
    file.write_text("a:b\n")
    reloader.reload()
    await come_true(lambda: "line 1" in caplog.text)
    assert hub.moderation.operators == {"ana"}
    file.write_text("Rui Sá\n", "utf-8")
    reloader.reload()
    await come_true(lambda: hub.moderation.operators == {"rui sá"})
    running.cancel()
    assert "Nobody owns the name [Rui Sá] yet" in caplog.text
    assert "the name [ana]" not in caplog.text


@pytest.mark.parametrize("is_invited", [False, True])
async def test_who_is_no_operator_any_more_leaves_closed_rooms(
    file: Path, is_invited: bool
) -> None:
    """And does not come back, nor after a lost connection, unless the room's owner wants it."""
    chat, reloader = await Chat().start(), Reloader()
    hub = chat.hub
    file.write_text("ana\n")
    ana = Reader(chat, await hub.join(JoinRequest("ana", session="a" * 32, inbox=0), owner="key"))
    Operators(str(file), can_prove=True, reloader=reloader).appoint(hub)
    bia = JoinRequest("bia", room="sala", session="b" * 32, inbox=0)
    await wish(Reader(chat, await hub.join(bia, owner="key of bia")), chat_pb2.KIND_CLOSED)
    await wish(ana, chat_pb2.KIND_ENTERED)
    assert hub.rooms["sala"].names() == ["bia", "ana"]
    if is_invited:
        hub.closed.invite("sala", own_id(person_of(ana)))
    running = asyncio.create_task(reloader.run())
    file.write_text("rui\n")
    reloader.reload()
    await come_true(lambda: hub.moderation.operators == {"rui"})
    running.cancel()
    if is_invited:
        assert hub.rooms["sala"].names() == ["bia", "ana"]
        return
    await quiet()
    assert hub.rooms["sala"].names() == ["bia"] and ana.messages[-1].user == "ROOM_CLOSED"
    assert await refusal_of(wish(ana, chat_pb2.KIND_ENTERED)) == "ROOM_CLOSED"


async def wish(reader: Reader, kind: chat_pb2.Kind) -> None:
    await reader.post(Message(kind=kind, room="sala", key="w"))
    await quiet()


def person_of(reader: Reader) -> Person:
    assert reader.member.person is not None
    return reader.member.person


async def test_without_a_file_there_is_no_operator() -> None:
    hub = Hub(FakeLog(), 10, 0)
    Operators(None, can_prove=False, reloader=Reloader()).appoint(hub)
    assert not hub.moderation.is_operator("ana", "key")
