"""The system's words for what goes wrong, in the user's language where they are usual.

The system itself has them in English, or in the language of its locale. For server and client.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from types import ModuleType

from chat.cli.i18n import N_, _

# By the names of the numbers: not every system has all of them.
_WORDS_BY_NAME = {
    "ENOENT": N_("there is no such file"),
    "EACCES": N_("permission denied"),
    "EPERM": N_("permission denied"),
    "EISDIR": N_("it is a folder"),
    "EEXIST": N_("it is there already"),
    "ENOTDIR": N_("a part of the path is not a folder"),
    "ENOTEMPTY": N_("the folder is not empty"),
    "ELOOP": N_("its links lead round in a circle"),
    "ENAMETOOLONG": N_("the name is too long"),
    "EILSEQ": N_("the name has characters that are not allowed there"),
    "ENXIO": N_("nothing answers at the other end of it"),
    "ENODEV": N_("there is no such device"),
    "EXDEV": N_("it is on another disk"),
    "EMLINK": N_("it has too many links"),
    "ENOSPC": N_("the disk is full"),
    "EDQUOT": N_("your share of the disk is used up"),
    "EFBIG": N_("the file is too large"),
    "EOVERFLOW": N_("the file is too large"),
    "EROFS": N_("nothing can be written on this disk"),
    "EIO": N_("the disk, or what it is connected by, has a fault"),
    "ESTALE": N_("the disk on the network knows it no longer"),
    "EREMOTEIO": N_("the disk, or what it is connected by, has a fault"),
    "EBUSY": N_("it is in use"),
    "ETXTBSY": N_("it is in use"),
    "EAGAIN": N_("it is in use"),
    "EDEADLK": N_("it is in use"),
    "ENOLCK": N_("it cannot be locked"),
    "EMFILE": N_("too many files are open"),
    "ENFILE": N_("too many files are open"),
    "ENOMEM": N_("there is not enough memory"),
    "ENOBUFS": N_("there is not enough memory"),
    "EINTR": N_("it was interrupted"),
    "ECANCELED": N_("it was interrupted"),
    "EINVAL": N_("it cannot be used for that"),
    "EOPNOTSUPP": N_("it cannot be used for that"),
    "ENOTSUP": N_("it cannot be used for that"),
    "ENOSYS": N_("it cannot be used for that"),
    "ENOTTY": N_("it cannot be used for that"),
    "ESPIPE": N_("it cannot be used for that"),
    "ENOTSOCK": N_("it cannot be used for that"),
    "EBADF": N_("it is closed"),
    "EPIPE": N_("nobody reads it"),
    "ESHUTDOWN": N_("it is closed"),
    "EADDRINUSE": N_("another program uses the address"),
    "EADDRNOTAVAIL": N_("this machine does not have the address"),
    "EAFNOSUPPORT": N_("this machine does not know addresses of that sort"),
    "EPROTONOSUPPORT": N_("this machine does not know addresses of that sort"),
    "ECONNREFUSED": N_("connection refused"),
    "ECONNRESET": N_("the connection was cut"),
    "ECONNABORTED": N_("the connection was cut"),
    "ENOTCONN": N_("the connection was cut"),
    "EPROTO": N_("what came from there makes no sense"),
    "EHOSTUNREACH": N_("no way leads there"),
    "EHOSTDOWN": N_("no way leads there"),
    "ENETUNREACH": N_("no way leads there"),
    "ENETDOWN": N_("no way leads there"),
    "ENETRESET": N_("the connection was cut"),
    "ETIMEDOUT": N_("no answer"),
}
# Of names of machines: numbers of their own, which on some systems are others' as well.
_WORDS_OF_NAMES_BY_NAME = {
    "EAI_NONAME": N_("no machine has this name"),
    "EAI_NODATA": N_("no machine has this name"),
    "EAI_ADDRFAMILY": N_("no machine has this name"),
    "EAI_AGAIN": N_("whoever knows the names of machines does not answer"),
    "EAI_FAIL": N_("whoever knows the names of machines does not answer"),
    "EAI_FAMILY": N_("this machine does not know addresses of that sort"),
    "EAI_SERVICE": N_("this machine does not know addresses of that sort"),
    "EAI_SOCKTYPE": N_("this machine does not know addresses of that sort"),
    "EAI_MEMORY": N_("there is not enough memory"),
}


class SaidError(OSError):
    """An error of a file of which the words are ours already."""


def _by_number(words: Mapping[str, str], module: ModuleType) -> dict[int, str]:
    return {getattr(module, name): said for name, said in words.items() if hasattr(module, name)}


_WORDS = _by_number(_WORDS_BY_NAME, errno)
_WORDS_OF_NAMES = _by_number(_WORDS_OF_NAMES_BY_NAME, socket)


def words_of(error: Exception) -> str:
    """Return why a file or connection could not be used; in the system's words, or Python's, where
    we have none.
    """
    number = getattr(error, "errno", None)
    known = _WORDS_OF_NAMES if isinstance(error, socket.gaierror) else _WORDS
    if number in known and not isinstance(error, SaidError):
        return _(known[number])
    if isinstance(error, ValueError) and "null" in str(error):
        return _("a path cannot have a null character in it")
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
