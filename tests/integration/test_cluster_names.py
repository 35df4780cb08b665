"""Names over several servers, on a real NATS: one holds a name, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from natsd import Natsd, all_open, running_nats
from support import DEADLINE_SECONDS, POLL_SECONDS

from chat.server.cluster import leases, names
from chat.server.cluster.bucket import Bucket, ConflictError
from chat.server.cluster.connection import AwayError, ClusterSettings, Connection
from chat.server.cluster.leases import Leases
from chat.server.cluster.names import Claim, Holding, Names, NameTakenError, keys_of

CONTESTS = 200


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Natsd]:
    """A nats-server."""
    with running_nats(tmp_path / "nats") as server:
        yield server


class Server:
    """The names as one server has them."""

    def __init__(self, me: str, nats: Natsd) -> None:
        self.me = me
        self.failures: list[BaseException] = []
        self.changes: list[tuple[str, str]] = []
        self.connection = Connection(ClusterSettings((nats.url,)))
        self.leases = Leases(self.connection, me, 1, self.failures.append)
        self.names = Names(self.connection, self.leases, 1, self.failures.append)
        self.names.on_change = self._note
        self.connection.listeners.append(lambda is_there: self.names.consumer.renew())

    def _note(self, old: Holding | None, new: Holding | None) -> None:
        self.changes.append((old.server if old else "", new.server if new else ""))

    async def open(self) -> None:
        """Connect, and follow."""
        await self.connection.open(lambda text: None)
        await self.leases.open()
        await self.names.open()

    async def close(self) -> None:
        """Be no longer there, without a word."""
        await self.names.close()
        await self.leases.close()
        await self.connection.close()
        assert self.failures == []

    async def claim(self, name: str, identity: str = "", rooms: tuple[str, ...] = ()) -> Claim:
        """Take a name."""
        identity = identity or f"{self.me} {name}"
        return await self.names.claim(Holding(name, self.me, identity, rooms=rooms))

    async def is_refused(self, name: str) -> bool:
        """Say whether a name is somebody else's."""
        try:
            claim = await self.claim(name)
        except NameTakenError:
            return True
        self.names.release(claim)
        return False

    def present(self) -> dict[str, str]:
        """Return the names, and where they are held."""
        return {holding.name: holding.server for holding in self.names.people()}


def servers(nats: Natsd, *who: str) -> AbstractAsyncContextManager[list[Server]]:
    """Run the names of several servers for the length of the block."""
    return all_open(*(Server(me, nats) for me in who))


async def come_true(predicate: Callable[[], bool]) -> None:
    """Return when it is true; fail after the deadline."""

    async def poll() -> None:
        while not predicate():
            await asyncio.sleep(POLL_SECONDS)

    await asyncio.wait_for(poll(), DEADLINE_SECONDS)


async def test_name_that_two_servers_take_at_once_is_one_ones(nats: Natsd) -> None:
    """Each time, also where the names only look alike; and whoever was refused holds nothing."""
    async with servers(nats, "a", "b") as (a, b):
        for contest in range(CONTESTS):
            claims = (a.claim(f"lan{contest}"), b.claim(f"Ian{contest}"))
            done = await asyncio.gather(*claims, return_exceptions=True)
            won = [one for one in done if isinstance(one, Claim)]
            lost = [one for one in done if isinstance(one, NameTakenError)]
            assert (len(won), len(lost)) == (1, 1)
        await come_true(lambda: len(a.present()) == len(b.present()) == CONTESTS)
        assert a.present() == b.present()


async def test_name_is_free_when_it_is_released(nats: Natsd) -> None:
    """At once at the server that released it, and soon at the others."""
    async with servers(nats, "a", "b") as (a, b):
        claim = await a.claim("Ana", rooms=("sala",))
        assert await b.is_refused("ana") and await b.is_refused("ANA")
        await come_true(lambda: b.names.find("ana") is not None)
        await a.names.move(claim, rooms=("outra",))
        await come_true(
            lambda: (found := b.names.find("ANA")) is not None and found.rooms == ("outra",)
        )
        a.names.release(claim)
        again = await a.claim("ana", "another one")
        a.names.release(again)
        # It was free for a moment before that as well.
        await come_true(lambda: b.changes.count(("a", "")) == 2 and b.present() == {})
        assert not await b.is_refused("ana")
        assert b.changes[0] == ("", "a")


async def test_session_takes_its_name_along_to_another_server(nats: Natsd) -> None:
    """The first hears it, and cannot release it any more."""
    async with servers(nats, "a", "b") as (a, b):
        old = await a.claim("ana", "session")
        new = await b.claim("ana", "session")
        await come_true(lambda: a.present() == {"ana": "b"})
        assert ("a", "b") in a.changes
        a.names.release(old)
        with pytest.raises(ConflictError):
            await a.names.move(old, rooms=())
        assert await a.is_refused("ana")
        await b.names.move(new, rooms=("sala",))


async def test_owner_takes_the_name_over_in_another_session(nats: Natsd) -> None:
    """All keys of it; nobody else does, nor the owner a name that only looks like it."""
    async with servers(nats, "a", "b") as (a, b):
        held = await a.names.claim(Holding("lIl", "a", "one"))
        await a.names.move(held, owner="key", inbox="their inbox")
        for name, owner in (("lIl", ""), ("lIl", "other key"), ("IlI", "key")):
            with pytest.raises(NameTakenError):
                await b.names.claim(Holding(name, "b", "two", owner=owner))
        await b.names.claim(Holding("lIl", "b", "two", owner="key"))
        await come_true(lambda: a.present() == {"lIl": "b"})
        found = a.names.find("lIl")
        assert found is not None and found.inbox == "their inbox"  # before any move


async def test_name_that_is_restored_takes_nothing_from_another_server(nats: Natsd) -> None:
    """From the run before it does, although the lease of that one is not over."""
    async with servers(nats, "a", "b") as (a, b):
        await a.claim("ana", "session")
        again = Holding("ana", "again", "session")
        with pytest.raises(NameTakenError):
            await b.names.claim(again, giving_way=("another run",))
        await b.names.claim(again, giving_way=("a",))


async def test_names_of_a_dead_server_can_be_had(
    nats: Natsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its lease is over; and somebody lets go of those that nobody asks for."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.5)
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(names, "SWEEP_SECONDS", 0.1)
    async with servers(nats, "b", "c") as (b, c):
        a = Server("a", nats)
        await a.open()
        await a.claim("ana")
        await a.claim("bia")
        await come_true(lambda: len(b.present()) == len(c.present()) == 2)
        assert await b.is_refused("ana")
        await a.close()
        await come_true(lambda: b.present() == c.present() == {})
        assert not await b.is_refused("ana")


async def test_claim_without_nats_says_so(
    nats: Natsd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its time; and what was to be released is, when NATS is back."""
    monkeypatch.setattr(names, "CLAIM_SECONDS", 0.3)
    async with servers(nats, "a", "b") as (a, b):
        claim = await a.claim("ana")
        nats.kill()
        await come_true(lambda: not a.connection.is_connected)
        with pytest.raises(AwayError):
            await a.claim("bia")
        a.names.release(claim)
        assert a.leases.is_alive("b")
        nats.start()
        await come_true(lambda: b.present() == {} and b.names.consumer.is_live)


async def test_name_whose_claim_got_no_answer_is_free_again(
    nats: Natsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be held or not: whoever does not know lets go of it."""
    put = Bucket.put

    async def lose_answer(*arguments: Any) -> int:
        await put(*arguments)
        raise AwayError("no answer")

    async with servers(nats, "a", "b") as (a, b):
        with monkeypatch.context() as patch:
            patch.setattr(Bucket, "put", lose_answer)
            with pytest.raises(AwayError):
                await a.claim("ana")
        await come_true(lambda: ("a", "") in b.changes)
        assert not await b.is_refused("ana")


async def test_claim_that_is_cancelled_as_it_ends_is_none(
    nats: Natsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told to end in that very turn does end, and the name is free again."""
    put, left = Bucket.put, len(keys_of("ana"))

    async def cancel_at_the_end(*arguments: Any) -> int:
        nonlocal left
        revision = await put(*arguments)
        left -= 1
        if not left:  # the claim ends before this comes to its turn
            asyncio.get_running_loop().call_soon(claiming.cancel)
        return revision

    async with servers(nats, "a", "b") as (a, b):
        with monkeypatch.context() as patch:
            patch.setattr(Bucket, "put", cancel_at_the_end)
            claiming = asyncio.ensure_future(a.claim("ana"))
            await asyncio.wait({claiming})
        assert claiming.cancelled() and not left
        await come_true(lambda: ("a", "") in b.changes)
        assert not await b.is_refused("ana")


HOLDING = json.loads(Holding("zé", "elsewhere", "i" * 32).to_content())
WRONG_FIELDS: list[dict[str, object]] = [
    {"rooms": [[1]]},
    {"rooms": [5, None]},
    {"rooms": 5},
    {"name": 5},
    {"name": "\ud800"},
    {"of": ["x"]},
    {"server": ["x"]},
    {"identity": []},
]
HOSTILE_VALUES = [
    b"[" * 200_000,
    b"\xff",
    b"null",
    *(json.dumps({**HOLDING, **wrong}).encode() for wrong in WRONG_FIELDS),
]
HOSTILE_HEADERS = [
    None,
    {"Status": "500"},
    {"Status": "100", "Nats-Last-Consumer": "q"},
]


async def test_value_that_is_no_holding_holds_no_name(nats: Natsd) -> None:
    """It can be taken, and every server goes on to hear of the others."""
    async with servers(nats, "a", "b") as (a, b):
        (key,) = keys_of("zé")
        for headers in HOSTILE_HEADERS:
            for content in HOSTILE_VALUES:
                await a.connection.request(f"$KV.chat-names.{key}", content, headers)
                await a.connection.request(f"$KV.chat-servers.{key}", content, headers)
            await b.claim(f"ana{len(headers or ())}")
        await come_true(lambda: len(a.present()) == len(HOSTILE_HEADERS))
        assert set(a.present().values()) == {"b"}
        await a.claim("zé")
        await come_true(lambda: "zé" in b.present())
