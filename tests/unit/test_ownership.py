"""Names that belong to somebody, and where their private messages come."""

from __future__ import annotations

import pytest
from rooms import SESSION, FakeLog

from chat.protocol.errors import ChatError
from chat.protocol.metadata import JoinRequest
from chat.server.hub import Hub
from chat.server.member import Member

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
        hub.rename(bia, "Ana")
    plain = await hub.join(JoinRequest())
    with pytest.raises(ChatError, match="belongs"):
        hub.name_plain(plain, "ana")


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


async def test_renamed_owner_owns_the_new_name_too() -> None:
    """And keeps the inbox of the stream, also over a restart of the server."""
    log = FakeLog()
    hub = await hub_on(log)
    ana = await join(hub, "ana", ANA)
    hub.rename(ana, "anna")
    assert hub.owners.find("anna") and hub.owners.find("ana")
    hub.leave(ana, is_lost=True)
    hub = await hub_on(log)
    again = await join(hub, "anna", ANA)
    assert again.inbox is not None and ana.inbox is not None
    assert again.inbox.room.key == ana.inbox.room.key
