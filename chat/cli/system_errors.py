"""The system's words for what goes wrong, in the user's language where they are usual.

The system itself has them in English, or in the language of its locale. For server and client.
"""

from __future__ import annotations

import errno
import socket

from chat.cli.i18n import N_, _

_WORDS = {
    errno.ENOENT: N_("there is no such file"),
    errno.EACCES: N_("permission denied"),
    errno.EPERM: N_("permission denied"),
    errno.EISDIR: N_("it is a folder"),
    errno.ENOTDIR: N_("a part of the path is not a folder"),
    errno.ENOSPC: N_("the disk is full"),
    errno.EROFS: N_("nothing can be written on this disk"),
    errno.ECONNREFUSED: N_("connection refused"),
    errno.ECONNRESET: N_("the connection was cut"),
    errno.EHOSTUNREACH: N_("no way leads there"),
    errno.ENETUNREACH: N_("no way leads there"),
    errno.ETIMEDOUT: N_("no answer"),
    socket.EAI_NONAME: N_("no machine has this name"),
}


def words_of(error: Exception) -> str:
    """Return why a file or connection could not be used; in the system's words, or Python's, where
    we have none.
    """
    number = getattr(error, "errno", None)
    if number in _WORDS:
        return _(_WORDS[number])
    return getattr(error, "strerror", None) or str(error)
