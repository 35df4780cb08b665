"""Who comes, goes and is refused."""

from __future__ import annotations

import asyncio

from rooms import Chat, Reader

from chat.server.visits import LEFT, LOST, Event, Visits

PEER = "ipv4:192.0.2.7:5"


class Watched:
    """Visits that are told, by a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[Event] = []
        self.visits = Visits(self.told.append, lambda: self.now)

    async def stay(self, reader: Reader, seconds: float, reason: str) -> None:
        """Let a member come, be there, and go."""
        visit = self.visits.begin(PEER)
        self.visits.come(reader.member)
        self.now += seconds
        self.visits.end(visit, reason, "whoever")


async def test_member_comes_and_goes() -> None:
    """Told by the name that it has, with what it brought and took."""
    watched = Watched()
    ana = await (await Chat().start()).join("ana")
    ana.member.traffic.received_messages = 3
    await watched.stay(ana, 5.0, LOST)
    came, went = watched.told
    assert (came.what, came.peer, came.name, came.is_full) == ("came", PEER, "ana", True)
    assert (went.what, went.name, went.reason, went.seconds) == ("went", "ana", LOST, 5.0)
    assert went.traffic == ana.member.traffic
    assert watched.visits.came == 1 and watched.visits.ended == {LOST: 1}
    assert not watched.visits.open and not watched.visits.refused_calls


async def test_traffic_is_that_of_all_who_were_ever_here() -> None:
    """Of those who are, as it is now; of those who are not, as it was at their end."""
    watched = Watched()
    ana, bia = await (await Chat().start()).full("ana", "bia")
    ana.member.traffic.sent_bytes = 5
    await watched.stay(ana, 1.0, LEFT)
    ana.member.traffic.sent_bytes = 1000  # whatever becomes of the object
    watched.visits.begin(PEER)
    watched.visits.come(bia.member)
    bia.member.traffic.sent_bytes = 7
    assert [traffic.sent_bytes for traffic in watched.visits.traffic()] == [5, 7]


def test_refused_call_is_told_by_the_name_that_it_claims() -> None:
    """And counted by its reason."""
    watched = Watched()
    watched.visits.end(watched.visits.begin(PEER), "NAME_TAKEN", "eva")
    assert watched.told == [Event("refused", PEER, "eva", reason="NAME_TAKEN")]
    assert watched.visits.refused_calls == {"NAME_TAKEN": 1}


def test_call_that_is_no_stream_of_the_chat_is_not_told() -> None:
    """A load balancer asks every second."""
    watched = Watched()
    watched.visits.end(watched.visits.begin(PEER), LEFT, "")
    watched.visits.end(watched.visits.begin(PEER), LOST, "")
    assert not watched.told and not watched.visits.refused_calls and not watched.visits.ended


def test_refused_message_is_counted() -> None:
    """Not told: its client goes on."""
    watched = Watched()
    watched.visits.refuse_message("MESSAGE_TOO_LONG")
    assert watched.visits.refused_messages == {"MESSAGE_TOO_LONG": 1} and not watched.told


async def test_each_task_has_a_visit_of_its_own() -> None:
    """Streams are served at the same time."""
    watched = Watched()
    readers = await (await Chat().start()).full("ana", "bia")

    async def come(reader: Reader, peer: str) -> None:
        watched.visits.begin(peer)
        await asyncio.sleep(0)
        watched.visits.come(reader.member)

    await asyncio.gather(*map(come, readers, ("ipv4:192.0.2.1:1", "ipv4:192.0.2.2:1")))
    assert [(event.name, event.peer) for event in watched.told] == [
        ("ana", "ipv4:192.0.2.1:1"),
        ("bia", "ipv4:192.0.2.2:1"),
    ]
