"""Files that are their owner's alone: read so that what is wrong is said, and written whole.

The mode is 0600; Windows has no such bits, and keeps them under the user's profile.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from logging import getLogger
from pathlib import Path

from chat.cli.i18n import _
from chat.cli.system_errors import words_of
from chat.protocol.errors import UsageError

_log = getLogger(__name__)


def read_file(path: str) -> bytes:
    """Return the content of a file; raises `UsageError`."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        text = _("{path} cannot be read ({error}). Give the path of a file that can.")
        raise UsageError(text.format(path=path, error=words_of(error))) from error


def read_pem(path: str) -> bytes:
    """Return the content of a file that looks like PEM; raises `UsageError`."""
    content = read_file(path)
    if b"-----BEGIN " not in content:
        raise UsageError(
            _("{path} is not a PEM file: it has no line that starts with -----BEGIN.").format(
                path=path
            )
        )
    return content


def warn_if_others_can_read(path: str) -> None:
    """Say so of a secret that more than its owner can read.

    The group of a file that root owns may, as PostgreSQL allows it for keys ("Secure TCP/IP
    Connections with SSL"). Windows has no such bits.
    """
    if sys.platform == "win32":
        return
    with suppress(OSError):
        found = os.stat(path)
        allowed = stat.S_IRWXU | (stat.S_IRGRP if found.st_uid == 0 else 0)
        if found.st_mode & (stat.S_IRGRP | stat.S_IROTH) & ~allowed:
            text = _("Other users of this machine can read {path}. Type: chmod 600 {path}")
            _log.warning(text.format(path=path))


def publish(path: Path, content: bytes) -> None:
    """Let a file appear with its whole content, unless there is one by now. Raises `OSError`.

    Of two programs that do so at a time, one finds that the other has.
    """
    _write(path, content, _give_name)


def replace(path: Path, content: bytes) -> None:
    """Put a file in place of an earlier one, so that it is never half of two. Raises `OSError`.

    Its folder is made where there is none.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(path, content, os.replace)


def _write(path: Path, content: bytes, name: Callable[[str, Path], None]) -> None:
    """Write a file beside `path`, and have `name` give it that name."""
    descriptor, temporary = tempfile.mkstemp(path.suffix, f".{path.stem}-", path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        name(temporary, path)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _give_name(temporary: str, path: Path) -> None:
    """Give a file its name, if nothing has that name yet."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except (OSError, NotImplementedError):  # a disk without hard links
        if not os.path.lexists(path):
            os.rename(temporary, path)
