"""How far a transcript goes, in the file and in the logs: a small file in the user's state folder.

One client at a time has it, and with it the transcript. Opened and closed in the main thread, else
the receive thread's.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from chat.cli.locked_files import open_and_lock
from chat.client.bookmarks import MAX_BYTES, Bookmarks
from chat.client.identity import file_name

PREFIX = "transcript-"
# The file is written by one call, in blocks of so much, and is never half of two.
BLOCK_BYTES = 4096
# Of a size in bytes.
MAX_SIZE_DIGITS = 19


class Position:
    """How far the transcript at `path` goes; where that cannot be kept, it begins anew.

    `bookmarks`: in the logs; `note` keeps them. `size`: of the transcript when it was noted last,
    in an earlier run; None where none did. `trouble`: why it is not kept, or was not lately; None
    while it is.
    """

    def __init__(self, path: Path, folder: Path | None) -> None:
        """Open it; raises `BlockingIOError` where another client has it."""
        self.bookmarks = Bookmarks()
        self.size: int | None = None
        self.trouble: OSError | None = None
        self._file: int | None = None  # a descriptor, locked
        try:
            self._file = _open(path, folder)
            self._read(self._file)
        except BlockingIOError:
            raise
        except OSError as error:
            self.trouble = error

    def _read(self, file: int) -> None:
        size, _feed, fields = os.read(file, MAX_BYTES).partition(b"\n")
        if size.isdigit() and len(size) <= MAX_SIZE_DIGITS:
            self.bookmarks = Bookmarks.from_bytes(fields)
            self.size = int(size)

    def note(self, size: int) -> None:
        """Keep the bookmarks as they are now, with the present size of the transcript."""
        if self._file is None:
            return
        content = b"%d\n%s" % (size, self.bookmarks.to_bytes())
        content = content.ljust(len(content) + -len(content) % BLOCK_BYTES)
        try:
            os.lseek(self._file, 0, os.SEEK_SET)
            if os.write(self._file, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(self._file, len(content))
        except OSError as error:
            self.trouble = error
        else:
            self.trouble = None

    def close(self) -> None:
        """Let another client have it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _open(path: Path, folder: Path | None) -> int:
    if folder is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return open_and_lock(folder / file_name(PREFIX, str(path), ".json"))
