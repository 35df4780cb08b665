"""Names that belong to somebody, and where their private messages come."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from rooms import SESSION, FakeLog, come_true

from chat.protocol.errors import ChatError
from chat.protocol.metadata import JoinRequest
from chat.protocol.names import name_key
from chat.server import ownership
from chat.server.directory import new_identity
from chat.server.hub import Hub
from chat.server.member import Member
from chat.server.ownership import CERTIFIED, CLAIMS, MAX_NAMES_OF_KEY, UNUSED_SECONDS, Owned, Owners
from chat.server.records import FREED, OWNER

ANA, BIA = "key-of-ana", "key-of-bia"
OTHER_SESSION = "f" * 32


async def hub_on(log: FakeLog) -> Hub:
    hub = Hub(log, 10, 0)
    await hub.start()
    return hub


async def join(hub: Hub, name: str, owner: str = "", session: str = SESSION) -> Member:
    return await hub.join(JoinRequest(name, session=session, inbox=0), owner=owner)


async def test_name_belongs_to_whoever_first_proves_a_key_under_it() -> None:
    """Also when its owner is away, and after a restart; what looks like it too."""
    log = FakeLog()
    hub = await hub_on(log)
    hub.leave(await join(hub, "ana", ANA))
    for _ in range(2):
        for name, owner in (("ana", ""), ("Ana", BIA), ("аna", ""), ("ana.", BIA)):
            with pytest.raises(ChatError) as refusal:
                await join(hub, name, owner, OTHER_SESSION)
            assert refusal.value.reason == "NAME_OWNED"
        hub.leave(await join(hub, "ana", ANA, OTHER_SESSION))
        hub = await hub_on(log)


async def test_nobody_gets_an_owned_name_in_another_way() -> None:
    """By a rename, or as a plain client."""
    hub = await hub_on(FakeLog())
    hub.leave(await join(hub, "ana", ANA))
    bia = await join(hub, "bia", "", OTHER_SESSION)
    with pytest.raises(ChatError, match="belongs"):
        hub.naming.rename(bia, "Ana")
    plain = await hub.join(JoinRequest())
    with pytest.raises(ChatError, match="belongs"):
        hub.naming.name_plain(plain, "ana", "1")


async def test_session_of_an_owner_is_nobody_elses() -> None:
    """Who has come to know it gets neither the name nor the inbox, under whatever name."""
    hub = await hub_on(FakeLog())
    hub.leave(await join(hub, "ana", ANA), is_lost=True)
    for name, owner in (("ana", ""), ("zeca", ""), ("zeca", BIA)):
        with pytest.raises(ChatError) as refusal:
            await join(hub, name, owner)
        assert refusal.value.reason == "NAME_OWNED"


async def test_owner_takes_the_own_name_from_another_session() -> None:
    """From another machine, or while the name is held; nobody sees her go and come."""
    hub = await hub_on(FakeLog())
    first = await join(hub, "ana", ANA)
    second = await join(hub, "ana", ANA, OTHER_SESSION)
    assert first.is_closing and first.error is not None
    assert first.error.reason == "SESSION_REPLACED"
    assert first.person is second.person
    assert hub.rooms[""].names() == ["ana"]
    hub.leave(second, is_lost=True)
    third = await join(hub, "ana", ANA)
    assert third.person is second.person
    assert third.inbox is not None and second.inbox is not None
    assert third.inbox.room.key == second.inbox.room.key


@pytest.mark.parametrize("is_lost", [False, True])
async def test_owner_comes_under_an_own_name_that_another_session_has(is_lost: bool) -> None:
    """The session was known by another one; the other stream is told, and the room sees one go."""
    log = FakeLog()
    hub = await hub_on(log)
    ana = await join(hub, "ana", ANA)
    anna = await join(hub, "anna", ANA, OTHER_SESSION)
    if is_lost:
        hub.leave(anna, is_lost=True)
    again = await join(hub, "anna", ANA)
    for member in (ana, *(() if is_lost else (anna,))):
        assert member.error is not None and member.error.reason == "SESSION_REPLACED"
    assert again.person is ana.person and again.person is not None
    assert hub.rooms[""].names() == ["anna"] and len(hub.directory) == 1
    owned = hub.owners.find("anna")
    assert owned is not None and again.person.inbox == owned.inbox
    assert list(log.held) == [again.person.identity]


async def test_own_name_of_a_plain_client_is_taken() -> None:
    """Nobody goes on in its stream, whoever has certified both."""
    hub = await hub_on(FakeLog())
    plain = await hub.join(JoinRequest(), certified="ana")
    hub.naming.name_plain(plain, "ana", new_identity())
    await join(hub, "bia", CERTIFIED)
    with pytest.raises(ChatError) as refusal:
        await join(hub, "ana", CERTIFIED)
    assert refusal.value.reason == "NAME_TAKEN" and not plain.is_closing


async def test_renamed_owner_owns_the_new_name_too() -> None:
    """Also over a restart of the server, where the name is held."""
    log = FakeLog()
    hub = await hub_on(log)
    ana = await join(hub, "ana", ANA)
    hub.naming.rename(ana, "anna")
    assert hub.owners.find("anna") and hub.owners.find("ana")
    hub.leave(ana, is_lost=True)
    hub = await hub_on(log)
    again = await join(hub, "anna", ANA)
    assert again.person is not None and again.person.owner == ANA


async def test_present_says_whose_names_are_their_own() -> None:
    """Of those who are here and have proved it, and of those who are expected back."""
    hub = await hub_on(FakeLog())
    await join(hub, "ana", ANA)
    await join(hub, "caio", "", OTHER_SESSION)
    hub.leave(await join(hub, "bia", BIA, "b" * 32), is_lost=True)
    marks = {m.user: m.message for part in hub.rooms[""].list_names() for m in part.messages}
    assert marks == {"ana": "owned", "bia": "owned", "caio": ""}


# How many, and for how long.


def owners_at(now: list[float], log: FakeLog | None = None) -> Owners:
    return Owners(log or FakeLog(), lambda: now[0])


def claims(owners: Owners, name: str, owner: str = ANA, address: str = "") -> bool:
    return owners.claim(name, owner, address, 0) is not None


def test_key_owns_some_names_and_no_more() -> None:
    """What it has stays its own; another one is free for it when one is freed."""
    owners = owners_at([0.0])
    assert [claims(owners, f"n{number}") for number in range(MAX_NAMES_OF_KEY + 1)] == [
        *[True] * MAX_NAMES_OF_KEY,
        False,
    ]
    assert claims(owners, "n0") and owners.find(f"n{MAX_NAMES_OF_KEY}") is None
    owners.free("n0")
    assert claims(owners, "outra")


def test_address_claims_a_class_of_names_and_then_some_in_a_day() -> None:
    """However many keys it makes; another address, and this machine, are not held to that."""
    owners = owners_at([0.0])
    count = int(CLAIMS.burst)
    assert all(claims(owners, f"n{n}", f"key {n}", "192.0.2.1") for n in range(count))
    assert not claims(owners, "mais", "another key", "192.0.2.1")
    assert claims(owners, "n0", "key 0", "192.0.2.1")
    assert claims(owners, "mais", "another key", "192.0.2.2")
    assert all(claims(owners, f"m{n}", f"key {n}") for n in range(count + 1))


def test_certified_names_are_as_many_as_the_authority_says() -> None:
    """Neither a key's limit nor an address's is theirs."""
    owners = owners_at([0.0])
    names = [f"n{number}" for number in range(int(CLAIMS.burst) + 1)]
    assert all(claims(owners, name, CERTIFIED, "192.0.2.1") for name in names)


def test_authority_gives_a_name_to_whom_it_likes() -> None:
    """Also one that a key has owned; what was written to that owner is not for the new one."""
    owners = owners_at([0.0])
    assert claims(owners, "ana")
    before = owners.find("ana")
    owners.check("ana", CERTIFIED)
    assert claims(owners, "ana", CERTIFIED)
    after = owners.find("ana")
    assert before is not None and after is not None and before.inbox != after.inbox
    with pytest.raises(ChatError, match="belongs"):
        owners.check("ana", ANA)


def test_names_are_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is anybody's."""
    monkeypatch.setattr(ownership, "MAX_OWNED", 1)
    owners = owners_at([0.0])
    assert claims(owners, "ana") and not claims(owners, "bia", BIA)


async def test_who_may_own_no_more_is_here_all_the_same() -> None:
    """Under a name that is nobody's own, as without a key."""
    hub = await hub_on(FakeLog())
    for number in range(MAX_NAMES_OF_KEY):
        hub.owners.claim(f"n{number}", ANA, "", 0)
    ana = await join(hub, "ana", ANA)
    assert ana.person is not None and not ana.person.owns_name and hub.owners.find("ana") is None
    assert ana.inbox is not None and ana.inbox.room.key == ana.person.identity


async def test_key_counts_under_a_name_that_is_nobodys_own() -> None:
    """Whoever may own no more comes back to her own name; nobody else goes on in her place."""
    log = FakeLog()
    hub = await hub_on(log)
    ana = await join(hub, "ana", ANA)
    for number in range(1, MAX_NAMES_OF_KEY):
        hub.owners.claim(f"n{number}", ANA, "", 0)
    hub.naming.rename(ana, "bruna")
    assert ana.person is not None and not ana.person.owns_name
    with pytest.raises(ChatError) as refusal:
        await join(hub, "bruna", ANA, OTHER_SESSION)
    assert refusal.value.reason == "NAME_TAKEN"
    with pytest.raises(ChatError) as refusal:
        await join(hub, "bruna")
    assert refusal.value.reason == "NAME_OWNED"
    hub.leave(ana, is_lost=True)
    hub = await hub_on(log)
    ana = await join(hub, "bruna", ANA)
    hub.naming.rename(ana, "ana")
    assert ana.person is not None and ana.person.owns_name


def test_name_that_is_unused_for_a_year_is_free() -> None:
    """And so is what looks like it."""
    now = [0.0]
    owners = owners_at(now)
    assert claims(owners, "ana")
    now[0] = UNUSED_SECONDS
    with pytest.raises(ChatError, match="belongs"):
        owners.check("\u0430na", BIA)
    now[0] += 1
    owners.check("\u0430na", BIA)
    assert owners.find("ana") is None and claims(owners, "\u0430na", BIA)


def test_freed_name_leaves_what_looks_like_it_to_its_owner() -> None:
    """One owner may have two names that look alike."""
    owners = owners_at([0.0])
    assert claims(owners, "ana") and claims(owners, "\u0430na")
    owners.free(name_key("\u0430na"))
    with pytest.raises(ChatError, match="belongs"):
        owners.check("\u0430na", BIA)
    owners.free("ana")
    owners.check("\u0430na", BIA)


async def test_name_is_freed_while_the_server_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what another program has written down; and when it starts."""
    monkeypatch.setattr(ownership, "FREED_LOOK_SECONDS", 0.001)
    log = FakeLog()
    hub = await hub_on(log)
    hub.leave(await join(hub, "Ana", ANA))
    log.keep(FREED, "ana", "{}")
    watching = asyncio.create_task(hub.owners.watch_freed())
    await come_true(lambda: hub.owners.find("ana") is None)
    await come_true(lambda: not log.kept)
    watching.cancel()
    hub.leave(await join(hub, "ana", BIA))
    log.keep(FREED, "ana", "{}")
    assert (await hub_on(log)).owners.find("ana") is None


async def test_server_that_does_not_enforce_names_leaves_them_as_they_are() -> None:
    """Anybody has any name there, also the session that holds one; nobody has an owner's mail."""
    log = FakeLog()
    hub = await hub_on(log)
    hub.leave(await join(hub, "ana", ANA), is_lost=True)
    hub.leave(await join(hub, "bia", BIA, OTHER_SESSION))
    open_hub = Hub(log, 10, 0, owns_names=False)
    await open_hub.start()
    assert open_hub.owners.ignored == 2
    ana = await join(open_hub, "ana")
    assert ana.person is not None and ana.person.inbox == ana.person.identity
    await join(open_hub, "bia", "", "c" * 32)
    assert (await hub_on(log)).owners.find("bia")


async def test_record_that_is_none_is_removed() -> None:
    """Of a later version, or damaged: the server starts."""
    log = FakeLog()
    log.keep(OWNER, "ana", "{}")
    log.keep(OWNER, "bia", "x")
    hub = await hub_on(log)
    assert not log.kept and hub.owners.find("ana") is None


def test_operators_name_is_kept_however_unused() -> None:
    """Else whoever came next under it would be an operator."""
    now = [0.0]
    owners = Owners(FakeLog(), lambda: now[0])
    owners.claim("ana", ANA, "", 0)
    owners.kept = frozenset({"ana"})
    now[0] = 10 * UNUSED_SECONDS
    assert owners.find("ana") is not None
    owners.kept = frozenset()
    assert owners.find("ana") is None


async def test_what_was_seen_of_a_log_that_was_put_back_means_nothing() -> None:
    """Its ids come again: what waits there would be skipped. It is noted anew from there on."""
    log = FakeLog()
    owners = Owners(log)
    owned = owners.claim("ana", "key", "", 0)
    assert owned is not None
    owners.note_seen(owned, 5000, "session")
    log.rewinds = 1
    found = owners.find("ana")
    assert found is not None and (found.inbox_seen_id, found.seen_by) == (0, "")
    owners.note_seen(found, 40)
    again = Owners(log)
    await again.load()
    found = again.find("ana")
    assert found is not None and found.inbox_seen_id == 40


async def test_record_of_another_server_takes_no_one_back() -> None:
    """It may have been written before that one knew how far the owner has read here."""
    owners = Owners(FakeLog())
    owned = owners.claim("ana", "key", "", 0)
    assert owned is not None
    owners.note_seen(owned, 5000)
    owners.take("ana", replace(owned, inbox_seen_id=10).to_text())
    found = owners.find("ana")
    assert found is not None and found.inbox_seen_id == 5000
    owners.take("ana", Owned("ana", "other key", owned.used_at, 10).to_text())
    found = owners.find("ana")
    assert found is not None and found.inbox_seen_id == 10
