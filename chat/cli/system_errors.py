"""The system's words for what goes wrong, in the user's language where they are usual.

The system itself has them in English, or in the language of its locale. For server and client.
"""

from __future__ import annotations

import errno
import os
import socket

from chat.cli.i18n import N_, _

_WORDS = {
    errno.ENOENT: N_("there is no such file"),
    errno.EACCES: N_("permission denied"),
    errno.EPERM: N_("permission denied"),
    errno.EISDIR: N_("it is a folder"),
    errno.EEXIST: N_("it is there already"),
    errno.ENOTDIR: N_("a part of the path is not a folder"),
    errno.ENOSPC: N_("the disk is full"),
    errno.EROFS: N_("nothing can be written on this disk"),
    errno.ECONNREFUSED: N_("connection refused"),
    errno.ECONNRESET: N_("the connection was cut"),
    errno.EHOSTUNREACH: N_("no way leads there"),
    errno.ENETUNREACH: N_("no way leads there"),
    errno.ETIMEDOUT: N_("no answer"),
    socket.EAI_NONAME: N_("no machine has this name"),
    errno.EIO: N_("the disk, or what it is connected by, has a fault"),
    errno.ENAMETOOLONG: N_("the name is too long"),
    errno.EMFILE: N_("too many files are open"),
    errno.ENFILE: N_("too many files are open"),
    errno.EFBIG: N_("the file is too large"),
    errno.EBADF: N_("it is closed"),
    errno.EPIPE: N_("nobody reads it"),
}


def words_of(error: Exception) -> str:
    """Return why a file or connection could not be used; in the system's words, or Python's, where
    we have none.
    """
    number = getattr(error, "errno", None)
    if number in _WORDS:
        return _(_WORDS[number])
    return getattr(error, "strerror", None) or str(error)


def words_of_writing(error: OSError) -> str:
    """Return why a file, which is made where there is none, could not be written."""
    if error.errno == errno.ENOENT:
        return _("the folder is missing")
    return words_of(error)


def in_other_words(text: str) -> str:
    """Return what the system said in the user's language; what it did not say, or rarely, as is."""
    known = {os.strerror(number): words for number, words in _WORDS.items()}
    return _(known[text]) if text in known else text
