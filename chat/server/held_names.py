"""Whose names are held for a return: the oldest first, and how many there may be.

Knows no rooms and no streams; everything runs in the event loop.
"""

from __future__ import annotations

from collections import OrderedDict

from chat.server.directory import Person


class HeldNames:
    """Everybody who is expected back, in the order in which their connections were lost.

    As many as there are places: `places` on the server, `places_of_address` for each address. They
    are places of their own, so that nobody who is here gives way, nor is refused for them. An empty
    address has no share.
    """

    def __init__(self, places: int, places_of_address: int) -> None:
        self._places = places
        self._places_of_address = places_of_address
        self._held: OrderedDict[Person, None] = OrderedDict()
        self._of_address: dict[str, OrderedDict[Person, None]] = {}

    def __len__(self) -> int:
        """How many names are held."""
        return len(self._held)

    def add(self, person: Person) -> None:
        """Hold the name of a person whose stream is gone."""
        self._held[person] = None
        self._of_address.setdefault(person.address, OrderedDict())[person] = None

    def discard(self, person: Person) -> None:
        """Hold it no longer, if it was held."""
        if person not in self._held:
            return
        del self._held[person]
        neighbours = self._of_address[person.address]
        del neighbours[person]
        if not neighbours:
            del self._of_address[person.address]

    def surplus(self, address: str) -> Person | None:
        """Return who has to go, if somebody has: the oldest of the address, or of all."""
        neighbours = self._of_address.get(address)
        if address and neighbours and len(neighbours) > self._places_of_address:
            return next(iter(neighbours))
        return next(iter(self._held)) if len(self._held) > self._places else None
