"""What waits to be written to a transcript: whole entries, in order, and no more than a limit.

Knows no file. Everything runs in the receive thread, but for the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, islice, takewhile

from chat.cli.i18n import _
from chat.client.ui import render
from chat.client.ui.render import RenderedMessage

# What cannot be written now is written later; of more the oldest is lost, and that is said.
MAX_WAITING = 1000
# What a client that was killed may have written after it noted its position for the last time; so
# much is written at once.
MAX_TAIL_BYTES = 64 << 10


@dataclass
class Piece:
    """What one entry adds: `content`, and to which place in the log that brings the transcript.

    `whole`: what it was before some of it came into the file, to which the rest belongs, whatever
    else is lost; else empty. `count`: for how many entries it stands.
    """

    content: bytes
    epoch: str = ""
    room: str = ""
    id: int = 0
    whole: bytes = b""
    count: int = 1


class Tail:
    """What a client that was killed has written after it noted its position for the last time.

    `content`: begins with the end of the line before it; empty for nothing.
    """

    def __init__(self, content: bytes = b"") -> None:
        self._rest = content

    def pass_over(self, entry: bytes) -> bool:
        """Say whether an entry is there, and pass over it and what stands before it."""
        place = self._rest.find(b"\n" + entry)
        if place < 0:
            return False
        self._rest = self._rest[place + len(entry) :]
        return True

    def forget(self) -> None:
        """Look for nothing more."""
        self._rest = b""

    def __bool__(self) -> bool:
        return bool(self._rest)


class TranscriptQueue:
    """Entries on their way to the file; of too many the oldest are lost, and a line says so."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self._lost = 0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    @property
    def is_too_long(self) -> bool:
        """Whether more waits than may."""
        return len(self._pieces) > MAX_WAITING

    def put(self, piece: Piece) -> None:
        """Have one more entry written."""
        self._pieces.append(piece)

    def forget_places(self) -> None:
        """Note that the ids in the log of what waits mean nothing any more."""
        for piece in self._pieces:
            piece.id = 0

    def drop_oldest(self) -> None:
        """Lose what is more than may wait; of an entry that was begun the rest is written."""
        while self.is_too_long:
            self._lost += self._pieces[self._first_whole].count
            del self._pieces[self._first_whole]

    @property
    def _first_whole(self) -> int:
        """Which of what waits is the first that was not begun."""
        return int(bool(self._pieces[0].whole))

    def take_written(self, tail: Tail) -> list[Piece]:
        """Take out, and return, what a client that was killed has written, and not noted.

        Entry by entry, in order: who came and went stands between them and does not come again, nor
        do the user's own notes. Where none of what comes again is there, nothing will be.
        """
        pieces, self._pieces = self._pieces, deque()
        written: list[Piece] = []
        for piece in pieces:
            is_written = bool(piece.id) and tail.pass_over(piece.content)
            (written if is_written else self._pieces).append(piece)
        if not written and any(piece.id for piece in pieces):
            tail.forget()
        return written

    def begin_anew(self) -> None:
        """Note that the file is empty: what was begun in one that was moved is here whole."""
        piece = self._pieces[0]
        piece.content, piece.whole = piece.whole or piece.content, b""

    def tell_lost(self) -> None:
        """Have it said how many entries were lost, where they are missing."""
        if not self._lost:
            return
        text = _("* {count} messages are missing here").format(count=self._lost)
        gap = Piece(as_entry(render.local_notice(text)), count=self._lost)
        self._pieces.insert(self._first_whole, gap)
        self._lost = 0

    def next_content(self) -> bytes:
        """Return what the first pieces hold, as much as is written at once, one at least."""
        sizes = accumulate(len(piece.content) for piece in self._pieces)
        count = max(1, sum(1 for _size in takewhile(MAX_TAIL_BYTES.__ge__, sizes)))
        return b"".join(piece.content for piece in islice(self._pieces, count))

    def take(self, count: int) -> Iterator[Piece]:
        """Yield the pieces that so many bytes, which were written, end; of one more comes later."""
        while self._pieces and count >= len(self._pieces[0].content):
            piece = self._pieces.popleft()
            count -= len(piece.content)
            yield piece
        if count:
            piece = self._pieces[0]
            piece.whole = piece.whole or piece.content
            piece.content = piece.content[count:]


def as_entry(rendered: RenderedMessage) -> bytes:
    """Return an entry as it stands in the file: with date and time, later lines indented."""
    when = rendered.when or render.now()
    return f"{when:%Y-%m-%d %H:%M:%S} {rendered.rows(None)}\n".encode("utf-8", "replace")
