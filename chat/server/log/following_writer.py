"""What the stream of a cluster brings, written into this server's file. In the writer's thread.

Everything that a group changes is one transaction: its messages, its records, how far the stream
has been followed, and which group of its publisher it was. So whatever happens, the file is some
earlier state of the stream, and what follows is applied once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from chat.server.log.base import TOLD, Entry, LogError, Problem
from chat.server.log.groups import PLACE_BITS, StreamGroup
from chat.server.log.log_clock import DAY
from chat.server.log.maintenance import copy_beside
from chat.server.log.migrations import FOLLOWING, is_following, keep_opening
from chat.server.log.rows import ALL_ROOMS, NEWEST_ID, message_of, stamp
from chat.server.log.sqlite_writer import COLUMNS, SqliteWriter, inserts, portions, values_of
from chat.server.log.writer_thread import Group, Notes

INSERTS = inserts(f"id, {COLUMNS}")
# A server that publishes a group again does so at once; runs of servers this old are over.
PUBLISHER_AGE = 7 * DAY

# An id, a time, and the entry that gets them.
Item = tuple[int, int, Entry]


@dataclass(frozen=True)
class Followed:
    """How far the stream has been followed: the last group, its id; how often it was put back."""

    sequence: int = 0
    message_id: str = ""
    rewinds: int = 0


@dataclass(slots=True)
class Arrivals(Group):
    """What is written at a time: groups of the stream, in order, and this server's own notes.

    Before them, where `restart` is given, all that came from the stream is set aside: the stream
    was put back, for that many times now. `floor`: where the stream no longer holds all that comes
    after what was followed, the first sequence that it does hold, and `copied` the
    records that were kept by then, where that is known. Afterwards `entries` are those
    that are to be delivered, `own` this server's among them; `records`: what was kept or told, in
    their order.
    """

    arrived: list[StreamGroup] = field(default_factory=list)
    restart: int | None = None
    floor: int = 0
    copied: Notes | None = None
    own: list[Entry] = field(default_factory=list)
    records: list[tuple[str, str, str | None]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write in it."""
        return not (self.arrived or self.notes or self.floor or self.restart is not None)


def generation_of(epoch: str, rewinds: int) -> str:
    """Return the generation of a log: the same at all servers that follow one stream."""
    return hashlib.sha256(f"{epoch} {rewinds}".encode()).hexdigest()[:32]


class FollowingWriter(SqliteWriter):
    """Applies what came out of the stream. `followed`, `epoch`: as of the last transaction.

    `local_kinds`: of the records that are this server's alone. `begin` is called first, before the
    writer's thread begins, where the file is opened.
    """

    followed = Followed()
    local_kinds: frozenset[str] = frozenset()
    epoch = ""

    def begin(self, epoch: str, rewinds: int) -> None:
        """Let the file follow the stream with this identity. Raises `LogError`."""
        execute = self._connection.execute
        # What is lost with the machine's power comes again out of the stream.
        execute("PRAGMA synchronous = NORMAL")
        with self._transaction():
            is_known = is_following(self._connection)
            is_used = is_known or execute(NEWEST_ID).fetchone()[0] > 0
            if is_used and execute("SELECT epoch FROM log").fetchone()[0] != epoch:
                raise LogError(Problem.OTHER_LOG, self._path)
            self.epoch = epoch
            for statement in FOLLOWING:
                execute(statement)
            execute("UPDATE log SET epoch = ?", (epoch,))
            if not is_known:
                execute("INSERT INTO follow VALUES (0, '', ?)", (rewinds,))
            self.followed = Followed(*execute("SELECT * FROM follow").fetchone())
            self._write_generation(self.followed)
            self._read_publishers()

    def _read_publishers(self) -> None:
        execute = self._connection.execute
        newest = execute("SELECT coalesce(max(sent_at), 0) FROM publisher").fetchone()[0]
        execute("DELETE FROM publisher WHERE sent_at < ?", (newest - PUBLISHER_AGE,))
        rows = execute("SELECT instance, number FROM publisher")
        self._numbers: dict[str, int] = dict(rows.fetchall())
        last = execute("SELECT sent_at FROM message ORDER BY id DESC LIMIT 1").fetchone()
        self._sent_at = int(last[0]) if last else 0

    def commit(self, group: Group) -> None:
        """Write the arrivals in one transaction; raises where none of them was written."""
        self._next = self.followed
        self._next_numbers: dict[str, tuple[int, int]] = {}
        if isinstance(group, Arrivals) and group.restart is not None:
            self._set_aside()
        super().commit(group)
        self.followed = self._next
        self._numbers.update((name, number) for name, (number, _at) in self._next_numbers.items())

    def _set_aside(self) -> None:
        """Copy the file, of which all is to be forgotten. Raises where there is no room for it."""
        if self._file is None:
            return
        if copy_beside(self._connection, self._file.real_path, "rewound") is None:
            raise LogError(Problem.FULL, self._path)

    def _write(self, group: Group) -> None:
        if not isinstance(group, Arrivals) or group.is_empty:
            keep_opening(self._connection)
            return
        if group.restart is not None:
            self._forget_all(group.restart)
        if group.floor:
            self._write_floor(group.floor)
        items: list[Item] = []
        records = self._changes_to(group.copied) if group.copied is not None else []
        own: list[Entry] = []
        for one in group.arrived:
            self._take(one, items, records, own)
        repeats: set[int] = set()
        for some in portions(items):
            self._insert_items(some, repeats)
        kept = {(kind, key): text for kind, key, text in records if kind != TOLD}
        self._write_notes(kept)
        self._write_notes(group.notes)
        self._write_followed()
        group.records, group.own = records, own
        dropped = repeats.difference(map(id, own))
        group.entries = [entry for _id, _at, entry in items if id(entry) not in dropped]

    def _changes_to(self, copied: Notes) -> list[tuple[str, str, str | None]]:
        """Return what is to be kept, or no more, for these to be all shared records."""
        rows = self._connection.execute("SELECT kind, key, text FROM record").fetchall()
        known = {(kind, key): text for kind, key, text in rows if kind not in self.local_kinds}
        gone = known.keys() - copied.keys()
        new = [
            (*where, text)
            for where, text in copied.items()
            if known.get(where) != text and where[0] not in self.local_kinds
        ]
        return [*((kind, key, None) for kind, key in gone), *new]

    def _take(
        self,
        one: StreamGroup,
        items: list[Item],
        records: list[tuple[str, str, str | None]],
        own: list[Entry],
    ) -> None:
        """Take what is new of one group; nothing, where it is in the file or in the stream twice.

        A server publishes again what it does not know to be stored, for longer than JetStream
        remembers.
        """
        if one.sequence <= self._next.sequence:
            return
        rewinds = self._next.rewinds
        known, _at = self._next_numbers.get(one.instance, (self._numbers.get(one.instance, 0), 0))
        if one.number > known:
            self._sent_at = sent_at = max(one.sent_at, self._sent_at)
            self._next_numbers[one.instance] = (one.number, sent_at)
            rewinds = max(rewinds, one.rewinds)
            entries, notes = one.decode()
            first_id = one.sequence << PLACE_BITS
            items += [(first_id | place, sent_at, entry) for place, entry in enumerate(entries)]
            records += [
                (kind, key, text)
                for (kind, key), text in notes.items()
                if kind not in self.local_kinds  # which is no business of other servers
            ]
            if one.own is not None:
                own += entries
        self._next = replace(
            self._next, sequence=one.sequence, message_id=one.message_id, rewinds=rewinds
        )

    def _insert_items(self, items: Sequence[Item], repeats: set[int]) -> None:
        """Insert as many messages as one statement takes; note which are in the log already."""
        values: list[object] = []
        for item_id, sent_at, entry in items:
            values.append(item_id)
            values += values_of(entry, sent_at)
        cursor = self._connection.execute(INSERTS[len(items)], values)
        has_repeats = cursor.rowcount < len(items)
        for item_id, sent_at, entry in items:
            row = self.row_of(entry) if has_repeats else None
            if row is None or row[0] == item_id:
                stamp(entry.message, item_id, sent_at)
            else:
                entry.room, entry.message, entry.is_repeated = row[-1], message_of(row), True
                repeats.add(id(entry))

    def _write_followed(self) -> None:
        now = self._next
        values = (now.sequence, now.message_id, now.rewinds)
        self._connection.execute(
            "UPDATE follow SET sequence = ?, message_id = ?, rewinds = ?", values
        )
        rows = [(name, *last) for name, last in self._next_numbers.items()]
        self._connection.executemany("INSERT OR REPLACE INTO publisher VALUES (?, ?, ?)", rows)
        if now.rewinds != self.followed.rewinds:
            self._write_generation(now)

    def _write_generation(self, followed: Followed) -> None:
        """Have it known as the only one: ids of earlier ones mean nothing any more."""
        execute = self._connection.execute
        execute("DELETE FROM generation")
        generation = generation_of(self.epoch, followed.rewinds)
        execute("INSERT INTO generation (generation, first_id) VALUES (?, 1)", (generation,))

    def _write_floor(self, first: int) -> None:
        """Note that what came before a sequence was not followed, and is not in the stream."""
        last_id = (first << PLACE_BITS) - 1
        execute = self._connection.execute
        execute("INSERT OR REPLACE INTO trimmed VALUES (?, ?)", (ALL_ROOMS, last_id))
        if not execute("UPDATE sqlite_sequence SET seq = max(seq, ?)", (last_id,)).rowcount:
            execute("INSERT INTO sqlite_sequence VALUES ('message', ?)", (last_id,))
        self._next = replace(self._next, sequence=first - 1, message_id="")

    def _forget_all(self, rewinds: int) -> None:
        """Empty the file of all messages, and begin to follow anew.

        Records stay, but for those that the stream says more of: it has them no longer than it has
        messages, and whose own a name is, or who is banned, must not be forgotten.
        """
        for table in ("message", "trimmed", "publisher", "sqlite_sequence"):
            self._connection.execute(f"DELETE FROM {table}")
        self._numbers.clear()
        self._sent_at = 0
        self._next = Followed(rewinds=rewinds)
