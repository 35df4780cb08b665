"""Keys and sealed messages at the server: what it takes, keeps and hands on, without opening it."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rooms import Chat, FakeLog, Reader, bounded, quiet, refusal_of

from chat.protocol.limits import MAX_SEALED_BYTES
from chat.protocol.metadata import JoinRequest
from chat.protocol.sealing import (
    KeyPair,
    check_bundle,
    key_pair,
    make_bundle,
    open_sealed,
    seal,
)
from chat.server.hub import Hub
from chat.server.sealed import Bundles
from chat_pb2 import KIND_ACTION, KIND_KEY, Message


def owner(keys: KeyPair) -> str:
    """Return the public key as a proof names it."""
    return base64.urlsafe_b64encode(keys.signing_public).rstrip(b"=").decode()


class Owner:
    """Somebody with a name of their own, and the stream in which it was proved."""

    def __init__(self, chat: Chat, name: str) -> None:
        self.chat = chat
        self.name = name
        self.keys = key_pair(Ed25519PrivateKey.generate())

    async def join(self, inbox: int | None = 0) -> Reader:
        request = JoinRequest(user=self.name, session=self.name.encode().hex().zfill(32))
        request = JoinRequest(**{**vars(request), "inbox": inbox})
        return Reader(self.chat, await self.chat.hub.join(request, "", owner(self.keys)))

    @property
    def publication(self) -> Message:
        return Message(kind=KIND_KEY, sealed=make_bundle(self.keys, self.name), key="mine")

    def sealed(self, other: Owner, text: str = "segredo", key: str = "k") -> Message:
        """Return a message that only `other` can open."""
        said = Message(user=self.name, to=other.name, key=key, message=text)
        bundle = check_bundle(make_bundle(other.keys, other.name), other.name)
        return Message(to=other.name, key=key, sealed=seal(said, self.keys, bundle))


async def two_owners() -> tuple[Owner, Reader, Owner, Reader]:
    """Return ana and bia, who have both published their keys, and what they hear from then on."""
    chat = await Chat().start()
    ana, bia = Owner(chat, "ana"), Owner(chat, "bia")
    readers = [await one.join() for one in (ana, bia)]
    for one, reader in zip((ana, bia), readers, strict=True):
        await reader.post(one.publication)
    await quiet()
    for reader in readers:
        reader.messages.clear()
    return ana, readers[0], bia, readers[1]


async def test_published_key_is_handed_out_to_whoever_asks() -> None:
    """As it was signed; nobody need own a name to ask, and how it is spelled is no matter."""
    _ana, ana_hears, bia, _bia_hears = await two_owners()
    caio = await ana_hears.chat.join("caio")
    await caio.post(Message(kind=KIND_KEY, to="BIA", key="q"))
    (answer,) = await caio.hears(1)
    assert (answer.kind, answer.user, answer.to, answer.key) == (KIND_KEY, "BIA", "BIA", "q")
    assert check_bundle(answer.sealed, "bia").signing_key == bia.keys.signing_public


@pytest.mark.parametrize("name", ["caio", "ninguem", "x" * 128])
async def test_name_without_a_key_has_an_empty_answer(name: str) -> None:
    """Whether somebody is called so or not."""
    _ana, ana_hears, _bia, _bia_hears = await two_owners()
    await ana_hears.chat.join("caio")
    await quiet()
    ana_hears.messages.clear()
    await ana_hears.post(Message(kind=KIND_KEY, to=name, key="q"))
    (answer,) = await ana_hears.hears(1)
    assert (answer.to, answer.sealed, answer.key) == (name, b"", "q")


async def test_key_is_taken_of_the_owner_alone() -> None:
    """Nobody publishes under somebody else's name, or key, or what is no bundle."""
    ana, ana_hears, bia, _bia_hears = await two_owners()
    right = make_bundle(ana.keys, "ana")
    wrong = [
        make_bundle(bia.keys, "bia"),
        make_bundle(bia.keys, "ana"),
        make_bundle(ana.keys, "anna"),
        right[:-1] + bytes([right[-1] ^ 1]),
        right + b"\0",
        b"x" * 129,
        b"",
    ]
    for raw in wrong:
        wish = Message(kind=KIND_KEY, sealed=raw, key="mine")
        assert await refusal_of(ana_hears.post(wish)) == "REQUEST_INVALID"
    both = Message(kind=KIND_KEY, sealed=make_bundle(ana.keys, "ana"), to="ana", key="mine")
    assert await refusal_of(ana_hears.post(both)) == "REQUEST_INVALID"
    long = Message(kind=KIND_KEY, to="x" * 129, key="q")
    assert await refusal_of(ana_hears.post(long)) == "REQUEST_INVALID"
    stranger = await ana_hears.chat.join("caio")
    wish = Message(kind=KIND_KEY, sealed=make_bundle(ana.keys, "caio"), key="mine")
    assert await refusal_of(stranger.post(wish)) == "REQUEST_INVALID"


async def test_key_is_kept_with_the_name() -> None:
    """The next server on the same log hands it out; but not to a name that is nobody's any more."""
    _ana, ana_hears, bia, _bia_hears = await two_owners()
    log = ana_hears.chat.log
    hub = Hub(log, 10, 0)
    await hub.start()
    bundle = hub.bundles.find("bia")
    assert bundle is not None and bundle.signing_key == bia.keys.signing_public
    log.keep("owner", "bia", None)
    freed = Hub(log, 10, 0)
    await freed.start()
    assert freed.bundles.find("bia") is None and ("bundle", "bia") not in log.kept
    assert freed.bundles.find("ana") is not None


@pytest.mark.parametrize("text", ["", "?", base64.b64encode(b"x" * 128).decode()])
async def test_record_that_is_no_key_is_forgotten(text: str) -> None:
    """A damaged file keeps no server from starting."""
    log = FakeLog()
    log.keep("bundle", "bia", text)
    hub = Hub(log, 10, 0)
    await hub.start()
    assert hub.bundles.find("bia") is None and ("bundle", "bia") not in log.kept


async def test_sealed_message_goes_through_as_it_is() -> None:
    """To its reader with an id, to its writer without; the log has it, and no word of it."""
    ana, ana_hears, bia, bia_hears = await two_owners()
    message = ana.sealed(bia)
    await ana_hears.post(message)
    (heard,) = await bia_hears.hears(1)
    (echo,) = await ana_hears.hears(1)
    assert (heard.user, heard.to, heard.message, heard.sealed) == ("ana", "bia", "", message.sealed)
    assert heard.id and not echo.id and (echo.key, echo.sealed) == ("k", message.sealed)
    assert open_sealed(heard, bia.keys)[0].message == "segredo"
    assert [row.sealed for _room, row in ana_hears.chat.log.rows] == [message.sealed]


async def test_sealed_message_is_appended_once() -> None:
    """Sealed anew for each attempt, under the same key."""
    ana, ana_hears, bia, bia_hears = await two_owners()
    await ana_hears.post(ana.sealed(bia))
    await ana_hears.post(ana.sealed(bia))
    assert len(await bia_hears.hears(1)) == 1
    assert [m.key for m in await ana_hears.hears(2)] == ["k", "k"]


async def test_sealed_message_is_acknowledged_though_the_key_went_since() -> None:
    """The first attempt was taken: the second must not say that it was not sent."""
    ana, ana_hears, bia, _bia_hears = await two_owners()
    await ana_hears.post(ana.sealed(bia))
    await quiet()
    ana_hears.chat.hub.bundles = Bundles(ana_hears.chat.log, ana_hears.chat.hub.owners)
    await ana_hears.post(ana.sealed(bia))
    assert [m.key for m in await ana_hears.hears(2)] == ["k", "k"]
    assert await refusal_of(ana_hears.post(ana.sealed(bia, key="k2"))) == "KEY_UNKNOWN"


async def test_nothing_is_sealed_for_whom_has_no_such_key() -> None:
    """Nobody could open it: an unowned name, one without a key, another key than the present.

    Nor for a name that was freed since.
    """
    ana, ana_hears, bia, _bia_hears = await two_owners()
    caio = Owner(ana.chat, "caio")
    await caio.join()
    assert await refusal_of(ana_hears.post(ana.sealed(caio))) == "KEY_UNKNOWN"
    bia.keys = caio.keys
    assert await refusal_of(ana_hears.post(ana.sealed(bia))) == "KEY_UNKNOWN"
    ninguem = Owner(ana.chat, "ninguem")
    assert await refusal_of(ana_hears.post(ana.sealed(ninguem))) == "NAME_UNOWNED"
    ana_hears.chat.hub.owners.free("bia")
    assert await refusal_of(ana_hears.post(ana.sealed(bia))) == "NAME_UNOWNED"


async def test_who_owns_no_name_seals_nothing() -> None:
    """Nobody could tell whose words they are."""
    ana, ana_hears, bia, _bia_hears = await two_owners()
    stranger = await ana_hears.chat.join("caio")
    assert await refusal_of(stranger.post(ana.sealed(bia))) == "REQUEST_INVALID"


async def test_sealed_is_in_private_messages_alone() -> None:
    """In a room, with a text, as an action, without a key, of another length: refused."""
    ana, ana_hears, bia, _bia_hears = await two_owners()
    good = ana.sealed(bia)
    changes: list[dict[str, object]] = [
        {"message": "oi"},
        {"to": ""},
        {"kind": KIND_ACTION},
        {"key": ""},
        {"sealed": good.sealed[:-1]},
        {"sealed": b"x"},
    ]
    for change in changes:
        bad = Message()
        bad.CopyFrom(good)
        for field, value in change.items():
            setattr(bad, field, value)
        assert await refusal_of(ana_hears.post(bad)) == "REQUEST_INVALID", change
    good.sealed = b"x" * (MAX_SEALED_BYTES + 1)
    assert await refusal_of(ana_hears.post(good)) == "MESSAGE_TOO_LONG"


async def test_plain_client_seals_nothing() -> None:
    """It has no inbox, and what it says is told to everybody."""
    chat = await Chat().start()
    plain = await chat.join()
    wish = Message(user="caio", message="oi", sealed=b"x")
    assert await refusal_of(plain.post(wish)) == "REQUEST_INVALID"
    question = Message(user="caio", kind=KIND_KEY, to="bia")
    assert await refusal_of(plain.post(question)) == "REQUEST_INVALID"


async def test_client_of_one_room_gets_what_is_sealed() -> None:
    """Whoever publishes a key opens what comes, whichever contract its client is of."""
    ana, ana_hears, bia, bia_hears = await two_owners()
    bia_hears.leave()
    old = await bia.join(inbox=None)
    await quiet()
    old.messages.clear()
    message = ana.sealed(bia)
    await ana_hears.post(message)
    (heard,) = await bounded(old.hears(1))
    assert (heard.id, heard.sealed) == (0, message.sealed)
