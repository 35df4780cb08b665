"""The people at other servers, each once, whatever keys of NATS say who holds which name.

What is told of them is the difference of two states of a person, never that of two keys: whoever
goes on at another server, or changes its name, has two of them for a moment. Knows no NATS and no
streams; everything runs in the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import chat_pb2
from chat.protocol.names import name_key
from chat.server.cluster.names import Holding

# Most people are in the same few rooms: one set of them serves all, of whom there may be a million.
MAX_SHARED_SETS = 1000


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody as others see him. `rooms`: keys of them."""

    name: str
    rooms: frozenset[str]


def changes(was: Seen | None, now: Seen | None) -> Iterator[chat_pb2.Message]:
    """Yield what is to be told of one person: LEFT, JOINED and RENAMED, each with its room."""
    left = was.rooms if was is not None else frozenset()
    entered = now.rooms if now is not None else frozenset()
    if was is not None:
        for room in sorted(left - entered):
            yield chat_pb2.Message(user=was.name, kind=chat_pb2.KIND_LEFT, room=room)
    if was is not None and now is not None and was.name != now.name:
        for room in sorted(left & entered):
            kind = chat_pb2.KIND_RENAMED
            yield chat_pb2.Message(user=was.name, message=now.name, kind=kind, room=room)
    if now is not None:
        for room in sorted(entered - left):
            yield chat_pb2.Message(user=now.name, kind=chat_pb2.KIND_JOINED, room=room)


class Elsewhere:
    """Everybody at other servers, by identity and by room.

    `run`: this run of this server. `is_here`: says whether somebody is at this one, who is then
    nowhere else, whatever NATS has not told yet.
    """

    def __init__(self, run: str, is_here: Callable[[str], bool]) -> None:
        self._run = run
        self._is_here = is_here
        # What each identity holds, at any server, a name each; the newest is the last. Nearly
        # everybody holds one: a dictionary for each takes five times as much.
        self._holdings: dict[str, tuple[Holding, ...]] = {}
        self._seen: dict[str, Seen] = {}
        self._in_room: dict[str, dict[str, str]] = {}  # names, by identity

    # Looking.

    def has(self, identity: str) -> bool:
        """Say whether somebody at another server has this identity."""
        return identity in self._seen

    def names_in(self, room: str) -> list[str]:
        """Return who is in a room at other servers."""
        return list(self._in_room.get(room, {}).values())

    def counts(self) -> dict[str, int]:
        """Return, for each room that has people at other servers, how many."""
        return {room: len(people) for room, people in self._in_room.items()}

    # Noting.

    def note(self, old: Holding | None, new: Holding | None) -> None:
        """Note who has held a name until now, and who does from now on; see `update`."""
        is_moved = old is not None and new is not None and _is_of_claim(old, new)
        if old is not None and not is_moved:
            held = self._holdings.get(old.identity, ())
            self._hold(old.identity, tuple(one for one in held if one != old))
        if new is not None:
            self._hold(new.identity, _with(self._holdings.get(new.identity, ()), new))
            self._follow(old, new)

    def _hold(self, identity: str, held: tuple[Holding, ...]) -> None:
        if held:
            self._holdings[identity] = held
        else:
            self._holdings.pop(identity, None)

    def _follow(self, old: Holding | None, new: Holding) -> None:
        """Take somebody for the same person whose identity has changed with the session."""
        before = new.before
        if old is not None and old.owner and old.owner == new.owner:
            before = old.identity
        if before in self._seen and new.identity not in self._seen:
            self._show(new.identity, self._hide(before))

    def update(self, identity: str, was: Seen | None = None) -> Iterator[chat_pb2.Message]:
        """See somebody as what was noted says; return what is to be told of that.

        `was`: as it was seen here, where it has gone on elsewhere.
        """
        was = was or self._seen.get(identity)
        now = self._now(identity)
        self._show(identity, now)
        return changes(was, now)

    def take(self, identity: str) -> Seen | None:
        """Somebody has come here, unnoticed; return as whom and where it is still seen."""
        return self._hide(identity)

    def _now(self, identity: str) -> Seen | None:
        """Return how somebody is to be seen; None: not at all, or only here."""
        held = self._holdings.get(identity, ())
        if not held or self._is_here(identity):
            return None
        # A server that has started again may hold a name of somebody who has gone on since then.
        newest = next((one for one in reversed(held) if one.is_here), held[-1])
        if newest.server == self._run:  # it is coming here just now, or has gone from here
            return self._seen.get(identity)
        return Seen(newest.name, _set_of(tuple(newest.rooms)))

    def _show(self, identity: str, seen: Seen | None) -> None:
        self._hide(identity)
        if seen is not None:
            self._seen[identity] = seen
            for room in seen.rooms:
                self._in_room.setdefault(room, {})[identity] = seen.name

    def _hide(self, identity: str) -> Seen | None:
        seen = self._seen.pop(identity, None)
        for room in seen.rooms if seen is not None else ():
            people = self._in_room[room]
            del people[identity]
            if not people:
                del self._in_room[room]
        return seen


@lru_cache(MAX_SHARED_SETS)
def _set_of(rooms: tuple[str, ...]) -> frozenset[str]:
    return frozenset(rooms)


def _with(held: tuple[Holding, ...], new: Holding) -> tuple[Holding, ...]:
    """Return what is held, `new` in the place of what was held by that name, else the last."""
    key = name_key(new.name) if held else ""
    for place, one in enumerate(held):
        if one.name == new.name or name_key(one.name) == key:
            return (*held[:place], new, *held[place + 1 :])
    return (*held, new)


def _is_of_claim(old: Holding, new: Holding) -> bool:
    """Say whether both are one claim of one name, which keeps its place among others then."""
    by = (old.identity, old.attempt, name_key(old.name))
    return by == (new.identity, new.attempt, name_key(new.name))
