"""People at other servers: what is told of one person, whatever keys come and go in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

import chat_pb2
from chat.server.cluster.names import Holding
from chat.server.elsewhere import Elsewhere, Seen, changes

LEFT, JOINED, RENAMED = chat_pb2.KIND_LEFT, chat_pb2.KIND_JOINED, chat_pb2.KIND_RENAMED

ANA = Holding("ana", "two", "session", rooms=("", "sala"), attempt="1")
Told = tuple[int, str, str]  # the kind, who, and in which room


def told(*events: chat_pb2.Message) -> list[Told]:
    """Return events as they are compared; of a rename both names."""
    return [(e.kind, f"{e.user}>{e.message}" if e.message else e.user, e.room) for e in events]


class Watcher:
    """The server `one`, and what it tells of those elsewhere. `here`: identities at it."""

    def __init__(self) -> None:
        self.here: set[str] = set()
        self.people = Elsewhere("one", self.here.__contains__)

    def hear(self, old: Holding | None, new: Holding | None) -> list[Told]:
        """Hear of one key; return what is told."""
        self.people.note(old, new)
        identities = dict.fromkeys(one.identity for one in (old, new) if one is not None)
        return told(*(event for one in identities for event in self.people.update(one)))


@pytest.fixture
def watcher() -> Watcher:
    """A server that sees ana in two rooms of another one."""
    watcher = Watcher()
    assert watcher.hear(None, ANA) == [(JOINED, "ana", ""), (JOINED, "ana", "sala")]
    return watcher


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        (None, None, []),
        (("ana", "ab"), ("ana", "ab"), []),
        (None, ("ana", "a"), [(JOINED, "ana", "a")]),
        (("ana", "a"), None, [(LEFT, "ana", "a")]),
        (("ana", "ab"), ("ana", "bc"), [(LEFT, "ana", "a"), (JOINED, "ana", "c")]),
        (
            ("ana", "ab"),
            ("bia", "bc"),
            [(LEFT, "ana", "a"), (RENAMED, "ana>bia", "b"), (JOINED, "bia", "c")],
        ),
    ],
)
def test_difference_of_two_states(
    was: tuple[str, str] | None, now: tuple[str, str] | None, expected: list[Told]
) -> None:
    """Of one person: each fact once, in the room that it is about."""
    before, after = (Seen(one[0], frozenset(one[1])) if one else None for one in (was, now))
    assert told(*changes(before, after)) == expected


def test_who_goes_on_at_a_third_server_is_not_told(watcher: Watcher) -> None:
    """The new server's claim says where it still is; what it leaves is told when it does."""
    taken = replace(ANA, server="three", attempt="2")
    assert watcher.hear(ANA, taken) == []
    assert watcher.people.counts() == {"": 1, "sala": 1}
    moved = replace(taken, rooms=("",))
    assert watcher.hear(taken, moved) == [(LEFT, "ana", "sala")]
    assert watcher.hear(moved, None) == [(LEFT, "ana", "")]
    assert watcher.people.counts() == {} and not watcher.people.has("session")


def test_who_comes_here_is_nowhere_else(watcher: Watcher) -> None:
    """Whether its claim is seen before it is here or after, nothing is told of it."""
    claimed = replace(ANA, server="one", attempt="2")
    assert watcher.hear(ANA, claimed) == []
    assert watcher.people.names_in("sala") == ["ana"]
    watcher.here.add("session")
    seen = watcher.people.take("session")
    assert seen is not None and seen.rooms == {"", "sala"}
    assert watcher.people.names_in("sala") == [] and not watcher.people.has("session")
    watcher.here.clear()
    assert watcher.hear(claimed, None) == []


def test_stale_word_of_who_is_here_is_not_told(watcher: Watcher) -> None:
    """What the other server wrote before it was taken over comes late."""
    watcher.here.add("session")
    watcher.people.take("session")
    moved = replace(ANA, rooms=("outra",))
    assert watcher.hear(ANA, moved) == []
    assert watcher.hear(moved, replace(ANA, server="one", attempt="2")) == []
    assert watcher.people.counts() == {}


def test_claim_here_that_fails_is_the_end(watcher: Watcher) -> None:
    """Who was on its way here, and did not come, has left."""
    claimed = replace(ANA, server="one", attempt="2")
    watcher.hear(ANA, claimed)
    assert watcher.hear(claimed, None) == [(LEFT, "ana", ""), (LEFT, "ana", "sala")]


def test_who_was_here_and_goes_on_elsewhere_is_told_by_the_difference() -> None:
    """Also under another name."""
    watcher = Watcher()
    gone = Holding("bia", "two", "session", rooms=("sala",), attempt="2")
    watcher.people.note(replace(gone, name="ana", server="one", attempt="1"), None)
    watcher.people.note(None, gone)
    events = watcher.people.update("session", Seen("ana", frozenset({"", "sala"})))
    assert told(*events) == [(LEFT, "ana", ""), (RENAMED, "ana>bia", "sala")]
    assert watcher.people.names_in("sala") == ["bia"]


def test_rename_is_one_fact(watcher: Watcher) -> None:
    """The new name's key comes before the old one's end; a late word of the old one is nothing."""
    bia = replace(ANA, name="bia", attempt="2")
    assert watcher.hear(None, bia) == [(RENAMED, "ana>bia", ""), (RENAMED, "ana>bia", "sala")]
    late = replace(ANA, rooms=("",))
    assert watcher.hear(ANA, late) == []
    assert watcher.hear(late, None) == []
    assert watcher.people.names_in("") == ["bia"]


def test_rename_that_is_taken_back(watcher: Watcher) -> None:
    """The old name is still held."""
    bia = replace(ANA, name="bia", attempt="2")
    watcher.hear(None, bia)
    assert watcher.hear(bia, None) == [(RENAMED, "bia>ana", ""), (RENAMED, "bia>ana", "sala")]


def test_name_that_another_one_takes_is_told(watcher: Watcher) -> None:
    """First that the one has left, then that the other has come."""
    other = Holding("ana", "three", "another session", rooms=("",), attempt="2")
    expected = [(LEFT, "ana", ""), (LEFT, "ana", "sala"), (JOINED, "ana", "")]
    assert watcher.hear(ANA, other) == expected


@pytest.mark.parametrize("how", ["owner", "before"])
def test_owner_who_comes_with_another_session_is_the_same_person(how: str) -> None:
    """It is not told, at whatever server it goes on."""
    watcher = Watcher()
    owned = replace(ANA, owner="key")
    watcher.hear(None, owned)
    owner, before = ("key", "") if how == "owner" else ("", "session")
    again = replace(
        owned, server="three", identity="another", attempt="2", owner=owner, before=before
    )
    assert watcher.hear(owned, again) == []
    assert watcher.people.has("another") and not watcher.people.has("session")
    assert watcher.people.counts() == {"": 1, "sala": 1}


def test_name_that_a_restarted_server_holds_does_not_hide_who_has_gone_on(
    watcher: Watcher,
) -> None:
    """It is held for somebody who is at another server by now, under another name."""
    bia = replace(ANA, name="bia", server="three", attempt="2")
    watcher.hear(None, bia)
    held = replace(ANA, server="two again", attempt="3", is_here=False)
    assert watcher.hear(ANA, held) == []
    assert watcher.people.names_in("") == ["bia"]
