"""Which of several servers is tried, and how soon the next one."""

from __future__ import annotations

from collections import Counter

import pytest

from chat.client.backoff import MIN_BACKOFF_SECONDS
from chat.client.connection import Connection
from chat.client.servers import HOP_SECONDS, OtherChat, Servers
from chat.client.unreachable import Unreachable
from chat.protocol.errors import ChatError, ConfigError


def servers(*names: str) -> Servers:
    return Servers([Connection(f"{name}:1", None) for name in names])


def tried(some: Servers, count: int) -> list[str]:
    """Return which ones are tried, one after the other."""
    found = []
    for _ in range(count):
        some.go_on()
        found.append(some.present.address)
    return found


def go_to(some: Servers, address: str) -> None:
    while some.present.address != address:
        some.go_on()


def test_clients_spread_over_the_servers() -> None:
    """At the start over all, and those of a lost one over the others."""
    first = Counter(servers("a", "b", "c").present.address for _ in range(3000))
    assert min(first.values()) > 850 and len(first) == 3
    second: Counter[str] = Counter()
    for _ in range(3000):
        one = servers("a", "b", "c")
        go_to(one, "a:1")
        one.meet("e")
        second.update(tried(one, 1))
    assert min(second.values()) > 1350 and sorted(second) == ["b:1", "c:1"]


def test_clients_of_a_lost_server_come_one_by_one() -> None:
    """Within a second, and evenly: in each tenth of it a tenth of them."""
    tenths: Counter[int] = Counter()
    for _ in range(5000):
        one = servers("a", "b")
        one.meet("e")
        tenths[int(one.go_on() / HOP_SECONDS * 10)] += 1
    assert sorted(tenths) == list(range(10)) and min(tenths.values()) > 380


def test_each_one_is_tried_once_in_a_round_and_the_lost_one_last() -> None:
    """Between rounds it waits as for one server alone."""
    one = servers("a", "b", "c", "d")
    one.meet("e")
    lost = one.present.address
    round_1 = tried(one, 4)
    assert sorted(round_1) == ["a:1", "b:1", "c:1", "d:1"] and round_1[-1] == lost
    for _ in range(3):
        assert one.go_on() >= MIN_BACKOFF_SECONDS  # begins a round
        others = [one.present.address, *tried(one, 3)]
        assert sorted(others) == sorted(round_1)


def test_only_server_is_tried_again_as_ever() -> None:
    """With the backoff from the first attempt on."""
    one = servers("a")
    one.meet("e")
    assert one.patience_seconds is None
    assert 0.5 <= one.go_on() <= 1.0 and one.present.address == "a:1"
    waits = [one.go_on() for _ in range(50)]
    assert max(waits) > 1.0
    one.meet("e")
    assert 0.5 <= one.go_on() <= 1.0


def test_server_that_may_be_cut_off_is_not_waited_for_long() -> None:
    """As long as there is another one in the first round; a slow line has all its time then."""
    one = servers("a", "b")
    assert one.patience_seconds is not None
    one.go_on()
    assert one.patience_seconds is None
    one.go_on()
    assert one.patience_seconds is None
    one.meet("e")
    one.go_on()
    assert one.patience_seconds is not None


def test_name_that_is_taken_is_tried_at_the_same_server() -> None:
    """It is taken at each of them."""
    one = servers("a", "b")
    address = one.present.address
    assert one.try_again() >= 0.5 and one.present.address == address


def test_refused_server_is_set_aside() -> None:
    """When none is left, what became of each is raised."""
    one = servers("a", "b")
    go_to(one, "a:1")
    one.fail(ConfigError("a:1 speaks TLS only."), is_final=True, is_awaited=False)
    assert set(tried(one, 5)) == {"b:1"}
    with pytest.raises(ConfigError) as error:
        one.fail(ChatError("TOKEN_INVALID"), is_final=True, is_awaited=False)
    assert str(error.value).splitlines() == [
        "None of the servers can be used:",
        "  a:1 speaks TLS only.",
        f"  b:1: {ChatError('TOKEN_INVALID')}",
    ]


def test_first_round_ends_a_session_that_waits_for_nobody() -> None:
    """But not before each has been tried."""
    one = servers("a", "b")
    one.fail(Unreachable("no"), is_final=False, is_awaited=True)
    one.go_on()
    with pytest.raises(ConfigError, match="None of the servers"):
        one.fail(ChatError("SERVER_FULL"), is_final=False, is_awaited=True)


def test_same_refusal_everywhere_is_that_refusal() -> None:
    """A program goes by its reason."""
    one = servers("a", "b")
    one.fail(ChatError("SERVER_FULL"), is_final=False, is_awaited=True)
    one.go_on()
    with pytest.raises(ChatError) as error:
        one.fail(ChatError("SERVER_FULL"), is_final=False, is_awaited=True)
    assert error.value.reason == "SERVER_FULL"


def test_only_server_says_itself_why() -> None:
    one = servers("a")
    with pytest.raises(ConfigError, match="^no$"):
        one.fail(Unreachable("no"), is_final=False, is_awaited=True)


def test_chat_is_its_log() -> None:
    """Another server with another log is another chat, and so is a plain one."""
    one = servers("a", "b")
    assert not one.is_other_chat("e") and not one.is_other_chat("")
    one.meet("e")
    member = one.present.address
    assert not one.is_other_chat("f")  # its own log may begin anew
    one.go_on()
    assert not one.is_other_chat("e")
    assert one.is_other_chat("f") and one.is_other_chat("")
    one.fail(OtherChat(one.present.address), is_final=True, is_awaited=False)
    assert set(tried(one, 4)) == {member}


def test_chat_that_begins_anew_has_other_servers() -> None:
    """One that was set aside for its log may be of it by now, and those before are not."""
    one = servers("a", "b", "c")
    one.meet("e")
    first = one.present.address
    one.go_on()
    one.meet("e")
    second = one.present.address
    one.go_on()
    third = one.present.address
    if third != first:
        assert one.is_other_chat("f")
    else:
        one.go_on()
        third = one.present.address
    one.fail(OtherChat(third), is_final=True, is_awaited=False)
    go_to(one, first)
    one.meet("f")
    assert third in tried(one, 3)
    go_to(one, second)
    assert one.is_other_chat("e") and not one.is_other_chat("f")


def test_who_is_at_a_plain_server_stays_there() -> None:
    """It has no log that another one could share."""
    one = servers("a", "b", "c")
    address = one.present.address
    one.stay()
    one.note_answer()
    assert set(tried(one, 5)) == {address} and one.patience_seconds is None
