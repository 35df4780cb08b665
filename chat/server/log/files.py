"""The log's file as the system sees it: where it may be, whose it is, whether it is there.

Knows no SQLite. A log is opened by one server at a time, whatever its path: the lock is on the file
itself, not on its name, so that a hard link or a link leads to the same lock. Used in the thread
that opens the log, and `check` in the writer's.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import struct
import sys
from contextlib import suppress
from pathlib import Path

from chat.server.log.base import LogError, Problem

try:
    import fcntl
except ImportError:  # Windows: `sqlite.py` locks a file beside the log
    HAS_FILE_LOCKS = False
else:
    HAS_FILE_LOCKS = True

IN_MEMORY = ":memory:"
URI_MARK = "file:"
# For its owner alone: whoever can read the file can read all that was said. SQLite gives -wal and
# -shm the mode of the file.
PRIVATE = 0o600
# What says for good that a file is not where it was; other errors of the disk may pass.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENODEV, errno.ENXIO)
WAL_SUFFIX = "-wal"
COMPANION_SUFFIXES = (WAL_SUFFIX, "-shm")
# The longest thing that SQLite appends to the name, and the longest path it takes (os_unix.c).
LONGEST_SUFFIX = "-journal"
BESIDE_SUFFIXES = (*COMPANION_SUFFIXES, LONGEST_SUFFIX)
# The index of the log's words, beside which there is the same.
INDEX_SUFFIX = "-search"
# What is locked where a file cannot be.
LOCK_SUFFIX = "-lock"
MAX_PATH_BYTES = 512
# How every database begins (sqlite.org/fileformat2.html).
HEADER = b"SQLite format 3\0"
# The byte that is locked: far beyond any that SQLite locks, or that a file of it can have.
LOCK_BYTE = 1 << 62

# The device, and the number of the file on it.
Identity = tuple[int, int]

_log = logging.getLogger(__name__)


def check_path(path: str) -> None:
    """Raise `LogError` where no log can be, before anything is made for one."""
    check_spelling(path)
    if Path(path).is_dir():
        raise LogError(Problem.FOLDER, path)
    if not Path(os.path.realpath(path)).parent.is_dir():  # `resolve` raises for links in a circle
        raise LogError(Problem.NO_FOLDER, path)
    if Path(path).exists() and not Path(path).is_file():
        raise LogError(Problem.FOREIGN, path)


def check_spelling(path: str) -> None:
    """Raise `LogError` where this cannot be the path of a file, or means something else."""
    if path.startswith(URI_MARK):
        raise LogError(Problem.URI, path)
    if not path or path == IN_MEMORY:
        raise LogError(Problem.NO_FILE if path else Problem.NO_NAME, path)
    absolute = os.fsencode(os.path.abspath(path + LONGEST_SUFFIX))
    if len(absolute) > MAX_PATH_BYTES or _is_name_too_long(path):
        raise LogError(Problem.TOO_LONG, path)


def _is_name_too_long(path: str) -> bool:
    try:
        os.lstat(path + LONGEST_SUFFIX)
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


class LogFile:
    """The file of one log, created if need be, private, and locked until `close()`.

    `close` it after every connection of SQLite's: closing any descriptor of a file drops all the
    POSIX locks that the process has on it, SQLite's among them. `real_path` is where the path led
    when it was opened, whatever becomes of links in it. Raises `LogError`.
    """

    def __init__(self, path: str) -> None:
        check_path(path)
        self._path = path
        # SQLite follows links, and puts what it makes beside the file where they lead.
        self.real_path = os.path.realpath(path)
        self._descriptor = _open(self.real_path, path)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        if _read_header(self._descriptor) not in (b"", HEADER):
            raise LogError(Problem.FOREIGN, self._path)
        self.lock()
        self._identity = _identity_of(os.fstat(self._descriptor))
        self._companions: dict[str, Identity] = {}

    def lock(self) -> None:
        """Keep other servers away, where files have locks; again, where that may have been undone.

        Not every system keeps the lock when the process closes another descriptor of the file.
        """
        if HAS_FILE_LOCKS:
            _lock(self._descriptor, self._path)

    def make_private(self) -> None:
        """Take from others the right to read an older file, and say so."""
        if os.name == "nt" or not _mode_of(self._descriptor) & ~PRIVATE:
            return
        for name in (self.real_path, *self._companion_names()):
            with suppress(OSError):  # not there, or another user's
                os.chmod(name, PRIVATE)
        if _mode_of(self._descriptor) & ~PRIVATE:
            _log.warning("log %s: others can read it; make its mode 0600", self._path)
        else:
            _log.warning("log %s: others could read it; from now on only its owner", self._path)

    def note_companions(self) -> None:
        """Note which files SQLite has made beside this one."""
        for name in self._companion_names():
            with suppress(OSError):
                self._companions[name] = _identity_of(os.stat(name))

    def remove_companions(self) -> None:
        """Remove what is beside this file, if it was removed or replaced: not if a link was.

        A WAL that is left behind would be taken for that of the next file of this name, and damage
        it (sqlite.org/howtocorrupt.html, "Mispairing").
        """
        if self.is_in_place():
            return
        for name, identity in self._companions.items():
            with suppress(OSError):
                if _identity_of(os.stat(name)) == identity:
                    os.unlink(name)

    def can_be_completed(self) -> bool:
        """Say whether the file is in its place, and no other WAL than its own beside it.

        One that was put there would be played over what is newer by then.
        """
        wal = f"{self.real_path}{WAL_SUFFIX}"
        is_foreign = os.path.lexists(wal) and _find_identity(wal) != self._companions.get(wal)
        return self.is_in_place() and not is_foreign

    def is_in_place(self) -> bool:
        """Say whether the file is where it was."""
        return _find_identity(self.real_path) == self._identity

    def check(self) -> None:
        """Raise `LogError` where the path no longer leads to the file: it was removed or replaced.

        Or a link in the path leads elsewhere, or what SQLite has put beside the file is there no
        more: whoever opens it next would not find what is newest. Or none of that can be found out
        just now. Blocks as long as the disk does.
        """
        for name in {self._path, self.real_path}:
            _check_place(name, self._identity, self._path)
        for name, identity in self._companions.items():
            _check_place(name, identity, name)

    def _companion_names(self) -> list[str]:
        return [f"{self.real_path}{suffix}" for suffix in COMPANION_SUFFIXES]

    def close(self) -> None:
        """Release the lock. Does nothing the second time."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _check_place(name: str, identity: Identity, path: str) -> None:
    """Raise where `name` does not lead to that file; the error speaks of `path`."""
    try:
        found = _identity_of(os.stat(name))
    except OSError as error:
        problem = Problem.REMOVED if error.errno in GONE else Problem.UNUSABLE
        raise LogError(problem, path, error.strerror or "") from error
    if found != identity:
        raise LogError(Problem.REMOVED, path)


def _open(real_path: str, path: str) -> int:
    try:
        return os.open(real_path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), PRIVATE)
    except OSError as error:
        full = (errno.ENOSPC, errno.EDQUOT)
        problem = Problem.FULL if error.errno in full else Problem.READ_ONLY
        problem = Problem.UNUSABLE if error.errno == errno.ELOOP else problem
        raise LogError(problem, path, error.strerror or "") from error


def _read_header(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, len(HEADER))


def _identity_of(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _find_identity(name: str) -> Identity | None:
    """Return which file a name leads to now, None where it leads to none."""
    try:
        return _identity_of(os.stat(name))
    except OSError:
        return None


def _mode_of(descriptor: int) -> int:
    return stat.S_IMODE(os.fstat(descriptor).st_mode)


def _lock(descriptor: int, path: str) -> None:
    """Lock one byte of the file, for as long as the descriptor is open.

    Not with flock(2): on macOS, the BSDs and over NFS that is a lock of the same sort as SQLite's
    own, of the whole file, and would shut SQLite out. An open file description's lock (Linux) is
    not dropped when another descriptor of the file is closed; elsewhere it is the process's.
    """
    try:
        if sys.platform == "linux":
            whole = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, LOCK_BYTE, 1, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole)
        elif sys.platform != "win32":
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, LOCK_BYTE)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise LogError(Problem.IN_USE, path) from error
        raise LogError(Problem.UNUSABLE, path, error.strerror or "") from error
