"""The rooms: broadcast, coming and going, names, sessions, the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from rooms import SESSION, Chat, FakeLog, Message, come_true, quiet, refusal_of
from support import DEADLINE_SECONDS

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_PRESENCE_MEMBERS
from chat.protocol.metadata import JoinRequest
from chat.server import absence, presence
from chat.server.directory import identity_of
from chat.server.log.base import LogError, Place, Problem
from chat.server.rate_limit import Rate
from chat.server.records import HOLDER, Holder

# Broadcast.


async def test_everybody_hears_everything_in_one_order() -> None:
    """The sender too; the log's order is the order."""
    chat = await Chat().start()
    readers = [*await chat.full("ana", "bia"), await chat.join()]
    for number in range(5):
        await readers[0].say(f"a{number}")
        await readers[1].say(f"b{number}")
        await readers[2].say(f"p{number}", user="plínio")
    await quiet()
    spoken = [text for number in range(5) for text in (f"a{number}", f"b{number}", f"p{number}")]
    assert [reader.texts for reader in readers] == [spoken] * 3
    assert chat.shown == [("", text) for text in spoken]


async def test_member_knows_its_address() -> None:
    """Where the server has told it one."""
    chat = await Chat().start()
    ana = await chat.hub.join(JoinRequest(user="ana"), "192.0.2.7")
    bia = await chat.hub.join(JoinRequest(user="bia"))
    assert (ana.address, bia.address) == ("192.0.2.7", "")


async def test_newcomer_is_greeted_with_how_many_are_there() -> None:
    """Itself and who is expected back included; whoever has no name yet counts in a crowd alone."""
    chat = await Chat().start()
    await chat.join()  # a plain one
    ana, bia = await chat.full("ana", "bia")
    assert chat.hub.greeting(bia.member).people == 2
    await ana.ask_who("k")
    kinds = [message.kind for message in await ana.hears(4)]
    assert kinds.count(chat_pb2.KIND_PRESENT) == 2  # as WHO has it
    aula = await chat.join("caio", room="aula")
    assert chat.hub.greeting(aula.member).people == 1
    await chat.full(*(f"guest{number}" for number in range(MAX_PRESENCE_MEMBERS)))
    assert chat.hub.greeting(bia.member).people == 1 + 2 + MAX_PRESENCE_MEMBERS


async def test_plain_client_is_not_told_how_many_are_there() -> None:
    """It knows nothing of that."""
    chat = await Chat().start()
    plain = await chat.join()
    assert chat.hub.greeting(plain.member).people is None


async def test_full_client_gets_id_time_and_its_key() -> None:
    """The echo with the key is the acknowledgement."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    await ana.say("oi", user="ignored", key="k1")
    (echo,) = await ana.hears(1)
    assert (echo.user, echo.message, echo.id, echo.key) == ("ana", "oi", 1, "k1")
    assert echo.sent_at.seconds and not echo.kind and not echo.to


async def test_plain_client_gets_fields_one_and_two_alone() -> None:
    """No presence, no notices, no private words, no ids, whatever goes on around it."""
    chat = await Chat().start()
    plain = await chat.join()
    ana, bia = await chat.full("ana", "bia")
    await ana.say("oi", key="k")
    await ana.rename("anna")
    await bia.say("psst", to="anna")
    bia.leave()
    await plain.say("olá", user="plínio")
    await plain.hears(2)
    assert plain.frames == [
        Message(user="ana", message="oi").SerializeToString(),
        Message(user="plínio", message="olá").SerializeToString(),
    ]


async def test_nothing_is_broadcast_before_it_is_committed() -> None:
    """What anyone has seen is in the log."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ana, bia = await chat.full("ana", "bia")
    await ana.hears(1)  # bia came
    await ana.say("oi")
    await quiet()
    assert bia.texts == [] and ana.texts == []
    log.commit()
    await quiet()
    assert bia.texts == [] and ana.texts == []
    log.deliver_next()
    await quiet()
    assert bia.texts == ana.texts == ["oi"]


async def test_rooms_do_not_hear_each_other() -> None:
    """A room's name is the same without regard to case; the common room is another one."""
    chat = await Chat().start()
    ana = await chat.join("ana", room="Física")
    bia = await chat.join("bia", room="FÍSICA")
    carla = await chat.join("carla", room="química")
    dora = await chat.join("dora")
    await ana.say("f")
    await carla.say("q")
    await dora.say("c")
    await quiet()
    assert [r.texts for r in (ana, bia, carla, dora)] == [["f"], ["f"], ["q"], ["c"]]


async def test_group_of_several_rooms_is_delivered_to_each() -> None:
    """One commit holds messages of all rooms; each room's keep their order."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    here = await chat.join("ana")
    there = await chat.join("bia", room="sala")
    for number in range(4):
        await here.say(f"h{number}")
        await there.say(f"t{number}")
    log.commit_and_deliver()
    await quiet()
    assert here.texts == [f"h{number}" for number in range(4)]
    assert there.texts == [f"t{number}" for number in range(4)]


# Coming, going, names.


async def test_presence_is_told_to_the_other_full_clients() -> None:
    """JOINED and LEFT go to those who were there, of the same room."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    elsewhere = await chat.join("carla", room="sala")
    (bia,) = await chat.full("bia")
    bia.leave()
    await ana.hears(2)
    assert ana.events == [("JOINED", "bia"), ("LEFT", "bia")]
    assert bia.events == [] and elsewhere.events == []


async def test_plain_client_comes_in_with_its_first_word() -> None:
    """Its name is the user of its first message; before that it is nobody."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    plain = await chat.join()
    await quiet()
    assert ana.events == []
    await plain.say("oi", user="plínio")
    await ana.hears(2)
    plain.leave()
    await ana.hears(3)
    assert ana.events == [("JOINED", "plínio"), ("LEFT", "plínio")]
    nobody = await chat.join()
    nobody.leave()
    await ana.hears(3)


async def test_leaving_twice_is_leaving_once() -> None:
    """The handler's `finally` may come after the hub let the member go."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    bia.leave()
    bia.leave()
    await ana.hears(2)
    assert not [member for member in chat.hub.members if member is bia.member]


@pytest.mark.parametrize("people", [200, 201])
async def test_large_room_is_silent_about_presence(
    people: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 200 people hear who comes and goes; more of them do not, and WHO still answers."""
    monkeypatch.setattr(presence, "WRITING", Rate(0.0, 0.0))  # nobody waits for others
    chat = await Chat().start()
    first = await chat.join("first")
    for number in range(people - 2):
        await chat.hub.join(JoinRequest(user=f"p{number}"))
    await quiet()
    first.messages.clear()
    last = await chat.join("last")
    last_leaves = [("JOINED", "last")] if people <= 200 else []
    await quiet()
    assert first.events == last_leaves
    await last.ask_who()
    await quiet()
    assert len(last.events) == people


async def test_name_is_unique_without_regard_to_case_in_all_rooms() -> None:
    """Also to a plain client's first word, and free again once its holder is gone."""
    chat = await Chat().start()
    ana = await chat.join("Ana")
    assert await refusal_of(chat.join("aNA")) == "NAME_TAKEN"
    assert await refusal_of(chat.join("ａｎａ", room="sala")) == "NAME_TAKEN"
    plain = await chat.join()
    assert await refusal_of(plain.say("oi", user="ANA")) == "NAME_TAKEN"
    assert plain.member.name == ""
    ana.leave()
    await chat.join("ANA")


@pytest.mark.parametrize("name", ["\u0430na", "ana.", "ana\N{MIDDLE DOT}", "\u0410NA"])
async def test_nobody_takes_a_name_that_looks_like_anothers(name: str) -> None:
    """Present or held; whoever has the name may spell it so, and then it is the other one."""
    chat = await Chat().start()
    ana = await chat.join("ana", session=SESSION)
    (bia,) = await chat.full("bia")
    assert await refusal_of(chat.join(name)) == "NAME_TAKEN"
    assert await refusal_of(bia.rename(name)) == "NAME_TAKEN"
    ana.leave(is_lost=True)
    plain = await chat.join()
    assert await refusal_of(plain.say("oi", user=name)) == "NAME_TAKEN"
    await chat.join(name, session=SESSION)
    assert await refusal_of(chat.join("ana")) == "NAME_TAKEN"


async def test_look_of_a_name_is_free_when_its_holder_has_another() -> None:
    """After a rename, and after leaving."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    await ana.rename("eva")
    await bia.rename("\u0430na")
    assert await refusal_of(ana.rename("ana")) == "NAME_TAKEN"
    bia.leave()
    await ana.rename("ana")


@pytest.mark.parametrize(
    "name", ["servidor", "ｓｅｒｖｉｄｏｒ", "Server", "s\u0435rver", "Servidor."]
)
async def test_nobody_is_called_like_the_server(name: str) -> None:
    """Not on joining, not by a rename, not as a plain client."""
    chat = await Chat().start()
    assert await refusal_of(chat.join(name)) == "NAME_TAKEN"
    (ana,) = await chat.full("ana")
    assert await refusal_of(ana.rename(name)) == "NAME_TAKEN"
    plain = await chat.join()
    assert await refusal_of(plain.say("oi", user=name)) == "NAME_TAKEN"


async def test_refused_join_leaves_nothing_behind() -> None:
    """A bad name or room takes no place."""
    chat = await Chat(max_clients=1).start()
    assert await refusal_of(chat.join("")) == "NAME_INVALID"
    assert await refusal_of(chat.join("x" * 33)) == "NAME_INVALID"
    assert await refusal_of(chat.join("ana", room="a\x1b")) == "ROOM_INVALID"
    assert not chat.hub.members
    await chat.join("ana")


async def test_join_under_a_taken_name_changes_nothing() -> None:
    """No place is taken, and the client's earlier stream, if it has one, goes on."""
    chat = await Chat().start()
    ana, bia = await chat.full("ana", "bia")
    carla = await chat.join("carla", session=SESSION)
    assert await refusal_of(chat.join("ana")) == "NAME_TAKEN"
    assert await refusal_of(chat.join("ana", session=SESSION)) == "NAME_TAKEN"
    assert chat.hub.members == {ana.member, bia.member, carla.member}
    await carla.say("still here")
    await quiet()
    assert bia.events == [("JOINED", "carla")] and bia.texts == ["still here"]


async def test_join_that_cannot_read_the_log_leaves_nothing_behind() -> None:
    """Nobody would take its name and its place away again."""
    log = FakeLog()
    chat = await Chat(log, max_clients=2).start()
    (bia,) = await chat.full("bia")
    log.is_unreadable = True
    assert await refusal_of(chat.join("ana")) == "LOG_UNREADABLE"
    assert chat.hub.members == {bia.member}
    log.is_unreadable = False
    await chat.join("ana")
    await quiet()
    assert bia.events == [("JOINED", "ana")]


async def test_name_of_who_was_never_in_is_held_for_nobody() -> None:
    """Of who was in before, it still is; and of nobody is anything told."""
    log = FakeLog()
    chat = await Chat(log).start()
    bia = await chat.join("bia")
    ana = await chat.join("ana", session=SESSION)
    ana.leave(is_lost=True)
    log.is_unreadable = True
    for name, session in (("ana", SESSION), ("caio", "c" * 32)):
        assert await refusal_of(chat.join(name, session=session)) == "LOG_UNREADABLE"
    log.is_unreadable = False
    await chat.join("caio", session="d" * 32)
    assert await refusal_of(chat.join("ana", session="d" * 32)) == "NAME_TAKEN"
    await quiet()
    assert bia.events == [("JOINED", "ana"), ("JOINED", "caio")]


async def test_join_is_refused_at_once_while_the_disk_does_not_answer() -> None:
    """Plain or full; the client's earlier stream goes on, and nobody notices anything."""
    log = FakeLog()
    chat = await Chat(log).start()
    (bia,) = await chat.full("bia")
    ana = await chat.join("ana", session=SESSION)
    log.is_silent = True
    assert await refusal_of(chat.join("ana", session=SESSION)) == "LOG_UNREADABLE"
    assert await refusal_of(chat.join("caio")) == "LOG_UNREADABLE"
    assert await refusal_of(chat.join()) == "LOG_UNREADABLE"
    assert chat.hub.members == {ana.member, bia.member}
    await ana.say("still here")
    await quiet()
    assert bia.events == [("JOINED", "ana")] and bia.texts == ["still here"]


async def test_plain_client_is_refused_while_nothing_can_be_written() -> None:
    """It would be told nothing; a full one sees by itself that what it says waits."""
    chat = await Chat().start()
    chat.hub.is_disk_silent = True
    await chat.join("ana")
    assert await refusal_of(chat.join()) == "LOG_UNREADABLE"
    chat.hub.is_disk_silent = False
    await chat.join()


async def test_join_that_is_cancelled_leaves_nothing_behind() -> None:
    """A client may vanish while the log is read for it."""
    log = FakeLog()
    chat = await Chat(log).start()
    log.read_turns = 1000
    joining = asyncio.get_running_loop().create_task(chat.join("ana"))
    await come_true(lambda: bool(chat.hub.members))
    joining.cancel()
    await asyncio.wait({joining})
    assert not chat.hub.members and not len(chat.hub.directory) and not chat.hub.rooms


async def test_server_is_full_at_max_clients() -> None:
    """One more is refused, plain or full; a returning session takes its own place."""
    chat = await Chat(max_clients=2).start()
    await chat.join("ana", session=SESSION)
    plain = await chat.join()
    assert await refusal_of(chat.join("bia")) == "SERVER_FULL"
    assert await refusal_of(chat.join()) == "SERVER_FULL"
    await chat.join("ana", session=SESSION)
    plain.leave()
    await chat.join("bia")


async def test_session_takes_its_name_back_from_its_own_ghost() -> None:
    """The others notice nothing; the ghost's stream ends, and speaks for nobody any more."""
    chat = await Chat().start()
    (bia,) = await chat.full("bia")
    ghost = await chat.join("ana", session=SESSION)
    await bia.hears(1)
    back = await chat.join("ana", session=SESSION)
    error = await ghost.ends()
    assert error is not None and error.reason == "SESSION_REPLACED"
    assert await refusal_of(ghost.say("boo")) == "SHUTTING_DOWN"
    ghost.leave()  # the handler's `finally` comes later, and must not take the name away
    await back.say("voltei")
    await bia.hears(2)
    assert bia.events == [("JOINED", "ana")]
    assert await refusal_of(chat.join("ana", session="f" * 32)) == "NAME_TAKEN"
    assert await refusal_of(chat.join("ana")) == "NAME_TAKEN"


async def test_session_that_returns_alone_keeps_its_room() -> None:
    """The room that was empty for a moment is the one where the others will come."""
    chat = await Chat().start()
    await chat.join("ana", room="sala", session=SESSION)
    back = await chat.join("ana", room="sala", session=SESSION)
    bia = await chat.join("bia", room="sala")
    await bia.say("oi")
    await quiet()
    assert back.texts == ["oi"]


async def test_session_that_moves_is_seen_to_leave_and_to_come() -> None:
    """To another room, or under another name, a return is news."""
    chat = await Chat().start()
    (bia,) = await chat.full("bia")
    carla = await chat.join("carla", room="sala")
    await chat.join("ana", session=SESSION)
    await chat.join("ana", room="sala", session=SESSION)
    await chat.join("anna", room="sala", session=SESSION)
    await quiet()
    assert bia.events == [("JOINED", "ana"), ("LEFT", "ana")]
    assert carla.events == [("JOINED", "ana"), ("LEFT", "ana"), ("JOINED", "anna")]


# The end.


async def test_stopping_hub_commits_delivers_and_says_so() -> None:
    """What was accepted reaches everybody; then a notice, then the end; nobody new comes in."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ana, bia = await chat.full("ana", "bia")
    plain = await chat.join()
    await ana.say("last words")
    await chat.hub.stop()
    for reader in (ana, bia, plain):
        error = await reader.ends()
        assert error is not None and error.reason == "SHUTTING_DOWN"
        assert reader.texts == ["last words"]
    assert bia.events == [("NOTICE", "SHUTTING_DOWN")]
    assert plain.events == []
    assert await refusal_of(chat.join("carla")) == "SHUTTING_DOWN"
    assert await refusal_of(ana.say("too late")) == "SHUTTING_DOWN"


async def test_half_closed_member_gets_its_last_echoes() -> None:
    """Settling waits for the commit; closing hands out what is owed."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    plain = await chat.join()
    await plain.say("um", user="p")
    await plain.say("dois", user="p")
    committed = asyncio.get_running_loop().create_task(plain.member.wait_committed())
    await quiet()
    assert not committed.done()
    log.commit_and_deliver()
    await committed
    plain.member.close()
    assert await plain.ends() is None
    assert plain.texts == ["um", "dois"]


async def test_empty_rooms_are_forgotten() -> None:
    """A million rooms that were tried out once take no memory."""
    chat = await Chat().start()
    for number in range(100):
        reader = await chat.join("ana", room=f"sala {number}", session=SESSION)
        reader.leave()
    assert not chat.hub.rooms and not len(chat.hub.directory)


# Names that are held.


async def until(predicate: Callable[[], bool]) -> None:
    """Return when `predicate()` holds; fail after the deadline."""

    async def poll() -> None:
        while not predicate():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(poll(), DEADLINE_SECONDS)


async def test_name_of_a_lost_connection_is_held_for_its_session() -> None:
    """Others are refused, nobody is told, and a return is told to nobody either."""
    chat = await Chat().start()
    (bia,) = await chat.full("bia")
    ana = await chat.join("ana", session=SESSION)
    ana.leave(is_lost=True)
    assert await refusal_of(chat.join("ANA")) == "NAME_TAKEN"
    assert await refusal_of(chat.join("ana", session="f" * 32)) == "NAME_TAKEN"
    plain = await chat.join()
    assert await refusal_of(plain.say("boo", user="ana")) == "NAME_TAKEN"
    await bia.ask_who()
    back = await chat.join("ana", session=SESSION)
    await back.say("voltei")
    await quiet()
    assert bia.events == [("JOINED", "ana"), ("PRESENT", "bia"), ("PRESENT", "ana")]
    assert bia.texts == ["voltei"]


async def test_name_is_free_at_once_when_its_holder_leaves() -> None:
    """A half-close is a farewell."""
    chat = await Chat().start()
    (bia,) = await chat.full("bia")
    ana = await chat.join("ana", session=SESSION)
    ana.leave()
    other = await chat.join("ana", session="f" * 32)
    await quiet()
    assert other.member.name == "ana"
    assert bia.events == [("JOINED", "ana"), ("LEFT", "ana"), ("JOINED", "ana")]


async def test_client_without_a_session_holds_nothing() -> None:
    """Nobody could say that a return is its own."""
    chat = await Chat().start()
    (bia,) = await chat.full("bia")
    ana = await chat.join("ana")
    ana.leave(is_lost=True)
    await chat.join("ana")
    await quiet()
    assert bia.events == [("JOINED", "ana"), ("LEFT", "ana"), ("JOINED", "ana")]


async def test_departure_is_told_when_the_time_to_come_back_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In every room that it was in; then the name is free, and all is forgotten."""
    monkeypatch.setattr(absence, "HELD_SECONDS", 0.01)
    chat = await Chat().start()
    bia = await chat.join("bia")
    carla = await chat.join("carla", room="sala")
    ana = await chat.join("ana", session=SESSION, inbox=0)
    await ana.post(Message(kind=chat_pb2.KIND_ENTERED, room="sala"))
    ana.leave(is_lost=True)
    await quiet()
    assert bia.events == carla.events == [("JOINED", "ana")]
    await until(lambda: chat.hub.directory.find("ana") is None)
    await quiet()
    assert bia.events == carla.events == [("JOINED", "ana"), ("LEFT", "ana")]
    await chat.join("ana")
    bia.leave()
    carla.leave()
    assert not chat.log.held


async def test_names_are_held_over_a_restart() -> None:
    """With the rooms where the others still see them; one return is told to nobody."""
    log = FakeLog()
    before = await Chat(log).start()
    for name, session in (("ana", "a" * 32), ("bia", "b" * 32)):
        await before.join(name, session=session, room="sala", inbox=0)
    left = await before.join("carla", session="c" * 32)
    left.leave()
    after = await Chat(log).start()
    assert await refusal_of(after.join("ana", session="f" * 32)) == "NAME_TAKEN"
    ana = await after.join("ana", session="a" * 32, room="sala", inbox=0)
    await after.join("bia", session="b" * 32, room="sala", inbox=0)
    await after.join("carla", session="f" * 32)
    await ana.say("oi", to="bia")
    await quiet()
    assert ana.events == []


async def test_client_that_knows_rooms_is_expected_in_those_it_was_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It enters them one by one; where it does not, the others are told in the end."""
    monkeypatch.setattr(absence, "HELD_SECONDS", 0.02)
    chat = await Chat().start()
    here = await chat.join("bia", room="here")
    there = await chat.join("carla", room="there")
    ana = await chat.join("ana", session=SESSION, inbox=0)
    for room in ("here", "there"):
        await ana.post(Message(kind=chat_pb2.KIND_ENTERED, room=room))
    ana.leave(is_lost=True)
    back = await chat.join("ana", session=SESSION, inbox=0)
    await back.post(Message(kind=chat_pb2.KIND_ENTERED, room="here"))
    await until(lambda: ("LEFT", "ana") in there.events)
    assert here.events == [("JOINED", "ana")]
    assert chat.hub.directory.find("ana") is not None


async def test_rename_of_a_stream_that_was_replaced_meanwhile_does_nothing() -> None:
    """Else two people had one name, and a name stayed blocked until a restart."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ghost = await chat.join("ana", session=SESSION)
    await ghost.say("not committed yet")
    renaming = asyncio.ensure_future(ghost.rename("bia"))
    await quiet()
    back = await chat.join("ana", session=SESSION)
    log.commit_and_deliver()
    with pytest.raises(ChatError):
        await renaming
    assert back.member.name == "ana"
    other = await chat.join("bia")
    other.leave()
    back.leave()
    assert not len(chat.hub.directory)


async def test_held_people_are_no_clients() -> None:
    """They take no place of `--max-clients`."""
    chat = await Chat(max_clients=1).start()
    ana = await chat.join("ana", session=SESSION)
    ana.leave(is_lost=True)
    bia = await chat.join("bia")
    assert await refusal_of(chat.join("ana", session=SESSION)) == "SERVER_FULL"
    bia.leave()
    await chat.join("ana", session=SESSION)


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["line lost again", "log unreadable"])
async def test_return_that_fails_half_way_leaves_the_name_held(is_cancelled: bool) -> None:
    """And the inbox: it is told to nobody, and the next return finds what waits."""
    log = UnreadableLog(is_cancelled)
    chat = await Chat(log).start()
    (bia,) = await chat.full("bia")
    ana = await chat.join("ana", session=SESSION)
    await quiet()
    ana.leave(is_lost=True)
    await bia.say("meanwhile", to="ana")
    await quiet()
    log.is_unreadable = True
    joining = asyncio.create_task(chat.join("ana", session=SESSION, after=0))
    await quiet()
    joining.cancel()
    with pytest.raises((asyncio.CancelledError, ChatError)):
        await joining
    log.is_unreadable = False
    assert await refusal_of(chat.join("ana")) == "NAME_TAKEN"
    back = await chat.join("ana", session=SESSION, after=0)
    await quiet()
    assert "meanwhile" in back.texts
    assert bia.events == [("JOINED", "ana")]


class UnreadableLog(FakeLog):
    """A log that does not say where readers begin: it hangs, or it fails."""

    def __init__(self, hangs: bool) -> None:
        super().__init__()
        self.is_unreadable = False
        self._hangs = hangs

    async def find_places(
        self, wishes: Sequence[tuple[str, int | None]], generation: str, count: int
    ) -> list[Place]:
        if self.is_unreadable and self._hangs:
            await asyncio.Event().wait()
        if self.is_unreadable:
            raise LogError(Problem.DAMAGED, "chat.db")
        return await super().find_places(wishes, generation, count)


async def test_names_that_have_become_the_same_are_held_for_the_first_alone() -> None:
    """By another version of Unicode, say: a server must start with whatever its file holds.

    Also with a name that nobody may have any more; its holder has to choose another one.
    """
    log = FakeLog()
    names = ["ana", "ANA", "servidor", "\u0430na", "x]: [y", "*"]
    for number, name in enumerate(names):
        log.keep(HOLDER, identity_of(f"{number:032x}"), Holder(name).to_text())
    chat = await Chat(log).start()
    assert [holder.name for holder in log.held.values()] == ["ana", "x]: [y", "*"]
    assert await refusal_of(chat.join("\u0430na")) == "NAME_TAKEN"
    assert await refusal_of(chat.join("x]: [y", session=f"{4:032x}")) == "NAME_INVALID"
    await chat.join("y", session=f"{4:032x}")
