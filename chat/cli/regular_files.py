"""Files of the program's own, opened so that nothing else in their place makes it wait.

A pipe that nobody writes to, a terminal or a device is no file of ours: it is refused, and neither
waited for nor read without end. Knows nothing of what the files hold; from any thread.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from chat.cli.i18n import _
from chat.cli.system_errors import SaidError

OWNER_ONLY = 0o600


def open_regular(path: Path, flags: int) -> int:
    """Return the descriptor of a regular file; one that is made is its owner's alone.

    Raises `OSError`, also for a path that no file can have.
    """
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    try:
        file = os.open(path, flags, OWNER_ONLY)
    except ValueError as error:  # NUL
        raise impossible_path() from error
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise SaidError(errno.EINVAL, _("it is not a regular file"))


def impossible_path() -> OSError:
    """Return what is wrong with a path that has a NUL, of which Python alone knows."""
    return SaidError(errno.EINVAL, _("no file can be called so"))


def read_regular(path: Path, max_bytes: int, start: int = 0) -> bytes:
    """Return what a regular file holds from `start` on, `max_bytes` at most. Raises `OSError`.

    `start` below 0: so many bytes before the end, or all there is.
    """
    with open(open_regular(path, os.O_RDONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(start if start >= 0 else max(0, size + start))
        return file.read(max_bytes)
