"""What the program does in place of serving: copies, checks, and lists of names."""

from __future__ import annotations

from argparse import Namespace

from chat.server import log_care, name_care


def run(flags: Namespace) -> int | None:
    """Do what the flags ask for in place of serving; return the exit code, None: nothing."""
    if flags.backup is not None:
        return log_care.back_up(flags.db, flags.backup)
    if flags.check:
        return log_care.check(flags.db)
    if flags.names:
        return name_care.list_names(flags.db)
    if flags.free is not None:
        return name_care.free(flags.db, flags.free)
    return None
