"""The state of a server as numbers, at one moment: what `metrics.py` is given.

Knows neither how they are shown nor to whom. Taken in the event loop, and from then on anybody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chat.server.hub import Hub
from chat.server.log.base import ClusterState
from chat.server.member import Member
from chat.server.tally import SLOT_SECONDS, Commits, Histogram, Traffic
from chat.server.visits import Visits

# Looking at so many clients takes less than a millisecond.
PART_ITEMS = 200

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Distribution:
    """A histogram at one moment: each bound with how many were at most that; and the sum."""

    bounds: list[tuple[float, int]]
    total: float


@dataclass(frozen=True)
class Queues:
    """What waits to be written to all clients, and to the one for whom the most waits."""

    messages: int
    bytes: int
    longest_messages: int
    readers_behind: int


@dataclass(frozen=True)
class Snapshot:
    """One server at one moment. `trouble`: why the log cannot be written, empty while it can."""

    full_clients: int
    plain_clients: int
    max_clients: int
    people: int
    held_names: int
    rooms: int
    came: int
    ended: Mapping[str, int]
    refused_calls: Mapping[str, int]
    refused_messages: Mapping[str, int]
    traffic: Traffic
    write_messages: Distribution
    queues: Queues
    commit_messages: Distribution
    commit_seconds: Distribution
    failed_commits: int
    log_waiting: int
    last_id: int
    trouble: str
    cluster: ClusterState | None = None


async def take_snapshot(hub: Hub, visits: Visits, max_clients: int, trouble: str) -> Snapshot:
    """Return the numbers of a server.

    Looking at ten thousand clients takes tens of milliseconds, in parts, so that nobody waits.
    """
    traffic = await _sum_of(visits.traffic())
    queues = await _queues_of(list(hub.members))
    full = sum([member.is_full for member in hub.members])
    named = sum([member.person is not None for member in hub.members])
    commits = hub.log.commits
    return Snapshot(
        full_clients=full,
        plain_clients=len(hub.members) - full,
        max_clients=max_clients,
        people=len(hub.directory),
        held_names=len(hub.directory) - named,
        rooms=sum(not room.is_inbox for room in hub.rooms.values()),
        came=visits.came,
        ended=dict(visits.ended),
        refused_calls=dict(visits.refused_calls),
        refused_messages=_refused_messages(visits, commits),
        traffic=traffic,
        write_messages=_distribution(visits.write_sizes),
        queues=queues,
        commit_messages=_distribution(commits.messages),
        commit_seconds=Distribution(commits.seconds.bounds(SLOT_SECONDS), commits.took_seconds),
        failed_commits=commits.failed,
        log_waiting=hub.log.waiting,
        last_id=hub.rooms.last_id,
        trouble=trouble,
        cluster=hub.log.cluster,
    )


def _distribution(histogram: Histogram) -> Distribution:
    return Distribution(histogram.bounds(), histogram.total)


def _refused_messages(visits: Visits, commits: Commits) -> dict[str, int]:
    """Return them by reason; those that could not be stored are counted where that was tried."""
    refused = dict(visits.refused_messages)
    if commits.lost_messages:
        refused["NOT_STORED"] = commits.lost_messages
    return refused


async def _sum_of(all_traffic: Sequence[Traffic]) -> Traffic:
    """Return the sum; what is added meanwhile is in it or not, and in the next one in any case."""
    total = Traffic()
    async for part in _parts(all_traffic):
        for traffic in part:
            total.add(traffic)
    return total


async def _queues_of(members: Sequence[Member]) -> Queues:
    messages = size_bytes = longest = behind = 0
    async for part in _parts(members):
        for member in part:
            queue = member.queue
            messages += queue.queued_messages
            size_bytes += queue.queued_bytes
            longest = max(longest, queue.queued_messages)
            behind += any([place.is_behind for place in member.places()])
    return Queues(messages, size_bytes, longest, behind)


async def _parts(items: Sequence[_Item]) -> AsyncIterator[Sequence[_Item]]:
    """Yield the items, some at a time; whatever else the loop has to do is done between."""
    for start in range(0, len(items), PART_ITEMS):
        yield items[start : start + PART_ITEMS]
        await asyncio.sleep(0)
