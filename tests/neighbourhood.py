"""Servers that share a log in memory, for the unit tests of what holds over all of them.

Without NATS: what is kept, told and said at one comes to the others in one order, when the loop
gets to it, or when the test lets it (`Journal.is_held`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from moderated import Moderated
from rooms import FakeLog, Message, quiet

from chat.protocol.errors import ChatError
from chat.protocol.names import name_key
from chat.server.directory import Person
from chat.server.hub import Hub
from chat.server.log.base import TOLD, Entry
from chat.server.neighbours import Alone, Neighbour, Reservation
from chat.server.other_servers import OtherServers
from chat.server.records import LOCAL_KINDS


class Journal:
    """What all servers of a cluster share. `is_held`: nothing of it comes to anybody."""

    def __init__(self) -> None:
        self.logs: list[SharedLog] = []
        self.is_held = False
        self._coming: deque[Callable[[], None]] = deque()

    def put(self, deliver: Callable[[], None]) -> None:
        """Have something come to the servers, after all that was put before."""
        self._coming.append(deliver)
        asyncio.get_running_loop().call_soon(self._bring)

    def _bring(self) -> None:
        while self._coming and not self.is_held:
            self._coming.popleft()()

    def let_go(self) -> None:
        """Let come what was held."""
        self.is_held = False
        self._bring()


class SharedLog(FakeLog):
    """One server's part of a journal: the same messages and records as the others have."""

    is_shared = True

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal
        self._under_way: deque[tuple[str, str]] = deque()
        journal.logs.append(self)

    def append(self, entry: Entry) -> None:
        self._journal.put(lambda: self._say(entry))

    def _say(self, entry: Entry) -> None:
        self._waiting.append(entry)
        self.commit_and_deliver()
        if not entry.is_repeated:
            for other in self._journal.logs:
                if other is not self:
                    other.hear(Entry(entry.room, entry.sender, entry.message))

    def hear(self, entry: Entry) -> None:
        """Take what was said at another server."""
        self._last_id = entry.message.id
        self.rows.append((entry.room, entry.message))
        self._keys[entry.sender, entry.message.key] = (entry.room, entry.message)
        self._deliver([entry])

    def keep(self, kind: str, key: str, text: str | None) -> None:
        if kind in LOCAL_KINDS:
            super().keep(kind, key, text)
        else:
            self._under_way.append((kind, key))
            self._journal.put(lambda: self._keep_everywhere(kind, key, text))

    def _keep_everywhere(self, kind: str, key: str, text: str | None) -> None:
        self._under_way.popleft()
        for log in self._journal.logs:
            log.take(kind, key, text)

    def take(self, kind: str, key: str, text: str | None) -> None:
        """Keep what some server keeps, and have it heard unless a newer one is on its way."""
        super().keep(kind, key, text)
        if (kind, key) not in self._under_way:
            self.on_record(kind, key, text)

    def tell(self, text: str) -> None:
        for log in self._journal.logs:
            if log is not self:
                self._journal.put(partial(log.on_record, TOLD, "", text))


class Nearby(Alone):
    """Those at the `others`, without a cluster: who is there is known at once.

    `coming`: who is found instead, as somebody who is just coming there.
    """

    def __init__(self) -> None:
        self.coming: Neighbour | None = None
        self.others: list[Hub] = []

    def _people(self) -> list[Person]:
        return [person for hub in self.others for person in hub.directory.people]

    def find(self, name: str) -> Neighbour | None:
        if self.coming is not None:
            return self.coming
        found = (p for p in self._people() if name_key(p.name) == name_key(name))
        return next(map(_neighbour, found), None)

    def has(self, identity: str) -> bool:
        return any(person.identity == identity for person in self._people())

    def names_in(self, room: str) -> list[str]:
        return [person.name for person in self._people() if room in _neighbour(person).rooms]

    @asynccontextmanager
    async def reserving(
        self, name: str, identity: str, before: str = "", owner: str = ""
    ) -> AsyncIterator[Reservation]:
        there = self.find(name)
        if there is not None and there.identity not in (identity, before):
            raise ChatError("NAME_TAKEN")
        yield Reservation()
        for hub in self.others:
            hub.hand_over(identity)


def _neighbour(person: Person) -> Neighbour:
    takes_private = person.member is None or person.member.is_full
    inbox = person.inbox if takes_private else ""
    return Neighbour(person.name, person.identity, inbox, tuple(person.seen_in))


class Server(Moderated):
    """One of several servers that are one chat; their operator is `ana`."""

    def __init__(self, log: SharedLog) -> None:
        self.nearby = Nearby()
        super().__init__(log, neighbours=self.nearby)
        self.told: list[Message] = []  # what operators of the others did, as the console has it
        self.others = OtherServers(self.hub, self._show_told)
        log.listen(self.others.take_record, lambda: None)

    def _show_told(self, room: str, messages: Sequence[Message]) -> None:
        self.told += messages

    async def begin(self) -> None:
        """Read what is kept, and serve."""
        self.log.start(self.service.broadcast)
        await self.others.read(self.hub.start)


async def servers(count: int = 2) -> tuple[Journal, list[Server]]:
    """Return so many servers of a new cluster, and what they share."""
    journal = Journal()
    all_servers = [Server(SharedLog(journal)) for _ in range(count)]
    for server in all_servers:
        server.nearby.others = [other.hub for other in all_servers if other is not server]
        await server.begin()
    await quiet()
    return journal, all_servers
