"""A server's numbers by the conventions of Prometheus (prometheus.io/docs/practices/naming).

Nothing here names a person, a room or an address: what stands in a label is a word of a short list.
Needs the package prometheus_client, and is the only module that imports it. Called in the thread of
`metrics_server.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    exposition,
)
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from chat import __version__
from chat.server.snapshot import Distribution, Snapshot


class Page:
    """The text that a scraper gets: the numbers of the chat, of the process and of Python."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._chat = _Chat()
        self._registry.register(self._chat)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, snapshot: Snapshot, accept: str = "") -> tuple[bytes, str]:
        """Return the page and its content type, in the format that the header `Accept` asks for."""
        self._chat.snapshot = snapshot
        encode, content_type = exposition.choose_encoder(accept)
        return encode(self._registry), content_type


class _Chat:
    """Makes metrics of one snapshot after the other."""

    snapshot: Snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; the registry calls it."""
        yield from _people(self.snapshot)
        yield from _calls(self.snapshot)
        yield from _traffic(self.snapshot)
        yield from _log(self.snapshot)
        yield from _cluster(self.snapshot)


def _people(now: Snapshot) -> Iterator[Metric]:
    build = GaugeMetricFamily("chat_build_info", "The version of the server.", labels=["version"])
    build.add_metric([__version__], 1)
    yield build
    clients = GaugeMetricFamily("chat_clients", "Streams that are open.", labels=["kind"])
    clients.add_metric(["full"], now.full_clients)
    clients.add_metric(["plain"], now.plain_clients)
    yield clients
    yield GaugeMetricFamily("chat_clients_limit", "--max-clients.", now.max_clients)
    yield GaugeMetricFamily("chat_people", "Names here or held for a return.", now.people)
    yield GaugeMetricFamily("chat_names_held", "Names held for a return.", now.held_names)
    yield GaugeMetricFamily("chat_rooms", "Rooms with people.", now.rooms)


def _calls(now: Snapshot) -> Iterator[Metric]:
    yield CounterMetricFamily("chat_joins", "Streams that were let in.", now.came)
    yield _by_reason("chat_leaves", "Streams that have ended, by what ended them.", now.ended)
    yield _by_reason("chat_refused_calls", "Calls refused, by reason.", now.refused_calls)
    yield _by_reason("chat_refused_messages", "Messages refused, by reason.", now.refused_messages)


def _traffic(now: Snapshot) -> Iterator[Metric]:
    traffic, queues = now.traffic, now.queues
    for name, text, value in (
        ("chat_received_messages", "Messages that clients have sent.", traffic.received_messages),
        ("chat_received_bytes", "Their bytes.", traffic.received_bytes),
        ("chat_sent_messages", "Messages for clients, each once for each.", traffic.sent_messages),
        ("chat_sent_bytes", "Bytes written to clients.", traffic.sent_bytes),
    ):
        yield CounterMetricFamily(name, text, value)
    text = "Messages that one turn of writing to a client took."
    yield _histogram("chat_write_messages", text, now.write_messages)
    for name, text, value in (
        ("chat_queued_messages", "Messages that wait, over all clients.", queues.messages),
        ("chat_queued_bytes", "Bytes that wait, over all clients.", queues.bytes),
        ("chat_queued_messages_max", "Those of the longest queue.", queues.longest_messages),
        ("chat_readers_behind", "Clients that read from the log.", queues.readers_behind),
    ):
        yield GaugeMetricFamily(name, text, value)


def _log(now: Snapshot) -> Iterator[Metric]:
    text = "Messages that one commit wrote."
    yield _histogram("chat_commit_messages", text, now.commit_messages)
    yield _histogram("chat_commit_seconds", "How long a commit took.", now.commit_seconds)
    yield CounterMetricFamily("chat_failed_commits", "Commits that failed.", now.failed_commits)
    yield GaugeMetricFamily("chat_log_waiting_messages", "Not committed yet.", now.log_waiting)
    yield GaugeMetricFamily("chat_log_last_id", "The newest id.", now.last_id)
    yield GaugeMetricFamily("chat_log_writable", "1: it can be written.", not now.trouble)
    trouble = GaugeMetricFamily("chat_log_trouble", "Why it cannot be.", labels=["problem"])
    if now.trouble:
        trouble.add_metric([now.trouble], 1)
    yield trouble


def _cluster(now: Snapshot) -> Iterator[Metric]:
    if (cluster := now.cluster) is not None:
        text = "Groups of messages in the stream that this server has not written yet."
        yield GaugeMetricFamily("chat_cluster_lag_groups", text, cluster.lag_groups)
        text = "1: NATS answers, and the stream is followed."
        yield GaugeMetricFamily("chat_cluster_followed", text, cluster.is_followed)


def _by_reason(name: str, text: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["reason"])
    for reason, count in sorted(counts.items()):
        family.add_metric([reason], count)
    return family


def _histogram(name: str, text: str, distribution: Distribution) -> Metric:
    bounds = [*(str(bound) for bound, _count in distribution.bounds[:-1]), "+Inf"]
    counts = [count for _bound, count in distribution.bounds]
    buckets = list(zip(bounds, counts, strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=distribution.total)
