"""How people leave by what operators do: at once for themselves, bit by bit for everybody else.

Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chat.protocol.errors import ChatError
from chat.server.directory import Person
from chat.server.hub import Hub

# People who leave in one turn of the loop: each may have to be told to many.
LEAVING_AT_ONCE = 10


class Expulsion:
    """Has people leave a hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def expel(self, people: Sequence[Person], error: ChatError) -> None:
        """End their streams at once; have them leave bit by bit, so that nobody else waits."""
        for person in people:
            if person.member is not None:
                person.member.close(error)
        self._have_leave(people, error)

    def _have_leave(self, people: Sequence[Person], error: ChatError) -> None:
        for person in people[:LEAVING_AT_ONCE]:
            self._hub.expel(person, error)
        if len(people) > LEAVING_AT_ONCE:
            later = people[LEAVING_AT_ONCE:]
            asyncio.get_running_loop().call_soon(self._have_rest_leave, later, error)

    def _have_rest_leave(self, people: Sequence[Person], error: ChatError) -> None:
        """Go on with those who have neither left meanwhile nor come back from elsewhere."""
        self._have_leave([p for p in people if self._is_here(p) and self._is_out(p)], error)

    def _is_here(self, person: Person) -> bool:
        return self._hub.directory.of_identity(person.identity) is person

    def _is_out(self, person: Person) -> bool:
        """Say whether a person's stream was ended, or lost."""
        return person.member is None or person.member.is_closing
