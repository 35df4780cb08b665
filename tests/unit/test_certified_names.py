"""Names that an authority gives, without a server around them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from certificates import make_pair
from cryptography import x509
from rooms import SESSION, Chat, refusal_of

from chat.protocol.errors import ChatError
from chat.protocol.metadata import JoinRequest
from chat.server.certified_names import (
    PEM,
    certified_name,
    certified_owner,
    check_certified,
    no_certified_name,
)
from chat.server.directory import new_identity
from chat.server.ownership import CERTIFIED

KEY = "the-public-key-of-somebody"


def call_with(*certificates: bytes) -> Any:
    """Return a call by whoever has shown these."""
    found = {PEM: list(certificates)} if certificates else {}
    return SimpleNamespace(auth_context=lambda: found)


def test_name_is_that_in_the_certificate() -> None:
    """The alternative name before the common one, in the form in which names are shown."""
    named = make_pair("somebody", [x509.DNSName("ana"), x509.DNSName("bia")])
    assert certified_name(call_with(named.pem)) == "ana"
    assert certified_name(call_with(make_pair("Joa\u0303o", []).pem)) == "João"


@pytest.mark.parametrize("name", ["", "a,b", "ana: hello", "x" * 33, "Server", "s\u0435rver"])
def test_certificate_without_a_name_to_use_is_refused(name: str) -> None:
    """None, one that breaks the rules, or one that is reserved, or looks so."""
    with pytest.raises(ChatError) as refusal:
        certified_name(call_with(make_pair(name, []).pem))
    assert refusal.value.reason == "CERTIFICATE_INVALID"


def test_call_without_a_certificate_is_refused() -> None:
    """gRPC lets none through; should it once, nobody is taken for anybody."""
    for call in (call_with(), call_with(b""), call_with(b"nonsense")):
        with pytest.raises(ChatError):
            certified_name(call)
    assert no_certified_name(call_with()) == ""


@pytest.mark.parametrize(
    ("user", "certified", "owner"),
    [
        ("ana", "ana", CERTIFIED),
        ("ANA", "ana", CERTIFIED),
        (None, "ana", CERTIFIED),
        ("ana", "", ""),
        (None, "", ""),
    ],
)
def test_owner_is_the_authority(user: str | None, certified: str, owner: str) -> None:
    """Where names are certified, and the client wants none but its own."""
    assert certified_owner(JoinRequest(user=user), certified) == owner


@pytest.mark.parametrize("name", ["bia", "an\u0430", "ana2"])
def test_other_name_is_refused(name: str) -> None:
    """Also one that looks like it."""
    with pytest.raises(ChatError) as refusal:
        certified_owner(JoinRequest(user=name), "ana")
    assert refusal.value.reason == "NAME_CERTIFIED"
    check_certified(name, "")


async def join(chat: Chat, name: str | None, certified: str, session: str = "") -> Any:
    """Join by a certificate."""
    request = JoinRequest(user=name, session=session, inbox=0)
    owner = certified_owner(request, certified)
    return await chat.hub.join(request, owner=owner, certified=certified)


async def test_certified_person_keeps_the_name() -> None:
    """A rename is refused; in another spelling it is the same name."""
    chat = Chat()
    ana = await join(chat, "ana", "ana")
    with pytest.raises(ChatError) as refusal:
        chat.hub.naming.rename(ana, "bia")
    assert refusal.value.reason == "NAME_CERTIFIED"
    chat.hub.naming.rename(ana, "Ana")
    assert ana.name == "Ana" and ana.person.owner == CERTIFIED


async def test_plain_client_has_the_certified_name_alone() -> None:
    """By its first message, and from then on."""
    chat = Chat()
    plain = await join(chat, None, "ana")
    with pytest.raises(ChatError) as refusal:
        chat.hub.naming.name_plain(plain, "bia", new_identity())
    assert refusal.value.reason == "NAME_CERTIFIED"
    chat.hub.naming.name_plain(plain, "ana", new_identity())
    assert plain.person is not None and plain.person.owner == CERTIFIED


async def test_authority_takes_a_name_from_whoever_owned_it() -> None:
    """Its word is above a key's; but what lies in the inbox of the key's owner stays there."""
    chat = Chat()
    before = chat.hub.owners.claim("ana", KEY, "", 0)
    assert before is not None
    ana = await join(chat, "ana", "ana")
    assert ana.person.owner == CERTIFIED and ana.person.inbox != before.inbox
    refused = chat.hub.join(JoinRequest(user="ana2"), owner=KEY)
    (await refused).close()
    assert await refusal_of(chat.hub.join(JoinRequest(user="ana"), owner=KEY)) == "NAME_OWNED"


async def test_session_of_another_certified_person_is_no_way_in() -> None:
    """Neither the name nor the inbox goes to whoever has stolen it."""
    chat = Chat()
    ana = await join(chat, "ana", "ana", SESSION)
    assert await refusal_of(join(chat, "bia", "bia", SESSION)) == "NAME_CERTIFIED"
    assert ana.person.name == "ana" and not ana.is_closing


async def test_certified_person_is_the_same_on_another_machine() -> None:
    """A session of its own takes the place of the first."""
    chat = Chat()
    first = await join(chat, "ana", "ana", SESSION)
    second = await join(chat, "ana", "ana", SESSION[::-1])
    assert first.is_closing and first.error.reason == "SESSION_REPLACED"
    owned = chat.hub.owners.find("ana")
    assert owned is not None and second.person.inbox == owned.inbox


async def test_certified_plain_client_keeps_its_name_until_it_leaves() -> None:
    """Nobody can continue its stream: a full client of the same person has to wait."""
    chat = Chat()
    plain = await join(chat, None, "ana")
    chat.hub.naming.name_plain(plain, "ana", new_identity())
    assert await refusal_of(join(chat, "ana", "ana", SESSION)) == "NAME_TAKEN"
    assert not plain.is_closing
    chat.hub.leave(plain)
    assert (await join(chat, "ana", "ana", SESSION)).name == "ana"
