"""Files that one program at a time uses: locked until they are closed, or their program ends.

The mode is 0600. On Linux and macOS the lock is advisory (flock), on Windows a byte of the file.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chat.cli.regular_files import open_regular

# On Windows a lock keeps others from reading: it is far behind what is read.
LOCK_OFFSET = 1 << 20
# How often is looked whether a lock that is held for a moment is free.
RETRY_SECONDS = 0.01


def open_locked(path: Path) -> int | None:
    """Return the descriptor of a file, locked; None where it is in use or cannot be had.

    It is made, and its folder, where there is none.
    """
    try:
        return open_and_lock(path)
    except OSError:
        return None


def open_and_lock(path: Path) -> int:
    """Return what `open_locked` does; raises `BlockingIOError` where it is in use, or `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        _lock(file)
    except OSError as error:
        os.close(file)
        raise BlockingIOError from error
    return file


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[bool]:
    """Hold the lock of a file for the length of the block, which hears whether it was to be had.

    Waits for it so long at most.
    """
    deadline = time.monotonic() + seconds
    while (file := open_locked(path)) is None and time.monotonic() < deadline:
        time.sleep(RETRY_SECONDS)
    try:
        yield file is not None
    finally:
        if file is not None:
            os.close(file)


def _lock(file: int) -> None:
    """Lock a file until it is closed, or its process ends; raises `OSError` if it is locked."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, LOCK_OFFSET, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
