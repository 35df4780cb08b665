"""A file to which everything that is said is appended, once, as the screen shows it: for grep.

What came together is written together, and the file opened anew for that, so that another program
may move it away at any time (logrotate), or copy it and cut it off. How far it goes, in which log,
is kept in a small file in the user's state folder, which one client at a time has: a later run goes
on there, whatever the screen has shown without the transcript. Called in the receive thread; opened
and closed in the main thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chat.cli.i18n import _
from chat.cli.regular_files import open_regular, read_regular
from chat.cli.system_errors import words_of_writing
from chat.client.bookmarks import INBOX, Bookmarks, inbox_key
from chat.client.cursor import Place
from chat.client.transcript_position import Position
from chat.client.transcript_queue import MAX_TAIL_BYTES, Piece, Tail, TranscriptQueue, as_entry
from chat.client.ui.render import RenderedMessage
from chat.protocol.errors import UsageError
from chat.protocol.names import name_key
from chat_pb2 import Message

# How often is tried again what could not be written.
RETRY_SECONDS = 1.0


class Transcript:
    """The transcript at `path`, opened with it; `on_trouble` and `on_mended` are told once each.

    `folder`: where it is kept how far it goes, None for nowhere. Raises `UsageError` where the file
    cannot be written, or another client writes it. Everything belongs to the receive thread while
    that runs.
    """

    def __init__(self, path: Path, folder: Path | None) -> None:
        self.path = path.absolute()
        self.on_trouble: Callable[[str], None] = lambda sentence: None
        self.on_mended: Callable[[str], None] = lambda sentence: None
        self._is_unkept_told = False
        self._queue = TranscriptQueue()
        self._newest: dict[str, int] = {}  # of what waits, by room
        self._failed_at: float | None = None
        self._place = Place()
        self._inbox = INBOX
        size = self._try()
        self._is_cut = self._read_from(max(0, size - 1)) not in (b"", b"\n")  # its last line
        self._position = self._open_position(folder)
        self._tail = self._tail_of(size)

    @property
    def bookmarks(self) -> Bookmarks:
        """How far it goes in the logs."""
        return self._position.bookmarks

    # In the main thread.

    def _try(self) -> int:
        """Find out whether it can be written; return its size. Raises `UsageError`."""
        try:
            with self._file() as file:
                return os.fstat(file).st_size
        except OSError as error:
            text = _("The transcript {path} cannot be written ({error}). Give another file.")
            raise UsageError(text.format(path=self.path, error=words_of_writing(error))) from error

    def _open_position(self, folder: Path | None) -> Position:
        try:
            return Position(self.path, folder)
        except BlockingIOError as error:
            text = _("Another client is writing the transcript {path}. Give another file.")
            raise UsageError(text.format(path=self.path)) from error

    def _tail_of(self, size: int) -> Tail:
        """Return what a client that was killed wrote before it could note that."""
        noted = self._position.size
        if noted is not None and noted < size <= noted + MAX_TAIL_BYTES:
            return Tail(b"\n" + self._read_from(noted))
        return Tail()

    def _read_from(self, start: int) -> bytes:
        """Return what the file holds from there on, a tail at most; empty where it cannot."""
        with suppress(OSError):
            return read_regular(self.path, MAX_TAIL_BYTES, start)
        return b""

    def close(self) -> None:
        """Write what waits, if that is possible, and let another client have it."""
        self._flush()
        self._position.close()

    # In the receive thread.

    def meet(self, address: str, place: Place, name: str) -> None:
        """Note which log this is; the private messages in it are those of `name`."""
        if place.epoch != self._place.epoch:
            self._newest = {}
        self._place = place
        self._inbox = inbox_key(name)
        if place.epoch:
            log = self.bookmarks.meet(address, place.epoch)
            log.generation = place.generation
            if self._inbox not in log.rooms:  # what came before is not to be written
                self.bookmarks.set_mark(place.epoch, self._inbox, place.inbox, time.time())

    def rewind(self) -> None:
        """Note that ids from before mean nothing: what comes is written, rather than lost."""
        if log := self.bookmarks.logs.get(self._place.epoch):
            log.rooms.clear()
        self._newest = {}
        self._queue.forget_places()

    def add(self, message: Message, rendered: RenderedMessage) -> None:
        """Take an entry, unless it is there already; it is appended by `write`."""
        room = self._inbox if message.to else name_key(message.room)
        if message.id:
            known = self.bookmarks.mark(self._place.epoch, room)
            if message.id <= max(known, self._newest.get(room, 0)):
                return
            self._newest[room] = message.id
        self._queue.put(Piece(as_entry(rendered), self._place.epoch, room, message.id))
        if self._queue.is_too_long:
            self.write()

    def write(self) -> None:
        """Append what waits, unless that has failed a moment ago; more than the limit is lost."""
        failed_at = self._failed_at
        if failed_at is None or time.monotonic() - failed_at >= RETRY_SECONDS:
            self._flush()
        self._queue.drop_oldest()

    def _flush(self) -> None:
        """Write all that waits; where that fails, say so once, and go on with it later."""
        if self._tail:
            self._note_pieces(self._queue.take_written(self._tail))
        try:
            if self._queue:
                with self._file() as file:
                    self._append(file)
        except OSError as error:
            self._tell_trouble(error)
        else:
            self._newest = {}
            self._tell_mended()
            self._tell_unkept()

    def _append(self, file: int) -> None:
        """Append all that waits, in a few large writes. Raises `OSError`."""
        try:
            if not os.fstat(file).st_size:
                self._is_cut = False
                self._queue.begin_anew()
            if self._is_cut:
                os.write(file, b"\n")
                self._is_cut = False
            self._queue.tell_lost()
            while self._queue:
                written = os.write(file, self._queue.next_content())
                self._note_pieces(self._queue.take(written))
        finally:
            self._position.note(os.fstat(file).st_size)

    def _note_pieces(self, pieces: Iterable[Piece]) -> None:
        """Note that entries are in the file; one that stood there already may be a later one."""
        for piece in pieces:
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

    def _tell_unkept(self) -> None:
        """Say, once, that the next run cannot go on where this one ends."""
        trouble = self._position.trouble
        if trouble is not None and not self._is_unkept_told:
            self._is_unkept_told = True
            text = _(
                "How far the transcript {path} goes cannot be kept ({error}); what is said between"
                " this run and the next may be missing from it."
            )
            self.on_trouble(text.format(path=self.path, error=words_of_writing(trouble)))

    def _tell_trouble(self, error: OSError) -> None:
        if self._failed_at is None:
            text = _("The transcript {path} cannot be written ({error}); the chat goes on.")
            self.on_trouble(text.format(path=self.path, error=words_of_writing(error)))
        self._failed_at = time.monotonic()

    def _tell_mended(self) -> None:
        if self._failed_at is not None:
            self._failed_at = None
            self.on_mended(_("* The transcript {path} is written again.").format(path=self.path))
