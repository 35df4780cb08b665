"""Private messages to owned names: they wait, come once, in order, and never to anybody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rooms import SESSION, Chat, FakeLog, Reader, come_true, quiet, refusal_of
from support import DEADLINE_SECONDS

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_WAITING_MESSAGES
from chat.protocol.metadata import JoinRequest
from chat.server import absence, begun, mail
from chat.server.closed_rooms import PUBLIC_KEY_CHARACTERS
from chat.server.log.base import Log
from chat.server.mail import ARRIVAL_SECONDS, MAX_EARLIER, UNCERTAIN_SECONDS, WAIT_SECONDS, Mail
from chat.server.ownership import Owners
from chat.server.shares import MAX_FROM_ONE

ANA, BIA, OTHER = "key-of-ana", "key-of-bia", "key-of-another"
# Of bia's two machines.
HERE, THERE = "b" * 32, "c" * 32


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Place(Chat):
    """A chat where names are owned, on clocks that are set by hand."""

    def __init__(self, log: FakeLog) -> None:
        self.clock, self.wall_clock = Clock(), Clock()
        super().__init__(log, make_mail=self._make_mail)

    def _make_mail(self, log: Log, owners: Owners) -> Mail:
        return Mail(log, owners, self.clock, self.wall_clock)

    async def come(
        self, user: str, owner: str, session: str = SESSION, inbox: int | None = 0, **wishes: Any
    ) -> Reader:
        """Join with a key, and hear nothing of what was said before."""
        request = JoinRequest(user, session=session, inbox=inbox, history=0, **wishes)
        return Reader(self, await self.hub.join(request, owner=owner))


async def place_on(log: FakeLog) -> Place:
    place = Place(log)
    await place.start()
    return place


async def privates(reader: Reader) -> list[str]:
    """Return the private texts that somebody has heard."""
    await quiet()
    return [m.message for m in reader.messages if m.to and m.kind == chat_pb2.KIND_UNSPECIFIED]


async def notices(reader: Reader) -> list[tuple[str, str, str]]:
    """Return the reason, key and addressee of each notice."""
    await quiet()
    kind = chat_pb2.KIND_NOTICE
    return [(m.user, m.key, m.to) for m in reader.messages if m.kind == kind]


async def test_message_waits_for_the_owner_of_the_name() -> None:
    """The writer is told so, without a key, beside the acknowledgement."""
    place = await place_on(FakeLog())
    (await place.come("Bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    await ana.say("oi", key="1", to="bia")
    assert await notices(ana) == [("AWAY", "", "Bia")]
    assert [m.message for m in ana.messages if m.key == "1"] == ["oi"]
    bia = await place.come("bia", BIA, THERE)
    assert await privates(bia) == ["oi"]
    assert await notices(bia) == []


async def test_messages_come_once_in_order_over_restarts_and_on_any_machine() -> None:
    """What was read on one machine is not told on another, if the stream ended in order."""
    log = FakeLog()
    place = await place_on(log)
    (await place.come("bia", BIA, HERE)).leave()
    for number in range(3):
        ana = await place.come("ana", ANA)
        await ana.say(str(number), to="bia")
        ana.leave()
        place = await place_on(log)
    bia = await place.come("bia", BIA, HERE)
    assert await privates(bia) == ["0", "1", "2"]
    bia.leave()
    place = await place_on(log)
    assert await privates(await place.come("bia", BIA, THERE)) == []


async def test_same_session_goes_on_where_it_was() -> None:
    """By its own cursor, however its stream was lost; another one may hear something twice."""
    place = await place_on(FakeLog())
    ana, bia = await place.come("ana", ANA), await place.come("bia", BIA, HERE)
    await ana.say("um", to="bia")
    assert await privates(bia) == ["um"]
    seen_id = max(bia.ids)
    bia.leave(is_lost=True)
    again = await place.come("bia", BIA, HERE, inbox=seen_id)
    assert await privates(again) == []
    again.leave(is_lost=True)
    assert await privates(await place.come("bia", BIA, THERE)) == []


async def test_what_arrived_and_was_not_shown_is_told_to_the_same_session() -> None:
    """By its own cursor, however long ago that was; also where nothing was shown before."""
    place = await place_on(FakeLog())
    ana, bia = await place.come("ana", ANA), await place.come("bia", BIA, HERE)
    await ana.say("um", to="bia")
    await ana.say("dois", to="bia")
    assert await privates(bia) == ["um", "dois"]
    place.hub.mail.note_all()
    place.clock.now += UNCERTAIN_SECONDS
    bia.leave(is_lost=True)
    for seen, told in (([], ["um", "dois"]), (["um"], ["dois"]), (["um", "dois"], [])):
        seen_id = max((m.id for m in bia.messages if m.message in seen), default=0)
        again = await place.come("bia", BIA, HERE, inbox=seen_id)
        assert await privates(again) == told
        again.leave(is_lost=True)


async def test_what_was_read_on_another_machine_is_not_told_to_a_session_that_began_later() -> None:
    """Though it has seen nothing by itself, however often it comes; nor what it left with."""
    place = await place_on(FakeLog())
    ana, there = await place.come("ana", ANA), await place.come("bia", BIA, THERE)
    await ana.say("velha", to="bia")
    assert await privates(there) == ["velha"]
    there.leave()
    (await place.come("bia", BIA, HERE)).leave(is_lost=True)
    await ana.say("nova", to="bia")
    for is_lost in (True, True, False):
        here = await place.come("bia", BIA, HERE)
        assert await privates(here) == ["nova"]
        place.hub.mail.note_all()
        place.clock.now += UNCERTAIN_SECONDS
        here.leave(is_lost=is_lost)
    for session in (HERE, THERE, HERE):
        assert await privates(await place.come("bia", BIA, session)) == []


def test_no_more_sessions_are_remembered_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten, and those that went on without a cursor, or had seen everything."""
    monkeypatch.setattr(begun, "MAX_BEGUN", 3)
    sessions = begun.Begun()
    for number in range(5):
        sessions.note(f"inbox {number}", "identity", number)
    sessions.note("inbox 4", "identity", 9)
    assert [sessions.start(f"inbox {n}", "identity") for n in range(5)] == [None, None, 2, 3, 4]
    assert sessions.start("inbox 4", "another") is None
    sessions.note("inbox 4", "another", 9)
    assert sessions.start("inbox 4", "another") == 9
    sessions.note("inbox 4", "", 9)
    sessions.forget("inbox 3")
    assert len(sessions) == 1


async def test_what_may_not_have_arrived_is_told_on_another_machine() -> None:
    """What was handed to a stream just before it was lost; not what was so long before."""
    place = await place_on(FakeLog())
    ana, bia = await place.come("ana", ANA), await place.come("bia", BIA, HERE)
    await ana.say("velha", to="bia")
    await quiet()
    place.hub.mail.note_all()
    place.clock.now += UNCERTAIN_SECONDS
    await ana.say("nova", to="bia")
    assert await privates(bia) == ["velha", "nova"]
    bia.leave(is_lost=True)
    there = await place.come("bia", BIA, THERE)
    assert await privates(there) == ["nova"]


async def test_what_was_handed_out_before_the_client_spoke_has_arrived() -> None:
    """A while before, since the two may have crossed; however soon the stream is lost then."""
    place = await place_on(FakeLog())
    ana, bia = await place.come("ana", ANA), await place.come("bia", BIA, HERE)
    await ana.say("velha", to="bia")
    await quiet()
    place.hub.mail.note_all()
    place.clock.now += ARRIVAL_SECONDS
    await ana.say("nova", to="bia")
    await quiet()
    place.hub.mail.note_all()
    await bia.say("resposta", to="ana")
    bia.leave(is_lost=True)
    assert await privates(await place.come("bia", BIA, THERE)) == ["nova"]


@pytest.mark.parametrize("has_tcp_timeout", [True, False])
async def test_what_was_handed_to_a_stream_that_is_replaced_has_arrived(
    has_tcp_timeout: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A while before, where TCP would have ended the connection; whoever comes in then."""
    monkeypatch.setattr(mail, "HAS_TCP_TIMEOUT", has_tcp_timeout)
    place = await place_on(FakeLog())
    ana, here = await place.come("ana", ANA), await place.come("bia", BIA, HERE)
    await ana.say("um", to="bia")
    await ana.say("dois", to="bia")
    await quiet()
    seen_id = max(here.ids)
    place.hub.mail.note_all()
    place.clock.now += ARRIVAL_SECONDS
    there = await place.come("bia", BIA, THERE)
    assert await privates(there) == ([] if has_tcp_timeout else ["um", "dois"])
    place.clock.now += ARRIVAL_SECONDS
    again = await place.come("bia", BIA, HERE, inbox=seen_id)
    assert await privates(again) == ([] if has_tcp_timeout else ["um", "dois"])


async def test_what_waits_to_be_written_has_not_arrived() -> None:
    """Whatever the client says meanwhile, and also where another stream takes its place."""
    place = await place_on(FakeLog())
    ana, bia = await place.come("ana", ANA), await place.come("bia", BIA, HERE)
    await ana.say("um", to="bia")
    await quiet()
    place.hub.mail.note_all()
    bia.member.writing_since = place.clock.now
    place.clock.now += ARRIVAL_SECONDS
    await bia.say("oi", to="ana")
    assert await privates(await place.come("bia", BIA, THERE)) == ["um"]


async def test_stream_is_told_where_its_cursor_means_nothing() -> None:
    """The log is another one: what is kept with the name counts, and the session begins anew."""
    place = await place_on(FakeLog())
    (await place.come("bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    await ana.say("oi", to="bia")
    bia = await place.come("bia", BIA, HERE, inbox=99)
    assert await privates(bia) == ["oi"]
    assert await notices(bia) == [("LOG_REWOUND", "", "bia")]


async def test_session_whose_cursor_is_of_another_inbox_gets_what_waits() -> None:
    """Without ids, since it would take what is below its cursor for seen."""
    place = await place_on(FakeLog())
    (await place.come("bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    await ana.say("oi", to="bia")
    await ana.say("a todos")
    await quiet()
    seen_id = max(ana.ids)
    bia = await place.come("bia", BIA, THERE, inbox=seen_id)
    assert await privates(bia) == ["oi"] and not bia.ids
    bia.leave()
    await ana.say("mais", to="bia")
    assert await privates(await place.come("bia", BIA, THERE, inbox=seen_id)) == ["mais"]


async def test_cursor_that_went_on_in_another_inbox_hides_nothing() -> None:
    """One session, under two names of its owner, one after the other; also over a restart."""
    log = FakeLog()
    place = await place_on(log)
    (await place.come("bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    await ana.say("esperava", to="bia")
    bianca = await place.come("bianca", BIA, HERE)
    await ana.say("agora", to="bianca")
    assert await privates(bianca) == ["agora"]
    seen_id = max(bianca.ids)
    bianca.leave()
    place = await place_on(log)
    bia = await place.come("bia", BIA, HERE, inbox=seen_id)
    assert await privates(bia) == ["esperava"] and not bia.ids


async def test_client_that_knows_no_cursor_gets_what_waits_once() -> None:
    """One of the first contract, without ids."""
    place = await place_on(FakeLog())
    (await place.come("bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    await ana.say("oi", to="bia")
    bia = await place.come("bia", BIA, HERE, inbox=None)
    assert await privates(bia) == ["oi"] and not bia.ids
    bia.leave()
    assert await privates(await place.come("bia", BIA, THERE, inbox=None)) == []


@pytest.fixture
def one_may_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give one sender more than there is room for."""
    monkeypatch.setattr(mail, "MAX_FROM_ONE", MAX_WAITING_MESSAGES + 1)


@pytest.mark.usefixtures("one_may_fill_it")
async def test_no_more_waits_than_the_limit() -> None:
    """One more is refused with its key; not one that was accepted already; and there is room again
    when the owner has been here."""
    log = FakeLog()
    place = await place_on(log)
    (await place.come("bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    for number in range(MAX_WAITING_MESSAGES):
        await ana.say(str(number), key=str(number), to="bia")
    assert await refusal_of(ana.say("demais", key="x", to="bia")) == "INBOX_FULL"
    await ana.say("0", key="0", to="bia")
    bia = await place.come("bia", BIA, HERE)
    assert await privates(bia) == [str(number) for number in range(MAX_WAITING_MESSAGES)]
    bia.leave()
    await ana.say("cabe", key="y", to="bia")
    assert await privates(await place.come("bia", BIA, THERE)) == ["cabe"]


@pytest.mark.usefixtures("one_may_fill_it")
async def test_limit_holds_for_all_who_write_together() -> None:
    """However many are on their way into the log at a time."""
    place = await place_on(FakeLog())
    (await place.come("bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    for number in range(MAX_WAITING_MESSAGES - 1):
        await ana.say(str(number), to="bia")
    caio = await place.come("caio", OTHER, "d" * 32)
    said = (ana.say("dela", to="bia"), caio.say("dele", to="bia"))
    refused = [error for error in await asyncio.gather(*said, return_exceptions=True) if error]
    assert [str(error) for error in refused] == [str(ChatError("INBOX_FULL"))]


async def test_those_who_write_together_wait_for_one_commit() -> None:
    """Nobody waits behind the messages of all the others, each in a group of its own."""
    log = FakeLog(is_automatic=False)
    place = await place_on(log)
    (await place.come("bia", BIA, HERE)).leave()
    writers = [await place.come(f"w{n}", f"key {n}", f"{n:032x}") for n in range(5)]
    said = asyncio.gather(*(writer.say("oi", to="bia") for writer in writers))
    await quiet()
    log.commit_and_deliver()
    await asyncio.wait_for(said, DEADLINE_SECONDS)
    assert len(log.rows) == len(writers)


async def commit_slowly(log: FakeLog) -> None:
    """Commit a group when many reads could have been done meanwhile."""
    while True:
        await quiet()
        log.commit_and_deliver()


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_limit_is_exact_however_many_are_on_their_way(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the last ones might find no room they come one after the other; none is refused that
    would have had it, and a refused one takes nobody's."""
    monkeypatch.setattr(mail, "MAX_WAITING_MESSAGES", limit)
    log = FakeLog(is_automatic=False)
    place = await place_on(log)
    (await place.come("bia", BIA, HERE)).leave()
    writers = [await place.come(f"w{n}", f"key {n}", f"{n:032x}") for n in range(limit + 3)]
    committing = asyncio.create_task(commit_slowly(log))
    said = (writer.say("oi", to="bia") for writer in writers)
    refused = [error for error in await asyncio.gather(*said, return_exceptions=True) if error]
    assert [str(error) for error in refused] == [str(ChatError("INBOX_FULL"))] * 3
    assert len(log.rows) == limit
    bia = await place.come("bia", BIA, HERE)
    assert len(await privates(bia)) == limit
    bia.leave()
    await writers[0].say("cabe", to="bia")
    committing.cancel()


@pytest.mark.usefixtures("one_may_fill_it")
async def test_what_has_waited_too_long_is_not_told() -> None:
    """Nor does it take anybody's room; the owner is told that something is missing."""
    place = await place_on(FakeLog())
    (await place.come("bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    for number in range(MAX_WAITING_MESSAGES):
        await ana.say(str(number), to="bia")
    place.wall_clock.now = WAIT_SECONDS + MAX_WAITING_MESSAGES - 1
    await ana.say("cabe", to="bia")
    bia = await place.come("bia", BIA, HERE)
    assert await privates(bia) == [*(str(n) for n in range(MAX_WAITING_MESSAGES - 2, 1000)), "cabe"]
    assert await notices(bia) == [("HISTORY_GONE", "", "bia")]


async def test_nobody_fills_an_inbox_alone() -> None:
    """An owner's share is the key's, whatever the name; a stranger's is that of the address."""
    place = await place_on(FakeLog())
    (await place.come("bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA.ljust(PUBLIC_KEY_CHARACTERS, "_"))
    strangers = [
        Reader(place, await place.hub.join(JoinRequest(name, session=session), "192.0.2.1"))
        for name, session in (("rui", "1" * 32), ("lia", "2" * 32))
    ]
    for number in range(MAX_FROM_ONE):
        for writer in (ana, strangers[number % 2]):
            await writer.say(str(number), to="bia")
    await ana.rename("anna")
    for writer in (ana, *strangers):
        assert await refusal_of(writer.say("demais", to="bia")) == "INBOX_FULL"
    caio = await place.come("caio", OTHER, "d" * 32)
    await caio.say("cabe", to="bia")
    bia = await place.come("bia", BIA, HERE)
    assert len(await privates(bia)) == 2 * MAX_FROM_ONE + 1
    bia.leave()
    await ana.say("cabe", to="bia")


async def test_share_is_exact_however_many_are_on_their_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By several streams of one address at once."""
    monkeypatch.setattr(mail, "MAX_FROM_ONE", 2)
    log = FakeLog(is_automatic=False)
    place = await place_on(log)
    (await place.come("bia", BIA, HERE)).leave()
    join = place.hub.join
    joins = [JoinRequest(f"w{n}", session=f"{n:032x}") for n in range(5)]
    writers = [Reader(place, await join(request, "192.0.2.1")) for request in joins]
    committing = asyncio.create_task(commit_slowly(log))
    said = (writer.say("oi", to="bia") for writer in writers)
    refused = [error for error in await asyncio.gather(*said, return_exceptions=True) if error]
    assert [str(error) for error in refused] == [str(ChatError("INBOX_FULL"))] * 3
    committing.cancel()


async def test_share_is_whole_when_what_waited_is_too_old() -> None:
    place = await place_on(FakeLog())
    (await place.come("bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    for number in range(MAX_FROM_ONE):
        await ana.say(str(number), to="bia")
    assert await refusal_of(ana.say("demais", to="bia")) == "INBOX_FULL"
    place.wall_clock.now += WAIT_SECONDS + 1
    await ana.say("cabe", to="bia")


async def test_message_to_nobodys_name_does_not_wait() -> None:
    """Nor one to a name that only looks like an owned one."""
    place = await place_on(FakeLog())
    (await place.come("bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    for name in ("caio", "b\u0456a", "bia."):
        assert await refusal_of(ana.say("oi", to=name)) == "USER_UNKNOWN"


async def test_next_owner_gets_nothing_of_what_waited() -> None:
    """Nor does the same one, who begins anew."""
    place = await place_on(FakeLog())
    (await place.come("bia", BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    for owner in (OTHER, BIA):
        await ana.say("segredo", to="bia")
        place.hub.owners.free("bia")
        bia = await place.come("bia", owner, HERE)
        assert await privates(bia) == []
        await ana.say("oi", to="bia")
        assert await privates(bia) == ["oi"]
        bia.leave()


async def test_renamed_owner_has_the_inbox_of_the_new_name() -> None:
    """What waits there comes at once; what is for the old name waits for it."""
    place = await place_on(FakeLog())
    for name in ("bia", "bianca"):
        (await place.come(name, BIA, HERE)).leave()
    ana = await place.come("ana", ANA)
    await ana.say("esperava", to="bianca")
    bia = await place.come("bia", BIA, THERE)
    await ana.say("antes", to="bia")
    assert await privates(bia) == ["antes"]
    await bia.rename("bianca")
    assert await privates(bia) == ["antes", "esperava"]
    await ana.say("agora", to="bianca")
    await ana.say("para bia", to="bia")
    assert await privates(bia) == ["antes", "esperava", "agora"]
    assert await notices(ana) == [("AWAY", "", "bianca"), ("AWAY", "", "bia")]
    await bia.rename("bia")
    assert await privates(bia) == ["antes", "esperava", "agora", "para bia"]
    bia.leave()
    for name in ("bia", "bianca"):
        reader = await place.come(name, BIA, HERE)
        assert await privates(reader) == []
        reader.leave()


async def test_earlier_names_of_a_stream_are_forgotten_when_all_has_arrived() -> None:
    """Also where others spoke elsewhere, so that ids went on which no inbox will ever have."""
    place = await place_on(FakeLog())
    ana, bia = await place.come("ana", ANA), await place.come("bia", BIA, HERE)
    for name in ("bianca", "bia", "bianca"):
        await ana.say("a todos")
        await bia.rename(name)
        await quiet()
    place.hub.mail.note_all()
    place.clock.now += UNCERTAIN_SECONDS
    place.hub.mail.note_all()
    assert len(place.hub.mail) == len([ana, bia])


async def test_no_more_earlier_names_of_a_stream_are_kept_than_the_limit() -> None:
    """However fast it changes between two; what is said to it in the end comes all the same."""
    place = await place_on(FakeLog())
    ana, bia = await place.come("ana", ANA), await place.come("bia", BIA, HERE)
    for number in range(2 * MAX_EARLIER):
        name = ("bianca", "bia")[number % 2]
        await bia.rename(name)
        await ana.say(str(number), to=name)
        await quiet()
    assert len(place.hub.mail) <= len([ana, bia]) + MAX_EARLIER
    assert await privates(bia) == [str(number) for number in range(2 * MAX_EARLIER)]


async def test_who_claims_a_name_by_a_rename_is_told_so_once() -> None:
    """After the echo; not of a name that is theirs already, nor where nobody owns any."""
    place = await place_on(FakeLog())
    ana, caio = await place.come("ana", ANA), await place.come("caio", "", HERE)
    for name in ("anna", "ana", "Anna"):
        await ana.rename(name, key=name)
    await caio.rename("caius", key="1")
    assert await notices(ana) == [("NAME_CLAIMED", "", "anna")]
    assert await notices(caio) == []
    reasons = [message.key or message.user for message in ana.messages if message.user != "caio"]
    assert reasons[:2] == ["anna", "NAME_CLAIMED"]


async def test_reader_on_two_machines_at_once_hears_everything() -> None:
    """The second takes the place of the first, and gets what that may not have got."""
    place = await place_on(FakeLog())
    ana, here = await place.come("ana", ANA), await place.come("bia", BIA, HERE)
    await ana.say("um", to="bia")
    there = await place.come("bia", BIA, THERE)
    await ana.say("dois", to="bia")
    assert await privates(there) == ["um", "dois"]
    error = await here.ends()
    assert error is not None and error.reason == "SESSION_REPLACED"


async def test_nobody_is_told_that_an_owner_has_not_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Since it waits, also when the name is held no longer."""
    monkeypatch.setattr(absence, "HELD_SECONDS", 0.01)
    place = await place_on(FakeLog())
    ana, bia = await place.come("ana", ANA), await place.come("bia", BIA, HERE)
    await ana.say("um", to="bia")
    await quiet()
    bia.leave(is_lost=True)
    await ana.say("dois", to="bia")
    await come_true(lambda: place.hub.directory.find("bia") is None)
    assert await notices(ana) == [("AWAY", "", "bia")]
    assert await privates(await place.come("bia", BIA, THERE)) == ["um", "dois"]
