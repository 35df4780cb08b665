"""What an operator types: `/remover`, `/banir`, `/silenciar`, what ends them, and `/aviso`.

Knows how it is typed and what is to be asked of the server, which decides who may. Runs in the main
thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from chat.client import commands
from chat.client.commands import Command
from chat.client.durations import split_duration
from chat.client.roster import Roster
from chat.client.session import Session
from chat_pb2 import KIND_BANNED, KIND_MUTED, KIND_REMOVED

# A wish whose end is in the past ends what holds: the one moment that no clock takes for later.
ENDED = 0.0
# Remembers what was typed, and hands out the key under which it is asked.
Remembered = Callable[[str], AbstractContextManager[str]]


class Moderating:
    """The commands of operators.

    `show_usage`: says how a command is typed. `choose`: asks who is meant, where that is not clear;
    gets the command and the names.
    """

    def __init__(
        self,
        session: Session,
        roster: Roster,
        remembered: Remembered,
        show_usage: Callable[[Command], None],
        choose: Callable[[Command, list[str]], None],
    ) -> None:
        self._session = session
        self._roster = roster
        self._remembered = remembered
        self._show_usage = show_usage
        self._choose = choose
        self.of_command: dict[Command, Callable[[str], None]] = {
            commands.REMOVE: lambda said: self._ask(commands.REMOVE, KIND_REMOVED, said),
            commands.BAN: lambda said: self._ask(commands.BAN, KIND_BANNED, said, has_time=True),
            commands.MUTE: lambda said: self._ask(commands.MUTE, KIND_MUTED, said, has_time=True),
            commands.UNBAN: lambda said: self._end(commands.UNBAN, KIND_BANNED, said),
            commands.UNMUTE: lambda said: self._end(commands.UNMUTE, KIND_MUTED, said),
            commands.ANNOUNCE: self._announce,
        }

    def _ask(self, command: Command, kind: int, argument: str, has_time: bool = False) -> None:
        """Ask for what is to happen to somebody, for a time where that was typed."""
        meant = self._meant(command, argument)
        if meant is None:
            return
        to, words = meant
        seconds, rest = split_duration(words) if has_time else (None, words)
        until = time.time() + seconds if seconds is not None else None
        with self._remembered(commands.as_typed(command, argument)) as key:
            self._session.moderate(kind, to, rest, until, key)

    def _end(self, command: Command, kind: int, argument: str) -> None:
        """Ask for the end of a ban or a mute; all that was typed is the name."""
        name = argument.removeprefix("[").removesuffix("]").strip()
        if not name:
            self._show_usage(command)
            return
        with self._remembered(commands.as_typed(command, argument)) as key:
            self._session.moderate(kind, name, until=ENDED, key=key)

    def _announce(self, argument: str) -> None:
        if not argument:
            self._show_usage(commands.ANNOUNCE)
            return
        with self._remembered(commands.as_typed(commands.ANNOUNCE, argument)) as key:
            self._session.announce(argument, key)

    def _meant(self, command: Command, argument: str) -> tuple[str, str] | None:
        """Return who is meant, and what follows; None where that is asked, or nobody is."""
        meant = self._roster.addressees(argument)
        if len(meant) > 1:
            self._choose(command, [name for name, _rest in meant])
            return None
        if not meant[0][0]:
            self._show_usage(command)
            return None
        return meant[0]
