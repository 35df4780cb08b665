"""A file to which everything that is said is appended, once, as the screen shows it: for grep.

What came together is written together, and the file opened anew for that, so that another program
may move it away at any time (logrotate), or copy it and cut it off. How far it goes, in which log,
is kept in a small file in the user's state folder, which one client at a time has: a later run goes
on there, whatever the screen has shown without the transcript. Called in the receive thread; opened
and closed in the main thread.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate, islice, takewhile
from pathlib import Path

from chat.cli.i18n import _
from chat.cli.locked_files import open_and_lock
from chat.cli.regular_files import open_regular, read_regular
from chat.cli.system_errors import words_of_writing
from chat.client.bookmarks import INBOX, MAX_BYTES, Bookmarks
from chat.client.cursor import Place
from chat.client.identity import file_name
from chat.client.ui import render
from chat.client.ui.render import RenderedMessage
from chat.protocol.errors import UsageError
from chat.protocol.names import name_key
from chat_pb2 import Message

PREFIX = "transcript-"
# What cannot be written now is written later; of more the oldest is lost, and that is said.
MAX_WAITING = 1000
# How often is tried again what could not be written.
RETRY_SECONDS = 1.0
# The file of positions is written by one call, in blocks of so much, and is never half of two.
BLOCK_BYTES = 4096
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


class Transcript:
    """The transcript at `path`, opened by `open`; `on_trouble` and `on_mended` are told once each.

    `bookmarks`: how far it goes. Everything belongs to the receive thread while that runs.
    """

    def __init__(self, path: Path, folder: Path | None) -> None:
        self.path = path.absolute()
        self.bookmarks = Bookmarks()
        self.on_trouble: Callable[[str], None] = lambda sentence: None
        self.on_mended: Callable[[str], None] = lambda sentence: None
        self._position: int | None = None  # a descriptor, locked
        self._unkept: OSError | None = None  # why it is not kept, or not lately
        self._is_unkept_told = False
        self._waiting: deque[Piece] = deque()
        self._newest: dict[str, int] = {}  # of what waits, by room
        self._lost = 0
        self._failed_at: float | None = None
        self._place = Place()
        self._inbox = INBOX
        self._tail = b""  # begins with the end of the line before it
        self._is_cut = False  # the last line of the file, by a client that was killed
        self._open(folder)

    # In the main thread.

    def _open(self, folder: Path | None) -> None:
        """Find out whether it can be written, and how far it goes; raises `UsageError`."""
        try:
            with self._file() as file:
                size = os.fstat(file).st_size
        except OSError as error:
            text = _("The transcript {path} cannot be written ({error}). Give another file.")
            raise UsageError(text.format(path=self.path, error=words_of_writing(error))) from error
        self._is_cut = self._read_from(max(0, size - 1)) not in (b"", b"\n")
        try:
            self._position = self._open_position(folder)
            self._read_position(self._position, size)
        except BlockingIOError as error:
            text = _("Another client is writing the transcript {path}. Give another file.")
            raise UsageError(text.format(path=self.path)) from error
        except OSError as error:
            self._unkept = error

    def _open_position(self, folder: Path | None) -> int:
        if folder is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return open_and_lock(folder / file_name(PREFIX, str(self.path), ".json"))

    def _read_position(self, position: int, size: int) -> None:
        raw = os.read(position, MAX_BYTES)
        number, _feed, fields = raw.partition(b"\n")
        if not (number.isdigit() and len(number) < 20):
            return
        self.bookmarks = Bookmarks.from_bytes(fields)
        written = int(number)
        if written < size <= written + MAX_TAIL_BYTES:
            self._tail = b"\n" + self._read_from(written)

    def _read_from(self, start: int) -> bytes:
        """Return what the file holds from there on, a tail at most; empty where it cannot."""
        with suppress(OSError):
            return read_regular(self.path, MAX_TAIL_BYTES, start)
        return b""

    def close(self) -> None:
        """Write what waits, if that is possible, and let another client have it."""
        self._flush()
        if self._position is not None:
            os.close(self._position)
            self._position = None

    # In the receive thread.

    def meet(self, address: str, place: Place, name: str) -> None:
        """Note which log this is; the private messages in it are those of `name`."""
        if place.epoch != self._place.epoch:
            self._newest = {}
        self._place = place
        self._inbox = INBOX + name_key(name)
        if place.epoch:
            self.bookmarks.meet(address, place.epoch).generation = place.generation

    def rewind(self) -> None:
        """Note that ids from before mean nothing: what comes is written, rather than lost."""
        if log := self.bookmarks.logs.get(self._place.epoch):
            log.rooms.clear()
        self._newest = {}
        for piece in self._waiting:
            piece.id = 0

    def add(self, message: Message, rendered: RenderedMessage) -> None:
        """Take an entry, unless it is there already; it is appended by `write`."""
        room = self._inbox if message.to else name_key(message.room)
        if message.id:
            known = self.bookmarks.mark(self._place.epoch, room)
            if message.id <= max(known, self._newest.get(room, 0)):
                return
            self._newest[room] = message.id
        self._waiting.append(Piece(as_entry(rendered), self._place.epoch, room, message.id))
        if len(self._waiting) > MAX_WAITING:
            self.write()

    def write(self) -> None:
        """Append what waits, unless that has failed a moment ago; more than the limit is lost."""
        failed_at = self._failed_at
        if failed_at is None or time.monotonic() - failed_at >= RETRY_SECONDS:
            self._flush()
        while len(self._waiting) > MAX_WAITING:
            self._lost += self._waiting[self._first_whole].count
            del self._waiting[self._first_whole]

    @property
    def _first_whole(self) -> int:
        """Which of what waits is the first that was not begun."""
        return int(bool(self._waiting[0].whole))

    def _flush(self) -> None:
        """Write all that waits; where that fails, say so once, and go on with it later."""
        self._pass_over_written()
        try:
            if self._waiting:
                with self._file() as file:
                    self._append(file)
        except OSError as error:
            self._tell_trouble(error)
        else:
            self._newest = {}
            self._tell_mended()
            self._tell_unkept()

    def _pass_over_written(self) -> None:
        """Leave out what a client that was killed has written, and not noted.

        Entry by entry, in order: who came and went stands between them and does not come again, nor
        do the user's own notes.
        """
        if not self._tail:
            return
        pieces, self._waiting = self._waiting, deque()
        for piece in pieces:
            if piece.id and self._find_in_tail(piece.content):
                self._note_piece(piece)
            else:
                self._waiting.append(piece)
        is_any_there = len(self._waiting) < len(pieces)
        if not is_any_there and any(piece.id for piece in pieces):
            self._tail = b""

    def _find_in_tail(self, content: bytes) -> bool:
        """Say whether an entry is there, and pass over it and what stands before it."""
        place = self._tail.find(b"\n" + content)
        if place < 0:
            return False
        self._tail = self._tail[place + len(content) :]
        return True

    def _append(self, file: int) -> None:
        """Append all that waits, in a few large writes. Raises `OSError`."""
        try:
            if not os.fstat(file).st_size:
                self._begin_anew()
            if self._is_cut:
                os.write(file, b"\n")
                self._is_cut = False
            if self._lost:
                self._put_gap()
            while self._waiting:
                self._note_written(os.write(file, self._next_content()))
        finally:
            self._note_position(os.fstat(file).st_size)

    def _begin_anew(self) -> None:
        """Note that the file is empty: what was begun in one that was moved is here whole."""
        self._is_cut = False
        piece = self._waiting[0]
        piece.content, piece.whole = piece.whole or piece.content, b""

    def _put_gap(self) -> None:
        """Have it said how many entries were lost, where they are missing."""
        text = _("* {count} messages are missing here").format(count=self._lost)
        gap = Piece(as_entry(render.local_notice(text)), count=self._lost)
        self._waiting.insert(self._first_whole, gap)
        self._lost = 0

    def _next_content(self) -> bytes:
        """Return what the first pieces hold, as much as is written at once, one at least."""
        sizes = accumulate(len(piece.content) for piece in self._waiting)
        count = max(1, sum(1 for _size in takewhile(MAX_TAIL_BYTES.__ge__, sizes)))
        return b"".join(piece.content for piece in islice(self._waiting, count))

    def _note_written(self, count: int) -> None:
        """Note that so many bytes of what waits are in the file; more of a piece comes later."""
        while self._waiting and count >= len(self._waiting[0].content):
            piece = self._waiting.popleft()
            count -= len(piece.content)
            self._note_piece(piece)
        if count:
            piece = self._waiting[0]
            piece.whole = piece.whole or piece.content
            piece.content = piece.content[count:]

    def _note_piece(self, piece: Piece) -> None:
        """Note that an entry is in the file; one that stood there already may be a later one."""
        if piece.id:
            seen = max(piece.id, self.bookmarks.mark(piece.epoch, piece.room))
            self.bookmarks.set_mark(piece.epoch, piece.room, seen, time.time())

    @contextmanager
    def _file(self) -> Iterator[int]:
        """Open the file, which is made where there is none, for the length of the block."""
        file = open_regular(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            yield file
        finally:
            os.close(file)

    def _note_position(self, size: int) -> None:
        if self._position is None:
            return
        content = b"%d\n%s" % (size, self.bookmarks.to_bytes())
        content = content.ljust(len(content) + -len(content) % BLOCK_BYTES)
        try:
            os.lseek(self._position, 0, os.SEEK_SET)
            if os.write(self._position, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(self._position, len(content))
        except OSError as error:
            self._unkept = error
        else:
            self._unkept = None

    def _tell_unkept(self) -> None:
        """Say, once, that the next run cannot go on where this one ends."""
        if self._unkept is not None and not self._is_unkept_told:
            self._is_unkept_told = True
            text = _(
                "How far the transcript {path} goes cannot be kept ({error}); what is said between"
                " this run and the next may be missing from it."
            )
            self.on_trouble(text.format(path=self.path, error=words_of_writing(self._unkept)))

    def _tell_trouble(self, error: OSError) -> None:
        if self._failed_at is None:
            text = _("The transcript {path} cannot be written ({error}); the chat goes on.")
            self.on_trouble(text.format(path=self.path, error=words_of_writing(error)))
        self._failed_at = time.monotonic()

    def _tell_mended(self) -> None:
        if self._failed_at is not None:
            self._failed_at = None
            self.on_mended(_("* The transcript {path} is written again.").format(path=self.path))


def as_entry(rendered: RenderedMessage) -> bytes:
    """Return an entry as it stands in the file: with date and time, later lines indented."""
    when = rendered.when or render.now()
    return f"{when:%Y-%m-%d %H:%M:%S} {rendered.rows(None)}\n".encode("utf-8", "replace")
