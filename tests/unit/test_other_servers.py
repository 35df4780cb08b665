"""What other servers bring about, taken over into one server's hub."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from moderated import KEY_OF_ANA, KEY_OF_BIA
from neighbourhood import servers
from rooms import SESSION, Chat, FakeLog, come_true, quiet, refusal_of

import chat_pb2
from chat.protocol.sealing import check_bundle, key_pair, make_bundle
from chat.server.log.base import Entry
from chat.server.other_servers import OtherServers
from chat.server.ownership import Owners
from chat.server.records import BUNDLE, FREED, OWNER
from chat.server.sealed import owner_of


async def test_what_was_said_elsewhere_is_broadcast_and_answered_to_nobody() -> None:
    """As if it had been said here."""
    chat = await Chat().start()
    ana = await chat.join("ana")
    chat.log.append(Entry("", "bia", chat_pb2.Message(user="bia", message="oi")))
    await ana.hears(1)
    assert ana.texts == ["oi"] and chat.shown == [("", "oi")]


async def test_newcomer_is_greeted_with_those_at_other_servers_too() -> None:
    """As WHO names them: those in other rooms are not there."""
    _journal, (one, other) = await servers()
    for name, room in (("bia", ""), ("caio", "sala")):
        await other.come(name, room=room)
    ana = await one.come("ana")
    assert one.hub.greeting(ana.member).people == 2


async def test_name_that_is_owned_elsewhere_is_owned_here() -> None:
    """And no more, where that is said."""
    chat = await Chat().start()
    elsewhere = FakeLog()
    Owners(elsewhere).claim("Ana", "key", "", 0)
    ((_kind, key), text) = next(iter(elsewhere.kept.items()))
    others = OtherServers(chat.hub)
    others.take_record(OWNER, key, text)  # it is read with all the others
    assert chat.hub.owners.find("ana") is None
    await others.read(chat.hub.owners.load)
    others.take_record(OWNER, key, text)
    owned = chat.hub.owners.find("ana")
    assert owned is not None and owned.owner == "key"
    others.take_record("another kind", key, "{}")
    others.take_record(OWNER, key, None)
    assert chat.hub.owners.find("ana") is None
    chat.hub.owners.check("ana", "")


async def test_owner_who_is_just_coming_elsewhere_can_be_written_to() -> None:
    """Where it reads is not told yet, but known; nobody else's inbox is taken for it."""
    _journal, (one, other) = await servers()
    bia = await other.come("bia", KEY_OF_BIA, "b" * 32, room="sala")
    ana = await one.come("ana", KEY_OF_ANA, "a" * 32, room="sala")
    await quiet()
    found, owned = one.nearby.find("bia"), one.hub.owners.find("bia")
    assert found is not None and owned is not None
    one.nearby.coming = replace(found, inbox="", owner="another key")
    assert await refusal_of(ana.say("psst", to="bia")) == "USER_UNREACHABLE"
    one.nearby.coming = replace(found, inbox="", owner=owned.owner)
    await ana.say("psst", to="bia")
    await bia.hears(1)
    assert bia.texts == ["psst"]


async def test_name_that_is_freed_is_nobodys_at_all_servers() -> None:
    """Whoever is there under it has it on, but no longer as the owner; the next one may own it."""
    _journal, (one, other) = await servers()
    bia = await other.come("bia", KEY_OF_BIA, "b" * 32, room="sala")
    await quiet()
    assert await refusal_of(one.come("bia", KEY_OF_ANA, "a" * 32)) == "NAME_OWNED"
    one.log.keep(FREED, "bia", "{}")
    await one.hub.owners.take_freed()
    await quiet()
    closing = chat_pb2.Message(kind=chat_pb2.KIND_CLOSED, room="sala", key="c")
    assert await refusal_of(bia.post(closing)) == "NOT_ROOM_OWNER"
    await bia.say("still here")
    bia.leave()
    ana = await one.come("bia", KEY_OF_ANA, "a" * 32)
    await quiet()
    assert await refusal_of(other.come("bia", KEY_OF_BIA, "b" * 32)) == "NAME_OWNED"
    one.log.keep(FREED, "bia", "{}")
    await one.hub.owners.take_freed()
    person = ana.member.person
    assert person is not None and not person.owns_name


async def test_key_that_is_published_elsewhere_is_handed_out_here() -> None:
    """And read again with all the rest."""
    _journal, (one, other) = await servers()
    keys = key_pair(Ed25519PrivateKey.generate())
    bundle = check_bundle(make_bundle(keys, "bia"), "bia")
    await one.come("bia", owner_of(bundle), "b" * 32)
    one.hub.bundles.publish("bia", bundle)
    await quiet()
    assert other.hub.bundles.find("bia") == bundle
    await other.others.begin_anew()
    assert other.hub.bundles.find("bia") == bundle
    one.log.keep(BUNDLE, "bia", None)
    await quiet()
    assert other.hub.bundles.find("bia") is None
    other.others.take_record(BUNDLE, "bia", "nonsense")
    assert other.hub.bundles.find("bia") is None


async def test_log_that_was_put_back_ends_every_stream() -> None:
    """What was seen of it means nothing any more: who comes back reads the inbox from its start."""
    chat = await Chat().start()
    ana = await chat.join("ana", session=SESSION)
    held = await chat.join("bia", session=SESSION[::-1])
    await ana.say("um", key="1")
    await ana.say("dois", key="2", to="bia")
    await held.hears(2)
    held.leave(is_lost=True)
    chat.log.rows.clear()
    await OtherServers(chat.hub).begin_anew()
    error = await ana.ends()
    assert error is not None and error.reason == "LOG_REWOUND"
    people = chat.hub.directory.people
    ana.leave(is_lost=True)
    assert {person.name: person.inbox_seen_id for person in people} == {"ana": 0, "bia": 0}
    await come_true(lambda: not chat.hub.members)
