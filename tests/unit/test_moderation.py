"""Bans and mutes: whom they hold for, how long, and what is kept of them."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from moderated import KEY_OF_BIA, NOW, Clock
from rooms import FakeLog

from chat.protocol.details import MAX_SECONDS
from chat.protocol.errors import ChatError
from chat.server.moderation import (
    MAX_IN_FORCE,
    Moderation,
    Sanction,
    Sanctions,
    Who,
    network_in,
)
from chat.server.ownership import Owners
from chat.server.records import BAN


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


@pytest.fixture
def bans(log: FakeLog, clock: Clock) -> Sanctions:
    return Sanctions(log, BAN, clock)


@pytest.mark.parametrize("name", ["bia", "BIA", "bia.", "b\u0456a", "-bia-"])
def test_name_and_what_looks_like_it(bans: Sanctions, name: str) -> None:
    """Another spelling is no way in."""
    bans.add(Sanction("bia"))
    assert bans.find(Who(name)) is not None
    assert bans.find(Who("caio")) is None and bans.find(Who("")) is None


def test_owner_and_session_under_whatever_name(bans: Sanctions) -> None:
    """A rename does not help, nor another machine with the same key."""
    bans.add(Sanction("bia", KEY_OF_BIA, "session-of-bia"))
    assert bans.find(Who("zoe", owner=KEY_OF_BIA)) is not None
    assert bans.find(Who("zoe", identity="session-of-bia")) is not None
    assert bans.find(Who("zoe", owner="another", identity="another")) is None


def test_certified_people_have_no_key_of_their_own(bans: Sanctions) -> None:
    """One of them is banned by the name, and the others are not."""
    bans.add(Sanction("bia", "certificate"))
    assert bans.find(Who("bia", owner="certificate")) is not None
    assert bans.find(Who("zoe", owner="certificate")) is None


@pytest.mark.parametrize(
    ("banned", "address", "is_hit"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.0/24", "192.0.2.200", True),
        ("192.0.2.9/24", "192.0.2.200", True),
        ("192.0.2.0/24", "192.0.3.1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("2001:db8::1", "2001:db8::/64", True),
        ("2001:db8::/32", "2001:db8:7::/64", True),
        ("2001:db8::/32", "192.0.2.7", False),
        ("2001:db8::/32", "", False),
        ("2001:db8::/32", "loopback", False),
    ],
)
def test_network(bans: Sanctions, banned: str, address: str, is_hit: bool) -> None:
    """Of IPv6 whoever has an address has 64 bits of them."""
    bans.add(Sanction("", network=str(network_in(banned))))
    assert (bans.find(Who("zoe", address=address)) is not None) is is_hit


@pytest.mark.parametrize("text", ["127.0.0.1", "127.9.9.9/32", "0.0.0.0/0", "::1", "::/0"])
def test_own_machine_is_not_banned(text: str) -> None:
    """Everybody behind a proxy there has its address."""
    with pytest.raises(ChatError) as refusal:
        network_in(text)
    assert refusal.value.reason == "ADDRESS_PROTECTED"


@pytest.mark.parametrize("text", ["bia", "10", "192.0.2", "192.0.2.0/33", "é", ""])
def test_name_is_no_network(text: str) -> None:
    assert network_in(text) is None


def test_ends_by_the_clock(bans: Sanctions, clock: Clock) -> None:
    """And one for good does not."""
    bans.add(Sanction("bia", until=NOW + 2))
    bans.add(Sanction("caio"))
    clock.now = NOW + 1.9
    assert bans.find(Who("bia")) is not None
    clock.now = NOW + 2
    assert bans.find(Who("bia")) is None
    clock.now = NOW + 1e9
    assert bans.find(Who("caio")) is not None


def test_longest_of_several_is_told(bans: Sanctions) -> None:
    """Who comes back after the shorter one would be refused once more."""
    bans.add(Sanction("bia", until=NOW + 5))
    bans.add(Sanction("", network="192.0.2.0/24", until=NOW + 9))
    who = Who("bia", address="192.0.2.1")
    found = bans.find(who)
    assert found is not None and found.until == NOW + 9
    bans.add(Sanction("bia", words="for good"))
    found = bans.find(who)
    assert found is not None and found.words == "for good"


def test_later_word_takes_the_place_of_the_earlier(bans: Sanctions) -> None:
    """Of one name there is one ban, however it is spelled."""
    bans.add(Sanction("bia"))
    bans.add(Sanction("BIA", until=NOW + 1))
    found = bans.find(Who("bia"))
    assert found is not None and found.until == NOW + 1


def test_end_reaches_all_that_holds_for_the_same(bans: Sanctions) -> None:
    """Whatever name the operator knows the person by."""
    bans.add(Sanction("bia", KEY_OF_BIA))
    bans.add(Sanction("bia.", "", "session"))
    assert bans.end(Sanction("zoe", KEY_OF_BIA)) is True
    assert bans.find(Who("zoe", KEY_OF_BIA)) is None
    assert bans.end(Sanction("bia")) is True
    assert bans.find(Who("bia")) is None and bans.end(Sanction("bia")) is False


def test_what_is_over_cannot_be_ended(bans: Sanctions, clock: Clock) -> None:
    bans.add(Sanction("bia", until=NOW + 2))
    clock.now = NOW + 3
    assert bans.end(Sanction("bia")) is False


async def test_kept_over_a_restart(bans: Sanctions, log: FakeLog, clock: Clock) -> None:
    """With all that it says; what is over, or makes no sense, is kept no more."""
    ban = Sanction("bia", KEY_OF_BIA, "session", until=NOW + 9, words="spam", by="ana")
    bans.add(ban)
    bans.add(Sanction("", network="2001:db8::/64"))
    bans.add(Sanction("caio", until=NOW + 1))
    for number, broken in enumerate(["", "[]", "{}", '{"name": 7}', '{"name": "x", "until": "y"}']):
        log.keep(BAN, f"broken {number}", broken)
    log.keep(BAN, "net", json.dumps({"name": "", "network": "no network"}))
    clock.now = NOW + 5
    again = Sanctions(log, BAN, clock)
    await again.load()
    assert again.find(Who("bia")) == ban
    assert again.find(Who("x", address="2001:db8::/64")) is not None
    assert again.find(Who("caio")) is None
    assert set(log.kept) == {(BAN, ban.key), (BAN, "net 2001:db8::/64")}


def test_there_is_no_end_of_them_but_a_limit(bans: Sanctions, clock: Clock) -> None:
    """Those that are over make room; others stay, and that is said."""
    bans.add(Sanction("first", until=NOW + 1))
    for number in range(MAX_IN_FORCE - 1):
        bans.add(Sanction(f"name{number}"))
    with pytest.raises(ChatError) as refusal:
        bans.add(Sanction("bia"))
    assert refusal.value.reason == "TOO_MANY_IN_FORCE"
    bans.add(Sanction("name7", words="again"))
    clock.now = NOW + 2
    bans.add(Sanction("bia"))
    assert bans.find(Who("bia")) is not None


async def test_operators_are_those_whose_own_a_name_of_the_list_is(
    log: FakeLog, clock: Clock
) -> None:
    """Whoever else has the name is none; and no ban or mute reaches one."""
    owners = Owners(log)
    owners.claim("ana", "key", "", 0)
    moderation = Moderation(log, owners, clock)
    moderation.operators = frozenset({"ana", "rui"})
    assert moderation.is_operator("Ana", "key")
    assert not moderation.is_operator("ana", "") and not moderation.is_operator("bia", "key")
    assert not moderation.is_operator("ana", "other") and not moderation.is_operator("rui", "key")
    moderation.bans.add(Sanction("ana", "key"))
    moderation.mutes.add(Sanction("ana", "key"))
    moderation.check_in(Who("ana", "key"))
    moderation.check_may_speak(Who("ana", "key"))
    # Nor does anybody who is banned become one by being the first under a name of the list.
    for who in (Who("ana"), Who("zoe", "key"), Who("rui", "key")):
        with pytest.raises(ChatError) as banned:
            moderation.check_in(who)
        with pytest.raises(ChatError) as muted:
            moderation.check_may_speak(who)
        assert (banned.value.reason, muted.value.reason) == ("BANNED", "MUTED")
    owners.free("ana")
    assert not moderation.is_operator("ana", "key")


@pytest.mark.parametrize("until", [MAX_SECONDS + 1, 1e300, float("inf")])
def test_end_after_the_end_of_time_is_that(until: float) -> None:
    """As an earlier version kept it, or a hand wrote it."""
    text = json.dumps(asdict(Sanction("bia", until=until)))
    assert Sanction.from_text(text).until == MAX_SECONDS
