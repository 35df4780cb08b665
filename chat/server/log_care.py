"""What is done with the log's file beside serving it: --backup, --check, the look after a crash.

`back_up` and `check` are called in the main thread, also while a server has the file open, and
return the exit code; all else runs in the event loop of that server.
"""

from __future__ import annotations

import logging
import sys
import time

from chat.cli.i18n import _
from chat.server.log import maintenance
from chat.server.log.base import LogError, Problem, ServedLog
from chat.server.log_sentences import explain_log_error

PROGRESS_SECONDS = 0.5

_log = logging.getLogger(__name__)


class _Progress:
    """Says on standard error how far a copy is, twice a second."""

    def __init__(self) -> None:
        self._next_at = 0.0

    def __call__(self, done: int, total: int) -> None:
        is_over = done >= total
        if not is_over and time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + PROGRESS_SECONDS
        percent = 100 * done // total if total else 100
        print(f"\r{percent} %", end="\n" if is_over else "", file=sys.stderr, flush=True)


def back_up(path: str, target: str) -> int:
    """Copy the log in `path` into the new file `target`; 0, or 1 with a sentence why not."""
    try:
        maintenance.backup(path, target, _Progress())
    except LogError as error:
        print(explain_log_error(error), file=sys.stderr)
        return 1
    print(_("{target} is a copy of {path}.").format(target=target, path=path))
    return 0


def check(path: str) -> int:
    """Say whether the log in `path` is sound; 0, or 1 with what is wrong with it."""
    try:
        faults = maintenance.check(path)
    except LogError as error:
        print(explain_log_error(error), file=sys.stderr)
        return 1
    for fault in faults:
        print(f"{path}: {fault}", file=sys.stderr)
    if not faults:
        print(_("{path} is sound.").format(path=path))
    return 1 if faults else 0


def tell_silence(trouble: LogError | None, before: LogError | None) -> None:
    """Say on standard error that the disk does not answer, or does so again.

    Other troubles end an attempt to write, which says so itself.
    """
    if trouble is not None and trouble.problem is Problem.SILENT:
        _log.error("%s", str(trouble))
    elif trouble is None and before is not None and before.problem is Problem.SILENT:
        _log.warning("log %s: the disk answers again", before.path)


async def look_through(log: ServedLog) -> None:
    """Look for what an end without a stop may have left, and tell the operator what was found."""
    try:
        faults = await log.check()
    except LogError as error:
        faults = [str(error)]
    for fault in faults:
        _log.error("log %s: %s", log.path, fault)
    if faults:
        _log.error("%s", explain_log_error(LogError(Problem.DAMAGED, log.path)))
