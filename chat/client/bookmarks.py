"""Where somebody left off in the logs of servers: what is kept of it, as bytes and back.

A log is known by its epoch, not by an address: the servers of a cluster, and all the names of a
server, lead to the same one. Knows no file; whoever owns it sees to threads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from chat.client.cursor import Place
from chat.client.json_rows import room_in
from chat.protocol.limits import MAX_RAW_NAME_CHARACTERS
from chat.protocol.metadata import MAX_GENERATION_CHARACTERS, MAX_ID, is_word
from chat.protocol.names import name_key

# Begins the key of an inbox, for whoever keeps marks of those too; no room's has it.
INBOX = "\t"
# Of more the oldest are forgotten.
MAX_LOGS = 20
MAX_ADDRESSES = 50
MAX_MARKS = 200  # in one log
MAX_ADDRESS_CHARACTERS = 2048
# Normalised, a name may be longer than it was typed.
MAX_KEY_CHARACTERS = 4 * MAX_RAW_NAME_CHARACTERS
# More than the largest that is ever written.
MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class Mark:
    """The last message that was seen in a room, `id`, and until when (seconds since 1970)."""

    id: int
    at: float


@dataclass
class LogMarks:
    """The marks in one log, by the key of the room; the ids are those of its `generation`.

    `last`: the rooms that the user was in when it was noted last, as they were typed, without the
    common one.
    """

    generation: str = ""
    rooms: dict[str, Mark] = field(default_factory=dict)
    last: list[str] = field(default_factory=list)


@dataclass
class Bookmarks:
    """The marks in each log, by its epoch, and which log is at which address; the latest last."""

    addresses: dict[str, str] = field(default_factory=dict)
    logs: dict[str, LogMarks] = field(default_factory=dict)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Bookmarks:
        """Read them; what makes no sense is as good as nothing."""
        try:
            fields = json.loads(raw[:MAX_BYTES])
            addresses = {address: epoch for address, epoch in fields["addresses"].items()}
            logs = {epoch: _log_in(log) for epoch, log in fields["logs"].items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return cls()
        is_sound = all(map(_is_word, [*addresses.values(), *logs])) and all(
            len(address) <= MAX_ADDRESS_CHARACTERS for address in addresses
        )
        return cls(addresses, logs) if is_sound else cls()

    def to_bytes(self) -> bytes:
        """Return them as JSON (ASCII)."""
        logs = {
            epoch: {
                "generation": log.generation,
                "rooms": {key: [mark.id, round(mark.at)] for key, mark in log.rooms.items()},
                "last": log.last,
            }
            for epoch, log in self.logs.items()
        }
        return json.dumps({"addresses": self.addresses, "logs": logs}).encode("ascii")

    def meet(self, address: str, epoch: str) -> LogMarks:
        """Note that this log is at that address now; return what is known of it."""
        log = self.logs[epoch] = self.logs.pop(epoch, LogMarks())
        if len(address) <= MAX_ADDRESS_CHARACTERS:
            self.addresses.pop(address, None)
            self.addresses[address] = epoch
        _bound(self.addresses, MAX_ADDRESSES)
        _bound(self.logs, MAX_LOGS)
        return log

    def note(self, place: Place, at: float) -> None:
        """Note how far each room of `place` was seen, at that time; its log was met."""
        log = self.logs.setdefault(place.epoch, LogMarks())
        log.generation = place.generation
        log.last = [room for room in place.rooms if room]
        for room, seen in place.rooms.items():
            key = name_key(room)
            log.rooms.pop(key, None)
            log.rooms[key] = Mark(seen, at)
        for key, seen in place.left.items():
            if key not in log.rooms or log.rooms[key].id != seen:
                log.rooms[key] = Mark(seen, at)
        _bound(log.rooms, MAX_MARKS)

    def mark(self, epoch: str, key: str) -> int:
        """Return the last id that was seen in a room, 0 where none was."""
        log = self.logs.get(epoch)
        return log.rooms[key].id if log is not None and key in log.rooms else 0

    def set_mark(self, epoch: str, key: str, seen: int, at: float) -> None:
        """Note the last id that was seen in a room, and when."""
        rooms = self.logs.setdefault(epoch, LogMarks()).rooms
        rooms.pop(key, None)
        rooms[key] = Mark(seen, at)
        _bound(rooms, MAX_MARKS)

    def place_at(self, address: str, own: Place, name: str | None = None) -> Place:
        """Return where a session begins that has left off here; `own`: what is known otherwise.

        `name`: whose inbox may have a mark too, which is not ahead of what is known otherwise.

        The ids are of the generation in which the marks were made: what `own` says may be newer,
        and would hide that the log was put back in between.
        """
        epoch = own.epoch or self.addresses.get(address, "")
        log = self.logs.get(epoch)
        if log is None or not log.rooms:
            return own
        left = {key: mark.id for key, mark in log.rooms.items() if not key.startswith(INBOX)}
        mark = log.rooms.get(inbox_key(name)) if name is not None else None
        inbox = own.inbox if mark is None else min(mark.id, own.inbox)
        return Place({}, inbox, epoch, log.generation, left)

    def forget(self, address: str) -> bool:
        """Forget the log at an address; say whether there was any."""
        epoch = self.addresses.pop(address, None)
        if epoch is None:
            return False
        self.logs.pop(epoch, None)
        self.addresses = {a: other for a, other in self.addresses.items() if other != epoch}
        return True


def inbox_key(name: str) -> str:
    """Return under which key an inbox has its mark, among those of the rooms."""
    return INBOX + name_key(name)


def _bound(items: dict[str, Any], limit: int) -> None:
    while len(items) > limit:
        del items[next(iter(items))]


def _log_in(fields: dict[str, Any]) -> LogMarks:
    """Return the marks in what was read of one log; raises `ValueError` and others."""
    rooms = {key: Mark(*values) for key, values in fields["rooms"].items()}
    if not _is_word(fields["generation"]) or not all(map(_is_mark, rooms.values())):
        raise ValueError("no marks")
    if any(len(key) > MAX_KEY_CHARACTERS for key in rooms):
        raise ValueError("no room")
    last = fields.get("last", [])  # earlier versions have none
    if not isinstance(last, list):
        raise ValueError("no rooms")
    return LogMarks(
        fields["generation"], rooms, [room for room in last[:MAX_MARKS] if room_in(room)]
    )


def _is_mark(mark: Mark) -> bool:
    is_id = type(mark.id) is int and 0 <= mark.id <= MAX_ID
    return is_id and type(mark.at) is int and 0 <= mark.at < 1 << 40


def _is_word(word: object) -> bool:
    # Else each stream would fail on it, at every start.
    return isinstance(word, str) and is_word(word) and len(word) <= MAX_GENERATION_CHARACTERS
