"""A file to which everything that is said is appended, once, as the screen shows it: for grep.

Opened anew for each write, so that another program may move it away at any time (logrotate), or
copy it and cut it off. How far it goes, in which log, is kept in a small file in the user's state
folder, which one client at a time has: a later run goes on there, whatever the screen has shown
without the transcript. Called in the receive thread; opened and closed in the main thread.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chat.cli.i18n import _
from chat.cli.locked_files import open_locked
from chat.cli.system_errors import words_of
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
# What a client that was killed may have written after it noted its position for the last time.
MAX_TAIL_BYTES = 64 << 10


@dataclass
class Piece:
    """What one entry adds: `content`, and to which place in the log that brings the transcript."""

    content: bytes
    room: str = ""
    id: int = 0


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
        self._waiting: deque[Piece] = deque()
        self._lost = 0
        self._failed_at: float | None = None
        self._place = Place()
        self._inbox = INBOX
        self._tail = b""
        self._open(folder)

    # In the main thread.

    def _open(self, folder: Path | None) -> None:
        """Find out whether it can be written, and how far it goes; raises `UsageError`."""
        try:
            size = self._append(b"")
        except OSError as error:
            text = _("The transcript {path} cannot be written ({error}). Give another file.")
            raise UsageError(text.format(path=self.path, error=words_of(error))) from error
        if folder is None:
            return
        kept = folder / file_name(PREFIX, str(self.path), ".json")
        self._position = open_locked(kept)
        if self._position is None and kept.exists():
            text = _("Another client is writing the transcript {path}. Give another file.")
            raise UsageError(text.format(path=self.path))
        if self._position is not None:
            self._read_position(self._position, size)

    def _read_position(self, position: int, size: int) -> None:
        raw = os.read(position, MAX_BYTES)
        number, _feed, fields = raw.partition(b"\n")
        if not (number.isdigit() and len(number) < 20):
            return
        self.bookmarks = Bookmarks.from_bytes(fields)
        written = int(number)
        if written < size <= written + MAX_TAIL_BYTES:
            with suppress(OSError), self.path.open("rb") as file:
                file.seek(written)
                self._tail = file.read(MAX_TAIL_BYTES)

    def close(self) -> None:
        """Write what waits, if that is possible, and let another client have it."""
        self._write_waiting()
        if self._position is not None:
            os.close(self._position)
            self._position = None

    # In the receive thread.

    def meet(self, address: str, place: Place, name: str) -> None:
        """Note which log this is; the private messages in it are those of `name`."""
        self._place = place
        self._inbox = INBOX + name_key(name)
        if place.epoch:
            self.bookmarks.meet(address, place.epoch).generation = place.generation

    def rewind(self) -> None:
        """Note that ids from before mean nothing: what comes is written, rather than lost."""
        if log := self.bookmarks.logs.get(self._place.epoch):
            log.rooms.clear()

    def write(self, message: Message, rendered: RenderedMessage) -> None:
        """Append an entry, unless it is there already."""
        room = self._inbox if message.to else name_key(message.room)
        if message.id and message.id <= self._written_id(room):
            return
        self._waiting.append(Piece(as_entry(rendered), room, message.id))
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self._lost += 1
        failed_at = self._failed_at
        if failed_at is None or time.monotonic() - failed_at >= RETRY_SECONDS:
            self._write_waiting()

    def _written_id(self, room: str) -> int:
        ids = [piece.id for piece in self._waiting if piece.room == room and piece.id]
        return max([self.bookmarks.mark(self._place.epoch, room), *ids])

    def _write_waiting(self) -> None:
        """Write all that waits; where that fails, say so once, and go on with it later."""
        try:
            while self._waiting:
                self._write(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            self._tell_trouble(error)
        else:
            self._tell_mended()

    def _write(self, piece: Piece) -> None:
        """Write one piece, and note how far that goes. Raises `OSError`."""
        if self._lost:
            text = _("* {count} messages are missing here")
            entry = as_entry(render.local_notice(text.format(count=self._lost)))
            self._append(entry)
            self._lost = 0
        is_there = bool(self._tail) and self._tail.startswith(piece.content)
        self._tail = self._tail[len(piece.content) :] if is_there else b""
        size = self.path.stat().st_size if is_there else self._append_all(piece)
        if piece.id:
            self.bookmarks.set_mark(self._place.epoch, piece.room, piece.id, time.time())
        self._note_position(size)

    def _append_all(self, piece: Piece) -> int:
        """Append a piece; of one that a full disk took in part, the rest later."""
        file = self._file()
        try:
            while piece.content:
                piece.content = piece.content[os.write(file, piece.content) :]
            return os.fstat(file).st_size
        finally:
            os.close(file)

    def _append(self, content: bytes) -> int:
        return self._append_all(Piece(content))

    def _file(self) -> int:
        """Return the descriptor of the file, which is made where there is none."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # no pipe is waited for
        file = os.open(self.path, flags, 0o600)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, _("it is not a regular file"))
        return file

    def _note_position(self, size: int) -> None:
        if self._position is None:
            return
        content = b"%d\n%s" % (size, self.bookmarks.to_bytes())
        padding = -len(content) % BLOCK_BYTES
        with suppress(OSError):
            os.lseek(self._position, 0, os.SEEK_SET)
            os.write(self._position, content.ljust(len(content) + padding))
            os.ftruncate(self._position, len(content) + padding)

    def _tell_trouble(self, error: OSError) -> None:
        if self._failed_at is None:
            text = _("The transcript {path} cannot be written ({error}); the chat goes on.")
            self.on_trouble(text.format(path=self.path, error=words_of(error)))
        self._failed_at = time.monotonic()

    def _tell_mended(self) -> None:
        if self._failed_at is not None:
            self._failed_at = None
            self.on_mended(_("* The transcript {path} is written again.").format(path=self.path))


def as_entry(rendered: RenderedMessage) -> bytes:
    """Return an entry as it stands in the file: with date and time, later lines indented."""
    when = rendered.when or render.now()
    return f"{when:%Y-%m-%d %H:%M:%S} {rendered.rows(None)}\n".encode("utf-8", "replace")
