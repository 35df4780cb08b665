"""What all programs of the bench share: how they end, what they refuse, what they need.

Import it before anything else that is not of Python's own: where the packages are missing, the
program ends here with a sentence.
"""

from __future__ import annotations

import argparse
import errno
import math
import signal
import sqlite3
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import FrameType
from typing import NoReturn

NEEDED = ("grpc", "google.protobuf")
ENDING_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
NO_PACKAGE = (
    "there is no package {name} in this Python: `make bench` makes an environment with all that the"
    " bench needs, and .venv/bin/python has it from then on"
)
# What a disk that is full, or closed to this user, answers.
OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}


class BenchError(Exception):
    """Something that the user can mend; the text is a sentence for him."""


class Ended(KeyboardInterrupt):
    """The program was told to end: as Ctrl-C does, by whichever signal (`number`)."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _require_packages() -> None:
    """End the program where the packages are missing that all of the bench needs."""
    for name in NEEDED:
        try:
            is_there = find_spec(name) is not None
        except ModuleNotFoundError:  # nor what it is in
            is_there = False
        if not is_there:
            sys.exit(NO_PACKAGE.format(name=name))


_require_packages()


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a program, and exit with its code; whatever ends it, servers and files are gone before.

    One that a signal ends has the shell's code for that, 130 for Ctrl-C.
    """
    for name in ENDING_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _end)
    try:
        sys.exit(main())
    except Ended as ended:
        print("\nended early; nothing was written", file=sys.stderr)
        sys.exit(128 + ended.number)
    except (BenchError, ModuleNotFoundError, OSError, sqlite3.OperationalError) as error:
        sentence = _sentence(error)
        if not sentence:
            raise
        sys.exit(f"\n{sentence}" if sys.stderr.isatty() else sentence)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """End the program in order, which no further signal disturbs."""
    for name in ENDING_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise Ended(number)


def _sentence(error: Exception) -> str:
    """Return what to tell the user; empty: it is a fault of the bench."""
    if isinstance(error, BenchError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return NO_PACKAGE.format(name=error.name)
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}" if error.errno in OF_THE_DISK else ""
    return f"the log cannot be made: {error}"


def above_zero(text: str) -> float:
    """Return a quantity of the command line: seconds, or a factor."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def at_least(least: int) -> Callable[[str], int]:
    """Return a type of the command line: a number that is not smaller."""

    def number(text: str) -> int:
        found = int(text)
        if found < least:
            raise argparse.ArgumentTypeError(f"must be at least {least:,}")
        return found

    return number


count = at_least(1)


def parser_of(document: str) -> argparse.ArgumentParser:
    """Return a parser whose help begins with a program's own documentation, as it is written."""
    return argparse.ArgumentParser(
        description=document.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
