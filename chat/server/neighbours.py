"""The people at other servers, as a hub sees them: who may have a name, who is where.

A hub does not know whether there are other servers: `Alone` says that there are none, and
`cluster_people.py` knows those of a cluster. Everything runs in the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import chat_pb2
from chat.server.encoding import Delivery
from chat.server.room import NAMES_IN_PART


@dataclass(frozen=True)
class Whereabouts:
    """Where somebody is: as `Neighbour` has it."""

    rooms: tuple[str, ...] = ()
    inbox: str = ""
    owner: str = ""
    is_here: bool = True


@dataclass(frozen=True)
class Neighbour:
    """Somebody at another server. `rooms`: keys of them.

    `inbox`: the key of the room where private messages come; empty for a client that takes none.
    `owner`: whose own the name is; empty: nobody's. `is_here`: it has a stream, which it had lost
    else.
    """

    name: str
    identity: str
    inbox: str
    rooms: tuple[str, ...] = ()
    owner: str = ""
    is_here: bool = True


def present(room: str, names: Sequence[str]) -> Iterator[Delivery]:
    """Yield one PRESENT for each of those who are in a room at other servers, in parts."""
    kind = chat_pb2.KIND_PRESENT
    for start in range(0, len(names), NAMES_IN_PART):
        part = names[start : start + NAMES_IN_PART]
        yield Delivery([chat_pb2.Message(user=name, kind=kind, room=room) for name in part])


@dataclass(frozen=True)
class Reservation:
    """A name that is held for somebody. `has_waited`: whether other servers were asked.

    `rooms`: where it is still seen, as it was at another server until now; keys of them.
    """

    has_waited: bool = False
    rooms: frozenset[str] = frozenset()


class Neighbours(Protocol):
    """What a hub asks of those who know the other servers.

    `run`: the name of this run of this server among them; empty where there are none.
    """

    @property
    def run(self) -> str: ...

    def attach(self, hub: Any) -> None:
        """Tell the rooms of this hub what changes elsewhere."""

    async def open(self) -> None:
        """Begin; comes before anybody joins."""

    async def close(self) -> None:
        """End."""

    def reserving(
        self, name: str, identity: str, before: str = "", owner: str = ""
    ) -> AbstractAsyncContextManager[Reservation]:
        """Hold a name over all servers for the length of the block, in which it is taken here.

        The name stays held, in place of the one that this `identity` had, or `before`, which was
        the same person; where the block fails, it is let go. `owner`: whose own the name is, who
        may go on here in another session.
        Raises `ChatError`: NAME_TAKEN, CLUSTER_AWAY.
        """

    def restoring(self, name: str, identity: str, run: str) -> AbstractAsyncContextManager[None]:
        """Hold a name that an earlier `run` of this server held, for the length of the block.

        As `reserving`, but nobody gives way for that who has gone on at another server.
        """

    def move(self, identity: str, place: Whereabouts) -> None:
        """Let the others know where somebody is now."""

    def release(self, identity: str) -> None:
        """Let go of the name that somebody has."""

    def find(self, name: str) -> Neighbour | None:
        """Return who is called so at another server."""

    def has(self, identity: str) -> bool:
        """Say whether somebody at another server has this identity."""

    def names_in(self, room: str) -> list[str]:
        """Return who is in a room at other servers."""

    def counts(self) -> dict[str, int]:
        """Return, for each room that has people at other servers, how many."""


class Alone:
    """There are no other servers."""

    run = ""

    def attach(self, hub: Any) -> None:
        """Tell it nothing."""

    async def open(self) -> None:
        """Begin nothing."""

    async def close(self) -> None:
        """End nothing."""

    def reserving(
        self, name: str, identity: str, before: str = "", owner: str = ""
    ) -> AbstractAsyncContextManager[Reservation]:
        """Hold the name: nobody else could."""
        return nullcontext(Reservation())

    def restoring(self, name: str, identity: str, run: str) -> AbstractAsyncContextManager[None]:
        """Hold the name: nobody else could."""
        return nullcontext()

    def move(self, identity: str, place: Whereabouts) -> None:
        """Tell nobody."""

    def release(self, identity: str) -> None:
        """Let go of nothing."""

    def find(self, name: str) -> Neighbour | None:
        """Return nobody."""
        return None

    def has(self, identity: str) -> bool:
        """Say that nobody has."""
        return False

    def names_in(self, room: str) -> list[str]:
        """Return nobody."""
        return []

    def counts(self) -> dict[str, int]:
        """Return no room."""
        return {}
