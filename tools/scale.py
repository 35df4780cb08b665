"""The arithmetic of docs/scale.md: how many servers so many people need, by what things cost.

What things cost is measured (`python bench/run.py --units --write` writes bench/units.json);
`tools/documents.py` puts the tables into the document, so that no figure in them is typed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

UNITS_FILE = Path(__file__).resolve().parent.parent / "bench" / "units.json"

# What people do.
SECONDS_PER_MESSAGE = 60
ROOM_PEOPLE = 100
SESSION_SECONDS = 1800
# What is asked of a server: the share of its core that may be busy, and its memory.
MAX_BUSY = 0.6
MAX_BYTES = 2 << 30
# How long a turn of the stream may keep a message waiting, and how many go into one.
MAX_TURN_SECONDS = 0.25
GROUP_MESSAGES = 1024
# Parts of the log, where one stream is not enough.
STREAMS = 64
DAY = 86_400
# Somebody who comes is told to the whole room, and later that she is gone. When the join was
# measured, rooms were half full on the average, and nobody left.
TOLD_MORE = 2 * ROOM_PEOPLE - ROOM_PEOPLE // 2
POPULATIONS = ((10_000, 1), (100_000, 1), (1_000_000, 1), (10_000_000, 1), (10_000_000, STREAMS))


@dataclass(frozen=True)
class Units:
    """What one thing costs: microseconds of a server's CPU, bytes, kB, and turns a second of NATS.

    The names are those of bench/units.json.
    """

    delivery_us: float
    join_us: float
    client_kb: float
    follow_us: float
    message_bytes: float
    name_us: float
    name_bytes: float
    turns: float
    synced_turns: float

    @classmethod
    def read(cls, path: Path = UNITS_FILE) -> Units:
        """Return those that were measured."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


MEANINGS = {
    "delivery_us": "µs: a message to one person of a room of 100, in which few speak; all included",
    "join_us": "µs: somebody joins, and half a room is told",
    "client_kb": "kB: memory of one client",
    "follow_us": "µs: a message of another server, with nobody here to have it",
    "message_bytes": "bytes of a message in the file of each server",
    "name_us": "µs: a change of somebody at another server",
    "name_bytes": "bytes of memory: somebody at another server",
    "turns": "groups a second into a stream of one node",
    "synced_turns": "the same with `sync_interval: always`",
}


@dataclass(frozen=True)
class Load:
    """What `people` bring about, whose rooms are spread over so many `streams`."""

    units: Units
    people: int
    streams: int = 1

    @property
    def messages(self) -> float:
        """How many are said in a second."""
        return self.people / SECONDS_PER_MESSAGE

    @property
    def joins(self) -> float:
        """How many come in a second; as many go."""
        return self.people / SESSION_SECONDS

    @property
    def shared_cores(self) -> float:
        """What all servers together have to do for their own people."""
        join_us = self.units.join_us + TOLD_MORE * self.units.delivery_us
        deliveries = self.messages * ROOM_PEOPLE
        return (deliveries * self.units.delivery_us + self.joins * join_us) / 1e6

    @property
    def following_cores(self) -> float:
        """What each server has to do for the people of all others of its stream."""
        changes = 2 * self.joins
        micros = self.messages * self.units.follow_us + changes * self.units.name_us
        return micros / self.streams / 1e6

    @property
    def servers(self) -> int | None:
        """How many servers it takes; None: following alone is too much for any."""
        left = MAX_BUSY - self.following_cores
        if left <= 0:
            return None
        return self.streams * math.ceil(self.shared_cores / self.streams / left)

    @property
    def memory_bytes(self) -> float | None:
        """What each server keeps in memory, of its own people and of all others of its stream."""
        if self.servers is None:
            return None
        own = self.people / self.servers * self.units.client_kb * 1024
        return own + self.people / self.streams * self.units.name_bytes

    @property
    def day_bytes(self) -> float:
        """By how much each server's file grows in a day."""
        return self.messages / self.streams * DAY * self.units.message_bytes

    @property
    def turn_ms(self) -> float | None:
        """How long a synced turn of the stream takes: each server has one group under way."""
        if self.servers is None:
            return None
        return self.servers / self.streams / self.units.synced_turns * 1000


def measured(units: Units) -> str:
    """Return the table of what was measured."""
    rows = [
        (f"`{field.name}`", shown(getattr(units, field.name)), MEANINGS[field.name])
        for field in fields(Units)
    ]
    return table(("name", "measured", "is"), rows)


def populations(units: Units) -> str:
    """Return the table of what it takes for so many people."""
    loads = [Load(units, people, streams) for people, streams in POPULATIONS]
    cells: Mapping[str, Callable[[Load], float | None]] = {
        "streams": lambda load: load.streams,
        "messages/s: people / 60": lambda load: load.messages,
        "deliveries/s: × 100": lambda load: load.messages * ROOM_PEOPLE,
        "comings/s: people / 1800": lambda load: load.joins,
        "cores of all servers, for their own people": lambda load: load.shared_cores,
        "of the core of each, for following": lambda load: load.following_cores,
        "**servers**, a core each": lambda load: load.servers,
        "people at each": lambda load: load.people / load.servers if load.servers else None,
        "memory of each, MB": lambda load: load.memory_bytes and load.memory_bytes / 1e6,
        "file of each, GB a day": lambda load: load.day_bytes / 1e9,
        "turn of the stream, synced, ms": lambda load: load.turn_ms,
    }
    rows = [(what, *(shown(cell(load)) for load in loads)) for what, cell in cells.items()]
    return table(("people", *(shown(load.people) for load in loads)), rows)


def limits(units: Units) -> str:
    """Return the table of what breaks when, with one stream."""
    one = Load(units, 1)
    following = MAX_BUSY / one.following_cores
    rows = (
        (
            "following: every server takes in all that is said and who comes",
            f"{MAX_BUSY} / (`follow_us` / 60 + 2 × `name_us` / 1800)",
            f"{shown(following)} people",
            "the log, by rooms",
        ),
        (
            "half of that: where following takes half of what a server may use",
            "the same / 2",
            f"{shown(following / 2)} people",
            "the log, by rooms",
        ),
        (
            "names in the memory of every server, 2 GiB",
            "2³¹ / `name_bytes`",
            f"{shown(MAX_BYTES / units.name_bytes)} people",
            "names: looked up instead of followed",
        ),
        (
            "waiting for a turn of the stream, a quarter of a second",
            "0.25 × `synced_turns`",
            f"{shown(MAX_TURN_SECONDS * units.synced_turns)} servers",
            "the log, by rooms",
        ),
        (
            "what fits into the turns of the stream",
            "1024 × `synced_turns`",
            f"{shown(GROUP_MESSAGES * units.synced_turns)} messages/s",
            "the log, by rooms",
        ),
        (
            "one room: everybody gets everything",
            f"{MAX_BUSY} / `delivery_us`, at each server",
            f"{shown(MAX_BUSY * 1e6 / units.delivery_us)} deliveries/s",
            "nothing: more servers, or who hears",
        ),
    )
    return table(("what", "formula", "breaks at", "what is then split"), rows)


def shown(figure: float | None) -> str:
    """Return a figure with three digits that count; a count as it is; None: there is none."""
    if figure is None:
        return "none will do"
    if isinstance(figure, int) or not figure:
        return f"{figure:,}"
    digits = 2 - math.floor(math.log10(abs(figure)))
    return f"{round(figure, digits):,.{max(0, digits)}f}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
