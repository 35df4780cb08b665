"""The numbers of a server as Prometheus reads them; and the dashboard that shows them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_metrics_parser
from rooms import Chat, FakeLog, quiet
from support import ROOT

from chat import __version__
from chat.protocol.errors import REASONS
from chat.server import snapshot
from chat.server.log.base import ClusterState
from chat.server.metrics import Page
from chat.server.snapshot import Snapshot, take_snapshot
from chat.server.visits import LEFT, LOST, OTHER, Visits

DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
parse: Any = parser.text_string_to_metric_families  # not annotated
parse_open_metrics: Any = open_metrics_parser.text_string_to_metric_families
# What PromQL has beside the names of metrics and labels in our queries.
FUNCTIONS = "label_values sum rate increase histogram_quantile max by clamp_min time"
WORDS = set(f"{FUNCTIONS} le job instance reason kind problem version".split())


async def snapshot_of(chat: Chat, visits: Visits, trouble: str = "") -> Snapshot:
    return await take_snapshot(chat.hub, visits, 1000, trouble)


def samples(taken: Snapshot) -> dict[str, float]:
    """Return the value of each sample of ours, by its name and its labels' values."""
    text = Page().render(taken)[0].decode()
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in parse(text)
        for sample in family.samples
        if family.name.startswith("chat_")
    }


async def test_page_tells_who_is_here_and_what_waits() -> None:
    """Gauges are of now."""
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    ana = await chat.join("ana", session="0" * 32, room="sala")
    bia = await chat.join("bia")
    await chat.join()
    await quiet()
    assert bia.task is not None
    bia.task.cancel()  # it falls asleep
    ana.leave(is_lost=True)
    await bia.say("oi")
    found = samples(await snapshot_of(chat, Visits()))
    assert found["chat_clients full"] == found["chat_clients plain"] == 1
    assert found["chat_people"] == 2 and found["chat_names_held"] == 1
    assert found["chat_rooms"] == 2  # where ana is expected back, and the common one
    assert found["chat_log_waiting_messages"] == 1
    assert found["chat_readers_behind"] == 0 == found["chat_queued_messages"]
    log.commit_and_deliver()
    await quiet()
    found = samples(await snapshot_of(chat, Visits()))
    assert found["chat_queued_messages"] == 1 and found["chat_queued_messages_max"] == 1
    assert found["chat_queued_bytes"] > 2 and found["chat_log_last_id"] == 1
    assert found["chat_clients_limit"] == 1000
    assert found[f"chat_build_info {__version__}"] == 1


async def test_page_tells_how_far_a_server_of_a_cluster_is() -> None:
    """And nothing of that where there is no cluster."""
    chat = await Chat().start()
    assert not [name for name in samples(await snapshot_of(chat, Visits())) if "cluster" in name]
    chat.log.cluster = ClusterState(3, is_followed=True)
    found = samples(await snapshot_of(chat, Visits()))
    assert (found["chat_cluster_lag_groups"], found["chat_cluster_followed"]) == (3, 1)


async def test_numbers_of_many_clients_are_taken_in_parts() -> None:
    """Others have their turns meanwhile; nothing is left out, or counted twice."""
    chat = await Chat().start()
    visits = Visits()
    people = 2 * snapshot.PART_ITEMS + 1
    for number in range(people):
        reader = await chat.join_asleep(f"p{number}")
        reader.member.traffic.sent_bytes = 1
        visits.begin("ipv4:192.0.2.7:5")
        visits.come(reader.member)
    taking = asyncio.ensure_future(snapshot_of(chat, visits))
    turns = 0
    while not taking.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 4
    assert samples(taking.result())["chat_sent_bytes_total"] == people


async def test_page_tells_of_a_reader_that_is_behind() -> None:
    """Until it has read what the log alone has."""
    chat = await Chat().start()
    await (await chat.join("ana")).say("oi")
    await quiet()  # ana has read it
    bia = await chat.join_asleep("bia")
    assert samples(await snapshot_of(chat, Visits()))["chat_readers_behind"] == 1
    bia.read()
    await bia.hears(1)
    assert samples(await snapshot_of(chat, Visits()))["chat_readers_behind"] == 0


async def test_page_counts_what_was_refused_by_reason() -> None:
    """A message that was not stored is counted by the log."""
    chat = await Chat().start()
    visits = Visits()
    visits.end(visits.begin("ipv4:192.0.2.7:5"), "NAME_TAKEN", "eva")
    visits.refuse_message("MESSAGE_INVALID")
    chat.log.commits.note(2, 0.01, is_lost=True)
    chat.log.commits.note(3, 0.01, is_lost=False)
    found = samples(await snapshot_of(chat, visits, "FULL"))
    assert found["chat_refused_calls_total NAME_TAKEN"] == 1
    assert found["chat_refused_messages_total MESSAGE_INVALID"] == 1
    assert found["chat_refused_messages_total NOT_STORED"] == 2
    assert found["chat_failed_commits_total"] == 1 == found["chat_commit_seconds_count"]
    assert found["chat_commit_messages_sum"] == 3 and found["chat_commit_seconds_sum"] == 0.01
    assert found["chat_commit_seconds_bucket 0.0064"] == 0
    assert found["chat_commit_seconds_bucket 0.0128"] == 1
    assert found["chat_log_writable"] == 0 and found["chat_log_trouble FULL"] == 1


async def full_page(accept: str = "") -> tuple[str, str]:
    """Return the page of a server in trouble, to which everything has happened, and its type."""
    chat = await Chat().start()
    chat.log.cluster = ClusterState(0, is_followed=True)
    (ana,) = await chat.full("ana")
    visits = Visits()
    for reason in [*REASONS, LEFT, LOST, OTHER]:
        visits.end(visits.begin("ipv4:192.0.2.7:5"), reason, "eva")
        visits.refuse_message(reason)
        visit = visits.begin("ipv4:192.0.2.8:5")
        visits.come(ana.member)
        visits.end(visit, reason, "whoever")
    page, content_type = Page().render(await snapshot_of(chat, visits, "FULL"), accept)
    return page.decode(), content_type


async def test_no_label_names_anybody() -> None:
    """Neither people, nor rooms, nor addresses: they are words of a short list, or numbers."""
    page, _type = await full_page()
    words = {*REASONS, LEFT, LOST, OTHER, "FULL", "full", "plain", __version__}
    for family in parse(page):
        for sample in family.samples if family.name.startswith("chat_") else ():
            assert set(sample.labels) <= {"reason", "kind", "problem", "version", "le"}
            assert {v for k, v in sample.labels.items() if k != "le"} <= words
    assert not re.search("192\\.0\\.2|ana|eva", page)


async def test_names_and_units_are_those_of_the_conventions() -> None:
    """A counter ends in _total; base units; every metric has a help."""
    page, content_type = await full_page("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = [family for family in parse_open_metrics(page) if family.name.startswith("chat_")]
    assert len(families) > 20
    for family in families:
        assert family.documentation.endswith("."), family.name
        assert not re.search("milli|_ms|_kb|percent|_minutes|_count$", family.name), family.name
    assert (await full_page())[1].startswith("text/plain")


def queries(part: Any) -> Iterator[str]:
    """Yield every query in a part of the dashboard."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from queries(value)
    elif isinstance(part, list):
        for item in part:
            yield from queries(item)


async def test_dashboard_asks_for_what_there_is() -> None:
    """Each query names metrics that the page has, and every panel has a query."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    page, _type = await full_page()
    there = set(re.findall(r"^(\w+)[{ ]", page, re.MULTILINE))
    # What a test on another system has not, or not in this format.
    there |= {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"}
    there |= {"process_start_time_seconds", "process_max_fds", "up"}
    asked = [query for query in queries(dashboard) if query != "prometheus"]
    assert len(asked) >= len(dashboard["panels"])
    for query in asked:
        names = set(re.findall(r"\b[a-z_]+\b", re.sub(r'"[^"]*"|\$\w+|\[[^]]*\]', "", query)))
        assert names - WORDS and names - WORDS <= there, query


@pytest.mark.parametrize("key", ["id", "gridPos", "title", "type"])
def test_panels_are_whole(key: str) -> None:
    """Each has what Grafana needs; ids are unique, and none covers another."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert all(panel[key] for panel in panels)
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells) and max(x for x, _y in cells) < 24
