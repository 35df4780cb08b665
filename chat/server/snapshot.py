"""The state of a server as numbers, at one moment: what `metrics.py` is given.

Knows neither how they are shown nor to whom. Taken in the event loop, and from then on anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chat.server.hub import Hub
from chat.server.tally import SLOT_SECONDS, Commits, Histogram, Traffic
from chat.server.visits import Visits


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


def take_snapshot(hub: Hub, visits: Visits, max_clients: int, trouble: str) -> Snapshot:
    """Return the numbers of a server; costs a microsecond for each client."""
    full = sum(member.is_full for member in hub.members)
    named = sum(member.person is not None for member in hub.members)
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
        traffic=visits.traffic(),
        write_messages=_distribution(visits.write_sizes),
        queues=_queues_of(hub),
        commit_messages=_distribution(commits.messages),
        commit_seconds=Distribution(commits.seconds.bounds(SLOT_SECONDS), commits.took_seconds),
        failed_commits=commits.failed,
        log_waiting=hub.log.waiting,
        last_id=hub.last_id,
        trouble=trouble,
    )


def _distribution(histogram: Histogram) -> Distribution:
    return Distribution(histogram.bounds(), histogram.total)


def _refused_messages(visits: Visits, commits: Commits) -> dict[str, int]:
    """Return them by reason; those that could not be stored are counted where that was tried."""
    refused = dict(visits.refused_messages)
    if commits.lost_messages:
        refused["NOT_STORED"] = commits.lost_messages
    return refused


def _queues_of(hub: Hub) -> Queues:
    messages = size_bytes = longest = behind = 0
    for member in hub.members:
        queue = member.queue
        if queue.queued_messages:
            messages += queue.queued_messages
            size_bytes += queue.queued_bytes
            longest = max(longest, queue.queued_messages)
        behind += any(place.is_behind for place in member.places())
    return Queues(messages, size_bytes, longest, behind)
