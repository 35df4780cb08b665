"""Files with secrets or certificates in them: read, so that what is wrong is said."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from logging import getLogger
from pathlib import Path

from chat.cli.i18n import _
from chat.protocol.errors import UsageError

_log = getLogger(__name__)


def read_file(path: str) -> bytes:
    """Return the content of a file; raises `UsageError`."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        text = _("{path} cannot be read ({error}). Give the path of a file that can.")
        reason = getattr(error, "strerror", None) or error
        raise UsageError(text.format(path=path, error=reason)) from error


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
