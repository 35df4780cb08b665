"""What the server reads from files, read again when they change, without a restart.

Knows nothing of what is in the files. A change is taken when the files have stayed as they are from
one look to the next, so that none is read while it is written, nor a key before its certificate
has come; SIGHUP asks for it at once. What cannot be used is logged in a sentence, and the last
value stays. Files are looked at and read in threads of their own, everything else happens in the
event loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Generic, TypeVar

from chat.cli.i18n import _
from chat.protocol.errors import ConfigError, UsageError

CHECK_SECONDS = 2.0
TERMINAL = "/dev/tty"

_Value = TypeVar("_Value")
# Of each file what changes with it; None where it cannot be looked at.
_State = tuple["tuple[int, int, int] | None", ...]

_log = logging.getLogger(__name__)


class Watched(Generic[_Value]):
    """What `load(*paths)` makes of some files: `value`, always the last one that could be used.

    `load` is called in other threads, and raises `ConfigError`, whose text is logged: no secret may
    be in it. At first it is called here, and what it raises goes to the caller. `on_change` is
    called in the event loop with each later value, after `value` has it.
    """

    def __init__(
        self,
        load: Callable[..., _Value],
        *paths: str,
        on_change: Callable[[_Value], None] = lambda value: None,
    ) -> None:
        self._load = load
        self._paths = paths
        self._on_change = on_change
        self._seen = self._loaded = self._look()
        self.value = load(*paths)

    async def check(self, is_asked: bool = False) -> None:
        """Read the files again if they have changed and come to rest, or if `is_asked`."""
        now = await asyncio.to_thread(self._look)
        is_at_rest, self._seen = now == self._seen, now
        if is_asked or (is_at_rest and now != self._loaded):
            self._loaded = now
            await self._read()

    async def _read(self) -> None:
        try:
            value = await asyncio.to_thread(self._load_files)
        except (ConfigError, OSError, ValueError) as error:
            # A file must not end a server that runs.
            text = _("{error} What was read before stays in force.")
            _log.warning("%s", text.format(error=error))
        else:
            self.value = value
            self._on_change(value)
            _log.warning("%s", _("{paths}: read again.").format(paths=", ".join(self._paths)))

    def _load_files(self) -> _Value:
        """Read them again; not from a pipe, whose thread would wait, and the server's end for it.

        The first time they may be one (process substitution), and whoever starts the server waits.
        """
        for path in self._paths:
            if not _may_be_read(path):
                text = _("{path} cannot be read ({error}). Give the path of a file that can.")
                raise UsageError(text.format(path=path, error=_("it is no regular file")))
        return self._load(*self._paths)

    def _look(self) -> _State:
        return tuple(_state_of(path) for path in self._paths)


def _state_of(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _may_be_read(path: str) -> bool:
    """Say whether it is a regular file, or none at all, so that reading it waits for nobody."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return True


class Reloader:
    """Looks after all that is watched, from `run` to its end."""

    def __init__(self) -> None:
        self._watched: list[Watched[Any]] = []
        self._asked = asyncio.Event()

    def add(self, watched: Watched[Any]) -> None:
        """Look after this too. Before `run`."""
        self._watched.append(watched)

    async def run(self) -> None:
        """Look at the files every `CHECK_SECONDS`, and when `reload` is called; until cancelled.

        Returns at once where there is nothing to look at.
        """
        while self._watched:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._asked.wait(), CHECK_SECONDS)
            is_asked = self._asked.is_set()
            self._asked.clear()
            for watched in self._watched:
                await watched.check(is_asked)

    def reload(self) -> None:
        """Have every file read again at once, changed or not."""
        self._asked.set()

    def watch_signal(self) -> None:
        """Let SIGHUP, where there is one, reload. Call it in the event loop, in the main thread.

        A terminal that is closed sends it as well, and ends a server that was started there, as it
        ends every program; not one that was told to ignore it (`nohup`). Does nothing where nothing
        is watched, nor outside of the main thread.
        """
        number = getattr(signal, "SIGHUP", None)
        if number is None or not self._watched or not _is_main_thread():
            return
        has_terminal = signal.getsignal(number) is signal.SIG_DFL and _has_terminal()
        loop = asyncio.get_running_loop()

        def handle(_number: int, _frame: FrameType | None) -> None:
            if has_terminal and not _has_terminal():
                signal.raise_signal(signal.SIGTERM)
            else:
                with suppress(RuntimeError):  # the loop has just ended
                    loop.call_soon_threadsafe(self.reload)

        signal.signal(number, handle)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _has_terminal() -> bool:
    """Say whether the process has a controlling terminal that is still there (tty(4))."""
    try:
        os.close(os.open(TERMINAL, os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return False
    return True
