"""What other servers keep of closed rooms, taken over: who is inside here and may not be leaves.

Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio

from chat.server.hub import Hub


class OtherRooms:
    """Takes over the records of rooms and guests into a hub.

    Somebody who has come in here before this server heard that the room was closed elsewhere was
    inside when it was: a guest, as all who were.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._changed: dict[str, bool] = {}  # rooms to be looked at; whether they were closed

    def take_room(self, key: str, text: str | None) -> None:
        """Note what a record says of a room; raises `ValueError` where it is none."""
        self._look_soon(key, was_closed=self._hub.closed.take(key, text))

    def take_guest(self, key: str, text: str | None) -> None:
        """Note what a record says of a guest; raises `ValueError` where it is none."""
        self._look_soon(self._hub.closed.take_guest(key, text), was_closed=False)

    def take_use(self, key: str, text: str | None) -> None:
        """Note when a room was used elsewhere; raises `ValueError` where that is no time."""
        self._hub.closed.take_use(key, text)

    def _look_soon(self, key: str, was_closed: bool) -> None:
        """See who is inside when all is known that has come at a time."""
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._look)
        self._changed[key] = was_closed or self._changed.get(key, False)

    def _look(self) -> None:
        changed, self._changed = self._changed, {}
        for key, was_closed in changed.items():
            room = self._hub.rooms.get(key)
            if room is None or not self._hub.closed.is_closed(key):
                continue
            if was_closed:
                self._hub.closed.take_in(key, room.persons())
            for person in room.persons():
                if not self._hub.closed.admits(key, person):
                    self._hub.places.turn_out(person, key)
